"""What a process started is found though its threads come and go, and though nobody may adopt it."""

from __future__ import annotations

import ctypes
import errno
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

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


def test_a_system_that_lets_nobody_adopt_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks is told why, and is no different from before."""

    def prctl(*_: int) -> int:
        ctypes.set_errno(errno.EPERM)
        return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(prctl=prctl))
    with pytest.raises(PermissionError):
        kin.adopt()


@pytest.mark.real
def test_who_dies_with_whom() -> None:
    """A process whose parent has ended before it could say so is told; another one is killed with its parent."""
    orphan = "import os; from asyncluster.node import kin; print(kin.die_with(os.getppid()), kin.die_with(1 << 30))"
    done = subprocess.run([sys.executable, "-c", orphan], check=True, capture_output=True, text=True)
    assert done.stdout == "True False\n"
    parent = (
        "import os, time\nfrom asyncluster.node import kin\nus = os.getpid()\nif not os.fork():\n"
        "    kin.die_with(us)\n    print(os.getpid(), flush=True)\n    time.sleep(600)\ntime.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        child = int(started.stdout.readline())
        started.kill()
    deadline = time.monotonic() + 60
    while not kin.has_ended(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.real
def test_all_that_have_ended_are_buried() -> None:
    """How each did is told, once."""
    buries = (
        "import os; from asyncluster.node import kin\n"
        "pids = [os.fork() or os._exit(code) for code in (3, 4)]\n"
        "for pid in pids: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)\n"
        "found = kin.bury()\n"
        "print([os.waitstatus_to_exitcode(found[pid]) for pid in pids], len(found), kin.bury())"
    )
    done = subprocess.run([sys.executable, "-c", buries], check=True, capture_output=True, text=True)
    assert done.stdout == "[3, 4] 2 {}\n"


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
