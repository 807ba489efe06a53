"""Names and limits of accounts."""

from __future__ import annotations

import pytest

from asyncluster.model.account import Account, check_name


@pytest.mark.parametrize("name", ["jane", "j.doe-2", "jane@example.org", "EXAMPLE\\jane", "müller", "x" * 64])
def test_names_that_people_have(name: str) -> None:
    """They stay as they are."""
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a\nb",
        "a\tb",
        "a b",
        "a\0",
        'a"b',
        "O'Neill",
        "a;b",
        "x" * 65,
        "x" * 30_000,
        "-rf",
        "=1+1",
        "@here",
        "ﬁne",
        "a\u202eb",
        7,
    ],
)
def test_names_that_nobody_has(name: object) -> None:
    """They are refused, with a message of one short line."""
    with pytest.raises(ValueError) as told:
        check_name(name)
    assert len(str(told.value)) < 250
    assert str(told.value).isprintable()


@pytest.mark.parametrize(
    "limit", [{"daily": -1}, {"weekly": -3600}, {"slots": -1}, {"queued": 2**40}, {"daily": 10**9}]
)
def test_a_limit_that_makes_no_sense_is_refused(limit: dict[str, int]) -> None:
    """A negative quota above all."""
    with pytest.raises(ValueError, match="must lie between 0 and"):
        Account("jane", **limit)


def test_hashes_are_not_shown() -> None:
    """A log may have the whole account."""
    assert "secret" not in repr(Account("jane", argon2="secret", scram="secret"))
