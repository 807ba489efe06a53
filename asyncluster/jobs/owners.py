"""The owners of jobs, and what each may have: limits come and go while tasks wait and run.

What was sent ahead to nodes comes back when its owner may have less, since a node would begin it whatever was said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from asyncluster.jobs.actions import Action, Outbox
from asyncluster.jobs.allowance import Allowance
from asyncluster.jobs.book import NodeRecord
from asyncluster.jobs.dispatch import Dispatcher
from asyncluster.jobs.leaving import cut
from asyncluster.jobs.stepping import end_steps
from asyncluster.jobs.working import cores_at_work
from asyncluster.model.messages import EVERYTHING, Recall

NODES = 64
"""At so many what runs is ended at a time: a millisecond or two, with what is written to them."""


def _nobody(_allowance: Allowance) -> None:
    """Nobody has set a limit."""


class Owners:
    """All owners that ever had a job here; `fresh` is told of each before its first job is open."""

    def __init__(self, dispatcher: Dispatcher, nodes: Mapping[str, NodeRecord]) -> None:
        self.fresh: Callable[[Allowance], object] = _nobody
        self._dispatcher, self._nodes = dispatcher, nodes
        self._known: dict[str, Allowance] = {}

    def of(self, owner: str) -> Allowance:
        """What that owner may have."""
        found = self._known.get(owner)
        if found is None:
            found = self._known[owner] = Allowance(owner)
            self.fresh(found)
        return found

    def known(self, owner: str) -> Iterable[Allowance]:
        """Of that owner, if there ever was a job of his here."""
        found = self._known.get(owner)
        return () if found is None else (found,)

    def all(self) -> Iterable[Allowance]:
        """Of everybody, in the order in which they came."""
        return self._known.values()

    def limit(self, allowance: Allowance, slots: int | None, queued: int | None) -> list[Action]:
        """From now on the owner may have so many slots and queued tasks; None: as many as there are."""
        lower = slots is not None and (allowance.slots is None or slots < allowance.slots)
        allowance.slots, allowance.queued = slots, queued
        allowance.short = 0  # whatever it was short of, it is found out again
        if lower:
            self._dispatcher.give_up(allowance)
        self._dispatcher.review(allowance)
        return self._recall(allowance) if lower else []

    def bar(self, allowance: Allowance, why: str) -> list[Action]:
        """Give out nothing of that owner, for that reason, or again (""); what nodes work at goes on."""
        before, allowance.bar = allowance.bar, why
        if bool(before) == bool(why):
            return []
        if why:
            self._dispatcher.give_up(allowance)
        self._dispatcher.review(allowance)
        return self._recall(allowance) if why else []

    def end(self, allowance: Allowance) -> Iterator[list[Action]]:
        """What nodes work at of that owner ends there, and is queued again; to say it twice is to say it once.

        Some nodes at a time, so that the caller may do something else in between.
        """
        names = sorted(_places(allowance))
        for first in range(0, len(names), NODES):
            yield self._end_at(allowance, names[first : first + NODES])

    def _end_at(self, allowance: Allowance, names: Iterable[str]) -> list[Action]:
        out = Outbox()
        for node in filter(None, map(self._nodes.get, names)):
            mine = [share for share in node.shares.values() if share.job.allowance is allowance and not share.closed]
            running = {
                (share.job.job, seq, task.attempt)
                for share in mine
                for seq, task in share.tasks.items()
                if share.job.running.get(seq) is share
            }
            if running - node.vacating:
                node.vacating |= running
                cut(node, out)
            if not node.away:
                end_steps(node, [share.job for share in mine], out)
        return out.actions()

    def cores_at_work(self, allowance: Allowance) -> int:
        """Cores that tasks of that owner's open jobs asked for which nodes work at."""
        if not allowance.used:
            return 0
        found = (each for name in _places(allowance) for each in cores_at_work(self._nodes[name]))
        return sum(cores for share, cores in found if share.job.allowance is allowance)

    def cores_by_owner(self) -> Counter[str]:
        """The same of everybody, with one look at each node."""
        cores: Counter[str] = Counter()
        for node in self._nodes.values():
            if node.held:
                for share, count in cores_at_work(node):
                    cores[share.job.owner] += count
        return cores

    def _recall(self, allowance: Allowance) -> list[Action]:
        out = Outbox()
        for name in sorted(_places(allowance)):
            node = self._nodes[name]
            if node.held > node.slots and not node.away:
                out.node(name).append(Recall(EVERYTHING))
        return out.actions()


def _places(allowance: Allowance) -> set[str]:
    return set().union(*(job.places() for job in allowance.jobs.values()))
