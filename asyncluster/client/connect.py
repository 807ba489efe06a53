"""From a place and a reactor to an open session; the only module of the client that names the wire."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from asyncluster.client.calls import Settled, settle_each
from asyncluster.client.comeback import FIRST_PAUSE, LONGEST_PAUSE, Comeback
from asyncluster.client.opening import JobOptions, Visit, open_session
from asyncluster.client.output import Printer
from asyncluster.client.patience import Patience
from asyncluster.client.place import RECONNECT, Place, TcpPlace, UnixPlace
from asyncluster.client.session import Session
from asyncluster.client.terms import SessionLink, Terms
from asyncluster.interfaces import IReactor
from asyncluster.model.peer import Role

if TYPE_CHECKING:
    from asyncluster.wire.retry import Retry


def python_version() -> str:
    """As in `Job.python`: pickled functions are good for this Python only."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


async def connect_session(
    reactor: IReactor,
    place: Place,
    options: JobOptions | Visit,
    printer: Printer | None = None,
    hand_over: Callable[[Callable[[], None]], object] | None = None,
    settle: Callable[[list[Settled]], None] = settle_each,
    reconnect: float = RECONNECT,
) -> Session:
    """Connect to a master, open a job or visit one, keep up the heartbeat that the master asks for.

    hand_over: as for `Session`; without it the session is used in the reactor's own thread.  reconnect: seconds
    for which a lost link is tried again, 0 for not at all.
    Raises MasterNotFoundError, ProofError, VersionMismatchError, RefusedError, LinkLostError.
    """

    async def connect(handler: Callable[[Any], Any]) -> SessionLink:
        from asyncluster.wire.accounts import Credentials
        from asyncluster.wire.connect import connect_tcp, connect_unix

        if isinstance(place, TcpPlace):
            credentials = Credentials(place.user, place.password, place.server_password)
            return await connect_tcp(reactor, place.host, place.port, Role.CLIENT, credentials, handler, options.name)
        if not isinstance(place, UnixPlace):
            link: SessionLink = await place.connect(reactor, handler)
            return link
        return await connect_unix(reactor, place.path, Role.CLIENT, options.name, handler)

    if isinstance(place, UnixPlace) and place.own:  # what ends with us cannot come back
        reconnect = 0
    options = attrs.evolve(options, reconnect=reconnect)
    session = await open_session(
        connect,
        options,
        hand_over or _at_once,
        settle,
        printer,
        threading.Lock(),
        lambda call: reactor.callLater(0, call),
    )
    if isinstance(place, UnixPlace):
        session.slots = max(session.slots, place.slots)  # an embedded node may register in a moment
    if session.realm and reconnect > 0:
        session.come_back_with(Comeback(reactor, session, connect, reconnect, lambda: _pauses(reconnect), printer))
    _watch(reactor, session, printer)
    return session


def _pauses(limit: float) -> Retry:
    from asyncluster.wire.retry import Retry

    return Retry(LONGEST_PAUSE, limit, FIRST_PAUSE)


def _watch(reactor: IReactor, session: Session, printer: Printer | None) -> None:
    """Heartbeat and patience, anew with each link."""
    stops: list[Callable[[], None]] = []

    def look(up: bool) -> None:
        while stops:
            stops.pop()()
        if up:
            if session.terms is not None:
                stops.append(_beat(reactor, session, session.terms))
            if printer is not None:
                stops.append(Patience(reactor, session, printer).stop)

    session.on_link(look)


def _beat(reactor: IReactor, session: Session, terms: Terms) -> Callable[[], None]:
    from asyncluster.wire.beating import start_beating

    link: Any = session.link  # a Link, or what an OwnPlace made in its stead
    return start_beating(reactor, link, terms.heartbeat, terms.silence, session.silent).stop


def _at_once(function: Callable[[], None]) -> None:
    function()
