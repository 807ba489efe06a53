"""Users of this machine, made for a test and removed after it.  Needs root.

with Users(2) as users:
    ann, bob = users.names          # names that no other run of tests has
    users.run(ann, "import os; print(os.getuid())")
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import psutil

from asyncluster.testing.reach import Reach

ATTEMPTS = 50
"""Somebody else may be changing the book of users."""


def missing() -> str:
    """Why users cannot be made here; empty when they can."""
    if os.geteuid() != 0:
        return "only root can make users"
    lacking = [each for each in ("useradd", "setpriv", "nsenter") if not shutil.which(each)]
    return f"there is no {lacking[0]} (Debian packages passwd and util-linux)" if lacking else ""


@attrs.define(eq=False)
class Users:
    """So many users with homes of their own, all in one group beside theirs; gone, with their processes, at the end.

    folder: everybody may go through it; for the homes, and whatever else a test wants to have there.
    """

    count: int
    names: list[str] = attrs.field(factory=list)
    reach: Reach = attrs.field(factory=Reach)  # whose prefix daemons need that run these users' tasks
    group: str = ""
    folder: Path = attrs.field(init=False)

    def __enter__(self) -> Users:
        self.folder = Path(tempfile.mkdtemp(prefix="asyncluster-users-"))
        self.folder.chmod(0o711)
        stem = f"ac{secrets.token_hex(4)}"
        try:
            self.reach.__enter__()
            _change("groupadd", f"{stem}g")
            self.group = f"{stem}g"
            for letter in "abcdefgh"[: self.count]:
                home = self.folder / f"home-{letter}"
                _change("useradd", "--home-dir", str(home), "--shell", "/bin/sh", "-G", self.group, f"{stem}{letter}")
                self.names.append(f"{stem}{letter}")
                home.mkdir(mode=0o700)
                shutil.chown(home, *self.ids(self.names[-1]))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *what: object) -> None:
        numbers = {self.ids(name)[0] for name in self.names}
        while processes := [each for each in psutil.process_iter() if _owner(each) in numbers]:
            for each in processes:
                each.send_signal(signal.SIGKILL)
            psutil.wait_procs(processes, 1)
        for name in self.names:
            _change("userdel", name)
        if self.group:
            _change("groupdel", self.group)
        self.reach.__exit__()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ids(self, name: str) -> tuple[int, int]:
        """uid and gid."""
        entry = pwd.getpwnam(name)
        return entry.pw_uid, entry.pw_gid

    def home(self, name: str) -> Path:
        """Nobody else may look into it."""
        return Path(pwd.getpwnam(name).pw_dir)

    def start(self, name: str, command: Sequence[str], **more: Any) -> subprocess.Popen[Any]:
        """Start a program as that user, as a login would."""
        uid, gid = self.ids(name)
        home = str(self.home(name))
        kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH", "LANG") if key in os.environ}
        become = ("setpriv", "--reuid", str(uid), "--regid", str(gid), "--init-groups", "--inh-caps=-all")
        return subprocess.Popen(
            [*self.reach.prefix, *become, "env", "-C", home, *command],
            umask=0o022,
            env={**kept, "HOME": home, "USER": name, "LOGNAME": name, **more.pop("environment", {})},
            **more,
        )

    def call(self, name: str, *command: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
        """Run a program as that user; its exit code, and all that it printed."""
        with self.start(
            name,
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            environment=environment or {},
        ) as process:
            text, _ = process.communicate(timeout=100)
        return process.returncode, text

    def run(self, name: str, code: str, *arguments: str) -> Any:
        """Run Python as that user; what it printed last, as JSON says."""
        returned, text = self.call(name, sys.executable, "-c", textwrap.dedent(code), *arguments)
        assert returned == 0, text
        return json.loads(text.splitlines()[-1])


def _owner(process: psutil.Process) -> int:
    try:
        return int(process.uids().real)
    except psutil.NoSuchProcess:
        return -1


def _change(*command: str) -> None:
    for attempt in range(ATTEMPTS):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode == 0:
            return
        if "lock" not in done.stderr or attempt + 1 == ATTEMPTS:
            raise RuntimeError(f"{command[0]}: {done.stderr.strip()}")
        time.sleep(0.2)
