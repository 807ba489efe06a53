"""A database that cannot be had: nobody new is let in, sessions go on, and what they used is written down afterwards.

On SQLite and on PostgreSQL, with the real store below the real sessions.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from asyncluster.accounts.grant import Refusal
from asyncluster.accounts.passwords import hash_password
from asyncluster.accounts.visit import Visit
from asyncluster.errors import StoreAwayError, StoreError
from asyncluster.master.probing import EVERY, Probing
from asyncluster.master.registry import Registry
from asyncluster.master.sessions import Sessions
from asyncluster.model.account import Account, Audit, Opening
from asyncluster.model.journal import Entry, StoredJob
from asyncluster.store.journal import Journal
from asyncluster.store.people import People
from asyncluster.testing.loop import CallLoop
from asyncluster.testing.people import BERLIN
from asyncluster.testing.postgresql import TemporaryPostgres
from asyncluster.wire.verifiers import VerifierFile

pytestmark = pytest.mark.real

PASSWORD = "correct horse battery"
KEPT = hash_password(PASSWORD)
MONDAY = datetime(2026, 11, 23, 9, tzinfo=BERLIN).timestamp()
ACT = Audit(1000.0, "root", "add", "jane")
OPENINGS = [Opening(weekday=day, start=480, end=1080) for day in range(5)]
PEOPLE = [Account(name, enabled=True, daily=4 * 3600, argon2=KEPT) for name in ("jane", "bob", "carol")]


@attrs.define(eq=False)
class Book:
    """One database with its master's two ends; `away` has it go away, and `back` come again."""

    loop: CallLoop
    url: str
    folder: Path
    away: Callable[[], object]
    back: Callable[[], object]
    clock: Clock = attrs.field(factory=Clock)
    logged: list[str] = attrs.field(factory=list)
    journal: Journal = attrs.field(init=False)
    people: People = attrs.field(init=False)
    registry: Registry = attrs.field(init=False)
    sessions: Sessions = attrs.field(init=False)

    def begin(self) -> None:
        """A master starts."""
        self.journal = Journal(self.loop, self.url)
        self.loop.result(self.journal.open())
        self.people = People(self.loop, self.url)
        self.registry = Registry(
            self.people, VerifierFile(self.folder / "accounts"), BERLIN, now=lambda: MONDAY + self.clock.seconds()
        )
        found = self.loop.result(self.registry.open())
        self.sessions = Sessions(self.clock, self.registry, lambda work: succeed(work()))
        self.sessions.begin_with(found.running, found.last_session)
        self.sessions.startService()

    def end(self) -> None:
        """It stops."""
        self.loop.result(self.sessions.stopService())
        self.loop.result(self.people.close())
        self.loop.result(self.journal.close())

    def login(self, user: str, node: str) -> Deferred[Visit | Refusal]:
        return Deferred.fromCoroutine(self.sessions.login(user, PASSWORD, node))

    def told(self, user: str, node: str) -> Visit | Refusal:
        answer: Visit | Refusal = self.loop.result(self.login(user, node))
        return answer

    def pass_by(self, seconds: float) -> None:
        """Half a minute at a time, each with what the database says to it."""
        for _ in range(round(seconds / 30)):
            self.clock.advance(30.0)
            for visit in self.sessions.seats:
                self.sessions.seats.beat(visit.node, self.clock.seconds())
            self.settle()

    def settle(self) -> None:
        """Until the database has answered what it was asked."""
        with contextlib.suppress(StoreError):
            self.loop.result(self.people.find_user("nobody"))

    def said(self, words: str) -> int:
        """How often that stood in the log."""
        return sum(words in line for line in self.logged)


@contextlib.contextmanager
def no_way(path: Path) -> Iterator[None]:
    """Nobody but root may write there, and we are not root."""
    path.chmod(0o444)
    path.parent.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(os.getuid())
        path.parent.chmod(0o777)


def locked(path: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    """Somebody has the file locked for longer than we wait."""
    held: list[sqlite3.Connection] = []

    def lock() -> None:
        held.append(sqlite3.connect(path, isolation_level=None))
        held[0].execute("BEGIN IMMEDIATE")

    def let_go() -> None:
        held.pop().close()

    return lock, let_go


def removed(path: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    """The file is not where it was."""
    aside = path.with_suffix(".moved")
    return lambda: path.rename(aside), lambda: aside.rename(path)


def replaced(path: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    """A copy is in its place."""
    aside = path.with_suffix(".moved")

    def replace() -> None:
        path.rename(aside)
        shutil.copy(aside, path)

    return replace, lambda: aside.rename(path)


def full(path: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    """There is not a byte left on the disk."""
    ballast = path.parent / "ballast"

    def fill() -> None:
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            for size in (65536, 512):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    return fill, ballast.unlink


def immutable(path: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    """What the file system does not let anybody write, not even root."""

    def change(sign: str) -> None:
        # not its -shm, which is mapped into memory: the kernel kills who writes there then
        files = [f"{path}{tail}" for tail in ("", "-wal") if os.path.exists(f"{path}{tail}")]
        subprocess.run(["chattr", f"{sign}i", *files], check=True)

    return lambda: change("+"), lambda: change("-")


SQLITE = {"locked": locked, "removed": removed, "replaced": replaced, "full": full, "immutable": immutable}


@pytest.fixture(params=[*SQLITE, "postgresql"])
def book(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Book]:
    """A master's database with three accounts, and a way to take it away."""
    monkeypatch.setattr("asyncluster.store.sqlite.BUSY_SECONDS", 0.02)
    loop = CallLoop()
    with contextlib.ExitStack() as stack:
        if request.param == "postgresql":
            made = _on_postgresql(request.getfixturevalue("postgres"), loop, tmp_path)
        else:
            folder = tmp_path / "state"
            folder.mkdir()
            if request.param == "full":
                stack.enter_context(_small_disk(folder))
            elif request.param == "immutable":
                _check_chattr(folder)
            path = folder / "master.sqlite"
            made = Book(loop, f"sqlite:///{path}", tmp_path, *SQLITE[request.param](path))
            if request.param == "immutable":
                stack.callback(made.back)  # else nobody could remove it

        def log(event: LogEvent) -> None:
            made.logged.append(str(event.get("log_format", "")))

        globalLogPublisher.addObserver(log)
        stack.callback(globalLogPublisher.removeObserver, log)
        made.begin()
        loop.result(made.people.put_users(PEOPLE, ACT))
        loop.result(made.registry.people.put_openings(OPENINGS, ACT))
        made.registry.openings = OPENINGS
        yield made
        made.end()


def _check_chattr(folder: Path) -> None:
    probe = folder / "probe"
    probe.touch()
    try:
        done = subprocess.run(["chattr", "+i", str(probe)], check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no file can be made immutable here: {done.stderr.strip()}")
        subprocess.run(["chattr", "-i", str(probe)], check=True)
    except FileNotFoundError:
        pytest.skip("there is no chattr here")
    finally:
        probe.unlink()


def _on_postgresql(postgres: TemporaryPostgres, loop: CallLoop, folder: Path) -> Book:
    import psycopg

    name = f"test_{random.getrandbits(48):x}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return Book(loop, postgres.url(name), folder, postgres.stop, postgres.start)


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_the_database_goes_away_and_comes_back(book: Book) -> None:
    """Told once; nobody is let in; who sits there stays; an end is charged once, and rightly; a job is not lost."""
    assert isinstance(book.told("jane", "desk-1"), Visit)
    assert isinstance(book.told("bob", "desk-2"), Visit)
    book.away()
    for _ in range(3):
        answer = book.told("carol", "desk-3")
        assert isinstance(answer, Refusal)
        assert answer.rule == "database"
    durable: list[bool] = []
    book.journal.open_job(StoredJob(1, "jane", {}, 0.0))
    book.journal.append(Entry(1, 1, b"x" * 100))
    book.journal.when_durable(lambda: durable.append(True))
    book.pass_by(3600.0)
    assert len(book.sessions.seats) == 2
    book.sessions.leave("desk-1")
    book.pass_by(60.0)
    assert durable == []
    assert book.said("database of accounts is away") == 1
    assert book.said("journal cannot be written") == 1
    book.back()
    book.loop.until(lambda: durable)
    book.pass_by(60.0)
    book.loop.until(lambda: not book.sessions.book.writing and not book.sessions.book.owes)
    assert book.said("answers again") == 1
    row = book.loop.result(book.people.login("jane", 0.0))
    assert row.recent == [(MONDAY, MONDAY + 3600.0)]
    assert isinstance(book.told("carol", "desk-3"), Visit)
    again = book.told("jane", "desk-1")
    assert isinstance(again, Visit)
    assert again.granted == 3 * 3600.0
    assert book.sessions.seats.of_user("bob") is not None


def test_it_is_asked_again_though_nobody_else_asks(book: Book) -> None:
    """Every few seconds while it is away, one question at a time; then people are let in again."""
    probing = Probing(book.clock, book.people)
    probing.startService()
    book.away()
    assert isinstance(book.told("jane", "desk-1"), Refusal)
    assert book.people.away
    for _ in range(3):
        book.clock.advance(EVERY)
        book.settle()
    some_room = (book.folder / "state" / "ballast").exists()  # on a full disk there may be room for so little
    assert book.people.away or some_room
    book.back()

    def asked_again() -> bool:
        book.clock.advance(EVERY)
        book.settle()
        return not book.people.away

    assert any(asked_again() for _ in range(100))
    assert (book.said("database of accounts is away"), book.said("answers again")) == (1, 1)
    probing.stopService()


def test_one_user_at_two_nodes_at_once(book: Book) -> None:
    """Of many logins in one moment exactly one is granted, whoever was first, and one session is in the book."""
    for _ in range(3):
        answers = book.loop.result(gatherResults([book.login("jane", f"desk-{number}") for number in range(4)]))
        granted = [answer for answer in answers if isinstance(answer, Visit)]
        refused = {answer.rule for answer in answers if isinstance(answer, Refusal)}
        assert (len(granted), refused) == (1, {"session"})
        assert [each.node for each in book.sessions.seats] == [granted[0].node]
        book.sessions.leave(granted[0].node)
        book.loop.until(lambda: not book.sessions.book.writing and not book.sessions.book.owes)
    assert len(book.loop.result(book.people.login("jane", -1.0)).recent) == 3
    assert [each.user for each in book.sessions.seats] == []


def test_a_file_that_may_not_be_written() -> None:
    """At the start it is told which file, and nothing is begun; it is not waited for: only a person can mend it."""
    folder = Path(tempfile.mkdtemp(prefix="asyncluster-readonly-"))
    folder.chmod(0o777)
    path, loop = folder / "master.sqlite", CallLoop()
    try:
        journal = Journal(loop, f"sqlite:///{path}")
        loop.result(journal.open())
        loop.result(journal.close())
        Path(f"{path}.lock").chmod(0o666)
        with no_way(path), pytest.raises(StoreError, match=r"master\.sqlite: .*readonly") as told:
            loop.result(Journal(loop, f"sqlite:///{path}").open())
        assert not isinstance(told.value, StoreAwayError)
    finally:
        shutil.rmtree(folder)


def test_what_passes_by_itself_is_told_apart(
    postgres: TemporaryPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not run, or a file that is locked: a master waits.  A wrong password will be wrong again."""
    monkeypatch.setattr("asyncluster.store.sqlite.BUSY_SECONDS", 0.02)
    loop = CallLoop()

    def fault(url: str) -> Any:
        with pytest.raises(StoreError) as told:
            loop.result(Journal(loop, url).open())
        return told.value

    assert not isinstance(fault(postgres.url().replace(postgres.password, "wrong")), StoreAwayError)
    assert not isinstance(fault(postgres.url("no_such_base")), StoreAwayError)
    postgres.stop()
    try:
        assert isinstance(fault(postgres.url()), StoreAwayError)
    finally:
        postgres.start()
    path = tmp_path / "master.sqlite"
    loop.result((journal := Journal(loop, f"sqlite:///{path}")).open())
    loop.result(journal.close())
    lock, let_go = locked(path)
    lock()
    assert isinstance(fault(f"sqlite:///{path}"), StoreAwayError)
    let_go()
    loop.result((journal := Journal(loop, f"sqlite:///{path}")).open())
    loop.result(journal.close())
