"""`python -m asyncluster.demo`: start a master and two nodes of their own, survey the library, compare, tell.

Touches nothing of the user's: its folders are temporary, and its services end with it, however it ends.
"""

from __future__ import annotations

import gc
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
from asyncluster.personal import daemons
from asyncluster.personal.paths import Places, below, private_folder
from asyncluster.personal.spawn import LIFELINE_FD

NODES = 2
NEXT = """\
[bold]What to type next[/bold]
  {bin}asyncluster up                     a master and a node that stay
  {bin}asyncluster status                 what runs
  {bin}asyncluster exec -- uname -a       a program as a task
  {bin}python -c 'from asyncluster import Cluster
with Cluster() as cluster:
    print(sum(cluster.map(abs, range(-1000, 0))))'
  {bin}asyncluster down                   stop it all; README.md and docs/ tell the rest"""


def main() -> int:
    """Run it all; returns the exit code."""
    console = Console(highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="asyncluster-demo-"))
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
    console.print(
        f"Starting a master and {NODES} nodes with {slots} slot{'s' if slots > 1 else ''} each on this machine"
    )
    began = time.monotonic()
    services = daemons.up(places, NODES, slots, inherited={LIFELINE_FD: end})
    with Cluster(socket=places.socket) as cluster:
        nodes = wait_for_nodes(cluster.nodes, NODES)
        start = time.monotonic() - began
        console.print(f"  ready after {start:.1f} s: {', '.join(f'{one.name} (pid {one.pid})' for one in services)}")
        paths = [str(path) for path in modules()]
        for path in paths:
            Path(path).read_bytes()  # so that neither side pays for a cold disk
        console.print(f"Parsing {len(paths):,} modules of Python {sys.version.split()[0]} one after the other …")
        serial, serial_time = _serially(paths)
        console.print(f"  {serial_time:.2f} s. The same on the cluster …")
        began = time.monotonic()
        done = list(cluster.map(survey_file_here, paths))
        cluster_time = time.monotonic() - began
        after = {node.name: node.done for node in cluster.nodes()}
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
        cores=cores,
        totals=total(serial),
        tasks=dict.fromkeys(after, 0) | Counter(node for node, _facts in done),
        chunks=after,
        processes=[_weigh(one) for one in services],
    )
    console.print(report(found))
    console.print(NEXT.format(bin=_bin()), markup=True, soft_wrap=True)
    return 0


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
