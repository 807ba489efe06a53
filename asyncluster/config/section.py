"""What all sections of asyncluster.conf have in common, and how a key of one is said."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


def key(default: str, meaning: str, *, unit: str = "", example: str = "", shown: str = "") -> Any:
    """One key: default as written in the file, a sentence, unit, example; `shown` tells of a default in words."""
    extra: dict[str, Any] = {"unit": unit, "example": example, "shown": shown}
    return Field(default, validate_default=True, description=meaning, json_schema_extra=extra)


class Section(BaseModel):
    """What all sections have in common."""

    model_config = ConfigDict(
        alias_generator=lambda name: name.replace("_", " "),
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )
