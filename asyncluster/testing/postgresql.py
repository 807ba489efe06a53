"""A PostgreSQL server of a test's own: made, started, stopped and crashed at will, gone at the end.

Uses the programs that are installed on the machine, never a service of its; listens on a socket in its own
folder only.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

import attrs

_ACCOUNT = "postgres"
"""The server refuses to run as root; then it runs as this user."""


def postgresql_programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, the newest release; None where there is none."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda path: float(path.parent.name), default=None)


@attrs.define(eq=False)
class TemporaryPostgres:
    """One server; a context manager that starts it and removes it."""

    programs: Path
    folder: Path = attrs.field(factory=lambda: Path(tempfile.mkdtemp(prefix="asyncluster-pg-")))
    password: str = attrs.field(factory=lambda: secrets.token_urlsafe(12), repr=False)

    def __enter__(self) -> TemporaryPostgres:
        word = self.folder / "password"
        word.write_text(self.password)
        if os.getuid() == 0:
            for path in (self.folder, word):
                shutil.chown(path, _ACCOUNT)
        self._run(
            "initdb", "-U", "asyncluster", "--auth=scram-sha-256", f"--pwfile={word}", "--no-locale", "-E", "UTF8"
        )
        self.start()
        return self

    def __exit__(self, *_what: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, base: str = "postgres") -> str:
        """The URL of one of its databases, with the password."""
        return f"postgresql://asyncluster:{self.password}@/{base}?host={self.folder}"

    def start(self) -> None:
        """Start it; returns once it answers."""
        options = f"-c listen_addresses='' -k {self.folder}"
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self, how: str = "immediate") -> None:
        """Stop it; "immediate" is a crash.  Nothing where it does not run."""
        self._run("pg_ctl", "-w", "-m", how, "stop", check=False)

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        root = os.getuid() == 0
        done = subprocess.run(
            [self.programs / program, "-D", self.folder / "data", *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            # a file: the server keeps it open, and would a pipe
            stdout=(output := tempfile.TemporaryFile()),  # noqa: SIM115 (closed below)
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**os.environ, "LC_ALL": "C"},
            user=_ACCOUNT if root else None,
            group=_ACCOUNT if root else None,
            extra_groups=[] if root else None,
        )
        with output:
            if check and done.returncode:
                output.seek(0)
                raise RuntimeError(f"{program} ended with {done.returncode}: {output.read().decode(errors='replace')}")
