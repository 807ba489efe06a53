"""Something that is done again and again, and goes on being done though it fails once."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

_log = Logger()


@attrs.define(eq=False)
class Ticking:
    """Between `start` and `stop`; every: seconds; what: is not done where a tick fails, for the log."""

    clock: IReactorTime
    every: float
    tick: Callable[[], object]
    what: str
    _loop: LoopingCall | None = None

    def start(self) -> None:
        """The first tick comes when its time has passed."""
        self._loop = LoopingCall(self._tick)
        self._loop.clock = self.clock
        self._loop.start(self.every, now=False)

    def stop(self) -> None:
        """No more; harmless where there are none."""
        if self._loop is not None and self._loop.running:
            self._loop.stop()

    def _tick(self) -> None:
        try:
            self.tick()
        except Exception:  # else the loop would end, and never tick again
            _log.failure("{what} failed; it is tried again in {every} s", what=self.what, every=self.every)
