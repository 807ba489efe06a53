"""What faults happen to: a master and nodes on hosts of their own, with proxies between, small disks and loose clocks.

Daemons that end though they should be there are started again, as systemd would; all that they ever logged is kept.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import attrs
import psutil

from asyncluster.testing.hosts import Hosts
from asyncluster.testing.proxy import Proxy
from asyncluster.testing.site import Daemon, Site

PORT = 9080
DISK = "128m"
BEHIND_PROXY = ("a", "b")
"""These nodes reach the master by a proxy; others do not, and have only their cable."""

MARK = "ASYNCLUSTER_CHAOS"
"""In the environment of all that a ground starts: so it finds what was left behind."""


_LOOSE = """
import os
import time

_true, _steady, _file = time.time, time.monotonic, os.environ["ASYNCLUSTER_CHAOS_CLOCK"]
_wrong = _looked = 0.0


def _time():
    global _wrong, _looked
    now = _steady()
    if now - _looked > 0.02:
        _looked = now
        with open(_file) as file:
            _wrong = float(file.read() or 0)
    return _true() + _wrong


time.time = _time
time.time_ns = lambda: int(_time() * 1e9)
"""
"""A sitecustomize.  (libfaketime cannot do it: under it `time.sleep` of Python 3.11 fails with EINVAL.)"""


@attrs.define(eq=False)
class Ground:
    """A context manager.  folder: of the test; nodes: name -> host; slots: of each node."""

    folder: Path
    hosts: Hosts
    nodes: dict[str, str] = attrs.field(factory=lambda: {"a": "host1", "b": "host2", "c": "host3"})
    slots: int = 2
    common: dict[str, str] = attrs.field(factory=dict)  # of the configuration of all daemons
    site: Site = attrs.field(init=False)
    proxy: Proxy = attrs.field(init=False)
    up: dict[str, Daemon] = attrs.field(factory=dict)  # those that should be there
    past: dict[str, str] = attrs.field(factory=dict)  # what those before them logged
    starts: Counter[str] = attrs.field(factory=Counter)
    workers_killed: int = 0
    mark: str = attrs.field(factory=lambda: secrets.token_hex(8))
    _disks: list[Path] = attrs.field(factory=list)

    def __enter__(self) -> Ground:
        head = self.hosts.address("head")
        subnets = "127.0.0.0/8, 10.77.0.0/24"
        self.site = Site(self.folder, head, PORT, subnets, self._prefix("master", "head"))
        self.site.server["drain limit"] = "2s"
        self.site.common |= self.common
        try:
            self._disk("state")
            for name in self.nodes:
                self._disk(name)
            routes = {
                name: (f"{head}:{self._port(name)}", f"{head}:{PORT}") for name in BEHIND_PROXY if name in self.nodes
            }
            routes["client"] = (str(self.folder / "client"), self.site.socket)
            self.proxy = Proxy.start(routes, self.hosts.on("head"))
            self.start("master", wait=True)
            for name in self.nodes:
                self.start(name)
            for name in self.nodes:
                self.up[name].wait_for("registered with the master", 60)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        if hasattr(self, "proxy"):
            self.proxy.__exit__()
        for disk in self._disks:
            subprocess.run(["umount", "-l", disk], check=False)

    def stop(self) -> None:
        """All daemons, nodes first."""
        for name in sorted(self.up, key=lambda name: name == "master"):
            self.up.pop(name).stop(timeout=30)

    @property
    def socket(self) -> str:
        """Where clients find the master, by way of the proxy."""
        return str(self.folder / "client")

    @property
    def logs(self) -> dict[str, str]:
        """All that was ever logged, by daemon."""
        names = ["master", *self.nodes]
        return {name: self.past.get(name, "") + self._log(name) for name in names}

    # -- processes

    def start(self, name: str, wait: bool = False) -> None:
        """Start the master or a node."""
        self.past[name] = self.past.get(name, "") + self._log(name)
        self.starts[name] += 1
        if name == "master":
            self.up[name] = self.site.start_master(wait)
        elif name == "bystander":
            self.up[name] = self._bystander()
        else:
            common = {"tcp port": str(self._port(name) if name in BEHIND_PROXY else PORT)}
            self.up[name] = self.site.start_node(
                name, self.slots, self._prefix(name, self.nodes[name]), wait=wait, common=common
            )

    def _bystander(self) -> Daemon:
        reconnect = "0" if self.starts["bystander"] % 2 else "1.5"  # seconds
        command = [sys.executable, "-m", "asyncluster.testing.load", self.socket, reconnect]
        with (self.folder / "bystander.log").open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, MARK: self.mark}
            )
        return Daemon(process, self.folder / "bystander.log")

    def end(self, name: str, kill: bool) -> None:
        """End one: with -9, or as systemd would.  Nothing where it is not there."""
        daemon = self.up.pop(name, None)
        if daemon is not None:
            if kill:
                daemon.process.kill()
            else:
                daemon.process.terminate()
            daemon.process.wait(60)

    def keep_up(self) -> list[str]:
        """Start those again that have ended by themselves; who that was."""
        ended = [name for name, daemon in self.up.items() if daemon.process.poll() is not None]
        for name in ended:
            self.start(name)
        return ended

    def workers(self, name: str) -> list[psutil.Process]:
        """Of that node."""
        daemon = self.up.get(name)
        with contextlib.suppress(psutil.NoSuchProcess):
            if daemon is not None:
                everybody = psutil.Process(daemon.pid).children(recursive=True)
                return [process for process in everybody if process.ppid() != daemon.pid]
        return []

    def left_behind(self) -> list[str]:
        """Command lines of processes of this ground that belong to no daemon that should be there.

        Workers of root's nodes have nothing of a daemon's environment, but are on its host.
        """
        mine = set()
        for pid in (self.proxy.process.pid, *(daemon.pid for daemon in self.up.values())):
            with contextlib.suppress(psutil.NoSuchProcess):
                mine |= {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
        here = self.hosts.pids()
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid not in mine and (process.pid in here or process.environ().get(MARK) == self.mark):
                    found.append(f"{process.pid} (of {process.ppid()}): {' '.join(process.cmdline())}")
        return found

    # -- disks and clocks

    def fill(self, name: str) -> None:
        """The disk of the master ("state") or of a node is full from now on."""
        with contextlib.suppress(OSError), (self.folder / name / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(65536))
        with contextlib.suppress(OSError), (self.folder / name / "filler").open("ab", buffering=0) as file:
            while True:
                file.write(bytes(512))

    def clear(self, name: str) -> None:
        """There is room again."""
        (self.folder / name / "filler").unlink(missing_ok=True)

    def set_clock(self, name: str, seconds: int) -> None:
        """That daemon's clock (of the day; nobody can set the steady one) is wrong by so much from now on."""
        file = self._clock(name)
        (fresh := file.with_suffix(".new")).write_text(f"{seconds:+d}\n")
        fresh.replace(file)

    def _clock(self, name: str) -> Path:
        return self.folder / f"{name}.clock"

    def _disk(self, name: str) -> None:
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "chaos", folder], check=True)
        self._disks.append(folder)

    def _log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _port(self, name: str) -> int:
        return PORT + 1 + list(self.nodes).index(name)

    def _prefix(self, name: str, host: str) -> Sequence[str]:
        library = self.folder / "clock"
        library.mkdir(exist_ok=True)
        (library / "sitecustomize.py").write_text(_LOOSE)
        self.set_clock(name, 0)
        path = os.pathsep.join(filter(None, [str(library), os.environ.get("PYTHONPATH", "")]))
        words = (f"{MARK}={self.mark}", f"PYTHONPATH={path}", f"{MARK}_CLOCK={self._clock(name)}")
        return (*self.hosts.on(host), "env", *words)


def missing() -> str:
    """Why a ground cannot be made here, beside what `hosts.missing` says; "" when it can."""
    if os.geteuid() == 0 and shutil.which("mount"):
        done = subprocess.run(["mount", "-t", "tmpfs", "chaos", "/mnt"], check=False, capture_output=True, text=True)
        if done.returncode == 0:
            subprocess.run(["umount", "/mnt"], check=False)
            return ""
        return f"small disks cannot be mounted: {done.stderr.strip()}"
    return "small disks need root and mount"
