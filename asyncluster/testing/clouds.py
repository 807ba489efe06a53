"""Grounds for `cloud_contract` and `cloud_troubles`: this machine as a pool; machines by ssh or what stands for it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

import asyncluster
from asyncluster.model.supply import Flavor, Instance, Order
from asyncluster.model.supply_options import HostsUnit
from asyncluster.schedulers.run import Runner
from asyncluster.supply import there
from asyncluster.supply.blocking import Blocking
from asyncluster.supply.hosts import HostsCloud
from asyncluster.supply.local import LocalCloud
from asyncluster.testing.sshd import PORT, SshHosts


def node_conf(order: Order, folder: str) -> str:
    """Of a node that looks for a master in vain, for a while."""
    return (
        "[common]\ntcp port = 9\nserver password = server-password\n\n[client]\nhost = 127.0.0.1\nuser = nodes\n"
        f"password = node-password\nname = {order.name}\nslots = 1\nretry every = 5s\ndrain limit = 1s\n"
        f"state folder = {folder}/state\n" + ("run tasks as = root\n" if os.geteuid() == 0 else "")
    )


def processes(folder: Path) -> list[int]:
    """Of the nodes whose configurations lie below a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if any(word.startswith(os.fsencode(folder)) and word.endswith(b"node.conf") for word in words):
                found.append(int(path.parent.name))
    return found


def end_all(folder: Path) -> None:
    """Kill those nodes, and wait until they are gone."""
    for pid in processes(folder):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    end = time.monotonic() + 60
    while processes(folder) and time.monotonic() < end:
        time.sleep(0.02)


@attrs.define(eq=False)
class LocalGround:
    """Node daemons of this machine."""

    folder: Path
    most: int = 0
    _threads: list[Blocking] = attrs.field(factory=list)

    def __enter__(self) -> LocalGround:
        return self

    def __exit__(self, *exc: object) -> None:
        self.clear()
        for each in self._threads:
            each.stopService()

    def cloud(self, reactor: Any, pool: str, realm: str) -> LocalCloud:
        """See CloudGround and TroubledGround."""

        def conf(order: Order, folder: Path) -> str:
            return node_conf(order, str(folder))

        self._threads.append(Blocking(reactor, f"pool {pool}", threads=1))
        self._threads[-1].startService()
        return LocalCloud(pool, self.folder / "pool", realm, reactor, self._threads[-1].call, conf, Flavor(1), 1.0)

    def die(self, instance: Instance) -> None:
        """See CloudGround and TroubledGround."""
        end_all(self.folder / "pool" / instance.name)

    def clear(self) -> None:
        """See CloudGround and TroubledGround."""
        end_all(self.folder)
        shutil.rmtree(self.folder / "pool", ignore_errors=True)


@attrs.define(eq=False)
class PlayedSshGround:
    """Three machines that are homes on this one; a script stands for ssh."""

    folder: Path
    most: int = 3
    names: tuple[str, ...] = ("desk1", "ann@desk2", "desk3")

    def __enter__(self) -> PlayedSshGround:
        root = Path(asyncluster.__file__).resolve().parent.parent
        for name in self.names:
            self.home(name).mkdir()
        ssh = self.folder / "ssh"
        ssh.write_text(
            '#!/bin/sh\nprintf "%s\\n" "$*" >> "$0.log"\nuser=\nwhile [ "$1" != -- ]; do\n'
            '    [ "$1" = -l ] && user=$2@\n    shift\ndone\n'
            f'[ -e "{self.folder}/down" ] || [ -e "{self.folder}/down-$2" ] && '
            '{ echo "ssh: connect to host $2 port 22: Connection refused" >&2; exit 255; }\n'
            f'echo "Welcome to $2"\nexport HOME="{self.folder}/$user$2" SSH_CONNECTION="127.0.0.1 1 127.0.0.1 22"\n'
            f'export PYTHONPATH="{root}"\nexec sh -c "$3"\n'
        )
        ssh.chmod(0o755)
        return self

    def __exit__(self, *exc: object) -> None:
        self.clear()

    def home(self, name: str) -> Path:
        """Of a machine."""
        return self.folder / name

    def unit(self) -> HostsUnit:
        """How they are reached."""
        return HostsUnit(
            hosts=self.names, ssh_command=str(self.folder / "ssh"), interpreter=sys.executable, time_limit=60.0
        )

    def cloud(self, reactor: Any, pool: str, realm: str) -> HostsCloud:
        """See CloudGround and TroubledGround."""
        return hosts_cloud(self.unit(), self.folder / "notes", reactor, pool, realm)

    def die(self, instance: Instance) -> None:
        """See CloudGround and TroubledGround."""
        end_all(self.home(instance.id.rpartition("/")[0]))

    def stop(self) -> None:
        """See CloudGround and TroubledGround."""
        (self.folder / "down").touch()

    def start(self) -> None:
        """See CloudGround and TroubledGround."""
        (self.folder / "down").unlink(missing_ok=True)

    def clear(self) -> None:
        """See CloudGround and TroubledGround."""
        self.start()
        end_all(self.folder)
        for name in ("notes", *(f"{name}/.asyncluster-nodes" for name in self.names)):
            shutil.rmtree(self.folder / name, ignore_errors=True)


def hosts_cloud(unit: HostsUnit, notes: Path, reactor: Any, pool: str, realm: str) -> HostsCloud:
    """A pool of these machines, whose nodes look for a master in vain."""

    def conf(order: Order) -> str:
        return node_conf(order, there.FOLDER)

    return HostsCloud(pool, unit, notes, realm, reactor, conf, Flavor(1), Runner(reactor, unit.time_limit), 1.0)


@contextlib.contextmanager
def ssh_ground(folder: Path) -> Iterator[SshGround]:
    """Two machines in namespaces, with sshd."""
    with SshHosts(2, folder=folder / "ssh") as hosts:
        yield SshGround(folder, hosts)


@attrs.define(eq=False)
class SshGround:
    """See `ssh_ground`."""

    folder: Path
    hosts: SshHosts
    most: int = 2

    def unit(self) -> HostsUnit:
        """How they are reached; the folder is one that both see."""
        return HostsUnit(
            hosts=tuple(self.hosts.address(name) for name in self.hosts.names),
            user="root",
            key=str(self.hosts.key),
            known_hosts=str(self.hosts.known_hosts),
            port=PORT,
            ssh_command=str(self.hosts.ssh),
            time_limit=60.0,
            interpreter=str(self.hosts.interpreter),
            folder=str(self.folder / "there"),
        )

    def cloud(self, reactor: Any, pool: str, realm: str) -> HostsCloud:
        """See CloudGround and TroubledGround."""
        return hosts_cloud(self.unit(), self.folder / "notes", reactor, pool, realm)

    def die(self, instance: Instance) -> None:
        """See CloudGround and TroubledGround."""
        end_all(self.folder / "there" / self.name(instance) / instance.name)

    def name(self, instance: Instance) -> str:
        """Of the machine that has it."""
        return next(name for name in self.hosts.names if self.hosts.address(name) == instance.address)

    def stop(self) -> None:
        """See CloudGround and TroubledGround."""
        for name in list(self.hosts.daemons):
            self.hosts.stop(name)

    def start(self) -> None:
        """See CloudGround and TroubledGround."""
        for name in self.hosts.names:
            if name not in self.hosts.daemons:
                self.hosts.start(name)

    def clear(self) -> None:
        """See CloudGround and TroubledGround."""
        self.start()
        end_all(self.folder)
        for name in ("notes", "there"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
