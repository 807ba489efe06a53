"""Decides whether an address lies in one of the allowed subnets.

Refuses to know sockets and names: addresses come as text, as the kernel gave them.  IPv4 that arrives
on an IPv6 socket (`::ffff:10.0.0.7`) is judged as the IPv4 that it is, by IPv4 subnets only, so `::/0`
does not let all of IPv4 in.  A scope (`fe80::1%eth0`) names an interface, not an address: it is
dropped.  What cannot be understood is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from asyncluster.errors import ConfigError

Network = IPv4Network | IPv6Network

_MAPPED_BITS = 96
_MAPPED = IPv6Network("::ffff:0:0/96")


def parse(text: str | Iterable[str]) -> tuple[Network, ...]:
    """Networks from `127.0.0.1, 192.168.1.0/24, fd00::/8` or from a list of such; raises ConfigError with all faults.

    An empty text gives no network, which lets nobody in.
    """
    texts = text.split(",") if isinstance(text, str) else list(text)
    networks: list[Network] = []
    faults: list[str] = []
    for word in (word.strip() for word in texts):
        if not word:
            continue
        try:
            networks.append(_unmap(ip_network(word)))
        except ValueError:
            faults.append(_fault(word))
    if faults:
        raise ConfigError("\n".join(faults))
    return tuple(networks)


def allows(networks: Iterable[Network], address: str) -> bool:
    """Whether `address` lies in one of the networks; False for anything that is no address."""
    ours = _address(address)
    # ipaddress answers False for a network of the other family
    return ours is not None and any(ours in network for network in networks)


def neighbourhood(address: str) -> str:
    """What counts as one address when connections are counted: an IPv4 address, or the /64 of an IPv6 one.

    Any host can take as many addresses as it likes within its /64.
    """
    ours = _address(address)
    if isinstance(ours, IPv6Address):
        return str(IPv6Network((int(ours) >> 64 << 64, 64)))
    return address if ours is None else str(ours)


def plain(address: str) -> str:
    """The address as people write it: `::ffff:10.0.0.1`, which a socket for both families says, is 10.0.0.1."""
    ours = _address(address)
    return str(ours) if isinstance(ours, IPv4Address) else address


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _unmap(network: Network) -> Network:
    """`::ffff:10.0.0.0/104` means 10.0.0.0/8."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - _MAPPED_BITS))
    return network


def _fault(word: str) -> str:
    try:
        wide = ip_network(word, strict=False)
    except ValueError:
        return f"{word!r} is no subnet; write 192.168.1.0/24, 10.0.0.7 or fd00::/8"
    return f"{word!r} has bits set behind the mask; did you mean {wide} or {word.partition('/')[0]}?"
