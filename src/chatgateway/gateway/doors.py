"""Who may come in: floods are refused before the upgrade, the rest is told why after it.

Counted per address are sockets that nobody has signed in on; per identity all of them. An IPv6 address counts by its
/64, because one subscriber has a whole one.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import TYPE_CHECKING

from chatgateway.close_codes import CloseCode
from chatgateway.core import effects as fx
from chatgateway.core.identity import Anonymous
from chatgateway.core.limits import Bucket, Rate

if TYPE_CHECKING:
    from chatgateway.gateway.connection import Connection
    from chatgateway.gateway.parts import Parts


class Doors:
    """Admission to this node."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        rate = parts.settings.admission_per_s
        self._bucket = Bucket(Rate(rate, max(1, int(rate))))
        self._strangers: Counter[str] = Counter()
        self._counted: dict[Connection, str] = {}
        self.draining = False

    def refuses(self, address: str) -> str | None:
        """Return why a request for a socket is refused before the upgrade, or None."""
        if self.draining:
            return "This gateway is stopping; come back in a moment."
        if self._strangers[block(address)] >= 2 * self._parts.settings.connections_per_address_max:
            return "Too many connections from this address."
        if self._bucket.take(self._parts.node.now()) > 0:
            return "Too many connections at once; come back in a moment."
        return None

    def entered(self, connection: Connection) -> None:
        """Count a socket that was accepted, and end it when its address has too many."""
        name = block(connection.caller.address)
        self._counted[connection] = name
        self._strangers[name] += 1
        if self._strangers[name] > self._parts.settings.connections_per_address_max:
            connection.hear(fx.Ended(CloseCode.TOO_MANY_CONNECTIONS))

    def identified(self, connection: Connection) -> None:
        """Somebody signed in: they count by identity from now on."""
        identity = connection.session.identity
        if not isinstance(identity, Anonymous):
            self.release(connection)
        if identity is None or not connection.session.project:
            return
        others = self._parts.roster.of_person(connection.session.project, identity.user)
        if len(others) > self._parts.settings.connections_per_identity_max:
            connection.hear(fx.Ended(CloseCode.TOO_MANY_CONNECTIONS))

    def release(self, connection: Connection) -> None:
        """A socket is gone, or is nobody's unknown any more."""
        name = self._counted.pop(connection, None)
        if name is not None:
            self._strangers[name] -= 1
            if self._strangers[name] <= 0:
                del self._strangers[name]


def block(address: str) -> str:
    """Return what an address counts as."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        # A dual-stack listener sees IPv4 peers as ::ffff:a.b.c.d: all of IPv4 would be one /64.
        parsed = parsed.ipv4_mapped or parsed
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
