"""Group commit and its patience, with a stand-in for the database."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence

import attrs
import pytest

from asyncluster.errors import StoreError
from asyncluster.model.journal import Entry
from asyncluster.store.records import DropJob, Order, WhenDurable, weight
from asyncluster.store.threads import FIRST_PAUSE, LONGEST_PAUSE, ClosingPause, Queued, Stop, Writer, pauses


def entry(number: int) -> Entry:
    return Entry(1, 1, b"%d" % number)


@attrs.define(eq=False)
class Books:
    """Notes each attempt; `meanwhile` happens during the first of a group, `faults` are raised in turn."""

    meanwhile: Callable[[Sequence[Order]], object] = lambda orders: None
    faults: list[Exception | None] = attrs.field(factory=list)
    attempts: list[tuple[list[Order], bool]] = attrs.field(factory=list)

    def commit(self, orders: Sequence[Order], again: bool = False) -> None:
        self.attempts.append((list(orders), again))
        if not again:
            self.meanwhile(orders)
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault


@attrs.define(eq=False)
class Ear:
    """Notes what it is told."""

    heard: list[object] = attrs.field(factory=list)

    def committed(self, weight: int, calls: Sequence[WhenDurable]) -> None:
        self.heard.append((weight, list(calls)))

    def failing(self, error: Exception) -> None:
        self.heard.append(error)

    def healed(self, attempts: int) -> None:
        self.heard.append(attempts)


def ran(books: Books, *queued: Queued, pause: Callable[[float], bool] = lambda seconds: False) -> Ear:
    """What a writer tells who finds this in its queue, and then a stop."""
    ear = Ear()
    writer = Writer(books, ear, pause)
    for item in (*queued, Stop()):
        writer.queue.put(item)
    writer.run()
    return ear


def test_what_waits_is_one_group_in_its_order() -> None:
    """All at once, told once, with the weight of all and the calls in their order."""
    books = Books()
    orders: list[Order] = [entry(1), DropJob(1), entry(2)]
    calls = [WhenDurable(lambda: None), WhenDurable(lambda: None)]
    ear = ran(books, orders[0], calls[0], *orders[1:], calls[1])
    assert books.attempts == [(orders, False)]
    assert ear.heard == [(sum(map(weight, orders)), calls)]


def test_what_comes_during_a_commit_is_the_next_group() -> None:
    """However many, it is one transaction; what comes first waits for nothing."""
    books, ear = Books(), Ear()
    writer = Writer(books, ear, lambda seconds: False)

    def meanwhile(orders: Sequence[Order]) -> None:
        if len(orders) == 1:
            for number in range(1, 101):
                writer.queue.put(entry(number))
            writer.queue.put(Stop())

    books.meanwhile = meanwhile
    writer.queue.put(entry(0))
    writer.run()
    assert books.attempts == [([entry(0)], False), ([entry(number) for number in range(1, 101)], False)]


def test_calls_alone_make_no_transaction() -> None:
    """There is nothing to write for them."""
    books, call = Books(), WhenDurable(lambda: None)
    assert ran(books, call).heard == [(0, [call])]
    assert books.attempts == []


def test_a_call_is_passed_on_only_after_the_commit() -> None:
    """While the group is being written nothing has been told."""
    ear, seen = Ear(), []
    books = Books(meanwhile=lambda orders: seen.append(list(ear.heard)))
    writer = Writer(books, ear, lambda seconds: False)
    for item in (entry(1), WhenDurable(lambda: None), Stop()):
        writer.queue.put(item)
    writer.run()
    assert seen == [[]]
    assert len(ear.heard) == 1


def test_a_group_that_fails_is_tried_again_unchanged_and_first() -> None:
    """Nothing that came later overtakes it; failure and health are told once each."""
    fault, paused = StoreError("disk full"), []
    books, ear = Books(faults=[fault, StoreError("still"), None]), Ear()
    writer = Writer(books, ear, lambda seconds: bool(paused.append(seconds)))
    books.meanwhile = lambda orders: orders == [entry(1)] and [writer.queue.put(item) for item in (entry(2), Stop())]
    writer.queue.put(entry(1))
    writer.run()
    assert books.attempts == [
        ([entry(1)], False),
        ([entry(1)], True),
        ([entry(1)], True),
        ([entry(2)], False),
    ]
    assert ear.heard == [fault, 3, (weight(entry(1)), []), (weight(entry(2)), [])]
    assert paused == list(itertools.islice(pauses(), 2))


def test_pauses_grow_to_a_limit() -> None:
    """From 0.1 to 5 seconds, doubling."""
    seconds = list(itertools.islice(pauses(), 12))
    assert seconds[0] == FIRST_PAUSE
    assert seconds[-1] == LONGEST_PAUSE
    assert all(later == min(2 * earlier, LONGEST_PAUSE) for earlier, later in itertools.pairwise(seconds))


def test_whoever_closes_gets_one_more_attempt() -> None:
    """Then the writer gives up with the reason, and has called nothing."""
    books = Books(faults=[StoreError("disk full")] * 9)
    writer = Writer(books, ear := Ear(), lambda seconds: True)
    for item in (entry(1), WhenDurable(lambda: None), Stop()):
        writer.queue.put(item)
    with pytest.raises(StoreError, match="closed before everything was written: disk full"):
        writer.run()
    assert len(books.attempts) == 2
    assert len(ear.heard) == 1


def test_any_exception_is_a_failure_like_others() -> None:
    """Even one that no database raises does not end the thread."""
    books = Books(faults=[ZeroDivisionError("slip"), MemoryError()])
    heard = ran(books, entry(1)).heard
    assert isinstance(heard[0], ZeroDivisionError)
    assert heard[1:] == [3, (weight(entry(1)), [])]


def test_a_pause_ends_when_it_is_closed() -> None:
    """At once, as do all that follow it."""
    pause = ClosingPause()
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.extend((pause(1e6), pause(1e6))))
    thread.start()
    pause.close()
    thread.join()
    assert answers == [True, True]
