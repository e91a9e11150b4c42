"""Where a name that somebody else chose may lead us."""

from __future__ import annotations

import pytest

from chatgateway.outside.address import addresses_of, is_public


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.169.254",
        ),
        *("192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1"),
        # IPv4 inside IPv6: mapped, translated (RFC 6052), 6to4, Teredo, compatible
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b:1::1"),
        *("2002:7f00:1::", "2001:0:7f00:1::", "::127.0.0.1"),
    ],
)
def test_not_into_the_operators_own_network(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_but_to_the_public_internet(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "0"])
async def test_however_the_loopback_is_spelled(host: str) -> None:
    assert await addresses_of(host, 443, private=False) == []
    assert await addresses_of(host, 443, private=True)


async def test_each_address_once() -> None:
    assert await addresses_of("127.0.0.1", 443, private=True) == ["127.0.0.1"]
