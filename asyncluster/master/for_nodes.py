"""What a proven node may do at the master.

Everything that comes in is checked here: type, size and right; the rest of the master works with values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import attrs
from msgspec import MsgspecError
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from asyncluster.errors import RefusedError
from asyncluster.master.arrivals import Owing, by_kind
from asyncluster.master.enlisting import Enlisting
from asyncluster.master.service import Master
from asyncluster.model.messages import (
    Beat,
    Held,
    Kept,
    Leaving,
    Message,
    Outcome,
    Output,
    Result,
    Started,
    StepDone,
    decode_batch,
)
from asyncluster.model.node import NodeFacts, of_person
from asyncluster.model.peer import OWN_ACCOUNT
from asyncluster.wire.beating import Beating
from asyncluster.wire.link import Link

_log = Logger()

MOST_JOBS = 1_000_000
"""Jobs that one link tells of: those of a year on a busy node."""


@attrs.define(eq=False)
class NodePerspective:
    """A node daemon."""

    master: Master
    link: Link
    name: str = ""
    taken: Counter[int] = attrs.field(factory=Counter)  # Results and StepDones of this link, by job
    wrote: Counter[int] = attrs.field(factory=Counter)  # Outputs of this link, by job
    fresh: bool = attrs.field(init=False)  # it came with a secret that serves once
    _sits: bool = False  # people have sessions there
    _owing: Owing = attrs.field(init=False)
    _beating: Beating = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        own = self._own_account
        self.fresh = bool(own) and not (self.master.enlisting and self.master.enlisting.is_enlisted(own))
        self._owing = Owing(self.master.reactor, self._say_kept)
        self._beating = self.master.attach(self.link)
        self.link.keep_payloads(self.master.spill.room, self._spoiled)

    @property
    def _own_account(self) -> str:
        """The account, where it is this node's alone."""
        return self.link.peer.name if self.link.peer.name.startswith(OWN_ACCOUNT) else ""

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        """`enlist(verifier)`, where its secret serves once; `realm()`;

        once `register(facts, held, …)`, where what is held comes in pieces, `heard(job, …)`, and `seat(…)`."""
        match name, args:
            case "realm", ():
                return self.master.realm
            case "enlist", (str() as line,) if self.fresh and self.master.enlisting is not None:
                return self._enlist(self.master.enlisting, line)
            case "register", (dict() as facts, *held):
                return self._register(facts, held)
            case "heard", jobs if self.name and all(type(job) is int for job in jobs):
                return self._heard(jobs)
            case "seat", _ if self.name and self.master.is_person(self.link.peer.name):
                return self._no_seat(args)
            case "seat", _ if self.name and self.master.seating is not None:
                self._sits = True
                return self.master.seating.verb(self.name, args)
        raise RefusedError(f"a node cannot ask for {name[:40]}")

    def _enlist(self, enlisting: Enlisting, line: str) -> Deferred[None]:
        kept = enlisting.enlist(self._own_account, line, self.link.peer.address)
        self.fresh = False
        return kept

    def _register(self, words: dict[str, Any], pieces: Sequence[Any]) -> object:
        if self.name:
            raise RefusedError("this node is registered already")
        try:
            facts = NodeFacts(**words)
            if self.master.is_person(self.link.peer.name):
                facts = of_person(facts, self.link.peer.name)
            has = [each for piece in pieces for each in decode_batch(piece)]
            if not all(isinstance(each, Held) for each in has):
                raise TypeError("what it holds is something else")  # noqa: TRY301 (told like the others)
        except (TypeError, ValueError, MsgspecError) as error:
            raise RefusedError(f"the facts of this node are not understood: {error}") from error
        own = self._own_account
        if self.fresh or (own and own != f"{OWN_ACCOUNT}{facts.name}"):
            why = "has to hand over a secret of its own first" if self.fresh else f"cannot be called {facts.name}"
            _log.warn("a node at {address} with account {own} {why}", address=self.link.peer.address, own=own, why=why)
            raise RefusedError(f"a node with account {own} {why}")
        held = [each for each in cast("list[Held]", has) if self._may_have(facts, each.job)]
        answer = self.master.attach_node(facts, held, self.link)
        self.name = facts.name
        return answer

    def _may_have(self, facts: NodeFacts, job: int) -> bool:
        """Whether we may have given it tasks of that job: else it would have them given to it now, and answer them."""
        desk = self.master.reception.desks.get(job)
        return desk is None or facts.serves in ("*", desk.spec.owner)

    def _no_seat(self, args: tuple[Any, ...]) -> dict[str, str]:
        """Its owner could try anybody's password here, and have anybody kept out of all seats by wrong ones."""
        why = (
            f"nobody can log in at {self.name}: it is a node of {self.link.peer.name}'s own, and people have sessions "
            "at nodes of the site only; it is one with the nodes' account as user and password in its [client] section"
        )
        if args[:1] == ("begin",):
            return {"refused": why, "rule": "node"}  # to whoever sits there
        raise RefusedError(why)

    def _heard(self, jobs: Sequence[int]) -> Deferred[list[int]]:
        """How many Outputs of each of these jobs are here; answered when what is to be kept of them is on the disk."""
        counts = [self.wrote[job] for job in jobs]
        return self.master.reception.written().addCallback(lambda _: counts)

    def messages(self, messages: list[Message]) -> None:
        """Results, output and signs of life, of tasks and its own."""
        if not self.name:
            self._break("it is not registered")
            return
        if self._sits and self.master.seating is not None:
            self.master.seating.beat(self.name)
        touched: set[int] = set()
        for (kind, job), group in by_kind(messages):
            if kind is Result:
                results = cast("list[Result]", list(group))
                self._count(self.taken, job, len(results))
                touched.add(job)
                self.master.results(self.name, results)
                continue
            for message in group:
                if kind is StepDone:
                    self._count(self.taken, job)
                    touched.add(job)
                self._one(message)
        self._owing.add(touched)

    def _count(self, counted: Counter[int], job: int, more: int = 1) -> None:
        """Whatever number it says: a node that makes them up is not to fill our memory with them."""
        counted[job] += more
        if len(counted) > MOST_JOBS:
            self._break(f"it told of {len(counted)} jobs; it may come again, and is counted anew")

    def _spoiled(self, message: Message, why: str) -> None:
        """A result came, and the disk had no room for it: it is told as that, and everything else goes on."""
        _log.error("node {node}: {why}", node=self.name, why=why)
        if isinstance(message, Result):
            text = f"it was run, and its result was lost at the master: {why}"
            self.messages([Result(message.job, message.seq, message.attempt, Outcome.REFUSED, text.encode())])

    def _say_kept(self, job: int) -> None:
        self.master.reception.ledger.safe(job, partial(self.link.send, Kept(job, self.taken[job])))

    def _one(self, message: Message) -> None:
        if isinstance(message, StepDone):
            self.master.step_done(self.name, message)
        elif isinstance(message, Output):
            self._count(self.wrote, message.job)
            self.master.output(self.name, message)
        elif isinstance(message, Started):
            self.master.task_started(self.name, message)
        elif isinstance(message, Leaving):
            self.master.node_leaving(self.name, message.reason)
        elif not isinstance(message, Beat):
            self._break(f"a node does not send {type(message).__name__}")

    def lost(self, reason: str) -> None:
        """The link has ended."""
        self._beating.stop()
        self.master.detach(self.link)
        if self.name:
            self.master.detach_node(self.name, self.link, reason)

    def _break(self, why: str) -> None:
        _log.warn("node at {address} is sent away: {why}", address=self.link.peer.address, why=why)
        self.link.abort()
