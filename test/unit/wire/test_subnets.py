"""Tests of the allowed subnets."""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncluster.errors import ConfigError
from asyncluster.wire.subnets import allows, neighbourhood, parse


@pytest.mark.parametrize(
    ("networks", "address", "answer"),
    [
        ("127.0.0.1, 192.168.1.0/24", "127.0.0.1", True),
        ("127.0.0.1, 192.168.1.0/24", "192.168.1.255", True),
        ("127.0.0.1, 192.168.1.0/24", "192.168.2.0", False),
        ("127.0.0.1", "127.0.0.2", False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", True),
        ("::/0", "::ffff:10.1.2.3", False),
        ("::/0", "10.1.2.3", False),
        ("0.0.0.0/0", "::1", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("fd00::/8", "fd12::7", True),
        ("fd00::/8", "fe00::7", False),
        ("", "127.0.0.1", False),
        ("0.0.0.0/0, ::/0", "", False),
        ("0.0.0.0/0, ::/0", "localhost", False),
        ("0.0.0.0/0, ::/0", "127.0.0.1.", False),
        ("0.0.0.0/0, ::/0", "1", False),
    ],
)
def test_allows(networks: str, address: str, answer: bool) -> None:
    """IPv4, IPv6, IPv4 within IPv6, scopes; nothing that is no address."""
    assert allows(parse(networks), address) is answer


def test_all_faults_at_once() -> None:
    """Every faulty subnet is named, with what may have been meant."""
    with pytest.raises(ConfigError) as caught:
        parse("192.168.1.7/24, 10.0.0.1, nonsense, 10.0.0.0/33")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "did you mean 192.168.1.0/24 or 192.168.1.7?" in lines[0]
    assert "'nonsense'" in lines[1]
    assert "'10.0.0.0/33'" in lines[2]


def test_lists_and_stray_commas() -> None:
    """A list does as well as a text; empty entries are nothing."""
    assert parse(["10.0.0.0/8", " ::1 "]) == parse("10.0.0.0/8,,::1,")


@given(address=st.integers(0, 2**32 - 1), network=st.integers(0, 2**32 - 1), prefix=st.integers(0, 32))
def test_ipv4_by_its_bits(address: int, network: int, prefix: int) -> None:
    """An address is allowed exactly if its leading bits are the network's, whether plain or within IPv6."""
    base = network >> (32 - prefix) << (32 - prefix)
    networks = parse(f"{IPv4Address(base)}/{prefix}")
    expected = address >> (32 - prefix) == base >> (32 - prefix)
    assert allows(networks, str(IPv4Address(address))) is expected
    assert allows(networks, f"::ffff:{IPv4Address(address)}") is expected
    assert allows(parse(f"::ffff:{IPv4Address(base)}/{prefix + 96}"), str(IPv4Address(address))) is expected


@given(address=st.ip_addresses(v=6), prefix=st.integers(0, 128), scope=st.sampled_from(["", "%eth0", "%3"]))
def test_ipv6_by_its_bits(address: IPv6Address, prefix: int, scope: str) -> None:
    """An IPv6 address lies in every network made of its own leading bits, whatever its scope."""
    if address.ipv4_mapped is None:
        assert allows([IPv6Network((int(address) >> (128 - prefix) << (128 - prefix), prefix))], f"{address}{scope}")


@given(st.text(max_size=50))
def test_any_text(text: str) -> None:
    """No text breaks either function."""
    assert allows(parse("0.0.0.0/0,::/0"), text) in (True, False)
    assert isinstance(neighbourhood(text), str)
    with contextlib.suppress(ConfigError):
        parse(text)


def test_neighbourhood() -> None:
    """One IPv4 address, plain or mapped, is one place; so is a /64 of IPv6."""
    assert neighbourhood("10.0.0.1") == neighbourhood("::ffff:10.0.0.1") != neighbourhood("10.0.0.2")
    assert neighbourhood("fd00::1") == neighbourhood("fd00::ffff:1%eth0") != neighbourhood("fd00:0:0:1::1")
