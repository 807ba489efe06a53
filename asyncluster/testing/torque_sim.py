"""A stand-in for Torque and Maui, of which no package exists: their programs, over one file that is the server.

python -m asyncluster.testing.torque_sim FOLDER qsub -N x …

What the programs print, and the exit codes that mislead, are those that were recorded from a real Torque 6: a job that
no node could run now is refused, marking an unknown node offline is no fault, deleting a busy node blocks.  Time
passes whenever somebody asks.  Maui's programs follow its manual; they were never recorded.
"""

from __future__ import annotations

import fcntl
import json
import re
import sys
import time
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

State = dict[str, Any]

BLOCKS = 120.0
"""Seconds for which deleting a busy node blocks, for each of its jobs."""

_FEASIBLE = (
    "qsub: submit error (Job exceeds queue resource limits MSG=cannot locate feasible nodes (nodes file is empty, "
    "all systems are busy, or no nodes have the requested feature))"
)
_AWAY = "\nUnable to communicate with head(10.77.0.1)\nCannot connect to specified server host 'head'.\n"
_PORTS = "<mom_service_port>15002</mom_service_port><mom_manager_port>15003</mom_manager_port>"


class _Said(Exception):  # noqa: N818 (how a program ends)
    def __init__(self, code: int, words: str = "") -> None:
        super().__init__(words)
        self.code = code


def fresh(hosts: list[str]) -> State:
    """A server without nodes and jobs that knows the names of these hosts."""
    return {
        "up": True,
        "next": 0,
        "hosts": hosts,
        "queues": ["batch"],
        "nodes": {},
        "jobs": {},
        "kept": {},
        "serial": 0,
    }


class Server:
    """The server's file, locked while somebody has it."""

    state: State

    def __init__(self, folder: Path) -> None:
        self.path = folder / "server.json"

    def __enter__(self) -> State:
        self._lock = self.path.with_suffix(".lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.state = json.loads(self.path.read_text())
        return self.state

    def __exit__(self, *exc: object) -> None:
        self.path.write_text(json.dumps(self.state))
        self._lock.close()


# -- what the server does by itself


def pass_time(state: State) -> None:
    """Jobs end, and those that wait start where there is room."""
    now = time.time()
    for job in state["jobs"].values():
        if job["state"] == "R" and job["end"] <= now and all(state["nodes"][name]["up"] for name in job["on"]):
            job.update(state="C", on={})
    for job in state["jobs"].values():
        if job["state"] == "Q" and (found := _room(state, job)):
            job.update(state="R", on=found, end=now + job["seconds"])


def used(state: State, name: str) -> dict[str, int]:
    """The jobs on a node, with their cores there."""
    running = {number: job for number, job in state["jobs"].items() if job["state"] == "R"}
    return {number: job["on"][name] for number, job in running.items() if name in job["on"]}


def _room(state: State, job: State) -> dict[str, int] | None:
    """Where a job could start now."""
    found: dict[str, int] = {}
    for count, cores, words in _parts(job):
        for _ in range(count):
            for name, node in state["nodes"].items():
                free = node["np"] - sum(used(state, name).values())
                may = node["up"] and not node["offline"] and _serves(state, name, job)
                if may and name not in found and free >= cores and _bears(name, node, words):
                    found[name] = cores
                    break
            else:
                return None
    return found


def _parts(job: State) -> list[tuple[int, int, list[str]]]:
    """Nodes, cores on each, and words that each must bear."""
    parts = []
    for part in job["nodes"].split("+"):
        count, cores, words = 1, 1, []
        for index, item in enumerate(part.split(":")):
            if index == 0 and item.isdecimal():
                count = int(item)
            elif item.startswith("ppn="):
                cores = int(item[4:])
            else:
                words.append(item)
        parts.append((count, cores, words))
    return parts


def _bears(name: str, node: State, words: list[str]) -> bool:
    return all(word == name or word in node["properties"] for word in words)


def _serves(state: State, name: str, job: State) -> bool:
    kept = [one for one in state["kept"].values() if one["node"] == name]
    return all(job[one["kind"]] == one["word"] for one in kept)


# -- Torque's programs


def qstat(state: State, words: list[str]) -> str:
    """`qstat -x [-t] [JOB …]`."""
    wanted = [word for word in words if not word.startswith("-")]
    for word in wanted:
        if _number(word) not in state["jobs"]:
            raise _Said(153, f"qstat: Unknown Job Id Error {_number(word)}.head")
    jobs = {_number(word): state["jobs"][_number(word)] for word in wanted} if wanted else state["jobs"]
    text = "".join(_job(number, job) for number, job in jobs.items())
    return f'<?xml version="1.0"?>\n<Data>{text}</Data>\n'


def _job(number: str, job: State) -> str:
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
    text = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in facts.items() if value)
    asked = f"<walltime>{escape(job['walltime'])}</walltime><nodes>{escape(job['nodes'])}</nodes>"
    return f"<Job>{text}<Resource_List>{asked}</Resource_List></Job>"


def _slots(cores: int) -> str:
    return "0" if cores == 1 else f"0-{cores - 1}"


def pbsnodes(state: State, words: list[str]) -> str:
    """`pbsnodes -x [NODE]`, `-o NODE`, `-c NODE`."""
    option, names = words[0], words[1:]
    if not state["nodes"]:
        raise _Said(1, "pbsnodes: Server has no node list MSG=node list is empty - check 'server_priv/nodes' file")
    for name in names:
        if name not in state["nodes"] and option == "-x":
            raise _Said(1, "pbsnodes: Unknown node  MSG=cannot locate specified node")
        if name not in state["nodes"]:
            raise _Said(0, f"Error setting note attribute for {name} - Unknown node ")
    if option == "-x":
        text = "".join(_node(state, name) for name in names or state["nodes"])
        return f"<Data>{text}</Data>\n"
    for name in names:
        state["nodes"][name]["offline"] = option == "-o"
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
    text += "<status>opsys=linux,physmem=24684096kb,ncpus=2,state=free,varattr= ,jobs=</status>" if node["came"] else ""
    return f"<Node>{text}{_PORTS}</Node>"


def qmgr(state: State, words: list[str]) -> str:
    """`qmgr -c "create|delete|set node NAME …"`."""
    told = words[1].split(None, 3)
    if told[0] not in {"create", "delete", "set"}:
        raise _Said(2, f"qmgr: Illegal operation: {told[0]}\nTry 'help' if you are having trouble.")
    name, rest = told[2], told[3] if len(told) > 3 else ""
    known = name in state["nodes"]
    if told[0] == "create" and known:
        raise _Said(2, f"qmgr obj={name} svr=default: Node name already exists")
    if not known and (told[0] != "create" or name not in state["hosts"]):
        raise _Said(2, f"qmgr obj={name} svr=default: Unknown node ")
    if told[0] == "create":
        state["nodes"][name] = {"np": 1, "properties": [], "offline": False, "up": False, "came": False}
    if told[0] == "delete":
        _delete(state, name)
    for key, how, value in re.findall(
        r'(np|properties)\s*(\+?=)\s*"?([^"\s]*)"?', rest.replace(",properties", " properties")
    ):
        node = state["nodes"][name]
        if key == "np":
            node["np"] = int(value)
        else:
            node["properties"] = (node["properties"] if how == "+=" else []) + value.split(",")
    return ""


def _delete(state: State, name: str) -> None:
    jobs = used(state, name)
    if not state["nodes"][name]["offline"]:
        time.sleep(BLOCKS * len(jobs))
    for number in jobs:
        state["jobs"][number].update(state="Q", on={})
    del state["nodes"][name]


_WITH_VALUE = "aAbcCdDeIjkKlmMNopPqrStTuvW"


def qsub(state: State, words: list[str]) -> str:
    """`qsub [-h] [-N NAME] [-q QUEUE] [-A ACCOUNT] [-l RESOURCES]`, with the script on standard input."""
    job: State = {"name": "STDIN", "queue": "batch", "account": "", "nodes": "1", "walltime": "01:00:00", "state": "Q"}
    job |= {"on": {}, "end": 0.0, "made": time.time()}
    rest = list(words)
    while rest:
        option = rest.pop(0)
        letter = option[1:2]
        if option == "-h":
            job["state"] = "H"
        elif letter and letter in _WITH_VALUE and len(option) == 2:
            value = rest.pop(0)
            _option(job, letter, value)
        elif option.startswith("-"):
            raise _Said(2, f"qsub: invalid option -- '{letter}'\n[exiting]")
    if job["queue"] not in state["queues"]:
        raise _Said(172, "qsub: submit error (Unknown queue MSG=requested queue not found)")
    for count, cores, needed in _parts(job):
        fit = [name for name, node in state["nodes"].items() if node["np"] >= cores and _bears(name, node, needed)]
        if len(fit) < count:
            raise _Said(190, _FEASIBLE)
    sleeps = re.search(r"sleep (\d+)", sys.stdin.read())
    job["seconds"] = float(sleeps[1]) if sleeps else 0.0
    number = str(state["next"])
    state["next"] += 1
    state["jobs"][number] = job
    return f"{number}.head\n"


def _option(job: State, letter: str, value: str) -> None:
    names = {"N": "name", "q": "queue", "A": "account"}
    if letter in names:
        job[names[letter]] = value
    elif letter == "l":
        for part in value.split(","):
            key, _, amount = part.partition("=")
            if key not in {"nodes", "walltime", "mem", "procs"}:
                raise _Said(189, f"qsub: submit error (Unknown resource type  Resource_List.{key})")
            job[key] = amount


def _each(state: State, words: list[str], program: str) -> list[tuple[str, State]]:
    found = []
    for word in words:
        number = _number(word)
        if number not in state["jobs"]:
            raise _Said(153, f"{program}: nonexistent job id: {word}")
        if state["jobs"][number]["state"] == "C":
            text = "Request invalid for state of job MSG=invalid state for job - COMPLETE"
            raise _Said(170, f"{program}: {text} {number}.head")
        found.append((number, state["jobs"][number]))
    return found


def _number(word: str) -> str:
    return word.partition(".")[0]


def qdel(state: State, words: list[str]) -> str:
    """`qdel [-p] JOB …`."""
    purge = words[0] == "-p"
    for number, job in _each(state, words[purge:], "qdel"):
        if purge:
            del state["jobs"][number]
        elif any(not state["nodes"][name]["up"] for name in job["on"]):
            raise _Said(224, f"qdel: Server could not connect to MOM {number}.head")
        else:
            job.update(state="C", on={})
    return ""


def qrerun(state: State, words: list[str]) -> str:
    """`qrerun JOB …`: it waits again."""
    for number, job in _each(state, words, "qrerun"):
        if any(not state["nodes"][name]["up"] for name in job["on"]):
            raise _Said(224, f"qrerun: Server could not connect to MOM {number}.head")
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


# -- Maui's programs


def checknode(state: State, words: list[str]) -> str:
    """`checknode NODE`."""
    if words[0] not in state["nodes"]:
        raise _Said(1, f"ERROR:  cannot locate node '{words[0]}'")
    return f"checking node {words[0]}\n\nState:      Idle  (in current state for 00:00:10)\n"


def diagnose(state: State, _words: list[str]) -> str:
    """`diagnose -p`."""
    waiting = [number for number, job in state["jobs"].items() if job["state"] == "Q"]
    rows = "".join(f"{number:<20} {1000 - int(number):>10}*  1.0( 10.0)\n" for number in waiting)
    head = "diagnosing job priority information (partition: ALL)\n\nJob                    PRIORITY*   Cred(Class)\n"
    weights = "             Weights   --------       1(    1)"
    return f"{head}{weights}\n\n{rows}\nPercent Contribution   --------   100.0(100.0)\n"


def setres(state: State, words: list[str]) -> str:
    """`setres -a|-q WORD NODE`."""
    kind, word, name = {"-a": "account", "-q": "queue"}[words[0]], words[1], words[2]
    if name not in state["nodes"]:
        raise _Said(1, f"ERROR:    invalid resource expression '{name}'")
    identifier = f"{word}.{state['serial']}"
    state["serial"] += 1
    state["kept"][identifier] = {"kind": kind, "word": word, "node": name}
    return f"reservation created\n\nreservation '{identifier}' created on 1 node (2 tasks)\n{name}:1\n"


def showres(state: State, _words: list[str]) -> str:
    """`showres -n`."""
    rows = [(one["node"], "User", identifier, "N/A") for identifier, one in state["kept"].items()]
    for number, job in state["jobs"].items():
        rows += [(name, "Job", number, "Running") for name in job["on"]]
    layout = "{0:>20} {1:>6} {2:>16} {3:>8}    1   -00:00:10   INFINITE\n"
    lines = "".join(layout.format(*row) for row in rows)
    head = "            NodeName   Type    ReservationID JobState Task       Start    Duration  StartTime\n"
    return f"reservations on Sat Nov 21 02:00:00\n\n{head}\n{lines}\n{len(rows)} nodes reserved\n"


def releaseres(state: State, words: list[str]) -> str:
    """`releaseres ID`."""
    if words[0] not in state["kept"]:
        raise _Said(1, f"ERROR:  cannot locate reservation '{words[0]}'")
    del state["kept"][words[0]]
    return "released User reservation\n"


_ALL = (qstat, pbsnodes, qmgr, qsub, qdel, qrerun, qsig, qrls, checknode, diagnose, setres, showres, releaseres)
PROGRAMS = {one.__name__: one for one in _ALL}
_CODES = {"pbsnodes": 1, "qmgr": 3}


def main(arguments: list[str]) -> int:
    """Run one program; its exit code."""
    folder, program, words = Path(arguments[0]), arguments[1], arguments[2:]
    with Server(folder) as state:
        if not state["up"]:
            sys.stderr.write(_AWAY + f"{program}: cannot connect to server head (errno=111) Connection refused\n")
            return _CODES.get(program, 111)
        pass_time(state)
        try:
            sys.stdout.write(PROGRAMS[program](state, words))
        except _Said as said:
            sys.stderr.write(f"{said}\n" if str(said) else "")
            return said.code
        pass_time(state)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
