"""Change one record of the ``{ctl}`` slot, tell the control log why, and chain it into the audit: all or nothing.

A record is a pair of hash fields, ``revision`` and ``value``, with a prefix where one hash holds many. It is written by
compare-and-set on its revision. The control-log entry is written *uncommitted*: store/control.py commits it once the
replicas have it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from chatgateway.core.rotation import ControlEntry
from chatgateway.errors import AdminRejected, Conflict, NameTaken, StoreUnavailable
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.script import Argument, Script
from chatgateway.types import Version

_TRANSITION = Script("transition")
_ATTEMPTS = 16
"""How often another process's writer of the same audit chain may come first before we give up."""

_PAUSES_S = (0.1, 1.5)
"""Before a transition whose answer was lost is asked for again: a store that restarts is back within a second."""


class RecordPlace(NamedTuple):
    """Where a record is: the hash, and the prefix of its two fields."""

    key: str
    prefix: str = ""


class RecordValue(NamedTuple):
    revision: int
    """0: there is no such record yet."""
    value: bytes


class NameClaim(NamedTuple):
    """A name that only one record of the hash may carry; it is let go when the record is removed."""

    name: str
    owner: str


class Link(NamedTuple):
    """An audit entry, placed after the head that was read."""

    previous: str
    seq: int
    hash: str
    encoded: bytes


class Intent(Protocol):
    """What audit.Recording gives: the entry to chain in with the first change of its verb."""

    @property
    def chain(self) -> str: ...

    @property
    def admin(self) -> str:
        """The admin token on whose word the deed is done; "" for nobody's. A revoked one begins nothing any more."""
        ...

    async def link(self) -> Link | None:
        """Return the entry after the present head, or None when it is in the chain already."""
        ...

    def written(self) -> None: ...


class Applied(NamedTuple):
    revision: int
    """Of the record now; 0 when no record was changed, or when it was removed."""
    control: ControlEntry | None
    """The control-log entry with its version, for store/control.py to finish; None without one."""


async def read_record(store: Store, place: RecordPlace) -> RecordValue:
    """Return the record with its revision."""
    fields = [f"{place.prefix}revision", f"{place.prefix}value"]
    reply: list[bytes | None] = await store.hot.ask("HMGET", [place.key], fields)
    revision, value = reply
    return RecordValue(int(revision or 0), value or b"")


async def read_records(store: Store, key: str) -> dict[str, bytes]:
    """Return every record of a hash that holds many: id -> value."""
    flat: list[bytes] = await store.hot.ask("HGETALL", [key], [])
    fields = zip(flat[::2], flat[1::2], strict=True)
    return {name.decode().removesuffix(":value"): value for name, value in fields if name.endswith(b":value")}


async def transition(
    store: Store,
    place: RecordPlace | None,
    *,
    expected: int = 0,
    value: bytes | None = None,
    claim: NameClaim | None = None,
    control: ControlEntry | None = None,
    intent: Intent | None = None,
) -> Applied:
    """Write a record whose revision is still ``expected``; ``value`` None removes it. Atomic.

    Without ``place`` no record is changed, and only the control log and the audit grow. However often the store
    executes one call, it takes effect once. Raises Conflict when the record has changed since, NameTaken when another
    record carries the claimed name, AdminRejected when the intent's admin token was revoked before it was written.
    """
    chain = intent.chain if intent is not None else ""
    keys = [
        place.key if place is not None else schema.VERSION,
        *(schema.VERSION, schema.LOG, schema.audit(chain), schema.audit_head(chain)),
        *(schema.request(secrets.token_hex(12)), schema.ADMINS),
    ]
    record = [place.prefix, expected, value or b"", *(claim or ("", ""))] if place is not None else ["", "", "", "", ""]
    entry = ["", "", "", "", "", ""]
    if control is not None:
        entry = [control.entry, control.kind, control.project, control.subject, control.why, control.at]
    async with store.turns[chain] if intent is not None else nullcontext():
        for _ in range(_ATTEMPTS):
            link = await intent.link() if intent is not None else None
            admin = intent.admin if intent is not None and link is not None else ""
            arguments = [*record, *entry, *(link or ("", "", "", "")), admin]
            reply = await _answer(store, keys, arguments)
            match reply:
                case [b"OK", revision, version]:
                    if link is not None and intent is not None:
                        intent.written()
                    known = replace(control, version=Version(int(version))) if control is not None else None
                    return Applied(int(revision), known)
                case [b"RECORD"]:
                    raise Conflict("the record has changed since it was read")
                case [b"ADMIN"]:
                    raise AdminRejected(detail=f"{admin} was revoked meanwhile")
                case [b"NAME"]:
                    raise NameTaken(claim.name if claim is not None else "")
                case _:  # Somebody else's entry came first: place ours behind it.
                    continue
    raise Conflict("the audit chain never stood still")


async def _answer(store: Store, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
    """Ask, and ask again when the answer was lost: the script knows the request, and what took effect stays one."""
    for pause_s in _PAUSES_S:
        try:
            return await _TRANSITION.run(store.redis, keys, arguments)
        except StoreUnavailable:
            await asyncio.sleep(pause_s)
    return await _TRANSITION.run(store.redis, keys, arguments)
