"""Whose task goes next: priorities, then turns between owners, then turns between an owner's jobs.

    priority 5:  alice -> job 3, job 7      a turn of alice is a turn of one of her jobs' lines
                 bob   -> job 4
    priority 0:  ...                        asked only when nothing above it fits

A turn may be many tasks: who takes N tasks gives each of K children N // K of them, at least one, and the
next one who takes goes on where this one ended.  So the cost of fairness does not grow with the queue.

A child that does not *fit* the taker is passed over.  A child that fits while the taker is *full* keeps its
turn and ends the taking: otherwise an owner of long tasks, for which there is seldom room, would be
passed over for ever by an owner of short ones.

An owner who may have nothing more just now stands *aside* (see `allowance`): what is queued there is not seen, and its
owner's turns begin anew when that is over.

The queue knows neither nodes nor clock; the `Taker` says what fits and how much room there is.
"""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from asyncluster.jobs.allowance import Allowance
from asyncluster.model.messages import Task


class Line:
    """Queued tasks of one job that need the same, first in first out; the task message itself is the record.

    `tasks` is an OrderedDict because it gives all three in constant time: the first, any by number
    (cancel), and putting back in front.
    """

    def __init__(self, job: int, owner: str, priority: int, allowance: Allowance | None = None) -> None:
        self.job = job
        self.owner = owner
        self.priority = priority
        self.tasks: OrderedDict[int, Task] = OrderedDict()
        self.listed = False  # invariant: true exactly while the line stands in its owner's turns
        self.paused = False  # nothing of it is given out; then it does not stand there
        self.allowance = Allowance(owner) if allowance is None else allowance


L = TypeVar("L", bound=Line)
C = TypeVar("C")
L_contra = TypeVar("L_contra", bound=Line, contravariant=True)


class Taker(Protocol[L_contra]):
    """Somebody (in fact a node) who asks for work."""

    def fits(self, line: L_contra) -> bool:
        """Whether tasks of this line may ever go there; asked again at each turn."""

    def room(self, line: L_contra, code: int) -> int:
        """How many more tasks of this kind there is room for now, after all that was accepted."""

    def accept(self, line: L_contra, code: int, tasks: list[Task]) -> None:
        """These tasks have left the queue and are the taker's."""


def take_from_line(line: L, count: int, taker: Taker[L]) -> tuple[int, bool]:
    """Hand out up to `count` tasks in runs of one code; (how many, whether the taker was too full for one)."""
    tasks = line.tasks
    taken = 0
    while tasks and taken < count:
        code = next(iter(tasks.values())).code
        room = taker.room(line, code)
        if room <= 0:
            return taken, True
        run = _pop_run(tasks, code, min(room, count - taken))
        taker.accept(line, code, run)
        taken += len(run)
    if not tasks:
        tasks.clear()  # an emptied table keeps the size it had with a million in it
    return taken, False


def _pop_run(tasks: OrderedDict[int, Task], code: int, most: int) -> list[Task]:
    """Remove the first tasks as long as they call `code`."""
    run: list[Task] = []
    pop, keep = tasks.popitem, run.append
    for _ in range(min(most, len(tasks))):
        seq, task = pop(False)
        if task.code != code:
            tasks[seq] = task
            tasks.move_to_end(seq, last=False)
            break
        keep(task)
    return run


def take_turns(
    turns: deque[C], count: int, take: Callable[[C, int], tuple[int, bool]], keep: Callable[[C], bool]
) -> tuple[int, bool]:
    """Go round the children until `count` is taken or none of them gives anything.

    `take(child, most)` answers as this function does: how many, and whether the taker was too full for
    whoever's turn it was; `keep(child)` says whether the child still has something queued.
    """
    taken = barren = 0
    while taken < count and barren < len(turns):
        quantum = max(1, (count - taken) // len(turns))
        for _ in range(len(turns)):
            child = turns[0]
            got, full = take(child, min(quantum, count - taken))
            if full and not got:
                return taken, True
            taken += got
            barren = 0 if got else barren + 1
            turns.popleft()
            if keep(child):
                turns.append(child)
            if taken >= count:
                break
    return taken, False


class _Owner(Generic[L]):
    """Turns between the lines of one owner at one priority."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: deque[L] = deque()

    def take(self, count: int, taker: Taker[L]) -> tuple[int, bool]:
        def take(line: L, most: int) -> tuple[int, bool]:
            # a line for which its owner has too little left keeps its turn, and ends the owner's
            return take_from_line(line, most, taker) if taker.fits(line) else (0, line.allowance.short > 0)

        allowance = self.lines[0].allowance  # all have the same
        taken, full = take_turns(self.lines, count, take, self._keep)
        return taken, full and not allowance.short

    @staticmethod
    def _keep(line: L) -> bool:
        line.listed = bool(line.tasks)
        return line.listed


class _Level(Generic[L]):
    """Turns between the owners of one priority."""

    def __init__(self) -> None:
        self.owners: dict[str, _Owner[L]] = {}
        self.turns: deque[_Owner[L]] = deque()

    def take(self, count: int, taker: Taker[L]) -> tuple[int, bool]:
        return take_turns(self.turns, count, lambda owner, most: owner.take(most, taker), self._keep)

    def _keep(self, owner: _Owner[L]) -> bool:
        if not owner.lines:
            del self.owners[owner.name]
        return bool(owner.lines)


class Queue(Generic[L]):
    """All queued tasks in their lines.

    `total` is how many there are that may be given out: not in a paused line, nor of an owner who stands aside.
    """

    def __init__(self) -> None:
        self.total = 0
        self._aside: dict[str, dict[int, _Owner[L]]] = {}  # by owner and priority
        self._levels: dict[int, _Level[L]] = {}
        self._order: list[int] = []  # negated priorities, so that the highest comes first

    def add(self, line: L, tasks: dict[int, Task]) -> None:
        """Append tasks (by number); their numbers must not be in the line yet."""
        line.tasks.update(tasks)
        if not line.paused:
            if not line.allowance.aside:
                self.total += len(tasks)
            self._list(line)

    def put_back(self, line: L, tasks: Iterable[Task]) -> None:
        """Put tasks in front, the first of them foremost."""
        before = len(line.tasks)
        for task in reversed(list(tasks)):
            line.tasks[task.seq] = task
            line.tasks.move_to_end(task.seq, last=False)
        if _counts(line):
            self.total += len(line.tasks) - before
        self._list(line)

    def remove(self, line: L, seq: int) -> Task | None:
        """Take one task out, None where it is not queued.  The line may be left empty: see `tidy`."""
        task = line.tasks.pop(seq, None)
        if task is not None:
            self.total -= _counts(line)
        return task

    def sole(self) -> L | None:
        """The line of the only queued task; None when none is queued, or more than one."""
        if self.total != 1:
            return None
        owner = self._levels[-self._order[0]].turns[0]
        return owner.lines[0]

    def pop(self, line: L) -> Task:
        """Take the first task of a line out, past all turns; for a `sole` one."""
        _, task = line.tasks.popitem(last=False)
        self.total -= not line.allowance.aside
        self.tidy(line)
        return task

    def serve(self, line: L) -> Task:
        """Take the first task of a line out, out of turn; its next turn is the last then."""
        task = self.pop(line)
        if line.tasks:
            owner = self._owner(line)
            owner.lines.remove(line)
            owner.lines.append(line)
            if not line.allowance.aside:
                level = self._levels[line.priority]
                level.turns.remove(owner)
                level.turns.append(owner)
        return task

    def pause(self, line: L, paused: bool) -> None:
        """Give out nothing of this line, or again."""
        if line.paused != paused:
            line.paused = paused
            if not line.allowance.aside:
                self.total += -len(line.tasks) if paused else len(line.tasks)
            self._unlist(line)
            self._list(line)

    def clear(self, line: L) -> None:
        """Forget all tasks of a line."""
        if _counts(line):
            self.total -= len(line.tasks)
        line.tasks.clear()
        self.tidy(line)

    def tidy(self, line: L) -> None:
        """After removals: an empty line leaves the turns."""
        if not line.tasks:
            self._unlist(line)

    def _unlist(self, line: L) -> None:
        if not line.listed:
            return
        line.listed = False
        owner = self._owner(line)
        owner.lines.remove(line)
        if line.allowance.aside:
            if not owner.lines:
                del self._aside[line.owner][line.priority]
            return
        level = self._levels[line.priority]
        if not owner.lines:
            level.turns.remove(owner)
            del level.owners[owner.name]
        self._drop_level(line.priority)

    # Owners who may have nothing more just now

    def set_aside(self, allowance: Allowance) -> None:
        """Nothing of that owner is to be seen, until `bring_back`; nothing where it is so already."""
        if allowance.aside:
            return
        allowance.aside = True
        found = self._aside[allowance.owner] = {}
        for priority in [priority for priority, level in self._levels.items() if allowance.owner in level.owners]:
            level = self._levels[priority]
            owner = found[priority] = level.owners.pop(allowance.owner)
            level.turns.remove(owner)
            self.total -= sum(len(line.tasks) for line in owner.lines)
            self._drop_level(priority)

    def bring_back(self, allowance: Allowance) -> None:
        """That owner has turns again, the last ones, and its lines go on in their order."""
        if not allowance.aside:
            return
        allowance.aside = False
        for priority, owner in self._aside.pop(allowance.owner).items():
            level = self._level(priority)
            level.owners[owner.name] = owner
            level.turns.append(owner)
            self.total += sum(len(line.tasks) for line in owner.lines)

    def _owner(self, line: L) -> _Owner[L]:
        """Who has that line, which is listed."""
        if line.allowance.aside:
            return self._aside[line.owner][line.priority]
        return self._levels[line.priority].owners[line.owner]

    def take(self, count: int, taker: Taker[L]) -> int:
        """Hand the taker up to `count` tasks that fit it and for which it has room; how many it got."""
        taken = 0
        for negated in self._order[:]:
            got, full = self._levels[-negated].take(count - taken, taker)
            taken += got
            self._drop_level(-negated)
            if full or taken >= count:
                break
        self.total -= taken
        return taken

    def top(self) -> int | None:
        """The highest priority at which something waits."""
        return -self._order[0] if self._order else None

    def _list(self, line: L) -> None:
        if line.listed or line.paused or not line.tasks:
            return
        line.listed = True
        if line.allowance.aside:
            found = self._aside[line.owner]
            if line.priority not in found:
                found[line.priority] = _Owner(line.owner)
            found[line.priority].lines.append(line)
            return
        level = self._level(line.priority)
        owner = level.owners.get(line.owner)
        if owner is None:
            owner = level.owners[line.owner] = _Owner(line.owner)
            level.turns.append(owner)
        owner.lines.append(line)

    def _level(self, priority: int) -> _Level[L]:
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = _Level()
            insort(self._order, -priority)
        return level

    def _drop_level(self, priority: int) -> None:
        if not self._levels[priority].turns:
            del self._levels[priority]
            self._order.remove(-priority)


def _counts(line: Line) -> bool:
    """Whether what is queued there may be given out."""
    return not (line.paused or line.allowance.aside)
