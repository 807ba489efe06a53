"""Files that somebody names: what has no end is refused, and what is too long is not read to its end."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from asyncluster.cli import given
from asyncluster.cli.main import main
from asyncluster.model.messages import MAX_PAYLOAD


def test_ordinary_files_and_what_is_empty(tmp_path: Path) -> None:
    """A file is read whole; /dev/null, which programs are given often, is empty."""
    path = tmp_path / "file"
    path.write_bytes(b"one\ntwo")
    assert given.content(str(path)) == b"one\ntwo"
    assert given.content(os.devnull) == b""


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    """What a shell makes of <(program) is a pipe."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(b"word"))
    writer.start()
    assert given.content(str(path)) == b"word"
    writer.join(60)


@pytest.mark.parametrize("device", ["/dev/full", "/dev/zero", "/dev/urandom"])
def test_devices_without_an_end_are_refused(device: str) -> None:
    """They would be read until no memory is left."""
    with pytest.raises(click.ClickException, match="is a device"):
        given.content(device)


@pytest.mark.parametrize(
    "words",
    [
        ("user", "import", "/dev/full"),
        ("submit", "--each-line", "/dev/urandom", "--", "true"),
        ("submit", "--stdin", "/dev/zero", "--", "true"),
        ("exec", "--stdin", "/dev/zero", "--", "true"),
        ("run", "--map", "/dev/zero", __file__, "main"),
        ("run", "/dev/zero", "main"),
        ("--master", "localhost:1", "--password-file", "/dev/zero", "nodes"),
    ],
)
def test_no_command_reads_without_end(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each place where a file can be named; nothing is asked of a master before."""
    monkeypatch.setattr("asyncluster.cli.submit._hand_in", _hand_in_only)
    found = CliRunner().invoke(main, words)
    assert found.exit_code in (1, 2)
    assert "device" in found.output or "others can read" in found.output


def _hand_in_only(place: object, program: object, tasks: object, options: dict[str, object]) -> int:
    given.content(str(options["stdin"]))
    return 1


def test_what_is_too_long_is_not_read_on(tmp_path: Path) -> None:
    """One byte above the limit is enough to know."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 11)
    assert len(given.content(str(path), 11)) == 11
    with pytest.raises(click.ClickException, match="longer than 10 B"):
        given.content(str(path), 10)


def test_lines_are_counted_while_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank ones are none."""
    monkeypatch.setattr(given, "MOST_TASKS", 2)
    assert list(given.lines(b"a\n\n\nb")) == ["a\n", "\n", "\n", "b"]
    with pytest.raises(ValueError, match="more than 2 lines"):
        list(given.lines(b"a\nb\nc"))


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    """A folder, nothing, and a name that no file has."""
    for path in (str(tmp_path), str(tmp_path / "none"), "a\0b"):
        with pytest.raises(click.ClickException, match="cannot be read"):
            given.content(path)


def test_one_end_is_enough() -> None:
    """A terminal goes on after it, and would want Ctrl-D again."""

    class Terminal(io.BytesIO):
        ended = False

        def read(self, size: int | None = -1, /) -> bytes:
            assert not self.ended
            data = super().read(size)
            self.ended = len(data) < (size or 0)
            return data

    assert given._read(Terminal(b"word"), "-", given.MOST_TEXT, None) == b"word"
    long = b"x" * (given._PIECE + 1)
    assert given._read(Terminal(long), "-", given.MOST_TEXT, None) == long


def test_a_line_for_each_task_of_the_largest_job_is_read() -> None:
    """With names of files, which have some hundred characters."""
    assert given.MOST_TASKS * 1000 < given.MOST_TEXT
    assert given.MOST_INPUT == MAX_PAYLOAD
