"""Passwords of people at seats: hashed with Argon2id, checked in the same time whoever is asked for.

Slow on purpose: call it in a thread.  It lets go of the interpreter meanwhile.  libsodium does the work (by PyNaCl): in
half the time of the reference implementation, which is an attacker's loss who has that speed anyhow.
"""

from __future__ import annotations

import re
from functools import cache

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id
from scramp import ScramException
from scramp.utils import saslprep

SHORTEST = 12
LONGEST = 1024
"""Characters."""

TIME_COST = 5
MEMORY_KIB = 7 * 1024
"""On OWASP's list for Argon2id (with 9 MiB and 4, 12 and 3, 19 and 2, 46 and 1, all worth the same); the one for which
two hundred people who log in at once wait least."""

MOST_MEMORY_KIB = 1024 * 1024
MOST_TIME_COST = 100
"""A hash that asks for more was made by nobody who wants to log in."""

_HASH = re.compile(r"\$argon2id\$v=19\$m=(\d{1,9}),t=(\d{1,9}),p=(\d{1,3})\$[A-Za-z0-9+/]{11,64}\$[A-Za-z0-9+/]{22,86}")
LONGEST_HASH = 126
"""Characters."""


@cache
def decoy() -> str:
    """A hash that is checked where there is none."""
    return _hashed("nobody has this password")


def hash_password(password: str) -> str:
    """What is kept of it.  Raises ValueError, which says what is wrong with a password that cannot be one."""
    if len(password) < SHORTEST:
        raise ValueError(
            f"a password has at least {SHORTEST} characters; let a machine make it: "
            "python3 -c 'import secrets; print(secrets.token_urlsafe(16))'"
        )
    clean = _prepared(password)
    if clean is None:
        raise ValueError(f"a password has at most {LONGEST} characters, and no control characters")
    return _hashed(clean)


def is_password(kept: str | None, password: str) -> bool:
    """Whether it is the one; kept: what `hash_password` gave, None or "" for a user that is not known or has none.

    The same work in each case, as long as `kept` is not `outdated`.
    """
    clean, none = _prepared(password), decoy()
    try:
        argon2id.verify((kept or none).encode("ascii"), (clean or "").encode())
    except (CryptoError, UnicodeEncodeError):
        return False
    return bool(kept) and clean is not None


def outdated(kept: str) -> bool:
    """Whether that hash was made with other costs than those of today."""
    return _costs(kept) != (MEMORY_KIB, TIME_COST)


def renewed(password: str) -> str:
    """What is kept from now on of a password that was found right, however short it is."""
    return _hashed(_prepared(password) or "")


def check_hash(kept: str) -> str:
    """What somebody wants to have kept; raises ValueError for what is no hash of ours, or would take ages to check."""
    costs = _costs(kept)
    if costs is None:
        raise ValueError("this is no Argon2id hash")
    if costs[0] > MOST_MEMORY_KIB or costs[1] > MOST_TIME_COST:
        raise ValueError("this hash asks for more memory or time than is reasonable")
    return kept


def _hashed(clean: str) -> str:
    return argon2id.str(clean.encode(), opslimit=TIME_COST, memlimit=MEMORY_KIB * 1024).decode("ascii")


def _costs(kept: str) -> tuple[int, int] | None:
    found = _HASH.fullmatch(kept)
    if found is None or len(kept) > LONGEST_HASH:
        return None
    return int(found[1]), int(found[2])


def _prepared(password: str) -> str | None:
    """One password typed on two keyboards is one password; None for what cannot be one."""
    if not 0 < len(password) <= LONGEST:
        return None
    try:
        clean: str = saslprep(password)
    except ScramException:
        return None
    return clean or None
