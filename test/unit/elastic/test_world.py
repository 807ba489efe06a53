"""Who ends himself and is there still: a master that is there ends it, and anybody can tell while there is none."""

from __future__ import annotations

from random import Random

from asyncluster.model.supply import Flavor, InstanceState, Order, Pool
from asyncluster.testing.elastic_schedule import OPTIONS, Schedule
from asyncluster.testing.elastic_world import WATCHED, Faults, World


def test_it_runs_nothing_and_is_listed_in_an_error() -> None:
    """As OpenStack's SHUTOFF; where it is gone with its end, as on EC2, nothing of it is left."""
    for stays in (True, False):
        world = World(Random(1), (Pool("p", "fake", Flavor(1)),), Faults())
        world.tagged, world.stays_off = 100.0, stays
        made = world.launch(Order("p-1", "t", "p", 100.0))
        world.pass_to(100.0 + WATCHED)
        assert len(world.living("p")) == 1
        world.pass_to(101.0 + WATCHED)
        assert world.living("p") == []
        listed = [each.state for each in world.list("p").instances]
        assert listed == ([InstanceState.ERROR] if stays else [])
        world.destroy(made)
        world.pass_to(200.0 + WATCHED)
        assert world.remaining("p") == []


def test_the_next_master_ends_what_has_ended_itself_and_others_can_tell() -> None:
    """By its tag, from another realm; and its own master has it replaced."""
    schedule = Schedule(1)
    schedule.calm, schedule.world.faults, schedule.random = True, Faults(), Random(1)
    schedule.world.tagged, schedule.world.stays_off, schedule.world.skew = OPTIONS.lease, True, 0.0
    schedule.engine.launch("p", 1, "ann")
    schedule.pass_time(200.0)
    (machine,) = schedule.world.living("p")
    schedule.life.dead = True
    schedule.world.pass_to(schedule.events.seconds() + OPTIONS.lease + 2 * WATCHED)
    assert (machine.off, schedule.world.living("p")) == (True, [])
    assert schedule._orphans(0.0) == {machine.id}
    schedule.events.advance(schedule.world.now - schedule.events.seconds())
    schedule.begin()
    schedule.pass_time(600.0)
    assert machine.ended is not None
