"""Mutual proof of the two passwords, as machines of plain messages in, plain messages out.

Decides who is proven; refuses to know sockets, clocks and files.  Deadlines are the caller's.

Two runs of SCRAM-SHA-256-PLUS (RFC 5802, 7677), both bound to one TLS session:

    joiner (node or client)                            master
      1  first words of run 1, mutual?     ------->
         <-------  first words of run 1: salt, iterations of the account
      2  proof of the account's password   ------->    checked against the verifier
         <-------  server signature; opening of run 2: salt, iterations, first words
      3  first words of run 2              ------->
         <-------  proof of the server password       checked by the joiner
      4  signature of run 2                ------->    the joiner knows the server password too
         <-------  done

*Order.*  A stranger who connects gets no word made from the server password: the master opens run 2
only for a joiner that passed run 1.  In run 2 the joiner is the SCRAM server, and reveals nothing made
from the server password before it has checked the master's proof.  So it may use the salt and iterations
that the master proposes, which lets the master do the slow PBKDF2 once for all joiners: a dishonest
master gains nothing by choosing them, and the bounds on the iterations keep it from burning our CPU.  The joiner must
use the proposed salt, too: the master has made its keys for that (wire/countersign.py) and computes nothing a joiner.
A node must ask for run 2; a client may leave it out (run 1's server signature then shows that the
master holds the account's verifier).  Leaving it out is itself bound, so nobody else can.  So may a node with an
account of its own (~NAME), whose secret only it and the master's verifier know: it is never told the server password.

*Binding.*  Each run is bound to SHA-256 over a length-prefixed, labelled list: protocol label, direction,
the TLS exporter's value (RFC 9266), SHA-256 of the master's certificate, role, both Hellos, and what
went before (run 1: whether run 2 is asked for; run 2: every message of run 1).  Somebody in the middle has
another exporter value and certificate on each side; a rewritten name, role or feature list changes the
digest.  scramp knows the name `tls-exporter` but refuses it, so the GS2 header says
`tls-server-end-point`: that name is only a carrier of our digest, both ends are ours.

*Directions.*  Besides its label, run 2 uses a key of its own: PBKDF2 over a labelled salt, given to SCRAM as the
password, so the runs have nothing in common even where both passwords are the same word, and no message
of one can serve in the other.  SCRAM adds its minimum of 4,096 iterations on top.  Each machine serves once
and is dead after its first error.

*What remains.*  Like any SCRAM server, a dishonest master learns enough to try passwords offline against the joiner's
proof (at 4,096 iterations or more, as it likes), and one who proved an account can do so with the server password.
Make them by machine; the iterations below help those who do not.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from scramp import ScramClient, ScramException, ScramMechanism

from asyncluster.errors import ProofError
from asyncluster.model.peer import OWN_ACCOUNT, Role
from asyncluster.wire.accounts import (
    DEFAULT_ITERATIONS,
    MAX_ITERATIONS,
    MIN_ITERATIONS,
    SALT_BYTES,
    Credentials,
    Verifier,
    clean_name,
    clean_secret,
    make_verifier,
    utf8,
)
from asyncluster.wire.binding import LABEL, Binding, canonical, pack
from asyncluster.wire.countersign import Countersign, make_keys

__all__ = [
    "REFUSED",
    "Binding",
    "Credentials",
    "Doorkeeper",
    "JoinerProof",
    "MasterProof",
    "Message",
    "Verifier",
    "Verifiers",
    "canonical",
    "make_verifier",
]

MAX_MESSAGE = 2048  # bytes of one message, all fields together

Message = dict[str, object]

REFUSED: Message = {"refused": True}
"""What the caller sends when `MasterProof.answer` raises, whatever the reason; then it closes."""

_MECHANISM = "SCRAM-SHA-256-PLUS"
_CARRIER = "tls-server-end-point"
_OUR_FAULTS = (ScramException, ValueError, LookupError, TypeError, AttributeError)  # what scramp raises on garbage
_T = TypeVar("_T")


class Verifiers(Protocol):
    """Where the master looks an account up."""

    def find(self, name: str, role: str) -> Verifier | None:
        """The verifier of that name in that role, or None."""


def _stretch(server_password: str, salt: bytes, iterations: int) -> str:
    """The server password as run 2 uses it; slow."""
    clean = clean_secret(server_password, "server password").encode("utf-8")
    key = hashlib.pbkdf2_hmac("sha256", clean, LABEL + b" server password" + salt, iterations)
    return base64.b64encode(key).decode("ascii")


def _field(message: object, key: str, kind: type[_T]) -> _T:
    value = message.get(key) if isinstance(message, Mapping) else None
    if type(value) is not kind:
        raise ProofError("a message of the proof is malformed")
    return value


def _check(message: object, step: int) -> None:
    """Type, size and turn of a message, before any of it is used."""
    if not isinstance(message, Mapping) or len(message) > 8:
        raise ProofError("a message of the proof is malformed")
    size = 0
    for key, value in message.items():
        if not isinstance(key, str) or not isinstance(value, (str, bytes, int)):
            raise ProofError("a message of the proof is malformed")
        size += len(key) + (8 if isinstance(value, int) else len(value if isinstance(value, bytes) else utf8(value)))
    if size > MAX_MESSAGE:
        raise ProofError("a message of the proof is too long")
    if _field(message, "step", int) != step:
        raise ProofError("a message of the proof came out of turn")


class _Machine:
    """Common to both: steps in order, dead after the first error or the last step, a record of run 1."""

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        self._step = 1
        self._run1 = hashlib.sha256()
        self.proven = False  # True once everything asked for was checked

    def _turn(self, act: Callable[[int], _T], problem: str) -> _T:
        step, self._step = self._step, 0  # dead while it works, so that an error of any kind leaves it dead
        if step == 0:
            raise ProofError("this proof has ended; each serves once")
        try:
            result = act(step)
        except _OUR_FAULTS:
            raise ProofError(problem) from None
        self._step = 0 if self.proven else step + 1
        return result

    def _channel(self, direction: bytes, before: bytes) -> tuple[str, bytes]:
        return _CARRIER, self._binding.digest(direction, before)

    def _channel1(self, mutual: bool) -> tuple[str, bytes]:
        return self._channel(b"joiner to master", b"mutual" if mutual else b"one way")

    def _channel2(self, salt: bytes, iterations: int) -> tuple[str, bytes]:
        opening = pack(self._run1.digest(), salt, str(iterations).encode("ascii"))
        return self._channel(b"master to joiner", opening)

    def _record(self, text: str) -> str:
        self._run1.update(pack(utf8(text)))
        return text


class Doorkeeper:
    """What all of a master's proofs share.  Slow to make (0.1 s): once, at start.

    Unknown names get a made-up salt that stays the same: from `decoy_key`, which should outlive the
    process (wire/tls.py derives one from the master's key), else from a secret of this process.
    """

    def __init__(
        self,
        verifiers: Verifiers,
        server_password: str,
        *,
        iterations: int = DEFAULT_ITERATIONS,
        decoy_key: bytes | None = None,
    ) -> None:
        self.verifiers = verifiers
        self.iterations = iterations
        self.salt = secrets.token_bytes(SALT_BYTES)
        self._decoy_key = decoy_key or secrets.token_bytes(32)
        self.keys = make_keys(_stretch(server_password, self.salt, iterations), self.salt, MIN_ITERATIONS)

    def __repr__(self) -> str:
        return "<Doorkeeper ***>"

    def find(self, name: str, role: Role) -> tuple[Verifier, bool]:
        """(the verifier or a decoy, whether it is real); the same work for both."""
        decoy = self._decoy(name, role)
        found = self.verifiers.find(name, role.value)
        return (decoy, False) if found is None else (found, True)

    def _decoy(self, name: str, role: Role) -> Verifier:
        def part(label: bytes) -> bytes:
            text = pack(label, role.value.encode("ascii"), utf8(name))
            return hmac.digest(self._decoy_key, text, "sha256")

        # secrets of single nodes are random bits, and stretched as little as can be
        count = MIN_ITERATIONS if name.startswith(OWN_ACCOUNT) and role is Role.NODE else self.iterations
        return Verifier(name, role.value, part(b"salt")[:SALT_BYTES], count, part(b"stored"), part(b"server"))


class MasterProof(_Machine):
    """The master's side: `answer` each message of the joiner in turn until `proven`.

    When it raises ProofError, send `REFUSED` and close.  Less than a millisecond of CPU a step; needs no thread.
    """

    def __init__(self, doorkeeper: Doorkeeper, binding: Binding) -> None:
        super().__init__(binding)
        self._keeper = doorkeeper
        self.name = ""  # the proven account, once `proven`
        self.claimed = ""  # the account that it says it has; anybody may say anything

    @property
    def judges(self) -> bool:
        """The next message is to show that the joiner has the account's password: a guess, if it has not."""
        return self._step == 2

    def answer(self, message: object) -> Message:
        """The answer to the joiner's next message.  Raises ProofError, whose text may be logged."""
        steps = {1: self._greet, 2: self._check_joiner, 3: self._prove, 4: self._finish}

        def act(step: int) -> Message:
            _check(message, step)
            return steps[step](_field(message, "scram", str), message)

        return self._turn(act, "a peer failed the proof: wrong password, unknown account, or another TLS session")

    def _greet(self, text: str, message: object) -> Message:
        self._mutual = _field(message, "mutual", bool)
        mechanism = ScramMechanism(_MECHANISM)
        self._server = mechanism.make_server(self._look_up, channel_binding=self._channel1(self._mutual))
        self._server.set_client_first(self._record(text))
        if self._binding.role is Role.NODE and not self._mutual and not self.claimed.startswith(OWN_ACCOUNT):
            raise ProofError("a node must ask for the proof of the server password")
        return {"step": 1, "scram": self._record(self._server.get_server_first())}

    def _look_up(self, name: str) -> tuple[bytes, bytes, bytes, int]:
        self.claimed = name
        self._account, self._real = self._keeper.find(name, self._binding.role)
        found = self._account
        return found.salt, found.stored_key, found.server_key, found.iterations

    def _check_joiner(self, text: str, message: object) -> Message:
        self._server.set_client_final(self._record(text))
        if not self._real:  # nobody can hit a decoy's key; said all the same
            raise ProofError("a peer failed the proof: unknown account")
        answer: Message = {"step": 2, "scram": self._record(self._server.get_server_final())}
        if not self._mutual:
            self._succeed()
            return answer
        salt, iterations = self._keeper.salt, self._keeper.iterations
        self._back = Countersign(self._keeper.keys, *self._channel2(salt, iterations))
        return answer | {"salt": salt, "iterations": iterations, "back": self._back.first()}

    def _prove(self, text: str, message: object) -> Message:
        return {"step": 3, "scram": self._back.final(text)}

    def _finish(self, text: str, message: object) -> Message:
        self._back.check(text)
        self._succeed()
        return {"step": 4}

    def _succeed(self) -> None:
        now, real = self._keeper.find(self._account.name, self._binding.role)
        if not real or now.stored_key != self._account.stored_key:  # a secret that serves once has served meanwhile
            raise ProofError("the account was changed or removed during the proof")
        self.name = self._account.name
        self.proven = True


class JoinerProof(_Machine):
    """The side of a node or client: send `start()`, then give each answer to `answer` and send what it returns.

    `answer` returns None when all is `proven`.  **Slow**: call `answer` in a thread (0.1 s each at the
    default iterations, 0.8 s at the most); the machine knows no thread, it only wants one call at a time.
    """

    def __init__(self, credentials: Credentials, binding: Binding) -> None:
        """Raises ProofError when a password or name cannot be one, or a node lacks the server password."""
        super().__init__(binding)
        self._credentials = credentials
        self._user = clean_name(credentials.user)
        password = clean_secret(credentials.password, "password")
        self._mutual = credentials.server_password is not None
        if self._mutual:
            clean_secret(credentials.server_password, "server password")
        elif binding.role is Role.NODE and not credentials.user.startswith(OWN_ACCOUNT):
            raise ProofError("a node must know the server password")
        channel = self._channel1(self._mutual)
        self._client = ScramClient([_MECHANISM], self._user, password, channel_binding=channel)
        self._step = 0
        self._fresh = True

    def start(self) -> Message:
        """The first message.  Raises ProofError when called twice."""
        if not self._fresh:
            raise ProofError("this proof was started already; each serves once")
        self._fresh, self._step = False, 1
        text = self._record(self._client.get_client_first())
        return {"step": 1, "mutual": self._mutual, "scram": text}

    def answer(self, message: object) -> Message | None:
        """The next message to the master, or None when all is proven.  Raises ProofError, meant for people."""
        steps = {1: self._prove, 2: self._check_run1, 3: self._check_master, 4: self._finish}
        if isinstance(message, Mapping) and "refused" in message:
            self._step = 0
            raise ProofError(
                f"the master refused user {self._user!r} as a {self._binding.role.value}: wrong password or unknown, "
                "or too many wrong ones from this address within 5 minutes, or somebody stands between; compare `user` "
                "and `password` with the master's accounts"
            )

        def act(step: int) -> Message | None:
            _check(message, step)
            return steps[step](message)

        return self._turn(act, "the master's answer makes no sense; it may not be ours; nothing was run")

    def _prove(self, message: object) -> Message:
        text = self._record(_field(message, "scram", str))
        self._client.set_server_first(text)
        if int(self._client.iterations) > MAX_ITERATIONS or len(bytes(self._client.salt)) > 64:
            raise ProofError("the master asks for more iterations than is reasonable; it may not be ours")
        return {"step": 2, "scram": self._record(self._client.get_client_final())}

    def _check_run1(self, message: object) -> Message | None:
        text = self._record(_field(message, "scram", str))
        try:
            self._client.set_server_final(text)
        except _OUR_FAULTS:
            raise ProofError(
                f"this master does not know the password of user {self._user!r}: it may not be ours; nothing was run"
            ) from None
        if not self._mutual:
            self.proven = True
            return None
        salt, iterations = _field(message, "salt", bytes), _field(message, "iterations", int)
        if not SALT_BYTES <= len(salt) <= 64 or not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
            raise ProofError("the master's salt or iterations are out of bounds; it may not be ours")
        return {"step": 3, "scram": self._open_run2(_field(message, "back", str), salt, iterations)}

    def _open_run2(self, text: str, salt: bytes, iterations: int) -> str:
        assert self._credentials.server_password is not None
        stretched = _stretch(self._credentials.server_password, salt, iterations)
        mechanism = ScramMechanism(_MECHANISM)
        own_salt, stored, server, count = mechanism.make_auth_info(stretched, MIN_ITERATIONS, salt)
        self._server = mechanism.make_server(
            lambda _: (own_salt, stored, server, count), channel_binding=self._channel2(salt, iterations)
        )
        self._server.set_client_first(text)
        first: str = self._server.get_server_first()
        return first

    def _check_master(self, message: object) -> Message:
        try:
            self._server.set_client_final(_field(message, "scram", str))
        except _OUR_FAULTS:
            raise ProofError(
                "this master does not know the server password: it may not be ours; nothing was run; "
                "compare `server password` on both"
            ) from None
        return {"step": 4, "scram": self._server.get_server_final()}

    def _finish(self, message: object) -> None:
        self.proven = True
