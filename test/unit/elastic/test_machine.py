"""Which step a node takes next."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from asyncluster.elastic.actions import Do
from asyncluster.elastic.machine import next_step
from asyncluster.elastic.options import Commands, Options
from asyncluster.elastic.records import Life, NodeRecord

RECORD = NodeRecord("p-1", "p", "t", Life.ACTIVE, 0.0, 0.0, instance="i")
HOOKS = Commands(post_vm_provision=("/bin/up",), post_remove_node=("/bin/gone",))


@pytest.mark.parametrize(
    ("changes", "silent", "life", "do"),
    [
        ({}, False, Life.ACTIVE, Do.POST_PROVISION),
        ({}, True, Life.ACTIVE, Do.POST_PROVISION),  # of which its scheduler need not know
        ({"life": Life.PROVISIONED}, False, Life.PROVISIONED, Do.ADD),
        ({"life": Life.PROVISIONED}, True, Life.PROVISIONED, None),
        ({"life": Life.PROVISIONED, "retry_at": 11.0}, False, Life.PROVISIONED, None),
        ({"life": Life.ENABLED}, False, Life.UP, None),  # past the command that the site has not
        ({"life": Life.DESTROYING}, True, Life.DESTROYING, Do.DESTROY),
        ({"life": Life.DESTROYING, "instance": ""}, False, Life.DESTROYING, None),  # nobody knows what there is to end
    ],
)
def test_the_next_step(changes: dict[str, Any], silent: bool, life: Life, do: Do | None) -> None:
    """It is begun unless it is too early, or cannot be asked for."""
    after, action = next_step(attrs.evolve(RECORD, **changes), Options(commands=HOOKS), 10.0, silent)
    assert after is not None
    assert (after.life, after.doing) == (life, do.name if do else "")
    assert (action and action.do) is do


def test_one_that_is_over() -> None:
    """Has no step, and no record, unless the site has a command for that."""
    gone = attrs.evolve(RECORD, life=Life.GONE)
    assert next_step(gone, Options(), 10.0, False) == (None, None)
    told = Options(commands=Commands(post_vm_destroy=("/bin/over",)))
    after, action = next_step(gone, told, 10.0, False)
    assert after is not None
    assert action is not None
    assert action.do is Do.POST_DESTROY
