"""What fits where: the room a task needs, kinds of node, and sums of slots, memory and gpus.

Pure arithmetic over plain values.  Amounts are triples (slots, bytes of memory, gpus).  Most tasks take one slot and
nothing else; for those `room_of` gives None, and nothing here is asked of them.
"""

from __future__ import annotations

from collections import Counter

import attrs

from asyncluster.model.need import Need, slots_of
from asyncluster.model.node import NodeFacts

Amount = tuple[int, int, int]
"""Slots, bytes of memory, gpus."""

ONE_SLOT: Amount = (1, 0, 0)


@attrs.frozen(cache_hash=True)
class Room:
    """The part of a `Need` that decides where a task may run."""

    cores: int = 1
    memory: int = 0
    gpus: int = 0
    features: frozenset[str] = frozenset()
    time: float = 0.0  # seconds it may take, 0 = not said: no node that ends before then will do

    @property
    def bulky(self) -> bool:
        """Needs more than one slot of the right node: never sent ahead, only into room that is free now."""
        return self.cores > 1 or self.memory > 0 or self.gpus > 0

    def on(self, slots: int, cores: int) -> Amount:
        """What a task takes on a node of that many slots and cores."""
        return slots_of(self.cores, slots, cores), self.memory, self.gpus


def room_of(need: Need) -> Room | None:
    """None for one slot of any node."""
    if need.cores == 1 and not (need.memory or need.gpus or need.features or need.time_limit):
        return None
    return Room(need.cores, need.memory, need.gpus, frozenset(need.features), need.time_limit)


@attrs.frozen(cache_hash=True)
class NodeKind:
    """What nodes have in common that can run the same tasks."""

    serves: str
    python: str
    cores: int
    memory: int
    gpus: int
    features: frozenset[str]

    def fits(self, owner: str, python: str, room: Room | None = None) -> bool:
        """Whether an empty node of this kind can run such a task."""
        return self.serves in ("*", owner) and python in ("", self.python) and (room is None or self.has(room))

    def has(self, room: Room) -> bool:
        """Whether an empty node of this kind has that much; how long it lives is its own affair."""
        return (
            room.cores <= self.cores
            and room.memory <= self.memory
            and room.gpus <= self.gpus
            and room.features <= self.features
        )


def kind_of(facts: NodeFacts) -> NodeKind:
    """The kind of a node."""
    features = frozenset(facts.features)
    return NodeKind(facts.serves, facts.python, facts.cores, facts.memory, facts.gpus, features)


class Kinds:
    """The kinds of the nodes present: few, however many nodes there are."""

    def __init__(self) -> None:
        self._counts: Counter[NodeKind] = Counter()
        self.expected: tuple[NodeKind, ...] = ()  # of nodes that pools could provide

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, kind: NodeKind) -> None:
        """A node joined."""
        self._counts[kind] += 1

    def drop(self, kind: NodeKind) -> None:
        """A node left."""
        self._counts[kind] -= 1
        if not self._counts[kind]:
            del self._counts[kind]

    def lack(self, python: str) -> bool:
        """Whether nodes are here, and none of them, or of those that may come, runs that Python."""
        return bool(python and self._counts) and all(kind.python != python for kind in (*self._counts, *self.expected))

    def cannot(self, owner: str, python: str, room: Room) -> bool:
        """Whether nodes are here that would take tasks of that owner and Python, and none has the room, or will."""
        able = [kind for kind in self._counts if kind.fits(owner, python)]
        return bool(able) and not any(kind.has(room) for kind in (*able, *self.expected) if kind.fits(owner, python))


def times(free: Amount, use: Amount) -> int:
    """How often `use` goes into `free`."""
    return max(0, min(have // want for have, want in zip(free, use, strict=True) if want))


def beside(free: Amount, kept: Amount) -> Amount:
    """What others may have of a node that is being emptied for something that takes `kept`.

    Nothing of what that one is short of, and what exceeds its part of the rest: so a node whose only gpu is in use
    need not stand idle until it is free, and what waits for it is not put off by a moment.
    """
    slots, memory, gpus = (0 if have < want else have - want for have, want in zip(free, kept, strict=True))
    return slots, memory, gpus
