"""Turn what a project's own server vouches for into a session: verify, find the person, join, bind, judge once more.

The server vouches by a token that the browser brings, or by asking for a session itself with an admin token (a grant).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from chatgateway.close_codes import CloseCode
from chatgateway.core import credential as credentials
from chatgateway.core import token as tokens
from chatgateway.core.compact import Reason, refused
from chatgateway.core.credential import Credential
from chatgateway.core.doctor import SENTENCES, finding_of
from chatgateway.core.identity import Authenticated
from chatgateway.core.person import Description, Identifier, Person, folded_email
from chatgateway.core.profiles import PROFILES
from chatgateway.core.project import App, Project
from chatgateway.core.rotation import Grounds
from chatgateway.errors import Forbidden, IdentityChanged, IdentityConflict, PeerError, Stale, StoreError, TokenRejected
from chatgateway.gateway.admission import ATTEMPTS, Admitted, Held, Join, new_session
from chatgateway.gateway.keysets import Judged
from chatgateway.log import log
from chatgateway.store import schema
from chatgateway.store.identifiers import new_user
from chatgateway.store.sessions import SessionRow
from chatgateway.types import ConversationId, KeyId, ProjectId, UnixMs, UserId, Version

if TYPE_CHECKING:
    from chatgateway.gateway.connection import Caller
    from chatgateway.gateway.parts import Parts


SPENT_MS = max(profile.max_life_ms + 2 * profile.leeway_ms for profile in PROFILES.values())
"""For how long a token that is good once may be good at all, whichever app reads it."""


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whom the project's server names, and what its word rests on."""

    kid: KeyId
    """The key that signed, or the admin token that asked: withdrawing it ends the session."""
    identifiers: tuple[Identifier, ...]
    description: Description
    version: Version
    """Applied when this was judged."""
    session_max_ms: int


class Exchange:
    """Customer tokens, and grants by a project's server."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def signed(
        self,
        caller: Caller,
        project: Project,
        app: App,
        token: str,
        before: Credential | None,
        must_be: UserId | None,
        join: Join,
        held: Held | None,
    ) -> Admitted:
        """Return who a customer token speaks for. ``before``: the anonymous credential that came with it.

        Raises PeerError, StoreError.
        """
        spent = False
        for attempt in range(ATTEMPTS):
            verified, version = await self._accepted(app, token, spend=app.one_time_tokens and not spent)
            spent = True
            vouched = self._vouched(project, verified, version)
            try:
                admitted = await self.bound(caller, app, vouched, must_be, join, held, before)
            except Stale as stale:
                if attempt == ATTEMPTS - 1:
                    raise
                await self.catch_up(stale, app.project, vouched.identifiers)
            except IdentityConflict:
                self._parts.reports.conflict(app.project, app.id, vouched.identifiers)
                raise
            else:
                if app.require_expiry == "report" and "exp_missing" in verified.warnings:
                    self._parts.reports.note(
                        app.project, app.id, "require_expiry", origin=caller.origin or "",
                        user=admitted.identity.user, detail="exp_missing",
                    )  # fmt: skip
                await self._parts.keyrings.touch(app.project, vouched.kid, self._parts.node.now())
                return admitted
        raise AssertionError("unreachable")

    async def catch_up(self, stale: Stale, project: ProjectId, identifiers: tuple[Identifier, ...]) -> None:
        """Hear what was withdrawn since these were judged; whoever judged then has changed nobody, and judges anew."""
        partition = stale.partition
        if partition is None:  # the person's own refused to bind
            user = await self._parts.identities.identify(project, identifiers, new_user())
            partition = schema.partition_of_user(project, user)
        await self._parts.node.catch_up(stale, partition)

    async def bound(
        self,
        caller: Caller,
        app: App,
        vouched: Vouched,
        must_be: UserId | None,
        join: Join,
        held: Held | None,
        before: Credential | None,
    ) -> Admitted:
        """Find the person, join, bind, judge; everything carries the version that verified. Raises Stale."""
        parts, version = self._parts, vouched.version
        person = await parts.identities.find_or_create(
            app.project, vouched.identifiers, vouched.description, new_user(), version
        )
        if person.blocked:
            raise Forbidden("This person was blocked.")
        if must_be is not None and person.user != must_be:
            raise IdentityChanged
        # A refreshed session goes on holding the chat that was begun before it signed in.
        earlier = before.user if before else UserId(held.row.earlier) if held and held.row.earlier else None
        session = held.session if held is not None else new_session()
        now = parts.node.now()
        grounds = Grounds(session, person.user, app.project, now, kid=vouched.kid, judged=version)
        join(grounds)
        row = parts.admission.row_for(
            caller,
            SessionRow(
                project=app.project, user=person.user, app=app.id, kid=vouched.kid, assurance="signed",
                expires_at=now + vouched.session_max_ms, earlier=earlier or "",
            ),
        )  # fmt: skip
        row = await parts.admission.bind(session, row, version, None)
        grounds = Grounds(session, person.user, app.project, UnixMs(row.signed_at), kid=vouched.kid, judged=version)
        join(grounds)
        parts.admission.judge(grounds)
        adoptable: tuple[ConversationId, ...] = ()
        if before is not None and app.adoption != "never":
            try:
                adoptable = await parts.claims.claim(before, person, grounds, version)
                parts.admission.judge(grounds)
            except (PeerError, StoreError):
                # It was bound and comes to nothing: agents must not see somebody there who is not.
                parts.errands.row_closed(session, row, CloseCode.INTERNAL)
                raise
        return self._authenticated(app, person, grounds, row, earlier, before, adoptable)

    async def _accepted(self, app: App, token: str, *, spend: bool) -> Judged:
        """Return whom the token speaks for, when the app takes it too. Whatever refuses it is logged here.

        Raises PeerError, StoreError.
        """
        try:
            judged = await self._parts.signers.verified(app, token)
            verified = judged.verified
            if app.require_expiry == "on" and "exp_missing" in verified.warnings:
                raise refused("exp_missing")
            if spend:
                await self._spend(app, verified)
        except PeerError as error:
            log.info("token.refused", project=app.project, app=app.id, code=error.code, detail=error.detail)
            if app.developer_mode and isinstance(error, TokenRejected):
                raise TokenRejected(_explained(error.detail), detail=error.detail) from error
            raise
        if verified.role_like or verified.warnings:
            told = ",".join((*verified.role_like, *verified.warnings))
            log.info("token.doubted", project=app.project, app=app.id, kid=verified.kid, detail=told)
        return judged

    def _vouched(self, project: Project, verified: tokens.Verified, version: Version) -> Vouched:
        said = verified.description
        identifiers = verified.identifiers
        if project.identify_by_email and said.email and said.email_proved:
            identifiers = (*identifiers, Identifier("email", folded_email(said.email)))
        life_ms = self._parts.settings.session_minutes * 60_000
        life_ms = min(life_ms, verified.session_max_ms or life_ms)
        return Vouched(verified.kid, identifiers, said, version, life_ms)

    async def _spend(self, app: App, verified: tokens.Verified) -> None:
        """Take a token that is good once. What counts is ``jti``: the text of a signature can be written otherwise."""
        if not verified.token_id:
            raise refused("jti_missing")
        # Another app may read its end otherwise: remembered for as long as the most patient of them.
        until = UnixMs(max(verified.expires_at, self._parts.node.now() + SPENT_MS))
        if not await self._parts.identities.spend(app.project, verified.kid, verified.token_id, until):
            raise refused("used_before")

    def _authenticated(
        self,
        app: App,
        person: Person,
        grounds: Grounds,
        row: SessionRow,
        earlier: UserId | None,
        presented: Credential | None,
        adoptable: tuple[ConversationId, ...],
    ) -> Admitted:
        assert grounds.kid is not None
        now = self._parts.node.now()
        held = credentials.signed(grounds.session, person.user, app.project, app.id, now, until=UnixMs(row.expires_at))
        identity = Authenticated(
            user=person.user, kid=grounds.kid, expires_at=held.expires_at, name=person.name, email=person.email,
            earlier=earlier,
        )  # fmt: skip
        token = credentials.mint(held, self._parts.credential_ring)
        log.info("session.bound", project=app.project, session=grounds.session, user=person.user, kid=grounds.kid)
        return Admitted(identity, grounds, app.project, app.id, token, app.policy, row, person, presented, adoptable)


def _explained(reason: str) -> str:
    """Return what developer mode tells of a refusal: the verifier's word, and the token doctor's sentence for it."""
    told = finding_of(cast(Reason, reason)).sentence if reason in SENTENCES else ""
    return f"The token was rejected ({reason}). {told}".rstrip()
