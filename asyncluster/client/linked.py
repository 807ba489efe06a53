"""Calls that depend on other calls: what stands for a call in arguments, and what is made of it when it is handed over.

A call has its number only when it is handed over, so until then the arguments know the calls they wait for
by their places in a list.  Since that happens in the order of submission, each of those has a number by then, or
has ended: then its value goes along, or the new call fails at once.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, NoReturn

import attrs

from asyncluster.client.outcomes import CANCELLED, ERROR, STAYS, VALUE
from asyncluster.client.pickling import (
    PROTOCOL,
    FutureInsideError,
    blame_argument,
    by_value,
    call_name,
    check_size,
    reason_of,
)
from asyncluster.errors import DependencyError, LimitExceededError, NotPicklableError, WorkerLostError
from asyncluster.model.chain import MOST, depends, links
from asyncluster.names import names_main

if TYPE_CHECKING:
    from asyncluster.client.codes import CodeTable


class Handle:
    """Mixed into what `submit` gives: stands for the call's value in the arguments of another one.

    Every face overrides all three members; what is raised here is for one that forgot.
    """

    __slots__ = ()

    @property
    def sink(self) -> Any:
        """The call, a `calls.Sink`."""
        raise NotImplementedError  # each face has its own

    @property
    def home(self) -> object:
        """The `Calls` of its job."""
        raise NotImplementedError  # each face has its own

    def outcome(self) -> tuple[int, Any] | None:
        """How it ended: kind and value as of `outcomes.meaning`; None while it has not."""
        raise NotImplementedError  # each face has its own

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise FutureInsideError(
            "a future cannot be pickled: pass it to `submit` among the arguments, or pass its result()"
        )


@attrs.define(eq=False)
class Linked:
    """A call that waits in the inbox, with what it depends on.

    payload: its arguments, with persistent ids for `values`, of which those that are here already are pickled;
    order: it waits for these without having their values.
    """

    sink: Any
    code: int
    payload: bytes
    values: Sequence[Handle | bytes]
    order: Sequence[Handle]

    @property
    def handles(self) -> list[Handle]:
        """All that it waits for."""
        return [*(each for each in self.values if isinstance(each, Handle)), *self.order]


def dump_linked(function: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[bytes, list[Handle]]:
    """Pickle (args, kwargs), each handle as a persistent id: its place in the list.

    Raises NotPicklableError naming the argument, TooLargeError.
    """
    found: dict[int, tuple[int, Handle]] = {}

    def place(thing: object) -> int | None:
        if not isinstance(thing, Handle):
            return None
        known = found.setdefault(id(thing.sink), (len(found), thing))
        return known[0]

    try:
        payload = _dump_plain((args, kwargs), place)
        plain = not names_main(payload)
    except Exception:  # any failure of plain pickle means: the other road
        plain = False
    if not plain:
        found.clear()
        try:
            payload = _dump_by_value((args, kwargs), place)
        except Exception as error:
            bare = [None if isinstance(each, Handle) else each for each in args]
            bare_words = {key: None if isinstance(each, Handle) else each for key, each in kwargs.items()}
            raise blame_argument(function, bare, bare_words, error) from error
    check_size(payload, f"the arguments of {call_name(function)}()")
    return payload, [handle for _, handle in found.values()]


def _dump_plain(value: object, place: Callable[[object], int | None]) -> bytes:
    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: object) -> int | None:
            return place(obj)

    file = io.BytesIO()
    Pickler(file, PROTOCOL).dump(value)
    return file.getvalue()


def _dump_by_value(value: object, place: Callable[[object], int | None]) -> bytes:
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
        def persistent_id(self, obj: object) -> int | None:
            return place(obj)

    file = io.BytesIO()
    Pickler(file, PROTOCOL).dump(value)
    return file.getvalue()


def link(
    home: object,
    codes: CodeTable,
    call: tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]],
    depends_on: object,
    make: Callable[[int], Any],
) -> tuple[Linked, DependencyError | None]:
    """A call of (function, args, kwargs), to be put into the inbox, and why it will not be made, or None.

    home: the `Calls` of its job; make(code): gives its sink.  Raises ValueError for a call of another job that has not
    ended, TypeError for a dependency that is no call, NotPicklableError, TooLargeError.
    """
    function, args, kwargs = call
    code = codes.number(function)
    if code < 0:  # one of a multitude of functions: it travels with its arguments
        code, args = codes.inline(), (function, *args)
    order = _checked(function, depends_on)
    payload, values = dump_linked(function, args, kwargs)
    if len(values) + len(order) > MOST:
        raise ValueError(f"{call_name(function)}() depends on {len(values) + len(order)} calls, {MOST} are possible")
    for handle in (*values, *order):
        if handle.home is not home:
            _check_foreign(function, handle)
    linked = Linked(
        make(code),
        code,
        payload,
        [_here(handle) for handle in values],
        [handle for handle in order if (handle.outcome() or (ERROR,))[0] != VALUE],
    )
    return linked, broken(linked.handles, call_name(function))


def _checked(function: object, depends_on: object) -> list[Handle]:
    order: dict[int, Handle] = {}
    if isinstance(depends_on, Handle):
        depends_on = (depends_on,)
    if not isinstance(depends_on, Iterable):
        kind = type(depends_on).__qualname__
        raise TypeError(
            f"depends_on of {call_name(function)}() is a list of what `submit` gave, or one of it, not a {kind}"
        )
    for each in depends_on:
        if not isinstance(each, Handle):
            kind = type(each).__qualname__
            raise TypeError(f"depends_on of {call_name(function)}() takes what `submit` gave, not a {kind}")
        order[id(each.sink)] = each
    return list(order.values())


def _check_foreign(function: object, handle: Handle) -> None:
    outcome = handle.outcome()
    if outcome is None:
        raise ValueError(
            f"{call_name(function)}() depends on a future of another Cluster that is not done: "
            "wait for it, or submit both to the same Cluster"
        )
    if outcome[0] == STAYS:
        raise ValueError(
            f"{call_name(function)}() depends on a future of another Cluster whose value is still at its master: "
            "ask for its result() first"
        )


def _here(handle: Handle) -> Handle | bytes:
    """The pickled value of a call that has one here."""
    kind, value = handle.outcome() or (ERROR, None)
    return _dump_value(value) if kind == VALUE else handle


def broken(handles: Iterable[Handle], name: str) -> DependencyError | None:
    """Why a call cannot be made whose dependencies are these; None when nothing speaks against it yet."""
    for handle in handles:
        kind, value = handle.outcome() or (VALUE, None)
        if kind in (ERROR, CANCELLED):
            return blame(name, handle, value if kind == ERROR else None)
    return None


def blame(name: str, handle: Handle, cause: BaseException | None) -> DependencyError:
    """The error of a call that was not made because of another one, with the chain that led there, as the master's.

    cause: that one's, None when it was cancelled.
    """
    error = DependencyError(depends(f"{name}()", _named(handle), _how(cause)))
    error.__cause__ = first_cause(cause)
    return error


def _named(handle: Handle) -> str:
    sink, names = handle.sink, getattr(handle.home, "names", {})
    called = f"{names[sink.code]}()" if sink.code in names else ""
    if sink.seq < 0:  # it has no number, as it was not made either
        return called or "another call"
    return f"task {sink.seq}, {called}" if called else f"task {sink.seq}"


def _how(cause: BaseException | None) -> list[str]:
    if cause is None:
        return ["was cancelled"]
    if isinstance(cause, WorkerLostError):
        return ["was lost"]
    if isinstance(cause, LimitExceededError):
        return ["went over a limit"]
    return links(str(cause)) if isinstance(cause, DependencyError) else ["failed"]


def first_cause(error: BaseException | None) -> BaseException:
    """The exception at the beginning of a chain of calls that were not made; None: it was cancelled."""
    while isinstance(error, DependencyError) and error.__cause__ is not None:
        error = error.__cause__
    return CancelledError() if error is None else error


def assemble(linked: Linked, name: str, number: Callable[[Any], int | None]) -> tuple[bytes, list[int], list[int]]:
    """The whole payload, and the numbers for its `After`.

    name: the call's, for errors; number(sink): of a call that the master knows.  Call it when `broken` says nothing.
    Raises NotPicklableError for a value that cannot travel, DependencyError.
    """
    sources: list[int | bytes] = []
    order: list[int] = []
    for each in linked.values:
        source = each if isinstance(each, bytes) else _number(each, name, number)
        sources.append(_dump_value(source[0]) if isinstance(source, tuple) else source)
    for handle in linked.order:
        known = _number(handle, name, number)
        if isinstance(known, int):
            order.append(known)
    payload = linked.payload
    if linked.values:
        payload = pickle.dumps(sources, PROTOCOL) + payload
        check_size(payload, "the arguments of a call, with values of other calls among them")
    return payload, [source for source in sources if isinstance(source, int)], order


def _number(handle: Handle, name: str, number: Callable[[Any], int | None]) -> int | tuple[Any]:
    """The number by which the master knows that call, or its value, as (value,)."""
    known = number(handle.sink)
    if known is not None:
        return known
    ended = handle.outcome()
    if ended is None:  # it was dropped, and nobody has heard of it yet
        raise blame(name, handle, None)
    kind, value = ended
    return int(value.seq) if kind == STAYS else (value,)


def _dump_value(value: object) -> bytes:
    try:
        payload = pickle.dumps(value, PROTOCOL)
        plain = not names_main(payload)
    except Exception:  # as in `dump_linked`
        plain = False
    try:
        return payload if plain else by_value(value)
    except Exception as error:
        kind = type(value).__qualname__
        raise NotPicklableError(
            f"the value of a call, a {kind}, cannot be sent to another one: {reason_of(error)}"
        ) from error
