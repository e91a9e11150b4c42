"""POST /customer/token in LiveChat's shape: snake_case, seconds, an ``entity_id`` that stays the same.

The ``cookie`` grant keeps an anonymous identity in an HttpOnly cookie of two years per app, extended on use, and gives
out access tokens of eight hours. The ``agent_token`` grant is asked for by the project's server with an admin token,
and makes a signed session of the person whom it names. Either access token is an ordinary session token: a bearer for
/v1/…, and good for ``hello`` on the socket.

The cookie is ``SameSite=None; Secure; Partitioned``: it is meant for pages of other sites, for each top-level site its
own. Over plain http browsers refuse that, so there, in development on the loopback, it is ``SameSite=Lax``: page and
gateway must then be of one site, as two ports of localhost are. Nobody is moved to act by a cookie unknowingly: the
body is JSON, which a browser sends to another origin only when asked first, and the page's origin must be on the list.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Annotated, Literal

import msgspec

from chatgateway.core import credential as credentials
from chatgateway.core.credential import COOKIE_LIFE_MS, COOKIE_USER, Credential
from chatgateway.core.person import OUR_ID, Description, Identifier
from chatgateway.core.project import App
from chatgateway.core.upsert import external_id
from chatgateway.errors import (
    AdminRejected,
    AppUnknown,
    Forbidden,
    IdentityErased,
    Malformed,
    OriginForbidden,
    PeerError,
    SignedOut,
    StoreUnavailable,
    TokenExpired,
    TokenRejected,
    UserUnknown,
)
from chatgateway.gateway import cors
from chatgateway.gateway.admission import new_session
from chatgateway.gateway.api.operation import Call, Operation
from chatgateway.gateway.api.token import SCHEME
from chatgateway.gateway.connection import Caller
from chatgateway.gateway.parts import Parts
from chatgateway.gateway.visit import bearer_of
from chatgateway.types import ProjectId, UnixMs, UserId

PATH = "/customer/token"
ACCESS_LIFE_MS = 8 * 3600 * 1000

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class CustomerWanted(msgspec.Struct, frozen=True, kw_only=True):
    """``client_id`` is the app, ``organization_id`` (or, in the older form, ``license_id``) its project."""

    grant_type: Literal["cookie", "agent_token"]
    client_id: _Id
    organization_id: _Id | None = None
    license_id: _Id | None = None
    entity_id: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    """With ``cookie``: who the page believes the cookie to be. With ``agent_token``: for whom; the id that the
    project's server uses, or one that was answered before."""


class CustomerToken(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    access_token: str
    entity_id: str
    token_type: str
    expires_in: int
    """Seconds."""
    client_id: str
    organization_id: str | None = None
    license_id: str | None = None


async def issue_customer_token(call: Call[Caller, CustomerWanted, None]) -> CustomerToken:
    wanted, caller, parts = call.body, call.who, call.parts
    if not parts.node.may_act:
        raise StoreUnavailable("this node has no lease")
    project = wanted.organization_id or wanted.license_id
    if project is None:
        raise Malformed("organization_id (or license_id) is needed: the project's id.")
    caller.app = wanted.client_id
    if wanted.grant_type == "agent_token":
        return await _by_server(call, ProjectId(project))
    _, app = await parts.sign_in.place(caller)
    # On its app's list: from here on the page may read what it is told, a refusal too.
    call.headers.update(cors.readable_with_cookie(caller.origin))
    if app.project != project:
        raise AppUnknown("This app belongs to another project; check organization_id and client_id.")
    return await _by_cookie(call, app)


async def _by_cookie(call: Call[Caller, CustomerWanted, None], app: App) -> CustomerToken:
    parts, wanted = call.parts, call.body
    if app.policy == "signed":
        raise Forbidden("This app asks every visitor to be signed in before chatting.")
    name, now = _cookie_name(app), parts.node.now()
    known = await _known(parts, app, call.request.cookies.get(name), now)
    if wanted.entity_id and (known is None or known.user != wanted.entity_id):
        raise Forbidden("entity_id is not who this browser's cookie says; leave it out, or ask with that browser.")
    user = known.user if known is not None else UserId(COOKIE_USER + secrets.token_hex(10))
    kept = credentials.anonymous(new_session(), user, app.project, app.id, now, COOKIE_LIFE_MS)
    access = credentials.anonymous(new_session(), user, app.project, app.id, now, ACCESS_LIFE_MS)
    if known is not None:
        # However often they come: who is old here is not a fresh stranger, whose chat an account may keep.
        kept, access = (replace(one, first_issued_at=known.born_at) for one in (kept, access))
    ring = parts.credential_ring
    secure = call.request.url.scheme == "https"
    call.headers["Set-Cookie"] = (
        f"{name}={credentials.mint(kept, ring)}; Max-Age={COOKIE_LIFE_MS // 1000}; Path={PATH}; HttpOnly; "
        + ("Secure; SameSite=None; Partitioned" if secure else "SameSite=Lax")
    )
    return _answer(wanted, credentials.mint(access, ring), user, ACCESS_LIFE_MS)


async def _known(parts: Parts, app: App, cookie: str | None, now: UnixMs) -> Credential | None:
    """Return whom a cookie names; None: whoever comes is new here. Raises Forbidden for somebody who was blocked.

    Somebody who signed out, or was erased, is not that person any more, and begins anew.
    """
    if cookie is None:
        return None
    try:
        held = credentials.read(cookie, parts.credential_ring, now)
        ours = held.kind == "anonymous" and held.user.startswith(COOKIE_USER)
        if not ours or (held.project, held.app) != (app.project, app.id):
            return None  # a page can set a cookie too: what a page holds must not become a credential of two years
        await parts.sign_in.require_unmarked(held)
    except (TokenRejected, TokenExpired, SignedOut, IdentityErased):
        return None
    return held


async def _by_server(call: Call[Caller, CustomerWanted, None], project: ProjectId) -> CustomerToken:
    parts, wanted = call.parts, call.body
    admin = await parts.admins.find(bearer_of(call.request, AdminRejected))
    if not admin.grants(project):
        # Before anybody is looked up: whether we know them is not for everybody.
        raise AdminRejected
    if not wanted.entity_id:
        raise Malformed("entity_id is needed: for whom the token is.")
    named = await _named(parts, project, wanted.entity_id)
    admitted = await parts.grants.granted(call.who, admin, project, named, Description())
    return _answer(wanted, admitted.token, admitted.identity.user, admitted.identity.expires_at - parts.node.now())


async def _named(parts: Parts, project: ProjectId, entity: str) -> tuple[Identifier, ...]:
    """Return what names somebody: the project's own id for them, or one of ours. Raises UserUnknown, Unacceptable."""
    if not OUR_ID.fullmatch(entity):
        return (Identifier("external_id", external_id(entity)),)
    person = await parts.identities.get(project, UserId(entity))
    if person is None or not person.identifiers:
        # Nobody vouched for an anonymous visitor yet, and an id that was only overheard is not a reason to begin.
        raise UserUnknown
    return person.identifiers


def _cookie_name(app: App) -> str:
    return f"cg_customer_{app.id}"


def _answer(wanted: CustomerWanted, token: str, user: UserId, life_ms: int) -> CustomerToken:
    return CustomerToken(
        access_token=token, entity_id=user, token_type=SCHEME, expires_in=max(0, life_ms) // 1000,
        client_id=wanted.client_id, organization_id=wanted.organization_id, license_id=wanted.license_id,
    )  # fmt: skip


_ERRORS: tuple[type[PeerError], ...] = (
    AdminRejected, AppUnknown, Forbidden, OriginForbidden, UserUnknown,
)  # fmt: skip

OPERATIONS = (
    Operation(
        "POST", PATH, "LiveChat's endpoint: an access token for a customer.", issue_customer_token, "cookie",
        takes=CustomerWanted, gives=CustomerToken, errors=_ERRORS,
        details=(
            "Grant cookie: a browser's own anonymous identity. "
            "Grant agent_token, with an admin token: the person whom entity_id names."
        ),
    ),
)  # fmt: skip
