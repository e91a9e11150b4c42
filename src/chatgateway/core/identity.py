"""Who is on the other end, and what it takes to become somebody else.

An identity is bound to a session and judged with it: whoever signed in with a key is no longer that person when the
key is withdrawn. A session is never silently anonymous again.
"""

from __future__ import annotations

from dataclasses import dataclass

from chatgateway.types import AgentId, Assurance, ExternalId, KeyId, ProjectId, Role, UnixMs, UserId


@dataclass(frozen=True, slots=True)
class Person:
    """What a project knows of somebody. Signed fields win over everything a page says."""

    user: UserId
    external_id: ExternalId = ExternalId("")
    name: str = ""
    email: str = ""
    email_proved: bool = False
    signed: tuple[str, ...] = ()
    """Names of the fields that came in a signed token."""
    created_at: UnixMs = UnixMs(0)
    updated_at: UnixMs = UnixMs(0)
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Anonymous:
    """A visitor who showed nothing but the credential that the gateway itself minted."""

    user: UserId
    expires_at: UnixMs

    @property
    def assurance(self) -> Assurance:
        return "anonymous"

    @property
    def role(self) -> Role:
        return "visitor"

    @property
    def name(self) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A visitor whose name was signed by the project's server with key ``kid``."""

    user: UserId
    kid: KeyId
    expires_at: UnixMs
    """When the session's trust ends unless a fresh customer token renews it."""
    name: str = ""
    email: str = ""
    earlier: UserId | None = None
    """The anonymous visitor that this session was before it signed in."""

    @property
    def assurance(self) -> Assurance:
        return "signed"

    @property
    def role(self) -> Role:
        return "visitor"


@dataclass(frozen=True, slots=True)
class Agent:
    """Somebody who answers for projects."""

    user: UserId
    agent: AgentId
    name: str
    projects: frozenset[ProjectId]
    expires_at: UnixMs
    admin: bool = False
    away: bool = False

    @property
    def assurance(self) -> Assurance:
        return "agent"

    @property
    def role(self) -> Role:
        return "agent"


Identity = Anonymous | Authenticated | Agent
