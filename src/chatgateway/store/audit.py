"""Remember what operators did: one intent and one result per verb, hash-chained, one chain per project.

    async with audit.recorded("root@host", "key regenerate", kid, project=project) as recording:
        changed = await keyrings.change(project, transform, control, recording)
        recording.result = "12 of 12 nodes confirmed, 3,841 sessions ended"

The intent is chained in by the very transition that it announces, so there is no change without it, and an intent
without a result says: this took effect, and nobody lived to tell how it ended.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncGenerator
from typing import Any

from chatgateway.core import audit as rules
from chatgateway.core.audit import AuditEntry, Fault, Head, Step
from chatgateway.errors import AdminRejected, Conflict, StoreError
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.sealing import Sealer
from chatgateway.store.transition import Link, transition

_PAGE = 500
_ATTEMPTS = 8


class Recording:
    """One admin verb while it runs. Give it to what changes the store; say in ``result`` how it ended."""

    def __init__(
        self, store: Store, key: bytes, chain: str, *, actor: str, verb: str, target: str, admin: str = ""
    ) -> None:
        self.chain = chain
        self.admin = admin
        """The admin token on whose word it is done: the verb does not begin once that is revoked."""
        self.actor, self.verb, self.target = actor, verb, target
        self.request = secrets.token_hex(8)
        self.result = "done"
        self.fingerprint = ""
        """Of the key concerned, never the secret; part of the entries written from now on."""
        self.begun = False
        """Whether the intent is in the chain."""
        self._store = store
        self._key = key

    async def begin(self) -> None:
        """Chain in the intent now. For verbs that do something before, or without, a transition."""
        if not self.begun:
            await transition(self._store, None, intent=self)

    async def finish(self, result: str) -> None:
        """Chain in what came of it."""
        await self.begin()
        await transition(self._store, None, intent=_Outcome(self, result))

    async def link(self) -> Link | None:
        """Return the intent behind the present head, or None when it is in the chain already."""
        return None if self.begun else await self.placed("intent")

    def written(self) -> None:
        """Hear that the intent is in the chain."""
        self.begun = True

    async def placed(self, step: Step, result: str = "") -> Link:
        """Return this verb's entry for ``step`` behind the present head. Nothing is written."""
        head = await _head(self._store, self.chain)
        entry = AuditEntry(
            seq=0,
            at=await self._store.now(),
            step=step,
            actor=self.actor,
            verb=self.verb,
            target=self.target,
            result=result,
            request=self.request,
            fingerprint=self.fingerprint,
            previous="",
        )
        entry = rules.chained(entry, head, self._key)
        return Link(entry.previous, entry.seq, entry.hash, rules.encoded(entry))


class _Outcome:
    """The second entry of a recording, in the shape that ``transition`` chains in."""

    def __init__(self, recording: Recording, result: str) -> None:
        self.chain = recording.chain
        self.admin = ""  # what has begun ends
        self._recording = recording
        self._result = result

    async def link(self) -> Link | None:
        return await self._recording.placed("result", self._result)

    def written(self) -> None:
        pass


class Audit:
    """The audit chains: ``project`` "" names the gateway's own, for verbs that concern no single project."""

    def __init__(self, store: Store, sealer: Sealer) -> None:
        self._store = store
        self._keys = sealer.derived_keys("audit")

    @contextlib.asynccontextmanager
    async def recorded(
        self, actor: str, verb: str, target: str, *, project: str = "", admin: str = ""
    ) -> AsyncGenerator[Recording, None]:
        """Record one admin verb around its deed; an exception is recorded as its class and raised on."""
        recording = Recording(self._store, self._keys[0], project, actor=actor, verb=verb, target=target, admin=admin)
        try:
            yield recording
        except BaseException as error:
            # Why the verb failed matters more than that its failure could not be written down.
            with contextlib.suppress(StoreError, AdminRejected):
                await recording.finish(f"failed: {type(error).__name__}")
            raise
        await recording.finish(recording.result)

    async def entries(self, project: str, limit: int = 0) -> list[AuditEntry]:
        """Return the chain, oldest first; ``limit`` > 0 returns the newest so many.

        Raises ValueError when what is stored is no entry at all.
        """
        if limit > 0:
            rows = await self._store.hot.ask("XREVRANGE", [schema.audit(project)], ["+", "-", "COUNT", limit])
            return [_entry(row) for row in reversed(rows)]
        return [_entry(row) for row in await self._rows(project)]

    async def head(self, project: str) -> Head:
        """Return the end of the chain, to be published."""
        return await _head(self._store, project)

    async def verify(self, project: str, published: Head | None = None) -> Fault | None:
        """Return where the chain was tampered with, or None. ``published``: a head noted outside the store.

        Raises Conflict when the chain grows faster than it can be read.
        """
        for _ in range(_ATTEMPTS):
            head = await self.head(project)
            rows = await self._rows(project)
            if await self.head(project) == head:
                return _first_fault(rows, head, self._keys, published)
        raise Conflict("the audit chain never stood still")

    async def _rows(self, project: str) -> list[Any]:
        rows: list[Any] = []
        start = "-"
        while page := await self._store.hot.ask("XRANGE", [schema.audit(project)], [start, "+", "COUNT", _PAGE]):
            rows += page
            start = f"({page[-1][0].decode()}"
        return rows


def _first_fault(rows: list[Any], head: Head, keys: tuple[bytes, ...], published: Head | None) -> Fault | None:
    entries: list[AuditEntry] = []
    for row in rows:
        try:
            entries.append(_entry(row))
        except ValueError:
            return Fault(len(entries) + 1, "altered")
    return rules.first_fault(entries, head, keys, published)


async def _head(store: Store, project: str) -> Head:
    seq, digest = await store.hot.ask("HMGET", [schema.audit_head(project)], ["seq", "hash"])
    return Head(int(seq), digest.decode()) if seq and digest else rules.EMPTY


def _entry(row: Any) -> AuditEntry:
    fields: list[bytes] = row[1]
    return rules.decoded(fields[fields.index(b"e") + 1])
