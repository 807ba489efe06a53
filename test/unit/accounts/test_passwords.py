"""Passwords at seats."""

from __future__ import annotations

from unittest import mock

import argon2
import pytest

from asyncluster.accounts import passwords
from asyncluster.accounts.passwords import check_hash, hash_password, is_password

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
    with mock.patch("argon2._password_hasher.verify_secret", wraps=argon2.low_level.verify_secret) as work:
        assert not is_password(kept if user == "known" else user, password)
    assert work.call_count == 1
    assert argon2.extract_parameters(passwords.decoy()) == argon2.extract_parameters(kept)


@pytest.mark.parametrize(
    ("password", "why"), [("short", "at least 12"), ("x" * 1025, "at most 1024"), ("\0" * 20, "control")]
)
def test_what_cannot_be_a_password_is_refused(password: str, why: str) -> None:
    """With a sentence, and never with the password in it."""
    with pytest.raises(ValueError, match=why) as told:
        hash_password(password)
    assert password not in str(told.value)


@pytest.mark.parametrize("text", ["", "x", "$argon2id$v=19$m=9999999,t=3,p=1$c29tZXNhbHQ$c29tZXNhbHQ"])
def test_what_is_no_hash_is_not_kept(text: str, kept: str) -> None:
    """Nor one that would take all memory to check."""
    assert check_hash(kept) == kept
    with pytest.raises(ValueError):
        check_hash(text)
