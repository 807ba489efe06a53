"""A Torque of a test's own, with Maui or without: the stand-in of `torque_sim`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs

from asyncluster.model.supply import Flavor, Reservation
from asyncluster.schedulers.run import Runner
from asyncluster.schedulers.template import read_commands
from asyncluster.schedulers.torque.adapter import Torque, TorqueQueue
from asyncluster.schedulers.torque.commands import Commands
from asyncluster.testing import torque_sim


@attrs.define(eq=False)
class SimulatedTorque:
    """A context manager.  maui: whether Maui schedules its jobs."""

    folder: Path
    maui: bool = True
    static: int = 2
    spare: int = 2
    flavor: Flavor = attrs.field(default=Flavor(cores=2))

    def __enter__(self) -> SimulatedTorque:
        names = [f"host{number}" for number in range(1, self.static + self.spare + 1)]
        (self.folder / "server.json").write_text(json.dumps(torque_sim.fresh(names)))
        with torque_sim.Server(self.folder) as state:
            state["queues"].append("late")
        script = self.folder / "torque"
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {torque_sim.__file__} {self.folder} "$@"\n')
        script.chmod(0o755)
        for name in names[: self.static]:
            self.call("qmgr", "-c", f"create node {name} np={self.flavor.cores}")
            self.join(name)
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing of it runs."""

    # -- what it is to those who use it

    @property
    def settings(self) -> dict[str, str]:
        """The commands as a configuration file would name them."""
        script, plain = self.folder / "torque", Commands()
        texts = {field.name: getattr(plain, field.name).text for field in attrs.fields(Commands)}
        return {f"{name}_command": f"{script} {text.replace('`', f'`{script} ', 1)}" for name, text in texts.items()}

    @property
    def reservations(self) -> tuple[tuple[Reservation, Reservation, Reservation], ...]:
        """As `SchedulerGround` says."""
        named = (Reservation(property="CLOUD"), Reservation(property="CLOUD"), Reservation(property="OTHER"))
        if not self.maui:
            return (named,)
        return (
            named,
            (Reservation(queue="late"), Reservation(queue="late"), Reservation(queue="batch")),
            (Reservation(account="projA"), Reservation(account="projA"), Reservation(account="projB")),
        )

    def scheduler(self, reactor: Any) -> Torque:
        """Its adapter."""
        return Torque(Runner(reactor), read_commands(Commands, self.settings, "torque"), maui=self.maui)

    def pilots(self, reactor: Any) -> TorqueQueue:
        """Its queue."""
        return TorqueQueue(Runner(reactor), read_commands(Commands, self.settings, "torque"))

    def address(self, host: str) -> str:
        """Of a host."""
        return f"10.77.0.{10 + int(host.removeprefix('host'))}"

    # -- what happens to it

    def call(self, *words: str, stdin: str = "") -> str:
        """Run one of its programs; RuntimeError with its words where it fails."""
        done = subprocess.run(
            [self.folder / "torque", *words], check=False, input=stdin, capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def join(self, host: str) -> None:
        """The machine starts, with its mom."""
        with torque_sim.Server(self.folder) as state:
            state["nodes"][host].update(up=True, came=True)

    def die(self, host: str) -> None:
        """The machine is gone."""
        with torque_sim.Server(self.folder) as state:
            state["nodes"][host]["up"] = False

    def start(self) -> None:
        """The server is there again."""
        with torque_sim.Server(self.folder) as state:
            state["up"] = True

    def stop(self) -> None:
        """The server is away."""
        with torque_sim.Server(self.folder) as state:
            state["up"] = False

    def submit(
        self,
        cores: int = 1,
        seconds: int = 600,
        held: bool = False,
        host: str = "",
        reservation: Reservation | None = None,
    ) -> str:
        """Submit a job of so many cores on one node; its identifier."""
        for_whom = reservation or Reservation()
        nodes = ":".join(filter(None, (host or "1", f"ppn={cores}", for_whom.property)))
        words = ["qsub", "-l", f"nodes={nodes}", *(("-h",) if held else ())]
        words += ["-q", for_whom.queue] if for_whom.queue else []
        words += ["-A", for_whom.account] if for_whom.account else []
        return self.call(*words, stdin=f"sleep {seconds}\n").strip()

    def clear(self) -> None:
        """No jobs, no nodes but the static ones, nothing kept."""
        with torque_sim.Server(self.folder) as state:
            state["jobs"], state["kept"] = {}, {}
            state["nodes"] = dict(list(state["nodes"].items())[: self.static])
            for node in state["nodes"].values():
                node["offline"] = False
