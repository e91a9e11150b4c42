"""Who is on the other end, and what it takes to become somebody else.

An identity is bound to a session and judged with it: whoever signed in with a key is no longer that person when the
key is withdrawn. A session is never silently anonymous again.
"""

from __future__ import annotations

from dataclasses import dataclass

from chatgateway.types import AgentId, Assurance, KeyId, Policy, ProjectId, Role, UnixMs, UserId


@dataclass(frozen=True, slots=True)
class Anonymous:
    """A visitor who showed nothing but the credential that the gateway itself minted."""

    user: UserId
    expires_at: UnixMs
    email: str = ""
    """The address that this visitor proved to control; it opens nobody's history."""

    @property
    def assurance(self) -> Assurance:
        return "email" if self.email else "anonymous"

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


def admitted(policy: Policy, assurance: Assurance) -> bool:
    """Does somebody of this assurance meet what an app demands before they read or write?"""
    match policy:
        case "anyone":
            return True
        case "email":
            return assurance != "anonymous"
        case "signed":
            return assurance in ("signed", "agent")
