"""What a project, an app and an agent are, and which names they may carry.

A project is the tenant: its people, conversations, agents and keys. An app is one place where it meets visitors.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import Literal

from chatgateway.types import AgentId, AppId, Policy, ProjectId, UnixMs

NAME_MAX = 100
"""Characters in the name of a project, an app or an agent: one line of a terminal."""

AgentRole = Literal["agent", "admin"]

Enforcement = Literal["off", "report", "on"]
"""A rule that is not asked, one that only reports whom it would refuse, or one that refuses."""

AdoptionPolicy = Literal["ask", "never", "carry_over"]
"""What becomes of a chat begun before signing in: the visitor is asked, it stays apart, or it is adopted unasked."""


@dataclass(frozen=True, slots=True)
class Project:
    """The tenant."""

    id: ProjectId
    name: str
    test: bool = False
    """Its secrets say ``cgs_test_``, so that nobody takes them for the real ones."""
    created_at: UnixMs = UnixMs(0)
    identify_by_email: bool = False
    """A signed, verified address names a person too. Off: an address is a fact about somebody, never who they are."""


@dataclass(frozen=True, slots=True)
class App:
    """One place where a project meets visitors: a site, a mobile app."""

    id: AppId
    project: ProjectId
    name: str
    origins: tuple[str, ...] = ()
    """Pages that may embed it, as core/origin.py writes them."""
    policy: Policy = "anyone"
    profile: str = "canonical"
    """Name of the claims profile that reads this app's customer tokens."""
    absent_origin_ok: bool = False
    """A client that sends no Origin (a mobile app, a server) may connect."""
    developer_mode: bool = False
    """Tell the client the precise reason why a token was rejected."""
    created_at: UnixMs = UnixMs(0)
    policy_reported: Policy | None = None
    """A stricter policy that refuses nobody yet: it lists who would be refused."""
    require_expiry: Enforcement = "off"
    """For profiles that take tokens without ``exp``: report, or refuse, those that have none."""
    adoption: AdoptionPolicy = "ask"
    one_time_tokens: bool = False
    """A token is good for one exchange: it must carry ``jti``, and the second one is refused."""


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """Somebody who answers for projects, as the store remembers them."""

    id: AgentId
    name: str
    role: AgentRole = "agent"
    projects: tuple[ProjectId, ...] = ()
    password: str = field(default="", repr=False)
    """Argon2id in PHC form; empty means that only a login link lets this agent in."""
    epoch: int = 1
    """Grows when the password changes: console sessions, links and tickets of an earlier epoch are dead."""
    created_at: UnixMs = UnixMs(0)

    @property
    def admin(self) -> bool:
        """Whether this agent may also change the project."""
        return self.role == "admin"

    def serves(self, project: ProjectId) -> bool:
        """Whether this agent answers for ``project``."""
        return project in self.projects


def checked_name(name: str) -> str:
    """Return ``name`` in NFC, without white space at its ends.

    Raises ValueError for an empty one, one of more than ``NAME_MAX`` characters, or one with unprintable characters.
    """
    tidy = unicodedata.normalize("NFC", name).strip()
    if not tidy:
        raise ValueError("a name is needed")
    if len(tidy) > NAME_MAX:
        raise ValueError(f"a name has at most {NAME_MAX} characters")
    if not tidy.isprintable():
        raise ValueError("a name has printable characters only")
    return tidy


def folded(name: str) -> str:
    """Return what two names share that a person would call the same: ``Maria`` and ``maria`` are one agent."""
    return unicodedata.normalize("NFKC", checked_name(name)).casefold()
