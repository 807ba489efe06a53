"""A world of machines, nodes and jobs that goes wrong in every way that real ones do; pure, and moved on by `pass_to`.

All chance is that of one `random.Random`, so that a history can be played again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import attrs

from asyncluster.errors import CapacityError, CloudError, CommandFailedError, NoAnswerError, QuotaError
from asyncluster.model.batch import BatchJob, BatchNode, BatchState, Chunk, Demand
from asyncluster.model.node import NodeState
from asyncluster.model.supply import Instance, InstanceState, Listing, Order, Pool, Sought
from asyncluster.supply.naming import check_name
from asyncluster.testing.elastic_things import Machine, Member, Work

WATCHED = 300.0
"""Seconds after its lease at which the watch of a batch system's node ends it (etc/userdata/watch)."""

OLDEST = 40.0
"""Seconds that an old listing is old at most."""


@attrs.define
class Faults:
    """How often what goes wrong: chances of one question or order, 0 to 1; lag, deafness: seconds."""

    capacity: float = 0.0
    quota: float = 0.0
    refused: float = 0.0
    lost_reply: float = 0.0  # it was done, and nobody is told
    no_answer: float = 0.0  # it was not done, and nobody is told
    duplicate: float = 0.0  # one order makes two
    stillborn: float = 0.0  # ends in an error state
    death: float = 0.0  # of an instance, each time the world moves
    lie: float = 0.0  # told to end one, a cloud says yes and does nothing
    gap: float = 0.0  # an instance is left out of a listing, never of two in a row
    silence: float = 0.0  # a question is not answered
    lag: float = 0.0
    unsaved: float = 0.0
    stuck: float = 0.0  # it is being built for ever
    refused_after: float = 0.0  # an error is told, and it was done all the same
    stale: float = 0.0  # a listing is answered with an older one, never two in a row


class World:
    """Everything that is the case.

    boot, end: seconds until an instance runs, and until one that is ended is gone; wrongs: what must never happen, and
    did.
    """

    def __init__(
        self,
        random: Random,
        pools: tuple[Pool, ...],
        faults: Faults,
        boot: float = 45.0,
        end: float = 10.0,
        room: int = 0,
    ) -> None:
        self.now = 0.0
        self.random = random
        self.pools = {pool.name: pool for pool in pools}
        self.faults = faults
        self.boot = boot
        self.end = end
        self.room = room  # machines that there are, 0 = no end of them
        self.machines: dict[str, Machine] = {}
        self.members: dict[str, Member] = {}
        self.works: dict[str, Work] = {}
        self.wrongs: list[str] = []
        self.launched = 0
        self._serial = 0
        self.tagged = 0.0
        """Seconds of a lease that stands in the cloud, as for a batch system's nodes; 0 = nodes of ours, which hear."""
        self.stays_off = False
        """Who ends itself is there still, listed in an error, as with OpenStack; else it is gone, as with EC2."""
        self.skew = self.ahead = 0.0
        """Seconds that the machines' clocks, and the present master's, are ahead of the world's."""
        self.tells = True
        """The scheduler knows from where its nodes come."""
        self._listed: dict[str, list[Listing]] = {}
        self._odd: dict[str, bool] = {}  # pools whose last listing was old or had gaps: the next has none

    def chance(self, of: float) -> bool:
        """Whether it happens this time."""
        return of > 0.0 and self.random.random() < of

    # Time

    def pass_to(self, now: float, renews: Callable[[str], bool] = lambda name: False) -> None:
        """What happens by itself.  renews: whose leases a living master renews."""
        self.now = now
        for machine in self.machines.values():
            if machine.ended is not None or not machine.ours:
                continue
            if renews(machine.name):
                machine.lease_until = max(machine.lease_until, now + 600.0)
            told = machine.ending is not None and machine.ending <= now
            over = (machine.lifetime > 0.0 and machine.boots + machine.lifetime < now) or self._is_over(machine)
            if told or (over and not self.stays_off) or self.chance(self.faults.death):
                machine.ended = now
            machine.off = machine.off or over
        self._finish()
        self._place()

    def _is_over(self, machine: Machine) -> bool:
        """Whether it ends itself: nobody renews its lease, and if it is a batch system's, it runs no job."""
        if machine.expires:
            busy = any(member.machine is machine and member.jobs for member in self.members.values())
            over = machine.expires + WATCHED < self.now + self.skew
            return over and not busy and not machine.stuck and machine.boots <= self.now
        return machine.lease_until < self.now

    def _finish(self) -> None:
        for member in self.members.values():
            for job in list(member.jobs):
                work = self.works.get(job)
                if not member.alive:
                    del member.jobs[job]
                    if work is not None:
                        work.ends = None
                elif work is None or (work.ends is not None and work.ends <= self.now):
                    del member.jobs[job]
                    self.works.pop(job, None)

    def _place(self) -> None:
        for work in self.works.values():
            if work.ends is not None:
                continue
            for member in self.members.values():
                booted = member.machine is None or (member.machine.boots <= self.now and not member.machine.stuck)
                if not member.held and member.alive and booted and member.has_room(work.job):
                    if 0.0 < self.left(member) < work.job.walltime:
                        continue
                    member.jobs[work.job.id] = work.job.cores
                    work.ends, work.node = self.now + work.seconds, member.name
                    break

    def submit(self, cores: int, seconds: float, memory: int = 0, words: tuple[str, ...] = (), **more: Any) -> str:
        """A new job of one node, which bears such words; its id."""
        self._serial += 1
        chunk = Chunk(1, cores, memory, 0, words)
        job = BatchJob(f"j{self._serial}", BatchState.QUEUED, (chunk,), submitted=self.now, **more)
        self.works[job.id] = Work(job, seconds)
        return job.id

    def living(self, pool: str) -> list[Machine]:
        """What really runs, or begins to, and is ours."""
        return [m for m in self.remaining(pool) if not m.off]

    def remaining(self, pool: str) -> list[Machine]:
        """The same, and what has shut itself down and is there still."""
        return [m for m in self.machines.values() if m.pool == pool and m.ended is None and m.ours and not m.owner]

    # What the engine does to it; raises as adapters fail

    def launch(self, order: Order, owner: str = "") -> Instance:
        """See ICloud.  owner: whose tag it bears, "" = ours."""
        check_name(order.name)
        for machine in self.machines.values():
            if machine.token == order.token and not machine.spare:
                return self.shown(machine)
            if (machine.name, machine.pool, machine.ended) == (order.name, order.pool, None) and machine.ours:
                raise CloudError(f"there is {order.name} already, by another order")
        if self.chance(self.faults.no_answer):
            raise NoAnswerError("the cloud does not answer")
        full = 0 < self.room <= sum(machine.ended is None for machine in self.machines.values())
        if self.chance(self.faults.capacity) or full:
            raise CapacityError("no such machine is free")
        if self.chance(self.faults.quota):
            raise QuotaError("cores: 20 of 20 are used")
        if self.chance(self.faults.refused):
            raise CloudError("500 internal error")
        machine = self._make(order, False)
        machine.owner = owner
        if self.chance(self.faults.duplicate):
            self._make(order, True)
        alive = [m for m in self.living(order.pool) if not m.spare]
        if len(alive) > self.pools[order.pool].most:
            self.wrongs.append(f"{len(alive)} machines in pool {order.pool}, of at most {self.pools[order.pool].most}")
        if self.chance(self.faults.lost_reply):
            raise NoAnswerError("the connection was lost")
        if self.chance(self.faults.refused_after):
            machine.spare = True
            raise CloudError("500 internal error, and it was made all the same")
        return self.shown(machine)

    def _make(self, order: Order, spare: bool) -> Machine:
        self.launched += 1
        number = self.launched
        machine = Machine(
            f"i{number}", order.name, order.pool, order.token, self.now, self.now + self.boot, self.now + 1800.0,
            f"10.0.{number // 250}.{number % 250}", spare, self.chance(self.faults.stillborn),
        )  # fmt: skip
        machine.stuck, machine.lifetime = self.chance(self.faults.stuck), order.lifetime
        machine.expires = self.now + self.ahead + self.tagged if self.tagged else 0.0
        self.machines[machine.id] = machine
        return machine

    def shown(self, machine: Machine) -> Instance:
        """As its cloud sees it."""
        if machine.ended is not None:
            state = InstanceState.GONE
        elif machine.ending is not None:
            state = InstanceState.DELETING
        elif machine.broken or machine.off:
            state = InstanceState.ERROR
        else:
            built = machine.boots <= self.now and not machine.stuck
            state = InstanceState.ACTIVE if built else InstanceState.STARTING
        return Instance(
            machine.id, machine.name, state, machine.ours, machine.owner, machine.token, machine.address, machine.born,
            expires=machine.expires, pool=machine.pool if machine.ours else "",
        )  # fmt: skip

    def list(self, pool: str) -> Listing:
        """See ICloud: late, and sometimes with gaps."""
        if self.chance(self.faults.silence):
            raise NoAnswerError("the cloud does not answer")
        lag, shown = self.faults.lag, []
        for machine in self.machines.values():
            new = machine.ours and machine.born > self.now - lag
            over = machine.ended is not None and machine.ended <= self.now - lag
            machine.left_out = not (machine.left_out or self._odd.get(pool)) and self.chance(self.faults.gap)
            if machine.pool == pool and not new and not over and not machine.left_out:
                shown.append(self.shown(machine))
        listing = Listing(pool, tuple(shown), self.now)
        kept = self._listed.setdefault(pool, [])
        fit = [each for each in kept if each.seen >= self.now - OLDEST] if self._odd.get(pool) is not True else []
        if fit and self.chance(self.faults.stale):
            self._odd[pool] = True
            return attrs.evolve(fit[0], seen=self.now)  # nobody can tell that it is old
        self._odd[pool] = any(machine.left_out for machine in self.machines.values())
        self._listed[pool] = [*kept, listing][-2:]
        return listing

    def look(self, pool: str, sought: Sequence[Sought]) -> Sequence[Instance]:
        """See ILooking: what was made just now is not found yet."""
        if self.chance(self.faults.silence):
            raise NoAnswerError("the cloud does not answer")
        known = [m for m in self.machines.values() if m.pool == pool and m.born <= self.now - self.faults.lag]
        ids, tokens = {each.id for each in sought}, {each.token for each in sought if not each.id}
        return [self.shown(m) for m in known if m.id in ids or (m.token in tokens and m.ended is None)]

    def renew(self, instances: Sequence[Instance], expires: float) -> None:
        """See ILeasing."""
        if self.chance(self.faults.no_answer):
            raise NoAnswerError("the cloud does not answer")
        for instance in instances:
            machine = self.machines.get(instance.id)
            if machine is not None and machine.ended is None:
                machine.expires = expires
        if self.chance(self.faults.lost_reply):
            raise NoAnswerError("the connection was lost")

    def destroy(self, instance: Instance) -> None:
        """See ICloud."""
        machine = self.machines.get(instance.id)
        if self.chance(self.faults.no_answer):
            raise NoAnswerError("the cloud does not answer")
        if machine is None or machine.ended is not None:
            return
        if not machine.ours or machine.owner:
            self.wrongs.append(f"{machine.name} was destroyed and is not ours")
        for member in self.members.values():
            if member.machine is machine and member.jobs:
                self.wrongs.append(f"{machine.name} was destroyed while it ran {', '.join(member.jobs)}")
        if not self.chance(self.faults.lie):
            machine.ending = self.now + self.end
        if self.chance(self.faults.lost_reply):
            raise NoAnswerError("the connection was lost")

    def snapshot(self) -> Demand:
        """See IScheduler."""
        if self.chance(self.faults.silence):
            raise NoAnswerError("the scheduler does not answer")
        jobs = []
        for work in self.works.values():
            running = work.ends is not None
            jobs.append(attrs.evolve(work.job, state=BatchState.RUNNING, nodes=(work.node,)) if running else work.job)
        nodes, told = tuple(map(self._node, self.members.values())), {}
        if self.tells:
            told = {name: each.machine.address for name, each in self.members.items() if each.machine and each.alive}
        return Demand(tuple(jobs), nodes, self.now, told)

    def _node(self, member: Member) -> BatchNode:
        used = member.cores - member.free
        if not member.alive:
            state = NodeState.ERROR
        elif member.held:
            state = NodeState.HOLDING if used else NodeState.HELD
        else:
            state = NodeState.BUSY if used else NodeState.IDLE
        jobs, words = tuple(member.jobs), member.properties
        accounts, left = (member.account,) if member.account else (), self.left(member)
        return BatchNode(
            member.name, state, member.cores, used, member.memory, walltime=left, jobs=jobs, properties=words,
            accounts=accounts,
        )  # fmt: skip

    def left(self, member: Member) -> float:
        """Seconds that a node lives on, 0 = for ever."""
        machine = member.machine
        if machine is None or machine.lifetime <= 0.0:
            return 0.0
        return max(1.0, machine.boots + machine.lifetime - self.now)

    def order(self, what: Callable[[], None]) -> None:
        """Something asked of the scheduler: done, not done, or done and not told."""
        if self.chance(self.faults.no_answer):
            raise NoAnswerError("the scheduler does not answer")
        what()
        if self.chance(self.faults.lost_reply):
            raise NoAnswerError("the connection was lost")

    def add(self, name: str, address: str, cores: int) -> None:
        """See IScheduler."""
        if name in self.members:
            return
        machine = next((m for m in self.machines.values() if m.address == address), None)
        if machine is not None:  # of two that were made for one order either may be quicker
            twins = [m for m in self.machines.values() if m.token == machine.token and m.runs]
            machine = self.random.choice(twins) if twins else machine
        self.members[name] = Member(name, cores, machine)

    def hold(self, name: str, held: bool) -> None:
        """Hold or let go."""
        if name not in self.members:
            raise CommandFailedError(f"unknown node {name}")
        self.members[name].held = held

    def vacate(self, name: str) -> None:
        """Its jobs wait again."""
        self.hold(name, True)
        for job in self.members[name].jobs:
            self.works[job].ends = None
        self.members[name].jobs.clear()

    def remove(self, name: str) -> None:
        """See IScheduler."""
        member = self.members.get(name)
        if member is not None and member.alive and member.jobs:
            self.wrongs.append(f"{name} was removed while it ran {', '.join(member.jobs)}")
        self.members.pop(name, None)
