"""What tasks of detached jobs wrote, on disk: whole, bounded, and there after a kill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred

from asyncluster.master.spool import ANSWER, RECORD, Pieces, Position, Spool
from asyncluster.model.notices import cut, missed

Written = list[tuple[int, int, bytes]]


def at_once(function: Callable[[], Any]) -> Deferred[Any]:
    """Instead of a thread."""
    return maybeDeferred(function)


def read(spool: Spool, job: int, seq: int = -1, stream: int = 0) -> Written:
    """All that there is, piece by piece."""
    found: Written = []
    position: Position = (0, 0)
    more = True
    while more:
        answers: list[Pieces] = []
        spool.read(job, seq, stream, position).addCallback(answers.append)
        (answer,) = answers
        assert sum(len(data) for _, _, data in answer.pieces) <= ANSWER + RECORD
        found += answer.pieces
        position, more = answer.position, answer.more
    return found


def text(found: Written, stream: int) -> bytes:
    """What came of one stream."""
    return b"".join(data for _, to, data in found if to == stream)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([1, 2]), st.binary(max_size=50)), max_size=20), st.data())
def test_each_reader_gets_what_it_asked_for(
    tmp_path_factory: pytest.TempPathFactory, history: Written, data: st.DataObject
) -> None:
    """In order, across lives of the master, of one task or all, of one stream or both."""
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder, 10_000_000, at_once)
    for seq, stream, piece in history:
        if data.draw(st.booleans()):
            spool = Spool(folder, 10_000_000, at_once)
            spool.begin_with([7])
        spool.write(7, seq, stream, piece)
    wanted, to = data.draw(st.integers(-1, 3)), data.draw(st.sampled_from([0, 1, 2]))
    expected = [each for each in history if wanted in (-1, each[0]) and to in (0, each[1])]
    found = read(spool, 7, wanted, to)
    for stream in (1, 2):
        assert text(found, stream) == text(expected, stream)


def test_much_comes_in_pieces(tmp_path: Path) -> None:
    """No answer is larger than the wire carries."""
    spool = Spool(tmp_path, 10_000_000, at_once)
    spool.write(1, 0, 1, bytes(range(256)) * 4096)
    assert text(read(spool, 1), 1) == bytes(range(256)) * 4096


def test_a_torn_record_hides_nothing_else(tmp_path: Path) -> None:
    """A master that is killed while it writes loses the end of that piece only."""
    spool = Spool(tmp_path, 10_000, at_once)
    spool.write(1, 0, 1, b"whole")
    spool.write(1, 0, 1, b"torn by a kill")
    (file,) = (tmp_path / "1").iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    again = Spool(tmp_path, 10_000, at_once)
    again.begin_with([1])
    again.write(1, 0, 1, b" and after")
    assert text(read(again, 1), 1) == b"whole and after"


def test_too_much_is_dropped_and_said(tmp_path: Path) -> None:
    """Every reader is told, also one of another task; other jobs are not concerned."""
    spool = Spool(tmp_path, 100, at_once)
    spool.write(1, 0, 1, b"x" * 60)
    spool.write(1, 1, 1, b"y" * 60)
    spool.write(1, 1, 1, b"z")
    spool.write(2, 0, 1, b"other")
    assert text(read(spool, 1), 1) == b"x" * 60
    for seq in (-1, 0, 1, 5):
        assert b"`job output limit`" in text(read(spool, 1, seq), 2)
    assert spool.kept(1)[1] == 61
    assert read(spool, 2) == [(0, 1, b"other")]
    again = Spool(tmp_path, 100, at_once)
    again.begin_with([1, 2])
    again.write(1, 0, 1, b"still too much" * 10)
    assert text(read(again, 1), 1) == b"x" * 60


def test_forgotten_jobs_leave_nothing(tmp_path: Path) -> None:
    """Neither when they are forgotten, nor after a master that died before it could remove them."""
    spool = Spool(tmp_path, 100, at_once)
    for job in (1, 2, 3):
        spool.write(job, 0, 1, b"x")
    spool.drop(1)
    assert read(spool, 1) == []
    Spool(tmp_path, 100, at_once).begin_with([3])
    assert [folder.name for folder in tmp_path.iterdir()] == ["3"]


def test_a_slow_disk_holds_nobody_up(tmp_path: Path) -> None:
    """What comes while something is written is gathered, and all of it is there in the end."""
    waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def later(function: Callable[[], Any]) -> Deferred[Any]:
        waiting.append((function, Deferred()))
        return waiting[-1][1]

    spool = Spool(tmp_path, 10_000, later)
    for number in range(5):
        spool.write(1, number, 1, b"%d" % number)
    found: list[Pieces] = []
    spool.read(1, -1, 0, (0, 0)).addCallback(found.append)
    steps = 0
    while waiting:
        function, done = waiting.pop(0)
        done.callback(function())
        steps += 1
    assert [data for _, _, data in found[0].pieces] == [b"0", b"1", b"2", b"3", b"4"]
    assert steps == 3  # the first, all that came meanwhile, the reading


def test_a_full_disk_is_survived(tmp_path: Path) -> None:
    """Nothing is raised, and what can be written later is."""
    full = True

    def thread(function: Callable[[], Any]) -> Deferred[Any]:
        def run() -> Any:
            if full:
                raise OSError(28, "No space left on device")
            return function()

        return maybeDeferred(run)

    spool = Spool(tmp_path, 10_000, thread)
    spool.write(1, 0, 1, b"lost")
    full = False
    spool.write(1, 0, 1, b"kept")
    assert text(read(spool, 1), 1) == b"kept"


def test_what_steps_write_is_kept(tmp_path: Path) -> None:
    """They write as task -1, which nobody may mistake for the spool's own remark."""
    spool = Spool(tmp_path, 10_000, at_once)
    spool.write(1, -1, 2, b"warned")
    spool.write(1, 0, 1, b"out")
    assert (-1, 2, b"warned") in read(spool, 1)
    assert read(spool, 1, seq=0) == [(0, 1, b"out")]


def test_what_is_said_to_be_missing_counts_as_dropped(tmp_path: Path) -> None:
    """Whoever dropped it; and what comes later is kept nevertheless."""
    spool = Spool(tmp_path / "spool", 10_000, at_once)
    for data in (cut(1_234, 16), missed(66, "the master was away"), b"more"):
        spool.write(1, 0, 2, data)
    assert spool.kept(1)[1] == 1_300
    assert text(read(spool, 1), 2).endswith(b"more")
