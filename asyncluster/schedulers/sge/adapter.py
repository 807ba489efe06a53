"""Grid Engine as a scheduler whose jobs are served, and as a queue for pilots.

Its programs end with 0 where they did nothing and with 1 where they did all, so what they say is read, and after what
matters the state is looked at.
"""

from __future__ import annotations

from functools import partial

import attrs
from zope.interface import implementer

from asyncluster.errors import NotYetError, SchedulerError
from asyncluster.interfaces import IScheduler
from asyncluster.model.batch import BatchJob, BatchNode, BatchState, Demand
from asyncluster.model.node import NodeState
from asyncluster.model.supply import Flavor, Reservation
from asyncluster.schedulers import words
from asyncluster.schedulers.able import Able
from asyncluster.schedulers.asking import Asking
from asyncluster.schedulers.joining import joined
from asyncluster.schedulers.run import Answer, Runner, deferred
from asyncluster.schedulers.sge import parse
from asyncluster.schedulers.sge.commands import Commands
from asyncluster.schedulers.template import Template

RULES_LAST = 600.0
"""Seconds for which the allocation rules of parallel environments are taken to be what they were."""

_NEEDS = (
    "the master must run as a manager of Grid Engine, and its qmaster must resolve the host's name before the machine "
    "starts: it remembers for a minute that it could not"
)


class _Qmaster(Asking):
    """What the answers of Grid Engine's commands mean."""

    def _unreached(self, answer: Answer, listing: bool) -> bool:
        return parse.refuses_to_talk(answer.stderr if listing else answer.said)

    def _denied(self, answer: Answer) -> bool:
        return parse.denied(answer.said) or bool(answer.code and not parse.harmless(answer.said))


@implementer(IScheduler)
@attrs.define(eq=False)
class GridEngine(_Qmaster, Able):
    """A Grid Engine cell.

    group: of hosts (without '@') that a node joins that is kept for nobody; with_accounts: whether the accounts of
    jobs are asked for, which takes a second, longer listing (needed only where a pool is kept for an account).
    """

    runner: Runner
    commands: Commands = attrs.field(factory=Commands)
    group: str = "allhosts"
    with_accounts: bool = False
    name: str = "sge"
    binds_queues: bool = True
    _rules: dict[str, str] = attrs.field(factory=dict)
    _rules_from: float = 0.0

    @deferred
    async def snapshot(self) -> Demand:
        """All jobs and hosts, by one `qstat` and one `qhost`."""
        seen = self.runner.reactor.seconds()
        jobs = await self._jobs()
        bears = await self._groups(jobs)
        nodes = await self._nodes()
        return Demand(jobs, await self.runner.in_thread(partial(joined, nodes, jobs, bears)), seen)

    @deferred
    async def add_node(self, name: str, address: str, flavor: Flavor) -> None:
        """Let a host take part; it is in no queue before `reserve`, so it gets no job."""
        words.host(name)
        await self._must(self.commands.add_host.argv(name), _NEEDS)

    @deferred
    async def reserve(self, name: str, flavor: Flavor, reservation: Reservation) -> None:
        """Put a host into the queue, the account's group of hosts, or the usual group; disabled until `enable`."""
        before = await self._there(name)
        if reservation.queue:
            # no slots until it is disabled there: the queue may use it at once
            await self._must(self.commands.first_slots(0, reservation.queue, name))
            await self._must(self.commands.queue(True, name, reservation.queue))
        if reservation.account or not reservation.queue:
            await self._must(self.commands.group(True, name, reservation.account or self.group))
        if not before.queues:
            await self._must(self.commands.able(False, name))
        node = await self._there(name)
        if not node.queues:
            raise SchedulerError(
                f"no queue of Grid Engine takes {name}: have a queue's hostlist name the group "
                f"@{reservation.account or self.group}"
            )
        for queue in node.queues:
            await self._must(self.commands.first_slots(flavor.cores, queue, name))
            await self._must(self.commands.slots(flavor.cores, queue, name))

    @deferred
    async def vacate(self, name: str, reason: str) -> None:
        """Disable it; reschedule its jobs, or delete those that must not begin anew."""
        await self._able(False, name)
        await self._empty(await self._there(name))

    @deferred
    async def remove_node(self, name: str, reservation: Reservation) -> None:
        """Take a host out of queues and groups, and forget it; SchedulerError while it has jobs.

        The jobs of a host that is dead stay running for Grid Engine until they are taken from it.
        """
        node = await self._find(name)
        if node is None:
            await self._do(self.commands.forget_host.argv(name))
            return
        if node.used and node.state is not NodeState.ERROR:
            raise SchedulerError(f"{name} still runs jobs; hold it, and wait until they are over")
        commands = self.commands
        if node.queues:
            await self._do(commands.able(False, name))
        if node.used:
            await self._empty(node)
            if (await self._there(name)).used:
                raise SchedulerError(f"{name} is dead, and Grid Engine has not let go of its jobs yet")
        for group in {self.group, reservation.account} - {""}:
            await self._do(commands.group(False, name, group))
        for queue in dict.fromkeys((*node.queues, reservation.queue)):
            if queue:
                await self._do(commands.queue(False, name, queue))
                await self._do(commands.no_slots(queue, name))
        await self._do(commands.stop_host.argv(name))
        answer = await self._do(commands.remove_node.argv(name))
        if await self._find(name) is not None:
            raise answer.refused("it may be in another group of hosts; take it out there")
        await self._do(commands.forget_host.argv(name))

    async def _empty(self, node: BatchNode) -> None:
        """Its jobs begin anew or end: by force where it is dead, those that are ending too."""
        dead = node.state is NodeState.ERROR
        for job in await self._jobs():
            if node.name in job.nodes and job.state is BatchState.RUNNING:
                await self._move(job.id, dead)
            elif node.name in job.nodes and dead:
                await self._do(self.commands.qdel.argv(words.job(job.id)))

    async def _move(self, job: str, dead: bool) -> None:
        answer = await self._do(self.commands.reschedule.argv(words.job(job)))
        if answer.code or ("Pushed rescheduling" not in answer.said and "rescheduling" not in answer.said):
            command: Template = self.commands.qdel if dead else self.commands.cancel
            await self._do(command.argv(words.job(job)))

    async def _able(self, enable: bool, name: str) -> None:
        answer = await self._do(self.commands.able(enable, name))
        if parse.denied(answer.said):
            raise answer.refused()
        if "invalid queue" in answer.said:
            node = await self._there(name)
            if enable and not node.queues:
                raise answer.refused(f"{name} is in no queue")

    async def _jobs(self) -> tuple[BatchJob, ...]:
        listing = (await self._answer(self.commands.jobs())).stdout
        rules = await self._environments(listing)
        accounts = {}
        if self.with_accounts:
            details = await self._answer(self.commands.details())
            accounts = await self.runner.aside(parse.accounts, details.stdout)
        return await self.runner.aside(partial(parse.jobs, rules=rules, accounts=accounts), listing)

    async def _groups(self, jobs: tuple[BatchJob, ...]) -> dict[str, list[str]]:
        """Of each host the groups that waiting jobs are bound to and that it is in, as properties."""
        found: dict[str, list[str]] = {}
        for group in sorted(parse.groups(jobs)):
            answer = await self._do(self.commands.members(group))
            if answer.code and not parse.no_group(answer.said):
                raise answer.silent()  # taken for an empty group, it would be held against a pool's nodes
            for name in () if answer.code else answer.stdout.split():
                found.setdefault(name, []).append(parse.member(group))
        return found

    async def _environments(self, listing: str) -> dict[str, str]:
        """The allocation rules of all parallel environments, where jobs ask for one; asked now and then."""
        now = self.runner.reactor.seconds()
        fresh = self._rules and now - self._rules_from <= RULES_LAST
        if not fresh and await self.runner.aside(parse.environments, listing):
            names = await self._do(self.commands.qconf_spl.argv())
            rules = {}
            for name in names.stdout.split():
                answer, lines = await self.runner.pick(self.commands.qconf_sp, words.account(name))
                if not answer.code and lines:
                    rules[name] = lines[0].split()[-1]
            self._rules, self._rules_from = rules, now
        return self._rules

    async def _nodes(self) -> tuple[BatchNode, ...]:
        answer = await self._answer(self.commands.hosts())
        return await self.runner.aside(parse.nodes, answer.stdout)

    def _unknown(self, name: str) -> SchedulerError:
        return NotYetError(f"Grid Engine does not know a host {name}, or its execd has not started yet")


@attrs.define(eq=False)
class GridEngineQueue(_Qmaster):
    """Grid Engine as a queue that pilots are given to."""

    runner: Runner
    commands: Commands = attrs.field(factory=Commands)

    async def submit(self, script: str, extra: tuple[str, ...] = (), held: bool = False) -> str:
        """Give a script to the queue; the job's identifier.  extra: options as the administrator wrote them."""
        answer = await self._do(self.commands.submit(extra, held), script)
        if answer.code:
            raise answer.refused()
        return parse.submitted(answer.stdout)

    async def cancel(self, job: str) -> None:
        """End a job; one that is gone is no fault."""
        answer = await self._do(self.commands.cancel.argv(words.job(job)))
        gone = "does not exist" in answer.said or "already in deletion" in answer.said
        if answer.code and not gone:
            raise answer.refused()

    async def release(self, job: str) -> None:
        """Let a job that was submitted held have its turn."""
        answer = await self._do(self.commands.qrls.argv(words.job(job)))
        if answer.code or parse.denied(answer.said):
            raise answer.refused()

    async def jobs_named(self, prefix: str) -> tuple[BatchJob, ...]:
        """Those jobs whose names begin so."""
        answer = await self._answer(self.commands.jobs())
        jobs = await self.runner.aside(partial(parse.jobs, rules={}), answer.stdout)
        return tuple(job for job in jobs if job.name.startswith(prefix))
