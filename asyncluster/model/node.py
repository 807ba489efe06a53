"""What a node says of itself, and what the master knows about it."""

from __future__ import annotations

from enum import Enum

import attrs


class NodeState(Enum):
    """Shown everywhere: command line, REST, dashboard."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    HOLDING = "holding"
    HELD = "held"
    ERROR = "error"
    DELETING = "deleting"


@attrs.frozen
class NodeFacts:
    """Sent by the node when it registers.

    slots: tasks at a time; cores: logical CPUs; memory: bytes; python: "3.11"; serves: name of the only
    owner whose tasks it runs, or "*"; birthplace: "daemon", later "pilot" or "instance".
    """

    name: str
    host: str
    slots: int
    cores: int
    memory: int
    python: str
    serves: str = "*"
    birthplace: str = "daemon"
    pid: int = 0
    software: str = ""


@attrs.frozen
class NodeView:
    """One line of `asyncluster nodes`."""

    name: str
    state: NodeState
    host: str
    slots: int
    running: int
    done: int
    lost: int
    address: str
    python: str
    serves: str
    since: float  # seconds since the epoch
