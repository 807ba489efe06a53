"""Frames, words, meters, pickles, facts."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.errors import NotPicklableError, SpillError, TaskError, TaskExitError
from asyncluster.model.bulk import Buffer, Room, decode_views
from asyncluster.model.messages import Message, Output, Task
from asyncluster.model.positions import position
from asyncluster.node.becoming import owners_environment
from asyncluster.node.facts import cores, gather, quota
from asyncluster.node.frames import Lost, Unframer, frame, frames
from asyncluster.node.gpus import found
from asyncluster.node.kin import descendants
from asyncluster.node.metering import Meter
from asyncluster.node.pickles import LONGEST_TEXT, dump_exception, dump_result, trace
from asyncluster.node.weighing import weigh
from asyncluster.node.words import mark_step, step_of
from asyncluster.node.zygote import ForkOrder


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(1, 30)))
def test_frames(batches: list[bytes], cuts: list[int]) -> None:
    """However the bytes are cut, the batches come out whole and in order."""
    stream, unframer, out = b"".join(frame(batch) for batch in batches), Unframer(), []
    for cut in [*cuts, len(stream) or 1]:
        piece, stream = stream[:cut], stream[cut:]
        if piece:
            out += [bytes(batch) for batch in unframer.feed(piece)]
    assert out == batches


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 2))
def test_step_word(job: int, step: int) -> None:
    """A step goes through one word; none is zero."""
    assert step_of(mark_step(job, step)) == (job, step)
    assert step_of(0) is None


def test_meter() -> None:
    """A task's output is cut in pieces and at the limit, which is told once; the next task's is not affected."""
    meter = Meter("a/1", 100)
    assert meter.take(1, 7, 1, b"x" * 60) == [Output(1, 7, 1, "a/1", b"x" * 60, position(1, 0))]
    assert meter.take(1, 7, 2, b"y" * 60) == [Output(1, 7, 2, "a/1", b"y" * 40, position(1, 0))]
    assert meter.tail == "y" * 60
    note, fresh = meter.take(1, 8, 1, b"z")
    assert isinstance(note, Output)
    assert b"20 more bytes" in note.payload
    assert fresh == Output(1, 8, 1, "a/1", b"z", position(2, 0))
    assert meter.take(1, 8, 1, b"zz") == [Output(1, 8, 1, "a/1", b"zz", position(2, 1))]
    assert meter.end() == []
    pieces = Meter("a/1", 1 << 20).take(1, 9, 1, b"x" * 150_000)
    assert [len(piece.payload) for piece in pieces if isinstance(piece, Output)] == [65536, 65536, 18928]
    assert [piece.at for piece in pieces if isinstance(piece, Output)] == [position(1, n * 65536) for n in range(3)]


def test_result_that_cannot_be_pickled() -> None:
    """The error names type, call and reason."""
    with pytest.raises(NotPicklableError, match=r"result of f\(\), an object of type _thread\.lock.*cannot pickle"):
        dump_result(threading.Lock(), "f()")


def test_an_open_file_is_no_result(tmp_path: Path) -> None:
    """It would arrive as a copy of its text; the streams that everybody has travel by name."""
    (tmp_path / "notes.txt").write_text("text")
    with (
        (tmp_path / "notes.txt").open() as file,
        pytest.raises(
            NotPicklableError, match=r"result of f\(\), .*builtins\.list.* holds the open file '.*notes\.txt'"
        ),
    ):
        dump_result([1, file], "f()")
    out = sys.stdout = io.TextIOWrapper(io.BytesIO())
    try:
        assert pickle.loads(dump_result(lambda: out, "f()"))() is out
    finally:
        sys.stdout = sys.__stdout__


def test_exit_becomes_an_exception() -> None:
    """SystemExit keeps its code, also one that is no number."""
    error, _ = pickle.loads(dump_exception(SystemExit("no licence"), "f()"))
    assert isinstance(error, TaskExitError)
    assert (error.code, str(error)) == ("no licence", "f() called sys.exit with 'no licence'")
    error, _ = pickle.loads(dump_exception(SystemExit(), "f()"))
    assert (error.code, str(error)) == (None, "f() called sys.exit")
    error, _ = pickle.loads(dump_exception(KeyboardInterrupt(), "f()"))
    assert (error.code, str(error)) == (130, "f() raised KeyboardInterrupt")


class TwoArguments(Exception):
    """What many people write; pickle makes it anew with one argument."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} {b}")


def test_exception_that_cannot_be_made_anew() -> None:
    """The text says what is wrong with the class and what mends it; with a lock in it that is something else."""
    error, _ = pickle.loads(dump_exception(TwoArguments(1, 2), "f()"))
    assert type(error) is TaskError
    assert "TwoArguments: 1 2 (raised by f(); the exception itself cannot be made anew" in str(error)
    assert "__reduce__, or call super().__init__ with all arguments" in str(error)
    error, _ = pickle.loads(dump_exception(ValueError(threading.Lock()), "f()"))
    assert type(error) is TaskError
    assert "cannot be pickled: TypeError" in str(error)
    assert "__reduce__" not in str(error)
    assert "plain data" in str(error)


def test_hostile_exceptions() -> None:
    """A huge text is cut, one that cannot be shown does no harm, endless recursion neither."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise SystemExit

    assert len(trace(ValueError("x" * 10_000_000))) < LONGEST_TEXT + 100
    error, text = pickle.loads(dump_exception(Mute(), "f()"))
    assert "Mute" in repr(error) + text

    def endless() -> None:
        endless()

    with pytest.raises(RecursionError) as caught:
        endless()
    assert len(trace(caught.value)) < LONGEST_TEXT


def test_quota(tmp_path: Path) -> None:
    """A limit of a control group above ours counts; none is no limit."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    own = tmp_path / "own"
    own.write_text("0::/a/b\n")
    assert quota(tmp_path, own) == float("inf")
    (tmp_path / "a" / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "a" / "b" / "cpu.max").write_text("max 100000\n")
    assert quota(tmp_path, own) == 1.5
    old = tmp_path / "cpu" / "a"
    old.mkdir(parents=True)
    (old / "cpu.cfs_quota_us").write_text("50000\n")
    (old / "cpu.cfs_period_us").write_text("100000\n")
    own.write_text("3:cpu:/a\n")
    assert quota(tmp_path, own) == 0.5


def test_facts() -> None:
    """No slots configured means all cores that we may use."""
    assert gather("a", 0, "*", "x").slots == cores() >= 1
    assert gather("a", 7, "*", "x").slots == 7
    facts = gather("a", 7, "*", "x", gpus=2, features=("avx512",))
    assert (facts.gpus, facts.features) == (2, ("avx512",))


def test_gpus_that_are_here(tmp_path: Path) -> None:
    """As many as /dev has; where a batch system gave some, those, up to one that makes no sense."""
    assert found(folder=tmp_path / "absent") == ()
    for name in ("nvidia0", "nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "nvidia", "null"):
        (tmp_path / name).touch()
    assert found(folder=tmp_path) == ("0", "2", "10")
    for visible, ids in (
        ("", ()),
        ("3, 1", ("3", "1")),
        ("GPU-ab,2", ("GPU-ab", "2")),
        ("0,-1,1", ("0",)),
        ("NoDevFiles", ()),
    ):
        assert found(visible, tmp_path) == ids


def test_weighing() -> None:
    """A process and its descendants; what they share counts once where that matters; who is gone weighs nothing."""
    assert weigh(os.getpid(), 1 << 60) > 1 << 20
    script = "import os, sys; held = b'x' * (64 << 20); os.fork() or os.fork(); os.write(1, b'ready\\n'); os.read(0, 1)"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(3):
            assert process.stdout.readline() == b"ready\n"
        assert len(descendants(process.pid)) == 2
        assert process.pid in descendants(os.getpid())
        assert weigh(process.pid, 1 << 60) > 3 * (64 << 20)
        assert 64 << 20 < weigh(process.pid, 1) < 2 * (64 << 20)
    assert weigh(process.pid, 1) == 0


def test_a_result_over_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused with its size and the limit, before anything is sent."""
    monkeypatch.setattr("asyncluster.node.pickles.MAX_PAYLOAD", 100)
    with pytest.raises(NotPicklableError, match=r"work\(\) takes .* the limit is 100"):
        dump_result(b"x" * 200, "work()")


def test_an_exception_over_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small one goes in its place, and says why."""
    monkeypatch.setattr("asyncluster.node.pickles.MAX_PAYLOAD", 1000)
    error, _ = pickle.loads(dump_exception(ValueError("x" * 5000), "work()"))
    assert type(error) is TaskError
    assert "the limit is 1,000" in str(error)


def test_owners_environment() -> None:
    """Nothing that root's daemon was started with reaches a task, its passwords least of all."""
    order = ForkOrder(1, 1, "a", 0, True, 1000, 1000, (), "ann", "/home/ann", "/bin/sh", "")
    given = {"ASYNCLUSTER_PASSWORD": "secret", "LC_ALL": "C", "PATH": "/bin", "HOME": "/root"}
    assert owners_environment(given, order) == {
        "LC_ALL": "C",
        "PATH": "/bin",
        "HOME": "/home/ann",
        "USER": "ann",
        "LOGNAME": "ann",
        "SHELL": "/bin/sh",
    }


def test_frames_without_copies() -> None:
    """A large payload goes as it is; what is put together says the same."""
    large = b"x" * 2_000_000
    batch: list[Message] = [Task(1, 2, 3, 4, b"small"), Task(1, 3, 3, 4, large), Task(1, 4, 3, 4, b"")]
    pieces = frames(batch)
    assert any(piece is large for piece in pieces)
    stream, unframer, out = b"".join(pieces) + frame(b"next"), Unframer(), []
    for start in range(0, len(stream), 300_000):
        out += list(unframer.feed(stream[start : start + 300_000]))
    assert [type(each) for each in out] == [memoryview, bytes]
    assert decode_views(cast("memoryview", out[0])) == batch
    assert out[1] == b"next"
    assert unframer.lacking == 0


@pytest.mark.parametrize("when", ["begun", "filled"])
def test_a_frame_without_room_is_lost_and_the_next_is_not(when: str) -> None:
    """The reason comes in its place."""

    class Full:
        def put(self, data: Buffer) -> None:
            raise SpillError("full")

        def done(self) -> memoryview:
            raise AssertionError

    def room(size: int) -> Room:
        if when == "begun":
            raise SpillError("full")
        return Full()

    unframer, out = Unframer(room), []
    for piece in (frame(b"x" * 1_000_000)[:500_000], frame(b"x" * 1_000_000)[500_000:] + frame(b"next")):
        out += list(unframer.feed(piece))
    assert out == [Lost("full"), b"next"]


def test_no_frame_is_endless() -> None:
    """A length that no payload has is told at once, before memory is taken."""
    with pytest.raises(ValueError, match="a frame of"):
        list(Unframer().feed((1 << 60).to_bytes(8, "big") + b"x"))
