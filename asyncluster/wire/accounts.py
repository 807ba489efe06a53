"""Passwords as each side keeps them: credentials at the joiner, verifiers at the master.

Decides what may be a password or a name, and how a verifier is written down; refuses to know files
(wire/verifiers.py) and the conversation (wire/proof.py).
"""

from __future__ import annotations

import base64
import secrets
from urllib.parse import quote, unquote

import attrs
from scramp import ScramException, ScramMechanism
from scramp.utils import saslprep

from asyncluster.errors import ProofError
from asyncluster.model.peer import Role

MIN_ITERATIONS = 4096  # RFC 7677
MAX_ITERATIONS = 600_000  # OWASP's figure for weak passwords; more would be an attack on the joiner's CPU
DEFAULT_ITERATIONS = 100_000
"""0.1 s of the joiner's CPU a run (1 µs an iteration measured); the master pays 4,096 a joiner: 1,000 nodes in 5 s."""

MAX_SECRET = 1024  # characters of a password or name
SALT_BYTES = 16


@attrs.frozen
class Credentials:
    """What a joiner knows; `server_password` is None for a client that was not given one."""

    user: str
    password: str = attrs.field(repr=lambda _: "***")
    server_password: str | None = attrs.field(default=None, repr=lambda value: "None" if value is None else "***")


@attrs.frozen
class Verifier:
    """What the master keeps of an account's password: enough to check a proof, not to make one."""

    name: str
    role: str  # "node" or "client"
    salt: bytes = attrs.field(repr=lambda _: "***")
    iterations: int
    stored_key: bytes = attrs.field(repr=lambda _: "***")
    server_key: bytes = attrs.field(repr=lambda _: "***")

    def to_line(self) -> str:
        """`name:role:SCRAM-SHA-256$iterations:salt$stored:server`, PostgreSQL's form behind name and role."""
        salt, stored, server = (
            base64.b64encode(part).decode("ascii") for part in (self.salt, self.stored_key, self.server_key)
        )
        return f"{quote(self.name, safe='')}:{self.role}:SCRAM-SHA-256${self.iterations}:{salt}${stored}:{server}"

    @classmethod
    def from_line(cls, line: str) -> Verifier:
        """The reverse.  Raises ValueError, whose text holds nothing of the line."""
        try:
            name, role, rest = line.strip().split(":", 2)
            mechanism, middle, keys = rest.split("$")
            iterations, salt = middle.split(":")
            stored, server = keys.split(":")
            parts = [base64.b64decode(part, validate=True) for part in (salt, stored, server)]
            count = int(iterations)
            name = clean_name(unquote(name, errors="strict"))
        except (ValueError, ProofError):
            raise ValueError("not a line of the form name:role:SCRAM-SHA-256$iterations:salt$stored:server") from None
        if mechanism != "SCRAM-SHA-256" or role not in (Role.NODE.value, Role.CLIENT.value):
            raise ValueError("the role is neither node nor client, or the mechanism is not SCRAM-SHA-256")
        if not MIN_ITERATIONS <= count <= MAX_ITERATIONS or not SALT_BYTES <= len(parts[0]) <= 64:
            raise ValueError("iterations or salt are out of bounds")
        if len(parts[1]) != 32 or len(parts[2]) != 32:
            raise ValueError("a key has the wrong length")
        return cls(name, role, parts[0], count, parts[1], parts[2])


def verifier_of(name: str, line: str) -> Verifier:
    """What is kept of a person's password.  Raises ValueError for what is none, or another's."""
    verifier = Verifier.from_line(line)
    if verifier.name != name or verifier.role != Role.CLIENT.value:
        raise ValueError(f"the verifier is not that of {name}")
    return verifier


def utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise ProofError("a text is not valid Unicode") from None


def clean_secret(text: object, what: str) -> str:
    """SASLprep (RFC 4013), so that one password typed on two keyboards is one password."""
    if not isinstance(text, str) or not 0 < len(text) <= MAX_SECRET:
        raise ProofError(f"the {what} must be 1 to {MAX_SECRET} characters long")
    try:
        clean: str = saslprep(text)
    except ScramException:
        raise ProofError(f"the {what} holds characters that SASLprep forbids; use plain letters and digits") from None
    if not clean:
        raise ProofError(f"the {what} has no visible character")
    return clean


def clean_name(name: object) -> str:
    """The name of an account as it is looked up (SASLprep); raises ProofError."""
    return clean_secret(name, "user name")


def make_verifier(
    name: str, role: str, password: str, salt: bytes | None = None, iterations: int = DEFAULT_ITERATIONS
) -> Verifier:
    """What the master shall keep of a password.  Slow (0.1 s).  Raises ProofError for what cannot be one."""
    if role not in (Role.NODE.value, Role.CLIENT.value):
        raise ProofError("an account is for a node or for a client")
    if not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
        raise ProofError(f"iterations must lie between {MIN_ITERATIONS} and {MAX_ITERATIONS}")
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    if not SALT_BYTES <= len(salt) <= 64:
        raise ProofError("a salt has 16 to 64 bytes")
    clean = clean_secret(password, "password")
    _, stored, server, _ = ScramMechanism("SCRAM-SHA-256").make_auth_info(clean, iterations, salt)
    return Verifier(clean_name(name), role, salt, iterations, stored, server)
