"""Runs one of the programs; writes them as executables."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import asyncluster
from asyncluster.testing.torque_sim import maui, torque
from asyncluster.testing.torque_sim.server import Said, Server, State, pass_time

TORQUE, MAUI = torque.NAMES, tuple(maui.PROGRAMS)

_SILENT = ("pbsnodes", "qmgr")  # have codes of their own for a server that is away
_AWAY = "\nUnable to communicate with head(10.77.0.1)\nCannot connect to specified server host 'head'.\n"


def install(folder: Path, programs: tuple[str, ...]) -> Path:
    """Make the programs of the server in that folder executables in its `bin`; gives that."""
    top = str(Path(asyncluster.__file__).parents[1])
    code = (
        f"import sys; sys.path.insert(0, {top!r}); from asyncluster.testing.torque_sim.run import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    place = folder / "bin"
    place.mkdir(exist_ok=True)
    for name in programs:
        words = shlex.join([sys.executable, "-I", "-S", "-c", code, str(folder)])
        (place / name).write_text(f'#!/bin/sh\nexec {words} "$0" "$@"\n')
        (place / name).chmod(0o755)
    return place


def main(arguments: list[str]) -> int:
    """Run one program; its exit code.  Arguments: the server's folder, the program as it was called, its own."""
    folder, called, words = Path(arguments[0]), arguments[1], arguments[2:]
    program = Path(called).name
    server = Server(folder)
    with server as state:
        state["log"].append([program, *words])
        recorded = state["replay"].get(" ".join([program, *words]))
        if recorded is not None:
            sys.stdout.write(recorded["stdout"])
            sys.stderr.write(recorded["stderr"])
            return int(recorded["rc"])
        if state["up"] != "yes" and program in torque.NAMES:
            sys.stderr.write(_silence(state, called))
            return _code(state, program)
        if state["up"] == "no":
            sys.stderr.write("ERROR:    lost connection to server\nERROR:    cannot request service\n")
            return 1
        pass_time(state)
        try:
            sys.stdout.write(_call(server, state, program, words))
        except Said as said:
            sys.stderr.write(f"{said}\n" if str(said) else "")
            return said.code
        pass_time(state)
    return 0


def _call(server: Server, state: State, program: str, words: list[str]) -> str:
    if program in maui.PROGRAMS:
        return maui.PROGRAMS[program](state, words)
    if program == "qmgr":
        return torque.qmgr(state, words, server.wait)
    return torque.PROGRAMS[program](state, words)


def _code(state: State, program: str) -> int:
    if program in _SILENT:
        return {"pbsnodes": 1, "qmgr": 3}[program]
    return 111 if state["up"] == "no" else 33


def _silence(state: State, called: str) -> str:
    """What a program says that cannot ask the server."""
    program, away = Path(called).name, state["up"] == "no"
    number, why = (111, "Connection refused") if away else (15137, "could not connect to trqauthd")
    once = _AWAY if away else "socket_connect_unix failed: 15137\n"
    server = {"qmgr": "", "pbsnodes": "head"}.get(program, "head" if away else "(null)")
    if program == "pbsnodes":
        return once + f"{called}: cannot connect to server {server}, error={number} ({why})\n"
    said = f"{program}: cannot connect to server {server} (errno={number}) {why}\n"
    if program == "qstat":
        return once * 3 + said + f"qstat: Error ({number} - {why}) \n"
    return once + said
