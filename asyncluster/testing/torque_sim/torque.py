"""Torque's programs."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .server import Said, State, bears, parts, queue, used

_MARKS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_PORTS = "<mom_service_port>15002</mom_service_port><mom_manager_port>15003</mom_manager_port>"
_STATUS = "opsys=linux,physmem=24684096kb,ncpus=2,state=free,varattr= ,jobs="


# -- what is there


def qstat(state: State, words: list[str]) -> str:
    """`qstat -x [-t] [JOB …]`."""
    wanted = [word for word in words if not word.startswith("-")]
    for word in wanted:
        if not word[:1].isdecimal():
            raise Said(172, f"qstat: Unknown queue destination {word}")
        if _number(word) not in state["jobs"]:
            raise Said(153, f"qstat: Unknown Job Id Error {_number(word)}.head")
    jobs = {_number(word): state["jobs"][_number(word)] for word in wanted} if wanted else state["jobs"]
    text = "".join(_job(state, number, job) for number, job in jobs.items())
    return f'<?xml version="1.0"?>\n<Data>{text}</Data>\n'


def _job(state: State, number: str, job: State) -> str:
    where = "+".join(f"{name}/{_slots(cores)}" for name, cores in job["on"].items())
    facts = {
        "Job_Id": f"{number}.head",
        "Job_Name": job["name"],
        "Job_Owner": "burst@head",
        "job_state": job["state"],
        "queue": job["queue"],
        "server": "head",
        "Account_Name": job["account"],
        "ctime": str(int(job["made"])),
        "exec_host": where,
        "Hold_Types": "u" if job["state"] == "H" else "n",
        "Priority": "0",
        "qtime": str(int(job["made"])),
        "Rerunable": "True",
    }
    text = "".join(f"<{name}>{value.translate(_MARKS)}</{name}>" for name, value in facts.items() if value)
    needed = state["queues"][job["queue"]]["neednodes"] or job["nodes"]
    asked = "".join(
        f"<{name}>{value.translate(_MARKS)}</{name}>"
        for name, value in {"nodes": job["nodes"], "neednodes": needed, "walltime": job["walltime"]}.items()
    )
    return f"<Job>{text}<Resource_List>{asked}</Resource_List></Job>"


def _slots(cores: int) -> str:
    return "0" if cores == 1 else f"0-{cores - 1}"


def pbsnodes(state: State, words: list[str]) -> str:
    """`pbsnodes -x [NODE]`, `-o [-N NOTE] NODE`, `-c NODE`, `-r NODE`."""
    option, names = words[0], words[1:]
    note = ""
    if names[:1] == ["-N"]:
        note, names = names[1], names[2:]
    if not state["nodes"]:
        raise Said(1, "pbsnodes: Server has no node list MSG=node list is empty - check 'server_priv/nodes' file")
    for name in names:
        if name not in state["nodes"] and option == "-x":
            raise Said(1, "pbsnodes: Unknown node  MSG=cannot locate specified node")
        if name not in state["nodes"]:
            raise Said(0, f"Error setting note attribute for {name} - Unknown node ")
    if option == "-x":
        text = "".join(_node(state, name) for name in names or state["nodes"])
        return f"<Data>{text}</Data>\n"
    for name in names:
        state["nodes"][name].update(offline=option == "-o", **({"note": note} if note else {}))
    return ""


def _node(state: State, name: str) -> str:
    node, jobs = state["nodes"][name], used(state, name)
    states = [] if node["up"] else ["down"]
    states += ["offline"] if node["offline"] or not node["came"] else []
    states += ["job-exclusive"] if sum(jobs.values()) >= node["np"] else []
    states += [] if node["came"] else ["MOM-list-not-sent"]
    text = f"<name>{name}</name><state>{','.join(states) or 'free'}</state><power_state>Running</power_state>"
    text += f"<np>{node['np']}</np>"
    text += f"<properties>{','.join(node['properties'])}</properties>" if node["properties"] else ""
    text += "<ntype>cluster</ntype>"
    first, taken = 0, []
    for number, cores in jobs.items():
        taken.append(f"{first}-{first + cores - 1}/{number}.head" if cores > 1 else f"{first}/{number}.head")
        first += cores
    text += f"<jobs>{','.join(taken)}</jobs>" if taken else ""
    text += f"<status>{_STATUS}</status>" if node["came"] else ""
    text += f"<note>{node['note'].translate(_MARKS)}</note>" if node.get("note") else ""
    return f"<Node>{text}{_PORTS}</Node>"


# -- what a manager does


def qmgr(state: State, words: list[str], wait: Callable[[float], None]) -> str:
    """`qmgr -c "create|delete|set node|queue NAME …"`.  wait: for so many seconds, in which others go on."""
    told = words[1].split(None, 3)
    if told[0] not in {"create", "delete", "set"}:
        raise Said(2, f"qmgr: Illegal operation: {told[0]}\nTry 'help' if you are having trouble.")
    name, rest = told[2], told[3] if len(told) > 3 else ""
    if state["user"] not in state["managers"]:
        right = "PERM_OPorMGR" if told[0] == "set" else "PERM_MANAGER"
        raise Said(2, f"qmgr obj={name} svr=default: Unauthorized Request  MSG=error in permissions ({right})")
    if told[1] == "queue":
        return _set_queue(state, name, rest)
    known = name in state["nodes"]
    if told[0] == "create" and known:
        raise Said(2, f"qmgr obj={name} svr=default: Node name already exists")
    if not known and (told[0] != "create" or name not in state["hosts"]):
        raise Said(2, f"qmgr obj={name} svr=default: Unknown node ")
    if told[0] == "create":
        state["nodes"][name] = {"np": 1, "properties": [], "offline": False, "up": False, "came": False}
    if told[0] == "delete":
        _delete(state, name, wait)
    for key, how, value in re.findall(r'(\w+)\s*([+-]?=)\s*"?([^"\s]*)"?', rest.replace(",properties", " properties")):
        _set_node(state["nodes"][name], name, key, how, value)
    return ""


def _set_node(node: State, name: str, key: str, how: str, value: str) -> None:
    values = value.split(",")
    if key == "np":
        node["np"] = int(value)
    elif key == "properties" and how == "-=":
        node["properties"] = [one for one in node["properties"] if one not in values]
    elif key == "properties":
        node["properties"] = (node["properties"] if how == "+=" else []) + values
    elif key == "state":
        node["offline"] = how != "-="
    else:
        raise Said(2, f"qmgr obj={name} svr=default: Undefined attribute  {key}")


def _set_queue(state: State, name: str, rest: str) -> str:
    one = state["queues"].setdefault(name, queue())
    for key, value in re.findall(r"([\w.]+)\s*=\s*(\S+)", rest):
        if key == "resources_default.neednodes":
            one["neednodes"] = value
        elif key == "is_transit":
            one["transit"] = value == "True"
    return ""


def _delete(state: State, name: str, wait: Callable[[float], None]) -> None:
    node, jobs = state["nodes"][name], used(state, name)
    if jobs and node["up"] and not node["offline"]:
        wait(state["blocks"] * len(jobs))
    for number in jobs:
        if number in state["jobs"]:
            state["jobs"][number].update(state="Q", on={})
    state["nodes"].pop(name, None)


# -- what users do

_WITH_VALUE = "aAbcCdDeIjkKlmMNopPqrStTuvW"


def qsub(state: State, words: list[str]) -> str:
    """`qsub [-h] [-N NAME] [-q QUEUE] [-A ACCOUNT] [-l RESOURCES] [SCRIPT]`, or with the script on standard input."""
    if state["user"] == "root":
        raise Said(1, "qsub can not be run as root")
    job: State = {"name": "STDIN", "queue": "batch", "account": "", "nodes": "1", "walltime": "01:00:00", "state": "Q"}
    job |= {"on": {}, "end": 0.0, "made": time.time()}
    file = _options(job, words)
    script = _script(file)
    for line in script.splitlines():
        if line.startswith("#PBS "):
            _options(job, line[5:].split(None, 1))
    if job["queue"] not in state["queues"]:
        raise Said(172, "qsub: submit error (Unknown queue MSG=requested queue not found)")
    for count, cores, needed in parts(state, job):
        fit = [name for name, node in state["nodes"].items() if node["np"] >= cores and bears(name, node, needed)]
        if len(fit) < count and not state["queues"][job["queue"]]["transit"]:
            raise Said(190, _infeasible("all systems are busy, or no nodes have the requested feature"))
    if int(job.get("procs", "0")) > sum(node["np"] for node in state["nodes"].values()):
        raise Said(190, _infeasible("or requested nodes exceed system").replace("empty, or", "empty or"))
    sleeps = re.search(r"sleep (\d+)", script)
    job |= {"seconds": float(sleeps[1]) if sleeps else 3600.0, "script": script}
    number = str(state["next"])
    state["next"] += 1
    state["jobs"][number] = job
    return f"{number}.head\n"


def _infeasible(why: str) -> str:
    return (
        "qsub: submit error (Job exceeds queue resource limits MSG=cannot locate feasible nodes (nodes file is "
        f"empty, {why}))"
    )


def _script(file: str) -> str:
    if not file:
        return sys.stdin.read()
    if Path(file).exists():
        return Path(file).read_text()
    if file.startswith("/"):
        raise Said(1, f"qsub: script file '{file}' cannot be loaded - No such file or directory")
    return ""


def _options(job: State, words: list[str]) -> str:
    """Take options over; the name of the script, "" = none."""
    rest, file = list(words), ""
    while rest:
        option = rest.pop(0)
        letter = option[1:2]
        if option == "-h":
            job["state"] = "H"
        elif option.startswith("-") and len(option) == 2 and letter in _WITH_VALUE:
            _option(job, letter, rest.pop(0).strip())
        elif option.startswith("-"):
            raise Said(2, f"qsub: invalid option -- '{letter}'\n[exiting]")
        else:
            file = option
    return file


def _option(job: State, letter: str, value: str) -> None:
    names = {"N": "name", "q": "queue", "A": "account"}
    if letter in names:
        job[names[letter]] = value
    elif letter == "l":
        for part in value.split(","):
            key, _, amount = part.partition("=")
            if key not in {"nodes", "walltime", "mem", "procs"}:
                raise Said(189, f"qsub: submit error (Unknown resource type  Resource_List.{key})")
            if key == "walltime" and not re.fullmatch(r"[\d:]+", amount):
                raise Said(168, "qsub: submit error (Illegal attribute or resource value for Resource_List.walltime)")
            if key == "nodes" and re.search(r"=\D", amount):
                raise Said(27, "qsub: submit error (Command syntax invalid MSG=Invalid Syntax)")
            job[key] = amount


def _each(state: State, words: list[str], program: str) -> list[tuple[str, State]]:
    found = []
    for word in words:
        number = _number(word)
        if number not in state["jobs"]:
            raise Said(153, f"{program}: nonexistent job id: {word}")
        if state["jobs"][number]["state"] == "C":
            text = "Request invalid for state of job MSG=invalid state for job - COMPLETE"
            raise Said(170, f"{program}: {text} {number}.head")
        found.append((number, state["jobs"][number]))
    return found


def _number(word: str) -> str:
    return word.partition(".")[0]


def _heard(state: State, number: str, job: State, program: str) -> None:
    if any(not state["nodes"][name]["up"] for name in job["on"]):
        raise Said(224, f"{program}: Server could not connect to MOM {number}.head")


def qdel(state: State, words: list[str]) -> str:
    """`qdel [-p] JOB …`."""
    purge = words[0] == "-p"
    for number, job in _each(state, words[purge:], "qdel"):
        if purge:
            del state["jobs"][number]
        else:
            _heard(state, number, job, "qdel")
            job.update(state="C", on={})
    return ""


def qrerun(state: State, words: list[str]) -> str:
    """`qrerun JOB … [-f]`: it waits again; -f: although its node does not answer."""
    force = "-f" in words
    for number, job in _each(state, [word for word in words if word != "-f"], "qrerun"):
        if not force:
            _heard(state, number, job, "qrerun")
        job.update(state="Q", on={})
    return ""


def qsig(state: State, words: list[str]) -> str:
    """`qsig -s SIGNAL JOB …`."""
    _each(state, words[2:], "qsig")
    return ""


def qrls(state: State, words: list[str]) -> str:
    """`qrls JOB …`."""
    for _, job in _each(state, words, "qrls"):
        if job["state"] == "H":
            job["state"] = "Q"
    return ""


_ALL = (qstat, pbsnodes, qsub, qdel, qrerun, qsig, qrls)
PROGRAMS: dict[str, Callable[[State, list[str]], str]] = {one.__name__: one for one in _ALL}
NAMES = ("qmgr", *PROGRAMS)
