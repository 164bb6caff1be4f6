"""Which addresses are public: by hand from IANA's registries, and the ways IPv6 carries IPv4."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flmd.app.addresses import is_public, parsed
from flmd.errors import InputError


def words(text: str) -> list[str]:
    return text.split()


PUBLIC = words("""
    1.1.1.1 8.8.8.8 93.184.216.34 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 100.63.255.255
    100.128.0.0 11.0.0.0 126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0 198.17.255.255 198.20.0.0
    223.255.255.255 2001:4860:4860::8888 2606:4700::1111 2a00:1450:4001::1 2002:808:808::1 64:ff9b::8.8.8.8
    ::ffff:8.8.8.8
""")
# this network, private, shared, loopback, link-local (cloud metadata), protocol, documentation, relays,
# benchmarks, multicast, reserved, broadcast
NOT_PUBLIC_4 = words("""
    0.0.0.0 0.1.2.3 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 127.255.255.255 169.254.0.1
    169.254.169.254 172.16.0.0 172.31.255.255 192.0.0.1 192.0.0.9 192.0.2.1 192.88.99.1 192.168.0.0
    192.168.255.255 198.18.0.0 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1
    255.255.255.255
""")
# unspecified, loopback, IPv4-compatible, local NAT64, discard, Teredo, ORCHID, documentation, segment
# routing, unique local, link-local, site-local, multicast
NOT_PUBLIC_6 = words("""
    :: ::1 ::8.8.8.8 64:ff9b:1::8.8.8.8 100::1 2001::1 2001:0:808:808::1 2001:10::1 2001:20::1 2001:db8::1
    3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1 ff0e::1 4000::1 e000::1
""")


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text: str) -> None:
    assert is_public(parsed(text))


@pytest.mark.parametrize("text", NOT_PUBLIC_4 + NOT_PUBLIC_6)
def test_not_public(text: str) -> None:
    assert not is_public(parsed(text))


@pytest.mark.parametrize("text", NOT_PUBLIC_4)
def test_an_ipv6_dress_changes_nothing(text: str) -> None:
    value = int(ipaddress.IPv4Address(text))
    assert not any(is_public(address) for address in dressed(value))


def dressed(value: int) -> list[ipaddress.IPv6Address]:
    """An IPv4 address mapped, as 6to4 (RFC 3056: bits 16 to 47) and as NAT64 (RFC 6052: the last 32)."""
    mapped, nat64 = ((0xFFFF << 32) | value, (0x64FF9B << 96) | value)
    six_to_four = (0x2002 << 112) | (value << 80) | 1
    return [ipaddress.IPv6Address(number) for number in (mapped, nat64, six_to_four)]


@given(st.integers(0, 2**32 - 1))
def test_ipv4_in_any_dress_is_judged_as_itself(value: int) -> None:
    plain = ipaddress.IPv4Address(value)
    assert {is_public(address) for address in dressed(value)} == {is_public(plain)}
    assert not is_public(plain) or plain.is_global


@given(st.integers(0, 2**128 - 1) | st.integers(0x2000 << 112, (0x4000 << 112) - 1))
def test_no_ipv6_address_is_public_that_python_knows_to_be_otherwise(value: int) -> None:
    address = ipaddress.IPv6Address(value)
    judged = is_public(address)
    embedded = address.sixtofour or address.ipv4_mapped
    if judged and embedded is None and address not in ipaddress.IPv6Network("64:ff9b::/96"):
        assert address.is_global
        assert not any((address.is_private, address.is_reserved, address.is_multicast))


def test_a_zone_is_left_out() -> None:
    assert parsed("fe80::1%eth0") == ipaddress.IPv6Address("fe80::1")
    with pytest.raises(InputError, match="no network address"):
        parsed("localhost")
