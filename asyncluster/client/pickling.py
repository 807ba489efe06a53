"""How calls and functions become bytes, and what is said when they cannot.

Arguments take the fast road, plain pickle, and cloudpickle only where plain pickle fails or would name
something of `__main__`, which is another module in a worker.  Functions always take cloudpickle, which
sends importable ones by reference.  Knows nothing of jobs, links or results.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, MethodType
from typing import Any

from asyncluster.errors import NotPicklableError
from asyncluster.model.messages import MAX_PAYLOAD
from asyncluster.names import names_main

PROTOCOL = 5
ADVICE = "Pass plain data, or open files and connections inside the task."

_dumps = pickle.dumps


class FutureInsideError(NotPicklableError, TypeError):
    """What is pickled holds a future.  Pass it to `submit` among the arguments, or pass its result."""


class TooLargeError(NotPicklableError):
    """The pickle is larger than the wire carries.  Move bulk data by the site's file system, pass its path."""


def call_name(function: object) -> str:
    """The name of a callable as its user wrote it, for messages."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    if isinstance(name, str):
        return name.replace(".<locals>", "")
    return type(function).__qualname__


def dump_call(function: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
    """Pickle (args, kwargs) of a call of `function`.

    Raises FutureInsideError where a call's future is among them; NotPicklableError that names the argument, its type,
    the call and the reason; TooLargeError.
    """
    try:
        payload = _dumps((args, kwargs), PROTOCOL)
        plain = not names_main(payload)
    except FutureInsideError:
        raise
    except Exception:  # any failure of plain pickle means: the other road
        plain = False
    if not plain:
        try:
            payload = by_value((args, kwargs))
        except FutureInsideError:
            raise
        except Exception as error:
            raise blame_argument(function, args, kwargs, error) from error
    if len(payload) > MAX_PAYLOAD:
        check_size(payload, f"the arguments of {call_name(function)}()")
    return payload


def by_value(value: object) -> bytes:
    """Pickle with cloudpickle: what `__main__` defines, lambdas and closures go along by value."""
    import cloudpickle

    return bytes(cloudpickle.dumps(value, PROTOCOL))


def dump_function(function: Callable[..., Any], name: str = "") -> bytes:
    """Pickle a callable, once a job.  Raises NotPicklableError naming it and what it drags along; TooLargeError."""
    try:
        payload = by_value(function)
    except Exception as error:
        name = name or call_name(function)
        culprit = _captured_culprit(function)
        drags = f" because of {culprit}" if culprit else ""
        raise NotPicklableError(
            f"the function {name} cannot be sent to a worker{drags}: {reason_of(error)}. {ADVICE}"
        ) from error
    check_size(payload, f"the function {name or call_name(function)}, with what it captures")
    return payload


def check_size(payload: bytes, what: str) -> None:
    """Raise TooLargeError for more than the wire carries; `what` was pickled, for the message."""
    if len(payload) > MAX_PAYLOAD:
        raise TooLargeError(
            f"too large to be sent: {what}: {len(payload):,} bytes pickled, the limit is {MAX_PAYLOAD:,}; "
            "move bulk data by the site's file system, pass its path"
        )


def reason_of(error: BaseException) -> str:
    """The inner reason in a few words."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def blame_argument(
    function: object, args: Sequence[object], kwargs: Mapping[str, object], error: Exception
) -> NotPicklableError:
    """The error that names the argument which cannot be pickled by value."""
    name = call_name(function)
    named: list[tuple[str, object]] = [(f"argument {number}", value) for number, value in enumerate(args)]
    named += [(f"argument {key!r}", value) for key, value in kwargs.items()]
    for label, value in named:
        try:
            by_value(value)
        except Exception as inner:
            kind = type(value).__qualname__
            return NotPicklableError(f"{label} of {name}(), a {kind}, cannot be pickled: {reason_of(inner)}. {ADVICE}")
    return NotPicklableError(f"the arguments of {name}() cannot be pickled: {reason_of(error)}. {ADVICE}")


def _captured_culprit(function: object) -> str:
    """Which captured variable, default or bound object of a function cannot be pickled."""
    if isinstance(function, MethodType):
        return "" if _picklable(function.__self__) else f"its object, a {type(function.__self__).__qualname__}"
    if isinstance(function, functools.partial):
        function = function.func
    if not isinstance(function, FunctionType):
        return ""
    captured = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=False))
    for variable, cell in captured.items():
        try:
            content = cell.cell_contents
        except ValueError:  # not yet bound
            continue
        if content is not function and not _picklable(content):
            return f"the captured variable {variable!r}, a {type(content).__qualname__}"
    for variable in function.__code__.co_names:
        if variable in function.__globals__ and not _picklable(function.__globals__[variable]):
            return f"the global variable {variable!r}, a {type(function.__globals__[variable]).__qualname__}"
    return ""


def _picklable(value: object) -> bool:
    try:
        by_value(value)
    except Exception:
        return False
    return True
