"""What nodes of a random history turn out not to have, and whether the plans have learned it.

Of a pool of which nothing is said its nodes may have too little memory for some jobs, and nodes that are promised to
bear a word may not bear it: who has seen that begins no node for such a job again.
"""

from __future__ import annotations

import re
from random import Random
from typing import Any

from asyncluster.elastic.actions import Do
from asyncluster.elastic.match import MIB
from asyncluster.elastic.records import Life
from asyncluster.model.batch import BatchState
from asyncluster.model.node import NodeState
from asyncluster.model.supply import Pool
from asyncluster.testing.elastic_things import Member
from asyncluster.testing.elastic_world import World

SMALL, LARGE = 8 * MIB, 64 * MIB
"""What nodes turn out to have, of which nothing was said, and what some jobs ask for."""

WORD = "fast"
"""What nodes are promised to bear, and some jobs ask for."""


class Lessons:
    """Of one history.  known: which pools showed that they lack what, to this master."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._small = random.random() < 0.5
        self._bare = random.random() < 0.5
        self.known: set[tuple[str, object]] = set()

    def furnish(self, member: Member, pool: Pool) -> None:
        """A node as it really is."""
        member.cores = pool.flavor.cores
        member.memory = SMALL if self._small else 0
        member.properties = () if self._bare else pool.bears

    def submit(self, world: World) -> None:
        """Now and then a job that asks for more than the others."""
        if self._random.random() < 0.1:
            world.submit(1, 100.0, LARGE)
        if self._random.random() < 0.1:
            world.submit(1, 100.0, words=(WORD,))

    def forget(self, pool: str) -> None:
        """A person has had it tried anew."""
        self.known = {(name, what) for name, what in self.known if name != pool}

    def check(self, situation: Any, made: Any) -> None:
        """No node is begun for what nodes of its pool turned out not to have."""
        if situation.demand is None:
            return
        jobs = {job.id: job.chunks[0] for job in situation.demand.jobs if job.state is BatchState.QUEUED}
        asked = situation.provision and any(WORD in chunk.properties for chunk in jobs.values())
        for node in () if situation.silence else situation.demand.nodes:
            record = situation.nodes.get(node.name)
            well = node.state in {NodeState.IDLE, NodeState.BUSY} and situation.demand.seen > getattr(
                record, "since", 9e9
            )
            if record is None or not well or record.life is not Life.UP:
                continue
            if node.memory == SMALL:
                self.known.add((record.pool, LARGE))
            if asked and WORD not in node.properties:
                self.known.add((record.pool, WORD))
        for action in made.actions:
            match = re.match(r"job (\S+)", action.cause) if action.do is Do.LAUNCH else None
            chunk = jobs[match[1]] if match else None
            for what in (chunk.memory, *chunk.properties) if chunk else ():
                assert (action.pool, what) not in self.known, "nothing is launched that is known to lack what is asked"
