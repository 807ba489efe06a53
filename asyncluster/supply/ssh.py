"""Runs our program (`there`) on another machine by ssh: an argument list, never a password, always a time limit.

What could not be done for certain, because no connection came about, is told apart from what may have been done.
"""

from __future__ import annotations

import json
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import attrs

from asyncluster.errors import CloudError, NoAnswerError
from asyncluster.model.supply_options import HostsUnit
from asyncluster.schedulers.run import Answer
from asyncluster.supply import there

_MENDS = (
    (r"Host key verification failed|host key is known|REMOTE HOST IDENTIFICATION HAS CHANGED", "known_hosts"),
    (r"Permission denied|Too many authentication failures|Load key|no such identity", "user and key"),
    (r"Could not resolve", "hosts"),
    (r"Connection refused|Connection timed out|No route to host|unreachable", "hosts and port"),
)
"""What ssh complains of, and the keys of the pool's `config:` that have to do with it."""

_NEVER_CAME_ABOUT = re.compile("|".join(pattern for pattern, _ in _MENDS))

END = 600
"""Characters of what ssh said last that are told."""


class NeverReachedError(NoAnswerError):
    """No connection came about, so nothing was done there."""


class Runs(Protocol):
    """Runs a command to its end, within a time limit; NoAnswerError where it did not get there."""

    async def run(self, argv: tuple[str, ...], stdin: str = "") -> Answer:
        """Whatever its exit code."""


@cache
def _program() -> str:
    return Path(there.__file__).read_text(encoding="utf-8")


def command(unit: HostsUnit, host: str) -> tuple[str, ...]:
    """The argument list that starts a Python there, which reads its program."""
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": str(max(1, int(unit.time_limit / 2))),
        "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3",
        "ClearAllForwardings": "yes",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "PermitLocalCommand": "no",
        "LogLevel": "ERROR",
    }
    if unit.known_hosts:
        options |= {"UserKnownHostsFile": _path(unit.known_hosts), "GlobalKnownHostsFile": "/dev/null"}
    if unit.key:
        options |= {"IdentityFile": _path(unit.key), "IdentitiesOnly": "yes"}
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    user, _, name = host.rpartition("@")
    words += ["-p", str(unit.port)] if unit.port else []
    words += ["-l", user or unit.user] if user or unit.user else []
    return (*shlex.split(unit.ssh_command), "-T", *words, "--", name, f"{_there(unit.interpreter)} -I -")


def _path(path: str) -> str:
    """A file's name as ssh's options have it."""
    return '"{}"'.format(path.replace("%", "%%"))


def _there(path: str) -> str:
    """A program's path for the login shell there; ~ is the home there."""
    if path.startswith("~/"):
        return f'"$HOME"/{shlex.quote(path[2:])}'
    return shlex.quote(path)


@attrs.frozen
class Ssh:
    """The road to the machines of one pool.  runs: commands, at most so many at a time as it allows."""

    pool: str
    unit: HostsUnit
    runs: Runs

    async def ask(self, host: str, order: dict[str, Any]) -> dict[str, Any]:
        """What `there` answers to an order.

        NeverReachedError: nothing was done; NoAnswerError: it may have been; CloudError: it could not be.
        """
        text = f"{_program()}\n\nmain(json.loads({json.dumps(order)!r}))\n"
        answer = await self.runs.run(command(self.unit, host), text)
        for line in reversed(answer.stdout.splitlines()):
            if line.startswith(there.MARK):
                return self._read(host, line.removeprefix(there.MARK))
        raise self._silence(host, answer)

    def _read(self, host: str, text: str) -> dict[str, Any]:
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise NoAnswerError(f"{host} gave no sense: {text[:END]}")
        if "fault" in found:
            raise CloudError(f"{host}: {found['fault']}")
        return found

    def _silence(self, host: str, answer: Answer) -> Exception:
        said = answer.stderr.strip()[-END:] or f"ssh ended with {answer.code}"
        place = f"[cloud] {self.pool}.config"
        if answer.code == 255:
            kind = NeverReachedError if _NEVER_CAME_ABOUT.search(said) else NoAnswerError
            keys = next((keys for pattern, keys in _MENDS if re.search(pattern, said)), "ssh_command")
            return kind(f"{host} is not reached by ssh: {said} (see {keys} in {place})")
        if answer.code in {126, 127}:
            return CloudError(
                f"{host}: there is no Python at {self.unit.interpreter}: {said}; {place}.interpreter says where it is"
            )
        return CloudError(f"{host}: {self.unit.interpreter} ended with {answer.code}: {said}")
