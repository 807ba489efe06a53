"""An HTTP proxy on loopback that misbehaves by a plan: what a cloud's endpoint does on a bad day.

    with FaultProxy(5000, Seeded(7, {Kind.LOST: 0.1, Kind.STALE: 0.2}, errors=aws_error)) as proxy:
        client = boto3.client("ec2", endpoint_url=proxy.url)

A plan says of each request what is done to it: nothing, or one `Fault`.  `Seeded` draws, the same for the same seed and
the same requests; `Scripted` does what a test says, once or a few times.  It runs in threads, so it serves one who
blocks in the test's own thread as well as the reactor.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from types import TracebackType
from typing import Protocol

import attrs

HOP = frozenset({"connection", "content-length", "transfer-encoding", "keep-alive", "te", "upgrade", "server", "date"})
"""Headers of one connection only, or that this server writes itself."""

KEPT = 4
"""Answers of a question that are kept, for one that is stale."""

UPSTREAM_LIMIT = 120.0
"""Seconds that the real endpoint may take."""


class Kind(Enum):
    """What is done to a request."""

    NONE = "none"
    DELAY = "delay"  # forwarded and answered, later
    LOST = "lost"  # forwarded, takes effect, and the answer never comes
    STATUS = "status"  # not forwarded: 429, 500 or 503 with a body, and Retry-After
    STATUS_AFTER = "status after"  # the same, and it took effect
    HALF = "half"  # forwarded, and half of the body comes
    RESET = "reset"  # not forwarded, the connection is reset
    RESET_AFTER = "reset after"  # forwarded, takes effect, then it is reset
    STALE = "stale"  # a question only: answered with what was true some time ago


@attrs.frozen
class Fault:
    """What is done to one request.  seconds: of a delay before it is answered, of any kind; retry_after: seconds."""

    kind: Kind = Kind.NONE
    status: int = 503
    seconds: float = 0.0
    retry_after: int = 1


@attrs.frozen
class Request:
    """One as it came.  path: with its query."""

    method: str
    path: str
    body: bytes = b""

    @property
    def asks(self) -> bool:
        """It changes nothing: GET and HEAD, and what EC2 calls Describe or Get."""
        return self.method in {"GET", "HEAD"} or b"Action=Describe" in self.body or b"Action=Get" in self.body

    @property
    def text(self) -> str:
        """All of it on one line, to be matched."""
        return f"{self.method} {self.path} {self.body.decode('latin-1')}"


class Plan(Protocol):
    """What decides."""

    def fault(self, request: Request) -> Fault:
        """What is done to this one; called for one at a time."""


Errors = Callable[[int], tuple[str, bytes]]
"""The content type and body of an error with that status, as the endpoint would write it."""


def openstack_error(status: int) -> tuple[str, bytes]:
    """As nova writes it."""
    names = {429: "overLimit", 500: "computeFault", 503: "serviceUnavailable"}
    body = {names.get(status, "computeFault"): {"code": status, "message": "made by the fault proxy"}}
    return "application/json", json.dumps(body).encode()


def aws_error(status: int) -> tuple[str, bytes]:
    """As EC2 writes it."""
    code = {429: "RequestLimitExceeded", 500: "InternalError", 503: "RequestLimitExceeded"}.get(status, "Unavailable")
    return "text/xml", aws_body(code, "made by the fault proxy")


def aws_body(code: str, message: str) -> bytes:
    """Any error of EC2's."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>{code}</Code>'
        f"<Message>{message}</Message></Error></Errors><RequestID>0</RequestID></Response>"
    ).encode()


@attrs.define(eq=False)
class Seeded:
    """Draws.

    rates: chance of each kind, 0 to 1, together at most 1; longest: seconds of a delay; left: faults that it still
    makes, None = for ever; spare: requests whose text holds one of these are left alone.
    """

    seed: int
    rates: Mapping[Kind, float]
    longest: float = 0.2
    left: int | None = None
    spare: Sequence[str] = ()
    statuses: Sequence[int] = (429, 500, 503)
    _random: Random = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._random = Random(self.seed)  # noqa: S311 - it draws faults of tests

    def calm(self) -> None:
        """No more faults."""
        self.left = 0

    def fault(self, request: Request) -> Fault:
        """See Plan."""
        draw, status, seconds = self._random.random(), self._random.choice(self.statuses), self._random.random()
        if self.left == 0 or any(word in request.text for word in self.spare):
            return Fault()
        for kind, rate in self.rates.items():
            if draw < rate:
                if kind is Kind.STALE and not request.asks:
                    return Fault()
                if self.left is not None:
                    self.left -= 1
                return Fault(kind, status, self.longest * seconds if kind is Kind.DELAY else 0.0)
            draw -= rate
        return Fault()


@attrs.define(eq=False)
class Scripted:
    """Does as it is told: the first rule whose word is in the request's text and that has times left."""

    rules: list[tuple[str, Fault, int]] = attrs.field(factory=list)

    def add(self, word: str, fault: Fault, times: int = 1) -> None:
        """That many requests with that word in their text."""
        self.rules.append((word, fault, times))

    def calm(self) -> None:
        """No more faults."""
        self.rules.clear()

    def fault(self, request: Request) -> Fault:
        """See Plan."""
        for index, (word, fault, times) in enumerate(self.rules):
            if word in request.text and times > 0:
                self.rules[index] = (word, fault, times - 1)
                return fault
        return Fault()


@attrs.frozen
class Answer:
    """Of the endpoint.  headers: without those of one connection."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class FaultProxy:
    """Listens on 127.0.0.1 while it is entered.

    `seen` has what came, each with what was done to it.
    """

    def __init__(
        self, upstream: int, plan: Plan, *, errors: Errors = openstack_error, rewrite: Mapping[str, str] | None = None
    ) -> None:
        """What it stands before.

        upstream: the port of the real one, on 127.0.0.1; errors: makes the bodies of 429, 500, 503; rewrite: texts in
        answers that are replaced ("{url}" = this proxy's), for endpoints that tell their own addresses.
        """
        self.plan = plan
        self.seen: list[tuple[Request, Fault]] = []
        self._upstream = upstream
        self._errors = errors
        self._turn = threading.Lock()
        self._kept: dict[Request, deque[Answer]] = {}
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._rewrite = {old: new.replace("{url}", self.url) for old, new in (rewrite or {}).items()}

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Likewise."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def of(self, request: Request) -> Fault:
        """What is to be done to a request that came just now."""
        with self._turn:
            fault = self.plan.fault(request)
            if fault.kind is Kind.STALE and not self._kept.get(request):
                fault = Fault()  # there is nothing older as yet
            self.seen.append((request, fault))
            return fault

    def stale(self, request: Request) -> Answer:
        """The oldest answer that is kept."""
        with self._turn:
            return self._kept[request][0]

    def forward(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Ask the real one."""
        link = HTTPConnection("127.0.0.1", self._upstream, timeout=UPSTREAM_LIMIT)
        try:
            sent = {key: value for key, value in headers.items() if key.lower() not in HOP}
            link.request(request.method, request.path, request.body or None, sent)
            reply = link.getresponse()
            body = reply.read()
            kept = tuple((key, value) for key, value in reply.getheaders() if key.lower() not in HOP)
        finally:
            link.close()
        for old, new in self._rewrite.items():
            body = body.replace(old.encode(), new.encode())
            kept = tuple((key, value.replace(old, new)) for key, value in kept)
        answer = Answer(reply.status, kept, body)
        if request.asks and reply.status < 400:
            with self._turn:
                self._kept.setdefault(request, deque(maxlen=KEPT)).append(answer)
        return answer

    def error(self, fault: Fault) -> Answer:
        """What is said instead."""
        kind, body = self._errors(fault.status)
        return Answer(fault.status, (("Content-Type", kind), ("Retry-After", str(fault.retry_after))), body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Who hangs up on us is no error of ours."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: FaultProxy

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(self.command, self.path, self.rfile.read(length) if length else b"")
        fault = self.proxy.of(request)
        if fault.seconds:
            time.sleep(fault.seconds)
        if fault.kind is Kind.RESET:
            self._reset()
        elif fault.kind is Kind.STATUS:
            self._say(self.proxy.error(fault))
        elif fault.kind is Kind.STALE:
            self._say(self.proxy.stale(request))
        else:
            self._after(request, fault)

    def _after(self, request: Request, fault: Fault) -> None:
        """It takes effect first."""
        try:
            answer = self.proxy.forward(request, dict(self.headers.items()))
        except OSError:
            self._reset()  # as if the real one were where we are
            return
        if fault.kind is Kind.LOST:
            self._hang_up()
        elif fault.kind is Kind.RESET_AFTER:
            self._reset()
        elif fault.kind is Kind.STATUS_AFTER:
            self._say(self.proxy.error(fault))
        else:
            self._say(answer, half=fault.kind is Kind.HALF)

    def _say(self, answer: Answer, half: bool = False) -> None:
        with contextlib.suppress(OSError):  # the client does not wait any more
            self.send_response(answer.status)
            for key, value in answer.headers:
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body[: len(answer.body) // 2] if half else answer.body)
            if half:
                self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _reset(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _handle

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: `seen` tells more."""
