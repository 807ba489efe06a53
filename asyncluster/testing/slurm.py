"""A real Slurm of a test's own: controller on one host, slurmd on others, all in namespaces, gone at the end.

Uses Debian's slurmctld, slurmd and slurm-client, as installed; needs root.
"""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Any

import attrs

from asyncluster.model.supply import Flavor, Reservation
from asyncluster.schedulers.run import Runner
from asyncluster.schedulers.slurm.adapter import Slurm, SlurmQueue
from asyncluster.schedulers.slurm.commands import Commands
from asyncluster.schedulers.template import read_commands
from asyncluster.testing import hosts as plain_hosts
from asyncluster.testing.batch_hosts import BatchHosts
from asyncluster.testing.waiting import until

_CONF = """
ClusterName=ci
SlurmctldHost=head
SlurmUser=root
{auth}
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=15
MessageTimeout=5
KillWait=2
MinJobAge=10
MaxNodeCount=64
TreeWidth=65533
NodeName={static} CPUs=2 RealMemory=500 Feature=local State=UNKNOWN
NodeSet=burst Feature=CLOUD
PartitionName=main Nodes={static} Default=YES State=UP MaxTime=INFINITE
PartitionName=cloud Nodes=burst State=UP MaxTime=INFINITE
PartitionName=listed Nodes=host1 State=UP MaxTime=INFINITE
"""


def missing() -> str:
    """Why Slurm cannot be run here; "" when it can."""
    for program in ("slurmctld", "slurmd", "squeue"):
        if not shutil.which(program):
            return f"{program} is not installed; on Debian: apt-get install slurmctld slurmd slurm-client"
    return plain_hosts.missing()


@attrs.define(eq=False)
class RealSlurm:
    """A context manager.  static: hosts 1..static are in its configuration; spare: so many more can join.

    more: lines of slurm.conf; auth: those that say how its programs trust each other.
    """

    folder: Path
    static: int = 2
    spare: int = 2
    more: str = ""
    auth: str = "AuthType=auth/none\nCredType=cred/none"
    hosts: BatchHosts = attrs.field(init=False)
    _last: tuple[str, str] = attrs.field(init=False, default=("", ""))  # job that was submitted, and its mark
    flavor: Flavor = attrs.field(default=Flavor(cores=2, memory=500 * 1024**2))
    reservations: tuple[tuple[Reservation, Reservation, Reservation], ...] = (
        (Reservation(queue="cloud", property="CLOUD"), Reservation(queue="cloud"), Reservation(queue="main")),
        (Reservation(queue="listed"), Reservation(queue="listed"), Reservation(queue="main")),
        (
            Reservation(queue="cloud", account="projA", property="CLOUD"),
            Reservation(queue="cloud", account="projA", property="CLOUD"),
            Reservation(queue="cloud", account="projB"),
        ),
    )

    def __enter__(self) -> RealSlurm:
        self.folder.mkdir(parents=True, exist_ok=True)
        static = f"host[1-{self.static}]"
        self._conf.write_text(_CONF.format(folder=self.folder, static=static, auth=self.auth) + self.more)
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        self.hosts = BatchHosts(self.static + self.spare, folder=self.folder)
        self.hosts.__enter__()
        try:
            self._script()
            self.start()
            for number in range(1, self.static + 1):
                self.hosts.daemon(f"host{number}", "slurmd", environment=self.environment)
            until(lambda: self.states().count("idle") == self.static, "all static nodes are idle")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.hosts.__exit__(*exc)

    # -- what it is to those who use it

    @property
    def environment(self) -> dict[str, str]:
        """What its programs need."""
        return {"SLURM_CONF": str(self._conf)}

    @property
    def settings(self) -> dict[str, str]:
        """The commands as a configuration file would name them."""
        script = self.folder / "slurm"
        return {f"{name}_command": f"{script} {name}" for name in ("squeue", "scontrol", "sbatch", "scancel")}

    def scheduler(self, reactor: Any) -> Slurm:
        """Its adapter."""
        return Slurm(Runner(reactor), read_commands(Commands, self.settings, "slurm"))

    def pilots(self, reactor: Any) -> SlurmQueue:
        """Its queue."""
        return SlurmQueue(Runner(reactor), read_commands(Commands, self.settings, "slurm"))

    def address(self, host: str) -> str:
        """Of a host."""
        return self.hosts.address(host)

    # -- what happens to it

    def call(self, *words: str, check: bool = True) -> str:
        """Run one of its programs on the head."""
        return self.hosts.call("head", "env", f"SLURM_CONF={self._conf}", *words, check=check)

    def start(self) -> None:
        """Start its controller."""
        self.hosts.daemon("head", "slurmctld", environment=self.environment)

    def stop(self) -> None:
        """Kill its controller, once it has written down what was submitted last: that takes it some seconds."""
        until(self._kept, "the last job is on disk")
        self.hosts.kill("head", "slurmctld", "slurmscriptd")

    def join(self, host: str, feature: str = "CLOUD") -> None:
        """The machine starts: its slurmd makes itself known."""
        facts = f"CPUs={self.flavor.cores} RealMemory={self.flavor.memory // 1024**2} Feature={feature}"
        self.hosts.daemon(host, "slurmd", "-Z", "-b", "-N", host, "--conf", facts, environment=self.environment)

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
        """Submit a job of so many cores on one node; its identifier."""
        words = ["sbatch", "--parsable", "-N1", f"-n{cores}", "-t", "60", "-o", "/dev/null"]
        for_whom = reservation or Reservation()
        words += ["--hold"] if held else []
        words += ["-w", host] if host else []
        words += ["-p", for_whom.queue] if for_whom.queue else []
        words += ["-A", for_whom.account] if for_whom.account else []
        words += ["-C", for_whom.property] if for_whom.property else []
        mark = secrets.token_hex(8)
        job = self.call(*words, "--comment", mark, "--wrap", f"exec sleep {seconds}").strip()
        self._last = (job, mark)
        return job

    def running(self, job: str) -> str:
        """The host where it runs; "" where it does not."""
        return self.call("squeue", "-h", "-t", "R", "-j", job, "-o", "%N", check=False).strip()

    def over(self, job: str) -> bool:
        """Whether it has ended well."""
        return "JobState=COMPLETED" in self.call("scontrol", "show", "job", job, check=False)

    def cancel(self, job: str) -> None:
        """Its user ends it."""
        self.call("scancel", job)

    def members(self) -> list[str]:
        """Nodes that it knows."""
        return sorted(self.call("sinfo", "-h", "-N", "-o", "%N").split())

    def clear(self) -> None:
        """No job, no node but the static ones."""
        self.call("scancel", "-u", "root", check=False)
        until(lambda: not self.call("squeue", "-h").strip(), "all jobs are gone")
        for number in range(self.static + 1, self.static + self.spare + 1):
            name = f"host{number}"
            self.hosts.kill(name)
            self.forget(name)
        for number in range(1, self.static + 1):
            self.call("scontrol", "update", f"NodeName=host{number}", "State=RESUME", check=False)

    def forget(self, name: str) -> None:
        """It knows no such node."""
        self.call("scontrol", "delete", f"ReservationName=asyncluster_{name}", check=False)
        self.call("scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=clear", check=False)
        self.call("scontrol", "delete", f"NodeName={name}", check=False)

    def states(self) -> list[str]:
        """Of all nodes, in Slurm's words."""
        return self.call("sinfo", "-h", "-N", "-p", "main", "-o", "%t", check=False).split()

    def _kept(self) -> bool:
        job, mark = self._last
        state = self.folder / "state" / "job_state"
        written = state.exists() and mark.encode() in state.read_bytes()
        return written or not self.call("squeue", "-h", "-j", job, check=False).strip()

    @property
    def _conf(self) -> Path:
        return self.folder / "slurm.conf"

    def _script(self) -> None:
        script = self.folder / "slurm"
        script.write_text(f'#!/bin/sh\nSLURM_CONF={self._conf} exec {self.hosts.there("head")} "$@"\n')
        script.chmod(0o755)
