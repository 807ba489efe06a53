"""Slurm as a scheduler whose jobs are served, and as a queue for pilots.

Slurm says no to much that is harmless (resuming what is not drained, deleting what is gone), so after a refusal the
state decides.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial

import attrs
from twisted.internet.defer import Deferred, DeferredLock
from zope.interface import implementer

from asyncluster.errors import NotYetError, SchedulerError
from asyncluster.interfaces import IScheduler
from asyncluster.model.batch import BatchJob, BatchNode, BatchState, Demand
from asyncluster.model.node import NodeState
from asyncluster.model.supply import Flavor, Reservation
from asyncluster.schedulers import words
from asyncluster.schedulers.asking import Asking
from asyncluster.schedulers.joining import joined
from asyncluster.schedulers.run import Answer, Runner, deferred
from asyncluster.schedulers.slurm import commands, parse
from asyncluster.schedulers.slurm.commands import Commands

_OURS = "asyncluster: "  # before the reasons that we give


class _Controller(Asking):
    """What the answers of Slurm's commands mean, and its jobs."""

    commands: Commands

    def __attrs_post_init__(self) -> None:
        self.runner = attrs.evolve(self.runner, environment={**self.runner.environment, **commands.ENVIRONMENT})

    def _unreached(self, answer: Answer, listing: bool) -> bool:
        # an scontrol that reads what it is to list ends with 0 whatever it was told
        return bool(listing or answer.code) and parse.refuses_to_talk(answer.stderr)

    async def _jobs(self, user: str = "", widths: Mapping[str, int] | None = None) -> tuple[BatchJob, ...]:
        token = secrets.token_hex(6)
        answer = await self.runner.run(self.commands.jobs(token, user))
        if answer.code:
            raise answer.silent()
        return await self.runner.aside(partial(parse.jobs, token=token, widths=widths), answer.stdout)


@implementer(IScheduler)
@attrs.define(eq=False)
class Slurm(_Controller):
    """A Slurm cluster.  Its partitions are its queues; nodes come by `slurmd -Z`, and leave."""

    runner: Runner
    commands: Commands = attrs.field(factory=Commands)
    name: str = "slurm"
    binds_queues: bool = True
    _turn: DeferredLock = attrs.field(factory=DeferredLock, init=False)

    @deferred
    async def snapshot(self) -> Demand:
        """All jobs and nodes, by one `squeue` and one `scontrol`."""
        seen = self.runner.reactor.seconds()
        nodes = await self._nodes()
        jobs = await self._jobs(widths=parse.widest(nodes))
        return Demand(jobs, await self.runner.in_thread(partial(joined, nodes, jobs)), seen)

    @deferred
    async def add_node(self, name: str, address: str, flavor: Flavor) -> None:
        """Make a node known, drained; one that has come by itself is drained."""
        if await self._find(name) is None:
            answer = await self._do(self.commands.create(name, address, flavor))
            if answer.code and "already" not in answer.said:
                raise answer.refused("dynamic nodes need MaxNodeCount and SelectType=select/cons_tres in slurm.conf")
        await self._must(self.commands.drain(name, _OURS + "being set up"))

    @deferred
    async def reserve(self, name: str, flavor: Flavor, reservation: Reservation) -> None:
        """Put it into a partition, draw an account's jobs to it, or have it bear a feature."""
        node = await self._there(name)
        if node.state is NodeState.STARTING:  # who never comes must not pass for one that has gone
            raise NotYetError(f"slurmd has not started on {name} yet")
        if reservation.property and reservation.property not in node.properties:
            await self._must(self.commands.features(name, (*node.properties, reservation.property)))
        await self._put_into(reservation.queue, name)
        await self._keep_for(name, reservation.account)

    @deferred
    async def enable(self, name: str) -> None:
        """Undrain it."""
        await self._resume(name)

    @deferred
    async def hold(self, name: str, reason: str) -> None:
        """Drain it."""
        await self._must(self.commands.drain(name, _OURS + reason))

    @deferred
    async def unhold(self, name: str) -> None:
        """Undrain it."""
        await self._resume(name)

    @deferred
    async def vacate(self, name: str, reason: str) -> None:
        """Drain it; requeue its jobs, or cancel those that must not begin anew."""
        await self._must(self.commands.drain(name, _OURS + reason))
        for job in (await self.snapshot()).jobs:
            if name in job.nodes and job.state is BatchState.RUNNING:
                answer = await self._do(self.commands.requeue(job.id))
                if answer.code:
                    await self._do(self.commands.cancel(job.id))

    @deferred
    async def remove_node(self, name: str, reservation: Reservation) -> None:
        """Forget it; CommandFailedError while it has jobs."""
        await self._keep_for(name, "")
        node = await self._find(name)
        if node is not None and "NOT_RESPONDING" in node.said:
            await self._must(self.commands.down(name, _OURS + "it does not answer"))
        answer = await self._do(self.commands.delete(name))
        if answer.code and await self._find(name) is not None:
            raise answer.refused("hold it, and wait until its jobs are over")

    async def _put_into(self, queue: str, name: str) -> None:
        """Have a partition list it; the default one where none is named and it is in none.

        One node after the other: a partition is told all its nodes at once, so that two who read it, add one each and
        write it would lose one.
        """
        await self._turn.run(lambda: Deferred.fromCoroutine(self._list(queue, name)))

    async def _list(self, queue: str, name: str) -> None:
        machines = await self._machines()
        now_in = next((one.queues for one in machines.nodes if one.name == name), ())
        if queue in now_in or (now_in and not queue):
            return
        found = next((one for one in machines.partitions if one.name == queue or (one.default and not queue)), None)
        if found is None:
            raise SchedulerError(f"Slurm has no partition {queue or 'by default'}; the pool's `queue` names it")
        # a set goes by features, but Slurm looks at them only when it is told to; which nodes are in it only by that
        # is not said, so that all are named
        await self._must(self.commands.partition(found.name, (*found.sets, *found.nodes, name)))
        there = await self._find(name)
        if there is None or found.name not in there.queues:
            raise SchedulerError(
                f"Slurm was told to put {name} into the partition {found.name}, and does not list it there"
            )

    async def _resume(self, name: str) -> None:
        answer = await self._do(self.commands.resume(name))
        if answer.code:
            node = await self._there(name)
            if "DRAIN" in node.said or "DOWN" in node.said:
                raise answer.refused()

    async def _keep_for(self, name: str, account: str) -> None:
        answer = await self._answer(self.commands.reservations())
        kept = parse.reservations(answer.stdout)
        mine = kept.get(commands.RESERVED + words.host(name))
        if mine is not None and mine[1] != ((account.lower(),) if account else ()):
            await self._must(self.commands.keep_no_more(name))
            mine = None
        if mine is None and account:
            await self._must(self.commands.keep_for(name, account))

    def _unknown(self, name: str) -> SchedulerError:
        return NotYetError(f"Slurm does not know a node {name}, or slurmd has not started there yet")

    async def _nodes(self) -> tuple[BatchNode, ...]:
        return (await self._machines()).nodes

    async def _machines(self) -> parse.Machines:
        answer = await self._answer(self.commands.nodes(), commands.NODES_INPUT)
        return await self.runner.aside(parse.machines, answer.stdout)


@attrs.define(eq=False)
class SlurmQueue(_Controller):
    """Slurm as a queue that pilots are given to.  user: whose jobs are listed, "" = everybody's."""

    runner: Runner
    commands: Commands = attrs.field(factory=Commands)
    user: str = ""

    async def submit(self, script: str, extra: tuple[str, ...] = (), held: bool = False) -> str:
        """Give a script to the queue; the job's identifier.  extra: options as the administrator wrote them."""
        answer = await self._must(self.commands.submit(extra, held), stdin=script)
        return parse.submitted(answer.stdout)

    async def cancel(self, job: str) -> None:
        """End a job that waits or runs; one that is gone is no fault (scancel itself says nothing of it)."""
        answer = await self._do(self.commands.cancel(job))
        if answer.code and "Invalid job id" not in answer.said and "already" not in answer.said:
            raise answer.refused()

    async def release(self, job: str) -> None:
        """Let a job that was submitted held have its turn."""
        await self._must(self.commands.release(job))

    async def jobs_named(self, prefix: str) -> tuple[BatchJob, ...]:
        """Those jobs that are not over whose names begin so."""
        jobs = await self._jobs(self.user)
        return tuple(job for job in jobs if job.name.startswith(prefix))
