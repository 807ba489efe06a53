"""What tasks took is written once, whatever the database does."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from asyncluster.jobs.book import Counters, Spent
from asyncluster.master.usage import EVERY, UsageBook
from asyncluster.model.account import Used
from asyncluster.testing.people import BERLIN, Stage

NINE = datetime(2026, 11, 23, 9, tzinfo=BERLIN).timestamp()
MONDAY = datetime(2026, 11, 23, tzinfo=BERLIN).timestamp()
HOUR = 3600.0


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, NINE + 1800)


@pytest.fixture
def book(stage: Stage) -> UsageBook:
    book = UsageBook(stage.clock, stage.registry, Counters())
    book.startService()
    return book


def spend(book: UsageBook, tasks: int) -> None:
    book.counters.spent["a", 7] = Spent("jane", "night", tasks, tasks * 1_000_000, tasks * 4_000_000)


def test_once_a_minute_it_is_written(stage: Stage, book: UsageBook) -> None:
    """By job, node and hour; nothing where nothing ran."""
    spend(book, 10)
    book.clock.advance(EVERY)
    assert stage.people.used == {1: [Used(NINE, "jane", "a", "night", 7, 10, 40.0, 10.0)]}
    assert book.counters.spent == {}
    book.clock.advance(EVERY)
    assert len(stage.people.used) == 1


def test_a_database_that_is_away_loses_nothing(stage: Stage, book: UsageBook) -> None:
    """The batch that failed is tried again as it was, and what came meanwhile follows it."""
    spend(book, 1)
    stage.people.away = True
    book.clock.advance(EVERY)
    spend(book, 2)
    book.clock.advance(EVERY)
    stage.people.away = False
    book.clock.advance(EVERY)
    assert [each.tasks for each in stage.people.used[1]] == [1]
    book.clock.advance(EVERY)
    assert [each.tasks for each in stage.people.used[2]] == [2]


def test_the_end_writes_the_rest(stage: Stage, book: UsageBook) -> None:
    """All of it."""
    stage.people.away = True
    spend(book, 1)
    book.clock.advance(EVERY)
    spend(book, 2)
    stage.people.away = False
    book.stopService()
    assert [used[0].tasks for used in stage.people.used.values()] == [1, 2]


def test_while_it_writes_nothing_is_written_twice(stage: Stage, book: UsageBook) -> None:
    """A slow database is not asked again before it has answered."""
    stage.people.held = []
    spend(book, 1)
    book.clock.advance(EVERY)
    spend(book, 2)
    book.clock.advance(EVERY)
    assert len(stage.people.held) == 1
    stage.people.let_go()
    book.clock.advance(EVERY)
    assert [used[0].tasks for used in stage.people.used.values()] == [1, 2]


def test_a_clean_end_waits_for_the_write_that_is_under_way(stage: Stage, book: UsageBook) -> None:
    """And writes what has come since, before it says that it has ended."""
    stage.people.held = []
    spend(book, 1)
    book.clock.advance(EVERY)
    spend(book, 2)
    ended = book.stopService()
    assert not ended.called
    stage.people.let_go()
    assert ended.called
    assert [used[0].tasks for used in stage.people.used.values()] == [1, 2]


def test_what_ended_on_sunday_is_sundays(tmp_path: Path) -> None:
    """Also where the minute in which it is looked at ends on Monday: an hour's end is looked at as it comes."""
    stage = Stage(tmp_path, MONDAY - 90)
    book = UsageBook(stage.clock, stage.registry, Counters())
    book.startService()
    stage.clock.advance(EVERY)
    spend(book, 1)
    stage.clock.advance(30.0)
    spend(book, 2)
    stage.clock.advance(EVERY)
    assert [(used[0].hour, used[0].tasks) for used in stage.people.used.values()] == [(MONDAY - HOUR, 1), (MONDAY, 2)]


def test_a_database_that_is_away_for_hours_gets_each_hour_its_own(stage: Stage, book: UsageBook) -> None:
    """And each job one row an hour, however long it is away."""
    stage.people.away = True
    spend(book, 1)  # the batch that fails
    stage.clock.advance(EVERY)
    for _ in range(4):  # at 9:31, 9:51, 10:11 and 10:31
        spend(book, 1)
        stage.clock.pump([EVERY] * 20)
    stage.people.away = False
    stage.clock.advance(EVERY)
    rows = [(each.hour, each.tasks) for used in stage.people.used.values() for each in used]
    assert rows == [(NINE, 1), (NINE, 2), (NINE + HOUR, 2)]
