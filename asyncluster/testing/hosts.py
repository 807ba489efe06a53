"""Several hosts on one machine: network namespaces on a bridge, each with its own address.  Needs root and iproute2.

with Hosts(2) as hosts:                 # "head" (10.77.0.1) and "host1", "host2" (10.77.0.11, 10.77.0.12)
    subprocess.run([*hosts.on("host1"), "ping", "-c1", hosts.address("head")])
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

NETWORK = "10.77.0"
BRIDGE_MAC = "02:00:00:00:00:01"
"""Its own: a bridge otherwise takes a port's, and that port would still take packets for it after its cable is cut."""


def missing() -> str:
    """Why hosts cannot be made here; empty when they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    return "" if shutil.which("ip") else "network namespaces need the ip command (Debian package iproute2)"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@attrs.define(eq=False)
class Hosts:
    """A head and `count` hosts, bridged in the head's namespace; gone, with their processes, at the end."""

    count: int
    prefix: str = attrs.field(factory=lambda: f"ac{os.getpid()}")
    _made: list[str] = attrs.field(factory=list)

    def __enter__(self) -> Hosts:
        try:
            self._make("head")
            _ip("-n", self.space("head"), "link", "add", "br0", "address", BRIDGE_MAC, "type", "bridge")
            _ip("-n", self.space("head"), "link", "set", "br0", "up")
            _ip("-n", self.space("head"), "addr", "add", f"{NETWORK}.1/24", "dev", "br0")
            for number in range(1, self.count + 1):
                self._add(number)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for how in (signal.SIGTERM, signal.SIGKILL):
            pids = [pid for space in self._spaces() for pid in self._pids(space)]
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
                    os.kill(pid, how)
            if not pids:
                break
            time.sleep(0.5)
        for space in self._spaces():
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)
        self._made.clear()

    def space(self, host: str) -> str:
        """The name of the namespace of a host."""
        return f"{self.prefix}-{host}"

    def address(self, host: str) -> str:
        """The address of a host."""
        return f"{NETWORK}.1" if host == "head" else f"{NETWORK}.{10 + int(host.removeprefix('host'))}"

    def on(self, host: str) -> Sequence[str]:
        """What to put before a command line to run it there."""
        return ("ip", "netns", "exec", self.space(host))

    def cut(self, host: str) -> None:
        """Pull the host's cable: its interface leaves the bridge, nobody is told."""
        _ip("-n", self.space("head"), "link", "set", f"v{host.removeprefix('host')}", "nomaster")

    def mend(self, host: str) -> None:
        """Put the cable back."""
        _ip("-n", self.space("head"), "link", "set", f"v{host.removeprefix('host')}", "master", "br0", "up")

    def pids(self) -> set[int]:
        """All processes on them."""
        return {pid for space in self._spaces() for pid in self._pids(space)}

    def _spaces(self) -> list[str]:
        """All that bear our prefix: those that others have put beside ours, too."""
        there = (path.name for path in Path("/run/netns").glob(f"{self.prefix}-*"))
        return list(dict.fromkeys((*self._made, *there)))

    def _make(self, host: str) -> None:
        _ip("netns", "add", self.space(host))
        self._made.append(self.space(host))
        _ip("-n", self.space(host), "link", "set", "lo", "up")

    def _add(self, number: int) -> None:
        host, head = f"host{number}", self.space("head")
        self._make(host)
        _ip("-n", head, "link", "add", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", self.space(host))
        self.mend(host)
        _ip("-n", self.space(host), "addr", "add", f"{self.address(host)}/24", "dev", "eth0")
        _ip("-n", self.space(host), "link", "set", "eth0", "up")

    def _pids(self, space: str) -> list[int]:
        answer = subprocess.run(["ip", "netns", "pids", space], check=False, capture_output=True, text=True)
        return [int(pid) for pid in answer.stdout.split()]
