"""A thread with a connection of its own, which does one piece of work after another and gives back what it found.

What goes wrong is told to who asked, with one exception: a connection that was idle and turns out to be gone is
replaced, and the work done again, since nothing of it can have been committed.  A commit whose answer never came is
an error.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

import attrs
import sqlalchemy as sa
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from asyncluster.errors import StoreError
from asyncluster.store.address import Address, cannot_write

T = TypeVar("T")
Work = Callable[[sa.Connection], T]


@attrs.frozen
class _Asked:
    work: Work[Any]
    reading: bool
    answer: Deferred[Any]


class _NotBegunError(Exception):
    """The work was not done: the connection was gone."""

    def __init__(self, cause: sa.exc.DBAPIError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Lane:
    """Asked in the reactor's thread; answers there.

    connect: gives a connection, in the lane's thread; check: looks, at the begin of each transaction that writes,
    whether the database is still ours.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads,
        name: str,
        address: Address,
        connect: Callable[[], sa.Connection],
        check: Callable[[sa.Connection], None],
    ) -> None:
        self._tell = reactor.callFromThread
        self._address, self._connect, self._check = address, connect, check
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()
        self._connection: sa.Connection | None = None
        self._closed: Deferred[None] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def ask(self, work: Work[T], reading: bool = False) -> Deferred[T]:
        """Do this in a transaction.  Fails with StoreError, or with what the work raises."""
        if self._closed is not None:
            return fail(StoreError("the database of accounts is closed", self._address.place))
        answer: Deferred[T] = Deferred()
        self._queue.put(_Asked(work, reading, answer))
        return answer

    def close(self) -> Deferred[None]:
        """Do what was asked for, then end."""
        if self._closed is None:
            self._closed = Deferred()
            self._queue.put(None)
        return self._closed

    def _run(self) -> None:
        while (asked := self._queue.get()) is not None:
            try:
                value = self._answer(asked)
            except Exception:
                self._tell(asked.answer.errback, Failure(captureVars=False))
            else:
                self._tell(asked.answer.callback, value)
        self._close()
        self._tell(self._ended)

    def _ended(self) -> None:
        self._thread.join()
        assert self._closed is not None
        self._closed.callback(None)

    def _answer(self, asked: _Asked) -> Any:
        with self._address.telling():
            if self._connection is not None:
                try:
                    return self._try(self._connection, asked)
                except _NotBegunError:
                    self._lose()
            self._connection = self._connect()
            try:
                return self._try(self._connection, asked)
            except _NotBegunError as error:
                raise error.cause from None

    def _try(self, connection: sa.Connection, asked: _Asked) -> Any:
        from asyncluster.store.sqlite import READING

        connection.execution_options(**{READING: asked.reading})
        try:
            transaction = connection.begin()
            if not asked.reading:
                self._check(connection)
            value = asked.work(connection)
        except sa.exc.DBAPIError as error:
            gone = error.connection_invalidated
            self._roll_back(connection)
            if cannot_write(error):
                self._lose()
            if gone:
                raise _NotBegunError(error) from error
            raise
        except BaseException:
            self._roll_back(connection)
            raise
        try:
            transaction.commit()
        except BaseException:
            self._roll_back(connection)
            self._lose()
            raise
        return value

    def _roll_back(self, connection: sa.Connection) -> None:
        try:
            connection.rollback()
        except Exception:
            self._lose()
        if connection.invalidated:
            self._lose()

    def _lose(self) -> None:
        if self._address.path != "":  # what is in memory is in this connection
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
            self._connection = None
