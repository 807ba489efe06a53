"""The face in the reactor's thread, with a database in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from asyncluster.errors import StoreError
from asyncluster.model.journal import Entry, StoredJob
from asyncluster.store.journal import Journal
from asyncluster.store.records import Found, Order
from asyncluster.testing.loop import CallLoop


@pytest.fixture
def loop() -> CallLoop:
    return CallLoop()


@pytest.fixture
def journal(loop: CallLoop) -> Iterator[Journal]:
    journal = Journal(loop, "sqlite://")
    assert loop.result(journal.open()) == Found([], [])
    yield journal
    loop.result(journal.close())


def test_what_waits_is_counted_until_it_is_durable(loop: CallLoop, journal: Journal) -> None:
    """The count goes up at once and to 0 with the commit, before callbacks are called."""
    seen: list[int] = []
    journal.append(Entry(1, 1, b"1234"))
    journal.append(Entry(1, 1, b"1234"))
    assert journal.waiting_bytes == 2 * (64 + 4)
    journal.when_durable(lambda: seen.append(journal.waiting_bytes))
    loop.until(lambda: bool(seen))
    assert seen == [0]


def test_callbacks_keep_their_order_even_when_they_ask_for_more(loop: CallLoop, journal: Journal) -> None:
    """One that a callback asks for comes after those that were there before; with nothing waiting it is at once."""
    seen: list[int] = []
    journal.append(Entry(1, 1, b""))
    journal.when_durable(lambda: journal.when_durable(lambda: seen.append(3)))
    journal.when_durable(lambda: seen.append(1))
    journal.when_durable(lambda: seen.append(2))
    assert seen == []
    loop.until(lambda: len(seen) == 3)
    assert seen == [1, 2, 3]
    journal.when_durable(lambda: seen.append(4))
    assert seen[3:] == [4]


def test_a_callback_that_fails_is_logged_and_the_next_is_called(loop: CallLoop, journal: Journal) -> None:
    """A slip of the master's does not stop the journal."""
    seen: list[int] = []
    journal.append(Entry(1, 1, b""))
    journal.when_durable(lambda: 1 / 0)
    journal.when_durable(lambda: seen.append(1))
    loop.until(lambda: bool(seen))


def test_what_cannot_be_kept_is_refused_at_once(journal: Journal) -> None:
    """In the caller's face, and nothing is queued that would fail for ever."""
    with pytest.raises(TypeError):
        journal.open_job(StoredJob(1, "me", {"a": object()}, 1.0))
    with pytest.raises(ValueError, match="NUL"):
        journal.open_job(StoredJob(1, "m\0e", {}, 1.0))
    with pytest.raises(ValueError, match="not all entries of job 1"):
        journal.rewrite(1, [Entry(2, 1, b"")])
    assert journal.waiting_bytes == 0


def test_nothing_is_taken_before_it_is_open_and_after_it_is_closed(loop: CallLoop) -> None:
    """It would never be durable, so it is an error of the caller's."""
    journal = Journal(loop, "sqlite://")
    with pytest.raises(StoreError, match="not open"):
        journal.append(Entry(1, 1, b""))
    loop.result(journal.close())
    loop.result(journal.open())
    with pytest.raises(StoreError, match="open already"):
        journal.open()
    closing = journal.close()
    with pytest.raises(StoreError, match="not open"):
        journal.append(Entry(1, 1, b""))
    loop.result(journal.close())
    loop.result(closing)


def test_closing_while_it_opens_waits_for_both(loop: CallLoop) -> None:
    """A master that is stopped in its first moment leaves nothing behind."""
    journal = Journal(loop, "sqlite://")
    opening, closing = journal.open(), journal.close()
    assert loop.result(opening) == Found([], [])
    loop.result(closing)


def test_an_opening_that_fails_can_be_tried_again(loop: CallLoop) -> None:
    """The Deferred tells why; a URL that is none is told the same way."""
    journal = Journal(loop, "nonsense")
    for _ in range(2):
        with pytest.raises(StoreError, match="URL cannot be read"):
            loop.result(journal.open())
    loop.result(journal.close())


class FullDisk:
    """A keeper that can commit nothing."""

    def open(self, set_aside: bool = False, room: object = None) -> Found:
        return Found([], [])

    def commit(self, orders: Sequence[Order], again: bool = False) -> None:
        raise StoreError("/f: disk full")

    def close(self) -> None:
        """Nothing is held."""


def test_what_could_not_be_written_is_never_called_durable(loop: CallLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Failing is told once, closing fails with the reason, and asking afterwards is refused."""
    monkeypatch.setattr("asyncluster.store.keeper.keeper_for", lambda url: FullDisk())
    journal = Journal(loop, "sqlite://")
    told: list[str] = []
    journal.failed = lambda error: told.append(str(error))
    loop.result(journal.open())
    journal.append(Entry(1, 1, b""))
    journal.when_durable(lambda: told.append("durable"))
    loop.until(lambda: bool(told))
    with pytest.raises(StoreError, match="closed before everything was written: /f: disk full"):
        loop.result(journal.close())
    with pytest.raises(StoreError, match="not open"):
        journal.when_durable(lambda: told.append("durable"))
    assert told == ["/f: disk full"]
