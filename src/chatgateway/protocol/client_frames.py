"""What a client may say: a visitor's widget, an agent's console, a native program."""

from __future__ import annotations

from typing import Annotated

import msgspec

from chatgateway.protocol.fields import Cursor, Id, InboxView, Instant, Ref, Seq, Text, tag


class ClientFrame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=tag):
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
    can_refresh: bool = False
    """The page gave a function that fetches fresh tokens."""


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
    """Keep the chat that was begun on this connection before signing in. Answered by ``adoption``."""


class Unadopt(ClientFrame, frozen=True, kw_only=True):
    """Undo an adoption: the chat is again one that nobody has confirmed as theirs. Answered by ``adoption``."""

    receipt: Id


class ProveEmail(ClientFrame, frozen=True, kw_only=True):
    """With ``email``: ask for a code, answered by ``ack`` for every address alike. With ``code``: answer it, answered
    by ``identity``."""

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
