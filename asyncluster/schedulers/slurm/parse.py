"""What Slurm's programs print, as model values.

A listing that is cut short, or that is none, is NoAnswerError: never a queue with fewer jobs in it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import attrs

from asyncluster.errors import NoAnswerError
from asyncluster.model.batch import BatchJob, BatchNode, BatchState, Chunk, queues_of
from asyncluster.model.node import NodeState
from asyncluster.schedulers.sense import elements, make_sense
from asyncluster.schedulers.slurm.commands import FIELDS, behind, between
from asyncluster.schedulers.slurm.hostlist import expand
from asyncluster.units import clip

_NOTHING = ("", "(null)", "N/A", "n/a", "None", "none")
_COUNT = re.compile(r"^last_update_time=\S+ records=(\d+)$", re.MULTILINE)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGTP]?)[cn]?", re.ASCII)
_TIME = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", re.ASCII)
_POWERS = {"": 2, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}  # Slurm's own unit is MiB

_RUN = {"RUNNING", "CONFIGURING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING"}
_END = {"COMPLETING", "STAGE_OUT"}
_OVER = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"),
    *("REVOKED", "TIMEOUT", "LAUNCH_FAILED", "RECONFIG_FAIL", "EXPEDITING", "POWER_UP_NODE"),
}
_HELD = {"JobHeldUser", "JobHeldAdmin", "JobHoldMaxRequeue"}
_NODE_WOULD_HELP = {
    *("None", "Priority", "Resources", "PartitionConfig", "PartitionNodeLimit", "NodeDown"),
    *("ReqNodeNotAvail", "WaitingForScheduling"),
}
_NODES_ARE_DOWN = "Nodes required for job are DOWN"
"""So it begins, in `squeue`, where nodes that would do are down or drained: a dead one, or the placeholder."""


@attrs.frozen
class Partition:
    """One of Slurm's queues.  accounts: those that may use it, () = all; sets: of nodes, by their names."""

    name: str
    nodes: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    default: bool = False


@attrs.frozen
class Machines:
    """All nodes and partitions at one moment."""

    nodes: tuple[BatchNode, ...]
    partitions: tuple[Partition, ...]


def refuses_to_talk(text: str) -> bool:
    """Whether what a command said means that the controller was not reached, rather than that it said no."""
    return (
        re.search(
            "contact slurm|connect failure|[Cc]onnection|timed out|Zero Bytes|authentication|[Mm]unge|backup controller"
            "|Slurm temporarily unable|Unexpected message|configuration source|process configuration file|fetch_config",
            text,
        )
        is not None
    )


def jobs(text: str, token: str, widths: Mapping[str, int] | None = None) -> tuple[BatchJob, ...]:
    """The jobs that are not over, elements of an array that are alike as one; NoAnswerError where it is no list.

    token: as in the command; widths: cores of the largest node of each partition.
    """
    widths = widths or {}
    found = _COUNT.search(text)
    if found is None:
        raise NoAnswerError(f"squeue did not say how many jobs there are: {clip(text[-200:], 200)}")
    pieces = text[found.end() + 1 :].split(behind(token) + "\n")
    rest = pieces.pop()
    records = [piece.split(between(token)) for piece in pieces]
    ids = {record[0] for record in records}
    if rest.strip() or len(ids) != int(found[1]) or any(len(record) != len(FIELDS) for record in records):
        raise NoAnswerError(f"squeue's list is cut short: {len(ids)} of {found[1]} jobs can be read")
    rows = [dict(zip(FIELDS, record, strict=True)) for record in records]
    running = Counter(row["ArrayJobID"] for row in rows if row["State"] in _RUN)
    with make_sense("squeue"):
        return tuple(
            job for row in rows for job in _row(row, running[row["ArrayJobID"]], _width(row["Partition"], widths))
        )


def _width(partitions: str, widths: Mapping[str, int]) -> int:
    """Cores of the largest node in any of a job's partitions; 0 = that is not known."""
    return max((widths.get(name, 0) for name in queues_of(partitions)), default=0)


def _row(row: dict[str, str], running: int, widest: int) -> Iterator[BatchJob]:
    """The values of one record: none for a job that is over, two where an array may not run as a whole."""
    state = row["State"]
    if state in _OVER:
        return
    alive, nodes = _state(state, row["Reason"]), _word(row["NodeList"])
    names = expand(nodes) if nodes and alive is not BatchState.QUEUED else ()
    total = int(row["NumCPUs"])
    job = BatchJob(
        id=row["JobArrayID"] if "_" in row["JobArrayID"] else row["JobID"],
        state=alive,
        chunks=_chunks(row, widest),
        owner=row["UserName"],
        name=row["Name"],
        queue=row["Partition"],
        account=_word(row["Account"]),
        priority=float(row["PriorityLong"]),
        walltime=_seconds(row["TimeLimit"]),
        submitted=float(_word(row["SubmitTime"]) or 0),
        nodes=names,
        cores_on=tuple(total // len(names) + (index < total % len(names)) for index in range(len(names))),
        reason=row["Reason"] if alive not in (BatchState.RUNNING, BatchState.ENDING) else "",
    )
    count, limit = array(row["ArrayTaskID"])
    if alive is BatchState.QUEUED and 0 < limit < running + count:
        allowed = max(0, limit - running)
        if allowed:
            yield attrs.evolve(job, count=allowed)
        yield attrs.evolve(job, count=count - allowed, state=BatchState.BLOCKED, reason="JobArrayTaskLimit")
        return
    yield attrs.evolve(job, count=count)


def _state(state: str, reason: str) -> BatchState:
    if state in _RUN:
        return BatchState.RUNNING
    if state in _END:
        return BatchState.ENDING
    if state == "REQUEUE_HOLD" or reason in _HELD:
        return BatchState.HELD
    if state not in {"PENDING", "REQUEUED", "REQUEUE_FED"}:
        return BatchState.BROKEN
    return BatchState.QUEUED if _would_help(reason) else BatchState.BLOCKED


def _would_help(reason: str) -> bool:
    """Whether a job that waits for this reason could run on one node more."""
    plain = reason.replace("_", " ").startswith(_NODES_ARE_DOWN)  # programs differ in what stands between words
    return plain or reason.partition(",")[0].rstrip("+") in _NODE_WOULD_HELP


def _chunks(row: dict[str, str], widest: int) -> tuple[Chunk, ...]:
    """What a job asks for.  widest: cores of the largest node of its partition.

    Slurm says how many nodes are asked for (in the trackable resources) and how many it thinks it takes (NumNodes).
    Where the latter is more, or where one node is not enough, the tasks may lie anywhere, unless some of them need one
    another's company (`-c`, `--ntasks-per-node`).
    """
    cores, nodes = int(row["NumCPUs"]), max(1, int(row["NumNodes"].partition("-")[0]))
    together = int(row["MinCpus"] or 1)
    trackable = _trackable(row["tres-alloc"])
    memory = trackable.get("mem", 0) if _bytes(row["MinMemory"]) else 0
    gpus, features = trackable.get("gres/gpu", 0) or _gres(row["tres-per-node"]) * nodes, _features(row["Feature"])
    whole = row["OverSubscribe"] == "NO"
    if wanted := _word(row["ReqNodes"]):
        features = (*features, f"hostname={wanted}")  # which no other node bears
    free = together <= 1 and not gpus and not whole and int(row["NumTasks"] or 1) > 1
    if free and (nodes > trackable.get("node", 1) or (nodes == 1 and cores > widest)):
        return (Chunk(0, cores, -(-memory // max(1, cores)), 0, features),)
    each = max(together, -(-cores // nodes))
    return (Chunk(nodes, each, -(-memory // nodes), -(-gpus // nodes), features, whole),)


def _features(text: str) -> tuple[str, ...]:
    """The words of a constraint; one that says more than `a&b` stays whole, and no node bears it."""
    text = _word(text)
    words = [word.strip() for word in re.split("[&,]", text)]
    if any(not re.fullmatch(r"[\w.:=+-]+", word) for word in words):
        return (text,) if text else ()
    return tuple(words)


def _trackable(text: str) -> dict[str, int]:
    """ "cpu=8,mem=400M,node=2,gres/gpu=2" as numbers, memory in bytes."""
    found: dict[str, int] = {}
    for part in _word(text).split(","):
        name, _, amount = part.partition("=")
        if name == "mem":
            found[name] = _bytes(amount)
        elif amount.isdecimal():
            found[name] = int(amount)
    return found


def _gres(text: str) -> int:
    """The gpus of "gres:gpu:2", "gres/gpu:a100:4" or "gpu:a100:2(S:0-1),shard:8".

    Trackable resources have them only where `AccountingStorageTRES` names them, which it does not by itself.
    """
    count = 0
    for part in re.sub(r"\([^)]*\)", "", _word(text)).split(","):
        kind, _, amount = re.sub("^gres[:/]", "", part).partition(":")
        if kind == "gpu":
            number = amount.rpartition(":")[2]
            count += int(number) if number.isdecimal() else 1
    return count


def array(text: str) -> tuple[int, int]:
    """How many elements of an array "1-6,9-20:2%4" names, and how many of them may run at a time (0 = all)."""
    which, _, limit = _word(text).partition("%")
    return (elements(which), int(limit or 0)) if which else (1, 0)


def machines(text: str) -> Machines:
    """Nodes and partitions; NoAnswerError where it is not all of them."""
    lines = [line.removeprefix("scontrol: ").rstrip() for line in text.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    if not lines or not re.fullmatch(r"slurm(-\w+)? \d+\.\S+", lines[-1]):
        raise NoAnswerError(f"scontrol's list is cut short: {clip(text[-200:], 200)}")
    with make_sense("scontrol"):
        partitions = tuple(_partition(line) for line in lines if line.startswith("PartitionName="))
        nodes = tuple(node(line, partitions) for line in lines if line.startswith("NodeName="))
    known = re.compile(r"$|NodeName=|PartitionName=|show |version|No nodes|No partitions")
    strange = [line for line in lines[:-1] if not known.match(line)]
    if strange or not partitions:  # there is no Slurm without a partition, but there may be one without a node
        raise NoAnswerError(f"scontrol said something else than nodes: {clip((strange or ['nothing'])[0], 200)}")
    return Machines(nodes, partitions)


def widest(nodes: Iterable[BatchNode]) -> dict[str, int]:
    """Cores of the largest node of each partition."""
    found: dict[str, int] = {}
    for one in nodes:
        for queue in one.queues:
            found[queue] = max(found.get(queue, 0), one.cores)
    return found


def node(line: str, partitions: tuple[Partition, ...] = ()) -> BatchNode:
    """One line of `scontrol -o show node`; ValueError or KeyError where it is not whole."""
    facts = _facts(line)
    cores, used, state = int(facts["CPUTot"]), int(facts["CPUAlloc"]), facts["State"]
    queues = [word for word in facts.get("Partitions", "").split(",") if word]
    mine = [one for one in partitions if one.name in queues]
    accounts = {account for one in mine for account in one.accounts}
    said = state + (f" ({facts['Reason']})" if facts.get("Reason") else "")
    return BatchNode(
        name=facts["NodeName"],
        state=node_state(state, used, facts.get("SlurmdStartTime", "None") in _NOTHING),
        cores=cores,
        used=used,
        memory=int(facts["RealMemory"]) * 1024**2,
        memory_used=int(facts["AllocMem"]) * 1024**2,
        gpus=_trackable(facts["CfgTRES"]).get("gres/gpu", 0) or _gres(facts.get("Gres", "")),
        gpus_used=_trackable(facts["AllocTRES"]).get("gres/gpu", 0) or _gres(facts.get("GresUsed", "")),
        properties=tuple(word for word in _word(facts["ActiveFeatures"]).split(",") if word),
        queues=tuple(queues),
        accounts=tuple(sorted(accounts)) if mine and all(one.accounts for one in mine) else (),
        said=said,
    )


def node_state(words: str, used: int, never_came: bool = False) -> NodeState:
    """Slurm's state, such as "IDLE+CLOUD+DRAIN", as ours.  used: its taken cores; never_came: it was not heard yet."""
    base, *rest = words.split("+")
    flags = {flag.rstrip("*") for flag in rest}
    if base.endswith("*"):
        flags.add("NOT_RESPONDING")
    base = base.rstrip("*~#!%$@^-")
    if "DRAIN" in flags and never_came and not used:
        return NodeState.STARTING
    if "POWERING_UP" in flags or "REBOOT_ISSUED" in flags or "REBOOT" in flags:
        return NodeState.STARTING
    if "POWERING_DOWN" in flags:
        return NodeState.DELETING
    if base in {"DOWN", "ERROR", "FAIL", "FAILING", "UNKNOWN"} or flags & {"NOT_RESPONDING", "FAIL", "INVALID_REG"}:
        return NodeState.ERROR
    taken = used > 0 or "COMPLETING" in flags
    if flags & {"DRAIN", "MAINTENANCE", "BLOCKED"} or base in {"DRAINED", "DRAINING", "FUTURE"}:
        return NodeState.HOLDING if taken else NodeState.HELD
    return NodeState.BUSY if taken else NodeState.IDLE


def reservations(text: str) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Of each reservation its nodes and its accounts; scontrol says so where there is none."""
    if not text.strip():
        raise NoAnswerError("scontrol said nothing about reservations, not even that there are none")
    found = {}
    with make_sense("scontrol"):
        for line in text.splitlines():
            if line.startswith("ReservationName="):
                facts = _facts(line)
                accounts = tuple(word for word in _word(facts["Accounts"]).split(",") if word)
                found[facts["ReservationName"]] = (expand(_word(facts["Nodes"])), accounts)
            elif line and line != "No reservations in the system":
                raise NoAnswerError(f"scontrol said something else than reservations: {clip(line, 200)}")
    return found


def submitted(text: str) -> str:
    """The identifier that `sbatch --parsable` printed; NoAnswerError where it printed none."""
    found = re.fullmatch(r"(\d+)(?:;\S+)?", text.strip(), re.ASCII)
    if found is None:
        raise NoAnswerError(f"sbatch printed no job's identifier but {clip(text.strip())}")
    return found[1]


def _partition(line: str) -> Partition:
    facts = _facts(line)
    accounts = () if facts["AllowAccounts"] == "ALL" else tuple(facts["AllowAccounts"].split(","))
    nodes, sets = expand(_word(facts["Nodes"])), tuple(filter(None, facts.get("NodeSets", "").split(",")))
    return Partition(facts["PartitionName"], nodes, sets, accounts, facts.get("Default", "NO") == "YES")


def _facts(line: str) -> dict[str, str]:
    """Names and values of one line.  Values may hold blanks (OS, Reason), names are words before a '='."""
    found = re.findall(r"(?:^|(?<= ))([A-Za-z][\w/:.-]*)=(.*?)(?= +[A-Za-z][\w/:.-]*=|\s*$)", line)
    facts: dict[str, str] = {}
    for name, value in found:
        facts.setdefault(name, value.strip())
    return facts


def _word(text: str) -> str:
    return "" if text in _NOTHING else text


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{clip(text)} is no amount of memory")
    return int(float(found[1]) * 1024 ** _POWERS[found[2]])


def _seconds(text: str) -> float:
    """ "1-02:03:04", "10:00"; 0 for UNLIMITED and what else is not said."""
    found = _TIME.fullmatch(text)
    if found is None:
        if text.upper() in {"UNLIMITED", "NOT_SET", "INVALID", "PARTITION_LIMIT", "N/A", ""}:
            return 0.0
        raise ValueError(f"{clip(text)} is no length of time")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
