"""What Slurm's programs are told: argument lists, and nothing else."""

from __future__ import annotations

import attrs

from asyncluster.model.supply import Flavor
from asyncluster.schedulers import words
from asyncluster.schedulers.template import Template, as_template, template

ENVIRONMENT = {"SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0"}
"""Instants as seconds since the epoch; lists of array elements whole, not cut after 64 characters."""

FIELDS = (
    "JobID",
    "JobArrayID",
    "ArrayJobID",
    "ArrayTaskID",
    "UserName",
    "Account",
    "Partition",
    "State",
    "Reason",
    "NumNodes",
    "OverSubscribe",
    "NumCPUs",
    "NumTasks",
    "MinCpus",
    "tres-alloc",
    "MinMemory",
    "tres-per-node",
    "Feature",
    "TimeLimit",
    "SubmitTime",
    "PriorityLong",
    "NodeList",
    "ReqNodes",
    "Name",
)
"""What is asked of each job."""

RESERVED = "asyncluster_"
"""Slurm's reservations that are ours begin so; the name of the node follows."""


def between(token: str) -> str:
    """What stands after each field: users write names with every character there is, but do not know the token."""
    return f"~{token}|"


def behind(token: str) -> str:
    """What stands after each record."""
    return f"~{token}!"


@attrs.frozen
class Commands:
    """The programs, as the administrator names them."""

    squeue: Template = attrs.field(default=template("squeue"), converter=as_template)
    scontrol: Template = attrs.field(default=template("scontrol"), converter=as_template)
    sbatch: Template = attrs.field(default=template("sbatch"), converter=as_template)
    scancel: Template = attrs.field(default=template("scancel"), converter=as_template)

    def jobs(self, token: str, user: str = "") -> tuple[str, ...]:
        """List all jobs, finished ones too, so that their number can be compared with what Slurm says it is.

        token: letters and digits that nobody can guess; user: only that one's jobs.
        """
        last = len(FIELDS) - 1
        layout = ",".join(
            f"{name}:{behind(token) if index == last else between(token)}" for index, name in enumerate(FIELDS)
        )
        whose = (f"--user={words.account(user)}",) if user else ()
        return self.squeue.argv(more=("-v", "-h", "-a", "-t", "all", *whose, "-O", layout))

    def nodes(self) -> tuple[str, ...]:
        """What reads `NODES_INPUT`: nodes, partitions, and something that stands at the end."""
        return self.scontrol.argv(more=("-o", "-a", "-d"))

    def create(self, name: str, address: str, flavor: Flavor) -> tuple[str, ...]:
        """Make a node known that has not yet come by itself.

        With a twentieth of its memory left out: its kernel keeps some, and Slurm wants what was said.
        """
        what = [f"NodeName={words.host(name)}", f"CPUs={flavor.cores}", "State=CLOUD"]
        if address:
            what.append(f"NodeAddr={words.address(address)}")
        if flavor.memory:
            what.append(f"RealMemory={max(1, flavor.memory * 95 // 100 // 1024**2)}")
        return self.scontrol.argv(more=("create", *what))

    def drain(self, name: str, why: str) -> tuple[str, ...]:
        """No new job there."""
        return self._update(name, "State=DRAIN", f"Reason={words.reason(why)}")

    def resume(self, name: str) -> tuple[str, ...]:
        """Jobs again; refused where nothing was drained."""
        return self._update(name, "State=RESUME")

    def down(self, name: str, why: str) -> tuple[str, ...]:
        """Give up a node that does not answer: its jobs end or begin anew."""
        return self._update(name, "State=DOWN", f"Reason={words.reason(why)}")

    def features(self, name: str, features: tuple[str, ...]) -> tuple[str, ...]:
        """The node bears these words and no others."""
        text = ",".join(map(words.property_, features))
        return self._update(name, f"AvailableFeatures={text}", f"ActiveFeatures={text}")

    def delete(self, name: str) -> tuple[str, ...]:
        """Forget a node; refused while it has jobs."""
        return self.scontrol.argv(more=("delete", f"NodeName={words.host(name)}"))

    def keep_for(self, name: str, account: str) -> tuple[str, ...]:
        """Jobs of that account are drawn to the node, others kept away."""
        return self.scontrol.argv(
            more=(
                "create",
                "reservation",
                f"ReservationName={RESERVED}{words.host(name)}",
                f"Nodes={name}",
                f"Accounts={words.account(account).lower()}",  # as Slurm writes those of jobs
                "StartTime=now",
                "Duration=UNLIMITED",
                "Flags=MAGNETIC,IGNORE_JOBS",
            )
        )

    def keep_no_more(self, name: str) -> tuple[str, ...]:
        """The end of `keep_for`."""
        return self.scontrol.argv(more=("delete", f"ReservationName={RESERVED}{words.host(name)}"))

    def reservations(self) -> tuple[str, ...]:
        """What is reserved."""
        return self.scontrol.argv(more=("-o", "show", "reservation"))

    def partition(self, name: str, nodes: tuple[str, ...]) -> tuple[str, ...]:
        """The partition has these nodes and sets of nodes and no others; sets are looked at anew."""
        text = ",".join(map(words.host, nodes))
        return self.scontrol.argv(more=("update", f"PartitionName={words.queue(name)}", f"Nodes={text}"))

    def requeue(self, job: str) -> tuple[str, ...]:
        """A job begins anew; refused for one that must not."""
        return self.scontrol.argv(more=("requeue", words.job(job)))

    def submit(self, extra: tuple[str, ...], held: bool) -> tuple[str, ...]:
        """What reads a script on its standard input.  extra: options of the administrator's, as they stand."""
        return self.sbatch.argv(more=("--parsable", *(("--hold",) if held else ()), *extra))

    def cancel(self, job: str) -> tuple[str, ...]:
        """End a job."""
        return self.scancel.argv(more=(words.job(job),))

    def release(self, job: str) -> tuple[str, ...]:
        """The end of being held."""
        return self.scontrol.argv(more=("release", words.job(job)))

    def _update(self, name: str, *what: str) -> tuple[str, ...]:
        return self.scontrol.argv(more=("update", f"NodeName={words.host(name)}", *what))


NODES_INPUT = "show node\nshow partition\nversion\n"
"""Given to `Commands.nodes`: the answer to `version` is how we know that nothing is missing before it."""
