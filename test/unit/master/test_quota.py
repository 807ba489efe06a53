"""The limits of accounts at the board: hours, slots, and what changes while tasks wait and run."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred

from asyncluster.accounts.grant import Grant
from asyncluster.accounts.passwords import hash_password
from asyncluster.jobs.board import Board, NoteLoss, ToClient, ToNode
from asyncluster.master.quota import AGAIN, MOST, Quota
from asyncluster.model.account import Account, Opening, Session, Used
from asyncluster.model.job import JobSpec
from asyncluster.model.messages import EVERYTHING, Cancel, Code, Message, Outcome, Recall, Result, Started, Task
from asyncluster.model.need import Need
from asyncluster.model.node import NodeFacts
from asyncluster.model.peer import Peer, Role
from asyncluster.testing.people import BERLIN, FakePeople, Stage

NINE = datetime(2026, 11, 23, 9, tzinfo=BERLIN).timestamp()
ROOT = Peer(Role.CLIENT, "root", "unix", True)
PASSWORD = "correct horse battery"
JANE = Account("jane", enabled=True, daily=2 * 3600)
BOB = Account("bob", enabled=True, restricted=False, slots=1)
HOUR = 3600.0


class Site(Stage):
    """With a board, a node of four slots, and the clock of all of it."""

    def __init__(self, folder: Path, people: FakePeople, now: float = NINE, applies: bool = True) -> None:
        super().__init__(folder, now, people)
        self.board = Board()
        self.sent: list[Message] = []
        self.results: list[Message] = []
        self.quota = Quota(self.clock, self.sessions, self.board.owners, self.act, applies)
        self.quota.startService()
        self.board.join(NodeFacts("a", "host", 4, 4, 0, python="3.11"), 0.0)

    def act(self, actions: Any) -> None:
        for action in [*actions, *self.board.dispatch(self.clock.seconds())]:
            if isinstance(action, ToNode):
                self.sent += action.messages
            else:
                assert isinstance(action, ToClient | NoteLoss)
                self.results += action.messages if isinstance(action, ToClient) else []

    def submit(self, owner: str, *seqs: int, job: int = 1, cores: int = 1) -> None:
        if self.board.job_view(job) is None:
            self.board.open(JobSpec(job, owner))
            self.board.code(Code(job, 0, 0, b"f", Need(cores=cores)))
        self.act(self.board.submit(job, [Task(job, seq, 0, 0, b"") for seq in seqs]))

    def given(self) -> list[int]:
        """Numbers of the tasks that the node got since the last question."""
        found = [message.seq for message in self.sent if isinstance(message, Task)]
        self.sent = []
        return found

    def answer(self, *seqs: int, took: float = 60.0, outcome: int = Outcome.VALUE, job: int = 1) -> None:
        share = self.board._jobs[job].shares["a"]
        results = [Result(job, seq, share.tasks[seq].attempt, outcome, b"", int(took * 1e6)) for seq in seqs]
        self.act(self.board.results("a", results, self.clock.seconds()))

    def go_on(self, seconds: float) -> None:
        """In steps of at most a second."""
        for _ in range(int(seconds)):
            self.clock.advance(1.0)

    def reason(self, seq: int, job: int = 1) -> str:
        return self.board.explain(job, seq).reason

    def change(self, name: str, **changes: Any) -> None:
        self.registry.change(ROOT, name, "set", lambda account: attrs.evolve(account, **changes))


@pytest.fixture
def people() -> FakePeople:
    openings = [Opening(weekday=day, start=480, end=1080) for day in range(5)]
    return FakePeople({"jane": JANE, "bob": BOB}, openings=openings)


@pytest.fixture
def site(tmp_path: Path, people: FakePeople) -> Site:
    return Site(tmp_path, people)


def test_within_hours_tasks_run_and_are_charged(site: Site) -> None:
    """Against those of the day; at the limit the others wait, with that reason, and go on the next day."""
    site.submit("jane", *range(10))
    assert site.given() == [0, 1, 2, 3, 4]
    site.answer(0, 1, 2, 3, took=1750.0)
    site.go_on(2)
    assert site.given() == [5, 6, 7, 8]
    assert sum(site.quota.used_by("jane").values()) == pytest.approx(7000.0, abs=10)
    site.answer(4, took=300.0)
    assert site.given() == [9]
    site.go_on(2)
    assert site.sent == [Recall(EVERYTHING)]
    site.answer(9, outcome=Outcome.RETURNED)
    assert site.reason(9) == "jane's hours for today are used up; again on Tuesday 08:00"
    site.answer(5, 6, 7, 8, took=10.0)
    site.go_on(10)
    assert site.given() == []
    site.clock.advance(23 * HOUR)
    assert site.given() == [9]


def test_what_runs_counts_before_it_has_ended(site: Site) -> None:
    """Four cores use two hours in half an hour: nothing is begun after that, and what runs goes on."""
    site.submit("jane", 0, cores=4)
    site.submit("jane", 1)
    assert site.given() == [0]
    site.go_on(1795)
    assert site.board.owners.of("jane").bar == ""
    site.go_on(10)
    assert site.reason(1) == "jane's hours for today are used up; again on Tuesday 08:00"
    assert not any(isinstance(message, Cancel) for message in site.sent)
    site.answer(0, took=1810.0)
    site.go_on(2)
    assert sum(site.quota.used_by("jane").values()) == pytest.approx(4 * 1810.0)
    assert [result.outcome for result in site.results if isinstance(result, Result)] == [Outcome.VALUE]


def test_what_ran_under_a_master_that_was_killed_counts(site: Site) -> None:
    """As its node tells it, with its cores; once, however often the link breaks.  At its end it is charged whole."""
    site.submit("jane", 0, cores=4)
    site.submit("jane", 1)
    site.go_on(2)
    told = Started(1, 0, 1, int(1500 * 1e6))
    site.act(site.board.started("a", told))
    site.act(site.board.started("a", told))
    site.go_on(1)
    assert sum(site.quota.used_by("jane").values()) == pytest.approx(6000.0, abs=20)
    site.go_on(310)
    assert site.reason(1) == "jane's hours for today are used up; again on Tuesday 08:00"
    site.answer(0, took=1810.0)
    site.go_on(2)
    assert sum(site.quota.used_by("jane").values()) == pytest.approx(4 * 1810.0)


def test_what_ran_before_an_owner_had_hours_is_not_counted_late(site: Site) -> None:
    """Bob has no limit of hours when it is heard."""
    site.submit("bob", 0)
    site.act(site.board.started("a", Started(1, 0, 1, int(HOUR * 1e6))))
    site.go_on(2)
    assert site.board.owners.of("bob").before == 0


def test_tasks_wait_for_the_opening(tmp_path: Path, people: FakePeople) -> None:
    """They run when it comes; what runs at its end goes on, and the next wait."""
    site = Site(tmp_path, people, NINE - 2 * HOUR)
    site.submit("jane", *range(8))
    assert site.given() == []
    assert site.reason(0) == "outside opening hours of jane; next opening Monday 08:00"
    assert site.board.why_stuck(1) == site.reason(0)
    site.clock.advance(HOUR + 1)
    assert len(site.given()) >= 4
    site.change("jane", daily=None)
    site.clock.advance(10 * HOUR)
    site.answer(0, 1, took=30.0)
    assert site.given() == []
    assert site.reason(7) == "outside opening hours of jane; next opening Tuesday 08:00"


def test_sessions_and_tasks_use_the_same_hours(site: Site) -> None:
    """An hour at a desk leaves one for tasks, and what these use shortens a session."""
    argon = hash_password(PASSWORD)
    site.change("jane", argon2=argon)
    found: list[Any] = []
    site.submit("jane", 0)
    site.login("jane", PASSWORD, "desk-1").addCallback(found.append)
    assert found[0].granted == pytest.approx(2 * HOUR)
    site.go_on(31)
    site.answer(0, took=HOUR)
    site.go_on(2)
    left = found[0].left(site.clock.seconds())
    assert left == pytest.approx(HOUR, abs=40)
    site.pass_by(HOUR - 100)
    site.submit("jane", 1)
    assert site.given() == [0, 1]
    site.submit("jane", *range(2, 12))
    site.pass_by(120)
    assert site.reason(11) == "jane's hours for today are used up; again on Tuesday 08:00"
    assert not len(site.sessions.seats)
    again: list[Any] = []
    site.login("jane", PASSWORD, "desk-1").addCallback(again.append)
    assert again[0].rule == "daily"


def test_sessions_of_the_week_count(tmp_path: Path, people: FakePeople) -> None:
    """And what tasks used before the master was started anew."""
    people.accounts["jane"] = attrs.evolve(JANE, daily=None, weekly=3 * 3600)
    people.sessions[1] = Session(1, "jane", "desk-1", NINE - 2 * HOUR, NINE - HOUR / 2, "left")
    people.used[1] = [Used(NINE - HOUR, "jane", "a", "", 5, 3, 1.5 * HOUR, HOUR)]
    site = Site(tmp_path, people)
    site.submit("jane", 0)
    assert len(site.given()) == 1
    site.answer(0, took=1.0)
    site.quota.begin_with([("jane", NINE - HOUR, 1.5 * HOUR)])
    site.go_on(2)
    site.submit("jane", 1)
    site.quota.review("jane")
    assert site.reason(1) == "jane's hours for this week are used up; again on Monday 08:00"


def test_who_is_disabled_stops_at_once_and_goes_on_when_enabled(site: Site) -> None:
    """What runs ends and waits again, free of charge for its crash limit; others do not notice."""
    site.submit("jane", 0)
    site.submit("bob", 7, job=2)
    assert site.given() == [0, 7]
    site.change("jane", enabled=False)
    assert [message.seqs for message in site.sent if isinstance(message, Cancel)] == [[0]]
    site.go_on(5)
    assert sum(isinstance(message, Cancel) for message in site.sent) == 1
    site.answer(0, outcome=Outcome.CANCELLED)
    assert site.given() == []
    assert site.reason(0) == "the account jane is disabled; an administrator can `asyncluster user enable jane`"
    assert site.results == []
    site.change("jane", enabled=True)
    assert site.given() == [0]
    assert site.board.job_view(2).running == 1


def test_limits_that_change_while_tasks_wait(site: Site) -> None:
    """Slots, hours and openings: at once; and so when the account is taken away."""
    site.submit("bob", *range(8))
    assert site.given() == [0]
    assert site.reason(1).startswith("1 of the 1 slot that bob may have at once are in use")
    site.change("bob", slots=3)
    assert site.given() == [1, 2]
    site.change("bob", restricted=True, daily=0)
    assert "bob has no hours a day" in site.reason(5)
    site.change("bob", restricted=False, slots=0)
    assert site.reason(5).startswith("it takes 1 slot, and bob may have 0 at once; ")
    site.registry.remove(ROOT, "bob")
    assert site.given()[:1] == [3]


def test_openings_that_come_while_tasks_wait(tmp_path: Path, people: FakePeople) -> None:
    """They run at once."""
    people.openings.clear()
    site = Site(tmp_path, people)
    site.submit("jane", 0)
    assert site.reason(0) == "outside opening hours of jane; `asyncluster opening add` makes some, --for jane"
    site.registry.add_openings(ROOT, [Opening("jane", 0)])
    assert site.given() == [0]


def test_where_hours_are_for_sessions_only_tasks_run(tmp_path: Path, people: FakePeople) -> None:
    """Restricted, disabled, outside hours; but limits of slots hold."""
    people.accounts["jane"] = attrs.evolve(JANE, enabled=False, slots=2)
    site = Site(tmp_path, people, NINE - 5 * HOUR, applies=False)
    site.submit("jane", *range(5))
    assert site.given() == [0, 1]


def test_who_has_no_account_has_no_limits(site: Site) -> None:
    """The kernel said who it is."""
    site.submit("root", *range(4))
    assert site.given() == [0, 1, 2, 3]


def test_a_database_that_is_away_keeps_tasks_waiting(site: Site) -> None:
    """Of who is restricted and was not there before; they run when it is back."""
    site.people.away = True
    site.submit("jane", 0)
    site.submit("bob", 7, job=2)
    assert site.given() == [7]
    assert site.reason(0) == "the master's database is away: what jane has used of the hours is not known"
    site.go_on(AGAIN + 1)
    assert site.given() == []
    site.people.away = False
    site.go_on(AGAIN + 1)
    assert site.given() == [0]


def test_a_slow_database_is_waited_for(site: Site) -> None:
    """And asked once."""
    site.people.held = []
    site.submit("jane", 0)
    site.go_on(3)
    assert site.reason(0) == "what jane has used of the hours is being looked up"
    held: list[Deferred[None]] = site.people.held
    assert len(held) == 1
    site.people.let_go()
    assert site.given() == [0]


def test_many_owners_are_looked_at_in_turns(tmp_path: Path, people: FakePeople) -> None:
    """A word to everybody is heard by all, some in each turn of the reactor, and by each once."""
    names = [f"user{number}" for number in range(3 * MOST + 1)]
    people.accounts.update({name: Account(name, enabled=True, daily=HOUR) for name in names})
    site = Site(tmp_path, people)
    for number, name in enumerate(names):
        site.submit(name, 0, job=number + 1)
    site.registry.drop_openings(ROOT, list(people.openings))
    barred = [name for name in names if site.board.owners.of(name).bar]
    assert len(barred) == MOST
    site.clock.advance(0)
    assert all(site.board.owners.of(name).bar.startswith("outside opening hours") for name in names)
    site.quota.stopService()
    site.quota.review(None)
    assert not len(site.quota._looks)


def test_each_has_its_own_openings_or_everybodys(site: Site) -> None:
    """Found by name among those of thousands, also after a change."""
    assert site.registry.openings_of("jane") == site.registry.openings
    own = [Opening("jane", 2), Opening("jane", 5)]
    site.registry.add_openings(ROOT, own)
    assert site.registry.openings_of("jane") == own
    assert len(site.registry.openings_of("bob")) == 5
    site.registry.drop_openings(ROOT, own)
    assert len(site.registry.openings_of("jane")) == 5


def test_a_session_that_ended_while_it_was_looked_up_is_charged_whole(tmp_path: Path, people: FakePeople) -> None:
    """The book has it as it was half a minute ago; nobody is told its end again."""
    site = Site(tmp_path, people)
    begun = site.registry.now()
    site.sessions.seats.reserve("jane", "desk-1")
    site.sessions.seats.begin(1, "jane", "desk-1", begun, Grant(), site.clock.seconds())
    people.sessions[1] = Session(1, "jane", "desk-1", begun, begun)
    site.clock.advance(29.0)
    asked = people.held = []
    site.submit("jane", 0)
    site.sessions.leave("desk-1")
    assert len(asked) == 2  # which sessions there were, and what is to be written
    read, written = asked
    read.callback(None)
    written.callback(None)
    people.held = None
    assert site.sessions.unwritten("jane") == {}
    assert site.quota._watched["jane"].sat == {begun: begun + 29.0}


def test_what_runs_is_ended_at_some_nodes_at_a_time(
    tmp_path: Path, people: FakePeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of who is disabled; with thousands of them it would hold up everybody.  Who is enabled meanwhile goes on."""
    monkeypatch.setattr("asyncluster.jobs.owners.NODES", 2)
    site = Site(tmp_path, people)
    for number in range(6):
        site.board.join(NodeFacts(f"node-{number}", "host", 1, 1, 0, python="3.11"), 0.0)
    site.submit("jane", *range(10))
    assert len(site.given()) >= 10

    def ended() -> int:
        return sum(isinstance(message, Cancel) for message in site.sent)

    for enabled, count in ((False, 2), (True, 2)):
        site.change("jane", enabled=enabled)
        assert ended() == count
    site.clock.advance(0)
    assert ended() == 2
    site.sent = []
    site.change("jane", enabled=False)
    site.clock.advance(0)
    assert ended() == 5


def test_many_accounts_at_once_are_one_word_to_everybody(tmp_path: Path, people: FakePeople) -> None:
    """An import: limits hold at once, and hours are looked at in turns."""
    names = [f"user{number}" for number in range(4 * MOST)]
    site = Site(tmp_path, people)
    for number, name in enumerate(names):
        site.submit(name, 0, job=number + 1)
    told: list[str | None] = []
    site.registry.watchers.append(told.append)
    site.registry.add(ROOT, [Account(name, enabled=True, daily=0, slots=1) for name in names], "import")
    assert told == [None]
    assert {site.board.owners.of(name).slots for name in names} == {1}
    site.clock.advance(0)
    assert all("has no hours a day" in site.board.owners.of(name).bar for name in names)
    site.registry.add(ROOT, [Account(name, enabled=True, restricted=False) for name in names[:2]], "import")
    assert told == [None, *names[:2]]
    assert [bool(site.board.owners.of(name).bar) for name in names[:3]] == [False, False, True]
