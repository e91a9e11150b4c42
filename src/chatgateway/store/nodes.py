"""Which gateway processes live, what each has applied, and who is present on it.

One lease per node, not per session: a session is present while its node's lease lives, so ghosts vanish without
cleanup.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.script import Script
from chatgateway.types import NodeId, UnixMs, Version

_LEASE = Script("lease")

FORGET_MS = 60_000
"""A dead node's entry is kept this long, so that people can see that it died."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a node tells the others with each renewal."""

    applied: int = 0
    sessions: int = 0
    ended: dict[str, int] = {}
    """Control-log entry id → sessions ended because of it, for the last entries."""
    agents: dict[str, list[str]] = {}
    """Project → names of the agents active here."""
    host: str = ""
    pid: int = 0
    started_at: int = 0
    build: str = ""


class Lease(Report, frozen=True, kw_only=True):
    """A node's own account, and until when it may act on it (the store's clock)."""

    until: UnixMs
    node: NodeId = NodeId("")


class Renewal(NamedTuple):
    now: UnixMs
    committed: Version
    entry_at_applied: str
    """Id of the control-log entry at the version that the node has applied; "" when the store has none there."""
    reserved: Version
    leases: tuple[Lease, ...]
    """Every node's that was not forgotten, expired ones too."""


_decode = msgspec.json.Decoder(Lease).decode


class Nodes:
    """The leases in one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def renew(self, node: NodeId, lease_ms: int, report: Report) -> Renewal:
        """Extend the lease by the store's clock and return what the node must know. ``lease_ms`` 0 gives it back."""
        tail = msgspec.json.encode(report)[1:]
        reply: Any = await self._store.hot.ask(
            _LEASE,
            [schema.NODES, schema.VERSION, schema.LOG],
            [node, lease_ms, tail, report.applied, FORGET_MS],
        )
        now, committed, entry, reserved, nodes = reply
        return Renewal(UnixMs(now), Version(committed), entry.decode(), Version(reserved), _leases(nodes))

    async def live(self) -> tuple[tuple[Lease, ...], UnixMs]:
        """Return every known lease and the store's time, against which ``until`` counts."""
        flat: list[bytes] = await self._store.hot.ask("HGETALL", [schema.NODES])
        return _leases(flat), await self._store.now()


def _leases(flat: list[bytes]) -> tuple[Lease, ...]:
    return tuple(
        msgspec.structs.replace(_decode(flat[index + 1]), node=NodeId(flat[index].decode()))
        for index in range(0, len(flat), 2)
    )
