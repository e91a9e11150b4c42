"""POST /v1/token: exchange a customer token for a session token, or mint an anonymous identity."""

from __future__ import annotations

from typing import Annotated

import msgspec

from chatgateway.core.identity import Authenticated
from chatgateway.errors import (
    AppUnknown,
    Forbidden,
    IdentityConflict,
    KeyRevoked,
    OriginForbidden,
    PeerError,
    RateLimited,
    SessionUnknown,
    SignedOut,
    StoreUnavailable,
    TokenExpired,
    TokenRejected,
)
from chatgateway.gateway.admission import Admitted, nobody_joins
from chatgateway.gateway.api.operation import Call, Operation
from chatgateway.gateway.connection import Caller
from chatgateway.gateway.parts import Parts
from chatgateway.gateway.signin import TICKET_PREFIX
from chatgateway.types import Assurance, Policy

SCHEME = "Bearer"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """``token`` is a customer token, a session token, or absent for a new anonymous visitor."""

    app: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    token: str | None = None
    earlier: str | None = None
    """With a customer token: the anonymous session token of the same browser."""
    page: Annotated[str, msgspec.Meta(max_length=2048)] = ""
    client: Annotated[str, msgspec.Meta(max_length=64)] = ""
    can_refresh: bool = False


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """A session. ``session_token`` is a credential: for hello on the socket, and as a bearer token."""

    session_token: str
    session: str
    user: str
    identity: Assurance
    token_type: str
    expires_in: int
    """Seconds."""
    expires_at: int
    unread: int
    policy: Policy
    meets_policy: bool
    """False: nothing is read or written until an address is proved, or somebody signs in."""
    name: str
    email: str
    email_proved: bool
    adoptable: list[str]
    """Conversations begun before signing in that ``adopt``, on a socket, would keep."""


async def exchange_token(call: Call[Caller, Wanted, None]) -> Granted:
    parts, caller, wanted = call.parts, call.who, call.body
    if not parts.node.may_act:
        raise StoreUnavailable("this node has no lease")
    refused = parts.doors.refuses(caller.address)
    if refused is not None:
        raise RateLimited(refused, retry=2_000)
    caller.app, caller.page, caller.client = wanted.app, wanted.page, wanted.client
    caller.can_refresh = wanted.can_refresh
    if wanted.token is not None and wanted.token.startswith(TICKET_PREFIX):
        raise PeerError("A console ticket opens a socket; it is not exchanged.")
    admitted = await parts.sign_in.admit(caller, wanted.token, wanted.earlier, None, nobody_joins)
    return await granted(parts, admitted)


async def granted(parts: Parts, admitted: Admitted) -> Granted:
    """Return what the holder of a new session is told. Raises StoreError, PeerError when trust ended meanwhile."""
    identity = admitted.identity
    unread = await _unread(parts, admitted) if admitted.meets_policy else 0
    parts.admission.judge(admitted.grounds)
    return Granted(
        session_token=admitted.token, session=admitted.grounds.session, user=identity.user,
        identity=identity.assurance, token_type=SCHEME,
        expires_in=max(0, identity.expires_at - parts.node.now()) // 1000, expires_at=identity.expires_at,
        unread=unread,
        policy=admitted.policy, meets_policy=admitted.meets_policy, name=identity.name, email=admitted.email,
        email_proved=admitted.email_proved, adoptable=list(admitted.adoptable),
    )  # fmt: skip


async def _unread(parts: Parts, admitted: Admitted) -> int:
    """Return how many messages of agents await this person; the page shows them before any socket is opened."""
    identity, grounds = admitted.identity, admitted.grounds
    earlier = identity.earlier if isinstance(identity, Authenticated) else None
    heads = await parts.desk.heads_of(admitted.project, identity.user, earlier, grounds.session)
    return sum(head.unread(identity.user) for head in heads)


OPERATIONS = (
    Operation(
        "POST", "/v1/token", "Exchange a token, or become an anonymous visitor.", exchange_token,
        takes=Wanted, gives=Granted,
        errors=(
            AppUnknown, OriginForbidden, Forbidden, TokenRejected, TokenExpired, KeyRevoked, SessionUnknown, SignedOut,
            IdentityConflict,
        ),
    ),
)  # fmt: skip
