"""The simulated Torque with hosts, on which the scripts of its jobs really run: the part of its pbs_mom."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import attrs

from asyncluster.testing.batch_hosts import BatchHosts
from asyncluster.testing.torque import SimulatedTorque


@attrs.define(eq=False)
class TorqueHosts:
    """A context manager.  Programs for the head are in `environment`; `turn` does what has become due on the hosts."""

    folder: Path
    hosts: BatchHosts = attrs.field(init=False)
    torque: SimulatedTorque = attrs.field(init=False)
    _runs: dict[str, subprocess.Popen[bytes]] = attrs.field(factory=dict, init=False)

    def __enter__(self) -> TorqueHosts:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.hosts = BatchHosts(2, folder=self.folder)
        self.torque = SimulatedTorque(self.folder, maui=False, static=2, spare=0)
        self.hosts.__enter__()
        try:
            self.torque.__enter__()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for run in self._runs.values():
            if run.poll() is None:
                run.kill()
            run.wait()
        self.hosts.__exit__()

    @property
    def environment(self) -> dict[str, str]:
        """What somebody on the head needs to find its programs."""
        return {"PATH": f"{self.torque.path}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}

    def jobs(self) -> list[str]:
        """One line for each that is not over: identifier, state, name."""
        self.turn()
        with self.torque.server as state:
            jobs = [(number, job["state"], job["name"]) for number, job in state["jobs"].items()]
        return [" ".join(job) for job in jobs if job[1] != "C" or job[0] in self._runs]

    def turn(self) -> None:
        """Begin what is to run, end what was deleted, and say of what has ended that it has."""
        self.torque.call("qstat")  # time passes when it is asked
        with self.torque.server as state:
            for number, job in state["jobs"].items():
                run = self._runs.get(number)
                if job["state"] == "R" and run is None:
                    self._runs[number] = self._begin(number, next(iter(job["on"])), job["script"])
                elif run is not None and run.poll() is not None:
                    job["end"] = 0.0
                    del self._runs[number]
                    job.update(state="C", on={})
                elif run is not None and job["state"] == "C":
                    run.terminate()

    def _begin(self, number: str, host: str, script: str) -> subprocess.Popen[bytes]:
        file = self.folder / f"{number}.SC"
        file.write_text(script)
        with (self.folder / f"{number}.OU").open("wb") as output:
            return subprocess.Popen(
                [self.hosts.there(host), "sh", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
