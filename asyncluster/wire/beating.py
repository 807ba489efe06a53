"""Heartbeats on one link, the same for master, node and client: send one every interval, watch for silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from asyncluster.model.messages import Beat, Message
from asyncluster.wire.link import Link
from asyncluster.wire.pulse import Pulse

T = TypeVar("T")

_BEAT: list[Message] = [Beat(0)]

_STEP = 0.25
"""Seconds: beats of many links fall on common moments, as each moment wakes the process up."""


class Beating:
    """Until `stop` is called.  (Twisted's LoopingCall would install the global reactor in a client's program.)"""

    def __init__(self, reactor: IReactorTime, link: Link, pulse: Pulse, gone: Callable[[], None]) -> None:
        self._reactor = reactor
        self._link = link
        self._pulse = pulse
        self._gone = gone
        self._waiting = 0  # answers that we owe the peer
        self._next = reactor.callLater(self._delay(), self._beat)

    def while_it_waits(self, answer: Deferred[T]) -> Deferred[T]:
        """The peer waits for this answer of ours, and need not speak before it has it."""
        self._waiting += 1

        def given(outcome: Any) -> Any:
            self._waiting -= 1
            return outcome

        return answer.addBoth(given)

    def stop(self) -> None:
        """The link has ended.  Harmless when called again."""
        if self._next.active():
            self._next.cancel()

    def _delay(self) -> float:
        """An interval, or a little less: up to the last common moment within it."""
        interval = self._pulse.interval
        return interval - (self._reactor.seconds() + interval) % min(_STEP, interval / 8)

    def _beat(self) -> None:
        if self._waiting or self._link.reading_held:  # nothing can be heard
            self._pulse.excuse(self._reactor.seconds())
        elif self._pulse.silent(self._reactor.seconds(), self._link.received):
            self._gone()
            return
        self._next = self._reactor.callLater(self._delay(), self._beat)
        self._link.send_now(_BEAT)  # a turn's worth: of an idle link another turn would be half of what it costs


def start_beating(
    reactor: IReactorTime, link: Link, interval: float, silence: float, gone: Callable[[], None]
) -> Beating:
    """Beat every `interval` seconds; call `gone` once when nothing has come for `silence` seconds.

    Stop what it returns when the link has ended.
    """
    return Beating(reactor, link, Pulse(interval, silence), gone)
