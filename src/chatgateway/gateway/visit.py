"""One HTTP request on behalf of a session: admitted as a socket is, under the same rules, for one answer.

The session token names app and person. What is asked of the store carries the session's judgement, as a connection's
commands do (behalf.py), and goes through the same rules for texts and refs (core/commands.py). A visit that was under
way when trust ended says why, and hands out nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatgateway.close_codes import CloseCode
from chatgateway.core import credential as credentials
from chatgateway.core import effects as fx
from chatgateway.core.commands import Commands
from chatgateway.core.conversation import Head
from chatgateway.core.identity import Anonymous, Authenticated, Identity
from chatgateway.core.rotation import Grounds, Trust, trust_gone
from chatgateway.errors import EmailRequired, Forbidden, PeerError, StoreUnavailable, TokenRejected
from chatgateway.gateway.admission import Admitted, nobody_joins
from chatgateway.gateway.behalf import Ask, appending, marking, paging, tailing
from chatgateway.gateway.connection import Caller
from chatgateway.gateway.signin import refuse_secret
from chatgateway.protocol import frames as f
from chatgateway.store import schema
from chatgateway.store.conversations import Appended, Page, require_conversation
from chatgateway.types import ConversationId, Position, ProjectId, SessionId, UnixMs, UserId

if TYPE_CHECKING:
    from starlette.requests import Request

    from chatgateway.gateway.api.operation import Gate
    from chatgateway.gateway.parts import Parts

SCHEME = "bearer"


class Visit:
    """A session, for the time of one request."""

    def __init__(self, parts: Parts, caller: Caller, admitted: Admitted) -> None:
        self._parts = parts
        self._caller = caller
        self.admitted = admitted
        self._ended: CloseCode | None = None
        self._commands = Commands(parts.rules.text_max_bytes)
        self._commands.partition = schema.partition_of_user(admitted.project, admitted.identity.user)

    def __repr__(self) -> str:
        return f"Visit({self.session_id}, {type(self.identity).__name__.lower()})"

    # On whose behalf (behalf.Principal)

    @property
    def identity(self) -> Identity:
        return self.admitted.identity

    @property
    def grounds(self) -> Grounds:
        return self.admitted.grounds

    @property
    def session_id(self) -> SessionId:
        return self.grounds.session

    @property
    def signed_at(self) -> UnixMs:
        return self.grounds.signed_at

    @property
    def project(self) -> ProjectId:
        return self.admitted.project

    @property
    def user(self) -> UserId:
        return self.identity.user

    def rests_on_withdrawn(self, trust: Trust) -> CloseCode | None:
        return self._ended or trust.judge(self.grounds)

    def end_trust(self, code: CloseCode) -> None:
        self._ended = self._ended or code

    def require_trust(self) -> None:
        """Ask before handing anything out. Raises PeerError when trust has ended, StoreUnavailable without a lease."""
        code = self.rests_on_withdrawn(self._parts.node.trust)
        if code is not None:
            raise trust_gone(code)
        if not self._parts.node.may_act:
            raise StoreUnavailable("this node has no lease")

    # What it may ask

    async def say(self, frame: f.Start | f.Send) -> tuple[ConversationId, Appended]:
        """Store what was said, once per ref; return where. Raises PeerError, StoreError."""
        (order,) = self._commands.order(frame, self.identity, self.project)
        assert isinstance(order, fx.Append)
        ask = appending(self._parts.conversations, order)
        await self._record()
        conversation = ConversationId(order.conversation)
        (stored,) = await self._ask(conversation, ask)
        if isinstance(stored, PeerError):
            raise stored
        return conversation, stored

    async def read(self, frame: f.Read) -> None:
        """Move this person's read mark forward. Raises PeerError, StoreError."""
        order = fx.MarkRead(frame.ref, frame.conversation, frame.seq)
        ask = marking(self._parts.conversations, order, self.identity)
        await self._ask(ConversationId(frame.conversation), ask)

    async def page(self, conversation: str, before: Position | None, limit: int) -> Page:
        """Return entries before a position, or the last ones. Raises PeerError, StoreError."""
        name = require_conversation(conversation)
        if before is None:
            return await self._ask(name, tailing(self._parts.conversations, name, limit))
        return await self._ask(name, paging(self._parts.conversations, fx.FetchHistory("", name, before, limit)))

    async def heads(self) -> list[Head]:
        """Return the conversations that this session may read, the latest first. Raises PeerError, StoreError."""
        heads = await self._parts.desk.heads_of(self.project, self.user, self.earlier, self.session_id)
        self.require_trust()
        return heads

    @property
    def earlier(self) -> UserId | None:
        return self.identity.earlier if isinstance(self.identity, Authenticated) else None

    async def _record(self) -> None:
        """An anonymous visitor has no row in the store before the first words: write it now."""
        if not isinstance(self.identity, Anonymous):
            return
        if await self._parts.sessions.get(self.project, self.user, self.session_id) is None:
            await self._parts.admission.bind_row(
                self.grounds, self._caller, self.admitted.app, self.identity.expires_at
            )

    async def _ask(self, conversation: ConversationId, ask: Ask) -> Any:
        try:
            reply = await self._parts.behalf.ask(self, self.project, conversation, ask)
        except TimeoutError as error:
            raise StoreUnavailable("the store took too long") from error
        except StoreUnavailable:
            self.require_trust()
            raise
        self.require_trust()
        return reply


async def admitted_visit(parts: Parts, caller: Caller, token: str, gate: Gate) -> Visit:
    """Return the session whose token this is, if it may do what lies behind ``gate``. Raises PeerError, StoreError."""
    refuse_secret(caller, token)
    held = credentials.read(token, parts.credential_ring, parts.node.now())
    # A stranger may hold any number of credentials of one identity.
    parts.pace.require_session(held.session if held.kind == "signed" else held.user)
    if not parts.node.may_act:
        raise StoreUnavailable("this node has no lease")
    caller.app = held.app
    if gate == "leaving":
        return Visit(parts, caller, await parts.sign_in.departing(caller, token, nobody_joins))
    visit = Visit(parts, caller, await parts.sign_in.admit(caller, token, None, None, nobody_joins))
    if gate == "policy":
        require_policy(visit.admitted)
    return visit


def require_policy(admitted: Admitted) -> None:
    """Refuse who does not meet what the app demands of those who read and write. Raises EmailRequired, Forbidden."""
    if not admitted.meets_policy:
        raise EmailRequired if admitted.policy == "email" else Forbidden


def bearer_of(request: Request, missing: type[PeerError] = TokenRejected) -> str:
    """Return the token of ``Authorization: Bearer`` (RFC 6750 section 2.1). Raises ``missing`` without one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != SCHEME or not token.strip():
        if missing is TokenRejected:
            raise TokenRejected("A session token is needed (Authorization: Bearer cgv_…); get one from POST /v1/token.")
        raise missing
    return token.strip()
