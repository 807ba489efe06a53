"""A real Grid Engine of a test's own: qmaster on one host, execd on others, all in namespaces, gone at the end.

Uses Debian's gridengine-master, -exec and -client, as installed; needs root.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from asyncluster.model.supply import Flavor, Reservation
from asyncluster.schedulers.run import Runner
from asyncluster.schedulers.sge.adapter import GridEngine, GridEngineQueue
from asyncluster.schedulers.sge.commands import Commands
from asyncluster.schedulers.template import read_commands
from asyncluster.testing import hosts as plain_hosts
from asyncluster.testing.batch_hosts import BatchHosts
from asyncluster.testing.hosts import NETWORK
from asyncluster.testing.waiting import until

_ROOT = Path("/var/lib/gridengine")
_TOOLS = Path("/usr/lib/gridengine")
_SHARE = Path("/usr/share/gridengine")

_ENVIRONMENT = """\
pe_name {name}
slots 999
user_lists NONE
xuser_lists NONE
start_proc_args NONE
stop_proc_args NONE
allocation_rule {rule}
control_slaves TRUE
job_is_first_task FALSE
urgency_slots min
accounting_summary FALSE
qsort_args NONE
"""

_SETUP = """\
set -e
cd {folder}
qconf -as head
qconf -ssconf | sed -e 's/^schedule_interval .*/schedule_interval 0:0:1/' \
    -e 's/^flush_\\(submit\\|finish\\)_sec .*/flush_\\1_sec 1/' > sched
qconf -Msconf sched
qconf -Ap pe-smp
qconf -Ap pe-mpi
for group in allhosts projA; do
    printf 'group_name @%s\\nhostlist NONE\\n' $group > group
    qconf -Ahgrp group
done
for name in all.q burst.q; do
    hosts=NONE
    [ $name = all.q ] && hosts='@allhosts @projA'
    qconf -sq | sed -e "s/^qname .*/qname $name/" -e "s/^hostlist .*/hostlist $hosts/" -e 's/^slots .*/slots 1/' \
        -e 's/^load_thresholds .*/load_thresholds NONE/' -e 's/^pe_list .*/pe_list smp mpi/' \
        -e 's/^rerun .*/rerun TRUE/' > queue
    qconf -Aq queue
done
"""


def missing() -> str:
    """Why Grid Engine cannot be run here; "" when it can."""
    for program in ("sge_qmaster", "sge_execd", "qconf"):
        if not shutil.which(program):
            return f"{program} is not installed; on Debian: apt-get install gridengine-{{master,exec,client}}"
    return plain_hosts.missing()


@attrs.define(eq=False)
class RealGridEngine:
    """A context manager.  static: hosts 1..static take part at once; spare: so many more can join.

    placeholder: a host that never comes stands in burst.q and @projA, so that jobs may wait for them; names: those of
    other machines that may come, with their addresses: a qmaster takes no name for a minute once it did not know it.
    """

    folder: Path
    static: int = 2
    spare: int = 1
    placeholder: bool = False
    names: Mapping[str, str] = attrs.field(factory=dict)
    hosts: BatchHosts = attrs.field(init=False)
    flavor: Flavor = attrs.field(default=Flavor(cores=2))
    reservations: tuple[tuple[Reservation, Reservation, Reservation], ...] = (
        (Reservation(queue="burst.q"), Reservation(queue="burst.q"), Reservation(queue="all.q")),
        (Reservation(account="projA"), Reservation(account="projA"), Reservation(queue="burst.q")),
    )

    def __enter__(self) -> RealGridEngine:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.hosts = BatchHosts(self.static + self.spare, folder=self.folder)
        self.hosts.__enter__()
        try:
            self._make_cell()
            self._script()
            self._name()
            self.start()
            (self.folder / "pe-smp").write_text(_ENVIRONMENT.format(name="smp", rule="$pe_slots"))
            (self.folder / "pe-mpi").write_text(_ENVIRONMENT.format(name="mpi", rule="$round_robin"))
            self.call("sh", "-c", _SETUP.format(folder=shlex.quote(str(self.folder))))
            for number in range(1, self.static + 1):
                self._static(f"host{number}")
            until(lambda: self.call("qstat", "-f").count("lx-amd64") == self.static, "all static hosts take part")
            if self.placeholder:
                self._hold_a_place()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.hosts.__exit__(*exc)
        shutil.rmtree(self._cell, ignore_errors=True)

    # -- what it is to those who use it

    @property
    def environment(self) -> dict[str, str]:
        """What its programs need."""
        return {"SGE_ROOT": str(_ROOT), "SGE_CELL": self._cell.name}

    @property
    def settings(self) -> dict[str, str]:
        """The commands as a configuration file would name them."""
        script = self.folder / "sge"
        plain = Commands()
        return {
            f"{field.name}_command": f"{script} {getattr(plain, field.name).text}" for field in attrs.fields(Commands)
        }

    def scheduler(self, reactor: Any) -> GridEngine:
        """Its adapter."""
        return GridEngine(Runner(reactor), read_commands(Commands, self.settings, "sge"))

    def pilots(self, reactor: Any) -> GridEngineQueue:
        """Its queue."""
        return GridEngineQueue(Runner(reactor), read_commands(Commands, self.settings, "sge"))

    def address(self, host: str) -> str:
        """Of a host."""
        return self.hosts.address(host)

    # -- what happens to it

    def call(self, *words: str, check: bool = True) -> str:
        """Run one of its programs on the head."""
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        return self.hosts.call("head", "env", *settings, *words, check=check)

    def start(self) -> None:
        """Start its qmaster; returns once it answers."""
        self.hosts.daemon("head", "sge_qmaster", environment=self.environment)
        until(lambda: "head" in self.call("qconf", "-sh", check=False), "the qmaster answers")

    def stop(self) -> None:
        """Kill its qmaster."""
        self.hosts.kill("head", "sge_qmaster")

    def join(self, host: str) -> None:
        """The machine starts, with its execd."""
        environment = {**self.environment, "SGE_EXECD_PIDFILE": str(self.folder / f"execd-{host}.pid")}
        self.hosts.daemon(host, "sge_execd", environment=environment)

    def die(self, host: str) -> None:
        """The machine is gone, with all that ran there."""
        self.hosts.kill(host)

    def submit(
        self,
        cores: int = 1,
        seconds: int = 600,
        held: bool = False,
        host: str = "",
        reservation: Reservation | None = None,
    ) -> str:
        """Submit a job of so many slots on one host; its identifier."""
        for_whom = reservation or Reservation()
        words = ["qsub", "-terse", "-b", "y", "-S", "/bin/sh", "-o", "/dev/null", "-e", "/dev/null", "-l", "h_rt=3600"]
        words += ["-pe", "smp", str(cores)] if cores > 1 else []
        words += ["-h"] if held else []
        where = f"@{host}" if host else ""
        if for_whom.account:
            words += ["-q", f"*@@{for_whom.account}"]
        elif for_whom.queue:
            words += ["-q", for_whom.queue + where]
        elif host:
            words += ["-l", f"hostname={host}"]
        return self.call(*words, "sleep", str(seconds)).strip()

    def running(self, job: str) -> str:
        """The host where it runs; "" where it does not."""
        for line in self.call("qstat", "-s", "r", "-u", "*", check=False).splitlines():
            words = line.split()
            if words[:1] == [job]:
                return next((word.partition("@")[2].partition(".")[0] for word in words if "@" in word), "")
        return ""

    def over(self, job: str) -> bool:
        """Whether it has ended well."""
        if f"\n{job} " in "\n".join(map(str.strip, self.call("qstat", "-u", "*").splitlines())):
            return False
        return "exit_status  0" in self.call("qacct", "-j", job, check=False)

    def cancel(self, job: str) -> None:
        """Its user ends it."""
        self.call("qdel", job)

    def members(self) -> list[str]:
        """Hosts that it knows."""
        return sorted(self.call("qconf", "-sel").split())

    def clear(self) -> None:
        """No job, no host but the static ones."""
        until(self._no_jobs, "all jobs are gone")
        for number in range(self.static + 1, self.static + self.spare + 1):
            name = f"host{number}"
            self.forget(name)
            self.hosts.kill(name)
        self.call("qmod", "-e", "*@host*", check=False)

    def forget(self, name: str) -> None:
        """It knows no such host."""
        for words in (
            *(("-dattr", "hostgroup", "hostlist", name, f"@{group}") for group in ("allhosts", "projA")),
            *(("-dattr", "queue", "hostlist", name, queue) for queue in ("all.q", "burst.q")),
            *(("-purge", "queue", "slots", f"{queue}@{name}") for queue in ("all.q", "burst.q")),
            ("-ke", name),
            ("-de", name),
            ("-dh", name),
        ):
            self.call("qconf", *words, check=False)

    def _no_jobs(self) -> bool:
        if not self.call("qstat", "-u", "*"):
            return True
        self.call("qdel", "-f", "-u", "*", check=False)
        return False

    def _name(self) -> None:
        names = {**self.names, "placeholder": f"{NETWORK}.250"}
        with (Path("/etc/netns") / self.hosts.space("head") / "hosts").open("a") as table:
            table.writelines(f"{address} {name}\n" for name, address in names.items())

    def _hold_a_place(self) -> None:
        self.call("qconf", "-ah", "placeholder")
        self.call("qconf", "-aattr", "hostgroup", "hostlist", "placeholder", "@projA")
        self.call("qconf", "-aattr", "queue", "hostlist", "placeholder", "burst.q")

    def _static(self, name: str) -> None:
        self.call("qconf", "-ah", name)
        self.join(name)
        self.call("qconf", "-aattr", "hostgroup", "hostlist", name, "@allhosts")
        self.call("qconf", "-aattr", "queue", "slots", f"[{name}={self.flavor.cores}]", "all.q")

    @property
    def _cell(self) -> Path:
        return _ROOT / self.hosts.prefix

    def _make_cell(self) -> None:
        """As Debian's package makes one, in folders of our own."""
        common = self._cell / "common"
        common.mkdir(parents=True)
        for name in ("spooldb", "qmaster/job_scripts", "execd", "run"):
            (self.folder / name).mkdir(parents=True)
        (common / "act_qmaster").write_text("head\n")
        (common / "bootstrap").write_text(
            _with(
                (_SHARE / "default-bootstrap").read_text(),
                {"spooling_params": self.folder / "spooldb", "qmaster_spool_dir": self.folder / "qmaster"},
            )
        )
        gids = 20000 + os.getpid() % 10000 * 100  # by which jobs are ended: another cell beside us has others
        quick = {
            "execd_spool_dir": self.folder / "execd",
            "min_uid": 0,
            "min_gid": 0,
            "load_report_time": "00:00:01",
            "max_unheard": "00:00:10",
            "gid_range": f"{gids}-{gids + 99}",
        }
        (self.folder / "conf").write_text(_with((_SHARE / "default-configuration").read_text(), quick))
        subprocess.run(["chown", "-R", "sgeadmin:", self.folder, self._cell], check=True)
        for words in (
            ("spoolinit", "berkeleydb", "libspoolb", self.folder / "spooldb", "init"),
            ("spooldefaults", "configuration", self.folder / "conf"),
            ("spooldefaults", "complexes", _SHARE / "util/resources/centry"),
            ("spooldefaults", "usersets", _SHARE / "util/resources/usersets"),
            ("spooldefaults", "managers", "sgeadmin"),
            ("spooldefaults", "managers", "root"),
        ):
            settings = [f"{name}={value}" for name, value in self.environment.items()]
            command = [
                "runuser",
                "-u",
                "sgeadmin",
                "--",
                "env",
                *settings,
                str(_TOOLS / words[0]),
                *map(str, words[1:]),
            ]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def _script(self) -> None:
        script = self.folder / "sge"
        settings = " ".join(f"{name}={value}" for name, value in self.environment.items())
        script.write_text(f'#!/bin/sh\n{settings} exec {self.hosts.there("head")} "$@"\n')
        script.chmod(0o755)


def _with(text: str, values: dict[str, object]) -> str:
    """A configuration with these values in place of its own."""
    lines = []
    for line in text.splitlines():
        name = line.split(" ", 1)[0]
        lines.append(f"{name} {values[name]}" if name in values else line)
    return "\n".join(lines) + "\n"
