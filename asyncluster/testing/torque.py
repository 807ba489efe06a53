"""A Torque of a test's own, with Maui or without: the stand-in of `torque_sim`."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from asyncluster.config.cluster_conf import Torque as Manual
from asyncluster.model.supply import Flavor, Reservation
from asyncluster.schedulers.run import Runner
from asyncluster.schedulers.torque.adapter import Torque, TorqueQueue
from asyncluster.schedulers.torque.site import Here, look
from asyncluster.testing.torque_sim import run
from asyncluster.testing.torque_sim.server import Server, State, fresh, queue


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
        self.write(fresh(names))
        with self.server as state:
            state["queues"]["late"] = queue()
        for name in names[: self.static]:
            self.call("qmgr", "-c", f"create node {name} np={self.flavor.cores}")
            self.join(name)
        return self

    def write(self, state: State) -> None:
        """A server in that state, and its programs as executables."""
        (self.folder / "server.json").write_text(json.dumps(state))
        run.install(self.folder, (*run.TORQUE, *(run.MAUI if self.maui else ())))

    def __exit__(self, *exc: object) -> None:
        """Nothing of it runs."""

    # -- what it is to those who use it

    @property
    def path(self) -> str:
        """Where its programs are."""
        return str(self.folder / "bin")

    @property
    def server(self) -> Server:
        """Its state, changed in a `with`."""
        return Server(self.folder)

    @property
    def settings(self) -> dict[str, str]:
        """The commands of Dynamic Cluster's manual, pipelines included, with the paths that they have here."""
        fields = Manual.model_fields.items()
        commands = {name: str(field.default) for name, field in fields if name.endswith("_command")}
        return {
            name: text.replace("/usr/bin/", f"{self.path}/")
            for name, text in commands.items()
            if not name.startswith("post_")
        }

    def here(self, settings: dict[str, str] | None = None) -> Here:
        """Its programs, as a master finds them."""
        path = f"{self.path}{os.pathsep}{os.defpath}"
        return look(self.settings if settings is None else settings, partial(shutil.which, path=path))

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
        here = self.here()
        return Torque(Runner(reactor), here.commands, here.maui)

    def pilots(self, reactor: Any) -> TorqueQueue:
        """Its queue."""
        return TorqueQueue(Runner(reactor), self.here().commands)

    def address(self, host: str) -> str:
        """Of a host."""
        return f"10.77.0.{10 + int(host.removeprefix('host'))}"

    # -- what happens to it

    def call(self, *words: str, stdin: str = "") -> str:
        """Run one of its programs; RuntimeError with its words where it fails."""
        done = subprocess.run(
            [f"{self.path}/{words[0]}", *words[1:]],
            check=False,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def join(self, host: str) -> None:
        """The machine starts, with its mom."""
        with self.server as state:
            state["nodes"][host].update(up=True, came=True)

    def die(self, host: str) -> None:
        """The machine is gone."""
        with self.server as state:
            state["nodes"][host]["up"] = False

    def replay(self, data: Path, *names: str) -> None:
        """From now on these recordings of `data` are what their commands say."""
        with self.server as state:
            for name in names:
                words = shlex.split((data / f"{name}.cmd").read_text().splitlines()[0])
                words = words[2:] if words[0] == "timeout" else words
                words[0] = Path(words[0]).name
                parts = {part: (data / f"{name}.{part}").read_text() for part in ("stdout", "stderr", "rc")}
                state["replay"][" ".join(words)] = parts

    def calls(self) -> list[list[str]]:
        """All that was asked of it."""
        with self.server as state:
            return list(state["log"])

    def start(self) -> None:
        """The server is there again."""
        with self.server as state:
            state["up"] = "yes"

    def stop(self) -> None:
        """The server is away."""
        with self.server as state:
            state["up"] = "no"

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
        """No jobs, no nodes but the static ones, nothing kept or replayed."""
        with self.server as state:
            state["jobs"], state["kept"], state["replay"] = {}, {}, {}
            state["nodes"] = dict(list(state["nodes"].items())[: self.static])
            for node in state["nodes"].values():
                node["offline"] = False
