"""Messages with large payloads, without copies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asyncluster.model.bulk import LARGE, Parts, batch_in_parts, decode_views, in_parts
from asyncluster.model.messages import Code, Message, Outcome, Result, Step, Task, Value, encode_batch
from asyncluster.model.need import Need

sizes = st.sampled_from([0, 1, 300, LARGE, LARGE + 1, 2 * LARGE])
numbers = st.integers(0, 2**40)
messages = st.one_of(
    st.builds(lambda job, size: Task(job, 1, 2, 3, b"t" * size), numbers, sizes),
    st.builds(lambda wall, size: Result(1, 2, 3, 0, b"r" * size, wall), numbers, sizes),
    st.builds(lambda cores, size: Code(1, 2, 0, b"c" * size, Need(cores=cores + 1)), numbers, sizes),
    st.builds(lambda job, size: Step(job, 2, 1, b"s" * size), numbers, sizes),
    st.builds(lambda job, size: Value(job, 2, b"v" * size), numbers, sizes),
)


@given(st.lists(messages, max_size=20))
def test_parts_are_the_batch(batch: list[Message]) -> None:
    """What goes to a worker in pieces decodes to the same messages, with views and without."""
    parts = batch_in_parts(batch)
    whole = parts.cut(0, len(parts))
    assert decode_views(memoryview(whole)) == batch
    assert decode_views(encode_batch(batch)) == batch


@given(messages.filter(lambda message: len(message.payload) > LARGE))  # type: ignore[union-attr]  # all have one
def test_one_message_is_encoded_as_ever(message: Message) -> None:
    """To the byte, however it is cut: rows of the journal are the same as those of former releases."""
    parts = in_parts(message)
    cuts = [parts.cut(start, start + 1000) for start in range(0, len(parts), 1000)]
    assert b"".join(cuts) == encode_batch([message])
    assert any(part is message.payload for part in parts.parts)  # type: ignore[union-attr]  # not copied


@given(st.lists(st.binary(max_size=5)), st.integers(0, 20), st.integers(0, 20))
def test_a_cut_is_a_slice(pieces: list[bytes], start: int, length: int) -> None:
    """As of the bytes joined."""
    assert Parts(tuple(pieces)).cut(start, start + length) == b"".join(pieces)[start : start + length]


def test_a_large_payload_is_a_view_and_a_text_is_not() -> None:
    """Only pickles stay where they are."""
    data = memoryview(
        encode_batch([Task(1, 2, 3, 4, b"x" * 2 * LARGE), Result(1, 2, 3, Outcome.LOST, b"y" * 2 * LARGE)])
    )
    task, result = decode_views(data)
    assert isinstance(task, Task)
    assert isinstance(task.payload, memoryview)
    assert task.payload.obj is data.obj
    assert isinstance(result, Result)
    assert type(result.payload) is bytes
