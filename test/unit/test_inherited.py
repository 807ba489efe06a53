"""Names that several floors have to agree on."""

from __future__ import annotations

import os

from asyncluster import inherited
from asyncluster.people import user_name
from asyncluster.wire import doors


def test_the_master_looks_where_its_starter_left_the_port() -> None:
    """Another name, and it would open a port of its own, which no node knows."""
    assert doors.LISTEN == inherited.LISTEN_FD


def test_user_without_a_name() -> None:
    """In a container there may be none."""
    assert user_name(4_000_000_000) == "4000000000"
    assert user_name(0) == "root"
    assert user_name(os.getuid())
