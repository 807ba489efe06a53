"""What a result means to the caller: a value, an exception to raise, or a cancellation."""

from __future__ import annotations

import pickle
from typing import Any, Final

from asyncluster.client.pickling import reason_of
from asyncluster.errors import (
    DependencyError,
    LimitExceededError,
    RefusedError,
    RemoteTraceback,
    StepFailedError,
    TaskError,
    WorkerLostError,
)
from asyncluster.model.messages import Outcome, Result
from asyncluster.model.refusal import read

VALUE: Final = 0
ERROR: Final = 1
CANCELLED: Final = 2
STAYS: Final = 3  # a value that is at the master: a `stays.Stay`

CRASHES: Final = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE")

_loads = pickle.loads


def meaning(result: Result, name: str) -> tuple[int, Any]:
    """(VALUE, value), (ERROR, exception) or (CANCELLED, None); `name` is the call's, for messages.

    Never raises: what cannot be unpickled here is an ERROR with a TaskError.
    """
    outcome = result.outcome
    if outcome == Outcome.VALUE:
        try:
            return VALUE, _loads(result.payload)
        except BaseException as error:  # unpickling runs code of the task's: it may even try to exit
            return ERROR, unreadable("result", name, error)
    if outcome == Outcome.EXCEPTION:
        return ERROR, _exception(result.payload, name)
    if outcome in (Outcome.CANCELLED, Outcome.RETURNED):
        return CANCELLED, None
    text = result.payload.decode("utf-8", "replace")
    if outcome == Outcome.LOST:
        return ERROR, WorkerLostError(_naming(name, text) + _advice(text))
    if outcome == Outcome.UNPREPARED:
        return ERROR, StepFailedError(_naming(name, text))
    if outcome == Outcome.DEPENDENCY:
        return ERROR, DependencyError(_naming(name, text))
    if outcome == Outcome.LIMIT:
        return ERROR, LimitExceededError(_naming(name, text))
    text, needs = read(result.payload)
    return ERROR, RefusedError(_naming(name, text), needs)


def with_traceback(error: BaseException, text: str) -> BaseException:
    """Attach the worker's traceback as the cause."""
    error.__cause__ = RemoteTraceback(text)
    return error


def unreadable(what: str, name: str, error: BaseException) -> TaskError:
    """For bytes that came well but cannot be unpickled here."""
    failure = TaskError(f"the {what} of {name}() came but cannot be unpickled here: {reason_of(error)}")
    failure.__cause__ = error
    return failure


def _exception(payload: bytes, name: str) -> BaseException:
    try:
        error, text = _loads(payload)
    except BaseException as inner:
        return unreadable("exception", name, inner)
    if not isinstance(error, BaseException):
        return TaskError(f"{name}() failed with something that is no exception: {error!r}")
    return with_traceback(error, str(text))


def _naming(name: str, text: str) -> str:
    # only the first line is ours for certain: "kill" is in "killed", and a stack below has all kinds of names
    return text if f"{name}()" in text.partition("\n")[0] else f"{name}(): {text}"


def _advice(text: str) -> str:
    if not any(f"({crash})" in text for crash in CRASHES):
        return ""
    return "\nIt crashes by itself; to look at it alone: `asyncluster exec -- python -X faulthandler -c '...'`"
