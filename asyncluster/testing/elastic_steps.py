"""The steps of a random history's nodes that are a site's own commands, or that make them what their pool promises.

Commands fail, and are killed when their time is over; what a node is kept for may be refused, or come too early.
"""

from __future__ import annotations

from random import Random

import attrs

from asyncluster.elastic.actions import Do, Outcome
from asyncluster.elastic.options import Commands, Options
from asyncluster.elastic.records import NodeRecord
from asyncluster.errors import CommandFailedError, NoAnswerError
from asyncluster.model.supply import Pool, Reservation
from asyncluster.testing.elastic_world import World

COMMANDS = Commands(("up", "{0}"), ("gone", "{0}"), ("added", "{0}"), ("removed", "{0}"), tries=2)
ACCOUNT, OWN = "physics", "own"
"""For whom, and by which word, some pools' nodes are kept."""


class Steps:
    """Of one history."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._commands = random.random() < 0.5
        self._bad = random.random() * 0.4
        self._never = random.random() < 0.2  # commands never do what they are to, and keep no node from its way

    def told(self, options: Options) -> Options:
        """What the master is told, with commands or without."""
        return attrs.evolve(options, commands=COMMANDS) if self._commands else options

    def kept(self, pool: Pool) -> Pool:
        """A pool that may be kept for somebody, and whose nodes may not live for ever."""
        kept = [Reservation()] * 3 + [Reservation(account=ACCOUNT), Reservation(property=OWN)]
        lifetime = self._random.choice([0.0, 0.0, 900.0])
        return attrs.evolve(pool, reservation=self._random.choice(kept), lifetime=lifetime)

    def submit(self, world: World) -> None:
        """Now and then a job of such an account, for such nodes, or of a time that is limited."""
        random = self._random
        if random.random() < 0.1:
            world.submit(1, 100.0, account=ACCOUNT)
        if random.random() < 0.1:
            world.submit(1, 100.0, words=(OWN,))
        if random.random() < 0.1:
            world.submit(1, 100.0, walltime=random.choice([100.0, 5000.0]))

    def run(self, do: Do, record: NodeRecord, world: World, calm: bool) -> Outcome | None:
        """A command, or RESERVE."""
        if do is Do.RESERVE:
            return self._reserve(record, world, calm)
        member = world.members.get(record.name)
        if do is Do.POST_ADD:
            assert member is None or not member.held, "a node is enabled before anybody is told of it"
        if do is Do.POST_REMOVE:
            assert member is None, "a node is unknown to the scheduler before anybody is told so"
        if self._never or (not calm and self._random.random() < self._bad):
            if self._random.random() < 0.5:
                raise NoAnswerError("no end within 60 s; it was killed")
            raise CommandFailedError("it ended with 3")
        return None

    def _reserve(self, record: NodeRecord, world: World, calm: bool) -> Outcome | None:
        if not calm and self._random.random() < self._bad:
            if self._random.random() < 0.5:
                return Outcome(missing="its daemon has not started")
            raise CommandFailedError("there is no such queue")
        kept = world.pools[record.pool].reservation

        def keep() -> None:
            member = world.members.get(record.name)
            if member is not None:
                member.account = kept.account
                words = {*member.properties, kept.property} - {""}
                member.properties = tuple(sorted(words))

        world.order(keep)
        return None
