"""The site's time zone: the one that was named, or this machine's."""

from __future__ import annotations

import os
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from twisted.logger import Logger

_log = Logger()

LOCALTIME = Path("/etc/localtime")


def site_zone(name: str, localtime: Path = LOCALTIME) -> tzinfo:
    """By name; "": what $TZ names or `localtime` is, and UTC where neither says anything."""
    if name:
        return ZoneInfo(name)
    for text in (os.environ.get("TZ", "").lstrip(":"), _linked(localtime)):
        try:
            if text:
                return ZoneInfo(text)
        except (KeyError, OSError, ValueError):
            _log.warn("{text} is not a time zone that is known here", text=text)
    try:
        with localtime.open("rb") as file:
            return ZoneInfo.from_file(file, key="localtime")
    except (OSError, ValueError):
        return UTC


def _linked(localtime: Path) -> str:
    """The name of the zone that the machine's file is a link to; "" where it is none."""
    return str(localtime.resolve()).partition("/zoneinfo/")[2] if localtime.is_symlink() else ""
