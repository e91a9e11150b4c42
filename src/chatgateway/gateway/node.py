"""This process among the others: what it has heard of withdrawn trust, and until when it may act at all.

Every node, the one that ran a verb included, follows the control log: woken by the doorbell, else once a second with
the renewal of its lease. An entry is applied in one step (trust, marks, version), with no await between; sockets are
closed afterwards, in slices. The lease is checked when it is used, by the monotonic clock: a process that was stopped
wakes up without the right to accept or deliver anything, and earns it back by catching up first.

A store that lacks what this node has applied (a failover, a restored backup, a copied directory) is refused until the
missing entries stand in it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chatgateway import __version__
from chatgateway.close_codes import CloseCode
from chatgateway.core.effects import TrustWithdrawn
from chatgateway.core.rotation import ControlEntry, Grounds, Trust, raises_fences
from chatgateway.errors import Stale, StoreError, StoreUnavailable
from chatgateway.gateway.roster import Roster
from chatgateway.log import log
from chatgateway.store import schema
from chatgateway.store.control import Control
from chatgateway.store.nodes import Nodes, Renewal, Report
from chatgateway.store.watermark import Watermark
from chatgateway.types import KeyId, NodeId, ProjectId, UnixMs, Version

if TYPE_CHECKING:
    from chatgateway.gateway.connection import Connection

SLICE = 200
"""Sockets closed before the loop is yielded to."""

RETURN_PER_S = 300
"""How fast those who were ended may come back: their goodbye carries a delay drawn from a window that long."""

HEAL_S = 5.0
"""How long a stale call waits for this node to catch up."""

ENDED_REMEMBERED = 64

Presence = dict[ProjectId, tuple[str, ...]]
"""Project → names of its active agents, on whichever node."""


class Node:
    """One gateway process, in one incarnation."""

    def __init__(
        self,
        control: Control,
        nodes: Nodes,
        watermark: Watermark,
        roster: Roster,
        *,
        lease_s: float,
        cut_off_s: float,
        reassert: Callable[[ControlEntry], Awaitable[None]],
    ) -> None:
        # Host and 64 random bits: a restarted process never owns its predecessor's sessions.
        self.id = NodeId(f"{socket.gethostname()}-{secrets.token_hex(8)}")
        self.trust = Trust()
        self.presence: Presence = {}
        self.live_nodes: frozenset[NodeId] = frozenset()
        self.active_agents: Callable[[], dict[str, list[str]]] = dict
        """Asked at each renewal: project → names of the agents active here."""
        self.on_presence: Callable[[set[ProjectId]], None] = lambda _: None
        self.on_cut_off: Callable[[], None] = lambda: None
        """The store has been away so long that every session must go."""
        self.on_lease: Callable[[], None] = lambda: None
        """The lease is back after it was over: what is followed must be re-read."""
        self._control, self._nodes, self._watermark, self._roster = control, nodes, watermark, roster
        self._reassert = reassert
        self._lease_s, self._cut_off_s = lease_s, cut_off_s
        self._valid_until = 0.0
        self._is_lost = False
        self._renewed_at = time.monotonic()
        self._offset_ms = 0.0
        self._started_at = UnixMs(int(time.time() * 1000))
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._known: dict[str, ControlEntry] = {}
        self._wake = asyncio.Event()
        self._renewing = asyncio.Lock()
        self._unsaved: list[ControlEntry] = []
        self._refused = ""
        self._behind: tuple[Version, float] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._follower: asyncio.Task[None] | None = None
        self._caught_up = asyncio.Condition()
        self._stopping = False

    # What others ask

    def now(self) -> UnixMs:
        """Return the store's clock, as far as the last renewal lets us know it."""
        return UnixMs(int(time.monotonic() * 1000 + self._offset_ms))

    @property
    def may_act(self) -> bool:
        """Whether this node may accept and deliver at this very moment."""
        return time.monotonic() < self._valid_until and not self._refused

    @property
    def refusal(self) -> str:
        """Why this node may not act though it has a lease, in one sentence; "" when there is no reason."""
        return self._refused

    def refuse(self, sentence: str) -> None:
        """Accept and deliver nothing while the store is not fit for it (eviction switched on, say); "" ends that."""
        was, self._refused = self._refused, sentence
        if was and not sentence and self.may_act:
            self.on_lease()

    @property
    def lease_left_s(self) -> float:
        return max(0.0, self._valid_until - time.monotonic())

    def judge(self, grounds: Grounds) -> CloseCode | None:
        """Return None while a session on these grounds may go on, else the code that it ends with."""
        return self.trust.judge(grounds)

    def ring_doorbell(self, _: bytes = b"") -> None:
        """Somebody committed an entry: look now, not at the next renewal."""
        self._wake.set()

    async def catch_up(self, stale: Stale, partition: int) -> None:
        """Return when this node has applied everything that a partition's fence asks for.

        Raises StoreUnavailable when it does not get there: the fence may name an entry that nobody has.
        """
        deadline = asyncio.get_running_loop().time() + HEAL_S
        if stale.fence is None:
            await self._renew()
            await self._control.raise_fences(self.trust.applied, [partition])
            return
        while self.trust.applied < stale.fence:
            if asyncio.get_running_loop().time() > deadline:
                log.error(
                    "node.fence_unexplained", node=self.id, detail=f"fence {stale.fence}, applied {self.trust.applied}"
                )
                raise StoreUnavailable("this node cannot learn what a partition's fence stands for")
            self._wake.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.25), self._caught_up:
                    await self._caught_up.wait()

    # Life

    async def start(self) -> None:
        """Learn all withdrawn trust, take the first lease, and follow from then on. Raises StoreError."""
        for entry in self._watermark.load():
            self._known[entry.entry] = entry
        await self._renew()
        if not self.may_act:
            await self._renew()
        self._follower = asyncio.create_task(self._follow(), name="node.follow")

    async def stop(self) -> None:
        """Give the lease back, so that nobody waits for this node."""
        self._stopping = True
        for task in (self._follower, *self._tasks):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        with contextlib.suppress(StoreError):
            await self._nodes.renew(self.id, 0, self._report())

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._lease_s / 3):
                    await self._wake.wait()
            self._wake.clear()
            try:
                # Never longer than to the moment at which everybody must go: a store that is silent says no error.
                left_s = self._renewed_at + self._cut_off_s - time.monotonic()
                async with asyncio.timeout(max(0.1, min(self._lease_s, left_s))):
                    await self._renew()
            except (StoreError, TimeoutError) as error:
                self._store_lost(error)
            except Exception as error:  # noqa: BLE001  the outermost frame of the follower: it must never end
                log.error("node.failed", node=self.id, exc_info=error)

    def _store_lost(self, error: Exception) -> None:
        if not self._is_lost:
            self._is_lost = True
            log.warning("node.store_lost", node=self.id, detail=str(error) or "no answer in time")
        if time.monotonic() - self._renewed_at >= self._cut_off_s:
            self._renewed_at = time.monotonic()
            self.on_cut_off()

    async def _renew(self) -> None:
        """Renew the lease. It counts only once everything that the answer knows of is applied, and from its request."""
        async with self._renewing:
            await self._renew_alone()

    async def _renew_alone(self) -> None:
        is_back = False
        for _ in range(3):
            sent_at = time.monotonic()
            renewal = await self._nodes.renew(self.id, int(self._lease_s * 1000), self._report())
            self._offset_ms = renewal.now - (sent_at + time.monotonic()) / 2 * 1000
            if self._rewound(renewal):
                self._valid_until = 0.0
                await self._restore(renewal)
                continue
            if renewal.committed > self.trust.applied:
                self._apply(await self._control.read(self.trust.applied, renewal.committed))
                if self.trust.applied < renewal.committed:
                    raise StoreUnavailable("the control log lacks committed entries")
                continue  # Tell the others at once what was applied: a verb is waiting for it.
            is_back = not self.may_act  # asked only now: it may have ended while the store was asked
            self._valid_until = sent_at + self._lease_s
            self._is_lost, self._renewed_at = False, sent_at
            self._look_around(renewal)
            self._look_behind(renewal)
            break
        async with self._caught_up:
            self._caught_up.notify_all()
        if is_back and self.may_act:
            self.on_lease()

    def _report(self) -> Report:
        return Report(
            applied=self.trust.applied,
            sessions=len(self._roster),
            ended=dict(self._ended),
            agents=self.active_agents(),
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._started_at,
            build=__version__,
        )

    def _look_around(self, renewal: Renewal) -> None:
        self.live_nodes = frozenset(lease.node for lease in renewal.leases if lease.until > renewal.now)
        present: dict[ProjectId, set[str]] = {}
        for lease in renewal.leases:
            if lease.until > renewal.now:
                for project, names in lease.agents.items():
                    present.setdefault(ProjectId(project), set()).update(names)
        fresh: Presence = {project: tuple(sorted(names)) for project, names in present.items() if names}
        changed = {project for project in {*fresh, *self.presence} if fresh.get(project) != self.presence.get(project)}
        self.presence = fresh
        if changed:
            self.on_presence(changed)

    def _look_behind(self, renewal: Renewal) -> None:
        """Finish what a verb that died left behind: written, never committed, and not fresh any more."""
        if renewal.reserved <= renewal.committed:
            self._behind = None
            return
        at = time.monotonic()
        if self._behind is None or self._behind[0] != renewal.reserved:
            self._behind = (renewal.reserved, at)
        elif at - self._behind[1] > 2 * self._lease_s / 3:
            self._behind = None
            # Beside the renewals: waiting for a replica that stands still must not cost the lease.
            self._spawn(self._complete(renewal.committed, renewal.reserved))

    async def _complete(self, committed: Version, reserved: Version) -> None:
        try:
            for entry in await self._control.read(committed, reserved):
                await self._control.finish(entry)
                log.warning("control.completed", node=self.id, project=entry.project, detail=entry.kind)
        except StoreError as error:
            log.warning("control.delayed", node=self.id, detail=str(error))  # tried again while it is behind

    # Applying

    def _apply(self, entries: list[ControlEntry]) -> None:
        """Add to what is withdrawn, mark who rested on it, and advance: one step, no await between."""
        entries = [entry for entry in entries if entry.version > self.trust.applied]
        if not entries:
            return
        self.trust = self.trust.apply(entries)
        for entry in entries:
            self._known[entry.entry] = entry
            if entry.kind == "key":
                self._roster.mark_key(entry.project, KeyId(entry.subject), CloseCode.KEY_REVOKED)
            ending = {one for one in self._roster.concerned(entry) if one.rests_on_withdrawn(self.trust)}
            self._ended[entry.entry] = len(ending)
            if ending:
                self._spawn(self._end_in_slices(list(ending)))
            log.info(
                "trust.withdrawn", node=self.id, project=entry.project, detail=f"{entry.kind} {entry.why}",
                count=len(ending), version=entry.version,
            )  # fmt: skip
        while len(self._ended) > ENDED_REMEMBERED:
            self._ended.popitem(last=False)
        self._unsaved += entries
        try:
            self._watermark.save(self._unsaved)
            self._unsaved = []
        except OSError as error:
            # A full disk must not stop this node from following: what it knows counts at once, the file only later.
            log.error("watermark.unwritable", node=self.id, detail=str(error))
        if any(raises_fences(entry.kind) for entry in entries):
            # The verb does it too; should it die before, the partitions must still learn what its entry withdrew.
            self._spawn(self._raise_fences(self.trust.applied))

    async def _raise_fences(self, version: Version) -> None:
        with contextlib.suppress(StoreError):
            await self._control.raise_fences(version, range(schema.PARTITIONS))

    async def _end_in_slices(self, ending: list[Connection]) -> None:
        window_ms = max(1_000, len(ending) * 1_000 // RETURN_PER_S)
        for start in range(0, len(ending), SLICE):
            for connection in ending[start : start + SLICE]:
                code = connection.rests_on_withdrawn(self.trust)
                if code is not None:
                    connection.hear(TrustWithdrawn(code, random.randrange(window_ms)))  # noqa: S311
            await asyncio.sleep(0)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What cannot be undone

    def _rewound(self, renewal: Renewal) -> bool:
        if renewal.committed < self.trust.applied:
            return True
        if self.trust.applied and renewal.entry_at_applied != self.trust.entry:
            return True
        return self.trust.applied == 0 and bool(self._known)

    async def _restore(self, renewal: Renewal) -> None:
        """Write again what this node knows and the store lacks, compared by id, under versions above all seen."""
        # What is not committed was being written again when we were interrupted: begin with it once more.
        present = await self._control.read(Version(0), renewal.committed)
        ids = {entry.entry for entry in present}
        missing = sorted(
            (entry for entry in self._known.values() if entry.entry not in ids), key=lambda one: one.version
        )
        above = max([renewal.reserved, *(entry.version for entry in self._known.values())])
        if missing:
            log.error(
                "store.rewound", node=self.id, count=len(missing), detail="withdrawn trust was missing; written again"
            )
        for entry in missing:
            written = await self._control.write(entry, Version(above))
            await self._reassert(written)
            await self._control.finish(written)
            above = written.version
        committed, _ = await self._control.versions()
        entries = await self._control.read(Version(0), committed)
        self.trust = replace(self.trust, applied=Version(0))
        self._apply(entries)
        if not entries:
            self.trust = replace(self.trust, applied=Version(0), entry="")
