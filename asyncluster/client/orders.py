"""What is asked and ordered by a job's number, the same for all three faces; for the reactor's thread.

Where the link is lost over a question and comes back, it is asked again: to say it twice is to say it once, but only
the first answer tells what it did.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from asyncluster.client.session import Session
from asyncluster.errors import JobGoneError, LinkLostError, RefusedError


@attrs.define(eq=False)
class Order:
    """One thing that is wanted of the master.  repeated: it was said again, as no answer came to the first time."""

    reactor: IReactorTime
    session: Session
    repeated: bool = False

    async def ask(self, verb: str, *args: object) -> Any:
        """The answer, once there is one.  Raises RefusedError; why the session has ended."""
        while True:
            ended = self.session.ended
            if ended is not None:
                raise type(ended)(*ended.args)
            try:
                return await self.session.ask(verb, *args)
            except LinkLostError:
                self.repeated = True
            await deferLater(self.reactor, 0)  # the session hears of it after those who asked over that link


async def cancel(order: Order, job: int, tasks: Iterable[int]) -> int | None:
    """Cancel these tasks, or all where none is named, and end what runs of them; how many were cancelled.

    None: it was said again, and what was cancelled the first time does not count in the answer.
    """
    count = await order.ask("cancel_job", job, list(tasks))
    return None if order.repeated else int(count)


async def forget(order: Order, job: int) -> None:
    """Drop a detached job.  Where that was said again, it may well be gone by the first time."""
    try:
        await order.ask("forget_job", job)
    except JobGoneError:  # who comes back to a job learns it by that
        if not order.repeated:
            raise
    except RefusedError:
        if not order.repeated or await _is_there(order, job):
            raise


async def _is_there(order: Order, job: int) -> bool:
    try:
        await order.ask("job_info", job)
    except RefusedError:
        return False
    return True


def is_end_of_link(session: Session, error: BaseException) -> bool:
    """Whether a task failed with this since nothing more comes of it over this session."""
    why = session.ended
    return why is not None and type(error) is type(why) and error.args == why.args
