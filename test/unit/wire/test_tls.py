"""Tests of the master's identity and of what the proof binds to."""

from __future__ import annotations

import contextlib
import gc
import os
import ssl
import weakref
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from asyncluster.errors import ConfigError, ProofError, SecretExposedError
from asyncluster.wire.tls import (
    CERTIFICATE_FILE,
    KEY_FILE,
    ClientTLS,
    Identity,
    ServerTLS,
    exporter,
    load_or_make,
    make,
    own_certificate_hash,
    peer_certificate_hash,
)

MASTER = make()


class Inner(Protocol):
    """Keeps what it got."""

    def __init__(self) -> None:
        self.got = b""

    def dataReceived(self, data: bytes) -> None:
        """For Twisted."""
        self.got += data


class Ends:
    """Both ends of one TLS session, joined in memory."""

    def __init__(self, identity: Identity = MASTER, client: type[ClientTLS] = ClientTLS) -> None:
        self.clock = Clock()
        self.master, self.joiner = Inner(), Inner()
        self.server: TLSMemoryBIOProtocol = ServerTLS(identity, self.clock).wrap(self.master)
        factory = client(self.clock).wrap(Factory())
        self.client: TLSMemoryBIOProtocol = factory.protocol(factory, self.joiner)
        self.wires = StringTransport(), StringTransport()
        self.server.makeConnection(self.wires[0])
        self.client.makeConnection(self.wires[1])

    def pump(self) -> int:
        """Carry bytes until nobody has any; how many."""
        carried = 0
        for _ in range(20):
            self.clock.advance(0)
            for wire, end in zip(self.wires, (self.client, self.server), strict=True):
                data = wire.value()
                wire.clear()
                carried += len(data)
                if data:
                    end.dataReceived(data)
        return carried


@pytest.fixture
def ends() -> Ends:
    """A session whose handshake is done."""
    ends = Ends()
    ends.pump()
    return ends


def test_both_ends_have_the_same_binding(ends: Ends) -> None:
    """Exporter and certificate hash are the same on both ends, and the certificate is the master's."""
    assert exporter(ends.master.transport) == exporter(ends.joiner.transport)
    assert len(exporter(ends.master.transport)) == 32
    assert own_certificate_hash(ends.master.transport) == MASTER.certificate_hash
    assert peer_certificate_hash(ends.joiner.transport) == MASTER.certificate_hash


def test_sessions_differ(ends: Ends) -> None:
    """Two sessions with the same certificate have different exporter values; another master another hash."""
    other = Ends(make())
    other.pump()
    assert exporter(ends.master.transport) != exporter(other.master.transport)
    assert peer_certificate_hash(other.joiner.transport) != MASTER.certificate_hash


def test_bytes_pass(ends: Ends) -> None:
    """What one end writes the other reads."""
    assert ends.joiner.transport is not None
    ends.joiner.transport.write(b"hello")
    ends.pump()
    assert ends.master.got == b"hello"


def test_nothing_to_bind_before_the_handshake() -> None:
    """Before the handshake there is a ProofError, not an empty value."""
    ends = Ends()
    for ask, end in ((exporter, ends.master), (exporter, ends.joiner), (peer_certificate_hash, ends.joiner)):
        with pytest.raises(ProofError):
            ask(end.transport)


class OldTLS(ClientTLS):
    """A joiner that knows TLS 1.2 only."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._context = SSL.Context(SSL.TLS_METHOD)
        self._context.set_max_proto_version(SSL.TLS1_2_VERSION)


def test_tls_1_2_is_refused() -> None:
    """There is no way down to TLS 1.2."""
    ends = Ends(client=OldTLS)
    ends.pump()
    assert ends.joiner.transport is not None
    ends.joiner.transport.write(b"hello")
    ends.pump()
    assert ends.master.got == b""
    for end in (ends.master, ends.joiner):
        with pytest.raises(ProofError):
            exporter(end.transport)


def stranger(server: SSL.Connection, context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLObject:
    """A handshake of the standard library's client, which can say whether its old session was taken."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, session=session)
    server.set_accept_state()
    for _ in range(6):
        for act in (client.do_handshake, lambda: client.read(1)):
            with contextlib.suppress(ssl.SSLWantReadError):
                act()
        if said := outgoing.read():
            server.bio_write(said)
        for act in (server.do_handshake, lambda: server.recv(1)):
            with contextlib.suppress(SSL.WantReadError):
                act()
        with contextlib.suppress(SSL.WantReadError):
            incoming.write(server.bio_read(65536))
    return client


def test_no_session_is_resumed() -> None:
    """A stranger who offers his last session gets a whole handshake all the same."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls, ends = ServerTLS(MASTER, Clock()), Ends()
    first = stranger(tls.serverConnectionForTLS(ends.server), context, None)
    assert first.version() == "TLSv1.3"
    second = stranger(tls.serverConnectionForTLS(ends.server), context, first.session)
    assert second.version() == "TLSv1.3"
    assert not second.session_reused


def test_identity_is_made_once_and_kept(tmp_path: Path) -> None:
    """The first start makes key and certificate, both 0600; later ones use them."""
    old = os.umask(0)
    try:
        first = load_or_make(tmp_path / "state")
    finally:
        os.umask(old)
    assert load_or_make(tmp_path / "state").certificate_hash == first.certificate_hash
    assert load_or_make(tmp_path / "state").decoy_key == first.decoy_key != make().decoy_key
    modes = {each.name: each.stat().st_mode & 0o777 for each in (tmp_path / "state").iterdir()}
    assert modes == {KEY_FILE: 0o600, CERTIFICATE_FILE: 0o600}
    assert "***" in repr(first)


def test_exposed_key_is_refused(tmp_path: Path) -> None:
    """A key that others can read is refused with the chmod that mends it."""
    load_or_make(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(SecretExposedError, match=f"chmod 600 {tmp_path / KEY_FILE}"):
        load_or_make(tmp_path)


@pytest.mark.parametrize("name", [KEY_FILE, CERTIFICATE_FILE])
@pytest.mark.parametrize("damage", [b"", b"garbage", None], ids=["empty", "garbage", "missing"])
def test_damage_is_named(tmp_path: Path, name: str, damage: bytes | None) -> None:
    """A damaged or missing file is named, with what to do; it is never replaced behind one's back."""
    load_or_make(tmp_path)
    path = tmp_path / name
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(ConfigError, match=f"^{path} is (damaged|missing).*; remove .* and start again"):
        load_or_make(tmp_path)


def test_pair_that_does_not_match(tmp_path: Path) -> None:
    """A certificate of another key, or a key of another kind, is noticed."""
    load_or_make(tmp_path)
    (tmp_path / CERTIFICATE_FILE).write_bytes(make().certificate.public_bytes(serialization.Encoding.PEM))
    with pytest.raises(ConfigError, match="was not made for"):
        load_or_make(tmp_path)
    plain = serialization.NoEncryption()
    key = rsa.generate_private_key(65537, 2048)
    (tmp_path / KEY_FILE).write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    with pytest.raises(ConfigError, match="no elliptic-curve key"):
        load_or_make(tmp_path)


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Where nothing can be kept, the folder is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file"):
        load_or_make(tmp_path / "file" / "state")


@pytest.mark.parametrize("said", [b"", b"no TLS at all"])
def test_an_ended_session_is_freed(said: bytes) -> None:
    """With its connection, not by the collector: the sessions of a flood would fill the memory meanwhile."""
    gc.disable()
    try:
        protocol = ServerTLS(make(), Clock()).wrap(Protocol())
        protocol.makeConnection(StringTransport())
        session = weakref.ref(protocol.getHandle())
        if said:
            protocol.dataReceived(said)
        protocol.connectionLost(Failure(ConnectionDone()))
        assert session() is None
        protocol.abortConnection()
        protocol.loseConnection()
    finally:
        gc.enable()
