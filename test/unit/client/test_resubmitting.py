"""What a map does with chunks that were refused since too many are queued."""

from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from asyncluster.client.resubmitting import FIRST, Resubmission, is_too_many
from asyncluster.errors import RefusedError, TaskError


def test_only_a_full_queue_is_worth_another_try() -> None:
    """Not what no node can run, nor what failed."""
    assert is_too_many(RefusedError("ann has 5 queued", ("queued",)))
    assert not is_too_many(RefusedError("needs 99 cores", ("cores",)))
    assert not is_too_many(TaskError("no"))


def test_somebody_asks_while_something_waits() -> None:
    """Once for all that is refused meanwhile."""
    box: Resubmission[int] = Resubmission()
    assert [box.refused(number) for number in range(3)] == [True, False, False]
    assert box.take() == ([0, 1, 2], False)
    assert box.refused(0)
    box.clear()
    assert box.take() == ([], False)
    assert box.refused(1)


def test_a_full_queue_is_asked_for_less_and_less() -> None:
    """And for more as it empties."""
    box: Resubmission[int] = Resubmission()
    for number in range(1000):
        box.refused(number)
    sizes = []
    for full in (True, True, True, True, True, False, False, False):
        taken, more = box.take()
        assert more
        sizes.append(len(taken))
        if full:
            for number in taken:
                assert not box.refused(number)
    assert sizes == [FIRST, 4, 2, 1, 1, 1, 2, 4]


@settings(deadline=None)
@given(chunks=st.integers(1, 300), limit=st.integers(1, 20), done=st.lists(st.integers(0, 20), max_size=40))
def test_nothing_is_lost_and_all_is_taken_in_the_end(chunks: int, limit: int, done: list[int]) -> None:
    """Whatever pace the queue empties at: each chunk is taken once, as long as somebody asks when told so."""
    box: Resubmission[int] = Resubmission()
    queue: deque[int] = deque()
    taken: list[int] = []
    asking = False

    def submit(numbers: list[int]) -> None:
        nonlocal asking
        for number in numbers:
            if len(queue) < limit:
                queue.append(number)
                taken.append(number)
            else:
                asking = box.refused(number) or asking

    submit(list(range(chunks)))
    for number in [*done, *[1] * (chunks * 2)]:
        for _ in range(min(number, len(queue))):
            queue.popleft()
        if asking:
            some, asking = box.take()
            submit(some)
    assert sorted(taken) == list(range(chunks))
