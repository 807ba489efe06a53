"""How a job is opened at the master, and what it is told then."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from asyncluster.client.calls import Settled
from asyncluster.client.early import Early, Later, turn
from asyncluster.client.output import Printer
from asyncluster.client.place import check_job_name, escaped
from asyncluster.client.session import Session
from asyncluster.client.terms import Connect, SessionLink, Terms
from asyncluster.errors import LinkLostError, RefusedError
from asyncluster.model.messages import Beat

EXPECTED = 10_000
"""Tasks for which room is made in one turn of the reactor."""


def _here() -> str:
    try:
        folder = os.getcwd()
        folder.encode()
    except (OSError, UnicodeEncodeError):  # it was removed; or its name is no text, which the wire would not carry
        return ""
    return folder


def _name(_instance: object, _attribute: object, name: str) -> None:
    check_job_name(name)


@attrs.frozen
class JobOptions:
    """What the master is told when a job is opened."""

    name: str = attrs.field(default="", converter=escaped, validator=_name)
    niceness: int = 0
    priority: int = 0
    crash_limit: int | None = None  # the master's own
    path: tuple[str, ...] = ()
    python: str = ""
    folder: str = attrs.field(factory=_here)  # tasks run there, where it exists
    durable: bool = True  # survives a killed master
    reconnect: float = 0.0  # seconds for which the job waits for us when the link breaks
    detached: bool = False  # what its tasks write, and results, are kept at the master from the beginning

    def as_dict(self) -> dict[str, object]:
        """Basic types, for the wire."""
        fields = {**attrs.asdict(self), "path": list(self.path)}
        if self.crash_limit is None:
            del fields["crash_limit"]
        if not self.detached:  # an older master would not know the word
            del fields["detached"]
        return fields


@attrs.frozen
class Visit:
    """Instead of options: no job is opened.  job: a detached one, whose results are wanted; 0: only questions are.

    expect: called with the session and ranges of its tasks, all before the first result comes; in pieces.
    """

    job: int = 0
    expect: Callable[[Session, list[tuple[int, int]]], object] | None = None
    trust: bool = False  # somebody else's results are read, too
    name: str = ""
    reconnect: float = 0.0

    async def begin(self, link: SessionLink) -> list[tuple[int, int]]:
        """Ask for the results; which tasks there are."""
        if not self.job:
            return []
        answer = await link.call("attach", self.job)
        if not (answer["yours"] or self.trust):
            owner = answer["owner"]
            raise RefusedError(
                f"job {self.job} is {owner}'s: results are pickles, and to read them would run {owner}'s code as you; "
                f"trust=True does so, `asyncluster job info {self.job}` tells what is safe"
            )
        ranges = _ranges(answer)
        while answer["more"]:
            answer = await link.call("job_tasks", self.job, ranges[-1][1])
            ranges += _ranges(answer)
        return ranges

    async def settle_in(self, session: Session, ranges: list[tuple[int, int]], later: Later) -> None:
        """Before the first result; of many tasks in pieces, with signs of life between."""
        session.visiting = True
        session.again = ("attach", (self.job,)) if self.job else ("terms", ())
        if self.expect is None:
            return
        for number, some in enumerate(_pieces(ranges)):
            if number:
                session.link.send(Beat(0))
                await turn(later)
            self.expect(session, some)


def _pieces(ranges: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """The same in order, of not many more tasks each than EXPECTED."""
    some: list[tuple[int, int]] = []
    room = EXPECTED
    for first, last in ranges:
        for begin in range(first, last + 1, EXPECTED):
            end = min(begin + EXPECTED - 1, last)
            some.append((begin, end))
            room -= end - begin + 1
            if room <= 0:
                yield some
                some, room = [], EXPECTED
    if some:
        yield some


def _ranges(answer: dict[str, Any]) -> list[tuple[int, int]]:
    return [(int(first), int(last)) for first, last in answer["tasks"]]


async def _ask_realm(link: SessionLink) -> str:
    try:
        return str(await link.call("realm"))
    except RefusedError:  # this master cannot resume a job
        return ""


async def _ask_terms(link: SessionLink) -> Terms | None:
    try:
        terms = await link.call("terms")
    except RefusedError:  # this master does not watch its clients
        return None
    return Terms(float(terms["heartbeat"]), float(terms["silence"]))


async def open_session(
    connect: Connect,
    options: JobOptions | Visit,
    hand_over: Callable[[Callable[[], None]], object],
    settle: Callable[[list[Settled]], None],
    printer: Printer | None,
    lock: Any,
    later: Later,
) -> Session:
    """Connect and open a job, or visit one.  later: has a function called in a later turn of the reactor.

    Raises MasterNotFoundError, ProofError, VersionMismatchError, RefusedError, LinkLostError.
    """
    early = Early(later)
    link = await connect(lambda _link: early)
    try:
        realm = await _ask_realm(link)
        if isinstance(options, Visit):
            ranges = await options.begin(link)
            session = Session(link, options.job, hand_over, settle, printer, lock, realm)
            await options.settle_in(session, ranges, later)
        else:
            job = await link.call("open_job", options.as_dict())
            session = Session(link, int(job), hand_over, settle, printer, lock, realm)
        await session.refreshed_slots()
        session.terms = await _ask_terms(link)
    except BaseException:
        link.close("the job was not opened")
        raise
    if early.gone is not None:
        raise LinkLostError(f"the connection to the master ended: {early.gone}")
    early.hand_over(link, session)
    return session
