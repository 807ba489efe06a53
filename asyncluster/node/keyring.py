"""With what a node proves itself: what its configuration says, or, where that serves once only, a secret of its own.

An account that begins with ~ is one node's, and its password is good for one registration.  With it the node hands
over the verifier of a secret that it has drawn, and written to its state folder before: whatever is cut short, either
the old one is good still, or the new one is good already.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.logger import Logger

from asyncluster.errors import ConfigError, ProofError, SecretExposedError
from asyncluster.model.peer import OWN_ACCOUNT, Role
from asyncluster.wire.accounts import MIN_ITERATIONS, Credentials, make_verifier
from asyncluster.wire.link import Link
from asyncluster.wire.tls import write_private

_log = Logger()

FILE = "credential.json"
"""In the node's state folder, mode 0600."""

SECRET_BYTES = 32

Join = Callable[[Credentials], Awaitable[Link]]
"""Makes a proven link with these; raises ProofError where they were refused."""


@attrs.frozen
class Own:
    """A secret that the node has drawn.  sure: the master is known to have its verifier."""

    user: str
    password: str = attrs.field(repr=False)
    sure: bool = False


class KeyRing:
    """Of one node.  given: by its configuration; folder: its state folder."""

    def __init__(self, given: Credentials, folder: Path) -> None:
        self._given = given
        self._path = folder / FILE
        self._refused = False  # its own, of which it is not sure that the master has it

    async def join(self, begin: Join) -> Link:
        """A proven link, after which only its own secret is good for it.  Raises what `begin` raises."""
        if not self._given.user.startswith(OWN_ACCOUNT):
            return await begin(self._given)
        own = self._read()
        if own is None or (self._refused and not own.sure):
            return await self._first(begin, own)
        try:
            link = await begin(Credentials(own.user, own.password))
        except ProofError:
            self._refused = True  # it never arrived: what was given is good still, the next time
            raise
        if not own.sure:
            self._write(attrs.evolve(own, sure=True))
        return link

    async def _first(self, begin: Join, own: Own | None) -> Link:
        self._refused = False
        own = own or Own(self._given.user, secrets.token_urlsafe(SECRET_BYTES))
        self._write(own)
        link = await begin(attrs.evolve(self._given, server_password=None))
        try:
            verifier = make_verifier(own.user, Role.NODE.value, own.password, iterations=MIN_ITERATIONS)
            await link.call("enlist", verifier.to_line())
        except BaseException:
            link.abort()
            raise
        self._write(attrs.evolve(own, sure=True))
        _log.info(
            "this node has a secret of its own now, in {path}; the one that it was given is spent", path=self._path
        )
        return link

    def _read(self) -> Own | None:
        """What was kept for this account; None: nothing, or of another node that was here before."""
        try:
            with self._path.open("rb") as stream:
                if os.fstat(stream.fileno()).st_mode & 0o077:
                    raise SecretExposedError(f"{self._path} can be read by others; run: chmod 600 {self._path}")
                words: Any = json.load(stream)
            own = Own(str(words["user"]), str(words["password"]), bool(words["sure"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            _log.error("{path} cannot be read: it is made anew", path=self._path)
            return None
        return own if own.user == self._given.user else None

    def _write(self, own: Own) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._path, json.dumps(attrs.asdict(own)).encode())
        except OSError as error:
            raise ConfigError(
                f"{self._path} cannot be written: {error.strerror}; [client] state folder says where"
            ) from None
