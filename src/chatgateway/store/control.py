"""The control log: trust once withdrawn stays withdrawn, and no node can miss it.

A verb writes its entry (with the record that it changes, in one script), waits for every attached replica, commits it
(global version, doorbell), raises the fence of every partition, and then waits for the nodes. Nodes apply committed
entries only; any node completes one that its verb left behind. Before raising and before returning, the verb finds its
own entry by id: a failover may have lost it.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chatgateway.core.rotation import ControlEntry, ControlKind, raises_fences
from chatgateway.errors import Conflict, StoreUnavailable
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.nodes import Lease, Nodes
from chatgateway.store.script import Script
from chatgateway.types import NodeId, ProjectId, UnixMs, UserId, Version

_COMMIT, _FENCE, _LOG_ENTRY, _WITHDRAW = Script("commit"), Script("fence"), Script("log_entry"), Script("withdraw")

BARRIER_S = 5.0
"""How long a verb waits for nodes. A node that is cut off has lost its lease (3 s) before that."""

MARK_TTL_MS = 180 * 86_400_000
"""A person's mark outlives every credential that it kills."""

_WAIT_MS = 3_000
_REPLICAS = re.compile(rb"connected_slaves:(\d+)")


@dataclass(frozen=True, slots=True)
class Barrier:
    """Which nodes have applied an entry, and how many sessions they ended because of it."""

    confirmed: tuple[NodeId, ...]
    silent: tuple[NodeId, ...]
    """Alive, but did not confirm in time. An error."""
    ended: int

    @property
    def complete(self) -> bool:
        return not self.silent

    def __str__(self) -> str:
        total = len(self.confirmed) + len(self.silent)
        sessions = "session" if self.ended == 1 else "sessions"
        return f"{len(self.confirmed)} of {total} nodes confirmed, {self.ended:,} {sessions} ended"


class Control:
    """The control log in one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._nodes = Nodes(store)

    def entry(self, kind: ControlKind, project: ProjectId, subject: str, why: str, at: UnixMs) -> ControlEntry:
        """Return a new entry with an id of its own; nothing is written."""
        return ControlEntry(secrets.token_hex(8), kind, project, subject, why, at)

    async def read(self, after: Version, up_to: Version) -> list[ControlEntry]:
        """Return the entries with after < version <= up_to, in order."""
        rows: list[Any] = await self._store.hot.ask(("XRANGE", schema.LOG, f"({after}-0", f"{up_to}-0"))
        return [_entry_of(*row) for row in rows]

    async def versions(self) -> tuple[Version, Version]:
        """Return ``(committed, reserved)``: what nodes may apply, and the last version that was written."""
        committed, reserved = await self._store.hot.ask(("HMGET", schema.VERSION, "committed", "reserved"))
        return Version(int(committed or 0)), Version(int(reserved or 0))

    async def write(self, entry: ControlEntry, above: Version = Version(0)) -> ControlEntry:
        """Write an entry that goes with no record (uncommitted), and return it with its version, above ``above``.

        Repeating is harmless: an id is written once.
        """
        arguments = [entry.entry, int(above)]
        for name in ("kind", "project", "subject", "why", "at"):
            arguments += [name, str(getattr(entry, name))]
        version = await self._store.hot.ask(_LOG_ENTRY, [schema.VERSION, schema.LOG], arguments)
        return replace(entry, version=Version(int(version)))

    async def finish(self, entry: ControlEntry) -> None:
        """Commit a written entry and, where its kind says so, raise every fence to its version.

        After this returns, no write that was judged before it takes effect. Raises StoreUnavailable when a replica
        did not acknowledge, Conflict when the store has lost the entry. Repeating is harmless.
        """
        await self._wait()
        await self._store.hot.ask(
            _COMMIT,
            [schema.VERSION, schema.LOG],
            [int(entry.version), entry.entry, schema.DOORBELL, self._store.publish_verb],
        )
        if raises_fences(entry.kind):
            await self._require(entry)
            await self.raise_fences(entry.version, range(schema.PARTITIONS))
            await self._wait()
        await self._require(entry)

    async def raise_fences(self, version: Version, partitions: Iterable[int]) -> None:
        """Raise these partitions' fences to ``version``, all in one write."""
        hot = self._store.hot
        await asyncio.gather(*(hot.ask(_FENCE, [schema.fence(one)], [int(version)]) for one in partitions))

    async def barrier(
        self,
        entry: ControlEntry,
        *,
        timeout_s: float = BARRIER_S,
        progress: Callable[[Barrier], None] | None = None,
    ) -> Barrier:
        """Wait until every node with a valid lease has applied ``entry``; an expired lease counts as fenced."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            leases, now = await self._nodes.live()
            barrier = _barrier(leases, now, entry)
            if progress is not None:
                progress(barrier)
            if barrier.complete or asyncio.get_running_loop().time() >= deadline:
                return barrier
            await asyncio.sleep(0.05)

    async def withdraw(self, entry: ControlEntry, **options: Any) -> Barrier:
        """Finish a written entry and wait for the nodes: the whole verb after its record changed.

        Raises what ``finish`` raises; then nothing is promised and the verb must be repeated.
        """
        await self.finish(entry)
        return await self.barrier(entry, **options)

    async def mark_person(
        self,
        project: ProjectId,
        user: UserId,
        partitions: Sequence[int],
        field: str,
        value: str,
        *,
        ttl_ms: int = MARK_TTL_MS,
    ) -> None:
        """Withdraw trust in a person (or one session) in each partition that holds conversations of theirs."""
        keys = [schema.withdrawn(partition, project, user) for partition in sorted(set(partitions))]
        await asyncio.gather(*(self._store.hot.ask(_WITHDRAW, [key], [field, value, ttl_ms]) for key in keys))
        await self._wait()

    async def unmark_person(self, project: ProjectId, user: UserId, partitions: Sequence[int], field: str) -> None:
        """Take a mark back (unblocking)."""
        for partition in sorted(set(partitions)):
            await self._store.hot.ask("HDEL", [schema.withdrawn(partition, project, user)], [field])

    async def _wait(self) -> None:
        """Return when every attached replica has everything that was written before this call.

        Raises StoreUnavailable. Everything else here goes over the shared connection: whoever floods us with sign-outs
        must not take the pool's connections away from the lease.
        """
        info: bytes = await self._store.hot.ask(("INFO", "replication"))
        found = _REPLICAS.search(info)
        replicas = int(found[1]) if found else 0
        if not replicas:
            return
        async with self._store.redis.client() as connection:
            # WAIT speaks of its own connection's last write; what must be waited for went another way: write behind it.
            await connection.hset(schema.VERSION, "waited", secrets.token_hex(4))
            redis: Any = connection
            if int(await redis.wait(replicas, _WAIT_MS)) < replicas:
                raise StoreUnavailable("a replica did not acknowledge in time; repeating the command is harmless")

    async def _require(self, entry: ControlEntry) -> None:
        rows = await self.read(Version(entry.version - 1), entry.version)
        if not rows or rows[-1].entry != entry.entry:
            raise Conflict(f"the store has lost control-log entry {entry.version}; repeat the command")


def _entry_of(identifier: bytes, fields: list[bytes]) -> ControlEntry:
    values = {key.decode(): value.decode() for key, value in zip(fields[::2], fields[1::2], strict=True)}
    kind: Any = values["kind"]
    return ControlEntry(
        entry=values["entry"],
        kind=kind,
        project=ProjectId(values.get("project", "")),
        subject=values["subject"],
        why=values.get("why", ""),
        at=UnixMs(int(values.get("at", 0))),
        version=Version(int(identifier.split(b"-")[0])),
    )


def _barrier(leases: Sequence[Lease], now: UnixMs, entry: ControlEntry) -> Barrier:
    live = [lease for lease in leases if lease.until > now]
    return Barrier(
        confirmed=tuple(lease.node for lease in live if lease.applied >= entry.version),
        silent=tuple(lease.node for lease in live if lease.applied < entry.version),
        ended=sum(lease.ended.get(entry.entry, 0) for lease in leases),
    )
