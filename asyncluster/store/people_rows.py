"""Accounts, openings, sessions and audit as statements.

Works on a connection inside a transaction of the caller's.  What must not be done twice is written so that doing it
again changes nothing, see each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import sqlalchemy as sa

from asyncluster.model.account import EVERYBODY, Account, Audit, Opening, Session, Total
from asyncluster.store.sums_rows import add_totals
from asyncluster.store.tables import audit, openings, sessions, users

MOST_TOLD = 10_000
"""Rows of the audit that are given at once."""


_ONE_USER = sa.select(users).where(users.c.name == sa.bindparam("one"))
_RECENT = sa.select(sessions.c.begun, sessions.c.ended).where(
    sessions.c.user == sa.bindparam("one"), sessions.c.ended > sa.bindparam("since")
)
_IS_THERE = sa.select(sessions.c.number).where(sessions.c.number == sa.bindparam("one"))
_NEW_SESSION = sa.insert(sessions)
"""Of a login; made once, since to make them takes longer than to run them."""


def all_users(connection: sa.Connection, after: str = "", most: int | None = None) -> list[Account]:
    """By name, those behind `after`, so many at most."""
    theirs = sa.select(users).where(users.c.name > after).order_by(users.c.name).limit(most)
    return [_account(row) for row in connection.execute(theirs).mappings()]


def some_users(connection: sa.Connection, names: Sequence[str]) -> list[Account]:
    """Those of these names that there are."""
    return [_account(row) for row in connection.execute(sa.select(users).where(users.c.name.in_(names))).mappings()]


def find_user(connection: sa.Connection, name: str) -> Account | None:
    """The account of that name."""
    row = connection.execute(_ONE_USER, {"one": name}).mappings().first()
    return None if row is None else _account(row)


def put_users(connection: sa.Connection, accounts: Sequence[Account]) -> None:
    """Keep these; others of the same names are replaced."""
    if accounts:
        connection.execute(
            sa.delete(users).where(users.c.name == sa.bindparam("one")), [{"one": each.name} for each in accounts]
        )
        connection.execute(sa.insert(users), [attrs.asdict(each) for each in accounts])


def renew_hash(connection: sa.Connection, name: str, old: str, new: str) -> None:
    """Keep another hash of the same password; nothing where the password was changed meanwhile."""
    connection.execute(sa.update(users).where(users.c.name == name, users.c.argon2 == old).values(argon2=new))


def drop_user(connection: sa.Connection, name: str) -> bool:
    """Forget an account and its openings; its sessions and usage stay in the book.  Whether there was one."""
    connection.execute(sa.delete(openings).where(openings.c.user == name, openings.c.user != EVERYBODY))
    return bool(connection.execute(sa.delete(users).where(users.c.name == name)).rowcount)


def all_openings(connection: sa.Connection) -> list[Opening]:
    """By user, weekday and begin."""
    columns = (openings.c.user, openings.c.weekday, openings.c.start, openings.c.end)
    return [Opening(*row) for row in connection.execute(sa.select(*columns).order_by(*columns))]


def put_openings(connection: sa.Connection, some: Iterable[Opening]) -> None:
    """Add these; those that are there already stay as they are."""
    known = set(all_openings(connection))
    if fresh := [attrs.asdict(each) for each in dict.fromkeys(some) if each not in known]:
        connection.execute(sa.insert(openings), fresh)


def drop_openings(connection: sa.Connection, some: Iterable[Opening]) -> int:
    """Take these away; how many were there."""
    return sum(
        connection.execute(
            sa.delete(openings).where(*(openings.c[name] == value for name, value in attrs.asdict(each).items()))
        ).rowcount
        for each in some
    )


def recent(connection: sa.Connection, user: str, since: float) -> list[tuple[float, float]]:
    """Begin and end of a user's sessions that had not ended by `since`, the running one too."""
    return [(begun, ended) for begun, ended in connection.execute(_RECENT, {"one": user, "since": since})]


def running(connection: sa.Connection) -> list[Session]:
    """Sessions without an end, by number."""
    on = sa.select(sessions).where(sessions.c.reason == "")
    return [Session(**row) for row in connection.execute(on.order_by(sessions.c.number)).mappings()]


def last_number(connection: sa.Connection) -> int:
    """The highest of any session, 0 where there was none."""
    return int(connection.execute(sa.select(sa.func.max(sessions.c.number))).scalar() or 0)


def begin_session(connection: sa.Connection, session: Session) -> None:
    """A session begins; nothing where it is there."""
    if connection.execute(_IS_THERE, {"one": session.number}).first() is None:
        connection.execute(_NEW_SESSION, attrs.asdict(session))


def note_sessions(connection: sa.Connection, some: Sequence[Session]) -> None:
    """How long sessions have lasted by now; nothing to those that have ended."""
    if some:
        connection.execute(
            sa.update(sessions)
            .where(sessions.c.number == sa.bindparam("one"), sessions.c.reason == "")
            .values(ended=sa.bindparam("now")),
            [{"one": each.number, "now": each.ended} for each in some],
        )


def end_session(connection: sa.Connection, session: Session, sums: Sequence[Total]) -> None:
    """A session has ended, and adds so much to the sums; nothing where it has already."""
    on = sa.update(sessions).where(sessions.c.number == session.number, sessions.c.reason == "")
    if connection.execute(on.values(ended=session.ended, reason=session.reason)).rowcount:
        add_totals(connection, sums)


def extend_session(connection: sa.Connection, session: Session, sums: Sequence[Total]) -> None:
    """A session that had ended was used until later, which adds so much; nothing where that is known."""
    over = sa.update(sessions).where(
        sessions.c.number == session.number, sessions.c.reason != "", sessions.c.ended < session.ended
    )
    if connection.execute(over.values(ended=session.ended)).rowcount:
        add_totals(connection, sums)


def note_act(connection: sa.Connection, act: Audit) -> None:
    """Write down what an administrator did, in the transaction that does it."""
    connection.execute(sa.insert(audit).values(**attrs.asdict(act)))


def acts(connection: sa.Connection, most: int = MOST_TOLD) -> list[Audit]:
    """What administrators did last, the latest first."""
    latest = sa.select(audit).order_by(audit.c.id.desc()).limit(min(most, MOST_TOLD))
    return [Audit(row.at, row.who, row.what, row.whom, row.detail) for row in connection.execute(latest)]


def _account(row: Any) -> Account:
    return Account(**row)
