"""What a plan says: actions, each with its cause, and for everything that waits or stands one reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from asyncluster.elastic.records import NodeRecord, PoolRecord
from asyncluster.model.supply import Instance
from asyncluster.model.word import Word


class Do(Word):
    """What can be done to a node; all by `runner`."""

    LAUNCH = "launch"
    POST_PROVISION = "run post_vm_provision_command"
    ADD = "add to the scheduler"
    CHECK = "check its configuration"
    RESERVE = "reserve"
    ENABLE = "enable"
    POST_ADD = "run post_add_node_command"
    HOLD = "hold"
    UNHOLD = "unhold"
    VACATE = "vacate"
    REMOVE = "remove from the scheduler"
    POST_REMOVE = "run post_remove_node_command"
    DESTROY = "destroy"
    POST_DESTROY = "run post_vm_destroy_command"


@attrs.frozen
class Action:
    """One thing to be done to one node, and why.  rule: the word under which `reasons` files the cause."""

    do: Do
    node: str
    pool: str
    cause: str
    rule: str = ""


class Fault(Word):
    """How an action ended."""

    NONE = ""
    CAPACITY = "capacity"
    QUOTA = "quota"
    REFUSED = "refused"  # it was not done
    UNSURE = "unsure"  # no answer: it may have been done
    NOT_BEGUN = "not begun"  # nobody was asked: the book could not be written, the master stops, the pool is paused
    GIVEN_UP = "given up"  # the master stops: it may have been done, and that is nobody's failure
    NEVER = "never"  # trying again will not help


@attrs.frozen
class Outcome:
    """What became of an action.  text: what went wrong; instance: of a launch; missing: what has to come first."""

    fault: Fault = Fault.NONE
    text: str = ""
    instance: Instance | None = None
    missing: str = ""


@attrs.frozen
class Reason:
    """Why something is as it is.  rule: one word for programs; text: a sentence for people."""

    rule: str
    text: str


@attrs.frozen
class Reasons:
    """One for each waiting batch job (by id), each node ordered or found (by name), each pool, and the whole."""

    jobs: Mapping[str, Reason]
    nodes: Mapping[str, Reason]
    pools: Mapping[str, Reason]
    engine: Reason


@attrs.frozen
class Plan:
    """What to do now.

    nodes, pools: records as they become (None = dropped), to be kept *before* the actions are done; reports: what
    was seen and is nobody's to touch, sentences.
    """

    actions: tuple[Action, ...]
    nodes: Mapping[str, NodeRecord | None]
    pools: Mapping[str, PoolRecord]
    reasons: Reasons
    reports: tuple[str, ...] = ()


def action_to_plain(action: Action) -> dict[str, Any]:
    """Basic types only."""
    return {**attrs.asdict(action), "do": action.do.name}
