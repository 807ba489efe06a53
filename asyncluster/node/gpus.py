"""Which gpus a node gives to tasks.  Read once, when the node starts; no driver is asked."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

DEVICES = Path("/dev")


def found(visible: str | None = None, folder: Path = DEVICES) -> tuple[str, ...]:
    """The ids of the devices that are here.

    `visible` is CUDA_VISIBLE_DEVICES as this daemon was started with it, which a batch system sets: those, if it is
    there; else as many as /dev has.
    """
    if visible is not None:
        ids: list[str] = []
        for word in visible.split(","):
            if not re.fullmatch(r"[A-Za-z0-9/-]+", word.strip()) or word.strip().startswith(("-", "NoDev")):
                break  # as CUDA does: nothing from a wrong one on
            ids.append(word.strip())
        return tuple(dict.fromkeys(ids))
    numbers = [name.removeprefix("nvidia") for name in _names(folder)]
    return tuple(sorted((number for number in numbers if number.isdigit()), key=int))


def _names(folder: Path) -> Sequence[str]:
    try:
        return [name for name in os.listdir(folder) if name.startswith("nvidia")]
    except OSError:
        return []
