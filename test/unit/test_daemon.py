"""How a daemon ends, and what it is settled into."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
from twisted.application.service import Service

from asyncluster.daemon import SWITCH, Daemon, settle


def test_a_service_that_failed() -> None:
    """Its reason is the daemon's, whose exit code says so: else systemd would not start it again."""
    common = types.SimpleNamespace(log_level="info", log_format="text", log_file="")
    settings: Any = types.SimpleNamespace(common=common)
    daemon = Daemon(settings)
    for failure in ("", "the disk is full"):
        service: Any = Service()
        service.failure = failure
        service.setServiceParent(daemon)
    Service().setServiceParent(daemon)
    assert daemon.failure == "the disk is full"
    assert Daemon(settings).failure == ""


def test_no_thread_keeps_the_interpreter_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reactor's has its turn after a millisecond for each that is at work."""
    monkeypatch.setattr("asyncluster.collecting.calm", lambda: None)  # it is for good, and the tests go on
    before = sys.getswitchinterval()
    try:
        settle()
        assert sys.getswitchinterval() == pytest.approx(SWITCH)
    finally:
        sys.setswitchinterval(before)
