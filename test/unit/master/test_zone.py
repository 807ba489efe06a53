"""The site's time zone."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from asyncluster.master.zone import site_zone


def test_the_zone_that_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Then $TZ, then the machine's link, else UTC; a name that is wrong there stops no master."""
    missing = tmp_path / "localtime"
    monkeypatch.setenv("TZ", ":Asia/Tokyo")
    assert site_zone("Europe/Berlin", missing) == ZoneInfo("Europe/Berlin")
    assert site_zone("", missing) == ZoneInfo("Asia/Tokyo")
    monkeypatch.setenv("TZ", "Mars/Base")
    assert site_zone("", missing) == UTC
    monkeypatch.delenv("TZ")
    zones = tmp_path / "zoneinfo" / "Europe"
    zones.mkdir(parents=True)
    (zones / "Berlin").touch()
    missing.symlink_to(zones / "Berlin")
    assert site_zone("", missing) == ZoneInfo("Europe/Berlin")
