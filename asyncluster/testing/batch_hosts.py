"""Hosts for a batch system: namespaces that have names of their own, know each other's, and can die as a whole."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import attrs

from asyncluster.testing.hosts import Hosts
from asyncluster.testing.waiting import until

SETTLE = 60.0
"""Seconds within which a batch system has to come to what is waited for."""


@attrs.define(eq=False)
class BatchHosts(Hosts):
    """`head`, `host1` … as their own processes see them: host name, /etc/hosts.  folder: for a script of each."""

    prefix: str = attrs.field(factory=lambda: f"acb{os.getpid()}")
    folder: Path = attrs.field(kw_only=True)

    def __enter__(self) -> BatchHosts:
        names = ["head", *(f"host{number}" for number in range(1, self.count + 1))]
        table = "127.0.0.1 localhost\n" + "".join(f"{self.address(name)} {name}\n" for name in names)
        for name in names:
            etc = Path("/etc/netns") / self.space(name)
            etc.mkdir(parents=True, exist_ok=True)
            (etc / "hosts").write_text(table)
            (etc / "hostname").write_text(f"{name}\n")
        try:
            super().__enter__()
            for name in names:
                self._script(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        for etc in Path("/etc/netns").glob(f"{self.prefix}-*"):
            shutil.rmtree(etc, ignore_errors=True)

    def there(self, host: str) -> str:
        """A program that runs its arguments on that host."""
        return str(self.folder / f"on-{host}")

    def call(self, host: str, *words: str, check: bool = True, stdin: str = "") -> str:
        """Run a command there to its end; what it printed.  RuntimeError with its words where it fails."""
        done = subprocess.run(
            [self.there(host), *words], check=False, input=stdin, capture_output=True, text=True, timeout=SETTLE
        )
        if check and done.returncode:
            raise RuntimeError(f"{shlex.join(words)} on {host} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def daemon(self, host: str, *words: str, environment: dict[str, str] | None = None) -> None:
        """Start what puts itself into the background; RuntimeError where it fails."""
        log = self.folder / f"{host}-{Path(words[0]).name}.log"
        with log.open("ab") as output:
            done = subprocess.run(
                [self.there(host), *words],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                timeout=SETTLE,
            )
        if done.returncode:
            raise RuntimeError(f"{shlex.join(words)} on {host}: {log.read_text(errors='replace')[-2000:]}")

    def processes(self, host: str, *names: str) -> list[int]:
        """Of that host: all, or those of these programs."""
        found = []
        for pid in self._pids(self.space(host)):
            try:
                name = Path(f"/proc/{pid}/comm").read_text().strip()
            except OSError:
                continue
            if not names or name in names:
                found.append(pid)
        return found

    def kill(self, host: str, *names: str) -> None:
        """The machine dies (all its processes), or these programs do, with -9."""

        def gone() -> bool:
            found = self.processes(host, *names)
            for pid in found:  # at each look: what is being killed may have begun another one
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not found

        until(gone, f"processes on {host} are gone")

    def _script(self, host: str) -> None:
        path = Path(self.there(host))
        path.write_text(
            "#!/bin/sh\n"
            f"exec ip netns exec {self.space(host)} unshare -u sh -c "
            f'\'hostname "$0"; exec "$@"\' {host} "$@"\n'
        )
        path.chmod(0o755)
