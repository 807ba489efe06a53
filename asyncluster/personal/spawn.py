"""Starts services as processes of their own and waits until the master's socket answers.

Knows how a service is started and how a failed start is told; not what is in its configuration.
No secret is ever on a command line or in an environment: those are for file names and numbers only.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from asyncluster.errors import AsynClusterError
from asyncluster.personal.paths import answers

TAIL_LINES = 15


class StartFailedError(AsynClusterError):
    """A service did not start; the end of its log is shown."""


def listen(port: int = 0) -> socket.socket:
    """A TCP socket that listens on 127.0.0.1 at that port; 0, or one that is taken, gives a free one."""
    for wanted in (port, 0):
        found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind(("127.0.0.1", wanted))
            found.listen(128)
            found.setblocking(False)  # kept by whoever inherits it: a reactor must never wait in accept
        except OSError:
            found.close()
            if not wanted:
                raise
        else:
            return found
    raise AssertionError("not reached: the last try gives a socket or raises")


def environment(base: Mapping[str, str], fds: Mapping[str, int]) -> dict[str, str]:
    """What a service gets of our environment: all but what is meant for us, and a way to import this AsynCluster."""
    kept = {name: value for name, value in base.items() if not name.startswith("ASYNCLUSTER_")}
    kept.update({name: str(fd) for name, fd in fds.items()})
    # The service changes its folder, so relative entries would mean something else there.
    entries = [os.path.abspath(entry) for entry in base.get("PYTHONPATH", "").split(os.pathsep) if entry]
    root = str(Path(__file__).resolve().parents[2])
    if Path(root).name not in ("site-packages", "dist-packages") and root not in entries:
        entries.append(root)
    if entries:
        kept["PYTHONPATH"] = os.pathsep.join(entries)
    return kept


def python(*arguments: str) -> list[str]:
    """This Python; the current folder is not searched for modules."""
    return [sys.executable, "-P", *arguments]


def service(package: str, conf: Path) -> list[str]:
    """The thin road to a service in the foreground; package: asyncluster.master or asyncluster.node."""
    return python("-m", package, "--config", str(conf))


def twistd(name: str, conf: Path, pid_file: Path, log: Path, folder: Path) -> list[str]:
    """The road of a daemon, by Twisted's own; name: asyncluster-master or asyncluster-node."""
    run = "from twisted.scripts.twistd import run; run()"
    own = [f"--pidfile={pid_file}", f"--logfile={log}", f"--rundir={folder}"]
    return [*python("-c", run), *own, name, "--config", str(conf)]


def launch(
    argv: Sequence[str], log: Path, fds: Mapping[str, int], words: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a service whose first words go to `log`.

    fds: environment variable -> descriptor that it inherits; words: more of its environment.
    """
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as out:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**environment(os.environ, fds), **(words or {})},
            pass_fds=tuple(fds.values()),
            start_new_session=True,  # Ctrl-C at the terminal is for the program, which then stops us
        )


def wait_until_ready(path: str, started: Iterable[tuple[subprocess.Popen[bytes], Path]], seconds: float) -> None:
    """Return when the master's socket answers; raise StartFailedError when a service ends badly or time is up."""
    watched = list(started)
    deadline = time.monotonic() + seconds
    while not answers(path):
        for process, log in watched:
            if process.poll():
                raise failed(f"a service ended with code {process.returncode} instead of starting", log)
        if time.monotonic() > deadline:
            raise failed(f"nothing answers at {path} after {seconds:.0f} s", watched[0][1])
        time.sleep(0.01)


def failed(what: str, log: Path) -> StartFailedError:
    """The error that shows the end of a log and where the rest is."""
    lines = tail(log)
    shown = "\n".join(f"  | {line}" for line in lines) or "  | (nothing was written)"
    return StartFailedError(f"{what}; the end of {log}:\n{shown}")


def tail(log: Path) -> list[str]:
    """The last lines of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return text.splitlines()[-TAIL_LINES:]
