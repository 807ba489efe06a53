"""`python -m asyncluster.demo`: start a master and two nodes of their own, survey the library, compare, tell.

Touches nothing of the user's: its folders are temporary, and its services end with it, however it ends.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.console import Console

from asyncluster.cli.waiting import wait_for_nodes
from asyncluster.client.futures import Cluster
from asyncluster.demo.report import Findings, Process, report
from asyncluster.demo.survey import Facts, differences, modules, survey_file, survey_file_here, total
from asyncluster.errors import AsynClusterError
from asyncluster.inherited import LIFELINE_FD
from asyncluster.personal import daemons
from asyncluster.personal.paths import SOCKET_NAME, Places, below, private_folder, temporary_base

NODES = 2
NEXT = (
    ("asyncluster up", "a master and a node that stay"),
    ("asyncluster status", "what runs"),
    ("asyncluster exec -- uname -a", "a program as a task"),
    ("python -c 'from asyncluster import Cluster; print(sum(Cluster().map(abs, range(-9, 0))))'", ""),
    ("asyncluster down", "stop it all; README.md and docs/ tell the rest"),
)
SAMPLE = 60
"""Files of the calibration; about half a second."""

PREFIX = "asyncluster-demo-"


def main() -> int:
    """Run it all; returns the exit code."""
    console = Console(highlight=False)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=temporary_base(f"{PREFIX}12345678/{SOCKET_NAME}")))
    end, lifeline = os.pipe()  # our services end when the writing end closes
    code = 1
    try:
        places = below(folder)
        private_folder(folder, os.getuid())
        code = _run(console, places, end)
    except AsynClusterError as error:
        console.print(f"The demonstration failed: {error}", markup=False, style="red")
    except KeyboardInterrupt:
        console.print("Stopped.")
        code = 130
    finally:
        daemons.down(below(folder), 10.0)
        os.close(lifeline)
        shutil.rmtree(folder, ignore_errors=True)
    return code


def _run(console: Console, places: Places, end: int) -> int:
    cores = len(os.sched_getaffinity(0))
    slots = max(1, cores // NODES)
    console.print("Looking at what this machine can do …")
    paths = [str(path) for path in modules()]
    for path in paths:
        Path(path).read_bytes()  # so that neither side pays for a cold disk
    machine = calibrate(paths[:: max(1, len(paths) // SAMPLE)], slots * NODES)
    console.print(
        f"Starting a master and {NODES} nodes with {slots} slot{'s' if slots > 1 else ''} each on this machine"
    )
    began = time.monotonic()
    services = daemons.up(places, NODES, slots, inherited={LIFELINE_FD: end})
    with Cluster(socket=places.socket) as cluster:
        nodes = wait_for_nodes(cluster.nodes, NODES)
        start = time.monotonic() - began
        console.print(
            f"  ready after {start:.1f} s: {', '.join(f'{one.name} (pid {one.pid})' for one in services)}",
            soft_wrap=True,
        )
        console.print(f"Parsing {len(paths):,} modules of Python {sys.version.split()[0]} one after the other …")
        serial, serial_time = _serially(paths)
        console.print(f"  {serial_time:.2f} s. The same on the cluster …")
        began = time.monotonic()
        done = list(cluster.map(survey_file_here, paths))
        cluster_time = time.monotonic() - began
        after = {node.name: node.done for node in cluster.nodes()}
        weights = [_weigh(one) for one in services]
    wrong = list(differences(serial, (facts for _node, facts in done)))
    if wrong:
        console.print(f"  {cluster_time:.2f} s, but {len(wrong)} results differ:", style="red")
        console.print("\n".join(wrong[:10]), markup=False)
        return 1
    console.print(f"  {cluster_time:.2f} s.\n")
    found = Findings(
        start=start,
        serial=serial_time,
        cluster=cluster_time,
        slots=sum(node.slots for node in nodes),
        machine=machine,
        totals=total(serial),
        files=dict.fromkeys(after, 0) | Counter(node for node, _facts in done),
        tasks=after,
        processes=weights,
    )
    console.print(report(found))
    console.print("\nWhat to type next", style="bold")
    for command, meaning in NEXT:
        console.print(f"  {_bin()}{command}" + (f"    # {meaning}" if meaning else ""), markup=False, soft_wrap=True)
    return 0


def calibrate(paths: list[str], processes: int) -> float:
    """How much more so many plain processes get done than one; forks, so before there are threads."""
    context = multiprocessing.get_context("fork")

    def seconds(count: int) -> float:
        crew = [context.Process(target=_serially, args=(paths,)) for _ in range(count)]
        began = time.monotonic()
        for one in crew:
            one.start()
        for one in crew:
            one.join()
        return time.monotonic() - began

    rounds = [(seconds(1), seconds(processes)) for _ in range(3)]  # the best of each: others use the machine too
    return processes * min(alone for alone, _ in rounds) / min(together for _, together in rounds)


def _serially(paths: list[str]) -> tuple[list[Facts], float]:
    gc.collect()
    began = time.monotonic()
    facts = [survey_file(path) for path in paths]
    return facts, time.monotonic() - began


def _weigh(service: daemons.Daemon) -> Process:
    import psutil

    memory, cpu = 0, 0.0
    try:
        process = psutil.Process(service.pid)
        for one in (process, *process.children(recursive=True)):
            times = one.cpu_times()
            # what forked workers share with their parent is counted once, where the system tells
            memory += getattr(one.memory_full_info(), "pss", 0) or one.memory_info().rss
            cpu += times.user + times.system
    except psutil.Error:
        pass
    return Process(service.name, memory, cpu)


def _bin() -> str:
    """How this environment's programs are typed from the current folder."""
    folder = Path(sys.executable).parent
    try:
        return f"{folder.relative_to(Path.cwd())}/"
    except ValueError:
        return f"{folder}/"


if __name__ == "__main__":
    sys.exit(main())
