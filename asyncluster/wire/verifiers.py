"""The file in which the master keeps the verifiers of its accounts, one a line.

Reads it again when it changed; a change that is damaged is logged and the last good state kept, so
that a slip in an editor locks nobody out.  Refuses a file that others can read.  Decides nothing about
passwords (wire/proof.py does).
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.logger import Logger

from asyncluster.errors import ConfigError, SecretExposedError
from asyncluster.wire.accounts import Verifier, clean_name
from asyncluster.wire.tls import write_private

_log = Logger()

_HEAD = "# accounts of the AsynCluster master: name:role:SCRAM-SHA-256$iterations:salt$stored:server\n"
_Stamp = tuple[int, int, int, int] | None

ACCOUNTS_FILE = "accounts"
"""Its name in the master's state folder."""


class VerifierFile:
    """Accounts by (name, role).  Satisfies `wire.proof.Verifiers`.

    Making one reads the file; a missing file is an empty one.  Raises ConfigError naming file and line,
    SecretExposedError showing the chmod.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._accounts: dict[tuple[str, str], Verifier] = {}
        self._stamp: _Stamp = None
        self._fault = ""  # the last one logged
        self.load()

    def load(self) -> None:
        """Read the file again, whatever its time says.  Raises as the constructor does."""
        self._stamp = self._look()  # before reading, so that a change meanwhile is seen next time
        self._accounts = {} if self._stamp is None else self._read()

    def find(self, name: str, role: str) -> Verifier | None:
        """The verifier of that account in that role ("node" or "client"), or None.  Raises nothing."""
        try:
            if self._look() != self._stamp:
                self.load()
                self._fault = ""
        except ConfigError as fault:
            if str(fault) != self._fault:  # not once a stranger
                _log.error("accounts not read again, the last good ones stay: {fault}", fault=str(fault))
            self._fault = str(fault)
        return self._accounts.get((name, role))

    def put(self, verifier: Verifier) -> None:
        """Add or replace an account and save; raises ConfigError."""
        self._change({(verifier.name, verifier.role): verifier}, set())

    def remove(self, name: str, role: str) -> bool:
        """Remove an account and save; whether there was one.  Raises ConfigError, ProofError for an odd name."""
        key = (clean_name(name), role)
        self.load()
        there = key in self._accounts
        if there:
            self._change({}, {key})
        return there

    def names(self) -> list[tuple[str, str]]:
        """All accounts as (name, role), sorted."""
        return sorted(self._accounts)

    def _change(self, put: dict[tuple[str, str], Verifier], removed: set[tuple[str, str]]) -> None:
        self.load()  # another process may have added an account
        accounts = {key: value for key, value in (self._accounts | put).items() if key not in removed}
        lines = [accounts[key].to_line() + "\n" for key in sorted(accounts)]
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self.path, "".join([_HEAD, *lines]).encode("ascii"))
        except OSError as fault:
            raise ConfigError(f"{self.path} cannot be written: {fault.strerror}") from fault
        self.load()

    def _look(self) -> _Stamp:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise ConfigError(f"{self.path} cannot be read: {fault.strerror}") from fault
        return status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode

    def _read(self) -> dict[tuple[str, str], Verifier]:
        try:
            with self.path.open("rb") as stream:
                # of the open file, so that nobody swaps it between the look and the reading
                if os.fstat(stream.fileno()).st_mode & 0o077:
                    raise SecretExposedError(f"{self.path} can be read by others; run: chmod 600 {self.path}")
                lines = stream.read().decode("utf-8").splitlines()
        except OSError as fault:
            raise ConfigError(f"{self.path} cannot be read: {fault.strerror}") from fault
        except UnicodeDecodeError:
            raise ConfigError(f"{self.path} is not text; restore it, or remove it and add the accounts again") from None
        accounts: dict[tuple[str, str], Verifier] = {}
        faults: list[str] = []
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            try:
                verifier = Verifier.from_line(line)
            except ValueError as fault:
                faults.append(f"{self.path}, line {number}: {fault}")
                continue
            if (verifier.name, verifier.role) in accounts:
                faults.append(f"{self.path}, line {number}: that account is there twice")
            accounts[verifier.name, verifier.role] = verifier
        if faults:
            raise ConfigError("\n".join(faults))
        return accounts
