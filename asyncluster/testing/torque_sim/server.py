"""What the server knows, and what it does by itself."""

from __future__ import annotations

import fcntl
import json
import time
from pathlib import Path
from typing import Any

State = dict[str, Any]

BLOCKS = 120.0
"""Seconds for which deleting a busy node blocks, for each of its jobs."""


class Said(Exception):  # noqa: N818 (how a program ends)
    """A program ends with that code, and these words on its standard error."""

    def __init__(self, code: int, words: str = "") -> None:
        super().__init__(words)
        self.code = code


def fresh(hosts: list[str]) -> State:
    """A server without nodes and jobs that knows the names of these hosts.

    up: "yes", "no" = the server is away, "trqauthd" = what lets users speak to it is; user: who asks; replay: what was
    recorded of a command, instead of what it does.
    """
    return {
        "up": "yes",
        "user": "burst",
        "managers": ["root", "burst"],
        "blocks": BLOCKS,
        "next": 0,
        "hosts": hosts,
        "queues": {"batch": queue()},
        "nodes": {},
        "jobs": {},
        "kept": {},
        "serial": 0,
        "replay": {},
        "log": [],
    }


def queue(neednodes: str = "", transit: bool = False) -> State:
    """One queue.  neednodes: the property that its jobs need; transit: it refuses nothing that cannot run now."""
    return {"neednodes": neednodes, "transit": transit}


class Server:
    """The server's file, locked while somebody has it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "server.json"

    def __enter__(self) -> State:
        self._take()
        return self.state

    def __exit__(self, *exc: object) -> None:
        self._give()

    def wait(self, seconds: float) -> None:
        """Keep whoever has it waiting, and let others have it meanwhile."""
        self._give()
        time.sleep(seconds)
        self._take()

    def _take(self) -> None:
        self._lock = self.path.with_suffix(".lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        read: State = json.loads(self.path.read_text())
        if not hasattr(self, "state"):
            self.state = read
        else:  # the same value, for whoever holds it
            self.state.clear()
            self.state.update(read)

    def _give(self) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.state))
        new.rename(self.path)
        self._lock.close()


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


def parts(state: State, job: State) -> list[tuple[int, int, list[str]]]:
    """Nodes, cores on each, and words that each must bear: its own, and its queue's."""
    found = []
    needed = state["queues"][job["queue"]]["neednodes"]
    for part in job["nodes"].split("+"):
        count, cores, words = 1, 1, [needed] if needed else []
        for index, item in enumerate(part.split(":")):
            if index == 0 and item.isdecimal():
                count = int(item)
            elif item.startswith("ppn="):
                cores = int(item[4:])
            else:
                words.append(item)
        found.append((count, cores, words))
    return found


def bears(name: str, node: State, words: list[str]) -> bool:
    """Whether a node is called so or has these properties."""
    return all(word == name or word in node["properties"] for word in words)


def _room(state: State, job: State) -> dict[str, int] | None:
    """Where a job could start now."""
    found: dict[str, int] = {}
    for count, cores, words in parts(state, job):
        for _ in range(count):
            for name, node in state["nodes"].items():
                free = node["np"] - sum(used(state, name).values())
                may = node["up"] and node["came"] and not node["offline"] and _serves(state, name, job)
                if may and name not in found and free >= cores and bears(name, node, words):
                    found[name] = cores
                    break
            else:
                return None
    return found


def _serves(state: State, name: str, job: State) -> bool:
    kept = [one for one in state["kept"].values() if one["node"] == name]
    return all(job[one["kind"]] == one["word"] for one in kept)
