"""Personal mode: a master and nodes of one's own, without a file to write or a right to ask for.

`find` tells where the personal master listens, `start_embedded` starts one for the life of this
program.  Both are light: `Cluster()` calls them before it imports the rest, so that all warm up at once.
"""

from __future__ import annotations

from asyncluster.personal.embedded import Embedded, start_embedded
from asyncluster.personal.paths import find, nobody

__all__ = ["Embedded", "find", "nobody", "start_embedded"]
