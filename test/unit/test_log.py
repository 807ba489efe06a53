"""How events look, which are dropped, and what happens to the file."""

from __future__ import annotations

import json
import logging
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.logger import ILogObserver, Logger, LogLevel, globalLogPublisher
from twisted.python.failure import Failure

from asyncluster import log
from asyncluster.config.fields import Secret


@pytest.fixture(autouse=True)
def _leave_nothing() -> Iterator[None]:
    """Close what a test opened, and take the bridge away again."""
    root, level = logging.getLogger(), logging.getLogger().level
    yield
    while log._open_files:
        log._open_files.pop().close()
    for handler in list(root.handlers):
        if isinstance(handler, log.StandardBridge):
            root.removeHandler(handler)
    root.setLevel(level)


def event(text: str, **fields: Any) -> dict[str, Any]:
    """An event as twisted.logger makes it."""
    base = {"log_format": text, "log_level": LogLevel.info, "log_namespace": "asyncluster.test", "log_time": 0.0}
    return {**base, **fields}


def test_text_has_time_level_namespace() -> None:
    """One line an event."""
    assert (
        log.as_text(event("node {name}", name="n1"))
        == "1970-01-01T00:00:00.000+00:00 [info] asyncluster.test: node n1\n"
    )


def test_control_characters_cannot_forge_a_line() -> None:
    """A peer's name with a new line or an escape sequence stays inside of its event."""
    line = log.as_text(event("{name}", name="a\nb\x1b[2J\x9b"))
    assert line.endswith(": a\n    b\\x1b[2J\\x9b\n")


def test_json_is_one_object_a_line_with_fields_and_failure() -> None:
    """Values JSON cannot hold become their repr; a secret stays masked."""
    entry = log.as_json(
        event("{a}\n{b}", a=1, b=Secret("hunter2"), c=[float("nan")], d=b"x", log_failure=Failure(ValueError("bad")))
    )
    assert entry.count("\n") == 1
    parsed = json.loads(entry)
    assert parsed["text"] == "1\n***"
    assert parsed["fields"] == {"a": 1, "b": "Secret(***)", "c": ["nan"], "d": "b'x'"}
    assert parsed["failure"]["type"] == "ValueError"
    assert "hunter2" not in entry


def test_levels_by_namespace(tmp_path: Path) -> None:
    """The named part talks more, the rest less."""
    path = tmp_path / "a.log"
    observer = log.observer("warn, asyncluster.wire=debug", "text", str(path))
    for namespace, level in [("asyncluster.wire.link", LogLevel.debug), ("x", LogLevel.info), ("x", LogLevel.error)]:
        observer(event("{log_namespace} {log_level.name}", log_namespace=namespace, log_level=level))
    assert [line.split(": ")[1] for line in path.read_text().splitlines()] == ["asyncluster.wire.link debug", "x error"]


@pytest.mark.parametrize(("level", "format"), [("loud", "text"), ("info", "xml")])
def test_wrong_options_are_value_errors(level: str, format: str) -> None:
    """Said before anything is opened."""
    with pytest.raises(ValueError, match="is not a log"):
        log.observer(level, format)


def test_the_file_is_private_and_keeps_a_mode_given_later(tmp_path: Path) -> None:
    """0600 when we make it; an administrator's 0640 survives."""
    path = tmp_path / "a.log"
    log.observer(file=str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    log.observer(file=str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_reopen_after_logrotate(tmp_path: Path) -> None:
    """What comes after goes to the new file, which is private too."""
    path = tmp_path / "a.log"
    observer = log.observer(file=str(path))
    observer(event("before"))
    path.rename(tmp_path / "moved")
    log.reopen()
    observer(event("after"))
    assert "before" in (tmp_path / "moved").read_text()
    assert "after" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_big_files_are_moved_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And only so many are kept."""
    monkeypatch.setattr(log, "ROTATE_BYTES", 100)
    monkeypatch.setattr(log, "KEPT_FILES", 2)
    observer = log.observer(file=str(tmp_path / "a.log"))
    for _ in range(10):
        observer(event("x" * 200))
    assert sorted(os.listdir(tmp_path)) == ["a.log", "a.log.1", "a.log.2"]


def test_a_signal_reopens_in_the_reactors_next_round(tmp_path: Path) -> None:
    """The handler itself touches no file."""
    calls: list[Callable[..., object]] = []

    class Reactor:
        def callFromThread(self, callable: Callable[..., object]) -> None:
            calls.append(callable)

    before = signal.getsignal(signal.SIGUSR1)
    try:
        log.reopen_on_signal(Reactor())  # type: ignore[arg-type]  # only this method is used
        os.kill(os.getpid(), signal.SIGUSR1)
        assert calls == [log.reopen]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_the_standard_librarys_logging_is_bridged() -> None:
    """Level, namespace, text, traceback; braces in the text do no harm; a second call adds no second handler."""
    seen: list[dict[str, Any]] = []
    log.bridge_standard_logging("info")
    log.bridge_standard_logging("info, some.lib=debug")
    globalLogPublisher.addObserver(cast(ILogObserver, seen.append))
    try:
        logging.getLogger("some.lib").debug("{curly} %d", 5)
        logging.getLogger("other").debug("not wanted")
        try:
            int("bad")
        except ValueError:
            logging.getLogger("other").exception("oops")
    finally:
        globalLogPublisher.removeObserver(cast(ILogObserver, seen.append))
    mine = [found for found in seen if found["log_namespace"] in ("some.lib", "other")]
    assert [(found["log_namespace"], found["log_level"].name) for found in mine] == [
        ("some.lib", "debug"),
        ("other", "error"),
    ]
    assert "{curly} 5" in log.as_text(mine[0])
    assert "ValueError: invalid literal" in log.as_text(mine[1])


def test_text_that_is_no_unicode_is_written_all_the_same(tmp_path: Path) -> None:
    """A lone surrogate, as of an undecodable file name, is escaped."""
    path = tmp_path / "a.log"
    log.observer(file=str(path))(event("{name}", name="\udcff"))
    assert "\\udcff" in path.read_text()


@pytest.mark.real
def test_a_program_logs_to_standard_error() -> None:
    """start_logging: twisted and standard loggers, as JSON, with print left alone."""
    program = (
        "import logging; from asyncluster.log import start_logging; from twisted.logger import Logger\n"
        "start_logging('info', 'json'); Logger('one').info('hello {x}', x=1)\n"
        "logging.getLogger('two').warning('there')\n"
        "print('plain')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    entries = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(entry["namespace"], entry["text"]) for entry in entries] == [("one", "hello 1"), ("two", "there")]
    assert done.stdout == "plain\n"


def test_loggers_reach_an_observer(tmp_path: Path) -> None:
    """As the tap adds it: a Logger's event gets into the file."""
    path = tmp_path / "a.log"
    Logger("asyncluster.test", observer=log.observer("info", "text", str(path))).warn("{n} things", n=3)
    assert path.read_text().endswith("[warn] asyncluster.test: 3 things\n")
