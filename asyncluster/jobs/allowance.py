"""What one owner may have of the nodes: how many slots, how many queued tasks, and whether anything at all just now.

There is one for each owner, which all of the owner's jobs share.  Most have no limit; then only sums are kept, a batch
at a time.  Who sets limits, and why, is not known here.

    open --no slot is left for the next task--> short --enough are free--> open
    open or short --bar--> barred --no bar any more--> open

While it is short or barred, or has a limit of no slots, the owner stands *aside* of the queue: nobody looks at what
waits there.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from asyncluster.units import count

UNLIMITED = 1 << 60
"""More slots than there are."""


class Work(Protocol):
    """An open job, as far as its owner's allowance goes."""

    @property
    def waiting(self) -> int:
        """Tasks that no node has."""

    def places(self) -> set[str]:
        """The nodes that have tasks of it, or were sent steps."""


@attrs.define(eq=False)
class Allowance:
    """Of one owner.

    slots, queued: limits, None for none; bar: the sentence why nothing is given out now, "" where there is none.
    used: slots that the owner's tasks take on nodes, sent ahead or cancelled ones too; kept: slots of nodes that are
    being emptied for some; short: slots for which the owner's next task waits, 0 where none does; aside: it stands
    aside of the queue, exactly while it `rests`.
    """

    owner: str = ""
    slots: int | None = None
    queued: int | None = None
    bar: str = ""
    used: int = 0
    kept: int = 0
    short: int = 0
    aside: bool = False
    spent: int = 0  # core-microseconds of attempts that have ended, until somebody takes them
    before: int = 0  # likewise of attempts at work, before this master heard of them
    jobs: dict[int, Work] = attrs.field(factory=dict)  # open ones

    @property
    def rests(self) -> bool:
        """Nothing can be given out: it is to stand aside."""
        return bool(self.bar or self.short or self.slots == 0)

    @property
    def left(self) -> int:
        """Slots that may be given to the owner's tasks now; negative where a limit was lowered meanwhile."""
        return UNLIMITED if self.slots is None else self.slots - self.used - self.kept

    @property
    def waiting(self) -> int:
        """Tasks of the owner that no node has."""
        return sum(job.waiting for job in self.jobs.values())

    def why_not(self, need: int) -> str:
        """Why a task that takes so many slots is not given out; "" where no limit is in its way.

        need: on the nodes where it takes the fewest.
        """
        if self.bar or self.slots is None:
            return self.bar
        if need > self.slots:
            more = f"it takes {count(need, 'slot')}, and {self.owner} may have {self.slots} at once"
            return f"{more}; {_mend(self.owner, 'slots')}"
        if need > self.left:
            taken = f"{self.used + self.kept} of the {count(self.slots, 'slot')} that {self.owner} may have at once"
            return f"{taken} are in use; {_mend(self.owner, 'slots')}"
        return ""

    def too_many(self, waiting: int) -> str:
        """What is told of a task that is refused since the limit of queued tasks is reached."""
        return (
            f"it was not taken: {self.owner} has {count(waiting, 'task')} queued, and may have {self.queued}; submit "
            f"it again when some of them have begun, or {_mend(self.owner, 'queued')}"
        )


def _mend(owner: str, what: str) -> str:
    return f"an administrator can change that by `asyncluster user limit {owner} --{what} N`"
