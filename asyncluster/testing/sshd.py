"""Machines reached by Debian's real sshd: one in each network namespace, with keys that are made for the run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import attrs

import asyncluster
from asyncluster.testing.batch_hosts import BatchHosts
from asyncluster.testing.waiting import until

PORT = 2222
SSHD = "/usr/sbin/sshd"


def missing() -> str:
    """Why it cannot be started here; empty when it can."""
    if not Path(SSHD).exists() or not shutil.which("ssh"):
        return "sshd and ssh are not here (Debian packages openssh-server and openssh-client)"
    return ""


@attrs.define(eq=False)
class SshHosts(BatchHosts):
    """`head`, from which `host1` … are reached by ssh; `folder` has the keys.

    key, known_hosts: files for ssh; ssh: a program that runs ssh on the head; interpreter: a Python with AsynCluster.
    """

    prefix: str = attrs.field(factory=lambda: f"acs{os.getpid()}")
    daemons: dict[str, subprocess.Popen[bytes]] = attrs.field(factory=dict)

    @property
    def key(self) -> Path:
        """Of who comes."""
        return self.folder / "key"

    @property
    def known_hosts(self) -> Path:
        """With the key that all machines have."""
        return self.folder / "known_hosts"

    @property
    def ssh(self) -> Path:
        """Runs on the head."""
        return self.folder / "ssh"

    @property
    def interpreter(self) -> Path:
        """This one, with the AsynCluster that is tested."""
        return self.folder / "python"

    @property
    def names(self) -> list[str]:
        """Of the machines."""
        return [f"host{number}" for number in range(1, self.count + 1)]

    def __enter__(self) -> SshHosts:
        self.folder.mkdir(parents=True, exist_ok=True)
        super().__enter__()
        try:
            self._keys()
            self._programs()
            for name in self.names:
                self.start(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for daemon in self.daemons.values():
            daemon.terminate()
            daemon.wait()
        super().__exit__(*exc)

    def start(self, name: str) -> None:
        """The machine's sshd, on its own address."""
        conf = self.folder / f"sshd-{name}.conf"
        conf.write_text(
            f"ListenAddress {self.address(name)}:{PORT}\nHostKey {self.folder / 'hostkey'}\nPidFile none\n"
            f"AuthorizedKeysFile {self.folder / 'key.pub'}\nPasswordAuthentication no\nUsePAM no\nStrictModes no\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nMaxStartups 100\n"
        )
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it wants to be shut in
        with (self.folder / f"sshd-{name}.log").open("ab") as log:
            self.daemons[name] = subprocess.Popen(
                [self.there(name), SSHD, "-D", "-e", "-f", str(conf)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until(lambda: self._listens(name), f"sshd listens on {name}")

    def stop(self, name: str) -> None:
        """The machine is not reached any more, and its nodes go on."""
        daemon = self.daemons.pop(name)
        daemon.terminate()
        daemon.wait()

    def _listens(self, name: str) -> bool:
        probe = f"import socket; socket.create_connection(({self.address(name)!r}, {PORT}), 5).close()"
        done = subprocess.run([*self.on("head"), sys.executable, "-c", probe], check=False, capture_output=True)
        return done.returncode == 0

    def _keys(self) -> None:
        for name in ("key", "hostkey"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "made for one test", "-f"]
            subprocess.run([*words, str(self.folder / name)], check=True)
        kind, key, _ = (self.folder / "hostkey.pub").read_text().split(maxsplit=2)
        self.known_hosts.write_text("".join(f"[{self.address(name)}]:{PORT} {kind} {key}\n" for name in self.names))

    def _programs(self) -> None:
        root = Path(asyncluster.__file__).resolve().parent.parent
        # /dev/null: this user's own configuration is not part of the test
        self.ssh.write_text(f'#!/bin/sh\nexec {" ".join(self.on("head"))} ssh -F /dev/null "$@"\n')
        self.interpreter.write_text(
            f'#!/bin/sh\nPYTHONPATH={root}${{PYTHONPATH:+:$PYTHONPATH}} exec {sys.executable} "$@"\n'
        )
        for program in (self.ssh, self.interpreter):
            program.chmod(0o755)
