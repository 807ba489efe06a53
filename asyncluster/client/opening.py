"""How a job is opened at the master, and what it is told then."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import attrs

from asyncluster.client.calls import Settled
from asyncluster.client.output import Printer
from asyncluster.client.session import Session
from asyncluster.client.terms import Connect, SessionLink, Terms
from asyncluster.errors import LinkLostError, RefusedError
from asyncluster.model.messages import Message


def _here() -> str:
    try:
        folder = os.getcwd()
        folder.encode()
    except (OSError, UnicodeEncodeError):  # it was removed; or its name is no text, which the wire would not carry
        return ""
    return folder


@attrs.frozen
class JobOptions:
    """What the master is told when a job is opened."""

    name: str = ""
    niceness: int = 0
    priority: int = 0
    crash_limit: int | None = None  # the master's own
    path: tuple[str, ...] = ()
    python: str = ""
    folder: str = attrs.field(factory=_here)  # tasks run there, where it exists

    def as_dict(self) -> dict[str, object]:
        """Basic types, for the wire."""
        fields = {**attrs.asdict(self), "path": list(self.path)}
        if self.crash_limit is None:
            del fields["crash_limit"]
        return fields


class _Early:
    """Handles the link until the job has its number."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.gone: str | None = None

    def messages(self, messages: list[Message]) -> None:
        if self.session is not None:
            self.session.messages(messages)

    def lost(self, reason: str) -> None:
        self.gone = reason
        if self.session is not None:
            self.session.lost(reason)

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        if self.session is None:
            raise RefusedError("not yet")
        return self.session.verb(name, args)


async def _ask_terms(link: SessionLink) -> Terms | None:
    try:
        terms = await link.call("terms")
    except RefusedError:  # this master does not watch its clients
        return None
    return Terms(float(terms["heartbeat"]), float(terms["silence"]))


async def open_session(
    connect: Connect,
    options: JobOptions,
    hand_over: Callable[[Callable[[], None]], object],
    settle: Callable[[list[Settled]], None],
    printer: Printer | None,
    lock: Any,
) -> Session:
    """Connect and open a job.

    Raises MasterNotFoundError, ProofError, VersionMismatchError, RefusedError, LinkLostError.
    """
    handler = _Early()
    link = await connect(lambda _link: handler)
    try:
        job = await link.call("open_job", options.as_dict())
        session = Session(link, int(job), hand_over, settle, printer, lock)
        await session.refreshed_slots()
        session.terms = await _ask_terms(link)
    except BaseException:
        link.close("the job was not opened")
        raise
    if handler.gone is not None:
        raise LinkLostError(f"the connection to the master ended: {handler.gone}")
    handler.session = session
    if hasattr(link, "handler"):
        link.handler = session  # one call less for each batch
    return session
