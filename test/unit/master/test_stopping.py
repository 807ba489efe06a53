"""A master that stops while its journal cannot be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

from asyncluster.errors import StoreError
from asyncluster.master.assembly import MasterService
from asyncluster.master.service import Master
from asyncluster.store.records import Found
from asyncluster.testing.people import Stage


class FullDisk:
    """A journal that cannot be closed as it should be."""

    def close(self) -> Deferred[None]:
        return fail(StoreError("closed before everything was written: the disk is full"))


def test_the_disk_is_full(tmp_path: Path) -> None:
    """It says so and ends as ever, its socket removed."""
    clock, journal, ended = Clock(), FullDisk(), []
    anything: Any = (clock, journal)
    service = MasterService(
        anything[0], Master(anything[0]), str(tmp_path / "socket"), anything[1], Stage(tmp_path, 0.0).sessions
    )
    service.stopService().addCallback(ended.append)
    assert ended == [None]
    assert "the disk is full" in service.failure


class Slow:
    """A journal that is read when the test says so."""

    def __init__(self) -> None:
        self.opened: Deferred[Any] = Deferred()
        self.closed: Deferred[None] = Deferred()

    def open(self) -> Deferred[Any]:
        return self.opened

    def close(self) -> Deferred[None]:
        return self.closed


def test_it_is_stopped_while_it_reads_its_journal(tmp_path: Path) -> None:
    """Then it does not start any more: its doors would open after their socket is gone."""
    clock, journal = Clock(), Slow()
    anything: Any = (clock, journal)
    master = Master(clock)
    service = MasterService(anything[0], master, str(tmp_path / "socket"), anything[1], Stage(tmp_path, 0.0).sessions)
    service.startService()
    ended: list[Any] = []
    service.stopService().addBoth(ended.append)
    journal.opened.callback(Found([], [], 1, "realm"))
    journal.closed.callback(None)
    assert ended == [None]
    assert not service.running
    assert not master.running
    assert service.failure == ""


class Hall:
    """Who is here, of whom one was launched for a pool."""

    def __init__(self) -> None:
        self.gone: list[tuple[str, str]] = []

    def launched(self) -> list[tuple[str, str]]:
        return [("night-1", "night")]

    def dismiss(self, name: str, why: str, by: object) -> None:
        self.gone.append((name, why))


@pytest.mark.parametrize("journal", [None, Slow()], ids=["without a journal", "with one"])
def test_nodes_of_former_pools_are_sent_away_where_there_are_no_pools(tmp_path: Path, journal: Slow | None) -> None:
    """After the time of a lease."""
    clock, hall = Clock(), Hall()
    anything: Any = (clock, journal, hall)
    master = Master(clock)
    service = MasterService(anything[0], master, str(tmp_path / "socket"), anything[1], Stage(tmp_path, 0.0).sessions)
    service.startService()
    if journal is not None:
        journal.opened.callback(Found([], [], 1, "realm"))
    master.attendance = anything[2]
    clock.pump([60.0] * 30)
    assert hall.gone == []
    clock.pump([60.0])
    assert hall.gone[0][0] == "night-1"
    assert "pool night does not look after it" in hall.gone[0][1]
