"""`asyncluster pool check`: a pilot is handed in held, let go, looks around instead of serving, and is taken away."""

from __future__ import annotations

import json
import re
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from asyncluster.errors import AsynClusterError, CommandFailedError, NoAnswerError, QuotaError, SubmissionError
from asyncluster.model.batch import BatchJob, BatchState
from asyncluster.model.supply import CHECK_PREFIX, Order
from asyncluster.supply.batch import BatchCloud
from asyncluster.supply.leftovers import LOG
from asyncluster.supply.naming import job_name, mark, read_job_name
from asyncluster.supply.road import Evidence

_log = Logger()

LOOK = 1.0
"""Seconds between two looks at the job."""

LATE = 15.0
"""Seconds after its job has ended for a report to be seen: folders of a network are slow."""

LASTS = 90.0
"""Seconds that a probe may take: it waits for addresses that do not answer."""

LOOKS = 5
"""Times that a job is looked for whose submission was not answered: it may be taken late."""

_TAIL = 1500
_CHECK = re.compile(CHECK_PREFIX + "[0-9a-f]{8}")
_NODE = re.compile(r"-m asyncluster\.node --config ")
_RUNS = frozenset({BatchState.RUNNING, BatchState.ENDING})
_under_way: set[str] = set()  # names of the jobs of checks that this master is at


async def rehearse(
    reactor: IReactorTime, cloud: BatchCloud, python: str, software: str, lease: float, wait: float
) -> Evidence:
    """Walk the road.  python, software: versions here; lease: of nodes; wait: seconds for the job's turn.

    What goes wrong is evidence; raises ConfigError for a template that is none.
    """
    order = Order(f"{CHECK_PREFIX}{secrets.token_hex(4)}", secrets.token_hex(8), cloud.pool, lease)
    name = str(job_name(order, cloud.realm))
    report, log = cloud.folder / f"{name}.json", cloud.folder / f"{name}{LOG}"
    text = cloud.text(order)
    changed = _NODE.sub(f"-m asyncluster.node.probe {shlex.quote(str(report))} --config ", text)
    seen = Evidence(cloud.pool, cloud.unit, python, software, own_way=changed == text)
    job, looks = "", 1
    _under_way.add(name)
    try:
        await _sweep(cloud)  # who cannot even be asked for its list has not refused anything
        job = await cloud.rehearse(order, changed)
        seen = attrs.evolve(seen, job=await _find(cloud, name))
        await cloud.queue.release(job)
        return await _follow(reactor, cloud, seen, name, (report, log), wait)
    except SubmissionError as error:
        return attrs.evolve(seen, refused=error.stderr or str(error), setting=error.setting)
    except QuotaError as error:
        return attrs.evolve(seen, refused=str(error), setting="max_nodes")
    except (NoAnswerError, CommandFailedError) as error:
        looks = LOOKS
        return attrs.evolve(seen, silent=str(error))
    finally:
        try:
            await _take_away(cloud, job or await _left(reactor, cloud, name, looks), (report, log))
        finally:
            _under_way.discard(name)


async def _follow(
    reactor: IReactorTime, cloud: BatchCloud, seen: Evidence, name: str, files: tuple[Path, Path], wait: float
) -> Evidence:
    """Until its report is there, or it has ended without one, or had no turn in time."""
    begin = reactor.seconds()
    began = ended = 0.0
    while True:
        await deferLater(reactor, LOOK)
        now = reactor.seconds()
        found = await cloud.in_thread(_read, *files)
        job = await _find(cloud, name)
        if not began and (job is None or job.state in _RUNS or found[0] is not None):
            began = now
        if job is None and not ended:
            ended = now
        seen = attrs.evolve(
            seen,
            waited=(began or now) - begin,
            began=bool(began),
            ended=bool(ended),
            reason="" if job is None else job.reason,
            report=found[0],
            log=found[1],
        )
        late = ended and now - ended > (LATE if not found[1] else 2 * LOOK)
        if seen.report is not None or late or (now - began > LASTS if began else now - begin > wait):
            return seen


async def _find(cloud: BatchCloud, name: str) -> BatchJob | None:
    return next((job for job in await cloud.queue.jobs_named(name) if job.name == name), None)


async def _sweep(cloud: BatchCloud) -> None:
    """Take away what checks have left that came to no end: their master was killed, or heard of no job."""
    for job in await cloud.queue.jobs_named(CHECK_PREFIX):
        name = read_job_name(job.name)
        ours = name is not None and name.realm == mark(cloud.realm, 4) and _CHECK.fullmatch(name.node)
        if ours and job.name not in _under_way and job.state is not BatchState.ENDING:
            _log.warn("job {job} is left of an earlier check, and is cancelled", job=job.id)
            await cloud.queue.cancel(job.id)


async def _left(reactor: IReactorTime, cloud: BatchCloud, name: str, looks: int) -> str:
    """The id of a job whose submission told none; '' = there is none."""
    problem = ""
    for look in range(looks):
        if look:
            await deferLater(reactor, LOOK)
        try:
            job = await _find(cloud, name)
            problem = ""
        except AsynClusterError as error:
            job, problem = None, str(error)
        if job is not None:
            return job.id
    if problem:
        _log.error(
            "a held job {name}, a check of pool {pool}, may be left: {problem}; the next check takes it away",
            name=name,
            pool=cloud.pool,
            problem=problem,
        )
    return ""


async def _take_away(cloud: BatchCloud, job: str, files: tuple[Path, Path]) -> None:
    try:
        if job:
            await cloud.queue.cancel(job)
    except AsynClusterError as error:
        _log.error("job {job}, a check of pool {pool}, stays: {error}", job=job, pool=cloud.pool, error=str(error))

    def remove() -> None:
        for path in files:
            path.unlink(missing_ok=True)

    try:
        await cloud.in_thread(remove)
    except OSError as error:
        _log.warn("files of a check stay in {folder}: {error}", folder=str(cloud.folder), error=str(error))


def _read(report: Path, log: Path) -> tuple[Mapping[str, Any] | None, str]:
    """The report, and the end of the log."""
    found = None
    try:
        value = json.loads(report.read_text(encoding="utf-8"))
        found = value if isinstance(value, dict) else None
    except (OSError, ValueError):
        pass
    try:
        text = log.read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip()
    except OSError:
        text = ""
    return found, text
