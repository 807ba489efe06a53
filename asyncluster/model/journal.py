"""What the journal of jobs is made of, as values: rows that say what happened, in order."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import attrs

from asyncluster.model.bulk import Parts


class Kind(IntEnum):
    """What a row of a job's log says; numbers are kept for ever."""

    MESSAGES = 1  # encoded batch: Code, Step, After, Task and Cancel messages of the client, as they came
    RESULTS = 2  # encoded batch: Results that end tasks
    FETCHED = 3  # msgpack list of numbers: the client has the results of these tasks
    LOSS = 4  # msgpack [seq, text]: an attempt was lost
    TRIED = 6  # msgpack [seq, text]: an attempt raised or went over a limit, and is tried again
    PAUSED = 7  # msgpack bool: nothing of the job is given out, or again is
    DETACHED = 8  # msgpack bool: the job needs no client, or has one again
    COUNT = 5  # msgpack number: how many messages of the client came before, for a log that was rewritten


@attrs.frozen
class Entry:
    """One row."""

    job: int
    kind: int
    data: bytes | memoryview | Parts  # parts: a message whose payload is not copied; a view: read back, and large


@attrs.frozen
class StoredJob:
    """A job that was opened and not closed.

    spec: the fields of `JobSpec`; opened: seconds since the epoch.
    """

    job: int
    owner: str
    spec: dict[str, Any]
    opened: float
