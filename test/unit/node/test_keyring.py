"""A node's own secret: drawn once, kept, tried first, and never lost by what is cut short."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from asyncluster.errors import LinkLostError, ProofError, SecretExposedError
from asyncluster.node.keyring import FILE, KeyRing
from asyncluster.wire.accounts import Credentials, Verifier, make_verifier

GIVEN = Credentials("~p-1", "given")


class Master:
    """Knows one verifier of the account, and changes it when it is asked to.  lost: answers that never come."""

    def __init__(self) -> None:
        self.verifier = make_verifier("~p-1", "node", "given", iterations=4096)
        self.tried: list[str] = []
        self.lost = ""
        self.aborted = 0

    async def begin(self, credentials: Credentials) -> Any:
        self.tried.append("given" if credentials.password == "given" else "own")
        known = self.verifier
        if make_verifier(known.name, "node", credentials.password, known.salt, known.iterations) != known:
            raise ProofError("refused")
        return self

    def call(self, name: str, line: str) -> Deferred[None]:
        assert name == "enlist"
        if self.lost != "before":
            self.verifier = Verifier.from_line(line)
        return fail(LinkLostError("cut")) if self.lost else succeed(None)

    def abort(self) -> None:
        self.aborted += 1


def run(ring: KeyRing, master: Master) -> None:
    """One attempt; raises what it raises."""
    done = Deferred.fromCoroutine(ring.join(master.begin))
    caught: list[Any] = []
    done.addErrback(lambda failure: caught.append(failure.value))
    if caught:
        raise caught[0]


def test_the_first_time_and_all_others(tmp_path: Path) -> None:
    """The given one serves once; afterwards its own, also for a daemon that starts anew."""
    master = Master()
    ring = KeyRing(GIVEN, tmp_path / "state")
    run(ring, master)
    run(ring, master)
    run(KeyRing(GIVEN, tmp_path / "state"), master)
    assert master.tried == ["given", "own", "own"]
    kept = tmp_path / "state" / FILE
    assert kept.stat().st_mode & 0o777 == 0o600
    assert "given" not in kept.read_text()
    assert json.loads(kept.read_text())["sure"] is True


@pytest.mark.parametrize(
    ("lost", "tried"), [("after", ["given", "own", "own"]), ("before", ["given", "own", "given", "own"])]
)
def test_a_link_that_breaks_while_it_is_handed_over(tmp_path: Path, lost: str, tried: list[str]) -> None:
    """Before or after the master has it: one of the two is good, and is found; by a daemon that starts anew, too."""
    for anew in (False, True):
        master, ring = Master(), KeyRing(GIVEN, tmp_path / str(anew))
        master.lost = lost
        with pytest.raises(LinkLostError):
            run(ring, master)
        assert master.aborted == 1
        master.lost = ""
        ring = KeyRing(GIVEN, tmp_path / str(anew)) if anew else ring
        if lost == "before":
            with pytest.raises(ProofError):
                run(ring, master)
        run(ring, master)
        run(ring, master)
        assert master.tried == tried


def test_a_refused_secret_that_was_good_is_not_given_up(tmp_path: Path) -> None:
    """The given one is spent: it is not tried again, however often the master says no."""
    master, ring = Master(), KeyRing(GIVEN, tmp_path)
    run(ring, master)
    master.verifier = make_verifier("~p-1", "node", "something else", iterations=4096)
    for _ in range(3):
        with pytest.raises(ProofError):
            run(ring, master)
    assert set(master.tried[1:]) == {"own"}


def test_nodes_of_a_common_account_are_as_ever(tmp_path: Path) -> None:
    """Nothing is kept for them."""
    master = Master()
    seen: list[Credentials] = []

    async def begin(credentials: Credentials) -> Any:
        seen.append(credentials)
        return master

    common = Credentials("nodes", "password", "server password")
    done = Deferred.fromCoroutine(KeyRing(common, tmp_path / "state").join(begin))
    assert done.called
    assert seen == [common]
    assert not (tmp_path / "state").exists()


def test_what_was_kept_for_another_node(tmp_path: Path) -> None:
    """A disk image that was a node before, or a file that is damaged: a new secret is drawn."""
    for text in ('{"user": "~p-0", "password": "x", "sure": true}', "{", "[]"):
        (tmp_path / FILE).write_text(text)
        (tmp_path / FILE).chmod(0o600)
        master = Master()
        run(KeyRing(GIVEN, tmp_path), master)
        assert master.tried == ["given"]


def test_a_file_that_others_can_read(tmp_path: Path) -> None:
    """Is refused, with the chmod."""
    (tmp_path / FILE).write_text('{"user": "~p-1", "password": "x", "sure": true}')
    (tmp_path / FILE).chmod(0o644)
    with pytest.raises(SecretExposedError, match="chmod 600"):
        run(KeyRing(GIVEN, tmp_path), Master())
