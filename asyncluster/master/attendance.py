"""Which nodes are here, and which are away and may come back with what they hold.

A node whose link broke is given `node_patience` seconds.  What becomes of tasks is the board's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from asyncluster.errors import RefusedError
from asyncluster.jobs.board import Action, Board
from asyncluster.model.messages import Held, Leaving, Message
from asyncluster.model.node import NodeFacts, NodeView
from asyncluster.model.peer import Peer
from asyncluster.wire.link import Link

_log = Logger()


@attrs.frozen
class _Attached:
    facts: NodeFacts
    link: Link
    since: float  # seconds since the epoch


@attrs.define(eq=False)
class Attendance:
    """The nodes by name.  `act` obeys the board; `patience` is in seconds."""

    clock: IReactorTime
    board: Board
    act: Callable[[Iterable[Action]], None]
    patience: float
    changed: Callable[[list[str]], object] = lambda names: None  # who is here, or may be back in a moment
    came: Callable[[str], object] = lambda name: None  # that node is here
    withheld: Callable[[NodeFacts], bool] = lambda facts: False  # whether a node that comes gets nothing as yet
    went: Callable[[str], object] = lambda name: None  # that node's link has ended
    _here: dict[str, _Attached] = attrs.field(factory=dict)
    _away: dict[str, tuple[_Attached, Any]] = attrs.field(factory=dict)  # and the call that gives them up

    def join(self, facts: NodeFacts, held: list[Held], link: Link) -> None:
        """A node registers, with what it has from before.  Raises RefusedError when its name is taken."""
        known = self._here.get(facts.name)
        owner = known or self._away.get(facts.name, (None, None))[0]
        if owner is not None and owner.link.peer.name != link.peer.name:
            raise RefusedError(f"the name {facts.name} is that of another account's node")
        if known is not None:
            if not facts.session or known.facts.session != facts.session:
                raise RefusedError(
                    f"a node named {facts.name} is here already, from {known.link.peer.address}; "
                    "give this one another `name` in its [client] section"
                )
            # The same daemon over a new connection: the old one is dead, TCP has just not told us yet.
            self.lost(facts.name, known.link, "it connected anew", final=False)
            known.link.abort()
        self._here[facts.name] = _Attached(facts, link, time.time())
        _log.info(
            "node {node} joined from {address}: {slots} slots, Python {python}",
            node=facts.name,
            address=link.peer.address,
            slots=facts.slots,
            python=facts.python,
        )
        away, giving_up = self._away.pop(facts.name, (None, None))
        if giving_up is not None:
            giving_up.cancel()
        self._tell()
        now = self.clock.seconds()
        if away is not None and away.facts.session != facts.session:
            self.act(self.board.leave(facts.name, "its daemon was started anew", now))
        if held or (away is not None and away.facts.session == facts.session):
            actions = self.board.rejoin(facts, held, now)
        else:
            actions = self.board.join(facts, now)
        if self.withheld(facts):
            actions += self.board.hold(facts.name, True)
        self.act(actions)
        self.came(facts.name)

    def lost(self, name: str, link: Link, reason: str, final: bool) -> None:
        """That node's link has ended; `final`: we stop, and it will come to the master after us with what it has."""
        attached = self._here.get(name)
        if attached is None or attached.link is not link:
            return
        del self._here[name]
        if final and not self.board.is_draining(name):
            self.act(self.board.away(name))  # nothing is lost by that, and nobody is charged
            return
        if self.board.is_draining(name) or not attached.facts.session or self.patience <= 0:
            _log.info("node {node} left: {reason}", node=name, reason=reason)
            self._tell()
            self.act(self.board.leave(name, reason, self.clock.seconds()))
        else:
            _log.info("node {node} is away for now: {reason}", node=name, reason=reason)
            self.act(self.board.away(name))
            limit = f"it did not come back within {self.patience} s"
            self._away[name] = attached, self.clock.callLater(self.patience, self._give_up, name, reason, limit)
        self.went(name)

    def forget(self, name: str, reason: str) -> None:
        """Wait no longer for a node that is away: it will not come back."""
        _, giving_up = self._away.get(name, (None, None))
        if giving_up is not None:
            giving_up.cancel()
            self._give_up(name, reason, reason)

    def _give_up(self, name: str, reason: str, why: str) -> None:
        del self._away[name]
        self._tell()
        _log.info("node {node} left: {why}", node=name, why=why)
        self.act(self.board.leave(name, reason, self.clock.seconds()))

    def _tell(self) -> None:
        self.changed([*self._here, *self._away])

    def stop(self) -> None:
        """Wait for nobody any more."""
        for _, giving_up in self._away.values():
            giving_up.cancel()
        self._away.clear()

    def has_account(self, name: str) -> bool:
        """Whether a node that has proven that account is here, or may come back."""
        attached = [*self._here.values(), *(each for each, _ in self._away.values())]
        return any(each.link.peer.name == name for each in attached)

    def links(self) -> list[Link]:
        """Of all nodes that are here."""
        return [attached.link for attached in self._here.values()]

    def link(self, name: str) -> Link | None:
        """To a node that is here."""
        attached = self._here.get(name)
        return None if attached is None else attached.link

    def send(self, name: str, messages: list[Message]) -> None:
        """To a node, written at once; one that is away hears of it when it is back."""
        attached = self._here.get(name)
        if attached is not None:
            attached.link.send_now(messages)

    def launched(self) -> list[tuple[str, str]]:
        """Those that are here and were launched for a pool, and its name."""
        return [(name, attached.facts.pool) for name, attached in self._here.items() if attached.facts.pool]

    def addresses(self) -> dict[str, str]:
        """From where those that were launched for a pool are connected, by name."""
        return {name: attached.link.peer.address for name, attached in self._here.items() if attached.facts.pool}

    def came_by_itself(self, name: str) -> bool:
        """Whether it is here, and no pool has launched it."""
        attached = self._here.get(name)
        return attached is not None and not attached.facts.pool

    def views(self) -> list[NodeView]:
        """Those that are here, by name."""
        views = []
        for view in self.board.node_views():
            attached = self._here.get(view.name)
            if attached is not None:
                views.append(attrs.evolve(view, address=attached.link.peer.address, since=attached.since))
        return sorted(views, key=lambda view: view.name)

    def dismiss(self, name: str, reason: str, peer: Peer) -> None:
        """Send a node away: it finishes what runs, returns the rest and ends itself."""
        attached = self._here.get(name)
        if attached is None:
            known = ", ".join(sorted(self._here)) or "none"
            raise RefusedError(f"there is no node {name}; present: {known}")
        if not peer.admin and attached.facts.serves != peer.name:
            raise RefusedError(f"only administrators may dismiss node {name}: it serves others too")
        _log.info("{who} dismisses node {node}: {reason}", who=peer.name, node=name, reason=reason)
        self.act(self.board.drain(name))
        attached.link.send(Leaving(reason or f"dismissed by {peer.name}"))
