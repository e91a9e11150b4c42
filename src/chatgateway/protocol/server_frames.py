"""What the gateway says: answers, events, and goodbye."""

from __future__ import annotations

from typing import Literal

import msgspec

from chatgateway.protocol.fields import ConversationState, Cursor, GoodbyeRetry, MessageKind, ResetReason, tag
from chatgateway.types import Assurance, Durability, Policy, Role


class ServerFrame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag=tag):
    """Said by the gateway."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What this gateway accepts, so that a client can refuse politely before the gateway does."""

    text_bytes: int
    in_flight: int


class ReconnectWindow(msgspec.Struct, frozen=True, kw_only=True):
    min_ms: int
    max_ms: int


class Welcome(ServerFrame, frozen=True, kw_only=True):
    """The answer to ``hello``: who you are here, and for how long.

    ``session_token`` is a credential: keep it, never log it. ``now`` is the store's clock; mint refs from it.
    """

    ref: str
    session: str
    user: str
    identity: Assurance
    session_token: str
    now: int
    expires_at: int
    heartbeat_ms: int
    limits: Limits
    durability: Durability
    retry: ReconnectWindow
    name: str = ""
    role: Role = "visitor"
    agents_present: bool = False
    """Is anybody there to answer right now?"""
    projects: list[str] = []
    """An agent's own: the projects they answer for."""
    policy: Policy = "anyone"
    adoptable: list[str] = []
    """Conversations begun before signing in that ``adopt`` would keep."""


class Ack(ServerFrame, frozen=True, kw_only=True):
    """The command took effect. For what was stored: where. ``repeated``: it had been stored before."""

    ref: str
    at: int = 0
    seq: int = 0
    link: str = ""
    repeated: bool = False
    conversation: str = ""


class Error(ServerFrame, frozen=True, kw_only=True):
    """The command changed nothing; the session lives on. ``retry``: "no", "same", or milliseconds to wait."""

    ref: str
    code: str
    sentence: str
    retry: Literal["no", "same"] | int = "no"
    detail: str = ""
    """In an app's developer mode only: the precise reason."""


class Author(msgspec.Struct, frozen=True, kw_only=True):
    """Who wrote an entry, and how sure the gateway was of it when it was accepted. Never rewritten."""

    user: str
    role: Role
    assurance: Assurance
    name: str = ""


class Message(ServerFrame, frozen=True, kw_only=True, rename={"author": "from"}):
    """One entry of a conversation's log: the same bytes for every receiver."""

    seq: int
    at: int
    link: str
    prev: str
    conversation: str
    ref: str
    author: Author
    kind: MessageKind = "text"
    text: str = ""
    subject: str = ""
    """Whom an entry that is not a text is about: the agent assigned, the person signed in as, or the anonymous visitor
    whose chat was adopted or given back."""


class Identity(ServerFrame, frozen=True, kw_only=True):
    """Who somebody is has changed, or must be shown anew.

    To the visitor: the answer to ``authenticate`` and ``sign_out`` (with ``ref`` and the new ``session_token``), or a
    wish: ``want`` "fresh_token". To agents: ``conversation`` and who its visitor is now; ``confirmed`` is False while
    an earlier anonymous chat is not adopted.
    """

    ref: str = ""
    session: str = ""
    user: str = ""
    identity: Assurance | Literal[""] = ""
    name: str = ""
    email: str = ""
    session_token: str = ""
    expires_at: int = 0
    want: Literal["", "fresh_token"] = ""
    conversation: str = ""
    confirmed: bool = True
    adoptable: list[str] = []
    """To the visitor: conversations begun before signing in that ``adopt`` would keep."""
    email_proved: bool = False


class Adoption(ServerFrame, frozen=True, kw_only=True):
    """The earlier chat is the person's now (or, ``undone``, no longer). ``unadopt`` takes the ``receipt``.

    With ``ref``: an answer. Without: the app's policy adopted it unasked, or it was asked for on another socket of
    this person, or by an operator. Read the list of conversations anew.
    """

    receipt: str
    conversations: list[str]
    at: int
    user: str
    undone: bool = False
    ref: str = ""


class TypingNow(ServerFrame, frozen=True, kw_only=True, tag="typing"):
    conversation: str
    user: str
    role: Role
    name: str = ""
    on: bool = True


class Presence(ServerFrame, frozen=True, kw_only=True):
    """To visitors: is an agent there. To agents: is this conversation's visitor there."""

    agents_present: bool = False
    agents: list[str] = []
    """To agents: the names of the active agents of their projects."""
    conversation: str = ""
    user: str = ""
    online: bool = False


class ReadMark(ServerFrame, frozen=True, kw_only=True, tag="read"):
    """``user`` has seen everything up to ``seq``."""

    conversation: str
    user: str
    role: Role
    seq: int


class VisitorCard(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an agent sees of a visitor. ``signed`` names the fields that came in a signed token."""

    user: str
    assurance: Assurance
    name: str = ""
    email: str = ""
    external_id: str = ""
    signed: list[str] = []
    page: str = ""
    facts: dict[str, str] = {}
    online: bool = False
    blocked: bool = False
    email_proved: bool = False
    short_name: str = ""
    emails: list[str] = []
    organization: str = ""
    groups: list[str] = []
    fields: dict[str, str | list[str]] = {}
    labels: list[str] = []
    timezone: str = ""
    language: str = ""


class ConversationView(ServerFrame, frozen=True, kw_only=True, tag="conversation"):
    """A conversation's head. ``pending`` is True while a chat begun anonymously is not confirmed as its person's."""

    conversation: str
    project: str
    state: ConversationState
    top: Cursor
    unread: int
    reads: dict[str, int]
    ref: str = ""
    assigned: str = ""
    preview: str = ""
    last_at: int = 0
    visitor: VisitorCard | None = None
    """For agents only."""
    pending: bool = False
    more: bool = False
    """In an answer to ``conversations``: another one follows with the same ref."""


class InboxPage(ServerFrame, frozen=True, kw_only=True, tag="inbox"):
    """Rows of the inbox. With ``ref``: an answer. Without: these rows changed."""

    project: str
    rows: list[ConversationView]
    ref: str = ""
    more: bool = False


class NoteEntry(ServerFrame, frozen=True, kw_only=True, tag="note"):
    seq: int
    at: int
    conversation: str
    agent: str
    text: str
    name: str = ""
    ref: str = ""


class Replay(ServerFrame, frozen=True, kw_only=True):
    """Entries in order. With ``ref`` an answer to ``history`` (``more``: there are older ones still); without, what
    came after the cursor (``more``: another page follows)."""

    conversation: str
    messages: list[msgspec.Raw]
    ref: str = ""
    more: bool = False


class Reset(ServerFrame, frozen=True, kw_only=True):
    """Forget what was shown of this conversation: here is its authoritative tail (``more``: older ones exist)."""

    conversation: str
    why: ResetReason
    messages: list[msgspec.Raw]
    more: bool = False


class Beat(ServerFrame, frozen=True, kw_only=True, tag="heartbeat"):
    """Answer at once with ``heartbeat``: background tabs throttle timers, but not messages."""

    now: int


class Goodbye(ServerFrame, frozen=True, kw_only=True):
    """Said before a close: why, and when to come back (``after_ms``, drawn so that not all come at once)."""

    code: int
    reason: str
    retry: GoodbyeRetry
    after_ms: int = 0
    sentence: str = ""


AnyServerFrame = (
    Welcome
    | Ack
    | Error
    | Message
    | Identity
    | Adoption
    | TypingNow
    | Presence
    | ReadMark
    | ConversationView
    | InboxPage
    | NoteEntry
    | Replay
    | Reset
    | Beat
    | Goodbye
)
