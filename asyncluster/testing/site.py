"""A site made for a test: a folder, passwords, and real daemons started and stopped as processes."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import attrs

TIMEOUT = 60.0


def noon_zone() -> str:
    """A time zone in which it is about noon, so that no day ends while a test runs."""
    ahead = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-ahead:+d}"


@attrs.define(eq=False)
class Daemon:
    """A master or node as a process; `log` is its file."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Of the daemon (under `ip netns exec` it is the same process)."""
        return self.process.pid

    def text(self) -> str:
        """All that it has logged."""
        return self.log.read_text(errors="replace")

    def wait_for(self, words: str, timeout: float = TIMEOUT) -> None:
        """Until `words` stand in the log; AssertionError with the log's end otherwise."""
        deadline = time.monotonic() + timeout
        while words not in self.text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"no {words!r} in {self.log} (exit {self.process.poll()}):\n{self.text()[-4000:]}")
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGTERM, timeout: float = TIMEOUT) -> int:
        """End it and return its exit code; killed when it does not end by itself."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@attrs.define(eq=False)
class Site:
    """One master and any number of nodes, in one folder.  Use as a context manager.

    host: where nodes look for the master; port: 0 picks a free one; subnets: as in the configuration;
    prefix: put before the master's command line (to run it in a namespace).
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 0
    subnets: str = "127.0.0.0/8"
    prefix: Sequence[str] = ()
    common: dict[str, str] = attrs.field(factory=dict)
    server: dict[str, str] = attrs.field(factory=dict)
    password: str = attrs.field(factory=lambda: secrets.token_urlsafe(24), repr=False)
    server_password: str = attrs.field(factory=lambda: secrets.token_urlsafe(24), repr=False)
    daemons: list[Daemon] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        if not self.port:
            with contextlib.closing(socket.socket()) as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *exc: object) -> None:
        for daemon in reversed(self.daemons):
            daemon.stop()

    @property
    def socket(self) -> str:
        """The master's UNIX socket."""
        return str(self.folder / "socket")

    def config(self, name: str, sections: dict[str, dict[str, str]]) -> Path:
        """Write a configuration file (0600) and return its path."""
        path = self.folder / f"{name}.conf"
        lines = []
        for section, keys in sections.items():
            lines.append(f"[{section}]")
            lines += [f"{key} = {value}" for key, value in keys.items()]
        path.touch(mode=0o600)
        path.write_text("\n".join(lines) + "\n")
        return path

    def sections(self, name: str) -> dict[str, dict[str, str]]:
        """What the configuration of every daemon of this site says."""
        common = {
            "tcp port": str(self.port),
            "socket": self.socket,
            "server password": self.server_password,
            "heartbeat": "1s",
            "silence limit": "4s",
        }
        server = {"subnets": self.subnets, "state folder": str(self.folder / "state"), "drain limit": "5s"}
        client = {
            "host": self.host,
            "user": "nodes",
            "password": self.password,
            "name": name,
            "retry every": "1s",
            "drain limit": "5s",
            "state folder": str(self.folder / name),
        }
        if os.geteuid() == 0:
            client["run tasks as"] = "root"
        return {"common": common | self.common, "server": server | self.server, "client": client}

    def start_master(self, wait: bool = True) -> Daemon:
        """Start the master; returns when it is ready."""
        daemon = self._start("master", self.config("master", self.sections("master")), self.prefix)
        if wait:
            daemon.wait_for("ready at socket")
        return daemon

    def start_node(
        self,
        name: str,
        slots: int = 1,
        prefix: Sequence[str] = (),
        wait: bool = True,
        client: dict[str, str] | None = None,
        common: dict[str, str] | None = None,
    ) -> Daemon:
        """Start a node daemon; returns when it is registered.  `client` and `common` change its configuration."""
        sections = self.sections(name)
        sections["client"] |= {"slots": str(slots)} | (client or {})
        sections["common"] |= common or {}
        daemon = self._start("node", self.config(name, sections), prefix)
        if wait:
            daemon.wait_for("registered with the master")
        return daemon

    def add_user(self, name: str, password: str) -> None:
        """Make an account with which somebody can connect across the network."""
        from asyncluster.client.accounts import Accounts

        with Accounts(socket=self.socket) as accounts:
            accounts.add(name, password, enabled=True, restricted=False)

    def _start(self, kind: str, config: Path, prefix: Sequence[str]) -> Daemon:
        log = config.with_suffix(".log")
        command = [*prefix, sys.executable, "-m", f"asyncluster.{kind}", "--config", str(config)]
        with log.open("wb") as stream:  # of this daemon alone, not of the one before it
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        daemon = Daemon(process, log)
        self.daemons.append(daemon)
        return daemon
