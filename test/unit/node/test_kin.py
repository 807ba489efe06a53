"""What a process started is found though its threads come and go."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from asyncluster.node import kin


def test_a_thread_that_ends_takes_no_others_children_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder was listed, and is gone when it is read."""
    for thread, text in (("7", "8 9 "), ("71", None), ("72", "10 ")):
        folder = tmp_path / "7" / "task" / thread
        folder.mkdir(parents=True)
        if text is not None:
            (folder / "children").write_text(text)
    monkeypatch.setattr(kin, "PROC", tmp_path)
    assert sorted(kin.children(7)) == [8, 9, 10]
    assert kin.children(6) == []


def test_a_kernel_that_tells_no_children_is_asked_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process says who its parent is, and one may be called as it likes; of one that is not there nobody asks."""
    (tmp_path / "7" / "task" / "7").mkdir(parents=True)
    for pid, text in ((7, b"7 (a) S 1 7"), (8, b"8 (b) R 9 (\xff) S 7 7"), (9, b"9 (c) Z 7 7"), (70, b"70 (d) S 1 7")):
        (tmp_path / str(pid)).mkdir(exist_ok=True)
        (tmp_path / str(pid) / "stat").write_bytes(text)
    (tmp_path / "10").mkdir()  # it has gone meanwhile
    (tmp_path / "self").mkdir()
    monkeypatch.setattr(kin, "PROC", tmp_path)
    assert sorted(kin.children(7)) == [8, 9]
    assert kin.living(7) == [8]
    assert kin.children(6) == []
    assert [kin.has_ended(pid) for pid in (7, 8, 9, 10, 11)] == [False, False, True, True, True]


@pytest.mark.parametrize(("number", "sent"), [(signal.SIGCONT, [8]), (signal.SIGTERM, [])])
def test_who_was_missed_does_not_stay_stopped(
    number: signal.Signals, sent: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first look that finds nobody is not believed when all are to go on."""
    looks = iter([[], [8], []])
    found: list[int] = []
    monkeypatch.setattr(kin, "descendants", lambda _: next(looks))
    monkeypatch.setattr(kin, "signal_group", lambda *_: None)
    monkeypatch.setattr(kin, "signal_one", lambda pid, _: found.append(pid))
    monkeypatch.setattr("os.getpgid", lambda pid: pid)
    kin.signal_family(7, number)
    assert found == sent
