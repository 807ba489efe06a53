"""What a world of machines, nodes and jobs has, each as it really is."""

from __future__ import annotations

import attrs

from asyncluster.model.batch import BatchJob


@attrs.define(eq=False)
class Machine:
    """An instance as it really is.  spare: the cloud made it of itself, beside the one that was ordered."""

    id: str
    name: str
    pool: str
    token: str
    born: float
    boots: float
    lease_until: float
    address: str
    spare: bool = False
    broken: bool = False
    ended: float | None = None
    ending: float | None = None
    ours: bool = True
    owner: str = ""
    left_out: bool = False
    expires: float = 0.0  # by its tag, 0 = it has none
    stuck: bool = False
    lifetime: float = 0.0  # seconds from when it runs, 0 = for ever
    off: bool = False  # it has shut itself down, and is there until somebody ends it

    @property
    def runs(self) -> bool:
        return self.ended is None and not self.off


@attrs.define(eq=False)
class Member:
    """A node as the scheduler has it."""

    name: str
    cores: int
    machine: Machine | None
    held: bool = True
    memory: int = 0  # 0 = as much as any job wants
    properties: tuple[str, ...] = ()
    account: str = ""  # "" = everybody's
    jobs: dict[str, int] = attrs.Factory(dict)

    @property
    def free(self) -> int:
        return self.cores - sum(self.jobs.values())

    def has_room(self, job: BatchJob) -> bool:
        """For one more job, which has all of the memory."""
        (chunk,) = job.chunks
        large = 0 < self.memory < chunk.memory
        mine = self.account in {"", job.account}
        return mine and self.free >= job.cores and not large and {*self.properties}.issuperset(chunk.properties)

    @property
    def alive(self) -> bool:
        return self.machine is None or self.machine.runs


@attrs.define(eq=False)
class Work:
    """A job as it really is: on its way, or over."""

    job: BatchJob
    seconds: float
    ends: float | None = None
    node: str = ""
