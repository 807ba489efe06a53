"""Who is let in, on several hosts: real daemons in network namespaces, and people who mean harm."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from asyncluster.testing import hosts as namespaces
from asyncluster.testing.hosts import Hosts
from asyncluster.testing.site import Site

pytestmark = [
    pytest.mark.real,
    pytest.mark.namespaces,
    pytest.mark.skipif(bool(namespaces.missing()), reason=namespaces.missing() or "hosts can be made"),
]

PORT = 9080
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    """A head and three hosts."""
    with Hosts(3) as made:
        yield made


@pytest.fixture
def site(hosts: Hosts, tmp_path: Path) -> Iterator[Site]:
    """A master on the head, for host1 and host2; host3 is outside its subnets."""
    subnets = f"127.0.0.0/8, {hosts.address('host1')}, {hosts.address('host2')}"
    with Site(tmp_path, hosts.address("head"), PORT, subnets, hosts.on("head")) as made:
        made.start_master()
        yield made


def nodes(site: Site) -> list[str]:
    """The names of the nodes that the master knows."""
    from asyncluster import Cluster

    with Cluster(socket=site.socket) as cluster:
        return [node.name for node in cluster.nodes()]


def run_there(hosts: Hosts, host: str, code: str, *args: str) -> str:
    """Run Python on a host; what it printed."""
    done = subprocess.run(
        [*hosts.on(host), sys.executable, "-c", textwrap.dedent(code), *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


HELLO = """
    import socket, ssl, sys
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    try: tls.do_handshake()
    except ssl.SSLWantReadError: pass
    got = b""
    try:
        raw = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=60)
        raw.sendall(outgoing.read())
        while piece := raw.recv(65536):
            got += piece
            break
    except OSError: pass
    print(len(got))
"""


def test_outside_the_subnets(hosts: Hosts, site: Site) -> None:
    """An address outside gets not a byte, not even a TLS hello; one inside gets its hello."""
    master = hosts.address("head")
    assert int(run_there(hosts, "host3", HELLO, master, str(PORT))) == 0
    assert int(run_there(hosts, "host1", HELLO, master, str(PORT))) > 100
    site.start_node("outside", prefix=hosts.on("host3"), wait=False).wait_for("subnets")
    assert nodes(site) == []


def test_a_node_of_this_site(hosts: Hosts, site: Site) -> None:
    """With both passwords it joins from its own address, and runs work."""
    from asyncluster import Cluster

    site.start_node("good", prefix=hosts.on("host1"))
    with Cluster(socket=site.socket) as cluster:
        assert cluster.submit(sum, [1, 2, 3]).result(timeout=60) == 6
        assert [node.address for node in cluster.nodes()] == [hosts.address("host1")]


def test_wrong_node_password(hosts: Hosts, site: Site) -> None:
    """The master refuses; the node says what to compare; nothing secret is logged by either."""
    node = site.start_node("bad", prefix=hosts.on("host1"), wait=False, client={"password": "not-the-password-at-all"})
    node.wait_for("wrong password or unknown")
    site.daemons[0].wait_for("failed its proof")
    assert nodes(site) == []
    for daemon in site.daemons:
        assert "not-the-password-at-all" not in daemon.text()
        assert site.password not in daemon.text()
        assert site.server_password not in daemon.text()


def test_wrong_server_password(hosts: Hosts, site: Site) -> None:
    """The node refuses a master that does not know it, and runs nothing for it."""
    node = site.start_node(
        "bad", prefix=hosts.on("host1"), wait=False, common={"server password": "another-one-entirely"}
    )
    node.wait_for("does not know the server password")
    assert nodes(site) == []
    assert "registered" not in node.text()


MIDDLE = """
    import asyncio, ssl, sys
    certificate, key, target, port = sys.argv[1:]
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.create_default_context()
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    async def pump(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except (OSError, ssl.SSLError): pass
        writer.close()
    async def relay(reader, writer):
        there, back = await asyncio.open_connection(target, int(port), ssl=client)
        print("relaying", flush=True)
        await asyncio.gather(pump(reader, back), pump(there, writer))
    async def main():
        listening = await asyncio.start_server(relay, "0.0.0.0", int(port), ssl=server)
        print("ready", flush=True)
        await listening.serve_forever()
    asyncio.run(main())
"""


def test_somebody_in_the_middle(hosts: Hosts, site: Site, tmp_path: Path) -> None:
    """A relay with its own certificate that passes every byte on is refused by the master, and so by the node."""
    from asyncluster.wire import tls

    tls.load_or_make(tmp_path / "middle")
    folder = tmp_path / "middle"
    relay = subprocess.Popen(
        [*hosts.on("host2"), sys.executable, "-c", textwrap.dedent(MIDDLE),
         str(folder / tls.CERTIFICATE_FILE), str(folder / tls.KEY_FILE), hosts.address("head"), str(PORT)],
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert relay.stdout is not None
        assert relay.stdout.readline() == "ready\n"
        node = site.start_node("n", prefix=hosts.on("host1"), wait=False, client={"host": hosts.address("host2")})
        assert relay.stdout.readline() == "relaying\n"
        node.wait_for("refused")
        site.daemons[0].wait_for("failed its proof")
        assert "registered" not in node.text()
        assert nodes(site) == []
    finally:
        relay.kill()
        relay.wait()
        relay.stdout.close()


SILENT = """
    import socket, sys, time
    held = []
    for _ in range(int(sys.argv[3])):
        try:
            one = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2)
            held.append(one)
        except OSError: pass
    print(len(held), flush=True)
    time.sleep(float(sys.argv[4]))
"""

BYTES = """
    import socket, ssl, sys
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    left, sent, inside = int(sys.argv[3]), 0, sys.argv[4] == "inside"
    block = b"\\x01" * 7 + b"\\x80" + b"\\x7f" * 5 + b"\\x82" + b"x" * 65536
    connections = 0
    while left > 0 and connections < 4000:
        connections += 1
        try:
            raw = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)
            stream = context.wrap_socket(raw) if inside else raw
            while left > 0:
                stream.sendall(block)
                left -= len(block); sent += len(block)
        except OSError: pass
    print(sent)
"""


def test_a_flood(hosts: Hosts, site: Site) -> None:
    """Silent connections, and 250 MiB of unproven bytes: the master stays within 20 MiB, and its nodes are served."""
    from asyncluster import Cluster

    site.start_node("good", prefix=hosts.on("host1"))
    master = psutil.Process(site.daemons[0].pid)
    target = (hosts.address("head"), str(PORT))
    with Cluster(socket=site.socket) as cluster:
        cluster.submit(len, "warm").result(timeout=60)
        before = master.memory_info().rss
        silent = subprocess.Popen(
            [*hosts.on("host2"), sys.executable, "-c", textwrap.dedent(SILENT), *target, "500", "15"],
            stdout=subprocess.PIPE,
        )
        floods = [
            subprocess.Popen(
                [*hosts.on("host2"), sys.executable, "-c", textwrap.dedent(BYTES), *target, str(125 * MIB), kind],
                stdout=subprocess.PIPE,
                text=True,
            )
            for kind in ("inside", "raw")
        ]
        peak, answered, deadline = before, 0, time.monotonic() + 60
        while any(flood.poll() is None for flood in floods) and time.monotonic() < deadline:
            assert cluster.submit(abs, -answered).result(timeout=60) == answered
            answered += 1
            peak = max(peak, master.memory_info().rss)
        for process in (silent, *floods):
            process.kill()
            process.communicate()
        assert answered > 10
        assert peak - before < 20 * MIB
        # The flood is over; a newcomer is let in again.
        site.start_node("later", prefix=hosts.on("host1"))
        assert len(cluster.nodes()) == 2


def test_a_silent_node_is_declared_gone(hosts: Hosts, site: Site) -> None:
    """A cable is pulled, nobody is told: the master notices within the silence limit; mended, the node comes back."""
    from asyncluster import Cluster

    node = site.start_node("far", prefix=hosts.on("host1"))
    with Cluster(socket=site.socket) as cluster:
        cluster.submit(len, "warm").result(timeout=60)
        hosts.cut("host1")
        site.daemons[0].wait_for("silent for", timeout=60)
        node.wait_for("silent for", timeout=60)
        assert cluster.nodes() == []
        waiting = cluster.submit(len, "abc")
        hosts.mend("host1")
        assert waiting.result(timeout=30) == 3


def test_another_local_program_on_the_port(tmp_path: Path) -> None:
    """A port in use is told before anything starts, with what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with Site(tmp_path, port=taken.getsockname()[1], server={"listen": "127.0.0.1"}) as site:
            master = site.start_master(wait=False)
            assert master.process.wait(60) == 1
            assert "tcp port" in master.text()
            assert "Traceback" not in master.text()


def test_a_socket_left_by_a_dead_master(tmp_path: Path) -> None:
    """It is removed and used again; that of a living master is not."""
    with Site(tmp_path) as site:
        first = site.start_master()
        first.process.kill()
        first.process.wait()
        assert Path(site.socket).exists()
        second = site.start_master()
        second.wait_for("dead daemon")
        with Site(tmp_path / "other", common={"socket": site.socket}) as other:
            other.folder.mkdir()
            third = other.start_master(wait=False)
            assert third.process.wait(60) == 1
            assert "a daemon answers there already" in third.text()
        assert json.dumps(nodes(site)) == "[]"
