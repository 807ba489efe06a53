"""The master's half of run 2 of the proof: a SCRAM client whose slow part is done once, not once a joiner.  Pure.

SCRAM lets a client keep the keys that it made of a password, a salt and a number of iterations (RFC 5802, section 3).
A joiner uses the salt that the master proposed, so the master meets the same three at every one.  scramp
has no place for such keys and spends 5 ms of the reactor's time on each: a thousand nodes that come at once
would wait for that alone 5 s.  So this half is ours.  The joiner's half is scramp's, and so is all of run 1.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

import attrs

from asyncluster.errors import ProofError

_USER = "master"
_NONCE_BYTES = 32


@attrs.frozen(repr=False)
class Keys:
    """What SCRAM-SHA-256 makes of a password, `salt` and `iterations`.  Whoever has them can prove the password."""

    salt: bytes
    iterations: int
    client: bytes
    stored: bytes
    server: bytes


def make_keys(password: str, salt: bytes, iterations: int) -> Keys:
    """The keys of a password of plain ASCII, for which SASLprep changes nothing.  Slow: some ms."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    server = hmac.digest(salted, b"Server Key", "sha256")
    return Keys(salt, iterations, client, hashlib.sha256(client).digest(), server)


class Countersign:
    """One run: `first`, `final`, `check`, in this order, each once.  `carrier` and `binding` as in wire/proof.py."""

    def __init__(self, keys: Keys, carrier: str, binding: bytes) -> None:
        self._keys = keys
        self._header = f"p={carrier},,"
        self._binding = binding
        self._nonce = secrets.token_hex(_NONCE_BYTES)
        self._signature = b""

    def first(self) -> str:
        """The first words: to the joiner, which is the server of this run."""
        return f"{self._header}n={_USER},r={self._nonce}"

    def final(self, answer: str) -> str:
        """The proof, once the joiner has said its first words.  Raises ProofError for what no honest joiner says."""
        nonce = self._check_first(answer)
        bound = _text(self._header.encode("ascii") + self._binding)
        without_proof = f"c={bound},r={nonce}"
        said = f"n={_USER},r={self._nonce},{answer},{without_proof}".encode("ascii")
        signature = hmac.digest(self._keys.stored, said, "sha256")
        proof = bytes(mine ^ theirs for mine, theirs in zip(self._keys.client, signature, strict=True))
        self._signature = hmac.digest(self._keys.server, said, "sha256")
        return f"{without_proof},p={_text(proof)}"

    def check(self, answer: str) -> None:
        """The joiner's last words.  Raises ProofError unless they show that it knows the password, too."""
        wanted = f"v={_text(self._signature)}"
        if not self._signature or not hmac.compare_digest(answer.encode("utf-8", "replace"), wanted.encode("ascii")):
            raise ProofError("a peer failed the proof: it does not know the server password")

    def _check_first(self, answer: str) -> str:
        """Returns the nonce of both."""
        parts = answer.split(",") if answer.isascii() and answer.isprintable() else []
        if len(parts) != 3 or [part[:2] for part in parts] != ["r=", "s=", "i="]:
            raise ProofError("a message of the proof is malformed")
        nonce, salt, iterations = (part[2:] for part in parts)
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce) or " " in nonce:
            raise ProofError("a peer answered to something else than was said")
        # anything else than what the keys were made for would have to be computed: a joiner could make us burn CPU
        if iterations != str(self._keys.iterations):
            raise ProofError("a peer proposed other iterations than agreed")
        if salt != _text(self._keys.salt):
            raise ProofError("a peer proposed another salt than agreed")
        return nonce


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
