"""Accounts, sessions and usage in real databases: SQLite and PostgreSQL keep the same promises."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pytest
from twisted.internet.defer import gatherResults, succeed
from twisted.internet.task import Clock

from asyncluster.accounts.report import span, totals_of_session, totals_of_used
from asyncluster.errors import RefusedError, StoreError
from asyncluster.master.account_verbs import account_verb
from asyncluster.master.registry import Registry
from asyncluster.master.sessions import Sessions
from asyncluster.model.account import Account, Audit, Opening, Session, Used
from asyncluster.model.pages import from_pages
from asyncluster.model.peer import Peer, Role
from asyncluster.store.journal import Journal
from asyncluster.store.people import People
from asyncluster.testing.loop import CallLoop
from asyncluster.testing.postgresql import TemporaryPostgres
from asyncluster.wire.verifiers import VerifierFile

pytestmark = pytest.mark.real

BERLIN = ZoneInfo("Europe/Berlin")
ACT = Audit(1000.0, "root", "add", "jane")


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'master.sqlite'}"
    import psycopg

    server: TemporaryPostgres = request.getfixturevalue("postgres")
    name = f"test_{random.getrandbits(48):x}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.url(name)


@pytest.fixture
def loop() -> CallLoop:
    return CallLoop()


@contextlib.contextmanager
def opened(loop: CallLoop, url: str) -> Iterator[People]:
    """A master's two connections; `found` is what the second begins with."""
    journal = Journal(loop, url)
    loop.result(journal.open())
    people = People(loop, url)
    people.found = loop.result(people.open())  # type: ignore[attr-defined]
    try:
        yield people
    finally:
        loop.result(people.close())
        loop.result(journal.close())


def test_accounts_are_kept_as_they_are(url: str, loop: CallLoop) -> None:
    """With all that they can have, and nothing of what they have not; openings go with an account."""
    jane = Account("jane", True, False, 3600, 7200, 4, 100, "$argon2", "SCRAM", 1000.25)
    bob = Account("EXAMPLE\\bøb")
    openings = [Opening("", 0, 480, 1080), Opening("jane", 6, 0, 1440)]
    with opened(loop, url) as people:
        loop.result(people.put_users([jane, bob], ACT))
        assert loop.result(people.put_openings(openings + openings, ACT)) == openings
        loop.result(people.put_users([attrs.evolve(jane, enabled=False)], ACT))
        changed = loop.result(people.change_user("jane", lambda account: attrs.evolve(account, enabled=True), ACT))
        assert changed == jane
    with opened(loop, url) as people:
        assert people.found.accounts == [bob, jane]
        assert people.found.openings == openings
        assert loop.result(people.drop_openings([openings[0], Opening("", 3, 1, 2)], ACT)) == (1, openings[1:])
        assert loop.result(people.drop_user("jane", ACT))
        written = len(loop.result(people.acts(50)))
        assert not loop.result(people.drop_user("jane", ACT))
        assert loop.result(people.drop_openings([Opening("", 3, 1, 2)], ACT))[0] == 0
        assert len(loop.result(people.acts(50))) == written, "what did not happen is not written down"
        assert loop.result(people.users()) == [bob]
    with opened(loop, url) as people:
        assert people.found.openings == []


def test_a_change_that_makes_no_sense_changes_nothing(url: str, loop: CallLoop) -> None:
    """It is refused with its reason, and not written down; the database is not called damaged."""
    with opened(loop, url) as people:
        with pytest.raises(RefusedError, match="no account jane"):
            loop.result(people.change_user("jane", lambda account: account, ACT))
        loop.result(people.put_users([Account("jane")], ACT))
        with pytest.raises(RefusedError, match="daily hours"):
            loop.result(people.change_user("jane", lambda account: attrs.evolve(account, daily=-1), ACT))
        assert loop.result(people.acts(10)) == [ACT]


@pytest.fixture
def asked(url: str, loop: CallLoop) -> Iterator[Callable[..., Any]]:
    """Asks a master's accounts, as an administrator."""
    with opened(loop, url) as people:
        registry = Registry(people, VerifierFile(Path("/nowhere")), BERLIN, now=lambda: 1000.0)
        loop.result(registry.open())
        sessions = Sessions(Clock(), registry, lambda work: succeed(work()))
        root = Peer(Role.CLIENT, "root", "unix", True)
        yield lambda *args: account_verb(sessions, root, args)


def test_administrators_at_once_undo_nothing_of_each_other(asked: Any, loop: CallLoop) -> None:
    """An import beside a disable or a remove, a second add, an opening beside a remove: one behind the other."""
    loop.result(asked("add", [{"name": "jane", "enabled": True}]))
    both = asked("import", [{"name": "jane", "daily": 3600}]), asked("set", "jane", "disable", {"enabled": False})
    assert loop.result(both[0]) == 1
    assert loop.result(both[1])["enabled"] is False
    (jane,) = from_pages(loop.result(asked("list", "")))
    assert (jane["enabled"], jane["daily"]) == (False, 3600)
    both = asked("set", "jane", "limit", {"slots": 3}), asked("import", [{"name": "jane", "daily": 7200}])
    loop.result(gatherResults(both))
    (jane,) = from_pages(loop.result(asked("list", "")))
    assert (jane["slots"], jane["daily"]) == (3, 7200)
    both = asked("add", [{"name": "new", "slots": 1}]), asked("add", [{"name": "new", "slots": 99}])
    loop.result(both[0])
    with pytest.raises(RefusedError, match="account new already"):
        loop.result(both[1])
    assert loop.result(asked("show", "new"))["slots"] == 1
    both = asked("remove", "new"), asked("opening add", [["new", 0, 480, 1080]])
    loop.result(both[0])
    with pytest.raises(RefusedError, match="no account new"):
        loop.result(both[1])
    assert from_pages(loop.result(asked("openings"))) == []
    loop.result(gatherResults([asked("import", [{"name": "jane"}]), asked("remove", "jane")]))
    assert from_pages(loop.result(asked("list", ""))) == []
    (told, *_) = [act for act in from_pages(loop.result(asked("audit", 10))) if act["what"] == "import"]
    assert (told["whom"], told["detail"]) == ("jane", "changed: jane")


def test_what_was_never_opened_answers_that(loop: CallLoop) -> None:
    """By its Deferred, as whatever else keeps it from answering."""
    asked = People(loop, "sqlite://").users()
    with pytest.raises(StoreError, match="not open"):
        loop.result(asked)


def test_a_login_finds_the_hours_of_its_user(url: str, loop: CallLoop) -> None:
    """Those that reach into the week, the running one too; of nobody else."""
    with opened(loop, url) as people:
        loop.result(people.put_users([Account("jane")], ACT))
        sessions = [
            Session(1, "jane", "a", 100.0, 200.0, "left"),
            Session(2, "jane", "a", 250.0, 350.0, "left"),
            Session(3, "jane", "b", 400.0, 450.0),
            Session(4, "bob", "c", 400.0, 450.0),
        ]
        for each in sessions:
            loop.result(people.begin_session(each))
        row = loop.result(people.login("jane", 300.0))
        assert row.account == Account("jane")
        assert sorted(row.recent) == [(250.0, 350.0), (400.0, 450.0)]
        assert loop.result(people.login("nobody'; DROP TABLE users --", 0.0)).account is None


def test_running_sessions_are_known_after_a_restart(url: str, loop: CallLoop) -> None:
    """As long as they had lasted when it was written down last."""
    running = Session(7, "jane", "a", 100.0, 100.0)
    over = Session(8, "bob", "b", 100.0, 100.0)
    with opened(loop, url) as people:
        assert people.found.last_session == 0
        loop.result(people.begin_session(running))
        loop.result(people.begin_session(over))
        noted = attrs.evolve(running, ended=130.5)
        loop.result(people.save([noted], [(attrs.evolve(over, ended=120.0, reason="left"), [])]))
        loop.result(people.save([attrs.evolve(over, ended=999.0)], []))  # came late: it has ended
    with opened(loop, url) as people:
        assert people.found.running == [noted]
        assert people.found.last_session == 8
        assert loop.result(people.login("bob", 0.0)).recent == [(100.0, 120.0)]


def test_what_was_used_after_the_end_is_added_once(url: str, loop: CallLoop) -> None:
    """Of a session whose node came back later; one that is not over, or never began, stays as it is."""
    begun = at("2026-02-10T10:00")
    over = Session(1, "jane", "a", begun, begun + 3600, "vanished")
    longer = attrs.evolve(over, ended=begun + 7200)
    on = Session(2, "bob", "b", begun, begun)
    with opened(loop, url) as people:
        loop.result(people.begin_session(attrs.evolve(over, reason="", ended=begun)))
        loop.result(people.begin_session(on))
        more = totals_of_session(BERLIN, attrs.evolve(longer, begun=over.ended))
        never = Session(3, "ann", "c", begun, begun, "vanished")
        for _ in range(2):
            ended = [(over, totals_of_session(BERLIN, over)), (never, [])]
            loop.result(people.save([], ended, [(longer, more), (attrs.evolve(on, ended=begun + 9), more)]))
        assert loop.result(people.login("jane", 0.0)).recent == [(begun, begun + 7200)]
        assert loop.result(people.login("bob", 0.0)).recent == [(begun, begun)]
        assert loop.result(people.login("ann", 0.0)).recent == []
        lines = loop.result(people.report("user", span(BERLIN, date(2026, 2, 1), date(2026, 2, 28))))
        assert {line["key"]: line["seat_seconds"] for line in lines} == {"jane": 7200}


def test_sums_are_what_was_used_though_all_is_tried_twice(url: str, loop: CallLoop) -> None:
    """By user, day, node and job; for whole months, parts of them, and a single day."""
    sessions = [
        Session(1, "jane", "a", at("2026-01-31T22:00"), at("2026-02-01T03:00"), "left"),
        Session(2, "jane", "b", at("2026-02-10T10:00"), at("2026-02-10T12:00"), "time"),
        Session(4, "joe", "c", at("2026-04-02T00:00"), at("2026-06-29T00:00"), "left"),
        Session(3, "bob", "a", at("2026-03-20T10:00"), at("2026-03-20T11:00"), "left"),
    ]
    used = [
        Used(at("2026-02-10T10:00"), "jane", "a", "", 5, 1000, 36000.0, 18000.0, 10),
        Used(at("2026-03-20T10:00"), "jane", "b", "p", 6, 10, 3600.0, 3600.0, 20),
    ]
    with opened(loop, url) as people:
        for _ in range(2):
            for each in sessions:
                loop.result(people.save([], [(each, totals_of_session(BERLIN, each))]))
            loop.result(people.add_used(1, used, totals_of_used(BERLIN, used)))
        loop.result(people.add_used(2, used[1:], totals_of_used(BERLIN, used[1:])))

        def report(axis: str, first: date, last: date) -> dict[str, tuple[float, float]]:
            lines = loop.result(people.report(axis, span(BERLIN, first, last)))
            return {line["key"]: (line["seat_seconds"] / 3600, line["core_seconds"] / 3600) for line in lines}

        year = date(2026, 1, 1), date(2026, 12, 31)
        long = {"joe": (88 * 24, 0)}
        assert report("user", *year) == {"jane": (7, 12), "bob": (1, 0), **long}
        assert report("node", *year) == {"a": (6, 10), "b": (2, 2), "c": (88 * 24, 0)}
        assert report("user", date(2026, 5, 10), date(2026, 5, 19)) == {"joe": (240, 0)}
        assert report("user", date(2026, 4, 1), date(2026, 4, 9)) == {"joe": (8 * 24, 0)}
        assert report("user", date(2026, 6, 28), date(2026, 7, 9)) == {"joe": (24, 0)}
        assert report("job", *year) == {"5": (0, 10), "6": (0, 2)}
        days = report("day", date(2026, 1, 1), date(2026, 3, 31))
        assert days == {"2026-01-31": (2, 0), "2026-02-01": (3, 0), "2026-02-10": (2, 10), "2026-03-20": (1, 2)}
        assert list(days) == sorted(days)
        assert report("user", date(2026, 2, 1), date(2026, 2, 1)) == {"jane": (3, 0)}
        assert report("user", date(2026, 1, 31), date(2026, 3, 20)) == {"jane": (7, 12), "bob": (1, 0)}
        assert report("user", date(2026, 2, 10), date(2026, 3, 19)) == {"jane": (2, 10)}
        assert report("node", date(2026, 2, 2), date(2026, 2, 20)) == {"a": (0, 10), "b": (2, 0)}
        assert report("job", date(2026, 3, 2), date(2026, 3, 30)) == {"6": (0, 2)}
        (line,) = loop.result(people.report("job", span(BERLIN, date(2026, 3, 1), date(2026, 3, 31))))
        assert (line["tasks"], line["memory"], line["wall"]) == (20, 20, 7200.0)
        assert loop.result(people.tasks_since(at("2026-03-16T00:00"))) == [("jane", at("2026-03-20T10:00"), 7200.0)]
        assert len(loop.result(people.tasks_since(0.0))) == 2


def test_acts_are_written_with_what_they_do(url: str, loop: CallLoop) -> None:
    """The latest first."""
    with opened(loop, url) as people:
        for number in range(3):
            loop.result(people.put_users([Account("jane")], attrs.evolve(ACT, at=float(number), detail="ü")))
        assert [act.at for act in loop.result(people.acts(2))] == [2.0, 1.0]


def test_a_server_that_was_away(postgres: TemporaryPostgres, loop: CallLoop) -> None:
    """Whoever asks meanwhile is told; afterwards it goes on by itself, also where nobody noticed."""
    import psycopg

    name = f"test_{random.getrandbits(48):x}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    with opened(loop, postgres.url(name)) as people:
        loop.result(people.put_users([Account("jane")], ACT))
        postgres.stop()
        try:
            with pytest.raises(StoreError) as told:
                loop.result(people.login("jane", 0.0))
            assert postgres.password not in str(told.value)
            assert people.away
        finally:
            postgres.start()
        assert loop.result(people.login("jane", 0.0)).account == Account("jane")
        assert not people.away
        postgres.stop()
        postgres.start()
        loop.result(people.put_users([Account("bob")], ACT))
        assert len(loop.result(people.users())) == 2


def test_another_master_has_taken_the_database(url: str, loop: CallLoop) -> None:
    """Nothing is written any more by the one that was cut off."""
    with opened(loop, url) as people:
        loop.result(people.put_users([Account("jane")], ACT))
        import sqlalchemy as sa

        from asyncluster.store.address import parse_address

        with sa.create_engine(parse_address(url).url).begin() as connection:
            connection.execute(sa.text("UPDATE counters SET value = value + 1 WHERE name = 'opened'"))
        with pytest.raises(StoreError, match="another master"):
            loop.result(people.put_users([Account("bob")], ACT))
        assert loop.result(people.users()) == [Account("jane")]


def test_a_file_that_is_locked(tmp_path: Path, loop: CallLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who only asks is answered; who wants to change something is told; then it works again."""
    monkeypatch.setattr("asyncluster.store.sqlite.BUSY_SECONDS", 0.1)
    path = tmp_path / "master.sqlite"
    with opened(loop, f"sqlite:///{path}") as people:
        loop.result(people.put_users([Account("jane")], ACT))
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="locked"):
                loop.result(people.begin_session(Session(1, "jane", "a", 0.0, 0.0)))
            assert people.away
            assert loop.result(people.login("jane", 0.0)).account is not None
            other.execute("ROLLBACK")
        loop.result(people.begin_session(Session(1, "jane", "a", 0.0, 0.0)))
        assert len(loop.result(people.login("jane", -1.0)).recent) == 1


def test_in_memory_nothing_is_kept(loop: CallLoop) -> None:
    """It works alike, without a journal, and forgets."""
    for _ in range(2):
        people = People(loop, "sqlite://:memory:")
        assert loop.result(people.open()).accounts == []
        loop.result(people.put_users([Account("jane")], ACT))
        assert len(loop.result(people.users())) == 1
        assert loop.result(people.acts(5)) == [ACT]
        loop.result(people.close())
        with pytest.raises(StoreError, match="closed"):
            loop.result(people.users())
