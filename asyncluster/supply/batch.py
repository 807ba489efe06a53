"""Pilots: a cloud that is a batch system.  Each node is a job of its own, known again by its name (see `naming`).

What can fail is told with the command, its exit code, what it said, the script that was handed in and the key of the
pool's configuration that mends it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from zope.interface import implementer

from asyncluster.config.load import template_text
from asyncluster.errors import CommandFailedError, NoAnswerError, QuotaError, SubmissionError
from asyncluster.interfaces import ICloud
from asyncluster.model.batch import BatchJob, BatchState
from asyncluster.model.supply import Flavor, Instance, InstanceState, Listing, Order
from asyncluster.model.supply_options import BatchUnit
from asyncluster.personal.files import write_private
from asyncluster.supply.leftovers import LOG, SCRIPT, Ends, tidy
from asyncluster.supply.naming import JobName, job_name, mark, read_job_name
from asyncluster.supply.once import Once
from asyncluster.supply.pilot_template import TEMPLATE
from asyncluster.supply.script import Pilot, script

_log = Logger()

STATES = {
    BatchState.QUEUED: InstanceState.PENDING,
    BatchState.HELD: InstanceState.PENDING,
    BatchState.BLOCKED: InstanceState.PENDING,
    BatchState.RUNNING: InstanceState.ACTIVE,
    BatchState.ENDING: InstanceState.DELETING,
    BatchState.BROKEN: InstanceState.ERROR,
}

SETTINGS = (
    (r"parallel environment|\bpe\b", "environment"),
    (r"unknown resource \W?\w*(mem|ram|rss)", "memory_resource"),
    (r"unknown resource \W?\w*gpu", "gpu_resource"),
    (r"queue|partition", "queue"),
    (r"account|project|association", "account"),
    (r"wall ?time|time ?limit|time specification|h_rt|requested time", "walltime"),
    (r"memory|\bmem\b|h_vmem", "memory"),
    (r"gres|\bgpu", "gpus"),
    (r"node configuration|feasible nodes|cpu|ppn|processor|slots|core count", "cores"),
    (r"invalid option|unrecognized option|unknown option|illegal|resource", "directives"),
)
"""What batch systems complain of, and the key of the pool's `config:` that has to do with it."""

_QUOTA = re.compile(
    r"QOSMax\w+|AssocMax\w+|MaxSubmit\w*|max(imum)? (user|number of|queuable)[\w ]*|jobs are allowed per user",
    re.IGNORECASE,
)


def read_template(unit: BatchUnit, pool: str) -> str:
    """The template of a pool's job scripts: the administrator's file, or ours.  ConfigError where it cannot be read."""
    if not unit.template:
        return TEMPLATE
    return template_text(unit.template, f"[cloud] {pool}.config.template")


class PilotQueue(Protocol):
    """A batch system as far as pilots need it.

    Each fails with NoAnswerError where it could not be asked, CommandFailedError where it said no.
    """

    async def submit(self, script: str, extra: tuple[str, ...] = (), held: bool = False) -> str:
        """Hand a script in; the job's id."""

    async def cancel(self, job: str) -> None:
        """End a job that waits or runs; one that is gone is no fault."""

    async def release(self, job: str) -> None:
        """Let one that was handed in held have its turn."""

    async def jobs_named(self, prefix: str) -> tuple[BatchJob, ...]:
        """All that are not over and whose names begin so."""


@implementer(ICloud)
@attrs.define(eq=False)
class BatchCloud:
    """One pool of pilots.

    pool: its name; prefix: of its nodes' names; unit: what is asked for; queue: the batch system; realm: of our master;
    has: what a node will have; folder: that compute nodes see too, for logs and the configuration; conf_text: the
    pilots' configuration for a lease, not used where the unit names a file that is there already; template: of the
    job script.
    """

    pool: str
    prefix: str
    unit: BatchUnit
    queue: PilotQueue
    realm: str
    has: Flavor
    folder: Path
    conf_text: Callable[[float], str]
    seconds: Callable[[], float]
    template: str = TEMPLATE
    in_thread: Callable[..., Deferred[Any]] = deferToThread
    _written: str = attrs.field(default="", init=False, repr=False)
    _ends: Ends = attrs.field(factory=Ends, init=False, repr=False)
    _tidied: bool = attrs.field(default=False, init=False, repr=False)
    _once: Once = attrs.field(factory=Once, init=False, repr=False)

    def flavor(self) -> Deferred[Flavor]:
        """What is asked for."""
        found: Deferred[Flavor] = Deferred()
        found.callback(self.has)
        return found

    def list(self) -> Deferred[Listing]:
        """All jobs whose names begin as ours do."""
        return Deferred.fromCoroutine(self._list())

    def launch(self, order: Order) -> Deferred[Instance]:
        """Hand one in, unless this order has been carried out, or is just being."""
        return self._once.launch(order, self._launch)

    def destroy(self, instance: Instance) -> Deferred[None]:
        """End the job, queued or running."""
        return Deferred.fromCoroutine(self.queue.cancel(instance.id))

    async def rehearse(self, order: Order, text: str) -> str:
        """Hand a script in that is held: whether command, account, queue and amounts are accepted.  The job's id."""
        return await self._hand_in(order, text, held=True)

    def text(self, order: Order) -> str:
        """The script that would be handed in; raises ConfigError for a template that is none."""
        name = job_name(order, self.realm)
        log = str(self.folder / f"{name}{LOG}")
        pilot = Pilot(order.name, str(name), self.pool, self.unit, self.config_file, log, order.lifetime)
        return script(pilot, self.template)

    @property
    def config_file(self) -> str:
        """The pilots' configuration, as compute nodes see it."""
        return self.unit.config_file or str(self.folder / f"{self.pool}.conf")

    async def _list(self) -> Listing:
        known = self._ends.known()
        jobs = await self.queue.jobs_named(self.prefix)
        missing = known.keys() - {job.id for job in jobs}
        if missing:  # one listing may be wrong
            jobs = await self.queue.jobs_named(self.prefix)
            missing -= {job.id for job in jobs}
        now = self.seconds()
        mine = [job for job in jobs if not self._of_another(job)]
        self._ends.ended((known[key] for key in missing), now)
        self._ends.seen(job for job in mine if self._is_ours(job.name))
        if missing or not self._tidied:
            self._tidied = True
            await self._tidy()
        over = [attrs.evolve(self._instance(job), state=InstanceState.GONE, said="") for job in self._ends.over(now)]
        return Listing(self.pool, (*map(self._instance, mine), *over), now)

    async def _tidy(self) -> None:
        await self.in_thread(tidy, self.folder, {job.name for job in self._ends.known().values()}, self._is_ours)

    def _of_another(self, job: BatchJob) -> bool:
        """Whether it is a pilot of a pool whose prefix begins as ours does: `night-` and `night-gpu-`."""
        name = read_job_name(job.name)
        return name is not None and not name.node.removeprefix(self.prefix).isalnum()

    async def _launch(self, order: Order) -> Instance:
        name = job_name(order, self.realm)
        for job in await self.queue.jobs_named(str(name)):
            if job.name == str(name) and job.state is not BatchState.ENDING:
                return attrs.evolve(self._instance(job), token=order.token)
        job_id = await self._hand_in(order, self.text(order), held=False)
        self._ends.seen([BatchJob(job_id, BatchState.QUEUED, name=str(name))])
        _log.info("pilot {node} of pool {pool} is job {job}", node=order.name, pool=self.pool, job=job_id)
        return Instance(job_id, order.name, InstanceState.PENDING, owner=self.realm, token=order.token)

    async def _hand_in(self, order: Order, text: str, *, held: bool) -> str:
        await self._write_conf(order.lease)
        try:
            return await self.queue.submit(text, (), held)
        except CommandFailedError as error:
            path = await self._keep_script(order, text)
            raise _refused(self.pool, error, text, path) from error

    async def _keep_script(self, order: Order, text: str) -> str:
        """Where somebody can look at what was refused; "" where it could not be written."""
        path = self.folder / f"{job_name(order, self.realm)}{SCRIPT}"

        def write() -> str:
            try:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_private(path, text)
            except OSError:
                return ""
            return str(path)

        kept: str = await self.in_thread(write)
        await self._tidy()
        return kept

    async def _write_conf(self, lease: float) -> None:
        """The pilots' configuration, once and when it changes; on a file system that may be slow."""
        if self.unit.config_file:
            return
        text = self.conf_text(lease)
        if text == self._written and await self.in_thread(Path(self.config_file).exists):
            return

        def write() -> None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(Path(self.config_file), text)

        try:
            await self.in_thread(write)
        except OSError as error:
            raise NoAnswerError(
                f"{self.config_file} cannot be written: {error.strerror}; [cloud] {self.pool}.config.folder says where"
            ) from None
        self._written = text

    def _is_ours(self, name_of_job: str) -> bool:
        name = read_job_name(name_of_job)
        return name is not None and name.realm == mark(self.realm, 4)

    def _instance(self, job: BatchJob) -> Instance:
        name = read_job_name(job.name)
        ours = self._is_ours(job.name)
        said = f"{job.state.value}" + (f": {job.reason}" if job.reason not in ("", "None") else "")
        return Instance(
            id=job.id,
            name=job.name if name is None else name.node,
            state=STATES[job.state],
            ours=ours,
            owner=self.realm if ours else _owner(job, name),
            address=job.nodes[0] if job.nodes else "",
            born=job.submitted,
            said=said,
        )


def _owner(job: BatchJob, name: JobName | None) -> str:
    """Whose pilot it is, as far as one can tell."""
    return job.owner if name is None else f"realm {name.realm}"


def _refused(pool: str, error: CommandFailedError, text: str, path: str) -> SubmissionError | QuotaError:
    said = error.stderr.strip() or str(error)
    quota = _QUOTA.search(said)
    if quota is not None:
        return QuotaError(f"the batch system takes no more pilots of pool {pool} now: {said} (limit {quota[0]})")
    setting = next((key for pattern, key in SETTINGS if re.search(pattern, said, re.IGNORECASE)), "directives")
    return SubmissionError(pool, error, text, setting, path)
