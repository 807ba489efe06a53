"""AsynCluster, with TLS and both proofs on between node and master: embedded, and as services with the client on TCP.

Both have one node with two workers. Embedded: `Cluster(slots=2)`, the client on the master's UNIX socket. Services:
`twistd asyncluster-master` and `asyncluster-node` from one configuration file, the client on TCP with TLS too.
"""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from asyncluster import Cluster
from asyncluster.model.peer import Role
from asyncluster.wire.accounts import make_verifier
from bench.drivers.base import FutureHandles
from bench.processes import command, descendants

CONFIGURATION = """\
[common]
tcp port = {port}
socket = {folder}/control
server password = {server_password}

[server]
subnets = 127.0.0.1
listen = 127.0.0.1
state folder = {folder}/master

[client]
host = 127.0.0.1
user = bench
password = {password}
name = bench-node
slots = 2
run tasks as = {person}
state folder = {folder}/node
"""


class Embedded(FutureHandles):
    """Master, node and workers live as long as the `Cluster`."""

    cluster: Any

    def start(self) -> None:
        self.cluster = Cluster(slots=2)

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Any:
        return self.cluster.submit(function, argument)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return list(self.cluster.map(function, items, chunksize="auto"))

    def stop(self) -> None:
        self.cluster.shutdown()

    def version(self) -> str:
        return str(self.cluster.status().get("version", ""))

    def master(self) -> int | None:
        pid = self.cluster.status().get("pid")
        if isinstance(pid, int):
            return pid
        words = ("asyncluster.master", "asyncluster-master")
        found = (process.pid for process in descendants(os.getppid()))
        return next((pid for pid in found if any(word in " ".join(command(pid)) for word in words)), None)

    def extras(self) -> dict[str, float]:
        """How long a worker takes to start: a job of another niceness has an idle one replaced, kill and fork."""
        place = self.cluster._core._place  # where an embedded master listens is nobody's business but ours
        extra = []
        for niceness in range(1, 12):
            with Cluster(socket=place.path, niceness=niceness) as other:
                begin = time.perf_counter()
                other.submit(abs, 1).result()
                between = time.perf_counter()
                other.submit(abs, 1).result()
                extra.append(2 * between - begin - time.perf_counter())
        return {"worker_start_ms": statistics.median(extra) * 1000}


def free_port() -> int:
    """A TCP port of the loopback interface that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Services(Embedded):
    """Master and node as an administrator starts them; the client proves an account of its own over TCP."""

    def start(self) -> None:
        folder = Path(os.environ["TMPDIR"])
        port, password = free_port(), secrets.token_urlsafe(24)
        text = CONFIGURATION.format(
            port=port,
            folder=folder,
            server_password=secrets.token_urlsafe(24),
            password=password,
            person=getpass.getuser(),
        )
        accounts = folder / "master" / "accounts"
        accounts.parent.mkdir(mode=0o700)
        accounts.touch(mode=0o600)
        accounts.write_text(make_verifier("bench", Role.CLIENT.value, password).to_line() + "\n")
        configuration = folder / "asyncluster.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(text)
        self.services = [self.service(name, folder, configuration) for name in ("master", "node")]
        self.wait_for(port)
        self.cluster = Cluster(f"127.0.0.1:{port}", user="bench", password=password)

    def service(self, name: str, folder: Path, configuration: Path) -> subprocess.Popen[bytes]:
        """Start one of the two in the foreground of its own process."""
        twistd = str(Path(sys.executable).with_name("twistd"))
        pid_file = f"--pidfile={folder / name}.pid"
        return subprocess.Popen(
            [twistd, "-n", pid_file, f"asyncluster-{name}", "--config", str(configuration)], cwd=folder
        )

    def wait_for(self, port: int) -> None:
        """Until the master listens; a node that was early comes back by itself. Raises RuntimeError when one ended."""
        for _ in range(600):
            for service in self.services:
                if service.poll() is not None:
                    raise RuntimeError(f"{service.args!r} ended with {service.returncode}")
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("the master did not listen within 30 s")

    def extras(self) -> dict[str, float]:
        return {}

    def stop(self) -> None:
        if hasattr(self, "cluster"):
            self.cluster.shutdown()
        for service in reversed(self.services):
            service.terminate()
        for service in reversed(self.services):
            service.wait(timeout=40)
