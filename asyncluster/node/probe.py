"""`python -m asyncluster.node.probe REPORT --config FILE`: what a node would find here, without becoming one.

Started by `asyncluster pool check` in the place of a pilot's node.  It proves itself to the master at each address and
says nothing more there; the report is JSON, written whole or not at all.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from asyncluster.config.base_conf import Settings
from asyncluster.config.load import load
from asyncluster.errors import AsynClusterError, RefusedError
from asyncluster.interfaces import IReactor
from asyncluster.model.messages import Message
from asyncluster.model.peer import Role
from asyncluster.node.facts import gather
from asyncluster.personal.files import write_private
from asyncluster.version import VERSION
from asyncluster.wire.accounts import Credentials
from asyncluster.wire.connect import connect_tcp


@attrs.define(eq=False)
class _Silent:
    """The handler of a link on which nothing is said."""

    def messages(self, messages: list[Message]) -> None:
        """Nobody is told."""

    def verb(self, name: str, args: tuple[Any, ...]) -> object:
        """None."""
        raise RefusedError(f"a probe does not answer {name[:40]}")

    def lost(self, reason: str) -> None:
        """It was ours to end."""


async def probe(reactor: IReactor, settings: Settings) -> dict[str, Any]:
    """All that is found, as basic types."""
    facts = gather("probe", settings.client.slots, "", VERSION)
    return {
        "host": socket.gethostname(),
        "executable": sys.executable,
        "python": platform.python_version(),
        "software": VERSION,
        "cores": facts.cores,
        "memory": facts.memory,
        "scratch": _scratch(os.environ.get("STATE_DIRECTORY") or tempfile.gettempdir()),
        "route": [
            await _route(reactor, settings, host, port or settings.common.tcp_port)
            for host, port in settings.client.host
        ],
    }


async def _route(reactor: IReactor, settings: Settings, host: str, port: int) -> dict[str, str]:
    """One address of the master: `fault` is "" where it works."""
    common, client = settings.common, settings.client
    credentials = Credentials(client.user, client.password.reveal(), common.server_password.reveal())
    fault = ""
    try:
        link = await connect_tcp(reactor, host, port, Role.NODE, credentials, lambda _: _Silent(), name="probe")
        link.close("it was a probe")
    except AsynClusterError as error:
        fault = str(error)
    return {"address": f"{host}:{port}", "fault": fault}


def _scratch(folder: str) -> dict[str, object]:
    """Whether something can be written there; free: bytes."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
        return {"folder": folder, "free": shutil.disk_usage(folder).free, "fault": ""}
    except OSError as error:
        return {"folder": folder, "free": 0, "fault": error.strerror or str(error)}


def main(arguments: Sequence[str]) -> None:
    """Probe, and write the report; exits with 1 and a sentence where there is no configuration to be had."""
    report, option, conf = arguments
    if option != "--config":
        raise SystemExit("usage: python -m asyncluster.node.probe REPORT --config FILE")
    try:
        settings = load(conf, need="node")
    except AsynClusterError as error:
        raise SystemExit(f"asyncluster: {error}") from None

    async def run(reactor: Any) -> None:
        write_private(Path(report), json.dumps(await probe(cast(IReactor, reactor), settings)))

    react(lambda reactor: Deferred.fromCoroutine(run(reactor)))


if __name__ == "__main__":
    main(sys.argv[1:])
