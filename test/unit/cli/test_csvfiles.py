"""Accounts as CSV."""

from __future__ import annotations

import io
from typing import Any

import pytest

from asyncluster.cli.csvfiles import hours, read_accounts, write_accounts
from asyncluster.wire.accounts import make_verifier

JANE = {
    "name": "jane",
    "enabled": True,
    "restricted": False,
    "daily": 14400,
    "weekly": None,
    "slots": 8,
    "queued": None,
}


ARGON2 = "$argon2id$v=19$m=8192,t=3,p=1$R1NgeTGmc5Xfaq6KrNG2ow$Si1j1Hq/lAkd/7v8ka/CPLherVCdhaR308yW8tJVTtE"
SCRAM = make_verifier("jane", "client", "a long password", iterations=4096).to_line()


def read(text: str) -> list[dict[str, Any]]:
    return read_accounts(io.StringIO(text))


def test_what_is_written_is_read_again() -> None:
    """With hashes where there are some; a name with a formula's beginning, or a comma in a hash, does no harm."""
    with_hashes = JANE | {"argon2": ARGON2, "scram": SCRAM}
    assert read(write_accounts([JANE])) == [JANE]
    assert "argon2" not in write_accounts([JANE])
    assert read(write_accounts([with_hashes])) == [with_hashes]


def test_empty_cells_say_nothing() -> None:
    """So that a file changes one thing only; columns may come in any order."""
    assert read("daily,name,enabled\n4,jane,\n,bob,no\n") == [
        {"daily": 14400, "name": "jane"},
        {"name": "bob", "enabled": False},
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "first line has to name columns"),
        ("name,password\njane,x\n", "first line has to name columns"),
        ("name,nam\njane,x\n", '"nam" is none of them'),
        ("name;enabled\njane;yes\n", 'parted by commas: .*"name;enabled" is none'),
        ("name,daily,daily\njane,1,2\n", "names the column daily twice"),
        ("name,enabled\njane,maybe\n", "line 2: enabled"),
        ("name,enabled\njane,yes\nbob,yes\njane,no\n", 'line 4: "jane" is in line 2 already'),
        ("name,enabled\njane,yes\n,yes\n", "line 3: a user name"),
        ("name,daily\njane,-4\n", "line 2: .* no number of hours"),
        ("name,daily\njane,176h\n", "line 2: .* no limit say none"),
        ("name,weekly\njane,200h\n", "line 2: 200 hours are more than the 175 that an account"),
        ("name,slots\njane,-1\n", 'line 2: "-1" is no limit; write a number from 0'),
        ("name,slots,queued\njane,0,many\n", 'line 2: "many" is no limit'),
        ("name,queued\njane,99999999999\n", "is no limit"),
        ("name\njane,yes\n", "line 2: it has more cells"),
        ("name,argon2\njane,secret\n", "line 2: this is no Argon2id hash"),
        ("name,scram\nbob,\njane,garbage\n", "line 3: not a line of the form"),
        (f"name,scram\nbob,{SCRAM}\n", "line 2: the verifier is not that of bob"),
        ('name\n"ja\nne"\n', "line ends"),
        ('name\n"jane\n', "no CSV file"),
        ("name\n" + "x" * 30_000 + "\n", "30000 characters"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_line(text: str, why: str) -> None:
    """In one short sentence."""
    with pytest.raises(ValueError, match=why) as told:
        read(text)
    assert len(str(told.value)) < 250


@pytest.mark.parametrize(("text", "seconds"), [("4", 14400), ("4h", 14400), ("1.5", 5400), ("90m", 5400), ("0", 0)])
def test_a_bare_number_means_hours(text: str, seconds: int) -> None:
    """Whoever types --daily 4 does not mean seconds."""
    assert hours(text, "daily") == hours(text, "weekly") == seconds


def test_what_an_earlier_release_took_is_read_again() -> None:
    """`export` writes it; who sets a limit today is told that it limits nothing."""
    rows = [JANE | {"daily": 30 * 3600, "weekly": 175 * 3600}]
    assert read(write_accounts(rows)) == rows
    for text, what in (("30h", "daily"), ("175h", "weekly")):
        with pytest.raises(ValueError, match="for no limit say none"):
            hours(text, what)
