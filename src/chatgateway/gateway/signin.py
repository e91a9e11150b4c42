"""How somebody becomes somebody: verify, find the person, join, bind, judge once more.

The order is the rule. A session joins the roster before it is bound, and the bind carries the version at which the
token was verified: behind the fence it is refused as stale, the node catches up and everything is judged again. When
the bind has answered, the session is judged a last time before it is live. Bound first and joined after, a session
would outlive its key in one of ten interleavings.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from chatgateway.core import credential as credentials
from chatgateway.core import token as tokens
from chatgateway.core.credential import Credential
from chatgateway.core.identity import Agent, Anonymous, Authenticated, Person
from chatgateway.core.keyring import is_secret_like
from chatgateway.core.origin import allowed
from chatgateway.core.profiles import PROFILES
from chatgateway.core.project import App
from chatgateway.core.rotation import Grounds, ended, trust_gone
from chatgateway.errors import (
    AppUnknown,
    Conflict,
    Forbidden,
    IdentityChanged,
    NotFound,
    OriginForbidden,
    PeerError,
    SessionUnknown,
    SignedOut,
    Stale,
    TokenRejected,
    Withdrawn,
)
from chatgateway.log import log
from chatgateway.store import schema
from chatgateway.store.identities import Identifier
from chatgateway.store.sessions import SessionRow, address_block, here
from chatgateway.types import AppId, KeyId, NodeId, Policy, ProjectId, SessionId, UnixMs, UserId, Version

if TYPE_CHECKING:
    from chatgateway.gateway.connection import Caller
    from chatgateway.gateway.parts import Parts

TICKET_PREFIX = "cgt_"
ATTEMPTS = 4
"""How often fences may rise during one sign-in."""

AGENT_SESSION_MS = 12 * 3_600_000


@dataclass(frozen=True, slots=True)
class Admitted:
    """Who somebody is now, and what that rests on."""

    identity: Anonymous | Authenticated | Agent
    grounds: Grounds
    project: ProjectId
    app: AppId
    token: str
    """The session token: a credential."""
    policy: Policy = "anyone"
    row: SessionRow | None = None
    email: str = ""


class Held(NamedTuple):
    """A signed-in session that is live already."""

    session: SessionId
    row: SessionRow


Join = Callable[[Grounds], None]
"""Enter the roster under these grounds; called before anything is bound."""


class SignIn:
    """Every way of becoming somebody on this node."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._anonymous_ms = parts.settings.anonymous_days * 86_400_000

    async def admit(
        self,
        caller: Caller,
        token: str | None,
        earlier: str | None,
        must_be: UserId | None,
        join: Join,
        held: Held | None = None,
    ) -> Admitted:
        """Return who ``token`` speaks for.

        ``must_be`` is the person that a live session, ``held``, has to stay.

        Raises PeerError, StoreError.
        """
        if token is not None and is_secret_like(token):
            log.error("secret.arrived", app=caller.app, origin=caller.origin, address=caller.address)
            raise TokenRejected("A signing secret arrived instead of a token. It is exposed: regenerate it now.")
        if token is not None and token.startswith(TICKET_PREFIX):
            return await self._agent(caller, token, join)
        app = await self._app(caller)
        if token is None:
            return self._stranger(app, join)
        if token.startswith(credentials.PREFIX):
            return await self._returning(caller, app, token, join)
        return await self._signed(caller, app, token, earlier, must_be, join, held)

    async def _app(self, caller: Caller) -> App:
        try:
            _, app = await self._parts.projects.get_app(AppId(caller.app))
        except NotFound as error:
            raise AppUnknown from error
        if (
            not allowed(caller.origin, app.origins, app.absent_origin_ok)
            and caller.origin not in self._parts.own_origins
        ):
            raise OriginForbidden(detail=caller.origin or "absent")
        if app.project in self._parts.node.trust.projects:
            raise AppUnknown
        return app

    # Agents

    async def _agent(self, caller: Caller, ticket: str, join: Join) -> Admitted:
        judged = self._parts.node.trust.applied
        record, session = await self._parts.agents.redeem_ticket(ticket)
        now = self._parts.node.now()
        user = UserId(record.id)
        grounds = Grounds(session, user, ProjectId(""), now, agent=record.id, judged=judged)
        join(grounds)
        self._judge(grounds)
        identity = Agent(
            user=user, agent=record.id, name=record.name, projects=frozenset(record.projects),
            expires_at=UnixMs(now + AGENT_SESSION_MS), admin=record.role == "admin",
        )  # fmt: skip
        return Admitted(identity, grounds, ProjectId(""), AppId(caller.app), token="")

    # Strangers and those who come back

    def _stranger(self, app: App, join: Join) -> Admitted:
        if app.policy != "anyone":
            raise Forbidden(f"This app asks every visitor to be {app.policy} before chatting.")
        now = self._parts.node.now()
        fresh = credentials.anonymous(new_session(), new_user(), app.project, app.id, now, self._anonymous_ms)
        return self._anonymous(fresh, fresh.session, app, now, join)

    async def policy_of(self, caller: Caller) -> Policy:
        """Return what the caller's app demands of visitors. Raises AppUnknown, OriginForbidden, StoreError."""
        return (await self._app(caller)).policy

    def stranger_after(self, caller: Caller, project: ProjectId, now: UnixMs, policy: Policy, join: Join) -> Admitted:
        """Return the fresh anonymous visitor that a signed-out browser becomes."""
        fresh = credentials.anonymous(new_session(), new_user(), project, AppId(caller.app), now, self._anonymous_ms)
        grounds = Grounds(fresh.session, fresh.user, project, now)
        join(grounds)
        token = credentials.mint(fresh, self._parts.credential_ring)
        return Admitted(Anonymous(fresh.user, fresh.expires_at), grounds, project, AppId(caller.app), token, policy)

    def _anonymous(self, held: Credential, session: SessionId, app: App, signed_at: UnixMs, join: Join) -> Admitted:
        grounds = Grounds(session, held.user, app.project, signed_at)
        join(grounds)
        self._judge(grounds)
        identity = Anonymous(held.user, held.expires_at)
        token = credentials.mint(held, self._parts.credential_ring)
        return Admitted(identity, grounds, app.project, app.id, token, app.policy)

    async def _returning(self, caller: Caller, app: App, token: str, join: Join) -> Admitted:
        now = self._parts.node.now()
        held = credentials.read(token, self._parts.credential_ring, now)
        if held.project != app.project:
            raise TokenRejected(detail="session_token_of_another_project")
        if held.kind == "signed":
            return await self._resumed(caller, app, held, token, join)
        if app.policy != "anyone":
            raise Forbidden(f"This app asks every visitor to be {app.policy} before chatting.")
        await self._require_unmarked(held)
        if credentials.needs_renewal(held, now):
            held = held.renewed(now, self._anonymous_ms)
        return self._anonymous(held, new_session(), app, held.issued_at, join)

    async def _require_unmarked(self, held: Credential) -> None:
        """An anonymous credential works without a row, so a sign-out leaves a tombstone instead."""
        marks = await self._parts.sessions.marks(held.project, held.user)
        if "blocked" in marks:
            raise Forbidden("This visitor was blocked.")
        if "*" in marks:
            raise SignedOut

    async def _resumed(self, caller: Caller, app: App, held: Credential, token: str, join: Join) -> Admitted:
        """A signed-in session comes back: its row must be there, and what it rests on must still be trusted."""
        for _ in range(ATTEMPTS):
            row = await self._parts.sessions.get(held.project, held.user, held.session)
            if row is None:
                raise SessionUnknown
            version, kid, read_at = self._parts.node.trust.applied, KeyId(row.kid), row.bound_at
            grounds = Grounds(held.session, held.user, held.project, UnixMs(row.signed_at), kid=kid, judged=version)
            join(grounds)
            self._judge(grounds)
            row = self._row_for(caller, row)
            try:
                row = await self._bind(held.session, row, version, functools.partial(self._judge, grounds), read_at)
            except Conflict:
                continue  # refreshed meanwhile, perhaps by another key: what was read must not be written back
            break
        else:
            raise SessionUnknown
        self._judge(grounds)
        person = await self._parts.identities.get(held.project, held.user)
        identity = Authenticated(
            user=held.user, kid=kid, expires_at=held.expires_at,
            name=person.name if person else "", email=person.email if person else "",
            earlier=UserId(row.earlier) if row.earlier else None,
        )  # fmt: skip
        return Admitted(identity, grounds, app.project, app.id, token, app.policy, row, identity.email)

    # Customer tokens

    async def _signed(
        self,
        caller: Caller,
        app: App,
        token: str,
        earlier: str | None,
        must_be: UserId | None,
        join: Join,
        held: Held | None,
    ) -> Admitted:
        before = await self._earlier(app, earlier)
        for attempt in range(ATTEMPTS):
            ring = await self._parts.keyrings.load(app.project)
            version = self._parts.node.trust.applied
            verified = self._verify(app, token, ring, self._parts.node.now())
            try:
                return await self._bound(caller, app, verified, version, must_be, join, held, before)
            except Stale as stale:
                if attempt == ATTEMPTS - 1:
                    raise
                # Whoever verified before the fence rose has changed nobody: catch up, and judge from the beginning.
                user = await self._parts.identities.identify(app.project, [external(verified)], new_user())
                await self._parts.node.catch_up(stale, schema.partition_of_user(app.project, user))
        raise AssertionError("unreachable")

    async def _bound(
        self,
        caller: Caller,
        app: App,
        verified: tokens.Verified,
        version: Version,
        must_be: UserId | None,
        join: Join,
        held: Held | None,
        before: UserId | None,
    ) -> Admitted:
        """Find the person, join, bind, judge; everything carries the version that verified. Raises Stale."""
        parts = self._parts
        person = await parts.identities.find_or_create(app.project, verified, new_user(), version)
        if person.blocked:
            raise Forbidden("This person was blocked.")
        if must_be is not None and person.user != must_be:
            raise IdentityChanged
        # A refreshed session goes on holding the chat that was begun before it signed in.
        earlier = before or (UserId(held.row.earlier) if held is not None and held.row.earlier else None)
        session = held.session if held is not None else new_session()
        now = parts.node.now()
        grounds = Grounds(session, person.user, app.project, now, kid=verified.kid, judged=version)
        join(grounds)
        row = self._row_for(
            caller,
            SessionRow(
                project=app.project, user=person.user, app=app.id, kid=verified.kid, assurance="signed",
                expires_at=now + parts.settings.session_minutes * 60_000, earlier=earlier or "",
            ),
        )  # fmt: skip
        row = await self._bind(session, row, version, None)
        grounds = Grounds(session, person.user, app.project, UnixMs(row.signed_at), kid=verified.kid, judged=version)
        join(grounds)
        self._judge(grounds)
        if before is not None:
            await parts.claims.claim(app.project, before, person, grounds, version)
            self._judge(grounds)
        await parts.keyrings.touch(app.project, verified.kid, now)
        return self._authenticated(app, person, grounds, row, earlier)

    def _verify(self, app: App, token: str, ring: Any, now: UnixMs) -> tokens.Verified:
        try:
            return tokens.verify(
                token, app.project, ring, PROFILES[app.profile], now,
                revoked=self._parts.node.trust.revoked_keys(app.project),
            )  # fmt: skip
        except PeerError as error:
            log.info("token.refused", project=app.project, app=app.id, code=error.code, detail=error.detail)
            if app.developer_mode and isinstance(error, TokenRejected):
                raise TokenRejected(f"The token was rejected: {error.detail}.", detail=error.detail) from error
            raise

    def _authenticated(
        self, app: App, person: Person, grounds: Grounds, row: SessionRow, before: UserId | None
    ) -> Admitted:
        assert grounds.kid is not None
        now = self._parts.node.now()
        held = credentials.signed(grounds.session, person.user, app.project, app.id, now, until=UnixMs(row.expires_at))
        identity = Authenticated(
            user=person.user, kid=grounds.kid, expires_at=held.expires_at, name=person.name, email=person.email,
            earlier=before,
        )  # fmt: skip
        token = credentials.mint(held, self._parts.credential_ring)
        log.info("session.bound", project=app.project, session=grounds.session, user=person.user, kid=grounds.kid)
        return Admitted(identity, grounds, app.project, app.id, token, app.policy, row, person.email)

    async def _earlier(self, app: App, earlier: str | None) -> UserId | None:
        """Return the anonymous visitor that this browser was, if it shows a credential of ours that still lives."""
        if not earlier:
            return None
        try:
            held = credentials.read(earlier, self._parts.credential_ring, self._parts.node.now())
            if held.kind != "anonymous" or held.project != app.project:
                return None
            await self._require_unmarked(held)
        except PeerError:
            return None
        return held.user

    # What all share

    def _row_for(self, caller: Caller, row: SessionRow) -> SessionRow:
        if not caller.live and row.bound_at:
            # An exchange over HTTP only looks: it must not hide the socket that the session has elsewhere.
            return row
        node = self._parts.node.id if caller.live else NodeId("")
        return msgspec.structs.replace(
            here(row, node), bound_at=0, origin=caller.origin or "", address_block=address_block(caller.address),
            page=caller.page, facts=caller.facts, client=caller.client, can_refresh=caller.can_refresh,
        )  # fmt: skip

    async def bind_row(self, grounds: Grounds, caller: Caller, app: AppId, expires_at: UnixMs) -> SessionRow:
        """Write the row of an anonymous session that is about to say its first words."""
        row = self._row_for(
            caller,
            SessionRow(
                project=grounds.project, user=grounds.user, app=app, expires_at=expires_at, signed_at=grounds.signed_at
            ),
        )
        return await self._bind(grounds.session, row, self._parts.node.trust.applied, lambda: self._judge(grounds))

    async def _bind(
        self, session: SessionId, row: SessionRow, version: Version, judge: Callable[[], None] | None, read_at: int = 0
    ) -> SessionRow:
        """Bind, and where ``judge`` can judge again by itself, repeat after catching up."""
        partition = schema.partition_of_user(ProjectId(row.project), UserId(row.user))
        for _ in range(ATTEMPTS):
            try:
                return await self._parts.sessions.bind(session, row, version, self._parts.node.now(), read_at)
            except Withdrawn as error:
                raise trust_gone(ended(error.mark)) from error
            except Stale as stale:
                if judge is None:
                    raise
                await self._parts.node.catch_up(stale, partition)
                version = self._parts.node.trust.applied
                judge()
        raise SessionUnknown

    def _judge(self, grounds: Grounds) -> None:
        code = self._parts.node.judge(grounds)
        if code is not None:
            raise trust_gone(code)


def external(verified: tokens.Verified) -> Identifier:
    """Return what a canonical token names its person by."""
    return Identifier("external_id", verified.external_id)


def new_session() -> SessionId:
    return SessionId("ses_" + secrets.token_hex(10))


def new_user() -> UserId:
    return UserId("usr_" + secrets.token_hex(10))
