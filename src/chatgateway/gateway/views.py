"""How what the store remembers looks on the wire."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chatgateway.core.conversation import Head
from chatgateway.core.person import Person
from chatgateway.protocol import frames as f
from chatgateway.store.conversations import Page
from chatgateway.store.sessions import SessionRow
from chatgateway.types import Assurance, ConversationId, UserId


def raw(entries: Sequence[bytes]) -> list[msgspec.Raw]:
    """Return encoded entries, to stand in a frame as they are."""
    return [msgspec.Raw(entry) for entry in entries]


def reset_frame(conversation: ConversationId, page: Page) -> f.Reset:
    """Return the frame that makes a client start from the authoritative tail."""
    why: f.ResetReason = (
        "trimmed" if page.status == "trimmed" else "diverged" if page.status == "diverged" else "opened"
    )
    return f.Reset(conversation=conversation, why=why, messages=raw(page.entries), more=page.more)


def visitors_view(
    head: Head, reader: UserId, *, ref: str = "", more: bool = False, preview: str = ""
) -> f.ConversationView:
    """Return a conversation's head as its visitor sees it."""
    return _view(head, head.unread(reader), ref=ref, more=more, preview=preview, card=None)


def agents_view(head: Head, card: f.VisitorCard, *, ref: str = "", preview: str = "") -> f.ConversationView:
    """Return a conversation's head as agents see it: with its visitor, and what no agent has read."""
    return _view(head, head.unread_by_agents, ref=ref, more=False, preview=preview, card=card)


def card_of(user: UserId, person: Person | None, row: SessionRow | None, online: bool) -> f.VisitorCard:
    """Return what agents see of a visitor. A name without a signed token behind it is never shown as one."""
    known = person or Person(user)
    assurance: Assurance = "signed" if known.vouched else "email" if known.email_proved else "anonymous"
    return f.VisitorCard(
        user=user,
        assurance=assurance,
        name=known.name,
        email=known.email,
        external_id=known.external_id,
        signed=list(known.signed),
        page=row.page if row else "",
        facts=dict(row.facts) if row else {},
        online=online,
        blocked=known.blocked,
        email_proved=known.email_proved,
        short_name=known.short_name,
        emails=list(known.emails),
        organization=known.organization,
        groups=list(known.all_groups) if person else [],
        fields={name: value if isinstance(value, str) else list(value) for name, value in known.fields.items()},
        labels=list(known.labels),
        timezone=known.timezone,
        language=known.language,
    )


def _view(
    head: Head, unread: int, *, ref: str, more: bool, preview: str, card: f.VisitorCard | None
) -> f.ConversationView:
    return f.ConversationView(
        conversation=head.conversation,
        project=head.project,
        state=head.state,
        top=(head.top.at, head.top.seq, head.top.link),
        unread=unread,
        reads=dict(head.reads),
        ref=ref,
        assigned=head.assigned,
        preview=preview,
        last_at=head.top.at,
        visitor=card,
        pending=head.pending is not None,
        more=more,
    )


class _Line(msgspec.Struct):
    text: str = ""
    kind: str = "text"


_decode_line = msgspec.json.Decoder(_Line).decode

PREVIEW_CHARS = 80


def preview_of(event: bytes) -> str:
    """Return the beginning of an entry's text, for a list."""
    if not event:
        return ""
    line = _decode_line(event)
    return line.text[:PREVIEW_CHARS] if line.kind == "text" else ""
