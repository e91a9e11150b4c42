"""Decide which addresses we may be sent to by a name that somebody else chose.

A web address in a project's settings makes the gateway connect to where its name leads (server-side request forgery).
The gateway stands inside the operator's network, beside the store and the cloud's metadata service; whoever set the
address may not. So a name is looked up once, only its public addresses are used, and the connection goes to one that
was looked at: where the name leads a moment later (rebinding) does not matter.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Final

_ADDRESSES_MAX: Final = 4
"""Of one name. Whoever publishes more has them for the sake of balance."""

_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: where hosts without IPv4 reach it."""


async def addresses_of(host: str, port: int, *, private: bool) -> list[str]:
    """Return where ``host`` may be reached, best first: public addresses only, unless ``private``.

    Empty when there is none. Raises OSError, UnicodeError when the name cannot be looked up.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = dict.fromkeys(str(target[0]) for *_, target in found)
    return [address for address in addresses if private or is_public(address)][:_ADDRESSES_MAX]


def is_public(address: str) -> bool:
    """Is this an address of the public internet, also when it is written inside another one?"""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)))
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        # 6to4 is dead, and would lead to an IPv4 address of the name's choice. (Teredo, too, counts as not global.)
        return ip in _GLOBAL_UNICAST and ip.is_global and ip.sixtofour is None
    return ip.is_global and not ip.is_multicast
