"""Sizes of chunks."""

from __future__ import annotations

import heapq

from hypothesis import given
from hypothesis import strategies as st

from asyncluster.client.plan import LARGEST, ChunkPlan


def simulate(total: int, slots: int, seconds: list[float], chunksize: int | None = None) -> tuple[list[int], float]:
    """Sizes in the order of their making, and when the last worker ended; the times repeat."""
    plan = ChunkPlan(total, slots, chunksize)
    sizes: list[int] = []
    place = 0
    waiting: list[tuple[int, float]] = []
    workers = [0.0] * slots
    running: list[tuple[float, int, float]] = []
    now = 0.0
    while True:
        while size := plan.size():
            plan.took(size)
            sizes.append(size)
            waiting.append((size, sum(seconds[(place + i) % len(seconds)] for i in range(size))))
            place += size
        while waiting and min(workers) <= now:
            size, wall = waiting.pop(0)
            worker = workers.index(min(workers))
            workers[worker] = now + wall
            heapq.heappush(running, (now + wall, size, wall))
        if not running:
            return sizes, now
        now, size, wall = heapq.heappop(running)
        plan.done(size, wall)


@given(
    st.integers(0, 3000),
    st.integers(1, 20),
    st.lists(st.floats(1e-7, 2.0), min_size=1, max_size=5),
    st.sampled_from([None, 1, 7, 5000]),
)
def test_every_item_is_taken_once(total: int, slots: int, seconds: list[float], chunksize: int | None) -> None:
    """The chunks add up to the input, none is empty, and the plan never stalls."""
    sizes, _ = simulate(total, slots, seconds, chunksize)
    assert sum(sizes) == total
    assert all(0 < size <= max(LARGEST, chunksize or 0) for size in sizes)


def test_trivial_items_travel_by_the_thousand() -> None:
    """A hundred thousand calls of half a microsecond make few chunks."""
    sizes, _ = simulate(100_000, 2, [5e-7])
    assert len(sizes) < 120
    assert max(sizes) == LARGEST


def test_long_items_travel_one_by_one() -> None:
    """200 tasks of 20 ms are balanced as by chunks of one."""
    sizes, end = simulate(200, 2, [0.02])
    assert set(sizes) == {1}
    assert abs(end - 2.0) < 1e-6


def test_few_items_all_go_at_once() -> None:
    """Nothing is learned from them in time."""
    plan = ChunkPlan(20, 2)
    for _ in range(20):
        assert plan.size() == 1
        plan.took(1)
    assert plan.exhausted


def test_workers_finish_together() -> None:
    """With items of 3 ms the end is within 5 % of ideal on 8 workers."""
    _, end = simulate(5000, 8, [0.001, 0.005])
    assert end < 5000 * 0.003 / 8 * 1.05


def test_probes_that_do_not_return_are_long() -> None:
    """After a while without any answer the whole input goes out, so that a cluster can see it and grow."""
    plan = ChunkPlan(500, 2)
    while size := plan.size():
        plan.took(size)
    assert plan.taken < 20
    plan.waited()
    while size := plan.size():
        plan.took(size)
    assert plan.exhausted


def test_a_buffer_limits_what_is_under_way() -> None:
    """Inputs pulled lazily are not run ahead of."""
    plan = ChunkPlan(None, 4, None, buffer=3)
    for _ in range(3):
        plan.took(plan.size())
    assert plan.size() == 0
    plan.done(1, 1e-6)
    assert plan.size() == 1
