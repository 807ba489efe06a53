"""Runs a program as a task: what `asyncluster exec` sends to a worker.

The program writes straight to the worker's stdout and stderr, which the node streams to the client.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Mapping, Sequence


def run_program(
    argv: Sequence[str | os.PathLike[str]],
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: bytes | None = None,
) -> int:
    """Run a program and give its exit code; minus the number of the signal that killed it.

    `env` is added to the worker's environment; `cwd` is where it runs; `stdin` is what it reads
    (nothing when None).  Raises FileNotFoundError where there is no such program or folder, PermissionError
    where it cannot be executed; the text names it, the node and what is amiss.
    """
    place = f"node {os.environ['ASYNCLUSTER_NODE']}" if "ASYNCLUSTER_NODE" in os.environ else "this machine"
    if cwd is not None and not os.path.isdir(cwd):
        raise FileNotFoundError(f"there is no folder {cwd!r} on {place}")
    words = [os.fspath(word) for word in argv]
    environ = {**os.environ, **(env or {})}
    try:
        program = subprocess.Popen(
            words,
            env=environ,
            cwd=cwd,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            start_new_session=False,  # the worker's process group: killing the worker ends it too
        )
    except OSError as error:
        raise _not_started(words[0], cwd or os.curdir, environ, place, error) from None
    try:
        program.communicate(stdin)
    except BaseException:
        program.kill()
        program.wait()
        raise
    return program.returncode


def _not_started(name: str, folder: str, environ: Mapping[str, str], place: str, error: OSError) -> OSError:
    """What a shell would say, and whether it would say it with 127 (FileNotFoundError) or 126 (PermissionError)."""
    if error.filename is not None and error.filename != name:  # of the folder, before the program came into play
        return PermissionError(f"cannot enter the folder {folder!r} on {place}: {error.strerror}")
    searched = os.get_exec_path(environ)
    known = [os.path.join(folder, found) for found in ([""] if "/" in name else searched)]
    there = [path for path in (os.path.join(found, name) for found in known) if os.path.exists(path)]
    if not there:
        where = f"; looked in {folder}" if "/" in name else f"; searched PATH, {os.pathsep.join(searched)}"
        return FileNotFoundError(f"there is no program {name!r} on {place}{'' if os.path.isabs(name) else where}")
    path = there[0]
    if isinstance(error, FileNotFoundError):
        first = _first_line(path)
        reason = f"its first line names an interpreter that is not there: {first}" if first else "its loader is missing"
        return FileNotFoundError(f"the program {path} on {place} cannot be started: {reason}")
    if os.path.isdir(path):
        return PermissionError(f"{path} on {place} is a folder, not a program")
    if not os.access(path, os.X_OK):
        return PermissionError(f"the program {path} on {place} may not be executed; `chmod +x` makes it executable")
    if error.errno == errno.ENOEXEC:
        return PermissionError(
            f"{path} on {place} is no program for this machine, and no script whose first line names its interpreter"
        )
    return PermissionError(f"the program {path} on {place} cannot be started: {error.strerror}")


def _first_line(path: str) -> str:
    try:
        with open(path, "rb") as file:
            line = file.readline(200)
    except OSError:
        return ""
    return line.decode("utf-8", "replace").strip() if line.startswith(b"#!") else ""
