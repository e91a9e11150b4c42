"""Who may come in, and as whom: agents by ticket, strangers, those who come back; customer tokens go to exchange.py."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from chatgateway.core import credential as credentials
from chatgateway.core.credential import Credential
from chatgateway.core.identity import Agent, Anonymous, Authenticated, admitted
from chatgateway.core.keyring import is_secret_like
from chatgateway.core.origin import allowed, normalise
from chatgateway.core.project import App, Project
from chatgateway.core.rotation import Grounds
from chatgateway.errors import (
    AppUnknown,
    Conflict,
    Forbidden,
    IdentityErased,
    NotFound,
    OriginForbidden,
    PeerError,
    SessionUnknown,
    SignedOut,
    TokenRejected,
)
from chatgateway.gateway.admission import ATTEMPTS, Admitted, Held, Join, new_session
from chatgateway.log import log
from chatgateway.store.identifiers import new_user
from chatgateway.types import AppId, KeyId, Policy, ProjectId, SessionId, UnixMs, UserId

if TYPE_CHECKING:
    from chatgateway.gateway.connection import Caller
    from chatgateway.gateway.parts import Parts

TICKET_PREFIX = "cgt_"
AGENT_SESSION_MS = 12 * 3_600_000


def refuse_secret(caller: Caller, text: str) -> None:
    """Alarm when a project's secret arrives where a token is expected. Raises TokenRejected."""
    if is_secret_like(text):
        log.error("secret.arrived", app=caller.app, origin=caller.origin, address=caller.address)
        raise TokenRejected("A signing secret arrived instead of a token. It is exposed: regenerate it now.")


def not_listed(origin: str | None, app: AppId) -> str:
    """Return what the developer of a page that is not on the app's list is told."""
    if origin is None:
        return (
            "This request says no Origin, as browsers do and other clients do not; let those in with: "
            f"chatgateway app set {app} --absent-origin"
        )
    try:
        spelled = normalise(origin)  # and nothing that a shell would read as more
    except OriginForbidden:
        return f"What this page calls its origin is none, so it cannot be on the list of {app}."
    return (
        f"This page's origin {spelled} is not on the list of {app}; "
        f"add it with: chatgateway app set {app} --origin {spelled}"
    )


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
        if token is not None:
            refuse_secret(caller, token)
        if token is not None and token.startswith(TICKET_PREFIX):
            return await self._agent(caller, token, join)
        project, app = await self.place(caller)
        if token is None:
            return self._stranger(caller, app, join)
        if token.startswith(credentials.PREFIX):
            return await self._returning(caller, app, token, join)
        before = await self._earlier(app, earlier)
        return await self._parts.exchange.signed(caller, project, app, token, before, must_be, join, held)

    async def departing(self, caller: Caller, token: str, join: Join) -> Admitted:
        """Return whose session token this is, wherever they knock: who may not come in any more may still go.

        Raises PeerError, StoreError.
        """
        held = credentials.read(token, self._parts.credential_ring, self._parts.node.now())
        return await self._returning(caller, App(held.app, held.project, name=""), token, join)

    async def place(self, caller: Caller) -> tuple[Project, App]:
        """Return where the caller knocks, if its page may. Raises AppUnknown, OriginForbidden, StoreError."""
        try:
            project, app = await self._parts.projects.get_app(AppId(caller.app))
        except NotFound as error:
            raise AppUnknown from error
        if (
            not allowed(caller.origin, app.origins, app.absent_origin_ok)
            and caller.origin not in self._parts.own_origins
        ):
            raise OriginForbidden(not_listed(caller.origin, app.id), detail=caller.origin or "absent")
        if app.project in self._parts.node.trust.projects:
            raise AppUnknown
        return project, app

    # Agents

    async def _agent(self, caller: Caller, ticket: str, join: Join) -> Admitted:
        judged = self._parts.node.trust.applied
        record, session = await self._parts.agents.redeem_ticket(ticket)
        now = self._parts.node.now()
        user = UserId(record.id)
        grounds = Grounds(session, user, ProjectId(""), now, agent=record.id, judged=judged)
        join(grounds)
        self._parts.admission.judge(grounds)
        identity = Agent(
            user=user, agent=record.id, name=record.name, projects=frozenset(record.projects),
            expires_at=UnixMs(now + AGENT_SESSION_MS), admin=record.role == "admin",
        )  # fmt: skip
        return Admitted(identity, grounds, ProjectId(""), AppId(caller.app), token="")

    # Strangers and those who come back

    def _stranger(self, caller: Caller, app: App, join: Join) -> Admitted:
        self._require_policy(caller, app, "")
        now = self._parts.node.now()
        fresh = credentials.anonymous(new_session(), new_user(), app.project, app.id, now, self._anonymous_ms)
        return self._anonymous(fresh, fresh.session, app, now, join)

    async def policy_of(self, caller: Caller) -> Policy:
        """Return what the caller's app demands of visitors. Raises AppUnknown, OriginForbidden, StoreError."""
        return (await self.place(caller))[1].policy

    def stranger_after(self, caller: Caller, project: ProjectId, now: UnixMs, policy: Policy, join: Join) -> Admitted:
        """Return the fresh anonymous visitor that a signed-out browser becomes."""
        fresh = credentials.anonymous(new_session(), new_user(), project, AppId(caller.app), now, self._anonymous_ms)
        grounds = Grounds(fresh.session, fresh.user, project, now)
        join(grounds)
        token = credentials.mint(fresh, self._parts.credential_ring)
        return Admitted(Anonymous(fresh.user, fresh.expires_at), grounds, project, AppId(caller.app), token, policy)

    def _anonymous(
        self, held: Credential, session: SessionId, app: App, signed_at: UnixMs, join: Join, email: str = ""
    ) -> Admitted:
        grounds = Grounds(session, held.user, app.project, signed_at)
        join(grounds)
        self._parts.admission.judge(grounds)
        identity = Anonymous(held.user, held.expires_at, email)
        token = credentials.mint(held, self._parts.credential_ring)
        return Admitted(identity, grounds, app.project, app.id, token, app.policy)

    async def _returning(self, caller: Caller, app: App, token: str, join: Join) -> Admitted:
        now = self._parts.node.now()
        held = credentials.read(token, self._parts.credential_ring, now)
        if held.project != app.project:
            raise TokenRejected(detail="session_token_of_another_project")
        if held.kind == "signed":
            return await self._resumed(caller, app, held, token, join)
        await self.require_unmarked(held)
        person = await self._parts.identities.get(held.project, held.user)
        email = person.email if person is not None and person.email_proved else ""
        self._require_policy(caller, app, email, held.user)
        if credentials.needs_renewal(held, now):
            # A short one (an access token) stays short.
            held = held.renewed(now, min(self._anonymous_ms, held.expires_at - held.issued_at))
        # Each socket is a session of its own; all requests with one credential are one.
        session = new_session() if caller.live else held.session
        return self._anonymous(held, session, app, held.issued_at, join, email)

    def _require_policy(self, caller: Caller, app: App, email: str, user: str = "") -> None:
        """Refuse an anonymous visitor where only signed-in people are let in, and report whom a stricter rule would.

        Policy ``email`` lets strangers connect: how else would they prove an address? Their session may do no more.
        """
        if app.policy == "signed":
            raise Forbidden("This app asks every visitor to be signed in before chatting.")
        reported = app.policy_reported
        if reported is not None and not admitted(reported, "email" if email else "anonymous"):
            self._parts.reports.note(app.project, app.id, f"policy {reported}", origin=caller.origin or "", user=user)

    async def require_unmarked(self, held: Credential) -> None:
        """An anonymous credential works without a row, so a sign-out leaves a tombstone instead."""
        marks = await self._parts.sessions.marks(held.project, held.user)
        if "erased" in marks:
            raise IdentityErased  # however young the credential is: it may have been renewed since
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
            self._parts.admission.judge(grounds)
            row = self._parts.admission.row_for(caller, row)
            try:
                row = await self._parts.admission.bind(
                    held.session, row, version, functools.partial(self._parts.admission.judge, grounds), read_at
                )
            except Conflict:
                continue  # refreshed meanwhile, perhaps by another key: what was read must not be written back
            break
        else:
            raise SessionUnknown
        self._parts.admission.judge(grounds)
        person = await self._parts.identities.get(held.project, held.user)
        identity = Authenticated(
            user=held.user, kid=kid, expires_at=held.expires_at,
            name=person.name if person else "", email=person.email if person else "",
            earlier=UserId(row.earlier) if row.earlier else None,
        )  # fmt: skip
        return Admitted(identity, grounds, app.project, app.id, token, app.policy, row, person)

    async def _earlier(self, app: App, earlier: str | None) -> Credential | None:
        """Return the anonymous visitor that this browser was, if it shows a credential of ours that still lives."""
        if not earlier:
            return None
        try:
            held = credentials.read(earlier, self._parts.credential_ring, self._parts.node.now())
            if held.kind != "anonymous" or held.project != app.project:
                return None
            await self.require_unmarked(held)
        except PeerError:
            return None
        return held
