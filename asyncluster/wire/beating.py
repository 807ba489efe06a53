"""Heartbeats on one link, the same for master, node and client: send one every interval, watch for silence."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from asyncluster.model.messages import Beat
from asyncluster.wire.link import Link
from asyncluster.wire.pulse import Pulse

_log = Logger()


def start_beating(
    reactor: IReactorTime, link: Link, interval: float, silence: float, gone: Callable[[], None]
) -> LoopingCall:
    """Beat every `interval` seconds; call `gone` once when nothing has come for `silence` seconds.

    Stop what it returns when the link has ended.
    """
    pulse = Pulse(interval, silence)
    said = False

    def beat() -> None:
        nonlocal said
        try:
            if not pulse.silent(reactor.seconds(), link.received):
                link.send(Beat(0))
            elif not said:
                said = True
                gone()
        except Exception:  # else the loop would end, and the peer with it
            _log.failure("a heartbeat failed")

    loop = LoopingCall(beat)
    loop.clock = reactor
    loop.start(interval, now=False)
    return loop
