"""Maui's programs, as its manual has them."""

from __future__ import annotations

from asyncluster.testing.torque_sim.server import Said, State


def checknode(state: State, words: list[str]) -> str:
    """`checknode NODE`."""
    if words[0] not in state["nodes"]:
        raise Said(1, f"ERROR:  cannot locate node '{words[0]}'")
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
        raise Said(1, f"ERROR:    invalid resource expression '{name}'")
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
        raise Said(1, f"ERROR:  cannot locate reservation '{words[0]}'")
    del state["kept"][words[0]]
    return "released User reservation\n"


PROGRAMS = {one.__name__: one for one in (checknode, diagnose, setres, showres, releaseres)}
