"""Which network addresses a server may call on behalf of a stranger: those of the public internet only."""

from __future__ import annotations

import ipaddress

from flmd.errors import InputError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNICAST = ipaddress.IPv6Network("2000::/3")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# What Python's own tables say of these differs between its releases.
NOT_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # relays of 6to4, given up
        "2001::/23",  # protocol assignments: Teredo, benchmarks, overlays
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)


def carried(address: Address) -> Address:
    """The IPv4 address that packets to an IPv6 address end at: mapped, 6to4, NAT64; else the address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def is_public(address: Address) -> bool:
    """Whether an address belongs to a machine on the public internet.

    Private, loopback, link-local, shared, multicast, reserved, documentation and unspecified addresses do
    not, nor does an IPv6 address that carries one of them.
    """
    end = carried(address)
    if any(end.version == network.version and end in network for network in NOT_PUBLIC):
        return False
    if end.is_multicast or end.is_reserved or not end.is_global:
        return False
    return isinstance(end, ipaddress.IPv4Address) or end in UNICAST


def parsed(text: str) -> Address:
    """The address of a text as ``getaddrinfo`` writes it, its zone left out; InputError for anything else."""
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        raise InputError(f"{text!r} is no network address") from None
