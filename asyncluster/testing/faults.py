"""Faults, and schedules of them drawn from a seed: pure save for what they do to a `Ground`.

A fault begins, lasts, and is mended.  `target` says what it is done to: two at once on the same target are not drawn.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Protocol

import attrs

from asyncluster.testing.ground import BEHIND_PROXY, Ground


class Fault(Protocol):
    """One that can be begun and mended."""

    @property
    def target(self) -> str:
        """What it is done to."""

    def begin(self, ground: Ground) -> None:
        """Break it."""

    def mend(self, ground: Ground) -> None:
        """Put it right."""


@attrs.frozen
class End:
    """A daemon is killed with -9, or stopped as systemd would; then started again."""

    name: str
    kill: bool = True

    @property
    def target(self) -> str:
        """The process."""
        return f"process {self.name}"

    def begin(self, ground: Ground) -> None:
        """End it."""
        ground.end(self.name, self.kill)

    def mend(self, ground: Ground) -> None:
        """Start it again."""
        ground.start(self.name)


@attrs.frozen
class KillWorker:
    """A worker process is killed with -9."""

    node: str
    which: int

    @property
    def target(self) -> str:
        """A worker."""
        return f"worker {self.node}"

    def begin(self, ground: Ground) -> None:
        """Kill it."""
        workers = ground.workers(self.node)
        if workers:
            workers[self.which % len(workers)].kill()
            ground.workers_killed += 1

    def mend(self, ground: Ground) -> None:
        """The node does."""


@attrs.frozen
class Cut:
    """A node's cable is pulled."""

    node: str

    @property
    def target(self) -> str:
        """The cable."""
        return f"cable {self.node}"

    def begin(self, ground: Ground) -> None:
        """Off the bridge."""
        ground.hosts.cut(ground.nodes[self.node])

    def mend(self, ground: Ground) -> None:
        """Back on it."""
        ground.hosts.mend(ground.nodes[self.node])


@attrs.frozen
class Trouble:
    """A proxy stalls, delays or resets."""

    route: str
    order: str

    @property
    def target(self) -> str:
        """The proxy's door."""
        return f"proxy {self.route}"

    def begin(self, ground: Ground) -> None:
        """From now on."""
        ground.proxy.tell(self.order, self.route, *(["0.2"] if self.order == "delay" else []))

    def mend(self, ground: Ground) -> None:
        """As ever."""
        if self.order == "delay":
            ground.proxy.tell("delay", self.route, "0")
        elif self.order == "stall":
            ground.proxy.tell("go", self.route)


@attrs.frozen
class FullDisk:
    """Nothing more can be written under the master's journal ("state") or in a node's state folder."""

    name: str

    @property
    def target(self) -> str:
        """The disk."""
        return f"disk {self.name}"

    def begin(self, ground: Ground) -> None:
        """Fill it."""
        ground.fill(self.name)

    def mend(self, ground: Ground) -> None:
        """Make room."""
        ground.clear(self.name)


@attrs.frozen
class Clock:
    """The time of day jumps for one daemon, and back."""

    name: str
    seconds: int

    @property
    def target(self) -> str:
        """The clock."""
        return f"clock {self.name}"

    def begin(self, ground: Ground) -> None:
        """Set it wrong."""
        ground.set_clock(self.name, self.seconds)

    def mend(self, ground: Ground) -> None:
        """Set it right."""
        ground.set_clock(self.name, 0)


@attrs.frozen
class Event:
    """A fault with its time, in seconds from the beginning."""

    at: float
    fault: Fault
    lasts: float


SHORT, LONG = (0.2, 2.5), (6.0, 11.0)
"""Seconds: well within a test site's silence limit, and well beyond it."""

JUMPS = (3600, -3600, 400 * 86400, -400 * 86400)
"""Seconds."""

Draw = Callable[[random.Random], Fault]


def draws(nodes: Iterable[str]) -> list[tuple[Draw, tuple[float, float]]]:
    """How each kind of fault is drawn, and how long it lasts; twice named is twice as likely."""
    names = list(nodes)
    daemons = ["master", *names]
    routes = [*BEHIND_PROXY, "client"]
    kinds: list[tuple[Draw, tuple[float, float]]] = [
        (lambda _: End("master"), SHORT),
        (lambda _: End("master"), LONG),
        (lambda chance: End(chance.choice(names)), SHORT),
        (lambda chance: End(chance.choice(daemons), kill=False), SHORT),
        (lambda chance: KillWorker(chance.choice(names), chance.randrange(100)), SHORT),
        (lambda chance: KillWorker(chance.choice(names), chance.randrange(100)), SHORT),
        (lambda chance: Cut(chance.choice(names)), SHORT),
        (lambda chance: Cut(chance.choice(names)), LONG),
        (lambda chance: Trouble(chance.choice(routes), "reset"), SHORT),
        (lambda chance: Trouble(chance.choice(routes), "reset"), SHORT),
        (lambda chance: Trouble(chance.choice(routes), "stall"), SHORT),
        (lambda chance: Trouble(chance.choice(routes), "stall"), LONG),
        (lambda chance: Trouble(chance.choice(routes), "delay"), LONG),
        (lambda _: FullDisk("state"), SHORT),
        (lambda _: FullDisk("state"), LONG),
        (lambda chance: FullDisk(chance.choice(names)), LONG),
        (lambda _: End("bystander"), SHORT),
        (lambda chance: Clock(chance.choice(daemons), chance.choice(JUMPS)), SHORT),
        (lambda chance: Clock(chance.choice(daemons), chance.choice(JUMPS)), LONG),
    ]
    return kinds


def draw(seed: int, count: int, within: float, nodes: Iterable[str]) -> list[Event]:
    """So many faults that begin within so many seconds; always the same for the same arguments."""
    chance = random.Random(seed)  # noqa: S311 (it has to be repeatable)
    kinds = draws(nodes)
    busy: dict[str, float] = {}
    events = []
    for at in sorted(chance.uniform(0, within) for _ in range(count)):
        kind, (least, most) = chance.choice(kinds)
        fault, lasts = kind(chance), chance.uniform(least, most)
        if busy.get(fault.target, -1.0) < at:
            busy[fault.target] = at + lasts
            events.append(Event(round(at, 2), fault, round(lasts, 2)))
    return events
