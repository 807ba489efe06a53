"""A site whose batch system grows: a real Slurm or Grid Engine, a real master, and machines in network namespaces.

Everything is done as an administrator and users do it: asyncluster.yaml, the master's daemon, the command line, and
jobs submitted to the batch system.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import yaml

from asyncluster.client.pools import Pools
from asyncluster.config.cluster_conf import CLUSTERS
from asyncluster.config.elastic_section import keys
from asyncluster.model.supply import Reservation
from asyncluster.testing.batch_hosts import SETTLE
from asyncluster.testing.hosts import NETWORK
from asyncluster.testing.namespaces import Machines
from asyncluster.testing.sge import RealGridEngine
from asyncluster.testing.site import Daemon, Site
from asyncluster.testing.slurm import RealSlurm
from asyncluster.testing.waiting import until

SLURM_MORE = """
NodeName=placeholder NodeAddr=10.77.0.250 CPUs=2 RealMemory=500 Feature=CLOUD State=DOWN
PartitionName=late State=UP MaxTime=INFINITE
PartitionName=mixed Nodes=host1,burst State=UP MaxTime=INFINITE
"""
"""The node that lets jobs wait for a property that no other has (see SCHEDULERS), a partition without a node, and one
with a static node beside a set."""

CASES: Mapping[str, Mapping[str, Reservation]] = {
    "slurm": {
        "account": Reservation(queue="late", account="projA"),
        "property": Reservation(queue="cloud", property="CLOUD"),
        "mixed": Reservation(queue="mixed"),
    },
    "sge": {"account": Reservation(account="projA"), "queue": Reservation(queue="burst.q")},
}
"""Whom a pool serves, and what its jobs ask for, that no static node gives."""

HOOK = """#!/bin/sh
# a site's own
echo "$1 $2 $3" >> {folder}/events
"""
NAMES_HOOK = """
# names of machines are known while they are there
table=/etc/netns/{head}/hosts
exec 9> {folder}/names.lock
flock 9  # several come and go at a time
case $1 in
    up) echo "$3 $2" >> $table ;;
    gone) kept=$(grep -v " $2\\$" $table); echo "$kept" > $table ;;  # in place: processes have it mounted
esac
"""


@attrs.define(eq=False)
class BurstSite:
    """One master beside a running batch system.  A context manager; the master is not started by it.

    options: keys of `dynamic-cluster:` that differ; machine: arguments of the cloud that differ.
    """

    kind: str
    batch: RealSlurm | RealGridEngine
    folder: Path
    case: str
    options: Mapping[str, object] = attrs.field(factory=dict)
    machine: Mapping[str, str] = attrs.field(factory=dict)
    most: int = 2
    site: Site = attrs.field(init=False)
    master: Daemon = attrs.field(init=False)
    _pools: Pools | None = attrs.field(init=False, default=None)

    def __enter__(self) -> BurstSite:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.site = Site(self.folder)
        self._write_scripts()
        (self.folder / "master.yaml").write_text(yaml.safe_dump(self.configuration()))
        return self

    def __exit__(self, *exc: object) -> None:
        if self._pools is not None:
            self._pools.close()
            self._pools = None
        self.site.__exit__(*exc)

    # -- what it is made of

    @property
    def wants(self) -> Reservation:
        """What jobs ask for."""
        return CASES[self.kind][self.case]

    @property
    def machines(self) -> Machines:
        """What the cloud has."""
        return Machines(self.folder / "state" / "pools" / "burst", self.batch.hosts.prefix)

    def configuration(self) -> dict[str, Any]:
        """asyncluster.yaml."""
        known = keys(CLUSTERS[self.kind])
        commands = {key: self._logged(text) for key, text in self.batch.settings.items() if key in known}
        hook = f"{self.folder}/hook"
        often = dict.fromkeys(("cluster_poller_interval", "cloud_poller_interval", "auto_provision_interval"), "0.5s")
        reservation = {key: value for key, value in attrs.asdict(self.wants).items() if value}
        memory = {"memory": "500 MiB"} if self.kind == "slurm" else {}
        return {
            "dynamic-cluster": {
                **often,
                "max_idle_time": "3s",
                # Slurm looks at a node that it was told to resume only every five; Grid Engine's max_unheard is ten
                "max_down_time": "10s" if self.kind == "slurm" else "4s",
                "post_vm_provision_command": f"{hook} up {{0}} {{1}}",
                "post_vm_destroy_command": f"{hook} gone {{0}} {{1}}",
                **self.options,
            },
            "cluster": {
                "type": self.kind,
                "config": {
                    **commands,
                    "command_time_limit": "10s",
                    "post_add_node_command": f"{hook} added {{0}} {{1}}",
                    "post_remove_node_command": f"{hook} removed {{0}} {{1}}",
                },
            },
            "cloud": {
                "burst": {
                    "type": "asyncluster.testing.namespaces:NamespaceCloud",
                    "quantity": {"max": self.most},
                    "reservation": reservation,
                    "config": {
                        "cores": 2,
                        **memory,
                        "arguments": {"prefix": self.batch.hosts.prefix, "daemon": self._daemon(), **self.machine},
                    },
                }
            },
        }

    def _daemon(self) -> str:
        """What a machine starts: nothing but its batch system's own daemon."""
        environment = " ".join(f"{name}={value}" for name, value in self.batch.environment.items())
        if self.kind == "slurm":
            return f'env {environment} slurmd -Z -b -N {{0}} --conf "CPUs=2 RealMemory=500"'
        return f"env {environment} SGE_EXECD_PIDFILE={self.batch.folder}/execd-{{0}}.pid sge_execd"

    def _logged(self, command: str) -> str:
        return f"{self.folder}/logged {command}"

    def _write_scripts(self) -> None:
        head = self.batch.hosts.space("head")
        scripts = {
            "hook": (HOOK + (NAMES_HOOK if self.kind == "slurm" else "")).format(folder=self.folder, head=head),
            "logged": f'#!/bin/sh\necho "$*" >> {self.folder}/commands\nexec "$@"\n',
        }
        for name, text in scripts.items():
            path = self.folder / name
            path.write_text(text)
            path.chmod(0o755)

    def clear(self) -> None:
        """After a test that failed: no master, no machine, no job."""
        self.__exit__()
        for name in self.machines.states():
            self.batch.hosts.kill(name)
            subprocess.run(["ip", "netns", "del", self.batch.hosts.space(name)], check=False, capture_output=True)
            self.batch.forget(name)
        self.batch.clear()

    # -- what is done to it

    def start(self) -> None:
        """Start the master; the one before it may have been killed."""
        self.master = self.site.start_master()

    def typed(self, *words: str) -> str:
        """What `asyncluster …` prints; AssertionError where it fails."""
        argv = [sys.executable, "-P", "-m", "asyncluster.cli", "--socket", self.site.socket, *words]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCLUSTER_")}
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=SETTLE, env=environ)
        assert done.returncode == 0, f"{words}: {done.stderr or done.stdout}"
        return done.stdout

    @property
    def pools(self) -> Pools:
        """A link for what is looked at again and again: a command line for each look would take most of the machine."""
        if self._pools is None:
            self._pools = Pools(socket=self.site.socket, reconnect=SETTLE)
        return self._pools

    def status(self) -> dict[str, Any]:
        """What `elastic status --json` says."""
        return self.pools.status()

    def waits(self, job: str) -> bool:
        """Whether the master tells of that job that it waits."""
        return job in self.pools.jobs()["jobs"]

    def nodes(self) -> dict[str, str]:
        """The steps of the nodes, by name."""
        return {name: str(node["life"]) for name, node in self.status()["nodes"].items()}

    def submit(self, seconds: int) -> str:
        """A user's job that only this pool can serve."""
        return self.batch.submit(1, seconds, reservation=self.wants)

    def until(self, true: Callable[[], object], what: str) -> None:
        """Wait; AssertionError with what is the case, and the end of the master's log."""
        try:
            until(true, what)
        except AssertionError as error:
            told = self.typed("elastic", "status") + self.typed("cluster", "nodes") + self.typed("cluster", "jobs")
            raise AssertionError(f"{error}\n{told}\n{self.master.text()[-6000:]}") from error

    # -- what is seen of it

    def running(self, job: str) -> str:
        """Where that job runs, as the batch system says; "" where it does not."""
        return self.batch.running(job)

    def events(self) -> list[str]:
        """What the hooks were called with: event and node."""
        path = self.folder / "events"
        return [" ".join(line.split()[:2]) for line in path.read_text().splitlines()] if path.exists() else []

    def commands(self) -> list[str]:
        """All that the batch system was told or asked."""
        return (self.folder / "commands").read_text().splitlines()

    def gone(self) -> bool:
        """Whether nothing is left: in the book, in the cloud, in the batch system."""
        return not self.nodes() and not self.machines.living() and not self.machines.spaces()


def make_batch(kind: str, folder: Path) -> RealSlurm | RealGridEngine:
    """One static node; not yet begun."""
    if kind == "slurm":
        return RealSlurm(folder, static=1, spare=0, more=SLURM_MORE)
    # in the order in which a cloud gives addresses, as the DNS of such a site knows them beforehand
    names = {f"burst-{number}": f"{NETWORK}.{99 + number}" for number in range(1, 10)}
    return RealGridEngine(folder, static=1, spare=0, placeholder=True, names=names)
