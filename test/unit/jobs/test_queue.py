"""Order, turns and priorities of the queue alone."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from asyncluster.jobs.queue import Line, Queue
from asyncluster.model.messages import Task


class Basket:
    """A taker: fits what it is told to, has as much room as it is told, keeps what it gets."""

    def __init__(self, space: int = 10**9, misfits: frozenset[int] = frozenset()) -> None:
        self.space = space
        self.misfits = misfits
        self.got: list[tuple[int, int]] = []

    def fits(self, line: Line) -> bool:
        return line.job not in self.misfits

    def room(self, line: Line, code: int) -> int:
        return self.space - len(self.got)

    def accept(self, line: Line, code: int, tasks: list[Task]) -> None:
        assert tasks
        assert {task.code for task in tasks} == {code}
        self.got += [(line.job, task.seq) for task in tasks]


def filled(*lines: Line, count: int = 100) -> Queue[Line]:
    """A queue in which each line has that many tasks."""
    queue: Queue[Line] = Queue()
    for line in lines:
        queue.add(line, {seq: Task(line.job, seq, 0, 0, b"") for seq in range(count)})
    return queue


def empty(queue: Queue[Line]) -> bool:
    """Whether nothing at all is remembered."""
    return queue.total == 0 and not queue._levels and not queue._order


def test_a_line_keeps_its_order_through_runs_of_codes() -> None:
    """Codes that alternate are handed out one run after the other."""
    line = Line(1, "ann", 0)
    queue: Queue[Line] = Queue()
    queue.add(line, {seq: Task(1, seq, 0, seq // 3 % 2, b"") for seq in range(20)})
    basket = Basket()
    assert queue.take(50, basket) == 20
    assert basket.got == [(1, seq) for seq in range(20)]
    assert empty(queue)
    assert not line.listed


def test_put_back_goes_in_front_in_order() -> None:
    """Also into a line that had become empty."""
    line = Line(1, "ann", 0)
    queue = filled(line, count=3)
    queue.take(2, Basket())
    queue.put_back(line, [Task(1, 0, 1, 0, b""), Task(1, 1, 1, 0, b"")])
    basket = Basket()
    queue.take(9, basket)
    assert basket.got == [(1, 0), (1, 1), (1, 2)]
    queue.put_back(line, [Task(1, 2, 1, 0, b"")])
    assert queue.total == 1


def test_who_does_not_fit_is_passed_over_and_comes_first_for_another() -> None:
    """A misfit ends nothing and loses nothing."""
    queue = filled(Line(1, "ann", 0), Line(2, "bob", 0), count=3)
    basket = Basket(misfits=frozenset({1}))
    assert queue.take(10, basket) == 3
    assert {job for job, _ in basket.got} == {2}
    assert queue.take(10, basket) == 0
    assert queue.take(10, Basket()) == 3


def test_lower_priority_is_served_when_the_higher_does_not_fit() -> None:
    """Priorities order what fits; they do not block a node."""
    queue = filled(Line(1, "ann", 5), Line(2, "bob", -2), count=3)
    basket = Basket(misfits=frozenset({1}))
    assert queue.take(2, basket) == 2
    assert queue.top() == 5


def test_a_full_taker_does_not_cost_the_turn() -> None:
    """Whoever's turn it is when the room ends comes first next time; nobody of lower priority slips in."""
    queue = filled(Line(1, "ann", 0), Line(2, "bob", 0), Line(3, "cat", -1))
    assert queue.take(10, Basket(space=0)) == 0
    first = Basket(space=1)
    queue.take(10, first)
    second = Basket(space=1)
    queue.take(10, second)
    assert first.got + second.got == [(1, 0), (2, 0)]


def test_clear_and_tidy_leave_nothing() -> None:
    """Removing the last task by number, or all at once, takes the line out of the turns."""
    one, two = Line(1, "ann", 0), Line(2, "ann", 0)
    queue = filled(one, two, count=2)
    for seq in (0, 1):
        assert queue.remove(one, seq) is not None
    assert queue.remove(one, 1) is None
    queue.tidy(one)
    queue.tidy(one)
    queue.clear(two)
    assert empty(queue)


@given(
    owners=st.integers(1, 5),
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=20),
    jobs=st.integers(1, 3),
)
def test_no_owner_gets_more_than_one_ahead_of_another(owners: int, counts: list[int], jobs: int) -> None:
    """However much is taken at a time, and however many jobs the first owner has."""
    lines = [Line(number, "o0" if number < jobs else f"o{number - jobs + 1}", 0) for number in range(jobs + owners - 1)]
    queue = filled(*lines, count=1000)
    shares = Counter({line.owner: 0 for line in lines})
    by_job = Counter(dict.fromkeys(range(jobs), 0))
    for count in counts:
        basket = Basket()
        assert queue.take(count, basket) == count
        for job, _ in basket.got:
            shares[lines[job].owner] += 1
            if job < jobs:
                by_job[job] += 1
        assert max(shares.values()) - min(shares.values()) <= 1
        assert max(by_job.values()) - min(by_job.values()) <= len(counts)
