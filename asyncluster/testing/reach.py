"""Our interpreter and our code within reach of every user, though they lie in a folder that is root's alone.

A pyenv below /root is common in containers and with continuous integration.  Then a mount namespace is made in which
that folder shows nothing but what is needed; nothing outside of it changes.  Needs root.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

import asyncluster


def hidden(places: Iterable[Path]) -> dict[Path, list[Path]]:
    """Those of the places that others cannot get to, by the folder that keeps them out."""
    found: dict[Path, list[Path]] = {}
    for place in sorted(set(places)):
        for folder in reversed(place.parents):
            if folder.exists() and not folder.stat().st_mode & 0o001:
                found.setdefault(folder, []).append(place)
                break
    return found


def _needed() -> list[Path]:
    code = str(Path(asyncluster.__file__).parents[1])
    paths = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    return [Path(each).resolve() for each in (sys.base_prefix, sys.prefix, code, *paths)]


@attrs.define(eq=False)
class Reach:
    """A context manager; `prefix` goes before the command lines of all that others have a part in."""

    prefix: Sequence[str] = ()
    _keeper: subprocess.Popen[str] | None = None

    def __enter__(self) -> Reach:
        hiding = hidden(_needed())
        if hiding:
            script = "set -e\n" + "".join(_shown(folder, places) for folder, places in hiding.items())
            self._keeper = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", f"{script}echo ready\nexec cat"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            assert self._keeper.stdout is not None
            said = self._keeper.stdout.readline().strip()
            if said != "ready":
                self.__exit__()
                raise PermissionError(f"{', '.join(map(str, hiding))}: users cannot get to {sys.executable}: {said}")
            self.prefix = ("nsenter", "--mount", "--target", str(self._keeper.pid))
        return self

    def __exit__(self, *what: object) -> None:
        if self._keeper is not None:
            self._keeper.communicate()


def _shown(folder: Path, places: Sequence[Path]) -> str:
    lines = ["aside=$(mktemp -d)", "mount -t tmpfs -o mode=755 shown $aside"]
    for number, place in enumerate(places):
        lines += [f"mkdir $aside/{number}", f"mount --rbind {shlex.quote(str(place))} $aside/{number}"]
    lines.append(f"mount -t tmpfs -o mode=755 shown {shlex.quote(str(folder))}")
    for number, place in enumerate(places):
        where = shlex.quote(str(place))
        lines += [f"mkdir -p {where}", f"mount --rbind $aside/{number} {where}"]
    return "\n".join([*lines, "umount -l $aside", "rmdir $aside"]) + "\n"
