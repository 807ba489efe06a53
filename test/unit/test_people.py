"""What the machine's book of users says."""

from __future__ import annotations

import os

from asyncluster.people import user_name


def test_user_without_a_name() -> None:
    """In a container there may be none."""
    assert user_name(4_000_000_000) == "4000000000"
    assert user_name(0) == "root"
    assert user_name(os.getuid())
