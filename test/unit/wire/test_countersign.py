"""Tests of the master's half of run 2, against the same half of the library scramp and against nonsense."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scramp import ScramMechanism
from scramp.core import ScramServer

from asyncluster.errors import ProofError
from asyncluster.wire.countersign import Countersign, Keys, make_keys

SALT = b"s" * 16
KEYS = make_keys("password", SALT, 4096)
CARRIER = "tls-server-end-point"


def server(binding: bytes = b"b" * 32, password: str = "password", iterations: int = 4096) -> ScramServer:
    """scramp's server of the same run."""
    mechanism = ScramMechanism("SCRAM-SHA-256-PLUS")
    salt, stored, key, count = mechanism.make_auth_info(password, iterations, SALT)
    return mechanism.make_server(lambda user: (salt, stored, key, count), channel_binding=(CARRIER, binding))


def begin(theirs: ScramServer, keys: Keys = KEYS) -> tuple[Countersign, str]:
    """First words both ways."""
    ours = Countersign(keys, CARRIER, b"b" * 32)
    theirs.set_client_first(ours.first())
    return ours, theirs.get_server_first()


def test_a_server_of_scramp_takes_it() -> None:
    """It is SCRAM-SHA-256-PLUS: both sides are convinced."""
    theirs = server()
    ours, first = begin(theirs)
    theirs.set_client_final(ours.final(first))
    ours.check(theirs.get_server_final())


@pytest.mark.parametrize("theirs", [server(binding=b"c" * 32), server(password="another")])
def test_another_channel_or_password(theirs: ScramServer) -> None:
    """Then scramp's server refuses."""
    ours, first = begin(theirs)
    with pytest.raises(Exception, match="don't match"):
        theirs.set_client_final(ours.final(first))


def test_a_server_that_does_not_know_the_password() -> None:
    """Its signature is not what the keys give."""
    ours, first = begin(server())
    ours.final(first)
    for word in ("v=AAAA", "v=", "", "e=other-error", "v=\udcff"):
        with pytest.raises(ProofError, match="server password"):
            ours.check(word)


def test_no_last_words_before_the_proof() -> None:
    """The check of a run that has not come so far refuses whatever it is given."""
    ours, _ = begin(server())
    with pytest.raises(ProofError):
        ours.check("v=")


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("i=4096", "i=4097", "other iterations"),
        ("i=4096", "i=04096", "other iterations"),
        ("s=c3", "s=d3", "another salt"),
        ("r=", "r=0", "something else"),
        ("i=4096", "i=4096,x=y", "malformed"),
        ("r=", "m=", "malformed"),
        (",s=", ",\u00e9=", "malformed"),
    ],
)
def test_other_first_words(old: str, new: str, text: str) -> None:
    """What the keys were not made for, and what no joiner says, is refused."""
    ours, first = begin(server())
    assert old in first
    with pytest.raises(ProofError, match=text):
        ours.final(first.replace(old, new, 1))


def test_a_nonce_of_ours_alone() -> None:
    """The joiner must add something of its own."""
    ours, first = begin(server())
    nonce = ours.first().rpartition("r=")[2]
    with pytest.raises(ProofError, match="something else"):
        ours.final(f"r={nonce},{first.partition(',')[2]}")


@given(text=st.text(max_size=200))
@settings(deadline=None)
def test_nonsense(text: str) -> None:
    """Any text gives a ProofError and nothing else."""
    ours, _ = begin(server())
    with pytest.raises(ProofError):
        ours.final(text)


def test_keys_are_not_shown() -> None:
    """They prove the password: no traceback or log may have them."""
    assert KEYS.client.hex() not in repr(KEYS)
    assert repr(KEYS.client) not in repr(KEYS)
