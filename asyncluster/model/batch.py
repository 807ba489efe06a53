"""What a scheduler says of its queue and of its nodes: the demand that pools are there for.

The same values stand for a batch system's jobs and for our own waiting tasks.  Work that is alike is one value
with a count, so that a million tasks are as few values as they have kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from sys import intern

import attrs

from asyncluster.model.node import NodeState
from asyncluster.model.word import Word


class BatchState(Word):
    """Of a batch job, as far as it matters to who provides nodes."""

    QUEUED = "queued"  # it could start at once if there were a node for it
    HELD = "held"  # by a person or the scheduler: no node would help
    BLOCKED = "blocked"  # waits for another job or for a date: no node would help yet
    RUNNING = "running"
    ENDING = "ending"  # over, or being deleted; it may still take its cores
    BROKEN = "broken"  # the scheduler put it into an error state: somebody has to look


@attrs.frozen
class Chunk:
    """So many nodes, each with so much of it free.

    nodes: 1 or more; 0 = `cores` may lie on any number of nodes.  cores: per node (of all nodes together when
    nodes is 0); memory: bytes per node (per core when nodes is 0), 0 = undeclared; gpus: per node; properties:
    words that each node must bear; whole: it has each node to itself.
    """

    nodes: int = 1
    cores: int = 1
    memory: int = 0
    gpus: int = 0
    properties: tuple[str, ...] = ()
    whole: bool = False


def queues_of(queue: str) -> tuple[str, ...]:
    """The queues in any of which a job may run; () = its scheduler has none, or names none."""
    return tuple(filter(None, queue.split(",")))


@attrs.frozen
class BatchJob:
    """Work in a queue: a batch job, one element of an array, or `count` of them that are alike.

    id: as the scheduler writes it, elements of arrays as it writes those; priority: higher is first; walltime:
    seconds it may run, 0 = not said; submitted: seconds since the epoch, 0 = not said; nodes: names of those it
    runs on, with as many cores there as `cores_on` says; reason: the scheduler's own word for why it waits; queue:
    several, parted by commas, where it may run in any of them (Slurm's `-p a,b`).  Words of which a queue has few are
    kept once for all its jobs: that saves a quarter of their memory, and time where they are compared.
    """

    id: str
    state: BatchState
    chunks: tuple[Chunk, ...] = (Chunk(),)
    count: int = 1
    owner: str = attrs.field(default="", converter=intern)
    name: str = ""
    queue: str = attrs.field(default="", converter=intern)
    account: str = attrs.field(default="", converter=intern)
    priority: float = 0.0
    walltime: float = 0.0
    submitted: float = 0.0
    nodes: tuple[str, ...] = ()
    cores_on: tuple[int, ...] = ()  # beside `nodes`, as many
    reason: str = ""

    @property
    def cores(self) -> int:
        """Of one of `count`, on all its nodes together."""
        return sum(max(1, chunk.nodes) * chunk.cores for chunk in self.chunks)


@attrs.frozen
class BatchNode:
    """A node as its scheduler sees it; ours and those that were always there alike.

    state: ERROR = the scheduler does not hear it; HOLDING = takes no new job and still runs some; cores, used,
    memory (bytes), gpus: what jobs may have and how much is taken; walltime: seconds until the node ends itself,
    0 = it stays; queues: those it serves, where the scheduler binds nodes to queues; accounts: those it is kept for,
    () = all; said: the scheduler's own words for its state.
    """

    name: str
    state: NodeState
    cores: int = 1
    used: int = 0
    memory: int = 0
    memory_used: int = 0
    gpus: int = 0
    gpus_used: int = 0
    walltime: float = 0.0
    jobs: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    said: str = ""


@attrs.frozen
class Demand:
    """One answer of a scheduler: everything at one moment.

    seen: when, seconds of the steady clock; addresses: by the names of nodes, from where they made themselves known,
    as far as the scheduler can tell.
    """

    jobs: tuple[BatchJob, ...]
    nodes: tuple[BatchNode, ...]
    seen: float
    addresses: Mapping[str, str] = attrs.field(factory=dict)
