"""Torque as a scheduler whose jobs are served, and as a queue for pilots.

Torque refuses jobs that no node could run now, so a site lets such jobs wait by a placeholder node that is offline, or
by a queue with `is_transit`.  `pbsnodes` ends with 0 for nodes that do not exist, so the state is looked at.
"""

from __future__ import annotations

from functools import partial

import attrs
from twisted.logger import Logger
from zope.interface import implementer

from asyncluster.errors import CommandFailedError, NoAnswerError, NotYetError, SchedulerError
from asyncluster.interfaces import IScheduler
from asyncluster.model.batch import BatchJob, BatchNode, BatchState, Demand
from asyncluster.model.node import NodeState
from asyncluster.model.supply import Flavor, Reservation
from asyncluster.schedulers import words
from asyncluster.schedulers.able import Able
from asyncluster.schedulers.asking import Asking
from asyncluster.schedulers.run import Answer, Runner, deferred
from asyncluster.schedulers.torque import parse
from asyncluster.schedulers.torque.commands import Commands

_log = Logger()


class _Server(Asking):
    """What the answers of Torque's commands mean."""

    def _unreached(self, answer: Answer, listing: bool) -> bool:
        return parse.refuses_to_talk(answer.stderr)


@implementer(IScheduler)
@attrs.define(eq=False)
class Torque(_Server, Able):
    """A Torque server.  maui: whether Maui schedules its jobs and can keep nodes; properties alone must do without."""

    runner: Runner
    commands: Commands = attrs.field(factory=Commands)
    maui: bool = True
    name: str = "torque"
    binds_queues: bool = False

    @deferred
    async def snapshot(self) -> Demand:
        """All jobs and nodes, by one `qstat` and one `pbsnodes` (and Maui's priorities)."""
        seen = self.runner.reactor.seconds()
        nodes = await self._nodes()
        return Demand(await self._jobs(nodes), nodes, seen)

    @deferred
    async def add_node(self, name: str, address: str, flavor: Flavor) -> None:
        """Create a node, offline; one that exists is set offline."""
        answer = await self._do(self.commands.add_node.argv(words.host(name)))
        if answer.code and "already exists" not in answer.said:
            raise answer.refused("the master must be a manager of the server, and the server must know the host's name")
        await self._able(False, name)
        await self._must(self.commands.cores(name, flavor.cores))

    @deferred
    async def reserve(self, name: str, flavor: Flavor, reservation: Reservation) -> None:
        """Keep it by properties, named after whatever it is kept for, and by Maui for a queue or an account."""
        node = await self._there(name)
        await self._bear(node, [one for one in attrs.astuple(reservation) if one])
        if self.maui and (reservation.queue or reservation.account):
            await self._keep(name, reservation)

    @deferred
    async def vacate(self, name: str, reason: str) -> None:
        """Mark it offline; run its jobs anew, or delete those that must not; by force those of a dead node."""
        await self._able(False, name)
        node = await self._there(name)
        await self._move(node)

    @deferred
    async def remove_node(self, name: str, reservation: Reservation) -> None:
        """Forget it, with Maui's reservation; SchedulerError while it runs jobs: Torque would stop for minutes.

        The jobs of a node that is dead stay running for Torque until they are taken from it.
        """
        node = await self._find(name)
        if self.maui and (reservation.queue or reservation.account):
            await self._release(name, reservation)
        if node is None:
            return
        if node.used and node.state is not NodeState.ERROR:
            raise SchedulerError(f"{name} still runs jobs; hold it, and wait until they are over")
        await self._able(False, name)
        if node.used:
            await self._move(node)
            node = await self._there(name)
            if node.used:
                raise SchedulerError(f"{name} is dead, and Torque does not let go of its jobs: {', '.join(node.jobs)}")
        answer = await self._do(self.commands.remove_node.argv(name))
        if answer.code and await self._find(name) is not None:
            raise answer.refused()

    async def _move(self, node: BatchNode) -> None:
        """Its jobs begin anew, or end: those that must not begin twice, and those that no mom lets go."""
        dead = node.state is NodeState.ERROR
        for job in node.jobs:
            answer = await self._do(self.commands.rerun(job, dead))
            if answer.code:
                command = self.commands.delete_job if dead else self.commands.cancel
                await self._do(command.argv(job))

    async def _bear(self, node: BatchNode, wanted: list[str]) -> None:
        properties = tuple(dict.fromkeys((*node.properties, *wanted)))
        if properties != node.properties:
            await self._must(self.commands.properties(node.name, properties))

    async def _keep(self, name: str, reservation: Reservation) -> None:
        """Have Maui keep it, once: its reservations are named after what they are for."""
        answer = await self._do(self.commands.check_node.argv(words.host(name)))
        if answer.code or "cannot locate node" in answer.said:
            raise NotYetError(f"Maui does not know {name} yet: {answer.said.strip()[-200:]}")
        for kind, word in (("queue", reservation.queue), ("account", reservation.account)):
            if word and not await self._mine(name, word):
                keep = self.commands.keep_for_queue if kind == "queue" else self.commands.keep_for_account
                await self._must(keep(name, word))
                if not await self._mine(name, word):
                    raise CommandFailedError(f"setres made no reservation of {name} for {kind} {word}")

    async def _release(self, name: str, reservation: Reservation) -> None:
        for word in filter(None, (reservation.queue, reservation.account)):
            for one in await self._mine(name, word):
                await self._must(self.commands.release(one))

    async def _mine(self, name: str, word: str) -> list[str]:
        """Reservations for that word which keep this node and no other; an administrator's own may keep several."""
        answer = await self._answer(self.commands.reservations())
        found = parse.reservations(answer.stdout)
        return [one for one, nodes in found.items() if nodes == {name} and one.partition(".")[0] == word]

    async def _able(self, enable: bool, name: str) -> None:
        answer = await self._do(self.commands.online(name) if enable else self.commands.offline(name))
        node = await self._there(name)
        if enable and node.state is NodeState.STARTING:
            raise NotYetError(f"{name} has not reported to Torque yet; is its pbs_mom running?")
        offline = "offline" in node.said.partition(" ")[0]
        if offline == enable:
            raise answer.refused()

    async def _jobs(self, nodes: tuple[BatchNode, ...]) -> tuple[BatchJob, ...]:
        answer = await self._answer(self.commands.qstat.argv())
        hosts = frozenset(node.name for node in nodes)
        priorities = await self._priorities() if self.maui else {}
        return await self.runner.aside(partial(parse.jobs, hosts=hosts, priorities=priorities), answer.stdout)

    async def _priorities(self) -> dict[str, float]:
        """Maui's; {} where it does not answer: it decides then who is first, not who is there."""
        try:
            answer = await self._do(self.commands.diagnose_p.argv())
        except NoAnswerError as error:
            _log.warn("Maui does not say which jobs go first: {error}", error=error)
            return {}
        return {} if answer.code else parse.priorities(answer.stdout)

    async def _nodes(self) -> tuple[BatchNode, ...]:
        answer = await self._do(self.commands.nodes())
        if answer.code and parse.NO_NODES in answer.stderr:
            return ()
        if answer.code:
            raise answer.silent()
        return await self.runner.aside(parse.nodes, answer.stdout)

    def _unknown(self, name: str) -> SchedulerError:
        return SchedulerError(f"Torque does not know a node {name}")


@attrs.define(eq=False)
class TorqueQueue(_Server):
    """Torque as a queue that pilots are given to."""

    runner: Runner
    commands: Commands = attrs.field(factory=Commands)

    async def submit(self, script: str, extra: tuple[str, ...] = (), held: bool = False) -> str:
        """Give a script to the queue; the job's identifier.  extra: options as the administrator wrote them."""
        answer = await self._do(self.commands.submit(extra, held), script)
        if answer.code:
            raise answer.refused("Torque takes no jobs of root" if "as root" in answer.said else "")
        return parse.submitted(answer.stdout)

    async def cancel(self, job: str) -> None:
        """End a job; one that is gone is no fault."""
        answer = await self._do(self.commands.cancel.argv(words.job(job)))
        gone = ("nonexistent job id", "Unknown Job Id", "COMPLETE", "Request invalid for state of job")
        if answer.code and not any(text in answer.said for text in gone):
            raise answer.refused()

    async def release(self, job: str) -> None:
        """Let a job that was submitted held have its turn."""
        await self._must(self.commands.qrls.argv(words.job(job)))

    async def jobs_named(self, prefix: str) -> tuple[BatchJob, ...]:
        """Those jobs that are not over whose names begin so."""
        answer = await self._answer(self.commands.qstat.argv())
        jobs = await self.runner.aside(parse.jobs, answer.stdout)
        return tuple(job for job in jobs if job.name.startswith(prefix) and job.state is not BatchState.ENDING)
