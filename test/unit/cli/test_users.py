"""`asyncluster user`: where a password comes from, what is refused before anything is asked, and the list of verbs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from asyncluster.cli import users
from asyncluster.cli.connect import Place

PASSWORD = "a password that is long enough"
SHOWN = {
    "name": "jane", "enabled": False, "restricted": True, "daily": None, "weekly": None, "slots": None,
    "queued": None, "openings": [], "password": True, "session": None, "refused": "", "granted": None, "tasks_wait": "",
}  # fmt: skip


class FakeAccounts:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.passwords: dict[str, str] = {}
        self.rows: list[Mapping[str, Any]] = []

    def __enter__(self) -> FakeAccounts:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def add(self, name: str, password: str, **_limits: object) -> None:
        self.passwords[name] = password

    def password(self, name: str, password: str) -> None:
        self.passwords[name] = password

    def show(self, name: str) -> Mapping[str, Any]:
        return SHOWN | {"name": name}

    def import_all(self, rows: Iterable[Mapping[str, Any]]) -> int:
        self.rows = list(rows)
        return len(self.rows)


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> FakeAccounts:
    fake = FakeAccounts()
    monkeypatch.setattr(users, "open_accounts", lambda _place: fake)
    monkeypatch.delenv("ASYNCLUSTER_PASSWORD", raising=False)
    return fake


def run(*words: str, typed: str | bytes = "", **environ: str) -> Result:
    return CliRunner().invoke(users.user, words, input=typed, env=environ, obj=Place())


@pytest.mark.parametrize("verb", ["add", "password"])
def test_where_a_password_comes_from(accounts: FakeAccounts, verb: str) -> None:
    """The option, the environment, and without a terminal the first line of stdin, once."""
    assert run(verb, "jane", "--password", "one" + PASSWORD).exit_code == 0
    assert run(verb, "bob", ASYNCLUSTER_PASSWORD="two" + PASSWORD).exit_code == 0
    assert run(verb, "eve", typed=f" three {PASSWORD} \r\nsomething else\n").exit_code == 0
    assert accounts.passwords == {"jane": "one" + PASSWORD, "bob": "two" + PASSWORD, "eve": f" three {PASSWORD} "}


@pytest.mark.parametrize("verb", ["add", "password"])
@pytest.mark.parametrize(("typed", "why"), [("", "set $ASYNCLUSTER_PASSWORD"), ("\n", "stdin"), (b"\xff\n", "UTF-8")])
def test_no_terminal_and_no_password(accounts: FakeAccounts, verb: str, typed: str | bytes, why: str) -> None:
    """Is told with what to do, and without a warning of Python's."""
    told = run(verb, "jane", typed=typed)
    assert (told.exit_code, why in told.output, "Warning" in told.output) == (2, True, False), told.output
    assert accounts.passwords == {}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("x" * 30_000, "at most 64 are allowed"),
        ("ja\nne", "line ends"),
        ("ja'ne\"", "letters, digits and . _ - @ are safe"),
        ("", "at least one character"),
    ],
)
def test_a_name_that_cannot_be_is_told_as_csv_tells_it(accounts: FakeAccounts, name: str, why: str) -> None:
    """In one short line, before the master is asked."""
    told = run("add", name, "--password", PASSWORD)
    assert (told.exit_code, why in told.output, told.output.count("\n")) == (1, True, 1), told.output
    assert len(told.output) < 250
    assert accounts.passwords == {}


def test_a_file_as_spreadsheets_write_it(accounts: FakeAccounts) -> None:
    """With the mark that some put at its beginning."""
    assert run("import", "-", typed=b"\xef\xbb\xbfname,enabled\r\njane,yes\r\n").output == "1 account is imported.\n"
    assert accounts.rows == [{"name": "jane", "enabled": True}]
    assert "in UTF-8; save it as that" in run("import", "-", typed="name\njürgen\n".encode("latin-1")).output


@pytest.mark.parametrize(
    ("option", "hours", "why"),
    [("--daily", "30h", "30 hours are more than a day has, 24"), ("--weekly", "200h", "more than a week has, 168")],
)
def test_more_hours_than_there_are(accounts: FakeAccounts, option: str, hours: str, why: str) -> None:
    """Are a slip of the finger: no limit has a word of its own."""
    told = run("add", "jane", option, hours, "--password", PASSWORD)
    assert (told.exit_code, why in told.output, "for no limit say none" in told.output) == (2, True, True), told.output
    assert run("add", "jane", option, "none", "--password", PASSWORD).exit_code == 0


def test_the_list_of_verbs_is_whole() -> None:
    """No line of it is cut off."""
    assert "..." not in run("--help").output.partition("Commands:")[2]


def test_a_new_account_that_ends_tasks_says_so(accounts: FakeAccounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of who has worked without one, where tasks count; and what lets them go on."""
    assert "warning" not in run("add", "jane", ASYNCLUSTER_PASSWORD=PASSWORD).stderr
    waiting = SHOWN | {"tasks_wait": "the account is disabled"}
    monkeypatch.setattr(accounts, "show", lambda name: waiting | {"name": name})
    found = run("add", "jane", ASYNCLUSTER_PASSWORD=PASSWORD)
    assert found.exit_code == 0
    assert "warning: tasks of jane that run now end" in found.stderr
    assert "`asyncluster user enable jane`" in found.stderr


def test_an_account_is_not_taken_away_by_a_slip(accounts: FakeAccounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person at a terminal is asked; a script is not, nor who says --yes."""
    gone: list[str] = []
    monkeypatch.setattr(accounts, "remove", gone.append, raising=False)
    assert run("remove", "jane").exit_code == 0
    asked: list[str] = []

    def confirm(text: str, abort: bool) -> None:
        asked.append(text)
        raise click.Abort

    monkeypatch.setattr(click, "confirm", confirm)
    monkeypatch.setattr("asyncluster.cli.users._somebody_types", lambda: True)
    assert run("remove", "bob").exit_code == 1
    assert "bob" in asked[0]
    assert run("remove", "ann", "--yes").exit_code == 0
    assert gone == ["jane", "ann"]
