"""What runs in a worker for one chunk of a `map`; imported there, so it stays small.

A chunk's values are pickled here and travel as bytes inside the task's value: that way a value that
cannot be pickled is blamed on its own item, and the client unpickles in the thread that wants them.
A chunk ends at the first item that fails; what came before it is delivered.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from asyncluster.errors import NotPicklableError, TaskExitError
from asyncluster.names import names_main

Failure = tuple[BaseException, str]
"""The exception of an item and the text of its traceback."""


def run_chunk(function: Callable[[Any], Any], items: Sequence[Any]) -> bytes:
    """Call `function(item)` for each item; see `load_chunk` for what comes back."""
    values: list[Any] = []
    failure: Failure | None = None
    try:
        values.extend(map(function, items))  # keeps what was there when an item raises
    except BaseException as error:
        failure = describe(error, function)
    return _dump(function, values, failure)


def run_chunk_star(function: Callable[..., Any], items: Sequence[tuple[Any, ...]]) -> bytes:
    """Call `function(*item)` for each item."""
    values: list[Any] = []
    failure: Failure | None = None
    try:
        for item in items:
            values.append(function(*item))
    except BaseException as error:
        failure = describe(error, function)
    return _dump(function, values, failure)


def call_inline(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function that came with its task: for those made for a single use."""
    return function(*args, **kwargs)


def load_chunk(payload: bytes) -> tuple[list[Any], Failure | None]:
    """The values of a chunk, and how the item after the last value failed."""
    values, failure = pickle.loads(payload)  # noqa: S301 (from a worker that proved itself; see docs on trust)
    return values, failure


def describe(error: BaseException, function: object) -> Failure:
    """An exception that is sure to arrive, and its traceback."""
    lines = traceback.format_exception(error)
    text = "".join(lines)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        code = error.code if isinstance(error, SystemExit) else 130  # as a shell has it after Ctrl-C
        said = f"({code!r})" if isinstance(error, SystemExit) else ""
        return TaskExitError(f"{name}() raised {type(error).__name__}{said}", _plain(code)), text
    try:
        pickle.loads(_dumps(error))  # noqa: S301 (our own bytes)
    except Exception as inner:
        mend = "give the class a __reduce__, or call super().__init__ with all arguments of its __init__"
        said = f"{name}() raised {type(error).__name__}: {error}, which cannot be pickled and loaded ({inner}); {mend}"
        return NotPicklableError(said), text
    error.__traceback__ = None
    return error, text


def _plain(code: object) -> object:
    return code if isinstance(code, (int, str, type(None))) else repr(code)


def _dumps(value: object) -> bytes:
    """As the worker does with a plain task's value: by value what `__main__` defines or pickle refuses."""
    try:
        payload = pickle.dumps(value, 5)
        if not names_main(payload):
            return payload
    except Exception:  # noqa: S110 (the other road)
        pass
    from asyncluster import byvalue

    return byvalue.dumps(value)


def _dump(function: object, values: list[Any], failure: Failure | None) -> bytes:
    try:
        return _dumps((values, failure))
    except Exception:
        return _dump_up_to_culprit(function, values)


def _dump_up_to_culprit(function: object, values: list[Any]) -> bytes:
    name = getattr(function, "__qualname__", type(function).__qualname__)
    for number, value in enumerate(values):
        try:
            _dumps(value)
        except Exception as error:
            text = f"the result of {name}(), a {type(value).__qualname__}, cannot be pickled: {error}"
            return _dumps((values[:number], (NotPicklableError(text), text)))
    text = f"the results of {name}() cannot be pickled together"
    return _dumps(([], (NotPicklableError(text), text)))
