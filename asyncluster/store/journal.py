"""The journal as the master has it, in the reactor's thread: queue now, be told when it is durable.

The database is touched by a thread of its own only, see `threads`; what is queued here costs about as much
as putting it into a list.  What the entries mean is the master's business.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

import attrs
import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

from asyncluster.errors import StoreError
from asyncluster.model.bulk import Room, in_memory
from asyncluster.model.journal import Entry, StoredJob
from asyncluster.store.records import WEIGHT, DropJob, Found, Notes, OpenJob, Order, Rewrite, WhenDurable, weight
from asyncluster.store.threads import ClosingPause, Stop, Writer

if TYPE_CHECKING:
    from asyncluster.store.keeper import Keeper

_log = Logger()

GATHER_SECONDS = 0.02
"""A transaction costs about a millisecond in which the reactor's thread may have to wait for the interpreter."""


def _not_open(_item: object) -> NoReturn:
    raise StoreError("the journal is not open")


def _ignore(*_what: object) -> None:
    """Nobody has asked."""


class Journal:
    """What must survive the master.  Queue in order; one transaction takes all that has gathered meanwhile.

    failed: called with a StoreError once commits begin to fail; from then on nothing is acknowledged until
    `healed` is called.  The same group is tried again for ever, so nothing is lost and the order stays.
    """

    def __init__(self, reactor: IReactorFromThreads, url: str, room: Callable[[int], Room] = in_memory) -> None:
        """room: for large data that is read back; url: "sqlite:////path/of/file", "sqlite://" for memory, "postgresql://user:password@host/base"."""
        self.failed: Callable[[Exception], object] = _ignore
        self.healed: Callable[[], object] = _ignore
        self._reactor = reactor
        self._url, self._room = url, room
        self._put: Callable[[Order | WhenDurable | Stop], None] = _not_open
        self._pause = ClosingPause()
        self._thread: threading.Thread | None = None
        self._closing: list[Deferred[None]] = []
        self._wanted = True
        self._writer: Writer | None = None
        self._waiting_bytes = 0
        self._waiting_calls = 0

    @property
    def waiting_bytes(self) -> int:
        """What is queued and not committed yet, 64 bytes an order added; 0 when everything is durable."""
        return self._waiting_bytes

    # -- life

    def open(self, set_aside: bool = False) -> Deferred[Found]:
        """Open the database, off the reactor's thread, and give what it holds.

        set_aside: should it be damaged, rename it and begin a new one.  Fails with StoreError (cannot be
        reached, another master has it, a newer release made it) or StoreDamagedError; may be tried again then.
        """
        if self._thread is not None:
            raise StoreError("the journal is open already")
        opened: Deferred[Found] = Deferred()
        self._wanted, self._pause = True, ClosingPause()
        self._waiting_bytes = self._waiting_calls = 0
        # a daemon: a program that ends without `close` is not held up by a disk that is full
        self._thread = threading.Thread(target=self._run, args=(set_aside, opened), name="journal", daemon=True)
        self._thread.start()
        return opened

    def close(self) -> Deferred[None]:
        """Write what waits, then close.

        Fails with StoreError where commits fail: after one more attempt it ends all the same, and what was
        never reported as durable may not be in the database.
        """
        if self._thread is None:
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._closing.append(closed)
        if self._wanted:
            self._wanted = False
            self._end()
        return closed

    # -- queueing

    def open_job(self, job: StoredJob) -> None:
        """Keep a job; one of that number is replaced.  Raises TypeError, ValueError for what cannot be kept."""
        if "\0" in job.owner:
            raise ValueError("an owner's name cannot have a NUL in it")
        self._order(OpenJob(job.job, job.owner, msgspec.msgpack.encode(job.spec), float(job.opened)))

    def append(self, entry: Entry) -> None:
        """Keep an entry, after all those before it."""
        self._put(entry)
        self._waiting_bytes += len(entry.data) + WEIGHT

    def rewrite(self, job: int, entries: Sequence[Entry]) -> None:
        """Replace all entries of a job by these: what was appended before is gone, what comes later follows.

        They take the places of the old ones among those of other jobs; more than there were go to the end.
        Raises ValueError for an entry of another job.
        """
        if any(entry.job != job for entry in entries):
            raise ValueError(f"these are not all entries of job {job}")
        self._order(Rewrite(job, tuple(entries)))

    def drop_job(self, job: int) -> None:
        """Forget a job and all its entries.  Its number is not given again."""
        self._order(DropJob(job))

    def note(self, notes: Mapping[str, bytes | None]) -> None:
        """Keep these by their keys instead of what was there; None: forget it.  Either all are kept or none."""
        if notes:
            self._order(Notes(dict(notes)))

    def when_durable(self, callback: Callable[[], object]) -> None:
        """Call this, in the reactor's thread, once all that was queued so far is durable: at once where it is.

        Callbacks are called in the order in which they came here.
        """
        if not self._waiting_bytes and not self._waiting_calls:
            callback()
            return
        self._put(WhenDurable(callback))
        self._waiting_calls += 1

    def _order(self, order: Order) -> None:
        self._put(order)
        self._waiting_bytes += weight(order)

    # -- the other thread

    def _run(self, set_aside: bool, opened: Deferred[Found]) -> None:
        tell = self._reactor.callFromThread
        try:
            from asyncluster.store.keeper import keeper_for  # SQLAlchemy: a third of a second, here in this thread

            keeper = keeper_for(self._url)
            found = keeper.open(set_aside, room=self._room)
        except Exception:
            tell(self._not_opened, Failure(captureVars=False), opened)
            return
        writer = Writer(keeper, _FromThread(self, tell), self._pause, GATHER_SECONDS)
        tell(self._opened, writer, found, opened)
        tell(self._closed, self._write(writer, keeper))

    def _write(self, writer: Writer, keeper: Keeper) -> Exception | None:
        try:
            writer.run()
        except Exception as error:
            return error
        finally:
            keeper.close()
        return None

    # -- back in the reactor's thread

    def _opened(self, writer: Writer, found: Found, opened: Deferred[Found]) -> None:
        self._writer = writer
        self._put = writer.queue.put
        if not self._wanted:
            self._end()
        opened.callback(found)

    def _not_opened(self, failure: Failure, opened: Deferred[Found]) -> None:
        self._closed(None)
        opened.errback(failure)

    def _end(self) -> None:
        if self._writer is not None:
            self._put, put = _not_open, self._put
            put(Stop())
            self._pause.close()

    def _committed(self, weight: int, calls: Sequence[WhenDurable]) -> None:
        self._waiting_bytes -= weight
        for call in calls:
            # not before: what a callback asks for comes after those that are still here
            self._waiting_calls -= 1
            _call(call.callback)

    def _failing(self, error: Exception) -> None:
        _log.error(
            "The journal cannot be written: {error}. It is tried again until it can, and nothing is acknowledged "
            "to clients meanwhile",
            error=str(error),
        )
        _call(lambda: self.failed(error))

    def _healed(self, attempts: int) -> None:
        _log.info("The journal is written again, nothing is missing; it took {attempts} attempts", attempts=attempts)
        _call(self.healed)

    def _closed(self, error: Exception | None) -> None:
        if self._thread is not None:
            self._thread.join()  # this was the last that it did
        self._thread = self._writer = None
        # The counts stay: what was not written is not durable, whoever asks later.
        self._put = _not_open
        closing, self._closing = self._closing, []
        if error is not None and not closing:
            _log.failure("The journal has ended by a fault of its own", Failure(error))
            _call(lambda: self.failed(error))
        for closed in closing:
            if error is None:
                closed.callback(None)
            else:
                closed.errback(error)


@attrs.frozen
class _FromThread:
    """Hands what the writer tells over to the reactor's thread."""

    journal: Journal
    tell: Callable[..., object]

    def committed(self, weight: int, calls: Sequence[WhenDurable]) -> None:
        self.tell(self.journal._committed, weight, calls)

    def failing(self, error: Exception) -> None:
        self.tell(self.journal._failing, error)

    def healed(self, attempts: int) -> None:
        self.tell(self.journal._healed, attempts)


def _call(callback: Callable[[], object]) -> None:
    try:
        callback()
    except Exception:
        _log.failure("A callback of the journal failed")
