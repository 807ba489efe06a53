"""Accounts of a master of an earlier release."""

from __future__ import annotations

from datetime import date

import pytest

from asyncluster.client.accounts import Accounts
from asyncluster.errors import RefusedError


class Earlier(Accounts):
    """Asks nobody: answers as that one does."""

    def __init__(self) -> None:
        pass

    def ask(self, verb: str, *args: object) -> object:
        """Lists are lists."""
        if args[0] == "list":
            return [{"name": "jane"}] if not args[1] else []
        if args[0] == "usage":
            return [{"key": "jane"}]
        raise RefusedError("there is no such request about accounts")


def test_an_earlier_master_is_understood() -> None:
    """What it does not know is known here; the rest comes as it is."""
    accounts = Earlier()
    first = date.today()
    assert first.isoformat() <= accounts.today() <= date.today().isoformat()
    assert list(accounts.all()) == [{"name": "jane"}]
    assert accounts.usage("user", "2026-01-01", "2026-01-02") == [{"key": "jane"}]
    with pytest.raises(RefusedError):
        accounts.show("jane")
