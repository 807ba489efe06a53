"""Results and exceptions of tasks as bytes that a client can load.

Plain pickle first, since it is fast; cloudpickle where that fails or where the bytes name something of
`__main__`, which the client's machine knows under that name but this one does not (or the other way
round).  Modules made of a job's source are called `__main__job7`, so that the same test finds them.
"""

from __future__ import annotations

import pickle
import traceback
from types import TracebackType

import msgspec  # noqa: F401 (in the warm process: importing it later would cost each worker)

from asyncluster import byvalue
from asyncluster.errors import NotPicklableError, TaskError, TaskExitError
from asyncluster.model.messages import MAX_PAYLOAD
from asyncluster.names import names_main

LONGEST_TEXT = 65_536  # characters of a traceback; more is cut out of its middle
OURS = tuple(__file__.replace("pickles.py", name) for name in ("pickles.py", "namespace.py", "worker.py"))


def dump(value: object) -> bytes:
    """Pickle a value; raises whatever cloudpickle or the value's own methods raise."""
    try:
        data = pickle.dumps(value, 5)
    except Exception:  # what pickle cannot do, cloudpickle often can
        return byvalue.dumps(value)
    return byvalue.dumps(value) if names_main(data) else data


def dump_result(value: object, call: str) -> bytes:
    """Pickle a task's result.

    Raises NotPicklableError that names the type and the call.
    """
    try:
        data = dump(value)
    except (SystemExit, KeyboardInterrupt, Exception) as error:
        raise NotPicklableError(
            f"the result of {call}, {describe(value)}, cannot be pickled: {brief(error)}. "
            "Return plain data instead, or open files and connections inside the task."
        ) from None
    if len(data) > MAX_PAYLOAD:
        raise NotPicklableError(
            f"the result of {call} takes {len(data):,} bytes, the limit is {MAX_PAYLOAD:,}. "
            "Write bulk data to the site's file system and return its path."
        )
    return data


def dump_exception(error: BaseException, call: str) -> bytes:
    """Pickle (exception, traceback text) so that a client is sure to load it."""
    text = trace(error)
    if not isinstance(error, Exception):
        error = as_exit(error, call)
    try:
        data = dump((error, text))
    except BaseException as problem:  # methods of the user's class ran
        reason = f"cannot be pickled: {brief(problem)}; keep plain data in its arguments and attributes"
    else:
        reason = why_not(data, error)
        if not reason:
            return data
    note = f"{type(error).__module__}.{type(error).__qualname__}: {clip(say(error), 2000)}"
    return pickle.dumps((TaskError(f"{note} (raised by {call}; the exception itself {reason})"), text), 5)


def why_not(data: bytes, error: Exception) -> str:
    """Say why a client could not load that exception from these bytes, and what mends it; "" when it can."""
    if len(data) > MAX_PAYLOAD:
        return f"takes {len(data):,} bytes, the limit is {MAX_PAYLOAD:,}; keep less in it"
    try:
        loaded = pickle.loads(data)[0]  # noqa: S301 (our own bytes)
    except BaseException as problem:  # as above
        reason = f"cannot be made anew from its pickle: {brief(problem)}"
    else:
        if type(loaded) is type(error):
            return ""
        reason = "changes its type on the way"
    return f"{reason}; give the class a __reduce__, or call super().__init__ with all arguments of its __init__"


def as_exit(error: BaseException, call: str) -> TaskExitError:
    """Give an ordinary exception for one that would end the process."""
    code: object = error.code if isinstance(error, SystemExit) else exit_code(error)
    if not isinstance(code, int | str | None):
        code = clip(say(code), 2000)
    if not isinstance(error, SystemExit):
        return TaskExitError(f"{call} raised {type(error).__name__}", code)
    return TaskExitError(f"{call} called sys.exit" + (f" with {code!r}" if code is not None else ""), code)


def exit_code(error: BaseException) -> int:
    """Give the code with which Python would end: as a shell's for SIGINT, else that of a failure."""
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def trace(error: BaseException) -> str:
    """Give the traceback as text, from the first frame of the user's on, with the chained causes."""
    try:
        lines = traceback.TracebackException(type(error), error, users_part(error.__traceback__), compact=True)
        return clip("".join(lines.format()), LONGEST_TEXT)
    except BaseException as problem:  # str() of the user's exception ran, or the stack is full
        return f"{type(error).__name__} (its traceback cannot be shown: {type(problem).__name__})\n"


def users_part(trail: TracebackType | None) -> TracebackType | None:
    """Skip the frames that are ours."""
    while trail is not None and trail.tb_frame.f_code.co_filename in OURS:
        trail = trail.tb_next
    return trail


def describe(value: object) -> str:
    """Name an object by its type, without asking it anything."""
    kind = type(value)
    return f"an object of type {kind.__module__}.{kind.__qualname__}"


def brief(error: BaseException) -> str:
    """Give an exception on one bounded line."""
    return clip(f"{type(error).__name__}: {say(error)}", 500)


def say(value: object) -> str:
    """Give `str(value)`, whatever the value's class does."""
    try:
        return str(value)
    except BaseException:  # somebody else's method
        return "(it cannot be shown)"


def clip(text: str, limit: int) -> str:
    """Cut the middle out of a text that is too long."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
