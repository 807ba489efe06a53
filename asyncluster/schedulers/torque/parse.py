"""What Torque's and Maui's programs print, as model values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping

import attrs

from asyncluster.errors import NoAnswerError
from asyncluster.model.batch import BatchJob, BatchNode, BatchState, Chunk
from asyncluster.model.node import NodeState
from asyncluster.schedulers.sense import make_sense, seconds, size
from asyncluster.schedulers.xml import Element, facts, records
from asyncluster.units import clip

NO_NODES = "node list is empty"
"""What pbsnodes says, and fails, where there is none."""

_STATES = {"Q": BatchState.QUEUED, "T": BatchState.QUEUED, "W": BatchState.BLOCKED, "E": BatchState.ENDING}
_STATES |= {"R": BatchState.RUNNING, "S": BatchState.RUNNING, "H": BatchState.HELD}
_AFTER = re.compile(r"(^|,)(after|on)\w*:")
_HELD = set("uops")  # by whom
_GPU_MODES = frozenset({"shared", "exclusive_thread", "exclusive_process", "exclusive", "default", "reseterr"})
"""Words beside `gpus=` that say how gpus are to be set, and are no property of a node."""

_WHERE = re.compile(r"([^/+\s]+)/([0-9,-]+)", re.ASCII)


def refuses_to_talk(text: str) -> bool:
    """Whether what a command said means that the server was not reached, rather than that it said no."""
    return (
        re.search(
            "[Cc]annot connect to (specified )?server|Unable to communicate|socket_connect_unix failed|trqauthd"
            "|Communication failure|Connection refused|Can not resolve name for server|cannot connect to .*port",
            text,
        )
        is not None
    )


def jobs(text: str, hosts: Collection[str] = (), priorities: Mapping[str, float] | None = None) -> tuple[BatchJob, ...]:
    """All jobs that are not over, each element of an array as one; those of `qstat -x -t`.

    hosts: names of nodes, which jobs may ask for where others ask for a property; priorities: what Maui makes of them.
    """
    with make_sense("qstat"):
        found = [_job(one, frozenset(hosts), priorities or {}) for one in records(text, "Data", "Job", "qstat", True)]
    return tuple(job for job in found if job is not None)


def _job(one: Element, hosts: frozenset[str], priorities: Mapping[str, float]) -> BatchJob | None:
    said, asked = facts(one), facts(one.find("Resource_List"))
    name, letter = said.get("Job_Id", ""), said.get("job_state", "")
    if not name[:1].isdecimal():
        raise ValueError(f"{clip(name)} is no job's identifier")
    if letter == "C":
        return None
    if letter not in _STATES:
        raise ValueError(f"{clip(letter)} is no state of a job")
    state = _STATES[letter]
    if state is BatchState.HELD and (
        _AFTER.search(said.get("depend", "")) or not _HELD & set(said.get("Hold_Types", ""))
    ):
        state = BatchState.BLOCKED  # by another job, or by its array's own limit
    where = _where(said.get("exec_host", ""))
    number = name.partition(".")[0]
    return BatchJob(
        id=name,
        state=state,
        chunks=_chunks(asked, hosts),
        owner=said.get("Job_Owner", "").partition("@")[0],
        name=said.get("Job_Name", ""),
        queue=said.get("queue", ""),
        account=said.get("Account_Name", ""),
        priority=priorities.get(number, priorities.get(name, float(said.get("Priority", "") or 0))),
        walltime=_asked(asked.get("walltime", ""), seconds),
        submitted=float(said.get("qtime", "") or said.get("ctime", "") or 0),
        nodes=tuple(where),
        cores_on=tuple(where.values()),
        reason="" if where else said.get("comment", ""),
    )


def _asked(text: str, read: Callable[[str], float]) -> float:
    """What a user asked for; 0 where this reader does not know it."""
    try:
        return read(text) if text else 0
    except ValueError:
        return 0


def _where(text: str) -> dict[str, int]:
    """Cores on each node in "node2/0-1+node1/0", in its order."""
    found: Counter[str] = Counter()
    for part in text.split("+") if text else ():
        match = _WHERE.fullmatch(part)
        if match is None:
            raise ValueError(f"{clip(text)} does not say where a job runs")
        found[match[1]] += cores_in(match[2])
    return dict(found)


def cores_in(text: str) -> int:
    """How many numbers "0-3,7" names."""
    count = 0
    for part in text.split(","):
        first, _, last = part.partition("-")
        count += int(last or first) - int(first) + 1
    if count < 1:
        raise ValueError(f"{clip(text)} names no core")
    return count


def _chunks(asked: Mapping[str, str], hosts: frozenset[str]) -> tuple[Chunk, ...]:
    total, each = (int(_asked(asked.get(name, ""), size)) for name in ("mem", "pmem"))
    procs, ncpus = (int(_asked(asked.get(name, ""), float)) for name in ("procs", "ncpus"))
    needed = _needed(asked.get("neednodes", ""), hosts)
    if procs > 0:
        return (Chunk(0, procs, max(each, -(-total // procs)), 0, needed),)
    spec = asked.get("nodes", "") or "1"
    parts = [_part(part, hosts) for part in spec.partition("#")[0].split("+")]
    parts = [attrs.evolve(part, properties=tuple(dict.fromkeys((*part.properties, *needed)))) for part in parts]
    if len(parts) == 1 and parts[0].cores == 1 and ncpus > 1:
        parts = [Chunk(parts[0].nodes, ncpus, 0, parts[0].gpus, parts[0].properties)]
    count = sum(part.nodes for part in parts)
    return tuple(
        Chunk(part.nodes, part.cores, max(each * part.cores, -(-total // count)), part.gpus, part.properties)
        for part in parts
    )


def _needed(text: str, hosts: frozenset[str]) -> tuple[str, ...]:
    """The properties that a queue asks for by `resources_default.neednodes`: "CLOUD".

    What a job asks for itself stands there again, with its cores, and when it has run before also where it did.
    """
    part = _part(text, hosts) if text and "ppn=" not in text and "+" not in text else Chunk()
    return tuple(word for word in part.properties if not word.startswith("hostname="))


def _part(text: str, hosts: frozenset[str]) -> Chunk:
    """ "2:ppn=4:CLOUD", "node7:ppn=2", "CLOUD:gpus=1"."""
    nodes, cores, gpus, properties = 1, 1, 0, []
    modes = _GPU_MODES if ":gpus=" in text else ()
    for index, item in enumerate(text.split(":")):
        key, _, value = item.partition("=")
        if index == 0 and item.isdecimal():
            nodes = max(1, int(item))
        elif key == "ppn" and value.isdecimal():
            cores = max(1, int(value))
        elif key == "gpus" and value.isdecimal():
            gpus = int(value)
        elif item in hosts:
            properties.append(f"hostname={item}")
        elif item and not value and item not in modes:
            properties.append(item)
    return Chunk(nodes, cores, 0, gpus, tuple(properties))


def nodes(text: str) -> tuple[BatchNode, ...]:
    """All nodes; those of `pbsnodes -x`."""
    with make_sense("pbsnodes"):
        return tuple(_node(one) for one in records(text, "Data", "Node", "pbsnodes", True))


def _node(one: Element) -> BatchNode:
    said = facts(one)
    name, cores, state = said.get("name", ""), int(said["np"]), said.get("state", "")
    if not name or not state:
        raise ValueError("a node without a name or a state")
    status = dict(part.split("=", 1) for part in said.get("status", "").split(",") if "=" in part)
    jobs: Counter[str] = Counter()
    for slots, job in re.findall(r"([0-9,-]+)/([^,\s]+)", said.get("jobs", "")):
        jobs[job] += cores_in(slots.strip(","))
    used = sum(jobs.values())
    note = said.get("note", "")
    return BatchNode(
        name=name,
        state=node_state(state, used, not status),
        cores=cores,
        used=used,
        memory=size(status["physmem"]) if "physmem" in status else 0,
        memory_used=0,
        gpus=int(said.get("gpus", "") or 0),
        jobs=tuple(jobs),
        properties=tuple(filter(None, said.get("properties", "").split(","))),
        said=state + (f" ({note})" if note else ""),
    )


def node_state(words: str, used: int, never_came: bool = False) -> NodeState:
    """Torque's states, such as "offline,job-exclusive", as one of ours."""
    states = {part.strip() for part in words.split(",")}
    if "MOM-list-not-sent" in states and never_came:
        return NodeState.STARTING
    if states & {"down", "unknown", "state-unknown", "network-failure"}:
        return NodeState.ERROR
    if states & {"offline", "reserve"}:
        return NodeState.HOLDING if used else NodeState.HELD
    if used or "busy" in states:
        return NodeState.BUSY
    return NodeState.STARTING if "MOM-list-not-sent" in states else NodeState.IDLE


def submitted(text: str) -> str:
    """The identifier that qsub printed, a number and its server's name; NoAnswerError where it printed none."""
    found = re.fullmatch(r"\d+(\[\])?(\.[\d._-]*[A-Za-z][A-Za-z0-9._-]*)?", text.strip(), re.ASCII)
    if found is None:
        raise NoAnswerError(f"qsub printed no job's identifier but {clip(text.strip())}")
    return found[0]


def reservations(text: str) -> dict[str, set[str]]:
    """The nodes of each reservation that people made: lines of `showres -n` (node, type, reservation, …)."""
    if "NodeName" not in text and "No reservations" not in text and "no reservations" not in text:
        raise NoAnswerError(f"showres printed no list of reservations: {clip(text[-200:], 200)}")
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        parts = line.split()
        if len(parts) >= 3 and parts[1] == "User":
            found.setdefault(parts[2], set()).add(parts[0])
    return found


def priorities(text: str) -> dict[str, float]:
    """What Maui makes of jobs' priorities: lines of `diagnose -p` that begin with a job's number."""
    found = re.findall(r"^\s*(\d+(?:\[\d+\])?)(?:\.\S+)?\s+(-?\d+(?:\.\d+)?)\*?\s", text, re.MULTILINE)
    return {job: float(value) for job, value in found}
