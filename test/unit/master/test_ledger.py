"""Who hears when something is safe, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asyncluster.master.ledger import Ledger
from asyncluster.model.journal import StoredJob


class Book:
    """Everything becomes durable at `commit`."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None

    def when_durable(self, callback: Callable[[], object]) -> None:
        self.calls.append(callback)

    def commit(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


def test_the_order_holds_when_a_job_is_closed() -> None:
    """What is safe later is not told first: a count that goes back would cost the link."""
    book: Any = Book()
    ledger = Ledger(book)
    ledger.opened(StoredJob(1, "ann", {}, 0.0), durable=True)
    said: list[int] = []
    ledger.safe(1, lambda: said.append(11))
    ledger.closed(1)
    ledger.safe(1, lambda: said.append(20))
    assert said == []
    book.commit()
    assert said == [11, 20]
    ledger.safe(1, lambda: said.append(21))
    assert said == [11, 20, 21], "nothing is left to wait for"
