"""Passwords at seats."""

from __future__ import annotations

from unittest import mock

import pytest
from nacl.pwhash import argon2id

from asyncluster.accounts import passwords
from asyncluster.accounts.passwords import check_hash, hash_password, is_password, outdated, renewed

GOOD = "correct horse battery"


@pytest.fixture(scope="module")
def kept() -> str:
    return hash_password(GOOD)


def test_the_password_is_known_again(kept: str) -> None:
    """And no other; the hash is salted."""
    assert is_password(kept, GOOD)
    assert not is_password(kept, GOOD + "x")
    assert kept.startswith("$argon2id$")
    assert hash_password(GOOD) != kept
    assert GOOD not in kept


def test_typed_on_another_keyboard_it_is_the_same(kept: str) -> None:
    """A composed letter or its parts, a full-width one or not."""
    assert is_password(hash_password("Übermut tut selten gut"), "U\u0308bermut tut selten gut")


@pytest.mark.parametrize("user", [None, "", "known"])
@pytest.mark.parametrize("password", [GOOD + "x", "", "\0" * 20, "x" * 30_000])
def test_who_is_not_known_costs_the_same_work(user: str | None, password: str, kept: str) -> None:
    """Exactly one hash of the same parameters is computed, and the answer is no."""
    passwords.decoy()  # made once
    with mock.patch("asyncluster.accounts.passwords.argon2id.verify", wraps=argon2id.verify) as work:
        assert not is_password(kept if user == "known" else user, password)
    assert work.call_count == 1
    assert len(work.call_args.args[0]) == len(kept)
    assert not outdated(passwords.decoy())


@pytest.mark.parametrize(
    ("password", "why"), [("short", "at least 12"), ("x" * 1025, "at most 1024"), ("\0" * 20, "control")]
)
def test_what_cannot_be_a_password_is_refused(password: str, why: str) -> None:
    """With a sentence, and never with the password in it."""
    with pytest.raises(ValueError, match=why) as told:
        hash_password(password)
    assert password not in str(told.value)


def test_costs_are_on_owasps_list(kept: str) -> None:
    """One of the pairs that it calls worth the same; the hash says so."""
    assert (passwords.MEMORY_KIB, passwords.TIME_COST) in {(47104, 1), (19456, 2), (12288, 3), (9216, 4), (7168, 5)}
    assert kept.startswith(f"$argon2id$v=19$m={passwords.MEMORY_KIB},t={passwords.TIME_COST},p=1$")


@pytest.mark.parametrize(
    "made",
    [  # by argon2-cffi: with the costs of an earlier release, and with its own
        "$argon2id$v=19$m=8192,t=3,p=1$R1NgeTGmc5Xfaq6KrNG2ow$Si1j1Hq/lAkd/7v8ka/CPLherVCdhaR308yW8tJVTtE",
        "$argon2id$v=19$m=65536,t=3,p=4$omsZzed2q2LT7FKq0gF9gw$56b/tvCfwGSTPY1Y9Gh+RDQKQpybqbYwtruVt9B81Bw",
    ],
)
def test_a_hash_of_other_costs(made: str) -> None:
    """It is good for a login, and is made anew then, also for a password that is too short by now."""
    assert outdated(check_hash(made))
    assert is_password(made, "short")
    assert not is_password(made, "shorts")
    fresh = renewed("short")
    assert is_password(fresh, "short")
    assert not outdated(fresh)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "$argon2id$v=19$m=9999999,t=3,p=1$c29tZXNhbHQ$c29tZXNhbHQ",
        "$argon2i$v=19$m=64,t=3,p=1$c29tZXNhbHQ$" + "c" * 22,
        "$argon2id$v=19$m=99999999,t=3,p=1$c29tZXNhbHRzb21l$" + "c" * 43,
        "$argon2id$v=19$m=64,t=3,p=1$c29tZXNhbHQ$" + "c" * 120,
    ],
)
def test_what_is_no_hash_is_not_kept(text: str, kept: str) -> None:
    """Nor one that would take all memory to check."""
    assert check_hash(kept) == kept
    with pytest.raises(ValueError):
        check_hash(text)
