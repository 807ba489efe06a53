"""Random schedules of the whole engine against a cloud that answers late, wrongly or never.

ASYNCLUSTER_SCHEDULES says how many; ten thousand take ten minutes of one core, which all of the engine shares evenly.
"""

from __future__ import annotations

import os

import pytest

from asyncluster.testing.elastic_schedule import Schedule, play_all

MANY = int(os.environ.get("ASYNCLUSTER_SCHEDULES", "400"))
PARTS = 4


@pytest.mark.timeout(36000)
@pytest.mark.parametrize("part", range(PARTS))
def test_schedules(part: int) -> None:
    """Nothing leaked after the lease, no busy node killed, never above max, all at least in the end."""
    play_all(range(part, MANY, PARTS))


def test_a_seed_plays_the_same_again() -> None:
    """Else one that fails could not be looked at."""
    worlds = []
    for _ in range(2):
        schedule = Schedule(5)
        schedule.live(40)
        worlds.append([(m.name, m.born, m.ended, m.spare) for m in schedule.world.machines.values()])
    assert worlds[0] == worlds[1]
