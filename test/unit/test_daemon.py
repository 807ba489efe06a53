"""How a daemon ends."""

from __future__ import annotations

import types
from typing import Any

from twisted.application.service import Service

from asyncluster.daemon import Daemon


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
