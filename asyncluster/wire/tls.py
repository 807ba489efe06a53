"""TLS 1.3 for the TCP link: the master's key and certificate, contexts of both ends, what the proof binds to.

The certificate is made here, by nobody's authority, and the joiner does not verify it: **trust comes
from the proof** (wire/proof.py), which is bound to the session's exported keying material and to the
certificate's hash.  TLS by itself only keeps listeners out.  Nothing is said over a link before the
proof but the proof.

Decides nothing; reads and writes two files in the state folder.
"""

from __future__ import annotations

import datetime
import hashlib
import os
from pathlib import Path
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from asyncluster.errors import ConfigError, ProofError, SecretExposedError

KEY_FILE = "master.key"
CERTIFICATE_FILE = "master.crt"
EXPORTER_LABEL = b"EXPORTER-Channel-Binding"  # RFC 9266
EXPORTER_BYTES = 32
_YEARS = 100  # nobody checks the date: the proof pins the certificate for one session only


@attrs.frozen
class Identity:
    """The master's key and certificate."""

    key: ec.EllipticCurvePrivateKey = attrs.field(repr=lambda _: "***")
    certificate: x509.Certificate

    @property
    def certificate_hash(self) -> bytes:
        """SHA-256 of the certificate's DER, 32 bytes."""
        return hashlib.sha256(self.certificate.public_bytes(serialization.Encoding.DER)).digest()

    @property
    def decoy_key(self) -> bytes:
        """For `Doorkeeper`: lasts as long as the key, tells nothing of it."""
        der = self.key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return hashlib.sha256(b"asyncluster decoy accounts" + der).digest()


def load_or_make(folder: str | os.PathLike[str]) -> Identity:
    """The identity kept in `folder`, made there when neither of its files exists.

    Raises ConfigError naming the file and how to mend it; SecretExposedError when others can read the key.
    """
    key_path, certificate_path = Path(folder) / KEY_FILE, Path(folder) / CERTIFICATE_FILE
    if not key_path.exists() and not certificate_path.exists():
        identity = make()
        _save(identity, key_path, certificate_path)
        return identity
    mend = f"remove {key_path} and {certificate_path} and start again: a new pair is made, no node needs to be told"
    for path in (key_path, certificate_path):
        if not path.exists():
            raise ConfigError(f"{path} is missing while its twin is there; {mend}")
    if key_path.stat().st_mode & 0o077:
        raise SecretExposedError(f"{key_path} can be read by others; run: chmod 600 {key_path}")
    key = _load(key_path, mend, lambda data: serialization.load_pem_private_key(data, None))
    certificate = _load(certificate_path, mend, x509.load_pem_x509_certificate)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{key_path} holds no elliptic-curve key; {mend}")
    if certificate.public_key() != key.public_key():
        raise ConfigError(f"{certificate_path} was not made for {key_path}; {mend}")
    return Identity(key, certificate)


def make() -> Identity:
    """A new P-256 key with a self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "asyncluster master")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Identity(key, certificate)


def write_private(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file of mode 0600 that is there whole or not at all, even after a power cut; raises OSError."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.new")
    temporary.unlink(missing_ok=True)  # left by a process that died and whose number came round again
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _save(identity: Identity, key_path: Path, certificate_path: Path) -> None:
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    try:
        key_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(key_path, identity.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        write_private(certificate_path, identity.certificate.public_bytes(pem))
    except OSError as fault:
        raise ConfigError(f"{key_path.parent}: cannot keep the master's key there: {fault.strerror}") from fault


def _load(path: Path, mend: str, parse: Any) -> Any:
    try:
        return parse(path.read_bytes())
    except OSError as fault:
        raise ConfigError(f"{path} cannot be read: {fault.strerror}") from fault
    except (ValueError, TypeError):  # cryptography's words may quote the file: leave them out
        raise ConfigError(f"{path} is damaged; {mend}") from None


def _context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    # No resumption: each link has a handshake, an exporter value and a proof of its own.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # an idle link keeps no 16 KiB buffers
    context.set_verify(SSL.VERIFY_NONE)  # see the module's docstring
    return context


@implementer(IOpenSSLServerConnectionCreator)
class ServerTLS:
    """The master's end.  `wrap(protocol)` puts TLS below one protocol: for the `build` of wire/gate.py."""

    def __init__(self, identity: Identity, clock: IReactorTime) -> None:
        self._context = _context()
        self._context.use_certificate(identity.certificate)
        self._context.use_privatekey(identity.key)
        self._context.check_privatekey()
        self._factory = _unbuffered(TLSMemoryBIOFactory(self, False, Factory(), clock))

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """For Twisted."""
        return SSL.Connection(self._context, None)

    def wrap(self, protocol: IProtocol) -> TLSMemoryBIOProtocol:
        """A protocol for the raw connection; `protocol.transport` will be the TLS transport."""
        return self._factory.protocol(self._factory, protocol)


@implementer(IOpenSSLClientConnectionCreator)
class ClientTLS:
    """The joiner's end.  `wrap(factory)` puts TLS below the protocols of a factory."""

    def __init__(self, clock: IReactorTime) -> None:
        self._context = _context()
        self._clock = clock

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """For Twisted."""
        return SSL.Connection(self._context, None)

    def wrap(self, factory: IProtocolFactory) -> TLSMemoryBIOFactory:
        """A factory for the raw connection."""
        return _unbuffered(TLSMemoryBIOFactory(self, True, factory, self._clock))


class _Unbuffered(TLSMemoryBIOProtocol):
    """Twisted's default gathers small writes for one more turn of the reactor; the link has gathered already."""

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        # The frames in it hold the session, and each other: those of a flood, some 50 KiB each, would stay until
        # the collector comes round.
        if reason is not None:
            reason.cleanFailure()
        super()._tlsShutdownFinished(reason)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """For Twisted.  The session goes now; who held on to the protocol finds it ended."""
        super().connectionLost(reason)
        ended: Any = _ENDED
        self._tlsConnection = ended


class _Ended:
    """In place of a session that is over."""

    def shutdown(self) -> bool:
        """There is nothing to shut down."""
        return True

    def bio_read(self, size: int) -> bytes:
        """Nothing is left to send."""
        raise SSL.WantReadError


_ENDED = _Ended()


def _unbuffered(factory: TLSMemoryBIOFactory) -> TLSMemoryBIOFactory:
    factory.protocol = _Unbuffered
    return factory


def exporter(transport: Any) -> bytes:
    """The session's 32 bytes of exported keying material, the same on both ends and on no other session.

    `transport` is a protocol's TLS transport.  Raises ProofError before the handshake is done.
    """
    handle = transport.getHandle()
    try:
        version = handle.get_protocol_version_name()
        value: bytes = handle.export_keying_material(EXPORTER_LABEL, EXPORTER_BYTES, None)
    except SSL.Error:
        raise ProofError("the TLS handshake is not done") from None
    if version != "TLSv1.3" or len(value) != EXPORTER_BYTES:
        raise ProofError("the link is not TLS 1.3")
    return value


def own_certificate_hash(transport: Any) -> bytes:
    """SHA-256 of the DER of the certificate that this end (the master) showed; raises ProofError."""
    return _hash(transport.getHandle().get_certificate(as_cryptography=True))


def peer_certificate_hash(transport: Any) -> bytes:
    """SHA-256 of the DER of the certificate that the other end (the master) showed; raises ProofError."""
    return _hash(transport.getHandle().get_peer_certificate(as_cryptography=True))


def _hash(certificate: x509.Certificate | None) -> bytes:
    if certificate is None:
        raise ProofError("the TLS session has no certificate yet")
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()
