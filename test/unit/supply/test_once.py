"""One order, one instance: and where there are two all the same, which one is to stay."""

from __future__ import annotations

from asyncluster.model.supply import Instance, InstanceState
from asyncluster.supply.once import eldest_first


def test_the_eldest_is_first_and_what_came_to_nothing_last() -> None:
    """And of those of one second always the same."""
    living, failed = InstanceState.ACTIVE, InstanceState.ERROR
    made = (("e", 0.0, failed), ("c", 2.0, living), ("b", 1.0, InstanceState.STARTING), ("a", 2.0, living))
    found = [Instance(id_, "x", state, born=born) for id_, born, state in made]
    assert [one.id for one in eldest_first(found)] == ["b", "a", "c", "e"]
