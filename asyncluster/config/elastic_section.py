"""What all parts of asyncluster.yaml have in common: strict, frozen, and values are checked from their text."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

HYPHENS = {"admin_server": "admin-server", "config_checker": "config-checker"}


class Part(BaseModel):
    """One mapping of the file.  A key is its attribute's name, but for those that the original writes with hyphens."""

    model_config = ConfigDict(
        alias_generator=lambda name: HYPHENS.get(name, name),
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        defer_build=True,  # most sections are in no file: only those that are read need a validator
    )


def key_of(name: str) -> str:
    """An attribute's name as its key in the file."""
    return HYPHENS.get(name, name)


def keys(model: type[Part]) -> dict[str, Any]:
    """The fields of a part by their keys."""
    return {key_of(name): field for name, field in model.model_fields.items()}
