"""Is the other side still there?  Pure: it is told the time and how much has come.

Both sides send a `Beat` every interval.  Whatever arrives is a sign of life; a peer from which nothing came for
the silence limit is gone, even when TCP has not noticed (a pulled cable, a stopped virtual machine).
"""

from __future__ import annotations

import attrs


@attrs.define
class Pulse:
    """Watches one link.  `interval` and `silence` are seconds."""

    interval: float
    silence: float
    _received: int = -1
    _heard: float = 0.0

    def silent(self, now: float, received: int) -> bool:
        """Whether the peer has been silent for too long; call it every interval.

        `received` is anything that grows with what arrives.
        """
        if received != self._received:
            self._received, self._heard = received, now
        return now - self._heard > self.silence

    def excuse(self, now: float) -> None:
        """Whatever it was silent for up to now does not count."""
        self._heard = now
