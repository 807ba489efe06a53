"""The outbox: batches, streams, lanes; together with the inbox that undoes it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncluster.errors import WireError
from asyncluster.model.messages import Beat, Cancel, Message, Result, Task, decode_batch, encode_batch
from asyncluster.wire.inbox import Inbox
from asyncluster.wire.outbox import BATCH_BYTES, CANCEL_SEQS, CHUNK_BYTES, FEW_BYTES, FEW_MESSAGES, INLINE_BYTES, Outbox


def drain(outbox: Outbox) -> list[Message]:
    """All that comes out at the other end, in order, as the link does it."""
    inbox = Inbox()
    received: list[Message] = []
    while outbox:
        batch = outbox.take_batch()
        if batch is not None:
            assert len(batch) < 640 * 1024
            received += decode_batch(batch)
            continue
        chunk = outbox.take_chunk()
        assert chunk is not None
        assert len(chunk.data) <= CHUNK_BYTES
        if chunk.head:
            inbox.begin(chunk.stream, chunk.size, chunk.head)
        message = inbox.chunk(chunk.stream, bytes(chunk.data))
        if message is not None:
            received.append(message)
    return received


def task(job: int, seq: int, size: int = 3) -> Task:
    return Task(job, seq, 1, 0, bytes([seq % 251]) * size)


def test_small_messages_go_in_one_batch() -> None:
    """Whatever waits goes out together."""
    outbox = Outbox()
    outbox.put([task(1, 1), task(1, 2)])
    outbox.put([Beat(1)])
    batch = outbox.take_batch()
    assert batch is not None
    assert decode_batch(batch) == [task(1, 1), task(1, 2), Beat(1)]
    assert not outbox


def test_a_large_payload_blocks_its_own_lane_only() -> None:
    """Messages behind a large one of the same job wait for it; another job's go ahead."""
    outbox = Outbox()
    outbox.put([task(1, 1, 3 * CHUNK_BYTES), task(1, 2)])
    outbox.put([task(2, 1)])
    assert drain(outbox) == [task(2, 1), task(1, 1, 3 * CHUNK_BYTES), task(1, 2)]


def test_streams_take_turns() -> None:
    """Two large payloads of two jobs are interleaved chunk by chunk."""
    outbox = Outbox()
    outbox.put([task(1, 1, 2 * CHUNK_BYTES)])
    outbox.put([task(2, 1, 2 * CHUNK_BYTES)])
    streams = []
    while (chunk := outbox.take_chunk()) is not None:
        streams.append(chunk.stream)
    assert streams == [0, 1, 0, 1]


def test_batches_stay_below_the_limit_of_pb() -> None:
    """A thousand payloads just below streaming size make many batches, each within bounds."""
    outbox = Outbox()
    messages = [task(1, seq, INLINE_BYTES) for seq in range(50)]
    outbox.put(messages)
    batch = outbox.take_batch()
    assert batch is not None
    assert len(batch) <= BATCH_BYTES + INLINE_BYTES + 1024


def test_a_long_cancel_is_cut() -> None:
    """Cancelling 25,000 tasks takes several messages, each of which fits."""
    outbox = Outbox()
    outbox.put([Cancel(1, list(range(25_000)))])
    cancels = [message for message in drain(outbox) if isinstance(message, Cancel)]
    assert [len(cancel.seqs) for cancel in cancels] == [CANCEL_SEQS, CANCEL_SEQS, 5_000]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, 10, INLINE_BYTES, INLINE_BYTES + 1, 600_000]))))
def test_order_holds_within_a_lane(plan: list[tuple[int, int]]) -> None:
    """Whatever the sizes, each lane arrives complete and in order."""
    outbox = Outbox()
    sent: dict[int, list[Message]] = {}
    for seq, (lane, size) in enumerate(plan):
        message = task(lane, seq, size)
        sent.setdefault(lane, []).append(message)
        outbox.put([message])
    received: dict[int, list[Message]] = {}
    for message in drain(outbox):
        assert isinstance(message, Task)
        received.setdefault(message.job, []).append(message)
    assert received == sent


@pytest.mark.parametrize("size", [0, INLINE_BYTES, 3 * 1024**3])
def test_a_dishonest_announcement(size: int) -> None:
    """A stream that is too small to be one, or too large, is refused before a byte is kept."""
    with pytest.raises(WireError):
        Inbox().begin(0, size, encode_batch([task(1, 1, 0)]))


def test_a_stream_that_brings_too_much() -> None:
    """More bytes than announced end the link."""
    inbox = Inbox()
    inbox.begin(0, INLINE_BYTES + 1, encode_batch([Result(1, 1, 1, 0, b"")]))
    with pytest.raises(WireError):
        inbox.chunk(0, b"x" * (INLINE_BYTES + 2))


def test_a_chunk_of_nothing() -> None:
    """A chunk without a stream is refused."""
    with pytest.raises(WireError):
        Inbox().chunk(7, b"x")


def test_a_few_small_messages_pass_by() -> None:
    """Encoded at once, where nothing waits and none is large."""
    outbox = Outbox()
    batch = outbox.pass_by([task(1, 1), Beat(1)])
    assert batch is not None
    assert decode_batch(batch) == [task(1, 1), Beat(1)]
    assert outbox.pass_by([task(1, 1, FEW_BYTES + 1)]) is None
    assert outbox.pass_by([Cancel(1, [1])]) is None
    assert outbox.pass_by([task(1, seq) for seq in range(FEW_MESSAGES + 1)]) is None


@pytest.mark.parametrize("size", [3, 3 * CHUNK_BYTES])
def test_nothing_passes_what_waits(size: int) -> None:
    """Neither a small message nor one that is being streamed."""
    outbox = Outbox()
    outbox.put([task(1, 1, size)])
    assert outbox.pass_by([task(1, 2)]) is None
