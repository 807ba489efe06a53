"""Waits until a cluster has what was asked for, and says why it has it not; knows only how to ask."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click

from asyncluster.errors import AsynClusterError
from asyncluster.model.job import JobView
from asyncluster.model.node import NodeView
from asyncluster.units import silence

SECONDS = 30.0

PATIENCE = 2.0
"""Seconds that somebody who looks is told nothing."""

CLOUD_SECONDS = 10.0
"""Within which a batch system that is well has answered."""


def wait_for_nodes(nodes: Callable[[], Sequence[NodeView]], count: int, seconds: float = SECONDS) -> Sequence[NodeView]:
    """The nodes, as soon as there are so many; raises AsynClusterError when time is up."""
    deadline = time.monotonic() + seconds
    while True:
        present = nodes()
        if len(present) >= count:
            return present
        if time.monotonic() > deadline:
            raise AsynClusterError(
                f"after {seconds:.0f} s only {len(present)} of {count} nodes are there; their logs tell why"
            )
        time.sleep(0.05)


def wait_for_name(nodes: Callable[[], Sequence[NodeView]], name: str, log: object, seconds: float = SECONDS) -> None:
    """Return when that node is there; raises AsynClusterError, which names its log, when time is up."""
    deadline = time.monotonic() + seconds
    while name not in {node.name for node in nodes()}:
        if time.monotonic() > deadline:
            raise AsynClusterError(f"node {name} has not joined after {seconds:.0f} s; {log} tells why")
        time.sleep(0.05)


def silent_clouds(ask: Callable[[], Mapping[str, Any]], seconds: float) -> list[str]:
    """Which pools' clouds do not answer, a sentence each, as soon as each was asked, or when time is up.

    ask: gives the status of the elastic engine; one that was not asked yet when time is up is not named.
    """
    deadline = time.monotonic() + seconds
    while True:
        clouds = ask()["clouds"]
        asked = all(cloud["fault"] or cloud["age"] is not None for cloud in clouds.values())
        if asked or time.monotonic() > deadline:
            return [silence(name, cloud["fault"]) for name, cloud in clouds.items() if cloud["fault"]]
        time.sleep(0.05)


Nodes = Callable[[], Sequence[NodeView]]
Jobs = Callable[[], Sequence[JobView]]


def watch(nodes: Nodes, jobs: Jobs, job: int) -> Callable[[], str] | None:
    """Call it before that job hands in tasks; gives what says later why none of them has begun, "" when one may have.

    None where nobody needs it: stderr is no terminal.
    """
    if not somebody_looks():
        return None
    before = nodes()
    return lambda: _why(before, nodes(), jobs(), job)


@contextlib.contextmanager
def saying(text: str, seconds: float = PATIENCE) -> Iterator[None]:
    """Say so, once and where somebody looks, when what is done within takes longer than these seconds; "" = never."""
    timer = threading.Timer(seconds, lambda: click.echo(text, err=True))
    timer.daemon = True
    if text and somebody_looks():
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def somebody_looks() -> bool:
    """Whether a person sees what we say in between."""
    return sys.stderr is not None and sys.stderr.isatty()


def full(nodes: Sequence[NodeView]) -> str:
    """That no slot is free; "" when one is, or there is no node."""
    if not nodes or any(node.running < node.slots for node in nodes):
        return ""
    slots = sum(node.slots for node in nodes)
    used = "the only slot is" if slots == 1 else f"all {slots} slots are"
    return f"waiting: {used} in use; `asyncluster nodes` shows where"


def _why(before: Sequence[NodeView], now: Sequence[NodeView], jobs: Sequence[JobView], job: int) -> str:
    # Which of the tasks that a node has it works at is known for certain only of those that take longer than a moment.
    # So ours wait for certain only while all slots are in use and either none of ours is said to run, or no slot has
    # been free since before ours came.
    given = any(view.running for view in jobs if view.job == job)
    return "" if given and (not full(before) or _ended(now) != _ended(before)) else full(now)


def _ended(nodes: Sequence[NodeView]) -> dict[str, tuple[int, int]]:
    return {node.name: (node.done, node.lost) for node in nodes}
