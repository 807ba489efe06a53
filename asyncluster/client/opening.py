"""How a job is opened at the master, and what it is told then."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import attrs

from asyncluster.client.calls import Settled
from asyncluster.client.early import Early
from asyncluster.client.output import Printer
from asyncluster.client.session import Session
from asyncluster.client.terms import Connect, SessionLink, Terms
from asyncluster.errors import LinkLostError, RefusedError


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
    durable: bool = True  # survives a killed master
    reconnect: float = 0.0  # seconds for which the job waits for us when the link breaks

    def as_dict(self) -> dict[str, object]:
        """Basic types, for the wire."""
        fields = {**attrs.asdict(self), "path": list(self.path)}
        if self.crash_limit is None:
            del fields["crash_limit"]
        return fields


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
    options: JobOptions,
    hand_over: Callable[[Callable[[], None]], object],
    settle: Callable[[list[Settled]], None],
    printer: Printer | None,
    lock: Any,
) -> Session:
    """Connect and open a job.

    Raises MasterNotFoundError, ProofError, VersionMismatchError, RefusedError, LinkLostError.
    """
    early = Early()
    link = await connect(lambda _link: early)
    try:
        realm = await _ask_realm(link)
        job = await link.call("open_job", options.as_dict())
        session = Session(link, int(job), hand_over, settle, printer, lock, realm)
        await session.refreshed_slots()
        session.terms = await _ask_terms(link)
    except BaseException:
        link.close("the job was not opened")
        raise
    if early.gone is not None:
        raise LinkLostError(f"the connection to the master ended: {early.gone}")
    session.messages(early.hand_over(link, session))
    return session
