"""A chain of what was done by whom, in which no link can be changed, taken out, put in or moved unseen.

Every entry carries the keyed hash of the one before it and its own, HMAC-SHA-256 (RFC 2104) with a key that the store
does not hold. Whoever can write the store but lacks the key can forge no entry; the head, kept apart, shows a cut end.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from chatgateway.types import UnixMs

GENESIS_HASH = ""
"""The hash before the first entry."""

Step = Literal["intent", "result"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One step of one admin verb: what somebody set out to do, or what came of it."""

    seq: int
    at: UnixMs
    step: Step
    actor: str
    verb: str
    """Noun and verb as typed: ``key regenerate``."""
    target: str
    result: str = ""
    request: str
    """Joins the intent and the result of one verb."""
    fingerprint: str = ""
    """Of the key concerned; never the secret."""
    previous: str
    """Hash of the entry before this one."""
    hash: str = ""


class Head(NamedTuple):
    """The end of a chain."""

    seq: int
    hash: str


EMPTY = Head(0, GENESIS_HASH)


class Fault(NamedTuple):
    """The first place at which a chain is broken."""

    seq: int
    reason: Literal["altered", "out of place", "cut", "head differs", "not the published chain"]


def encoded(entry: AuditEntry) -> bytes:
    """Return the entry as it is stored: one JSON object."""
    return msgspec.json.encode(entry)


def decoded(data: bytes) -> AuditEntry:
    """Return the stored entry. Raises ValueError for what is no entry."""
    try:
        return msgspec.json.decode(data, type=AuditEntry)
    except msgspec.MsgspecError as error:
        raise ValueError("not an audit entry") from error


def chained(entry: AuditEntry, head: Head, key: bytes) -> AuditEntry:
    """Return ``entry`` as the one that follows ``head``."""
    placed = dataclasses.replace(entry, seq=head.seq + 1, previous=head.hash)
    return dataclasses.replace(placed, hash=_keyed_hash(placed, key))


def first_fault(
    entries: Sequence[AuditEntry], head: Head, keys: Iterable[bytes], published: Head | None = None
) -> Fault | None:
    """Return where the chain is broken, or None when all of it holds.

    ``entries`` is the whole chain, oldest first. ``keys`` are the keys of every master key still known. ``published``
    is a head that somebody wrote down outside the store: with it, a chain cut and given an older head is found too.
    """
    known = tuple(keys)
    last = EMPTY
    for entry in entries:
        if entry.seq != last.seq + 1 or entry.previous != last.hash:
            return Fault(last.seq + 1, "out of place")
        if not any(hmac.compare_digest(entry.hash, _keyed_hash(entry, key)) for key in known):
            return Fault(entry.seq, "altered")
        last = Head(entry.seq, entry.hash)
        if published is not None and entry.seq == published.seq and entry.hash != published.hash:
            return Fault(entry.seq, "not the published chain")
    if head.seq > last.seq:
        return Fault(last.seq + 1, "cut")
    if head != last:
        return Fault(last.seq, "head differs")
    if published is not None and published.seq > last.seq:
        return Fault(last.seq + 1, "cut")
    return None


def _keyed_hash(entry: AuditEntry, key: bytes) -> str:
    return hmac.new(key, encoded(dataclasses.replace(entry, hash="")), hashlib.sha256).hexdigest()
