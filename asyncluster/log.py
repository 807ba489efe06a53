"""Logging: twisted.logger to standard error or to a file, as text or as one JSON object a line.

Decides how an event looks and which are dropped (a level for all, others for namespaces).  The standard
library's `logging` is bridged in.  Under twistd, `observer` gives what the tap hands to
`application.setComponent(ILogObserver, …)`; programs of their own call `start_logging`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, BinaryIO, Protocol

from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    globalLogBeginner,
)
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile
from zope.interface import implementer

from asyncluster.units import LEVELS, parse_levels

ROTATE_BYTES = 10 * 1024 * 1024
"""A log file of this size is moved aside by ourselves, in case that no logrotate does it."""

KEPT_FILES = 9
"""How many of those are kept: file.1 (the newest) to file.9."""

_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
OUTSPOKEN = ("boto3", "botocore", "keystoneauth", "keystoneauth1", "openstack", "urllib3")
"""Libraries whose debugging messages hold all that is sent, user data with secrets too: of these there are none."""

_TO_STANDARD = {"debug": 10, "info": 20, "warn": 30, "error": 40, "critical": 50}
_open_files: list[_OurLogFile] = []


class _Sink(Protocol):
    def write(self, data: bytes) -> object: ...

    def flush(self) -> object: ...


def start_logging(level: str = "info", format: str = "text", file: str | None = None) -> None:
    """Log everything of this process from now on.

    level: as `asyncluster.units.parse_levels` reads it; format: "text" or "json"; file: a path, or None or ""
    for standard error.  Raises ValueError for a level or format that there is not, OSError where the
    file cannot be opened.  Standard output and error stay what they are.
    """
    globalLogBeginner.beginLoggingTo([observer(level, format, file)], redirectStandardIO=False)
    bridge_standard_logging(level)


def observer(level: str = "info", format: str = "text", file: str | None = None) -> ILogObserver:
    """An observer of twisted.logger events; arguments and errors as of `start_logging`.

    Touches nothing global but the list of files that `reopen` opens anew; call
    `bridge_standard_logging` besides.
    """
    if format not in ("text", "json"):
        raise ValueError(f"{format!r} is not a log format; there are text and json")
    levels = parse_levels(level)
    render = as_json if format == "json" else as_text
    return filtered(_Writer(_log_file(file) if file else _StandardError(), render), levels)


def filtered(target: ILogObserver, levels: dict[str, str]) -> ILogObserver:
    """`target`, seen only by events of the levels given by namespace ("" for the rest)."""
    predicate = LogLevelFilterPredicate(LogLevel.levelWithName(levels.get("", "info")))
    for namespace, level in levels.items():
        if namespace:
            predicate.setLogLevelForNamespace(namespace, LogLevel.levelWithName(level))
    return FilteringLogObserver(target, [predicate])


def reopen() -> None:
    """Open the log files anew under their names: somebody (logrotate) has moved them away."""
    for file in _open_files:
        file.reopen()


def reopen_on_signal(reactor: IReactorFromThreads, number: int = signal.SIGUSR1) -> None:
    """Call `reopen` after each signal of that number.  For the main thread."""

    def caught(_number: int, _frame: object) -> None:
        # A write may be under way beneath us: leave it to the reactor's next round.
        reactor.callFromThread(reopen)

    signal.signal(number, caught)


def bridge_standard_logging(level: str = "info") -> None:
    """Send what other libraries log through `logging` to twisted.logger, under the same namespaces."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, StandardBridge):
            root.removeHandler(handler)
    root.addHandler(StandardBridge())
    levels = parse_levels(level)
    root.setLevel(_TO_STANDARD[levels[""]])
    for namespace, its_level in (dict.fromkeys(OUTSPOKEN, levels[""]) | levels).items():
        if namespace:
            least = logging.INFO if namespace.partition(".")[0] in OUTSPOKEN else logging.DEBUG
            logging.getLogger(namespace).setLevel(max(least, _TO_STANDARD[its_level]))


class StandardBridge(logging.Handler):
    """A handler of the standard library's logging that emits twisted.logger events."""

    def emit(self, record: logging.LogRecord) -> None:
        """Emit one event; a record that cannot be formatted is reported by `handleError`, as usual."""
        try:
            text = record.getMessage()
            more: dict[str, Any] = {}
            if record.exc_info and record.exc_info[1] is not None:
                kind, value, traceback = record.exc_info
                more["log_failure"] = Failure(value, kind, traceback)
            level = LEVELS[min(max(record.levelno // 10 - 1, 0), len(LEVELS) - 1)]
            Logger(namespace=record.name, source=record).emit(
                LogLevel.levelWithName(level), "{text}", text=text, **more
            )
        except Exception:
            self.handleError(record)


def as_text(event: LogEvent) -> str:
    """One event for people: time, level, namespace, text; further lines are indented.

    Control characters, which a peer may have put into a name, are shown and not sent to the terminal.
    """
    level = event.get("log_level")
    head = f"{_moment(event)} [{level.name if level else '-'}] {event.get('log_namespace', '-')}: "
    return (head + _text(event)).rstrip("\n").translate(_ESCAPES).replace("\n", "\n    ") + "\n"


def as_json(event: LogEvent) -> str:
    """One event as a JSON object: time, level, namespace, text, its own fields, failure (type, text, traceback)."""
    level = event.get("log_level")
    entry: dict[str, Any] = {
        "time": _moment(event),
        "level": level.name if level else None,
        "namespace": event.get("log_namespace"),
        "text": eventAsText(event, includeTraceback=False, includeTimestamp=False, includeSystem=False),
    }
    fields = {name: _plain(value) for name, value in event.items() if not name.startswith("log_") and name != "text"}
    if fields:
        entry["fields"] = fields
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        entry["failure"] = {
            "type": getattr(failure.type, "__qualname__", str(failure.type)),
            "text": failure.getErrorMessage(),
            "traceback": failure.getTraceback(),
        }
    return json.dumps(entry, default=_shown) + "\n"


@implementer(ILogObserver)
class _Writer:
    """Writes each event at once: a log that waits in a buffer is lost in the crash it would explain."""

    def __init__(self, sink: _Sink, render: Callable[[LogEvent], str]) -> None:
        self._sink = sink
        self._render = render

    def __call__(self, event: LogEvent) -> None:
        self._sink.write(self._render(event).encode("utf-8", "backslashreplace"))
        self._sink.flush()


class _StandardError:
    """The real standard error of the moment: twistd replaces sys.stderr by something that logs."""

    def write(self, data: bytes) -> None:
        if sys.__stderr__ is not None:
            sys.__stderr__.buffer.write(data)

    def flush(self) -> None:
        if sys.__stderr__ is not None:
            sys.__stderr__.flush()


class _OurLogFile(LogFile):
    """A log file that is made with mode 0600 and afterwards keeps the mode an administrator gave it."""

    closed: bool
    _file: BinaryIO
    size: int

    def _openFile(self) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._file = open(descriptor, "rb+", 0)  # noqa: SIM115 (closed by LogFile)
        self._file.seek(0, os.SEEK_END)
        self.closed = False
        self.size = self._file.tell()


def _log_file(path: str) -> _OurLogFile:
    file = _OurLogFile.fromFullPath(path, rotateLength=ROTATE_BYTES, maxRotatedFiles=KEPT_FILES)
    assert isinstance(file, _OurLogFile)
    _open_files.append(file)
    return file


def _moment(event: LogEvent) -> str:
    return datetime.fromtimestamp(event.get("log_time", 0.0), UTC).isoformat(timespec="milliseconds")


def _text(event: LogEvent) -> str:
    return eventAsText(event, includeTimestamp=False, includeSystem=False) or "(an event without text)"


def _plain(value: object) -> object:
    """What JSON can hold stays; all else becomes its repr, which masks a secret."""
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    return _shown(value)


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"(unprintable {type(value).__name__}: {type(error).__name__})"
