"""What this machine's book of users says of a user's number."""

from __future__ import annotations

import pwd


def user_name(uid: int) -> str:
    """The name of that user; the number where the book has none, as in many containers."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
