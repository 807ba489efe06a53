"""The fault proxy against an endpoint of our own: what reaches it, and what comes back."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from asyncluster.testing.faultproxy import (
    Fault,
    FaultProxy,
    Kind,
    Plan,
    Request,
    Scripted,
    Seeded,
    aws_error,
    openstack_error,
)


class _Counter(BaseHTTPRequestHandler):
    """POST adds one; GET tells how many."""

    protocol_version = "HTTP/1.1"
    made: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        self.made.append(self.rfile.read(int(self.headers["Content-Length"])))
        self._say(b"made " + self.headers["X-Who"].encode())

    def do_GET(self) -> None:
        self._say(b"%d at http://127.0.0.1:1" % len(self.made))

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Kind", "real")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def before_counter(plan: Plan, errors: object = openstack_error) -> Iterator[FaultProxy]:
    """A proxy before a fresh counter."""
    handler = type("Fresh", (_Counter,), {"made": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    port = int(server.server_address[1])
    try:
        with FaultProxy(port, plan, errors=errors, rewrite={"http://127.0.0.1:1": "{url}"}) as proxy:  # type: ignore[arg-type]
            yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(
    proxy: FaultProxy, method: str = "POST", body: bytes = b"Action=RunInstances"
) -> tuple[int, dict[str, str], bytes]:
    """One question on a connection of its own."""
    link = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    try:
        link.request(method, "/here?x=1", body if method == "POST" else None, {"X-Who": "me"})
        reply = link.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()
    finally:
        link.close()


def count(proxy: FaultProxy) -> bytes:
    """What has taken effect, and the address that the endpoint tells."""
    return ask(proxy, "GET")[2]


def told(proxy: FaultProxy, number: int) -> bytes:
    """What `count` gives for so many."""
    return b"%d at %s" % (number, proxy.url.encode())


def test_what_is_let_through() -> None:
    """Method, headers and body both ways; the endpoint's own address is the proxy's."""
    with before_counter(Scripted()) as proxy:
        status, headers, body = ask(proxy)
        assert (status, headers["X-Kind"], body) == (200, "real", b"made me")
        assert count(proxy) == told(proxy, 1)
        assert [(request.method, fault.kind) for request, fault in proxy.seen] == [
            ("POST", Kind.NONE),
            ("GET", Kind.NONE),
        ]


@pytest.mark.parametrize(
    ("kind", "effect", "error"),
    [
        (Kind.LOST, 1, http.client.RemoteDisconnected),
        (Kind.RESET_AFTER, 1, ConnectionResetError),
        (Kind.RESET, 0, ConnectionResetError),
        (Kind.HALF, 1, http.client.IncompleteRead),
    ],
)
def test_answers_that_do_not_come(kind: Kind, effect: int, error: type[Exception]) -> None:
    """Some after it took effect, which the next question shows."""
    plan = Scripted()
    plan.add("RunInstances", Fault(kind))
    with before_counter(plan) as proxy:
        with pytest.raises(error):
            ask(proxy)
        assert count(proxy) == told(proxy, effect)
        assert ask(proxy)[0] == 200


@pytest.mark.parametrize(("kind", "effect"), [(Kind.STATUS, 0), (Kind.STATUS_AFTER, 1)])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_statuses(kind: Kind, effect: int, status: int) -> None:
    """With a body as the cloud writes it, and Retry-After."""
    for errors, word in ((openstack_error, b"made by the fault proxy"), (aws_error, b"<Code>")):
        plan = Scripted()
        plan.add("POST", Fault(kind, status, retry_after=7))
        with before_counter(plan, errors) as proxy:
            got, headers, body = ask(proxy)
            assert (got, headers["Retry-After"]) == (status, "7")
            assert word in body
            assert count(proxy) == told(proxy, effect)


def test_stale_answers() -> None:
    """A question is answered with what was true before; the first one cannot be."""
    plan = Scripted()
    plan.add("GET", Fault(Kind.STALE), 3)
    with before_counter(plan) as proxy:
        assert count(proxy) == told(proxy, 0)
        ask(proxy)
        assert count(proxy) == told(proxy, 0)
        assert count(proxy) == told(proxy, 0)
        assert count(proxy) == told(proxy, 1)


def test_what_asks() -> None:
    """Questions by their method, and by EC2's words."""
    assert Request("GET", "/").asks
    assert Request("POST", "/", b"Action=DescribeInstances&Version=1").asks
    assert not Request("POST", "/", b"Action=TerminateInstances").asks
    assert not Request("DELETE", "/servers/1").asks


def test_a_seed_draws_the_same_again() -> None:
    """And only faults that it was given, as many as it may, and none for what is spared."""
    asked = [Request("GET", f"/{number}") for number in range(200)]
    rates = {Kind.LOST: 0.2, Kind.DELAY: 0.2, Kind.STATUS: 0.1}
    one, two = ([plan.fault(request) for request in asked] for plan in (Seeded(3, rates), Seeded(3, rates)))
    assert one == two
    assert {fault.kind for fault in one} == {Kind.NONE, *rates}
    assert [fault.kind for fault in one] != [Seeded(4, rates).fault(request).kind for request in asked]
    few = Seeded(3, rates, left=5, spare=["/7"])
    drawn = {request.path: few.fault(request).kind for request in asked}
    assert sum(kind is not Kind.NONE for kind in drawn.values()) == 5
    assert drawn["/7"] is Kind.NONE
    few.calm()
    assert few.fault(asked[0]) == Fault()
    assert not any(Seeded(3, {Kind.STALE: 1.0}).fault(Request("POST", "/")).seconds for _ in range(3))
