"""Accounts, sessions and usage as the master has them, in the reactor's thread: ask now, be answered later.

In the same database as the journal, beside its connection: what a login needs does not wait behind a group of
results, and a report of a year does not hold up logins.  Nothing is tried again here but what cannot have been done:
whoever asks decides.  That the database is away is logged once, and once when it is back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster.errors import RefusedError, StoreError
from asyncluster.model.account import EVERYBODY, Account, Audit, Opening, Session, Span, Total, Used

if TYPE_CHECKING:
    import sqlalchemy as sa

    from asyncluster.store.keeper import Backend
    from asyncluster.store.lane import Lane

T = TypeVar("T")
_log = Logger()


@attrs.frozen
class FoundPeople:
    """What the database held when it was opened.  running: sessions without an end; batch: of usage, the last one."""

    accounts: list[Account]
    openings: list[Opening]
    running: list[Session]
    last_session: int
    batch: int


@attrs.frozen
class LoginRow:
    """What a login is decided by: the account, None where there is none, and when its user had sessions."""

    account: Account | None
    recent: list[tuple[float, float]]


class People:
    """Every method gives a Deferred that fails with StoreError where the database is away, or was not opened."""

    def __init__(self, reactor: IReactorFromThreads, url: str) -> None:
        """url: as for `journal.Journal`, which has to be open already, unless the database is in memory."""
        self._reactor, self._url = reactor, url
        self._quick: Lane | None = None  # logins, and whatever writes
        self._slow: Lane | None = None  # reports
        self._touching: list[Deferred[None]] = []  # who waits whether it can be written
        self._away = False
        self._read_away = False  # it was away for one who only reads

    @property
    def away(self) -> bool:
        """The last that was asked failed: the database cannot be reached."""
        return self._away

    # -- life

    def open(self) -> Deferred[FoundPeople]:
        """Connect, and give what has to be known from the begin."""
        from asyncluster.store.address import parse_address
        from asyncluster.store.keeper import backend_for
        from asyncluster.store.lane import Lane

        address = parse_address(self._url)
        backend = backend_for(address)
        ours = _Ours(address.place)
        in_memory = address.path == ""
        connect = _new_in_memory(backend, address.place) if in_memory else backend.connect_beside
        self._quick = Lane(self._reactor, "accounts", address, connect, ours.check)
        self._slow = (
            self._quick if in_memory else Lane(self._reactor, "reports", address, backend.connect_beside, ours.check)
        )
        return self._ask(lambda connection: _found(connection, ours))

    def close(self) -> Deferred[None]:
        """Do what was asked for, then let go."""
        lanes = {lane for lane in (self._quick, self._slow) if lane is not None}
        return gatherResults([lane.close() for lane in lanes]).addCallback(lambda _: None)

    # -- logins and sessions

    def login(self, name: str, since: float) -> Deferred[LoginRow]:
        """What is known of a user; since: the instant before which sessions do not matter any more."""
        from asyncluster.store import people_rows as rows

        return self._ask(
            lambda connection: LoginRow(rows.find_user(connection, name), rows.recent(connection, name, since)),
            reading=True,
        )

    def find_user(self, name: str) -> Deferred[Account | None]:
        """The account of that name."""
        from asyncluster.store import people_rows as rows

        return self._ask(lambda connection: rows.find_user(connection, name), reading=True)

    def begin_session(
        self, session: Session, since: float = 0.0, allow: Callable[[LoginRow], bool] = lambda _: True
    ) -> Deferred[bool]:
        """Keep a session that begins, where `allow` says so, and give what it says.

        allow: asked in the database's thread, in the same transaction, with what `login` gives.
        """
        from asyncluster.store import people_rows as rows

        def work(connection: sa.Connection) -> bool:
            user = session.user
            allowed = allow(LoginRow(rows.find_user(connection, user), rows.recent(connection, user, since)))
            if allowed:
                rows.begin_session(connection, session)
            return allowed

        return self._ask(work)

    def save(
        self,
        running: Sequence[Session],
        ended: Sequence[tuple[Session, Sequence[Total]]],
        grown: Sequence[tuple[Session, Sequence[Total]]] = (),
    ) -> Deferred[None]:
        """How long sessions have lasted, and which have ended with what they add to the sums.  May be tried again.

        grown: sessions that had ended, and were used for longer than was known then, with what that adds.
        """
        from asyncluster.store import people_rows as rows

        def work(connection: sa.Connection) -> None:
            rows.note_sessions(connection, running)
            for session, sums in ended:
                if session.seconds:  # else nothing is lost where it never began
                    rows.begin_session(connection, attrs.evolve(session, reason=""))
                rows.end_session(connection, session, sums)
            for session, sums in grown:
                rows.extend_session(connection, session, sums)

        return self._ask(work)

    # -- accounts

    def users(self, after: str = "", most: int | None = None) -> Deferred[list[Account]]:
        """All behind that name, by name, so many at most."""
        from asyncluster.store import people_rows as rows

        return self._ask(lambda connection: rows.all_users(connection, after, most), reading=True)

    def put_users(self, accounts: Sequence[Account], act: Audit) -> Deferred[None]:
        """Keep these accounts, new or changed."""
        from asyncluster.store import people_rows as rows

        return self._act(act, lambda connection: rows.put_users(connection, accounts))

    def change_user(self, name: str, change: Callable[[Account], Account], act: Audit) -> Deferred[Account]:
        """Change one; gives what it is now.  Fails with RefusedError where there is none."""
        from asyncluster.store import people_rows as rows

        def work(connection: sa.Connection) -> Account:
            account = rows.find_user(connection, name)
            if account is None:
                raise RefusedError(f"there is no account {name[:64]}; `asyncluster user list` shows them")
            try:
                changed = change(account)
            except ValueError as error:  # of what is wanted: the database is sound
                raise RefusedError(str(error)) from None
            rows.put_users(connection, [changed])
            return changed

        return self._act(act, work)

    def change_users(
        self, names: Sequence[str], change: Callable[[Mapping[str, Account]], tuple[list[Account], str]], act: Audit
    ) -> Deferred[list[Account]]:
        """Make and change accounts of these names in one transaction; gives what they are now.

        change: told those that there are by name, gives what is to be kept, and the audit's details.  Fails with
        RefusedError where it raises ValueError.
        """
        from asyncluster.store import people_rows as rows

        def work(connection: sa.Connection) -> list[Account]:
            try:
                accounts, detail = change({each.name: each for each in rows.some_users(connection, names)})
            except ValueError as error:  # of what is wanted: the database is sound
                raise RefusedError(str(error)) from None
            rows.put_users(connection, accounts)
            rows.note_act(connection, attrs.evolve(act, detail=detail[:500]))
            return accounts

        return self._ask(work)

    def renew_hash(self, name: str, old: str, new: str) -> Deferred[None]:
        """Keep the same password another way; nothing where it was changed meanwhile."""
        from asyncluster.store import people_rows as rows

        return self._ask(lambda connection: rows.renew_hash(connection, name, old, new))

    def drop_user(self, name: str, act: Audit) -> Deferred[bool]:
        """Forget an account with its openings; whether there was one."""
        from asyncluster.store import people_rows as rows

        return self._act(act, lambda connection: rows.drop_user(connection, name), bool)

    def put_openings(self, some: Sequence[Opening], act: Audit) -> Deferred[list[Opening]]:
        """Add these; gives all that there are now.  Fails with RefusedError for a user who has no account."""
        from asyncluster.store import people_rows as rows

        def work(connection: sa.Connection) -> list[Opening]:
            names = {each.user for each in some} - {EVERYBODY}
            missing = names - {account.name for account in rows.some_users(connection, sorted(names))}
            if missing:
                raise RefusedError(f"there is no account {min(missing)}; `asyncluster user list` shows them")
            rows.put_openings(connection, some)
            return rows.all_openings(connection)

        return self._act(act, work)

    def drop_openings(self, some: Sequence[Opening], act: Audit) -> Deferred[tuple[int, list[Opening]]]:
        """Take these away; how many were there, and all that are left."""
        from asyncluster.store import people_rows as rows

        def work(connection: sa.Connection) -> tuple[int, list[Opening]]:
            return rows.drop_openings(connection, some), rows.all_openings(connection)

        return self._act(act, work, lambda told: told[0] > 0)

    # -- usage

    def add_used(self, batch: int, used: Sequence[Used], sums: Sequence[Total]) -> Deferred[None]:
        """Add a batch, numbered from 1 on without gaps.  May be tried again."""
        from asyncluster.store import sums_rows

        return self._ask(lambda connection: sums_rows.add_used(connection, batch, used, sums))

    def tasks_since(self, since: float) -> Deferred[list[tuple[str, float, float]]]:
        """What tasks used from that instant on, (owner, hour, core-seconds); looks through all of that time."""
        from asyncluster.store import sums_rows

        return self._ask(lambda connection: sums_rows.tasks_since(connection, since), reading=True, slow=True)

    def report(self, axis: str, span: Span) -> Deferred[list[dict[str, Any]]]:
        """Sums by user, day, node or job."""
        from asyncluster.store import sums_rows

        return self._ask(lambda connection: sums_rows.report(connection, axis, span), reading=True, slow=True)

    def note_act(self, act: Audit) -> Deferred[None]:
        """Write down an act that changes nothing here."""
        return self._act(act, lambda _: None)

    def acts(self, most: int) -> Deferred[list[Audit]]:
        """What administrators did last, the latest first."""
        from asyncluster.store import people_rows as rows

        return self._ask(lambda connection: rows.acts(connection, most), reading=True, slow=True)

    # -- asking

    def touch(self) -> Deferred[None]:
        """Change nothing, as one who writes; fires when the database lets us.

        Who asks meanwhile gets the same answer.
        """
        from asyncluster.store import rows

        waiting: Deferred[None] = Deferred()
        self._touching.append(waiting)
        if len(self._touching) == 1:
            self._ask(rows.touch).addBoth(self._touched)
        return waiting

    def _touched(self, outcome: Failure | None) -> None:
        waiting, self._touching = self._touching, []
        for each in waiting:
            each.callback(outcome)

    def _act(
        self, act: Audit, work: Callable[[sa.Connection], T], did: Callable[[T], bool] = lambda _: True
    ) -> Deferred[T]:
        """Do something and write it down.  did: whether anything was done, by what came of it."""
        from asyncluster.store import people_rows as rows

        def both(connection: sa.Connection) -> T:
            value = work(connection)
            if did(value):
                rows.note_act(connection, act)
            return value

        return self._ask(both)

    def _ask(self, work: Callable[[sa.Connection], T], *, reading: bool = False, slow: bool = False) -> Deferred[T]:
        lane = self._slow if slow else self._quick
        if lane is None:
            return fail(StoreError("the database of accounts is not open"))
        answer = lane.ask(work, reading)
        answer.addCallbacks(self._answered, self._failed, callbackArgs=(reading,), errbackArgs=(reading,))
        return answer

    def _answered(self, value: T, reading: bool) -> T:
        # where a disk is full or a file locked, what only reads is answered all the same
        if self._away and (self._read_away or not reading):
            self._away = False
            _log.info("The database of accounts answers again")
        return value

    def _failed(self, failure: Failure, reading: bool) -> Failure:
        if not failure.check(StoreError):
            return failure
        if not self._away:
            self._away, self._read_away = True, reading
            _log.error(
                "The database of accounts is away: {error}. Nobody can begin a session until it is back; those that "
                "are on go on, and are written down then",
                error=failure.getErrorMessage(),
            )
        return failure


@attrs.define
class _Ours:
    """Whether no other master has opened the database since."""

    place: str
    opened: int | None = None

    def check(self, connection: sa.Connection) -> None:
        from asyncluster.store.rows import read_counter
        from asyncluster.store.tables import OPENED

        now = read_counter(connection, OPENED)
        if self.opened is None:
            self.opened = now
        elif now != self.opened:
            raise StoreError(f"{self.place} was taken by another master: stop one of the two", self.place)


def _found(connection: sa.Connection, ours: _Ours) -> FoundPeople:
    from asyncluster.store import people_rows as rows
    from asyncluster.store.rows import read_counter
    from asyncluster.store.tables import USAGE

    ours.check(connection)
    return FoundPeople(
        rows.all_users(connection),
        rows.all_openings(connection),
        rows.running(connection),
        rows.last_number(connection),
        read_counter(connection, USAGE),
    )


def _new_in_memory(backend: Backend, place: str) -> Callable[[], sa.Connection]:
    def connect() -> sa.Connection:
        from asyncluster.store.schema import migrate

        connection = backend.connect()
        with connection.begin():
            migrate(connection, place)
        return connection

    return connect
