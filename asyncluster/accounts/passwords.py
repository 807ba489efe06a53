"""Passwords of people at seats: hashed with Argon2id, checked in the same time whoever is asked for.

Slow on purpose (about 20 ms a password and 8 MiB): call it in a thread.  It lets go of the interpreter meanwhile.
"""

from __future__ import annotations

from functools import cache

import argon2
from argon2.exceptions import InvalidHashError, VerificationError
from scramp import ScramException
from scramp.utils import saslprep

SHORTEST = 12
LONGEST = 1024
"""Characters."""

TIME_COST = 3
MEMORY_KIB = 8 * 1024
"""As much as lets two hundred people log in at once on two cores within three seconds: two thirds of the least on
OWASP's sheet.  Who has the database has the SCRAM verifiers too, and finds these easier to try passwords on."""

MOST_MEMORY_KIB = 1024 * 1024
MOST_TIME_COST = 100
"""A hash that asks for more was made by nobody who wants to log in."""

_HASHER = argon2.PasswordHasher(time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=1)


@cache
def decoy() -> str:
    """A hash that is checked where there is none."""
    return _HASHER.hash("nobody has this password")


def hash_password(password: str) -> str:
    """What is kept of it.  Raises ValueError, which says what is wrong with a password that cannot be one."""
    if len(password) < SHORTEST:
        raise ValueError(f"a password has at least {SHORTEST} characters; let a machine make it")
    clean = _prepared(password)
    if clean is None:
        raise ValueError(f"a password has at most {LONGEST} characters, and no control characters")
    return _HASHER.hash(clean)


def is_password(kept: str | None, password: str) -> bool:
    """Whether it is the one; kept: what `hash_password` gave, None or "" for a user that is not known or has none.

    The same work in each case.
    """
    clean = _prepared(password)
    try:
        _HASHER.verify(kept or decoy(), clean or "")
    except VerificationError:
        return False
    return bool(kept) and clean is not None


def check_hash(kept: str) -> str:
    """What somebody wants to have kept; raises ValueError for what is no hash of ours, or would take ages to check."""
    try:
        parameters = argon2.extract_parameters(kept)
    except InvalidHashError:
        raise ValueError("this is no Argon2 hash") from None
    if parameters.memory_cost > MOST_MEMORY_KIB or parameters.time_cost > MOST_TIME_COST:
        raise ValueError("this hash asks for more memory or time than is reasonable")
    return kept


def _prepared(password: str) -> str | None:
    """One password typed on two keyboards is one password; None for what cannot be one."""
    if not 0 < len(password) <= LONGEST:
        return None
    try:
        clean: str = saslprep(password)
    except ScramException:
        return None
    return clean or None
