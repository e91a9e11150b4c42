"""Conversations: ordered logs that many nodes append to and read from.

Everything here leaves on the hot connection: one write per loop tick, replies matched in order, ``done`` called with
the result or with why there is none. A script runs on behalf of a session and carries the version at which that
session was judged; a higher fence answers Stale, a person's mark answers Withdrawn.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from chatgateway.core.conversation import Head, ref_ms
from chatgateway.errors import ConversationUnknown, FrameRejected, OutcomeUnknown, PeerError, RefAhead, StoreError
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.script import Script
from chatgateway.types import START, ConversationId, KeyId, Position, ProjectId, SessionId, UnixMs, UserId, Version

_APPEND, _OPEN, _READ, _NOTE = Script("append"), Script("open"), Script("read"), Script("note")

PAGE_BYTES = 128 * 1024
PAGE_ENTRIES = 50
REPLAY_ENTRIES = 500

Side = Literal["visitor", "agent", "node"]
Act = Literal["text", "begin", "signed_in", "adopted", "unadopted", "assigned", "resolved", "reopened"]
What = Literal["tail", "after", "before", "head"]
Done = Callable[[Any], None]

_ABOUT_ADOPTION = ("signed_in", "adopted", "unadopted")
"""Acts whose subject is an anonymous visitor, and whose script looks at what became of them."""

_CONVERSATION = re.compile("cnv_[0-9a-f]{22}")


class Acting(NamedTuple):
    """On whose behalf a script runs, and the version that was applied when that session was judged."""

    user: UserId
    side: Side
    session: SessionId
    signed_at: UnixMs
    project: ProjectId
    kid: KeyId | None
    version: Version


class Entry(NamedTuple):
    ref: str
    tail: bytes
    """The event from "conversation" on (codec.event_tail); the script puts its position in front."""
    is_text: bool = True


class Appended(NamedTuple):
    position: Position
    repeated: bool
    """True when this ``ref`` was stored before; nothing was written or announced now."""


class Page(NamedTuple):
    status: Literal["gapless", "tail", "trimmed", "diverged", "head"]
    more: bool
    head: Head
    entries: list[bytes]
    overlay: dict[bytes, bytes]
    """By seq: what must be done to an entry before it is shown (nothing is written there yet)."""


class _Keys(NamedTuple):
    partition: int
    meta: str
    log: str
    refs: str
    fence: str
    overlay: str
    notes: str
    events: str
    agents: str


@functools.lru_cache(maxsize=16_384)
def _keys(conversation: ConversationId) -> _Keys:
    partition = schema.partition_of_conversation(conversation)
    names = [schema.conversation(conversation, part) for part in ("m", "s", "i:", "o", "n", "e", "a")]
    meta, log, refs, overlay, notes, events, agents = names
    return _Keys(partition, meta, log, refs, schema.fence(partition), overlay, notes, events, agents)


@functools.lru_cache(maxsize=4_096)
def _inbox_keys(partition: int, project: ProjectId) -> tuple[str, str, str, str, str]:
    parts = [schema.inbox(partition, project, view) for view in schema.INBOX_VIEWS]
    return parts[0], parts[1], parts[2], schema.inbox_hints(partition, project), schema.inbox(partition, project, "")


def event_channel(conversation: ConversationId) -> str:
    return _keys(conversation).events


def agent_channel(conversation: ConversationId) -> str:
    return _keys(conversation).agents


def require_conversation(text: str) -> ConversationId:
    """Return ``text`` as an id. Raises ConversationUnknown for what cannot be one."""
    if not _CONVERSATION.fullmatch(text):
        raise ConversationUnknown
    return ConversationId(text)


class Conversations:
    """The conversations of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def append(
        self,
        acting: Acting,
        conversation: ConversationId,
        entries: Sequence[Entry],
        done: Done,
        *,
        act: Act = "text",
        subject: str = "",
    ) -> None:
        """Queue entries for this tick's write. Atomic and in order; each at most once per ref.

        ``done`` hears a list with an Appended or a PeerError per entry, or one error for all of them
        (Stale, Withdrawn, ConversationUnknown, StoreUnavailable). The acts "adopted" and "unadopted" carry out what the
        commit of an adoption decided (store/adoptions.py): they ask neither fence nor marks, and repeat harmlessly.
        """
        keys = _keys(conversation)
        opened, unassigned, resolved, hints, prefix = _inbox_keys(keys.partition, acting.project)
        arguments: list[Any] = [
            int(acting.version), acting.user, acting.side, acting.session, acting.signed_at, acting.project,
            acting.kid or "", conversation, keys.events, hints, self._store.publish_verb, act, subject, prefix,
            schema.vouched(keys.partition, acting.project, acting.kid or KeyId("")),
        ]  # fmt: skip
        for entry in entries:
            ms = ref_ms(entry.ref)
            if ms is None:
                done(FrameRejected("ref must be a lower-case UUIDv7 minted from now of welcome, or of GET /v1/me."))
                return
            arguments += [entry.ref, ms, entry.tail, b"1" if entry.is_text else b"0"]
        self._store.hot.call(
            _APPEND,
            (
                keys.meta, keys.log, keys.refs + acting.user, keys.fence,
                schema.withdrawn(keys.partition, acting.project, acting.user),
                opened, unassigned, resolved,
                schema.person(acting.project, acting.user, "c") if act == "begin"
                else schema.adoption(keys.partition, acting.project, UserId(subject)) if act in _ABOUT_ADOPTION
                else keys.meta,
            ),
            arguments,
            lambda reply: done(_appended(reply)),
        )  # fmt: skip

    def open(
        self,
        acting: Acting,
        conversation: ConversationId,
        done: Done,
        *,
        what: What = "tail",
        cursor: Position = START,
        limit: int = PAGE_ENTRIES,
    ) -> None:
        """Queue one untorn read; ``done`` hears a Page or an error (Stale, Withdrawn, ConversationUnknown, …)."""
        keys = _keys(conversation)
        self._store.hot.call(
            _OPEN,
            (keys.meta, keys.log, keys.fence,
             schema.withdrawn(keys.partition, acting.project, acting.user), keys.overlay),
            (int(acting.version), acting.user, acting.side, acting.session, acting.signed_at, acting.project,
             what, cursor.at, cursor.seq, cursor.link, limit, PAGE_BYTES),
            lambda reply: done(_page(conversation, reply)),
        )  # fmt: skip

    def read(self, acting: Acting, conversation: ConversationId, seq: int, mark: bytes, done: Done) -> None:
        """Queue a read mark, which moves forward only; ``mark`` is what the others are told. ``done`` hears 0 or 1."""
        keys = _keys(conversation)
        hints = _inbox_keys(keys.partition, acting.project)[3]
        self._store.hot.call(
            _READ,
            (keys.meta, keys.log, keys.fence, schema.withdrawn(keys.partition, acting.project, acting.user)),
            (int(acting.version), acting.user, acting.side, acting.session, acting.signed_at, acting.project,
             seq, keys.events, mark, self._store.publish_verb, hints, conversation),
            lambda reply: done(_peers(reply)),
        )  # fmt: skip

    def note(self, acting: Acting, conversation: ConversationId, ref: str, tail: bytes, done: Done) -> None:
        """Queue an agents-only note; ``done`` hears ``(at, seq, repeated)`` or an error."""
        ms, keys = ref_ms(ref), _keys(conversation)
        if ms is None:
            done(FrameRejected("ref must be a lower-case UUIDv7 minted from now of welcome, or of GET /v1/me."))
            return
        self._store.hot.call(
            _NOTE,
            (keys.meta, keys.notes, keys.fence, keys.refs + acting.user),
            (int(acting.version), acting.project, ref, ms, tail, keys.agents, self._store.publish_verb),
            lambda reply: done(_noted(reply)),
        )

    def notes(self, conversation: ConversationId, done: Done) -> None:
        """Queue a read of the last notes; ``done`` hears them as bytes, oldest first."""
        self._store.hot.call(
            ("XREVRANGE", _keys(conversation).notes, "+", "-", "COUNT", 100),
            (),
            (),
            lambda reply: done(reply if isinstance(reply, Exception) else [row[1][1] for row in reversed(reply)]),
        )

    def publish(self, channel: str, frame: bytes) -> None:
        """Tell whoever listens now; nothing is stored and nobody is missed."""
        self._store.hot.call((self._store.publish_verb, channel, frame), (), (), _ignore)

    def head(self, conversation: ConversationId, done: Done) -> None:
        """Queue a read of the head alone; ``done`` hears a Head, None for no such conversation, or an error."""

        def answer(reply: Any) -> None:
            if isinstance(reply, Exception):
                done(reply)
            else:
                done(Head.of(conversation, _record(reply)) if reply else None)

        self._store.hot.call(("HGETALL", _keys(conversation).meta), (), (), answer)

    def top(self, conversation: ConversationId, done: Done) -> None:
        """Queue a look at the top position; ``done`` hears a Position or an error."""

        def answer(reply: Any) -> None:
            if isinstance(reply, Exception) or reply[0] is None:
                done(reply if isinstance(reply, Exception) else START)
            else:
                done(Position(UnixMs(int(reply[0])), int(reply[1]), reply[2].decode()))

        self._store.hot.call(("HMGET", _keys(conversation).meta, "at", "seq", "link"), (), (), answer)

    def last_entry(self, conversation: ConversationId, done: Done) -> None:
        """Queue a read of the newest entry; ``done`` hears its event as bytes, b"" when there is none, or an error."""
        self._store.hot.call(
            ("XREVRANGE", _keys(conversation).log, "+", "-", "COUNT", 1),
            (),
            (),
            lambda reply: done(reply if isinstance(reply, Exception) else reply[0][1][1] if reply else b""),
        )

    async def of_person(self, project: ProjectId, user: UserId) -> list[ConversationId]:
        """Return the conversations that a person joined, the most recently joined first."""
        members: list[bytes] = await self._store.hot.ask(("ZREVRANGE", schema.person(project, user, "c"), 0, 99))
        return [ConversationId(member.decode()) for member in members]

    async def entries(self, conversation: ConversationId) -> list[tuple[bytes, KeyId]]:
        """Return the whole log for an operator: each event and the kid that vouched for it."""
        rows: Any = await self._store.redis.xrange(_keys(conversation).log)
        return [(fields[b"e"], KeyId(fields.get(b"k", b"").decode())) for _, fields in rows]


_REFUSALS: dict[bytes, type[PeerError]] = {b"outcome_unknown": OutcomeUnknown, b"ref_ahead": RefAhead}
"""What a script says of a ref instead of a position."""


def _ignore(_: Any) -> None:
    """A hint that could not be published was only a hint."""


def _peers(reply: Any) -> Any:
    """The scripts' word for "not yours or not there" is the peer's mistake, not the store's."""
    return ConversationUnknown() if isinstance(reply, StoreError) and str(reply) == "UNKNOWN" else reply


def _appended(reply: Any) -> Any:
    if isinstance(reply, Exception):
        return _peers(reply)
    return [_position(answer) for answer in reply]


def _position(answer: list[Any]) -> Appended | PeerError:
    if answer[0] in _REFUSALS:
        return _REFUSALS[answer[0]]()
    at, seq, link, repeated = answer
    return Appended(Position(UnixMs(at), seq, link.decode()), bool(repeated))


def _noted(reply: Any) -> Any:
    if isinstance(reply, Exception):
        return _peers(reply)
    return _REFUSALS[reply[0]]() if reply[0] in _REFUSALS else reply


def _page(conversation: ConversationId, reply: Any) -> Any:
    if isinstance(reply, Exception):
        return _peers(reply)
    status, more, head, entries, overlay = reply
    return Page(status.decode(), bool(more), Head.of(conversation, _record(head)), entries, _record(overlay))


def _record(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
