"""Files that somebody names on the command line, read whole, but never without an end: /dev/zero fills any memory."""

from __future__ import annotations

import io
import os
import stat
import sys
import tokenize
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import click

from asyncluster.cli.directives import MOST_TASKS
from asyncluster.units import clip, format_size

MOST_TEXT = 1 << 30
"""Bytes of a file that is read line by line, or as a source."""

MOST_INPUT = 2 << 30
"""Bytes that a program may be given to read, as many as a message has; larger ones it opens itself."""

MOST_PASSWORD = 64 << 10
"""Bytes of a line with a password, which is shorter by far."""

_PIECE = 1 << 20


def content(path: str, most: int = MOST_TEXT, check: Callable[[os.stat_result], None] | None = None) -> bytes:
    """What is in an ordinary file, or comes out of a pipe; "-" is our own input.

    check: is shown whose file it is, and raises what it likes.  Raises click.ClickException, with a sentence.
    """
    try:
        if path == "-":
            if sys.stdin is None:  # the shell has closed it
                return b""
            return _read(sys.stdin.buffer, path, most, None)
        with open(path, "rb") as file:
            return _read(file, path, most, check)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise click.ClickException(f"{_called(path)} cannot be read: {why}") from error


def _read(file: BinaryIO, path: str, most: int, check: Callable[[os.stat_result], None] | None) -> bytes:
    status = _status(file)
    if status is not None:
        if check is not None:
            check(status)
        if not _ends(status, file):
            raise click.ClickException(f"{_called(path)} is a device, which has no end; name a file or a pipe")
    pieces, size = [], 0
    while piece := file.read(asked := min(_PIECE, most + 1 - size)):
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise click.ClickException(f"{_called(path)} is longer than {format_size(most)}, and no more is read")
        if len(piece) < asked:  # its end; a terminal would ask for another Ctrl-D
            break
    return b"".join(pieces)


def _status(file: BinaryIO) -> os.stat_result | None:
    """None of what is no file of the system, as a test's input."""
    try:
        return os.fstat(file.fileno())
    except io.UnsupportedOperation:
        return None


def _ends(status: os.stat_result, file: BinaryIO) -> bool:
    """Whether it can come to an end: of the devices only a terminal and /dev/null do."""
    if stat.S_ISCHR(status.st_mode):
        return file.isatty() or status.st_rdev == os.stat(os.devnull).st_rdev
    return not stat.S_ISBLK(status.st_mode)


def _called(path: str) -> str:
    return "our input" if path == "-" else path if len(path) <= 200 and path.isprintable() else clip(path, 200)


def lines(data: bytes, encoding: str = "utf-8", errors: str = "surrogateescape") -> Iterator[str]:
    """Its lines with their ends, as Python's text files have them.  Raises ValueError for more than a job has tasks."""
    number = 0
    for line in io.TextIOWrapper(io.BytesIO(data), encoding, errors):
        number += bool(line.strip())
        if number > MOST_TASKS:
            raise ValueError(f"there are more than {MOST_TASKS:,} lines, and a job takes no more tasks; part the file")
        yield line


def source(path: str) -> str:
    """The text of a Python file.  Raises SyntaxError or ValueError for what is none, click.ClickException else."""
    data = content(path)
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return io.TextIOWrapper(io.BytesIO(data), encoding).read()


class GivenFile(click.ParamType):  # type: ignore[type-arg] # generic only in newer releases
    """An argument that is the name of a file, or -: its bytes; most: how many there may be."""

    name = "file"

    def __init__(self, most: int = MOST_TEXT) -> None:
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """Read it; what cannot be read is a slip."""
        if isinstance(value, bytes):
            return value
        try:
            return content(str(value), self._most)
        except click.ClickException as error:
            self.fail(error.format_message(), param, ctx)
