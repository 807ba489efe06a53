"""What Grid Engine's programs print, as model values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from fnmatch import fnmatchcase

import attrs

from asyncluster.errors import NoAnswerError
from asyncluster.model.batch import BatchJob, BatchNode, BatchState, Chunk
from asyncluster.model.node import NodeState
from asyncluster.schedulers.sense import elements, make_sense, seconds, size
from asyncluster.schedulers.xml import Element, facts, records, word
from asyncluster.units import clip

_MEMORY = ("h_vmem", "h_rss", "mem_free", "virtual_free", "mem_total", "m_mem_free")
_GPUS = ("gpu", "gpus", "ngpus")
_NEVER = (  # what was asked for is there after all, or was never there
    "already exists",
    "does not exist",
    "not found",
    "already in the specified state",
    "No modification because",
    "unknown execd host",
    "is not an execution host",
)


def refuses_to_talk(text: str) -> bool:
    """Whether what a command said means that the qmaster was not reached, rather than that it said no."""
    return (
        re.search(
            "commlib error|unable to (send message to|contact) qmaster|can't connect|got (select|send) error"
            "|failed receiving gdi|qmaster is not alive|error: timeout|endpoint is not unique",
            text,
        )
        is not None
    )


def harmless(text: str) -> bool:
    """Whether a refusal means that it was so already."""
    return any(words in text for words in _NEVER)


def denied(text: str) -> bool:
    """Whether it was refused; the exit code may be 0 all the same."""
    refusal = r"^denied|: denied|no permission|must be (manager|operator)|^can't resolve hostname"
    return re.search(refusal, text, re.MULTILINE) is not None


def no_group(text: str) -> bool:
    """Whether it was refused to list a group of hosts because there is none of that name, or can be none."""
    return "does not exist" in text or "is not valid" in text


NO_ACCOUNT = "sge"
"""What Grid Engine calls the account of jobs that name none."""


def jobs(text: str, rules: Mapping[str, str], accounts: Mapping[str, str] | None = None) -> tuple[BatchJob, ...]:
    """All jobs; those of `qstat -xml -r -g t`, where one that runs has a row for each slot.

    rules: the allocation rule of each parallel environment; accounts: of each job's number, where they are known.
    """
    running: dict[str, BatchJob] = {}
    slots: dict[str, list[str]] = {}
    masters: dict[str, str] = {}
    found: list[BatchJob] = []
    with make_sense("qstat"):
        for row in records(text, "job_info", "job_list", "qstat"):
            job = _job(row, rules, accounts or {})
            host = word(row, "queue_name").rpartition("@")[2]
            if not host:
                found.append(job)
                continue
            running.setdefault(job.id, job)
            if word(row, "master") == "MASTER":
                masters[job.id] = host
            slots.setdefault(job.id, []).append(host)
    for name, job in running.items():
        hosts = slots[name]
        # the first task of some environments has a row besides those of its slots
        if len(hosts) > job.cores and name in masters:
            hosts.remove(masters[name])
        on = Counter(hosts)
        chunks = tuple(attrs.evolve(job.chunks[0], nodes=1, cores=cores) for cores in on.values())
        found.append(attrs.evolve(job, nodes=tuple(on), cores_on=tuple(on.values()), chunks=chunks))
    return tuple(found)


def environments(text: str) -> bool:
    """Whether any job asks for a parallel environment."""
    return "<requested_pe " in text


def member(group: str) -> str:
    """The property that a host bears by being in a group of hosts."""
    return f"@{group}"


def groups(jobs: Iterable[BatchJob]) -> set[str]:
    """The groups of hosts that waiting jobs are bound to."""
    waiting = (job for job in jobs if job.account and not job.nodes)
    return {job.account for job in waiting if any(member(job.account) in one.properties for one in job.chunks)}


def accounts(text: str) -> dict[str, str]:
    """The account of each job's number, as `qstat -j '*' -xml` says."""
    found = {}
    top = "unknown_jobs" if "<unknown_jobs" in text[:200] else "detailed_job_info"
    for element in records(text, top, "djob_info", "qstat"):
        for job in element:
            account = word(job, "JB_account")
            if account != NO_ACCOUNT:
                found[word(job, "JB_job_number")] = account
    return found


def _job(row: Element, rules: Mapping[str, str], accounts: Mapping[str, str]) -> BatchJob:
    said = facts(row)
    number, tasks = said.get("JB_job_number", ""), said.get("tasks", "")
    if not number.isdecimal():
        raise ValueError(f"a job without a number: {clip(number)}")
    requests = {one.get("name", ""): (one.text or "").strip() for one in row if one.tag == "hard_request"}
    queue, host, group = _queues([one.text or "" for one in row if one.tag == "hard_req_queue"])
    began = said.get("JB_submission_time", "")
    running = said.get("queue_name", "").partition("@")[0]
    requests |= {"hostname": host} if host else {}
    limits = [_asked(requests, name, seconds) for name in ("h_rt", "s_rt") if name in requests]
    chunks = _chunks(row, int(said.get("slots", "") or 1), requests, rules)
    if group:
        chunks = tuple(attrs.evolve(one, properties=(*one.properties, member(group))) for one in chunks)
    return BatchJob(
        id=f"{number}.{tasks}" if tasks else number,
        state=_state(said.get("state", ""), "predecessor_jobs" in said),
        chunks=chunks,
        count=elements(tasks) if tasks else 1,
        owner=said.get("JB_owner", ""),
        name=said.get("full_job_name", "") or said.get("JB_name", ""),
        queue=running or queue,
        account=group or accounts.get(number, ""),  # the group decides where it may run
        priority=float(said.get("JAT_prio", "") or 0),
        walltime=min(limits, default=0.0),
        submitted=datetime.fromisoformat(began).timestamp() if began else 0.0,
        reason="" if running else said.get("state", ""),
    )


def _state(letters: str, waits: bool) -> BatchState:
    """SGE's letters, such as "hqw" or "dr"; waits: for another job."""
    if not letters or not set(letters) <= set("acdefhlopqrstuwzERSTP"):
        raise ValueError(f"{clip(letters)} is no state of a job")
    if "d" in letters or "z" in letters:
        return BatchState.ENDING
    if "E" in letters:
        return BatchState.BROKEN
    if "q" not in letters:
        return BatchState.RUNNING
    if "h" in letters:
        return BatchState.BLOCKED if waits else BatchState.HELD
    return BatchState.QUEUED


def _queues(texts: list[str]) -> tuple[str, str, str]:
    """What a list of queues, any of which will do, comes to: queues by commas, and a host or group that all name."""
    found = [_queue(text.strip()) for text in texts] or [("", "", "")]
    queues, hosts, groups = (list(dict.fromkeys(each)) for each in zip(*found, strict=True))
    alike = len(hosts) == 1 and len(groups) == 1  # of several places the job may have any: none of them is needed
    return "" if "" in queues else ",".join(queues), hosts[0] if alike else "", groups[0] if alike else ""


def _queue(text: str) -> tuple[str, str, str]:
    """Queue, host and group of hosts in "all.q", "all.q@node1" and "*@@group"."""
    queue, _, where = text.partition("@")
    host, group = ("", where[1:]) if where.startswith("@") else (where, "")
    return ("" if "*" in queue else queue), ("" if "*" in host else host), group


def _chunks(row: Element, slots: int, requests: Mapping[str, str], rules: Mapping[str, str]) -> tuple[Chunk, ...]:
    """By the environment's rule: all slots on one node, so many on each, or anywhere."""
    memory = int(max((_asked(requests, name, size) for name in _MEMORY if name in requests), default=0))
    gpus = int(max((_asked(requests, name, float) for name in _GPUS if name in requests), default=0))
    properties = tuple(f"hostname={requests[name]}" for name in ("hostname", "h") if name in requests)
    environment = row.find("requested_pe")
    rule = _rule(environment.get("name", ""), rules) if environment is not None else "$pe_slots"
    if rule.isdecimal() and int(rule):
        each = min(slots, int(rule))
        return (Chunk(-(-slots // each), each, memory * each, gpus * each, properties),)
    if rule == "$pe_slots" or slots == 1:
        return (Chunk(1, slots, memory * slots, gpus * slots, properties),)
    return (Chunk(0, slots, memory, gpus, properties),)


def _rule(environment: str, rules: Mapping[str, str]) -> str:
    """Of an environment; a job may ask for any of several ("mpi*")."""
    return next((rule for name, rule in sorted(rules.items()) if fnmatchcase(name, environment)), "")


def _asked(requests: Mapping[str, str], name: str, read: Callable[[str], float]) -> float:
    """What a user asked for; 0 where it is "INFINITY", or what else this reader does not know."""
    try:
        value = read(requests.get(name, "0"))
    except ValueError:
        return 0
    return value if 0 <= value < 2**62 else 0


def nodes(text: str) -> tuple[BatchNode, ...]:
    """All hosts that run jobs or will; those of `qhost -q -xml`."""
    with make_sense("qhost"):
        return tuple(_nodes(text))


def _nodes(text: str) -> Iterator[BatchNode]:
    for host in records(text, "qhost", "host", "qhost"):
        name = host.get("name", "")
        if not name:
            raise ValueError("a host without a name")
        if name == "global":
            continue
        facts = {one.get("name"): (one.text or "").strip() for one in host.findall("hostvalue")}
        queues = {queue.get("name", ""): _values(queue) for queue in host.findall("queue")}
        cores = max((int(queue["slots"]) for queue in queues.values()), default=_number(facts["num_proc"], int))
        used = sum(int(queue["slots_used"]) for queue in queues.values())
        states = [queue["state_string"] for queue in queues.values()]
        yield BatchNode(
            name=name,
            state=node_state(states, used, facts["arch_string"] == "-"),
            cores=cores,
            used=used,
            memory=_number(facts["mem_total"], size),
            memory_used=_number(facts["mem_used"], size),
            queues=tuple(queues),
            said=" ".join(f"{queue}:{values['state_string']}" for queue, values in queues.items()) or "in no queue",
        )


def _number(text: str, read: Callable[[str], int]) -> int:
    return 0 if text == "-" else read(text)


def _values(queue: Element) -> dict[str, str]:
    return {one.get("name", ""): (one.text or "").strip() for one in queue.findall("queuevalue")}


def node_state(states: list[str], used: int, never_came: bool = False) -> NodeState:
    """The states of a host's queue instances, such as "au" and "d", as one of ours."""
    if strange := set("".join(states)) - set("acdosuACDEPS"):
        raise ValueError(f"{clip(''.join(sorted(strange)))} is no state of a queue")
    if never_came and not used:
        return NodeState.STARTING
    if any("u" in state for state in states) or (states and all(set(state) & set("Ec") for state in states)):
        return NodeState.ERROR
    if all(set(state) & set("dDsSCoEc") for state in states):  # and where there is no queue at all
        return NodeState.HOLDING if used else NodeState.HELD
    return NodeState.BUSY if used else NodeState.IDLE


def submitted(text: str) -> str:
    """The identifier that `qsub -terse` printed; NoAnswerError where it printed none."""
    found = re.fullmatch(r"(\d+)(?:\.\d+-\d+:\d+)?", text.strip(), re.ASCII)
    if found is None:
        raise NoAnswerError(f"qsub printed no job's identifier but {clip(text.strip())}")
    return found[1]
