"""Every frame of ``chatgateway.v1.json``: what a client may say and what the gateway answers.

Client to gateway: one JSON object per WebSocket message. Gateway to client: one JSON array of 1 to 64 frames, so that
an event is encoded once and the frames of one loop tick are joined, not re-encoded. ``type`` tags a frame; unknown
fields are ignored; v1 only ever adds. ``ref`` is chosen by the client and pairs an answer with its command.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from chatgateway.types import Assurance, Durability, Policy, Role

SUBPROTOCOL = "chatgateway.v1.json"
BEARER_SUBPROTOCOL = "bearer."
"""Prefix of a second sub-protocol that carries a token, base64url-encoded, for edges that decide before the upgrade."""

Text = Annotated[str, msgspec.Meta(min_length=1)]
"""What somebody says. The upper bound is in bytes, a setting, and judged by the session."""

Ref = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z_-]+\Z")]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z_-]+\Z")]
Seq = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Instant = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Link = Annotated[str, msgspec.Meta(min_length=8, max_length=8)]
Cursor = tuple[Instant, Seq, Link]
"""A position ``(at, seq, link)`` on the wire."""

MessageKind = Literal["text", "signed_in", "assigned", "resolved", "reopened"]
"""What an entry of the log is. Only ``text`` was typed by somebody."""

InboxView = Literal["mine", "unassigned", "all", "resolved"]
ConversationState = Literal["open", "resolved"]
ResetReason = Literal["opened", "trimmed", "diverged"]


def _tag(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class ClientFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=_tag):
    """Said by a visitor's widget or an agent's console."""

    ref: Ref = ""


class Hello(ClientFrame, frozen=True, kw_only=True):
    """The first frame: who is calling, from where, and what they have already seen.

    ``token`` is a customer token, a session token, a console ticket, or absent for a fresh anonymous visitor.
    ``earlier`` may accompany a customer token: the anonymous credential of the same browser, so that the chat begun
    before signing in stays on screen.
    """

    app: Annotated[str, msgspec.Meta(max_length=64)] = ""
    token: str | None = None
    earlier: str | None = None
    client: Annotated[str, msgspec.Meta(max_length=64)] = ""
    page: Annotated[str, msgspec.Meta(max_length=2048)] = ""
    can_refresh: bool = False
    resume: Annotated[dict[Id, Cursor], msgspec.Meta(max_length=64)] = {}


class Authenticate(ClientFrame, frozen=True, kw_only=True):
    """Sign in on a live anonymous socket, or refresh the same person's trust in place."""

    token: str


class SignOut(ClientFrame, frozen=True, kw_only=True):
    """Revoke this session (or all of the person's) on the server; go on as a new anonymous visitor."""

    everywhere: bool = False


class Start(ClientFrame, frozen=True, kw_only=True):
    """Begin a conversation with its first message. The same ``ref`` begins the same conversation."""

    text: Text


class Open(ClientFrame, frozen=True, kw_only=True):
    """Follow a conversation. Without ``cursor`` the last page comes first."""

    conversation: Id
    cursor: Cursor | None = None


class Leave(ClientFrame, frozen=True, kw_only=True):
    conversation: Id


class Send(ClientFrame, frozen=True, kw_only=True):
    """Say something.

    ``ref`` is a UUIDv7 minted by the store's clock. It names the answer, and makes a resend after a reconnect
    harmless: the same ``ref`` is stored once.
    """

    conversation: Id
    text: Text


class Read(ClientFrame, frozen=True, kw_only=True):
    """Everything up to ``seq`` was seen. Moves forward only."""

    conversation: Id
    seq: Seq


class Typing(ClientFrame, frozen=True, kw_only=True):
    conversation: Id
    on: bool = True


class History(ClientFrame, frozen=True, kw_only=True):
    """A page of older entries: those before the position ``before``, newest last."""

    conversation: Id
    before: Cursor
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50


class Conversations(ClientFrame, frozen=True, kw_only=True):
    """List the person's own conversations, the most recent first."""


class Context(ClientFrame, frozen=True, kw_only=True):
    """Unsigned facts about page and visit, shown to agents as unsigned."""

    page: Annotated[str, msgspec.Meta(max_length=2048)] = ""
    facts: Annotated[
        dict[Annotated[str, msgspec.Meta(max_length=64)], Annotated[str, msgspec.Meta(max_length=256)]],
        msgspec.Meta(max_length=16),
    ] = {}


class Heartbeat(ClientFrame, frozen=True, kw_only=True):
    """The answer to the server's heartbeat."""


class Adopt(ClientFrame, frozen=True, kw_only=True):
    """Reserved: keep an earlier anonymous chat."""

    conversation: Id


class Unadopt(ClientFrame, frozen=True, kw_only=True):
    """Reserved: undo an adoption."""

    conversation: Id


class ProveEmail(ClientFrame, frozen=True, kw_only=True):
    """Reserved: ask for a code, answer it."""

    email: Annotated[str, msgspec.Meta(max_length=254)] = ""
    code: Annotated[str, msgspec.Meta(max_length=16)] = ""


class Inbox(ClientFrame, frozen=True, kw_only=True):
    """Agents: list a project's conversations by last activity, and follow changes of that list."""

    project: Id
    view: InboxView = "all"
    before: Instant | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50


class Assign(ClientFrame, frozen=True, kw_only=True):
    """Agents: give a conversation to an agent (or to nobody)."""

    conversation: Id
    agent: Id | None = None


class Resolve(ClientFrame, frozen=True, kw_only=True):
    conversation: Id


class Reopen(ClientFrame, frozen=True, kw_only=True):
    conversation: Id


class Note(ClientFrame, frozen=True, kw_only=True):
    """Agents: a remark that visitors never see. Kept apart from the log."""

    conversation: Id
    text: Text


class Redact(ClientFrame, frozen=True, kw_only=True):
    """Reserved: remove a message's text."""

    conversation: Id
    seq: Seq


class Away(ClientFrame, frozen=True, kw_only=True):
    """Agents: only those who are not away count as present."""

    on: bool = True


class AskToVerify(ClientFrame, frozen=True, kw_only=True):
    """Reserved: request a fresh signed token during the chat."""

    conversation: Id


AnyClientFrame = (
    Hello
    | Authenticate
    | SignOut
    | Start
    | Open
    | Leave
    | Send
    | Read
    | Typing
    | History
    | Conversations
    | Context
    | Heartbeat
    | Adopt
    | Unadopt
    | ProveEmail
    | Inbox
    | Assign
    | Resolve
    | Reopen
    | Note
    | Redact
    | Away
    | AskToVerify
)


class ServerFrame(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag=_tag):
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
    """Whom an entry that is not a text is about: the agent assigned, or the person signed in as."""


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
    conversation: str
    seq: int
    at: int
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
    retry: Literal["no", "resume", "start_anew", "fresh_token"]
    after_ms: int = 0
    sentence: str = ""


AnyServerFrame = (
    Welcome
    | Ack
    | Error
    | Message
    | Identity
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
