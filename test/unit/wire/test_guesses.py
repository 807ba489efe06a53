"""Wrong passwords at the TCP door: how many are looked at, from where."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from twisted.internet.task import Clock

from asyncluster.accounts.attempts import MOST_OF_ADDRESS, MOST_OF_MACHINES, NetworkAttempts
from asyncluster.errors import ProofError
from asyncluster.model.peer import Role
from asyncluster.wire.accounts import Credentials, Verifier, make_verifier
from asyncluster.wire.conversation import MasterEnd, our_hello
from asyncluster.wire.hello import to_words
from asyncluster.wire.proof import REFUSED, Binding, Doorkeeper, JoinerProof, MasterProof, canonical

VERIFIERS = {
    "node": make_verifier("nodes", "node", "node password", iterations=4096),
    "client": make_verifier("ann", "client", "her password", iterations=4096),
}


class Known:
    """Two accounts."""

    def find(self, name: str, role: str) -> Verifier | None:
        verifier = VERIFIERS[role]
        return verifier if verifier.name == name else None


KEEPER = Doorkeeper(Known(), "server password", iterations=4096, decoy_key=b"d" * 32)


class Broker:
    """Of a connection that goes nowhere."""

    disconnected = True

    def __init__(self) -> None:
        self.is_proven = False
        self.transport = mock.Mock()

    def prove(self) -> None:
        self.is_proven = True


class Door:
    """The TCP door of a master, without TCP."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.guesses = NetworkAttempts(lambda name: name == "nodes")

    def knock(self, user: str, password: str, address: str, role: Role = Role.NODE) -> bool:
        """Whether that proof succeeds."""
        ours, theirs = our_hello(Role.MASTER, "master"), our_hello(role, "n")
        made: list[Binding] = []

        def begin(_broker: Any, role: Role, words: bytes, answer: bytes) -> MasterProof:
            made.append(Binding(role, b"x" * 32, b"y" * 32, words, answer))
            return MasterProof(KEEPER, made[0])

        end = MasterEnd(
            self.clock,  # type: ignore[arg-type]
            ours,
            address,
            welcome=lambda _link: None,  # type: ignore[arg-type,return-value]
            begin_proof=begin,
            guesses=self.guesses,
        )
        end.broker = Broker()  # type: ignore[assignment]
        words = to_words(theirs)
        end.stranger("hello", (words,))
        assert canonical(words) == made[0].joiner_hello
        joiner = JoinerProof(Credentials(user, password, "server password" if role is Role.NODE else None), made[0])
        message = joiner.start()
        while message is not None:
            answer: Any = end.stranger("prove", (message,))
            if answer == REFUSED:
                return False
            message = joiner.answer(answer)  # type: ignore[assignment]
        return bool(end.broker.is_proven)  # type: ignore[attr-defined]


CHECK = MasterProof._check_joiner


def watch(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whose passwords are looked at from now on."""
    looked: list[str] = []

    def counted(self: MasterProof, *args: Any) -> Any:
        looked.append(self.claimed)
        return CHECK(self, *args)

    monkeypatch.setattr(MasterProof, "_check_joiner", counted)
    return looked


@pytest.fixture
def door() -> Door:
    return Door()


def test_five_wrong_passwords_from_one_address(door: Door) -> None:
    """Then the right one is not looked at either, for five minutes; from another address it is."""
    for _ in range(5):
        assert not door.knock("ann", "a guess", "10.0.0.9", Role.CLIENT)
    assert not door.knock("ann", "her password", "10.0.0.9", Role.CLIENT)
    assert door.knock("ann", "her password", "10.0.0.8", Role.CLIENT)
    door.clock.advance(300.0)
    assert door.knock("ann", "her password", "10.0.0.9", Role.CLIENT)


def test_a_node_with_an_old_password_shuts_nobody_out(door: Door) -> None:
    """It tries every ten seconds for ever; others behind its address come in, and persons beside it, too."""
    for _ in range(60):
        assert not door.knock("nodes", "the old password", "10.0.0.1")
        door.clock.advance(10.0)
    assert door.knock("nodes", "node password", "10.0.0.1")
    assert door.knock("ann", "her password", "10.0.0.1", Role.CLIENT)


def test_guesses_have_an_end_for_shared_accounts_and_whole_addresses(door: Door) -> None:
    """A later one; from elsewhere both go on."""
    for i in range(MOST_OF_MACHINES):
        assert not door.guesses.begin("node", "nodes", "10.0.0.9", i / 10)
    assert door.guesses.begin("node", "nodes", "10.0.0.9", 100.0) > 0
    assert not door.guesses.begin("node", "nodes", "10.0.0.8", 100.0)
    for i in range(MOST_OF_ADDRESS):
        assert not door.guesses.begin("client", f"name{i}", "10.0.0.9", 100.0)
    assert door.guesses.begin("client", "ann", "10.0.0.9", 100.0) > 0
    assert not door.guesses.begin("client", "ann", "10.0.0.8", 100.0)


def test_her_own_nodes_do_not_keep_her_programs_out(door: Door) -> None:
    """They have an old password, and try for ever; she may even have mistyped hers."""
    for _ in range(60):
        assert not door.knock("ann", "the old password", "10.0.0.1", Role.NODE)
        door.clock.advance(10.0)
        if door.clock.seconds() % 100 == 0:
            assert not door.knock("ann", "a slip", "10.0.0.1", Role.CLIENT)
            assert door.knock("ann", "her password", "10.0.0.1", Role.CLIENT)


def test_who_tries_as_a_node_has_no_more_guesses(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person's password is good in both roles: five are looked at in all, in whatever order."""
    for address, roles in (("10.0.0.1", [Role.NODE, Role.CLIENT]), ("10.0.0.2", [Role.CLIENT, Role.NODE])):
        looked = watch(monkeypatch)
        for role in roles:
            for _ in range(8):
                assert not door.knock("ann", "a guess", address, role)
        assert looked == ["ann"] * 5
        assert not door.knock("ann", "her password", address, roles[1])
    door.clock.advance(300.0)
    assert door.knock("ann", "her password", "10.0.0.1", Role.CLIENT)


def test_right_ones_count_for_nothing(door: Door) -> None:
    """A thousand nodes behind one address come in one after the other."""
    assert all(door.knock("nodes", "node password", "10.0.0.1") for _ in range(30))


def test_unknown_names_are_answered_alike(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many are looked at, then none, whether there is such an account or not."""
    looked = watch(monkeypatch)
    for name in ("ann", "nobody"):
        for _ in range(8):
            assert not door.knock(name, "a guess", "10.0.0.9", Role.CLIENT)
    assert looked == ["ann"] * 5 + ["nobody"] * 5


def test_the_joiner_is_told_what_it_may_be() -> None:
    """It cannot know which of them it is, and says so."""
    joiner = JoinerProof(Credentials("ann", "her password"), Binding(Role.CLIENT, b"x" * 32, b"y" * 32, b"", b""))
    joiner.start()
    with pytest.raises(ProofError, match="wrong password or unknown, or too many wrong ones"):
        joiner.answer(REFUSED)
