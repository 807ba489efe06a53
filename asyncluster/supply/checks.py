"""Whether a node that runs has been set up: a port of it answers, Salt says so, or a class of the site's own does."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from asyncluster.errors import NoAnswerError
from asyncluster.interfaces import IReadinessCheck
from asyncluster.model.elastic_options import CheckOptions
from asyncluster.schedulers.run import Answer, Runner
from asyncluster.supply.named import Place, find, make
from asyncluster.supply.naming import check_name
from asyncluster.units import parse_duration

PORT_LIMIT = 10.0
"""Seconds for a connection to come about."""

SALT = "dynamiccluster.salt.SaltChecker"
"""What Dynamic Cluster's file calls `SaltCheck`."""

END = 300
"""Characters of what a command said that are told."""

_ERROR = re.compile(r"[A-Za-z]\w*Error: ")
_PLUGIN = "[dynamic-cluster] config-checker.plugin"
_PLACE = Place(f"{_PLUGIN}.name", f"{_PLUGIN}.arguments", "check")


def make_checks(options: CheckOptions, reactor: Any) -> list[IReadinessCheck]:
    """The checks that the file asks for, in the order in which they are made.  Raises ConfigError."""
    checks: list[IReadinessCheck] = []
    if options.port:
        checks.append(PortCheck(reactor, options.port))
    if options.plugin:
        checks.append(_plugin(options, reactor))
    return checks


def _plugin(options: CheckOptions, reactor: Any) -> IReadinessCheck:
    """An instance of the class of that name."""
    kind = SaltCheck if options.plugin == SALT else find(options.plugin, _PLACE)
    return make(kind, options.plugin, IReadinessCheck, _PLACE, (reactor,), options.arguments)  # type: ignore[no-any-return] # verified


@implementer(IReadinessCheck)
@attrs.frozen
class AllOf:
    """Several checks: the first that misses something is told, those behind it are not asked."""

    checks: Sequence[IReadinessCheck]

    def check(self, name: str, address: str) -> Deferred[str]:
        """See IReadinessCheck."""
        return Deferred.fromCoroutine(self._check(name, address))

    async def _check(self, name: str, address: str) -> str:
        for one in self.checks:
            missing = await one.check(name, address)
            if missing:
                return missing
        return ""


@implementer(IReadinessCheck)
@attrs.frozen
class PortCheck:
    """A node is set up when a TCP port of it is listened at.  limit: seconds for a connection to come about."""

    reactor: Any
    port: int
    limit: float = PORT_LIMIT

    def check(self, name: str, address: str) -> Deferred[str]:
        """See IReadinessCheck; a node without an address is looked for by its name."""
        return Deferred.fromCoroutine(self._check(address or name))

    async def _check(self, host: str) -> str:
        endpoint = HostnameEndpoint(self.reactor, host, self.port, timeout=self.limit)
        try:
            protocol: Any = await endpoint.connect(Factory.forProtocol(Protocol))
        except (ConnectError, DNSLookupError, OSError) as error:
            return f"port {self.port} at {host} does not answer: {str(error) or type(error).__name__}"
        protocol.transport.abortConnection()
        return ""


@implementer(IReadinessCheck)
class SaltCheck:
    """A node is set up when Salt's minion there answers and, by default, its high state has nothing left to change.

    Asks Salt's master through its own command, as `salt NODE test.ping` and `salt NODE state.highstate test=True` do;
    the minion's id is the node's name.
    """

    def __init__(
        self,
        reactor: Any,
        command: str = "salt",
        time_limit: str = "60s",
        asks: str = "highstate",
        runner: Runner | None = None,
    ) -> None:
        """command: Salt's, with options, such as "/usr/bin/salt -c /etc/salt"; asks: "highstate", or "ping" alone.

        time_limit: for one command; runner: runs it, None = as a process.  ValueError: it cannot be.
        """
        if asks not in {"highstate", "ping"}:
            raise ValueError(f"asks is highstate or ping, not {asks[:40]}")
        self._words = tuple(shlex.split(command))
        if not self._words:
            raise ValueError("command is empty; it is Salt's, such as /usr/bin/salt")
        self._limit = parse_duration(time_limit)
        self._asks = asks
        self._runner = runner or Runner(reactor, self._limit)

    def check(self, name: str, address: str) -> Deferred[str]:
        """See IReadinessCheck.  Fails with NoAnswerError where Salt itself cannot be asked."""
        return Deferred.fromCoroutine(self._check(check_name(name)))

    async def _check(self, name: str) -> str:
        answer = await self._ask(name, "test.ping")
        if answer is not True:
            return "its Salt minion does not answer: its key may not be accepted yet (`salt-key -L`)"
        if self._asks == "ping":
            return ""
        return _undone(await self._ask(name, "state.highstate", "test=True"))

    async def _ask(self, name: str, *words: str) -> object:
        """What the minion said; None = nothing."""
        seconds = str(max(1, int(self._limit / 2)))
        argv = (*self._words, "--out=json", "--static", "--timeout", seconds, "-L", name, *words)
        return _said(await self._runner.run(argv), name)


def _said(answer: Answer, name: str) -> object:
    """The minion's part of Salt's answer; None = there is none.  NoAnswerError: Salt's master gave none."""
    begin = answer.stdout.find("{")  # before it there may be a sentence
    try:
        found = json.loads(answer.stdout[begin:]) if begin >= 0 else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        lines = [line for line in (answer.stderr.strip() or answer.stdout.strip()).splitlines() if line.strip()]
        told = next((line for line in lines if _ERROR.match(line)), lines[-1] if lines else "it said nothing")
        raise NoAnswerError(f"{shlex.join(answer.argv)} ended with {answer.code}: {told[:END]}")
    return found.get(name)


def _undone(answer: object) -> str:
    """What a trial run of the high state says is missing; '' = nothing."""
    if isinstance(answer, list):  # it was not even tried: it is being applied, or cannot be read
        return f"its high state is not there yet: {'; '.join(map(str, answer))[:END]}"
    if not isinstance(answer, dict) or not answer:
        return "Salt says nothing of its high state"
    left = [one for one in answer.values() if not isinstance(one, dict) or one.get("result") is not True]
    if not left:
        return ""
    first = left[0] if isinstance(left[0], dict) else {}
    said = " ".join(str(first.get("comment", "")).split())[:END]
    return f"{len(left)} of {len(answer)} states of its high state are not there yet: {said}"
