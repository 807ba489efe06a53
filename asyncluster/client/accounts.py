"""What administrators ask and do about accounts, openings and usage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asyncluster.client.attach import Visitor
from asyncluster.client.place import RECONNECT
from asyncluster.errors import RefusedError
from asyncluster.model.account import EVERYBODY, Opening
from asyncluster.model.pages import from_pages

PAGE = 100
"""Accounts of one request."""


class Accounts(Visitor):
    """The accounts of a master; a context manager.

    Every method raises RefusedError for who is no administrator, for a user who is not there, for what makes no sense,
    and where the master's database is away.
    """

    def __init__(self, *, reconnect: float = RECONNECT, **where: Any) -> None:
        super().__init__(0, reconnect, where)

    def all(self) -> Iterator[dict[str, Any]]:
        """All accounts by name: flags, limits in seconds, whether there is a password, the session that is on."""
        after = ""
        while page := self._pages("list", after):
            yield from page
            after = page[-1]["name"]

    def show(self, name: str) -> dict[str, Any]:
        """One account, the openings that count for it, and what a login would be told now."""
        return dict(self.ask("accounts", "show", name))

    def hashes(self, name: str) -> dict[str, str]:
        """What is kept of a password, to be imported elsewhere; that somebody asked is written down."""
        return dict(self.ask("accounts", "hashes", name))

    def add(self, name: str, password: str | None = None, **given: object) -> None:
        """Make an account, disabled and restricted unless `enabled` and `restricted` say otherwise.

        Raises ValueError for what cannot be a password.
        """
        self.ask("accounts", "add", [{"name": name, **given, **kept_of(name, password)}])

    def import_all(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Make accounts, or change those that are there by what a row says; how many.

        Goes by pages of a hundred, each of which is done or not.  Where one is refused, RefusedError tells how many
        were done before it.
        """
        done = 0
        for start in range(0, len(rows), PAGE):
            try:
                done += self.ask("accounts", "import", list(map(dict, rows[start : start + PAGE])))
            except RefusedError as error:
                what = f"{done} accounts are imported, the others are not" if done else "nothing is imported"
                raise RefusedError(f"{what}: {error}") from error
        return done

    def set(self, name: str, what: str, **changes: object) -> dict[str, Any]:
        """Change `enabled`, `restricted`, or a limit (`daily`, `weekly`: seconds, None for none); gives it as it is.

        what: what the audit is to call it.
        """
        return dict(self.ask("accounts", "set", name, what, changes))

    def password(self, name: str, password: str) -> None:
        """Give a new password.  Raises ValueError for what cannot be one."""
        kept = kept_of(name, password)
        self.ask("accounts", "password", name, kept["argon2"], kept["scram"])

    def message(self, name: str, text: str) -> None:
        """Show a message at that user's seat."""
        self.ask("accounts", "message", name, text)

    def kick(self, name: str, text: str = "") -> None:
        """End that user's session, showing a text."""
        self.ask("accounts", "kick", name, text)

    def remove(self, name: str) -> None:
        """Forget an account and its openings; what it used stays in the book."""
        self.ask("accounts", "remove", name)

    def openings(self) -> list[Opening]:
        """All, of everybody and of single users."""
        return [Opening(**each) for each in self._pages("openings")]

    def openings_of(self, name: str) -> list[Opening]:
        """Those that hold for that user: his own where he has some, else everybody's."""
        return [Opening(**each) for each in self.show(name)["openings"]]

    def today(self) -> str:
        """The day that it is in the site's time zone, such as "2026-11-23"."""
        return str(self.ask("accounts", "today"))

    def add_openings(self, some: Sequence[Opening]) -> None:
        """Add openings."""
        self.ask("accounts", "opening add", [_plain(each) for each in some])

    def remove_openings(self, some: Sequence[Opening]) -> int:
        """Take openings away; how many were there."""
        return int(self.ask("accounts", "opening remove", [_plain(each) for each in some]))

    def usage(self, axis: str, first: str, last: str) -> list[dict[str, Any]]:
        """Sums by "user", "day", "node" or "job", of days like "2026-11-23", both included; the largest first."""
        return self._pages("usage", axis, first, last)

    def audit(self, most: int = 100) -> list[dict[str, Any]]:
        """What administrators did, the latest first; `at`: seconds since the epoch, `when`: in the site's time."""
        return self._pages("audit", most)

    def _pages(self, *question: object) -> list[Any]:
        return list(from_pages(self.ask("accounts", *question)))


def kept_of(name: str, password: str | None) -> dict[str, str]:
    """What the master is to keep of a password, made here, so that it does not travel.  Slow.  Raises ValueError."""
    if password is None:
        return {}
    from asyncluster.accounts.passwords import hash_password
    from asyncluster.errors import ProofError
    from asyncluster.wire.accounts import make_verifier

    try:
        return {"argon2": hash_password(password), "scram": make_verifier(name, "client", password).to_line()}
    except ProofError as error:
        raise ValueError(str(error)) from error


def _plain(opening: Opening) -> list[object]:
    return [opening.user or EVERYBODY, opening.weekday, opening.start, opening.end]
