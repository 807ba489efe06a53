"""A person on the login node of a real batch system: a home of one's own there, and commands run in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import attrs

import asyncluster
from asyncluster.testing.batch_hosts import SETTLE
from asyncluster.testing.sge import RealGridEngine
from asyncluster.testing.slurm import RealSlurm
from asyncluster.testing.torque_hosts import TorqueHosts


@attrs.define(eq=False)
class LoginNode:
    """Someone at `head`.  batch: it runs; folder: that all hosts see, for the home."""

    batch: RealSlurm | RealGridEngine | TorqueHosts
    folder: Path

    @property
    def home(self) -> Path:
        """Made when it is first needed."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return home

    @property
    def socket(self) -> str:
        """Of the personal master."""
        return str(self.state / "run" / "master.sock")

    @property
    def state(self) -> Path:
        """The state folder of the personal master."""
        return self.home / ".local/state/asyncluster/personal"

    @property
    def name(self) -> str:
        """What `--batch` is told."""
        return {RealSlurm: "slurm", RealGridEngine: "sge"}.get(type(self.batch), "torque")

    def cli(self, *words: str, fails: bool = False) -> str:
        """Run `asyncluster` there; what it printed.  AssertionError with all that it said where it does not end so."""
        return self.python("-m", "asyncluster.cli.main", *words, fails=fails)

    def python(self, *words: str, fails: bool = False) -> str:
        """Run this Python there, the same."""
        done = subprocess.run(
            [*self.prefix, sys.executable, *words],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=5 * SETTLE,
        )
        assert bool(done.returncode) == fails, f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + (done.stderr if fails else "")

    @property
    def prefix(self) -> list[str]:
        """What to put before a command line to run it there as that person."""
        root = str(Path(asyncluster.__file__).parent.parent)
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ASYNCLUSTER_"))}
        settings = {**plain, **self.batch.environment, "HOME": str(self.home), "PYTHONPATH": root}
        return [self.batch.hosts.there("head"), "env", "-i", *(f"{name}={value}" for name, value in settings.items())]

    def joined(self) -> int:
        """How many nodes have ever joined the personal master."""
        return self.state.joinpath("master.log").read_text().count(" joined from ")

    def jobs(self) -> list[str]:
        """One line for each batch job that is not over: identifier, state, and the rest."""
        if isinstance(self.batch, RealSlurm):
            return self.batch.call("squeue", "-h", "-o", "%i %t %j").splitlines()
        if isinstance(self.batch, TorqueHosts):
            return self.batch.jobs()
        lines = self.batch.call("qstat", "-u", "*").splitlines()[2:]
        return [f"{words[0]} {words[4]} {words[2]}" for words in map(str.split, lines)]
