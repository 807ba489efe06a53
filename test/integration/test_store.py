"""The journal on real databases: what it promises holds on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.logger import LogEvent, eventAsText, globalLogPublisher

from asyncluster.errors import StoreError
from asyncluster.model.journal import Entry, Kind, StoredJob
from asyncluster.store.book import NodeBook
from asyncluster.store.journal import Journal
from asyncluster.store.keeper import keeper_for
from asyncluster.store.records import DropJob, Found
from asyncluster.testing.loop import CallLoop
from asyncluster.testing.postgresql import TemporaryPostgres

pytestmark = pytest.mark.real

SPEC = {"name": "a", "niceness": 3, "path": ["/srv"], "folder": None, "x": 1.5, "raw": b"\0"}


@attrs.frozen
class Database:
    """One kind of database; `connect` gives a connection of somebody else's."""

    url: str
    connect: Callable[[], Any]
    hold: str  # a statement that keeps others from writing until the end of the transaction

    def ask(self, statement: str) -> Any:
        """The only value of a query."""
        with contextlib.closing(self.connect()) as connection:
            return connection.execute(statement).fetchone()[0]

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nobody can commit in here."""
        with contextlib.closing(self.connect()) as connection:
            connection.execute("BEGIN")
            connection.execute(self.hold)
            yield
            connection.execute("ROLLBACK")


def sqlite_database(folder: Path) -> Database:
    path = folder / "state" / "journal.sqlite"
    return Database(
        f"sqlite:///{path}", lambda: sqlite3.connect(path, isolation_level=None), "UPDATE counters SET value = value"
    )


def postgresql_database(server: TemporaryPostgres) -> Database:
    import psycopg

    name = f"test_{random.getrandbits(48):x}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = server.url(name)
    return Database(url, lambda: psycopg.connect(url, autocommit=True), "LOCK TABLE counters")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """A new database of each kind."""
    if request.param == "sqlite":
        return sqlite_database(tmp_path)
    return postgresql_database(request.getfixturevalue("postgres"))


@pytest.fixture
def loop() -> CallLoop:
    return CallLoop()


@pytest.fixture
def events() -> Iterator[list[LogEvent]]:
    """All that is logged."""
    seen: list[LogEvent] = []
    globalLogPublisher.addObserver(seen.append)
    yield seen
    globalLogPublisher.removeObserver(seen.append)


def entry(number: int, job: int = 1, kind: int = Kind.MESSAGES) -> Entry:
    return Entry(job, kind, b"%d" % number)


@contextlib.contextmanager
def opened(loop: CallLoop, url: str) -> Iterator[tuple[Journal, Found]]:
    """An open journal, and what it found."""
    journal = Journal(loop, url)
    found = loop.result(journal.open())
    yield journal, found
    loop.result(journal.close())


def wait_durable(loop: CallLoop, journal: Journal) -> None:
    """Until all that is queued is durable."""
    done: list[bool] = []
    journal.when_durable(lambda: done.append(True))
    loop.until(lambda: bool(done))


def found_in(loop: CallLoop, url: str) -> Found:
    """What the journal at `url` holds."""
    with opened(loop, url) as (_journal, found):
        return found


def test_what_was_queued_is_found_in_its_order(database: Database, loop: CallLoop) -> None:
    """Jobs with all that is known of them, entries of several jobs and kinds as they were mixed, empty ones too."""
    written = [entry(number, 1 + number % 3, 1 + number % 5) for number in range(100)]
    written += [Entry(2, 77, b""), Entry(3, Kind.RESULTS, bytes(range(256)) * 300)]
    with opened(loop, database.url) as (journal, found):
        assert found == Found([], [], next_job=1)
        jobs = [StoredJob(number, f"ü{number}", SPEC, 1e9 + number / 3) for number in (1, 2, 3)]
        for job in jobs:
            journal.open_job(job)
        for each in written[:50]:
            journal.append(each)
        wait_durable(loop, journal)
        assert journal.waiting_bytes == 0
        for each in written[50:]:
            journal.append(each)
    assert found_in(loop, database.url) == Found(jobs, written, next_job=4)


def test_closing_writes_what_waits(database: Database, loop: CallLoop) -> None:
    """Also without anybody asking whether it is durable."""
    with opened(loop, database.url) as (journal, _found):
        journal.append(entry(1))
        journal.append(entry(2))
    assert found_in(loop, database.url).entries == [entry(1), entry(2)]


def test_appends_during_a_commit_are_one_transaction(database: Database, loop: CallLoop) -> None:
    """One commit is held up, three hundred orders come, and the database sees two groups."""
    with opened(loop, database.url) as (journal, _found):
        called: list[int] = []
        with database.held():
            journal.append(entry(0))
            journal.when_durable(lambda: called.append(0))
            writer = journal._writer
            assert writer is not None
            while writer.queue.qsize():  # until the thread has taken the first and is at it
                pass
            for number in range(1, 300):
                journal.append(entry(number))
                journal.when_durable(lambda number=number: called.append(number))
            assert called == []
            assert journal.waiting_bytes > 0
        loop.until(lambda: len(called) == 300)
        assert called == list(range(300))
        # the first may have been taken before its callback was queued, then there is a group of callbacks only
        assert database.ask("SELECT value FROM counters WHERE name = 'group'") == 2
    assert found_in(loop, database.url).entries == [entry(number) for number in range(300)]


def test_nothing_is_called_durable_before_somebody_else_can_see_it(database: Database, loop: CallLoop) -> None:
    """At the moment of the callback another connection reads what was written."""
    with opened(loop, database.url) as (journal, _found):
        seen: list[tuple[int, int]] = []

        def look(number: int) -> None:
            seen.append((number, database.ask("SELECT count(*) FROM journal")))

        for number in range(1, 30):
            journal.append(entry(number))
            journal.when_durable(lambda number=number: look(number))
        loop.until(lambda: len(seen) == 29)
        assert [number for number, _ in seen] == list(range(1, 30))
        assert all(rows >= number for number, rows in seen)


def test_rewriting_replaces_a_job_in_its_place(database: Database, loop: CallLoop) -> None:
    """Shorter, longer, empty and twice; other jobs keep their places, what comes later follows."""
    with opened(loop, database.url) as (journal, _found):
        for number in range(6):
            journal.append(entry(number, 1 + number % 2))
        journal.rewrite(1, [entry(100)])
        journal.append(entry(6))
        wait_durable(loop, journal)
        assert [int(each.data) for each in found_before_closing(database)] == [100, 1, 3, 5, 6]
        journal.rewrite(2, [entry(number, 2) for number in range(200, 205)])
        journal.append(entry(7, 2))
        journal.rewrite(1, [])
        journal.append(entry(8))
        journal.rewrite(1, [entry(9)])
    found = found_in(loop, database.url)
    assert [int(each.data) for each in found.entries] == [200, 201, 202, 203, 204, 7, 9]
    assert [each.job for each in found.entries] == [2, 2, 2, 2, 2, 2, 1]


def found_before_closing(database: Database) -> list[Entry]:
    with contextlib.closing(database.connect()) as connection:
        rows = connection.execute("SELECT job, kind, data FROM journal ORDER BY id").fetchall()
    return [Entry(job, kind, bytes(data)) for job, kind, data in rows]


def test_dropped_jobs_are_gone_and_their_numbers_are_not_given_again(database: Database, loop: CallLoop) -> None:
    """The counter outlives the jobs, also when all are gone; opening a number anew replaces it."""
    with opened(loop, database.url) as (journal, _found):
        for job in (1, 7, 3):
            journal.open_job(StoredJob(job, "me", {}, 0.0))
            journal.append(entry(job, job))
        journal.drop_job(7)
    with opened(loop, database.url) as (journal, found):
        assert [job.job for job in found.jobs] == [1, 3]
        assert found.entries == [entry(1, 1), entry(3, 3)]
        assert found.next_job == 8
        journal.open_job(StoredJob(3, "you", {"b": 1}, 9.0))
        journal.drop_job(1)
    with opened(loop, database.url) as (journal, found):
        assert found == Found([StoredJob(3, "you", {"b": 1}, 9.0)], [entry(3, 3)], next_job=8)
        journal.drop_job(3)
    assert found_in(loop, database.url) == Found([], [], next_job=8)


def test_a_huge_entry_comes_back_whole(database: Database, loop: CallLoop) -> None:
    """Ten times longer than one row may be, between two small ones."""
    huge = Entry(1, Kind.RESULTS, random.Random(1).randbytes(40 * 1024 * 1024))
    with opened(loop, database.url) as (journal, _found):
        for each in (entry(1), huge, entry(2)):
            journal.append(each)
    assert database.ask("SELECT count(*) FROM journal") == 12
    assert found_in(loop, database.url).entries == [entry(1), huge, entry(2)]


def test_a_second_master_is_refused_until_the_first_has_gone(database: Database, loop: CallLoop) -> None:
    """The message says who has it; the first does not notice."""
    with opened(loop, database.url) as (journal, _found):
        with pytest.raises(StoreError, match=r"another master .*pid \d+\) uses "):
            found_in(loop, database.url)
        journal.append(entry(1))
        wait_durable(loop, journal)
    assert found_in(loop, database.url).entries == [entry(1)]


def test_a_group_whose_answer_was_lost_is_not_written_twice(database: Database) -> None:
    """It was committed, nobody was told, and it is tried again on a new connection."""
    keeper = keeper_for(database.url)
    keeper.open()
    keeper.commit([entry(1), entry(2)])
    # as if the connection had ended between the commit and its answer
    keeper._group -= 1
    keeper._disconnect()
    keeper.commit([entry(1), entry(2)], again=True)
    keeper.commit([entry(3)])
    # and here it ended before the commit
    keeper.commit([DropJob(7), entry(4)], again=True)
    keeper.close()
    found = keeper.open()
    keeper.close()
    assert found.entries == [entry(1), entry(2), entry(3), entry(4)]


def test_a_master_that_was_cut_off_does_not_write_over_another(database: Database) -> None:
    """Another one opened the database while the first had no connection: the first refuses to go on."""
    first = keeper_for(database.url)
    first.open()
    first._disconnect()
    first._backend.unlock()
    second = keeper_for(database.url)
    second.open()
    second.commit([entry(1)])
    second.close()
    with pytest.raises(StoreError, match="taken by another master while this one was cut off"):
        first.commit([entry(2)], again=True)
    first.close()


LOAD = """
import os, sys
from twisted.internet import reactor
from asyncluster.store.book import NodeBook
from asyncluster.store.journal import Journal
from asyncluster.model.journal import Entry, StoredJob

journal = Journal(reactor, sys.argv[1])
first = int(sys.argv[2])

def durable(number):
    os.write(1, b"%d\\n" % number)
    if number % 8 == 0:
        reactor.callLater(0, more, number + 57)

def more(start):
    for number in range(start, start + 8):
        journal.append(Entry(1, 1, b"%d" % number))
        journal.append(Entry(2, 1, b"%d" % number))
        if number % 10 == 0:
            journal.rewrite(2, [Entry(2, 2, b"%d" % number)])
        journal.when_durable(lambda number=number: durable(number))

def begin(found):
    journal.open_job(StoredJob(1, "me", {}, 0.0))
    for start in range(first, first + 64, 8):
        more(start)

journal.open().addCallbacks(begin, lambda failure: (failure.printTraceback(), reactor.stop()))
reactor.run()
"""


def test_everything_acknowledged_survives_kill_9(database: Database, loop: CallLoop, tmp_path: Path) -> None:
    """A master is killed in mid-load, again and again; what it reported as durable is there, once and in order."""
    seed = random.getrandbits(32)
    print("seed", seed)
    chance = random.Random(seed)
    (tmp_path / "load.py").write_text(LOAD)
    last = 0
    for _round in range(5):
        first = (last // 8 + 1) * 8 + 1
        command = [sys.executable, str(tmp_path / "load.py"), database.url, str(first)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            acknowledged = [process.stdout.readline() for _ in range(chance.randrange(1, 400))]
            process.kill()
            acknowledged += process.stdout.readlines()
        numbers = [int(line) for line in acknowledged if line.endswith(b"\n")]
        assert numbers == list(range(first, first + len(numbers)))
        found = found_in(loop, database.url)
        ones = [int(each.data) for each in found.entries if each.job == 1]
        twos = [(each.kind, int(each.data)) for each in found.entries if each.job == 2]
        session = [number for number in ones if number >= first]
        last = ones[-1]
        assert session == list(range(first, last + 1))
        assert last >= numbers[-1]
        # job 2 is compacted at each ten: that summary, and what came after it
        newest = last // 10 * 10
        expected = [(1, number) for number in session if number > newest]
        assert [pair for pair in twos if pair[1] > newest] == expected
        if newest >= first:
            assert twos[0] == (2, newest)


def test_no_password_in_any_word(postgres: TemporaryPostgres, loop: CallLoop, events: list[LogEvent]) -> None:
    """Wrong passwords, bases that are not there, refused second masters: all named, none with the password."""
    database = postgresql_database(postgres)
    wrong = database.url.replace(postgres.password, "sesame-open")
    words = []
    for url in (wrong, postgres.url("nowhere"), database.url.replace(str(postgres.folder), "/nowhere")):
        with pytest.raises(StoreError) as caught:
            found_in(loop, url)
        words.append(f"{caught.value} {caught.value!r}")
    with opened(loop, database.url), pytest.raises(StoreError) as caught:
        found_in(loop, database.url)
    words.append(str(caught.value))
    assert all("postgresql://asyncluster:***@/" in each for each in words)
    everything = " ".join([*words, *(eventAsText(event) for event in events), *map(repr, events)])
    assert "sesame" not in everything
    assert postgres.password not in everything


def test_a_server_that_restarts_is_waited_for(
    postgres: TemporaryPostgres, loop: CallLoop, events: list[LogEvent]
) -> None:
    """It crashes under the journal; appends go on; once it is back everything is there, and both are said once."""
    database = postgresql_database(postgres)
    told: list[str] = []
    called: list[int] = []
    with opened(loop, database.url) as (journal, _found):
        journal.failed = lambda error: told.append(f"failed {error}")
        journal.healed = lambda: told.append("healed")
        journal.append(entry(1))
        wait_durable(loop, journal)
        postgres.stop()
        try:
            for number in range(2, 50):
                journal.append(entry(number))
                journal.when_durable(lambda number=number: called.append(number))
            loop.until(lambda: bool(told))
            assert called == []
            assert journal.waiting_bytes > 0
        finally:
            postgres.start()
        loop.until(lambda: len(called) == 48)
    assert called == list(range(2, 50))
    assert [words.split()[0] for words in told] == ["failed", "healed"]
    assert "postgresql://asyncluster:***@/" in told[0]
    texts = [eventAsText(event) for event in events if event.get("log_namespace") == "asyncluster.store.journal"]
    assert len(texts) == 2
    assert postgres.password not in " ".join(texts)
    assert found_in(loop, database.url).entries == [entry(number) for number in range(1, 50)]


def test_realm(loop: CallLoop, database: Database) -> None:
    """It stays what it was."""
    first = found_in(loop, database.url).realm
    assert len(first) == 16
    assert found_in(loop, database.url).realm == first


def test_the_book_is_found_as_it_was_saved(database: Database, loop: CallLoop) -> None:
    """Records of nodes are there after a restart as they were saved last; what was forgotten is not."""
    with opened(loop, database.url) as (journal, found):
        book = NodeBook(journal, found.notes)
        assert loop.result(book.load()) == {}
        loop.result(book.save({"node/a-1": {"life": "up", "since": 1.5}, "node/a-2": {"life": "gone"}, "modes": {}}))
        loop.result(book.save({"node/a-1": {"life": "held", "since": 2.5}, "node/a-2": None, "node/never": None}))
        with pytest.raises(ValueError, match="at most 300"):
            book.save({"n" * 301: {}})
    with opened(loop, database.url) as (journal, found):
        assert loop.result(NodeBook(journal, found.notes).load()) == {
            "node/a-1": {"life": "held", "since": 2.5},
            "modes": {},
        }


def test_a_note_with_a_flipped_bit_is_noticed(database: Database, loop: CallLoop) -> None:
    """A record of the book that is not what was written is told as damage, not believed."""
    with opened(loop, database.url) as (journal, _):
        journal.note({"node/a-1": b"\x80"})
    with contextlib.closing(database.connect()) as connection:
        connection.execute("UPDATE notes SET crc = crc + 1")
    with pytest.raises(StoreError, match="note 'node/a-1'"), opened(loop, database.url):
        pass
