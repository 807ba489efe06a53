"""How a client leaves its job to the master: hands over all it has, hears that it is safe, and goes."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from asyncluster.client.place import UnixPlace
from asyncluster.client.session import Session
from asyncluster.errors import AsynClusterError, JobClosedError, LinkLostError

PAUSE = 0.01
"""Seconds between looks at what has not been handed over."""


def check_stays(place: object) -> None:
    """Raise AsynClusterError where the master ends with this program, and could not keep a job."""
    if isinstance(place, UnixPlace) and place.own:
        raise AsynClusterError(
            "this program started its master, which ends with it, and so does the job; "
            "`asyncluster up` starts one that stays"
        )


GONE_SECONDS = 5.0
"""How long the link may take to end."""


async def detach(reactor: IReactorTime, session: Session) -> int:
    """The number of the job, which goes on without us; calls that have not ended fail with JobClosedError.

    Raises LinkLostError, RefusedError, AsynClusterError.
    """
    if session.held:
        raise AsynClusterError(
            "a map is still handing in its items, and what it has not handed in would be lost: "
            "read its results first, or use `submit`"
        )
    session.calls.open_up()
    while True:
        while session.calls.inbox and session.ended is None:
            session.wake()
            await deferLater(reactor, PAUSE)
        if session.ended is not None:
            raise type(session.ended)(*session.ended.args)
        try:
            await session.ask("detach", session.job, session.sent)
        except LinkLostError:  # asked again when the link is back: to say it twice is to say it once
            await deferLater(reactor, 0)  # the session hears of it after those who asked over that link
        else:
            break
    clock: Any = reactor  # which zope cannot tell mypy
    await session.leave(detached(session.job)).addTimeout(GONE_SECONDS, clock, lambda *_: None)
    return session.job


def detached(job: int) -> JobClosedError:
    """Why calls that were waited for do not end here."""
    return JobClosedError(
        f"job {job} was detached and goes on without this program: asyncluster.attach({job}) gives its results"
    )
