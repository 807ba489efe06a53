"""Addresses of this machine at which others may reach it, and the networks that they are in."""

from __future__ import annotations

import ipaddress
import socket

import psutil

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_INSIDE = ("docker", "virbr", "veth", "br-", "cni", "lxc")
"""What the interfaces begin with that lead to containers and virtual machines of this machine only."""


def reachable() -> list[Address]:
    """The addresses, private ones first: compute nodes are in the inner network more often than not."""
    found = [interface.ip for interface in _interfaces()]
    return sorted(dict.fromkeys(found), key=lambda address: (address.version, not address.is_private))


def attached() -> list[Network]:
    """The networks, without this machine's own loopback."""
    return sorted({interface.network for interface in _interfaces()}, key=str)


def _interfaces() -> list[ipaddress.IPv4Interface | ipaddress.IPv6Interface]:
    states = psutil.net_if_stats()
    found = []
    for name, addresses in psutil.net_if_addrs().items():
        if name.startswith(_INSIDE) or not (name in states and states[name].isup):
            continue
        for each in addresses:
            if each.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            address = ipaddress.ip_address(each.address.partition("%")[0])
            if not (address.is_loopback or address.is_link_local):
                found.append(ipaddress.ip_interface(f"{address}/{_bits(each.netmask, address)}"))
    return found


def _bits(netmask: str | None, address: Address) -> str:
    if not netmask:
        return str(address.max_prefixlen)
    if address.version == 4:
        return netmask
    return str(bin(int(ipaddress.IPv6Address(netmask))).count("1"))
