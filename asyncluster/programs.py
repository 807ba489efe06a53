"""Runs a program as a task: what `asyncluster exec` sends to a worker.

The program writes straight to the worker's stdout and stderr, which the node streams to the client.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence


def run_program(
    argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: str | None = None, stdin: bytes | None = None
) -> int:
    """Run a program and give its exit code; minus the number of the signal that killed it.

    `env` is added to the worker's environment; `cwd` is where it runs; `stdin` is what it reads
    (nothing when None).  Raises FileNotFoundError or PermissionError that names the program or the folder.
    """
    if cwd is not None and not os.path.isdir(cwd):
        raise FileNotFoundError(f"there is no folder {cwd!r} on {os.environ.get('ASYNCLUSTER_NODE', 'this node')}")
    program = subprocess.Popen(
        list(argv),
        env={**os.environ, **(env or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        start_new_session=False,  # the worker's process group: killing the worker ends it too
    )
    try:
        program.communicate(stdin)
    except BaseException:
        program.kill()
        program.wait()
        raise
    return program.returncode
