"""How fast HTTP peers may ask: so much per address or admin token, and per session as much as a socket may.

Counted per process, as for sockets. The latest that asked are remembered; who was forgotten starts with a full bucket.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from chatgateway.core.limits import Bucket, Rate
from chatgateway.errors import RateLimited
from chatgateway.gateway.doors import block
from chatgateway.types import AdminId

if TYPE_CHECKING:
    from chatgateway.gateway.parts import Parts

ADMIN_BURST_S = 5
"""An admin token may ask at once for what it may in so many seconds."""

ADMIN_FAILURES = Rate(per_s=0.2, burst=20)
"""Bearers that one address may show in vain. Nobody guesses 256 bits: this bounds what the log takes, no more, so
whoever shows a good one is served beside them."""

DEPARTURES = Rate(per_s=0.5, burst=60)
"""Sign-outs of strangers from one address: each that the store knows is an entry of the control log, which never
shrinks."""

REMEMBERED_MAX = 20_000
"""Buckets of each kind: some 4 MB."""


class _Buckets:
    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._held: OrderedDict[str, Bucket] = OrderedDict()

    def of(self, name: str) -> Bucket:
        bucket = self._held.get(name)
        if bucket is None:
            bucket = self._held[name] = Bucket(self._rate)
            if len(self._held) > REMEMBERED_MAX:
                self._held.popitem(last=False)
        else:
            self._held.move_to_end(name)
        return bucket


class Pace:
    """The rates of this node's HTTP peers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        settings = parts.settings
        self._addresses = _Buckets(Rate(settings.requests_per_s, settings.requests_burst))
        self._sessions = _Buckets(Rate(settings.commands_per_s, settings.commands_burst))
        per_s = settings.admin_requests_per_s
        self._admins = _Buckets(Rate(per_s, max(1, int(ADMIN_BURST_S * per_s))))
        self._failures = _Buckets(ADMIN_FAILURES)
        self._departures = _Buckets(DEPARTURES)

    def require_address(self, address: str) -> None:
        """Count one request, before anything is verified. Raises RateLimited."""
        self._require(self._addresses.of(block(address)))

    def require_session(self, name: str) -> None:
        """Count one request on behalf of a session. Raises RateLimited."""
        self._require(self._sessions.of(name))

    def require_departure(self, address: str) -> None:
        """Count the sign-out of a stranger. Raises RateLimited."""
        self._require(self._departures.of(block(address)))

    def require_admin(self, admin: AdminId) -> None:
        """Count one request with an admin token that is good. Raises RateLimited."""
        self._require(self._admins.of(admin))

    def count_failure(self, address: str) -> None:
        """Count one bearer that is good for nothing. Raises RateLimited."""
        self._require(self._failures.of(block(address)))

    def _require(self, bucket: Bucket) -> None:
        wait_ms = bucket.take(self._parts.node.now())
        if wait_ms:
            raise RateLimited(retry=wait_ms)
