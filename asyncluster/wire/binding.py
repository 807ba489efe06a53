"""What both ends of a proof must agree on beside the passwords, as one digest.

Pure; why it is made like this stands in wire/proof.py.
"""

from __future__ import annotations

import hashlib

import attrs

from asyncluster.errors import ProofError
from asyncluster.model.peer import Role
from asyncluster.wire.accounts import utf8

LABEL = b"asyncluster password proof 1"


@attrs.frozen
class Binding:
    """What both ends must agree on, beside the passwords.

    `exporter` and `certificate_hash` are 32 bytes each, from wire/tls.py; the Hellos are `canonical()`
    of what was sent and of what was received, before anything in it is dropped.
    """

    role: Role  # the joiner's
    exporter: bytes = attrs.field(repr=lambda _: "***")
    certificate_hash: bytes
    joiner_hello: bytes
    master_hello: bytes

    def __attrs_post_init__(self) -> None:
        if self.role not in (Role.NODE, Role.CLIENT):
            raise ProofError("only a node or a client can join")
        if len(self.exporter) != 32 or len(self.certificate_hash) != 32:
            raise ProofError("the TLS session gave no binding")

    def digest(self, direction: bytes, before: bytes) -> bytes:
        """SHA-256 of it all; `before` is what went before in the conversation."""
        who = self.role.value.encode("ascii")
        return hashlib.sha256(
            pack(
                LABEL, direction, self.exporter, self.certificate_hash, who,
                self.joiner_hello, self.master_hello, before,
            )
        ).digest()  # fmt: skip


def pack(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def canonical(value: object) -> bytes:
    """One byte string for a value of basic types (lists as tuples, dicts in any order); raises ProofError."""
    if type(value) not in (type(None), bool, int, float, str, bytes, list, tuple, dict):
        raise ProofError("only basic types can be bound")  # an enum would arrive as something else than was sent
    match value:
        case str():
            return pack(b"str", utf8(value))
        case bytes():
            return pack(b"bytes", value)
        case list() | tuple():
            return pack(b"list", *map(canonical, value))
        case dict():
            pairs = sorted((canonical(key), canonical(item)) for key, item in value.items())
            return pack(b"dict", *(part for pair in pairs for part in pair))
    return pack(type(value).__name__.encode("ascii"), repr(value).encode("ascii"))
