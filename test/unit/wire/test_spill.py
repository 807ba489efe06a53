"""Large payloads in memory and beyond it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from asyncluster.errors import SpillError
from asyncluster.model.messages import Code, Message, Outcome, Result, Task, encode_batch
from asyncluster.wire.inbox import Inbox, Spoiled
from asyncluster.wire.outbox import Outbox
from asyncluster.wire.spill import SEGMENT_BYTES, Spill

MIB = 1024 * 1024


def full_disk(*_what: object, **_how: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def carry(message: Message, inbox: Inbox) -> Message | Spoiled | None:
    """One message with a large payload, through a wire."""
    outbox = Outbox()
    outbox.put([message])
    found: Message | Spoiled | None = None
    while (chunk := outbox.take_chunk()) is not None:
        if chunk.head:
            inbox.begin(chunk.stream, chunk.size, chunk.head)
        found = inbox.chunk(chunk.stream, bytes(chunk.data))
    return found


def test_memory_is_used_up_to_its_bound_and_free_again_with_the_last_view(tmp_path: Path) -> None:
    """Beyond the bound nothing is counted; a slice keeps its payload as the whole does."""
    spill = Spill(3 * MIB, tmp_path / "payloads")
    first, second = spill.keep(b"a" * MIB), spill.keep(b"b" * 2 * MIB)
    assert spill.held == 3 * MIB
    assert not (tmp_path / "payloads").exists()
    third = spill.keep(b"c" * MIB)
    assert spill.held == 3 * MIB
    assert (first, second, third) == (b"a" * MIB, b"b" * 2 * MIB, b"c" * MIB)
    part = second[10:20]
    del first, second
    assert spill.held == 2 * MIB
    assert part == b"b" * 10
    del part
    assert spill.held == 0


def test_an_announced_size_takes_no_memory(tmp_path: Path) -> None:
    """It is counted, so that the bound holds once the bytes come; whoever lied for nothing gives it back."""
    spill = Spill(10 * MIB, tmp_path)
    liar = spill.room(9 * MIB)
    assert spill.held == 9 * MIB
    assert len(liar.done()) == 0
    del liar
    assert spill.held == 0


def test_files_have_no_names_and_small_payloads_share_them(tmp_path: Path) -> None:
    """A segment ends with the last payload in it; what is larger than a quarter of one has a file of its own."""
    before = len(os.listdir("/proc/self/fd"))
    spill = Spill(0, tmp_path)
    kept = [spill.keep(bytes([number]) * (100_000 + number)) for number in range(100)]
    large = spill.keep(b"L" * (SEGMENT_BYTES // 4 + 1))
    assert [bytes(view[:1]) * len(view) for view in kept] == [bytes(view) for view in kept]
    assert list(map(len, kept)) == [100_000 + number for number in range(100)]
    assert large[-1:] == b"L"
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) - before <= 4
    del kept, large, spill
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_full_disk_names_folder_setting_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be made or written is an error, and what is kept already stays."""
    spill = Spill(0, tmp_path, "[server] payload folder")
    kept = spill.keep(b"x" * MIB)
    monkeypatch.setattr(os, "pwrite", full_disk)
    room = spill.room(MIB)
    with pytest.raises(SpillError, match=r"1,048,576 bytes .*No space left.*\[server\] payload folder"):
        room.put(b"y" * 100)
    assert len(room.done()) == 0
    assert kept == b"x" * MIB
    (tmp_path / "file").touch()
    with pytest.raises(SpillError, match="Not a directory"):
        Spill(0, tmp_path / "file" / "below").room(MIB)


def test_a_stream_comes_as_a_view_of_the_file(tmp_path: Path) -> None:
    """What came is equal to what was sent; what was promised but never ended is given back."""
    spill = Spill(MIB, tmp_path)
    sent = Task(1, 2, 3, 4, os.urandom(3 * MIB))
    came = carry(sent, Inbox(spill.room))
    assert came == sent
    assert spill.held == 0
    inbox = Inbox(spill.room)
    inbox.begin(0, MIB, encode_batch([Task(1, 1, 1, 1, b"")]))
    assert spill.held == MIB
    del inbox
    assert spill.held == 0


@pytest.mark.parametrize("when", ["made", "written"])
def test_a_task_without_room_is_spoiled_and_code_is_not(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task or result comes without payload and with the reason; what all tasks need is taken into memory."""
    spill = Spill(0, tmp_path)
    inbox = Inbox(spill.room)
    monkeypatch.setattr("tempfile.TemporaryFile" if when == "made" else "os.pwrite", full_disk)
    spoiled = carry(Task(1, 2, 3, 4, b"x" * MIB), inbox)
    assert isinstance(spoiled, Spoiled)
    assert spoiled.message == Task(1, 2, 3, 4, b"")
    assert "No space left" in spoiled.why
    code = Code(1, 2, 0, os.urandom(MIB))
    assert carry(code, inbox) == code


def test_texts_are_bytes_and_cut() -> None:
    """All the program may decode them; only pickles are carried at any length."""
    came = carry(Result(1, 2, 3, Outcome.REFUSED, b"x" * 3 * MIB), Inbox())
    assert isinstance(came, Result)
    assert came.payload == b"x" * MIB
    assert type(came.payload) is bytes
