"""Heartbeats on one link, the same for master, node and client: send one every interval, watch for silence."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from asyncluster.model.messages import Beat
from asyncluster.wire.link import Link
from asyncluster.wire.pulse import Pulse


class Beating:
    """Until `stop` is called.  (Twisted's LoopingCall would install the global reactor in a client's program.)"""

    def __init__(self, reactor: IReactorTime, link: Link, pulse: Pulse, gone: Callable[[], None]) -> None:
        self._reactor = reactor
        self._link = link
        self._pulse = pulse
        self._gone = gone
        self._next = reactor.callLater(pulse.interval, self._beat)

    def stop(self) -> None:
        """The link has ended.  Harmless when called again."""
        if self._next.active():
            self._next.cancel()

    def _beat(self) -> None:
        if self._link.reading_held:  # nothing can come
            self._link.received += 1
        if self._pulse.silent(self._reactor.seconds(), self._link.received):
            self._gone()
            return
        self._next = self._reactor.callLater(self._pulse.interval, self._beat)
        self._link.send(Beat(0))


def start_beating(
    reactor: IReactorTime, link: Link, interval: float, silence: float, gone: Callable[[], None]
) -> Beating:
    """Beat every `interval` seconds; call `gone` once when nothing has come for `silence` seconds.

    Stop what it returns when the link has ended.
    """
    return Beating(reactor, link, Pulse(interval, silence), gone)
