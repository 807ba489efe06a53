"""Our own queue as a scheduler like Torque: what pools provide nodes for.

Nodes make themselves known by registering, so nothing has to be added; one that was launched for a pool is held from
then until it is enabled (see `Engine.withholds`).  What a batch system does by an administrator's command, the board
does.  A pool's property is a feature in the configuration of its nodes.
"""

from __future__ import annotations

from contextlib import suppress

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from asyncluster.errors import NoAnswerError, RefusedError
from asyncluster.interfaces import IReadinessCheck, IScheduler
from asyncluster.master.service import Master
from asyncluster.model.batch import Demand
from asyncluster.model.peer import Peer, Role
from asyncluster.model.supply import Flavor, Reservation

ENGINE = Peer(Role.CLIENT, "the elastic engine", "here", admin=True)
"""Who dismisses nodes, as the log tells it."""


@implementer(IScheduler)
@attrs.define(eq=False)
class OwnQueue:
    """The board of this master, for the elastic engine."""

    master: Master
    name: str = "asyncluster"
    binds_queues: bool = False

    def snapshot(self) -> Deferred[Demand]:
        """What waits here, and all nodes that are registered; fails while a restarted master waits for its nodes."""
        if self.master.draining:
            return fail(NoAnswerError("the master is being stopped"))
        if self.master.resting:
            return fail(NoAnswerError("the master was started anew and waits for its nodes to come back"))
        demand = self.master.board.demand(self.master.reactor.seconds())
        return succeed(attrs.evolve(demand, addresses=self.master.attendance.addresses()))

    def add_node(self, name: str, address: str, flavor: Flavor) -> Deferred[None]:
        """Nothing to do: it registers, and is held when it does."""
        return succeed(None)

    def reserve(self, name: str, flavor: Flavor, reservation: Reservation) -> Deferred[None]:
        """Nothing to do: a property is a feature that the node itself tells."""
        return succeed(None)

    def enable(self, name: str) -> Deferred[None]:
        """Let it have tasks."""
        return self.unhold(name)

    def hold(self, name: str, reason: str) -> Deferred[None]:
        """It gets no more tasks, and gives back what it has not begun."""
        return self._hold(name, True)

    def unhold(self, name: str) -> Deferred[None]:
        """It gets tasks again."""
        return self._hold(name, False)

    def vacate(self, name: str, reason: str) -> Deferred[None]:
        """It is held, and what runs there begins anew elsewhere; it stays, and may be let go again."""
        self.master.act(self.master.board.vacate(name))
        return succeed(None)

    def remove_node(self, name: str, reservation: Reservation) -> Deferred[None]:
        """It is dismissed: a node that has left is unknown; one that is away is waited for no longer."""
        reason = "the elastic engine gives it up"
        self.master.attendance.forget(name, reason)
        with suppress(RefusedError):  # it is not here
            self.master.attendance.dismiss(name, reason, ENGINE)
        return succeed(None)

    def _hold(self, name: str, held: bool) -> Deferred[None]:
        self.master.act(self.master.board.hold(name, held))
        return succeed(None)


_NOT_HERE = (
    "it has not registered with the master yet (should it not come: [server] subnets and listen, its pool's master, "
    "and the console log of its instance)"
)


@implementer(IReadinessCheck)
@attrs.define(eq=False)
class Registered:
    """A node of the own queue is ready when it has registered."""

    master: Master

    def check(self, name: str, address: str) -> Deferred[str]:
        """'' once it is here."""
        here = self.master.attendance.link(name) is not None
        return succeed("" if here else _NOT_HERE)
