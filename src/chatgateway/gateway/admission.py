"""What every way of becoming somebody ends with: a row that is bound, a judgement, and who one is now.

The order is the rule. A session joins the roster before it is bound, and the bind carries the version at which the
token was verified: behind the fence it is refused as stale, the node catches up and everything is judged again. When
the bind has answered, the session is judged a last time before it is live. Bound first and joined after, a session
would outlive its key in one of ten interleavings.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from chatgateway.core.credential import Credential
from chatgateway.core.identity import Agent, Anonymous, Authenticated, admitted
from chatgateway.core.person import Person
from chatgateway.core.rotation import Grounds, ended, trust_gone
from chatgateway.errors import SessionUnknown, Stale, Withdrawn
from chatgateway.store import schema
from chatgateway.store.sessions import SessionRow, address_block, here
from chatgateway.types import (
    AppId,
    Assurance,
    ConversationId,
    NodeId,
    Policy,
    ProjectId,
    SessionId,
    UnixMs,
    UserId,
    Version,
)

if TYPE_CHECKING:
    from chatgateway.gateway.connection import Caller
    from chatgateway.gateway.parts import Parts

ATTEMPTS = 4
"""How often fences may rise during one sign-in."""


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
    person: Person | None = None
    """What is recorded of them; None for agents and for strangers without a record."""
    presented: Credential | None = None
    """The anonymous credential that was shown live with the customer token: what adoption rests on."""
    adoptable: tuple[ConversationId, ...] = ()
    """Conversations begun before signing in that this session holds."""

    @property
    def email(self) -> str:
        return self.person.email if self.person is not None else ""

    @property
    def meets_policy(self) -> bool:
        """May they read and write? A stranger is let in under policy ``email`` to prove an address, and for no more."""
        return admitted(self.policy, self.identity.assurance)

    @property
    def email_proved(self) -> bool:
        return self.person is not None and self.person.email_proved


class Held(NamedTuple):
    """A signed-in session that is live already."""

    session: SessionId
    row: SessionRow


Join = Callable[[Grounds], None]
"""Enter the roster under these grounds; called before anything is bound."""


def nobody_joins(_: Grounds) -> None:
    """No socket rests on an exchange or a visit over HTTP: a session joins when its socket comes."""


class Admission:
    """Binds sessions on this node."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def row_for(self, caller: Caller, row: SessionRow) -> SessionRow:
        if not caller.live and row.bound_at:
            # An exchange over HTTP only looks: it must not hide the socket that the session has elsewhere.
            return row
        node = self._parts.node.id if caller.live else NodeId("")
        return msgspec.structs.replace(
            here(row, node), bound_at=0, origin=caller.origin or "", address_block=address_block(caller.address),
            page=caller.page, facts=caller.facts, client=caller.client, can_refresh=caller.can_refresh,
        )  # fmt: skip

    async def bind_row(
        self, grounds: Grounds, caller: Caller, app: AppId, expires_at: UnixMs, assurance: Assurance = "anonymous"
    ) -> SessionRow:
        """Write the row of an anonymous session that is about to say its first words."""
        row = self.row_for(
            caller,
            SessionRow(
                project=grounds.project,
                user=grounds.user,
                app=app,
                expires_at=expires_at,
                signed_at=grounds.signed_at,
                assurance=assurance,
            ),
        )
        return await self.bind(grounds.session, row, self._parts.node.trust.applied, lambda: self.judge(grounds))

    async def bind(
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

    def judge(self, grounds: Grounds) -> None:
        code = self._parts.node.judge(grounds)
        if code is not None:
            raise trust_gone(code)


def new_session() -> SessionId:
    return SessionId("ses_" + secrets.token_hex(10))
