"""Runs a program as a task: what `asyncluster exec` and `submit` send to a worker.

The program writes straight to the worker's stdout and stderr, which the node streams to the client.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from asyncluster.errors import ProgramFailedError, ProgramNotStartedError

JOB, TASK, INDEX, LINE = "ASYNCLUSTER_JOB", "ASYNCLUSTER_TASK", "ASYNCLUSTER_INDEX", "ASYNCLUSTER_LINE"
"""What a program finds in its environment: numbers of job and task, its place in the array, its line of the file."""

NOT_ALLOWED, NOT_FOUND, SIGNALLED = 126, 127, 128
"""Exit codes as a shell has them."""

Call = Callable[[int, int, str | None], int]
"""Runs the program of one task: its number, its place in the array, its line."""


def program_call(
    argv: Sequence[str], env: Mapping[str, str], cwd: str | None, stdin: bytes | None, script: bytes | None = None
) -> Call:
    """What runs a program as a task; it travels once a job, as it is no function that workers could import.

    script: what stands in the file `argv[0]`, which need not be there.  The rest is as for `run_program`.
    """

    def run(task: int, index: int, line: str | None) -> int:
        own = {TASK: str(task), INDEX: str(index)} | ({} if line is None else {LINE: line})
        if script is None:
            return run_checked(argv, {**env, **own}, cwd, stdin)
        return run_script(script, argv, {**env, **own}, cwd, stdin)

    run.__name__ = run.__qualname__ = os.path.basename(argv[0]) or argv[0]  # what messages call it
    return run


def run_script(script: bytes, argv: Sequence[str], env: Mapping[str, str], cwd: str | None, stdin: bytes | None) -> int:
    """As `run_checked`, for a text with a first line that names its interpreter, else of /bin/sh."""
    with tempfile.NamedTemporaryFile(prefix="asyncluster-", suffix="-" + os.path.basename(argv[0])) as file:
        file.write(script)
        file.flush()
        first = script.partition(b"\n")[0].decode("utf-8", "replace")
        interpreter = shlex.split(first[2:]) if first.startswith("#!") else ["/bin/sh"]
        return run_checked([*interpreter, file.name, *argv[1:]], env, cwd, stdin, os.path.basename(argv[0]))


def run_checked(
    argv: Sequence[str], env: Mapping[str, str], cwd: str | None, stdin: bytes | None, name: str = ""
) -> int:
    """As `run_program`; a code other than 0 raises ProgramFailedError, so that it counts as a failure of the task.

    Raises ProgramNotStartedError where there is no such program, or it cannot be executed.
    """
    try:
        code = run_program(argv, env, cwd, stdin)
    except FileNotFoundError as error:
        raise ProgramNotStartedError(str(error), NOT_FOUND) from None
    except OSError as error:
        raise ProgramNotStartedError(str(error), NOT_ALLOWED) from None
    except ValueError as error:  # an argument that no program can have: a zero byte, say
        raise ProgramNotStartedError(f"{argv[0]} cannot be started: {error}", NOT_ALLOWED) from None
    name = name or os.path.basename(argv[0])
    if code > 0:
        raise ProgramFailedError(f"{name} ended with exit code {code}", code)
    if code < 0:
        raise ProgramFailedError(f"{name} was ended by {_signal(-code)}", SIGNALLED - code)
    return code


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


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
        with outliving_sigterm():
            program.communicate(stdin)
    except BaseException:
        program.kill()
        program.wait()
        raise
    return program.returncode


@contextlib.contextmanager
def outliving_sigterm() -> Iterator[None]:
    """Let a SIGTERM to our process group be the program's: a worker that died of it would take the program along.

    So the program has the time to clean up that its node gives it, and what we made for it is removed, too.
    """
    alone = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not alone:  # only the main thread may; and who has a handler knows what to do
        yield
        return
    signal.signal(signal.SIGTERM, lambda number, stack: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


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
