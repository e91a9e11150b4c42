"""What the bearer of a session token asks over HTTP: who they are, their conversations, their sessions.

The same rules as on a socket (gateway/visit.py): one's own conversations only, the app's policy, texts and refs.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from chatgateway.core.identity import Anonymous
from chatgateway.errors import (
    ConversationUnknown,
    EmailRequired,
    Forbidden,
    FrameRejected,
    NoSuchSession,
    OutcomeUnknown,
    RefAhead,
    SignedOut,
    TooBig,
)
from chatgateway.gateway.api.operation import Call, Limit, Operation
from chatgateway.gateway.views import raw, visitors_view
from chatgateway.gateway.visit import Visit
from chatgateway.protocol import frames as f
from chatgateway.protocol.fields import Ref, Seq, Text
from chatgateway.types import Assurance, Policy, Position, SessionId, UnixMs

Encoded = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"$ref": "#/components/schemas/Message"})]


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who the bearer is, and what this gateway accepts. ``now`` is the store's clock; mint refs from it."""

    user: str
    session: str
    project: str
    app: str
    identity: Assurance
    policy: Policy
    meets_policy: bool
    """False: nothing is read or written until an address is proved, or somebody signs in."""
    name: str
    email: str
    email_proved: bool
    expires_at: int
    session_token: str
    """To use from now on: an anonymous one is made anew past half of its life."""
    now: int
    limits: f.Limits


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One's own conversations, the latest first."""

    conversations: list[f.ConversationView]


class Before(msgspec.Struct, frozen=True, kw_only=True):
    """Which page of a conversation. Without ``before``: the last one."""

    before: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,15},[0-9]{1,15},[0-9a-f]{8}\Z")] | None = None
    """A position: at,seq,link."""
    limit: Limit = 50


class History(msgspec.Struct, frozen=True, kw_only=True):
    """A page of entries, oldest first, and the conversation's head at the same moment."""

    conversation: f.ConversationView
    messages: list[Encoded]
    more: bool
    """There are older ones."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody says. ``ref`` is a UUIDv7 minted from the store's clock: the same one is stored once."""

    ref: Ref
    text: Text


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """Where it is stored. ``repeated``: it had been stored before."""

    conversation: str
    ref: str
    at: int
    seq: int
    link: str
    repeated: bool


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Everything up to ``seq`` was seen. Moves forward only."""

    seq: Seq


class Unread(msgspec.Struct, frozen=True, kw_only=True):
    unread: int
    """Messages of agents that this person has not read."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One of a person's sessions: a browser that is there, or that could come back without a new token."""

    session: str
    current: bool
    """Is it the one that asks?"""
    online: bool
    app: str
    since: int
    seen_at: int
    """When it last opened a socket or was exchanged."""
    origin: str
    address_block: str
    page: str
    client: str


class Devices(msgspec.Struct, frozen=True, kw_only=True):
    sessions: list[Device]


class SignOut(msgspec.Struct, frozen=True, kw_only=True):
    everywhere: bool = False
    """All of the person's sessions, not just this browser's."""


async def get_me(call: Call[Visit, None, None]) -> Me:
    who, parts = call.who.admitted, call.parts
    identity, rules = who.identity, parts.rules
    return Me(
        user=identity.user, session=call.who.session_id, project=who.project, app=who.app,
        identity=identity.assurance, policy=who.policy, meets_policy=who.meets_policy, name=identity.name,
        email=who.email, email_proved=who.email_proved, expires_at=identity.expires_at, session_token=who.token,
        now=parts.node.now(), limits=f.Limits(text_bytes=rules.text_max_bytes, in_flight=rules.in_flight_max),
    )  # fmt: skip


async def list_conversations(call: Call[Visit, None, None]) -> Listed:
    heads = await call.who.heads()
    previews = await call.parts.desk.previews(heads)
    call.who.require_trust()
    return Listed(
        conversations=[
            visitors_view(head, call.who.user, preview=preview) for head, preview in zip(heads, previews, strict=True)
        ]
    )


async def list_messages(call: Call[Visit, None, Before]) -> History:
    at, seq, link = call.query.before.split(",") if call.query.before else ("", "", "")
    before = Position(UnixMs(int(at)), int(seq), link) if at else None
    page = await call.who.page(call.path["conversation"], before, call.query.limit)
    return History(conversation=visitors_view(page.head, call.who.user), messages=raw(page.entries), more=page.more)


async def start_conversation(call: Call[Visit, Said, None]) -> Placed:
    return await _say(call, f.Start(ref=call.body.ref, text=call.body.text))


async def send_message(call: Call[Visit, Said, None]) -> Placed:
    return await _say(call, f.Send(ref=call.body.ref, conversation=call.path["conversation"], text=call.body.text))


async def _say(call: Call[Visit, Said, None], frame: f.Start | f.Send) -> Placed:
    conversation, stored = await call.who.say(frame)
    at, seq, link = stored.position
    return Placed(conversation=conversation, ref=frame.ref, at=at, seq=seq, link=link, repeated=stored.repeated)


async def mark_read(call: Call[Visit, Seen, None]) -> None:
    await call.who.read(f.Read(conversation=call.path["conversation"], seq=call.body.seq))


async def get_unread(call: Call[Visit, None, None]) -> Unread:
    return Unread(unread=sum(head.unread(call.who.user) for head in await call.who.heads()))


async def list_sessions(call: Call[Visit, None, None]) -> Devices:
    who, parts, now = call.who, call.parts, call.parts.node.now()
    rows = await parts.sessions.of_person(who.project, who.user)
    marks = await parts.sessions.marks(who.project, who.user)
    withdrawn_at = int(marks.get("*", -1))
    listed: list[Device] = []
    for session, row in rows.items():
        online = bool(row.node) and row.node in parts.node.live_nodes
        resumable = bool(row.kid) and row.expires_at > now and row.signed_at > withdrawn_at
        if session in marks or not (online or resumable or session == who.session_id):
            continue
        listed.append(
            Device(
                session=session, current=session == who.session_id, online=online, app=row.app, since=row.signed_at,
                seen_at=row.bound_at, origin=row.origin, address_block=row.address_block, page=row.page,
                client=row.client,
            )
        )  # fmt: skip
    who.require_trust()
    return Devices(sessions=sorted(listed, key=lambda one: (not one.current, -one.seen_at)))


async def end_session(call: Call[Visit, None, None]) -> None:
    who, parts = call.who, call.parts
    if isinstance(who.identity, Anonymous):
        raise Forbidden("An anonymous visitor is one browser; sign out ends it.")
    now = await parts.store.now()
    await parts.departure.of_device(who.project, who.user, SessionId(call.path["session"]), now)


async def sign_out(call: Call[Visit, SignOut, None]) -> None:
    who, parts = call.who, call.parts
    now = await parts.store.now()
    if isinstance(who.identity, Anonymous):
        parts.pace.require_departure(call.caller.address)
        await parts.departure.of_stranger(who.project, who.user, now, who.identity.expires_at)
    elif call.body.everywhere:
        await parts.departure.everywhere(who.project, who.user, now)
    else:
        await parts.departure.of_browser(who.project, who.user, who.session_id, now)


_NOT_ADMITTED = (EmailRequired, Forbidden)
_NOT_STORED = (*_NOT_ADMITTED, ConversationUnknown, FrameRejected, OutcomeUnknown, RefAhead, TooBig)
_ONE = "/v1/conversations/{conversation}"

OPERATIONS = (
    Operation("GET", "/v1/me", "Say who the bearer is.", get_me, "session", "none", gives=Me),
    Operation(
        "GET", "/v1/conversations", "List one's own conversations.", list_conversations, "session",
        gives=Listed, errors=_NOT_ADMITTED,
    ),
    Operation(
        "POST", "/v1/conversations", "Begin a conversation with its first message.", start_conversation, "session",
        takes=Said, gives=Placed, errors=_NOT_STORED,
        details="The same ref begins the same conversation.",
    ),
    Operation(
        "GET", _ONE + "/messages", "Read a conversation, page by page backwards.", list_messages, "session",
        query=Before, gives=History, errors=(*_NOT_ADMITTED, ConversationUnknown),
    ),
    Operation(
        "POST", _ONE + "/messages", "Say something.", send_message, "session",
        takes=Said, gives=Placed, errors=_NOT_STORED,
        details="A repeat with the same ref stores nothing and is answered with the first one's position.",
    ),
    Operation(
        "POST", _ONE + "/read", "Mark as read.", mark_read, "session",
        takes=Seen, errors=(*_NOT_ADMITTED, ConversationUnknown),
    ),
    Operation(
        "GET", "/v1/unread", "Count what agents said and this person has not read.", get_unread, "session",
        gives=Unread, errors=_NOT_ADMITTED,
    ),
    Operation(
        "GET", "/v1/sessions", "List the person's own sessions.", list_sessions, "session", "none", gives=Devices
    ),
    Operation(
        "DELETE", "/v1/sessions/{session}", "End one of the person's own sessions.", end_session, "session", "none",
        errors=(Forbidden, NoSuchSession),
        details="Its browser's other tabs go with it, as if somebody had signed out there.",
    ),
    Operation(
        "POST", "/v1/sign_out", "Sign out: this browser, or everywhere.", sign_out, "session", "leaving",
        takes=SignOut, optional=True, errors=(SignedOut,),
        details="The token is dead when this is answered. POST /v1/token makes a new anonymous visitor.",
    ),
)  # fmt: skip
