"""The road from the master to a compute node and back, step by step, from what a rehearsal of a pilot has seen: pure.

The first step that fails tells what to mend; those behind it that cannot be judged then say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from asyncluster.model.batch import BatchJob
from asyncluster.model.supply_options import BatchUnit
from asyncluster.units import format_duration, format_size

NAMES = ("command", "queue", "account", "request", "start", "interpreter", "versions", "route", "scratch", "walltime")

ALIVE = {
    "slurm": "is slurmctld running (`scontrol ping`), is there a slurm.conf on this machine, and is SLURM_CONF set for "
    "the master where that lies elsewhere?",
    "sge": "is sge_qmaster running (`qstat`), is this one of its submit hosts, and are SGE_ROOT and SGE_CELL set for "
    "the master?",
    "torque": "is pbs_server running (`qstat -B`), does this machine's server_name file name it, and does trqauthd run "
    "here?",
}
"""What to look after where a batch system's programs are there, and it does not answer them."""

UNKNOWN = "not known: the road ended before"


@attrs.frozen
class Step:
    """One step.  ok: None = it could not be judged; text: what is so; mend: what to do, "" where all is well."""

    name: str
    ok: bool | None
    text: str
    mend: str = ""


@attrs.frozen
class Evidence:
    """What was seen of a pilot that was handed in held, let go, and only looked around.

    python: "3.11" of the master, software: its release; silent: why the batch system could not be asked; refused,
    setting: what it said to the script, and the key that has to do with it; job: the pilot's, as it was listed while
    it was held; waited: seconds for its turn; began, ended; reason: why it still waits; report: of the probe, None =
    there is none; log: the end of what it wrote; own_way: the template does not start the node as ours does.
    """

    pool: str
    unit: BatchUnit
    python: str
    software: str
    silent: str = ""
    refused: str = ""
    setting: str = ""
    job: BatchJob | None = None
    waited: float = 0.0
    began: bool = False
    ended: bool = False
    reason: str = ""
    report: Mapping[str, Any] | None = None
    log: str = ""
    own_way: bool = False


def steps(seen: Evidence) -> tuple[Step, ...]:
    """All steps, in the order of `NAMES`."""
    found = {step.name: step for step in (*_submission(seen), *_start(seen), *_there(seen))}
    return tuple(found.get(name) or Step(name, None, UNKNOWN) for name in NAMES)


def _key(seen: Evidence, name: str) -> str:
    return f"[cloud] {seen.pool}.config.{name}"


def _mend_silence(seen: Evidence) -> str:
    """A program that is not there, a folder, or a batch system behind its programs: each is mended elsewhere."""
    if "cannot be written" in seen.silent:
        return f"{_key(seen, 'folder')} has to be one that the master may write to"
    if "no program" in seen.silent or "could not be started" in seen.silent:
        return (
            f"{_key(seen, 'submit_command')} and the other commands name the programs; are they on the master's PATH?"
        )
    return ALIVE[seen.unit.system]


def _submission(seen: Evidence) -> list[Step]:
    if seen.silent:
        return [Step("command", False, seen.silent, _mend_silence(seen))]
    command = Step("command", True, "the batch system answers")
    if seen.refused:
        at = seen.setting if seen.setting in {"queue", "account"} else "request"
        return [command, Step(at, False, seen.refused, f"change {_key(seen, seen.setting)}")]
    unit, job = seen.unit, seen.job
    queue = (job.queue if job else "") or unit.queue
    account = (job.account if job else "") or unit.account
    asked = [f"{unit.cores} core{'s' if unit.cores > 1 else ''}"]
    asked += [format_size(unit.memory)] if unit.memory else []
    asked += [f"{unit.gpus} gpus"] if unit.gpus else []
    return [
        command,
        Step("queue", True, queue or "the batch system's own"),
        Step("account", True, account or "the batch system's own"),
        Step("request", True, f"{', '.join(asked)}: accepted, held" + (f" as job {job.id}" if job else "")),
    ]


def _start(seen: Evidence) -> list[Step]:
    if seen.silent or seen.refused:
        return []
    if seen.began or seen.report is not None:
        return [Step("start", True, f"began after {seen.waited:.0f} s")]
    why = f": {seen.reason}" if seen.reason else ""
    mend = (
        f"the queue may just be full: try again with a longer --wait; or ask for less: {_key(seen, 'queue')}, cores, "
        "memory, walltime"
    )
    return [Step("start", False, f"still queued after {seen.waited:.0f} s{why}", mend)]


def _there(seen: Evidence) -> list[Step]:
    report = seen.report
    if report is None:
        return [_no_report(seen)] if seen.began else []
    return [
        Step("interpreter", True, f"{report['executable']} on {report['host']}"),
        _versions(seen, report),
        _route(seen, report),
        _scratch(seen, report),
        _walltime(seen),
    ]


def _no_report(seen: Evidence) -> Step:
    if seen.own_way:
        text = "the template starts the node in its own way, which cannot be tried without starting one"
        return Step("interpreter", None, text)
    if seen.log:
        mend = (
            f"{_key(seen, 'interpreter')} is the Python there that has AsynCluster; `setup` has shell lines before it"
        )
        return Step("interpreter", False, f"nothing came back; the job wrote: {seen.log}", mend)
    what = "ended" if seen.ended else "runs"
    mend = f"{_key(seen, 'folder')} has to be a folder that the compute nodes see too"
    return Step("interpreter", False, f"the job {what}, and neither a log nor a report of it is seen here", mend)


def _versions(seen: Evidence, report: Mapping[str, Any]) -> Step:
    there = f"Python {report['python']} and AsynCluster {report['software']} there"
    if ".".join(str(report["python"]).split(".")[:2]) != seen.python:
        mend = f"functions travel between equal Pythons only: {_key(seen, 'interpreter')} has to be a {seen.python}"
        return Step("versions", False, f"{there}, Python {seen.python} here", mend)
    same = report["software"] == seen.software
    return Step("versions", True, there + (", the same here" if same else f", AsynCluster {seen.software} here"))


def _route(seen: Evidence, report: Mapping[str, Any]) -> Step:
    route = report["route"]
    works = [each["address"] for each in route if not each["fault"]]
    faults = "; ".join(each["fault"] for each in route if each["fault"])
    if works:
        return Step(
            "route", True, f"the master is reached at {', '.join(works)}" + (f" (not: {faults})" if faults else "")
        )
    mend = (
        f"{_key(seen, 'master')} lists addresses of the master that compute nodes reach, `subnets` of the master "
        "(or of `up`) lets them in, and no firewall may be between"
    )
    return Step("route", False, f"the master is not reached from {report['host']}: {faults}", mend)


def _scratch(seen: Evidence, report: Mapping[str, Any]) -> Step:
    scratch = report["scratch"]
    if scratch["fault"]:
        mend = f'{_key(seen, "setup")} may name another folder: ["export TMPDIR=/…"]'
        return Step("scratch", False, f"{scratch['folder']} cannot be written: {scratch['fault']}", mend)
    return Step("scratch", True, f"{scratch['folder']}, {format_size(scratch['free'])} free")


def _walltime(seen: Evidence) -> Step:
    asked, given = seen.unit.walltime, seen.job.walltime if seen.job else 0.0
    if not asked and given:
        text = f"none is asked for, and the batch system ends jobs after {format_duration(given)}"
        mend = f"{_key(seen, 'walltime')}, so that nodes know when to end, and tasks are placed accordingly"
        return Step("walltime", False, text, mend)
    if given and given < asked:
        text = f"{format_duration(asked)} is asked for, and {format_duration(given)} given"
        return Step("walltime", False, text, f"change {_key(seen, 'walltime')}")
    return Step("walltime", True, format_duration(asked) if asked else "no limit")
