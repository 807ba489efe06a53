"""A master that stops while its journal cannot be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

from asyncluster.errors import StoreError
from asyncluster.master.assembly import MasterService
from asyncluster.master.service import Master


class FullDisk:
    """A journal that cannot be closed as it should be."""

    def close(self) -> Deferred[None]:
        return fail(StoreError("closed before everything was written: the disk is full"))


def test_the_disk_is_full(tmp_path: Path) -> None:
    """It says so and ends as ever, its socket removed."""
    clock, journal, ended = Clock(), FullDisk(), []
    anything: Any = (clock, journal)
    service = MasterService(anything[0], Master(clock), str(tmp_path / "socket"), anything[1])  # type: ignore[arg-type]
    service.stopService().addCallback(ended.append)
    assert ended == [None]
    assert "the disk is full" in service.failure
