"""`map` over a session: cuts the input into chunks as the plan says, and brings the results into order.

Inputs whose length is known are fed from the reactor's thread as results come, whether anybody reads
the results or not.  Other iterables are pulled in the reader's own thread, a little ahead of
it, so they may be endless or bound to a thread.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import attrs

from asyncluster.client.calls import WAITING, Entry, Sink
from asyncluster.client.chunks import load_chunk, run_chunk, run_chunk_star
from asyncluster.client.outcomes import CANCELLED, ERROR, VALUE, unreadable, with_traceback
from asyncluster.client.pickling import TooLargeError, call_name, dump_call
from asyncluster.client.plan import ChunkPlan
from asyncluster.client.resubmitting import Resubmission, is_too_many
from asyncluster.errors import AsynClusterError, NotPicklableError, TaskError

AHEAD = 10_000
"""Items pulled ahead from an input of unknown length, unless buffersize says otherwise."""
PATIENCE = 0.5
"""Seconds after which items that have not come back count as long ones."""


class Core(Protocol):
    """What a map needs of the face that it runs for; callable from any thread."""

    @property
    def slots(self) -> int:
        """Tasks the cluster runs at a time."""

    def code_of_chunks(self, wrapper: Callable[..., Any], function: Callable[..., Any]) -> int:
        """The code number of `partial(wrapper, function)`, or -1: the function must travel with each chunk."""

    def code_inline(self, wrapper: Callable[..., Any]) -> int:
        """The code number of `wrapper`, for chunks that bring the function."""

    def put(self, entries: list[Entry]) -> None:
        """Hand calls over."""

    def drop(self, sinks: list[Sink]) -> None:
        """These calls are no longer wanted."""

    def begin_map(self, run: MapRun) -> None:
        """A map begins: in the reactor's thread call its `waited` after PATIENCE, and keep the session open."""

    def end_map(self, run: MapRun) -> None:
        """It has put everything in."""

    def retry_map(self, run: MapRun) -> None:
        """Something was refused: call its `retry` after PATIENCE, in the reactor's thread, and be open until then."""


@attrs.frozen
class Piece:
    """What came of one chunk: the values, as pickled by the worker, or an error; in the order of `number`."""

    number: int
    payload: bytes | None
    error: BaseException | None = None


class ChunkSink:
    """Where one chunk's end goes."""

    _cond = True  # tells the batch path of futures.py that this is no plain future

    def __init__(self, run: MapRun, number: int, items: Sequence[Any]) -> None:
        self.seq = WAITING
        self.code = run.code
        self.number = number
        self.count = len(items)
        self.items = items  # in case that they have to be handed in again
        self._run = run

    def settle(self, kind: int, value: Any, wall: int) -> None:
        """See `calls.Sink`."""
        self._run.arrived(self, kind, value, wall)


class MapRun:
    """One call of `map`.  `deliver` takes each Piece, in the reactor's thread or in that of `feed`."""

    def __init__(
        self,
        core: Core,
        function: Callable[..., Any],
        iterables: Sequence[Iterable[Any]],
        chunksize: int | str | None,
        buffersize: int | None,
        deliver: Callable[[Piece], None],
    ) -> None:
        size = _check_chunksize(chunksize)
        if buffersize is not None and (not isinstance(buffersize, int) or buffersize < 1):
            raise ValueError(f"buffersize is a number of items above 0, not {buffersize!r}")
        self.name = call_name(function)
        self.function = function
        star = len(iterables) != 1
        wrapper: Callable[..., Any] = run_chunk_star if star else run_chunk
        self.code = core.code_of_chunks(wrapper, function)
        self._lead: tuple[Any, ...] = ()  # goes before the items in each chunk
        if self.code < 0:  # one of a multitude of functions
            self.code, self._lead = core.code_inline(wrapper), (function,)
        self._pieces = 0  # numbered so far
        self._core = core
        self._deliver = deliver
        self._lock = threading.Lock()  # short: guards plan, numbers and what is flying
        self._feeding = threading.Lock()  # held while inputs are read and pickled; the reactor never waits for it
        self._again = False
        self._flying: dict[int, ChunkSink] = {}
        self._refused: Resubmission[ChunkSink] = Resubmission()
        self._stopped = False
        self._ended = False
        sizes = [_size(iterable) for iterable in iterables]
        known = bool(sizes) and all(size is not None for size in sizes)
        self.feeds_itself = known and buffersize is None
        total = min(size for size in sizes if size is not None) if known else None
        ahead = buffersize or (None if known else AHEAD)
        self._plan = ChunkPlan(total, core.slots, size, ahead)
        self._source: _Slices | _Pulled = _Slices(iterables, total) if total is not None else _Pulled(iterables)
        core.begin_map(self)
        self.feed()

    def finished(self, delivered: int) -> bool:
        """That many pieces were all."""
        with self._lock:
            return self._complete and delivered >= self._pieces

    def feed(self) -> None:
        """Put in as many chunks as the plan wants now."""
        self._again = True
        while self._again and self._feeding.acquire(blocking=False):
            try:
                self._again = False
                self._feed()
            finally:
                self._feeding.release()

    def arrived(self, sink: ChunkSink, kind: int, value: Any, wall: int) -> None:
        """A chunk has come back."""
        if kind == ERROR and is_too_many(value) and not self._stopped:
            with self._lock:
                first = self._refused.refused(sink)
            if first:
                self._core.retry_map(self)
            return
        with self._lock:
            self._flying.pop(sink.number, None)
            self._plan.done(sink.count, wall / 1e6 if kind == VALUE else None)
            # a lost link or a closed job: the rest would only meet the same end
            hopeless = isinstance(value, AsynClusterError) and not isinstance(value, TaskError)
            self._stopped = self._stopped or kind == CANCELLED or (kind == ERROR and hopeless)
        self._deliver(self._piece(sink, kind, value))
        if self.feeds_itself:
            self.feed()

    def retry(self) -> None:
        """Some time has gone by since chunks were refused: hand some of them in again."""
        if self._stopped:
            return
        with self._lock:
            sinks, more = self._refused.take()
        entries: list[Entry] = []
        for sink in sinks:
            sink.seq = WAITING
            entries.append((sink, self.code, self._dump(sink.items)))
        if entries:
            self._core.put(entries)
        if more:
            self._core.retry_map(self)

    def waited(self) -> None:
        """PATIENCE has gone by."""
        with self._lock:
            self._plan.waited()
        if self.feeds_itself:
            self.feed()

    def resize(self, slots: int) -> None:
        """The cluster has grown or shrunk."""
        with self._lock:
            self._plan.resize(slots)

    def cancel(self) -> None:
        """Nobody wants the rest."""
        with self._lock:
            self._stopped = True
            flying: list[Sink] = list(self._flying.values())
            self._flying.clear()
            self._refused.clear()
        if flying:
            self._core.drop(flying)
        self._end_if_complete()

    # -- inside

    def _piece(self, sink: ChunkSink, kind: int, value: Any) -> Piece:
        if kind == VALUE and isinstance(value, bytes):
            return Piece(sink.number, value)
        if kind == ERROR:
            return Piece(sink.number, None, value)
        if kind == CANCELLED:
            from concurrent.futures import CancelledError

            return Piece(sink.number, None, CancelledError(f"the map of {self.name} was cancelled"))
        return Piece(sink.number, None, TaskError(f"a chunk of {self.name} came back as {type(value).__name__}"))

    @property
    def _complete(self) -> bool:
        return self._stopped or self._plan.exhausted

    def _feed(self) -> None:
        entries: list[Entry] = []
        while not self._stopped:
            with self._lock:
                size = self._plan.size()
            if not size:
                break
            items, error = self._source.take(size)
            entries += self._enter(items, error, ends=len(items) < size)
        if entries:
            self._core.put(entries)
        self._end_if_complete()

    def _enter(self, items: Sequence[Any], error: BaseException | None, ends: bool) -> list[Entry]:
        """Make a call of items, which an error of the input or the end of the input may follow."""
        payload = b""
        try:
            payload = self._dump(items)
        except NotPicklableError as fault:
            if isinstance(fault, TooLargeError) and len(items) > 1:
                return self._halve(items, error, ends)
            items, error = self._blame(items)
            if items:
                payload = self._dump(items)
        entries: list[Entry] = []
        with self._lock:
            if items:
                self._plan.took(len(items))
                sink = self._flying[self._pieces] = ChunkSink(self, self._pieces, items)
                self._pieces += 1
                entries.append((sink, self.code, payload))
            if ends or error is not None:
                self._plan.end()
            number = self._pieces
            self._pieces += error is not None
        if error is not None:
            self._deliver(Piece(number, None, error))
        return entries

    def _dump(self, items: Sequence[Any]) -> bytes:
        return dump_call(self.function, (*self._lead, items), {})

    def _halve(self, items: Sequence[Any], error: BaseException | None, ends: bool) -> list[Entry]:
        """Items that are too large together may fit in two chunks."""
        half = len(items) // 2
        entries = self._enter(items[:half], None, ends=False)
        with self._lock:
            over = self._plan.exhausted  # an item of the first half cannot travel: the map ends there
        return entries if over else entries + self._enter(items[half:], error, ends)

    def _blame(self, items: Sequence[Any]) -> tuple[Sequence[Any], BaseException]:
        for place, item in enumerate(items):
            try:
                dump_call(self.function, item if self._source.star else (item,), {})
            except NotPicklableError as error:
                return items[:place], error
        return [], NotPicklableError(f"the inputs of {self.name}() cannot be pickled together")

    def _end_if_complete(self) -> None:
        with self._lock:
            if self._ended or not (self._complete or not self.feeds_itself):
                return
            self._ended = True
        self._core.end_map(self)


def open_piece(piece: Piece, name: str) -> tuple[list[Any], BaseException | None]:
    """The values of a piece, and the exception that comes after them."""
    if piece.payload is None:
        return [], piece.error
    try:
        values, failure = load_chunk(piece.payload)
    except KeyboardInterrupt:  # of the thread that reads
        raise
    except BaseException as error:  # unpickling runs code of the task's: it may even try to exit
        return [], unreadable("results", name, error)
    return values, with_traceback(*failure) if failure is not None else None


def _check_chunksize(chunksize: int | str | None) -> int | None:
    if chunksize is None or chunksize == "auto":
        return None
    if isinstance(chunksize, str) or chunksize < 1:
        raise ValueError(f'chunksize is "auto" or a number of items above 0, not {chunksize!r}')
    return int(chunksize)


def _size(iterable: Iterable[Any]) -> int | None:
    """Its length, None for what can be read only once or does not know."""
    if isinstance(iterable, Iterator):
        return None
    try:
        return len(iterable)  # type: ignore[arg-type]  # asking is the point
    except TypeError:
        return None


class _Slices:
    """Inputs that are all here: a copy of the list of items, or the range itself."""

    def __init__(self, iterables: Sequence[Iterable[Any]], total: int) -> None:
        self.star = len(iterables) != 1
        self._columns: list[Sequence[Any]] = [
            column if isinstance(column, (range, tuple)) else list(itertools.islice(column, total))
            for column in iterables
        ]
        self._place = 0
        self._total = total

    def take(self, size: int) -> tuple[Sequence[Any], None]:
        """The next items."""
        begin, end = self._place, min(self._place + size, self._total)
        self._place = end
        parts = [list(column[begin:end]) for column in self._columns]
        return (list(zip(*parts, strict=False)) if self.star else parts[0]), None


class _Pulled:
    """Inputs that are read as they are needed."""

    def __init__(self, iterables: Sequence[Iterable[Any]]) -> None:
        self.star = len(iterables) != 1
        self._items: Iterator[Any] = zip(*iterables, strict=False) if self.star else iter(iterables[0])

    def take(self, size: int) -> tuple[Sequence[Any], BaseException | None]:
        """The next items, fewer at the end, and what the input raised after them."""
        items: list[Any] = []
        try:
            items.extend(itertools.islice(self._items, size))  # keeps what came before an exception
        except Exception as error:
            return items, error
        return items, None
