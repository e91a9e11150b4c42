"""Who is still trusted, according to what a node has heard of the control log.

Withdrawing trust in a key, an agent, a person, a session or a project is one entry of the control log. A node applies
entries in order and never unlearns one. A session rests on grounds (the key that vouched for it, the person it is,
when it was judged); judging it compares the grounds with everything applied so far. Whoever judges carries the version
that was applied at that moment into every write, and a partition whose fence is higher refuses the write as stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from chatgateway.close_codes import CloseCode
from chatgateway.errors import (
    AppUnknown,
    Forbidden,
    IdentityChanged,
    IdentityErased,
    KeyRevoked,
    PeerError,
    SignedOut,
    UserRevoked,
)
from chatgateway.types import AgentId, KeyId, ProjectId, SessionId, UnixMs, UserId, Version

ControlKind = Literal["key", "agent", "person", "session", "project"]
"""What trust an entry withdraws. Of these, key, agent and project raise every partition's fence; a person's or a
session's mark stands in the partitions that matter, and the entry only tells nodes whose sockets to end."""

RETRY_AFTER_REVOKED_MS = (30_000, 300_000)
"""A page goes on signing with the old secret until its server is redeployed; its tabs come back spread over this."""

REVOKED_IS_NEWS_MS = 24 * 3_600_000
"""How long a token of a revoked key is answered ``key_revoked``, so that open tabs heal by themselves."""


@dataclass(frozen=True, slots=True)
class ControlEntry:
    """One withdrawal of trust. ``entry`` is its random id: ids are compared, not versions, when history may have been
    rewound. ``why`` is for people: "regenerated", "revoked", "removed", "password_changed", "signed_out", "blocked"."""

    entry: str
    kind: ControlKind
    project: ProjectId
    subject: str
    why: str
    at: UnixMs
    version: Version = Version(0)


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a session's trust rests on. ``judged`` is the version that was applied when its token was verified."""

    session: SessionId
    user: UserId
    project: ProjectId
    """Empty for agents, who answer for several."""
    signed_at: UnixMs
    kid: KeyId | None = None
    agent: AgentId | None = None
    judged: Version = Version(0)


@dataclass(frozen=True, slots=True)
class Trust:
    """Everything that was withdrawn, as far as this node has applied the control log.

    A change returns a new value, so set, mark and advance happen in one assignment.
    """

    applied: Version = Version(0)
    entry: str = ""
    """Id of the entry at ``applied``."""
    keys: Mapping[ProjectId, frozenset[KeyId]] = field(default_factory=dict[ProjectId, frozenset[KeyId]])
    agents: Mapping[AgentId, Version] = field(default_factory=dict[AgentId, Version])
    removed_agents: frozenset[AgentId] = frozenset()
    people: Mapping[tuple[ProjectId, UserId], tuple[UnixMs, str]] = field(
        default_factory=dict[tuple[ProjectId, UserId], tuple[UnixMs, str]]
    )
    """Up to which instant, and why, what a person signed in with is worth nothing."""
    blocked: frozenset[tuple[ProjectId, UserId]] = frozenset()
    sessions: Mapping[SessionId, str] = field(default_factory=dict[SessionId, str])
    projects: frozenset[ProjectId] = frozenset()

    def apply(self, entries: Iterable[ControlEntry]) -> Trust:
        """Return the trust after these entries, which must follow ``applied`` in order. Older ones are ignored."""
        keys, agents, people, sessions = dict(self.keys), dict(self.agents), dict(self.people), dict(self.sessions)
        removed, blocked, projects = set(self.removed_agents), set(self.blocked), set(self.projects)
        applied, last = self.applied, self.entry
        for entry in entries:
            if entry.version <= applied:
                continue
            match entry.kind:
                case "key":
                    keys[entry.project] = keys.get(entry.project, frozenset()) | {KeyId(entry.subject)}
                case "agent":
                    agents[AgentId(entry.subject)] = entry.version
                    if entry.why == "removed":
                        removed.add(AgentId(entry.subject))
                case "person":
                    person = (entry.project, UserId(entry.subject))
                    if entry.why == "blocked":
                        blocked.add(person)
                    elif entry.why == "unblocked":
                        blocked.discard(person)
                    elif person not in people or people[person][0] <= entry.at:
                        people[person] = (entry.at, entry.why)
                case "session":
                    sessions[SessionId(entry.subject)] = entry.why
                case "project":
                    projects.add(entry.project)
            applied, last = entry.version, entry.entry
        return Trust(
            applied, last, keys, agents, frozenset(removed), people, frozenset(blocked), sessions, frozenset(projects)
        )

    def revoked_keys(self, project: ProjectId) -> frozenset[KeyId]:
        """Return the kids of ``project`` that verify nothing any more, whatever a ring read earlier says."""
        return self.keys.get(project, frozenset())

    def judge(self, grounds: Grounds) -> CloseCode | None:
        """Return None while the session may go on, else the code that it ends with."""
        if grounds.agent is not None:
            if self.agents.get(grounds.agent, Version(0)) > grounds.judged:
                return CloseCode.FORBIDDEN if grounds.agent in self.removed_agents else CloseCode.USER_REVOKED
            return ended(self.sessions[grounds.session]) if grounds.session in self.sessions else None
        if grounds.kid is not None and grounds.kid in self.revoked_keys(grounds.project):
            return CloseCode.KEY_REVOKED
        if grounds.project in self.projects:
            return CloseCode.APP_UNKNOWN
        person = (grounds.project, grounds.user)
        if person in self.blocked:
            return ended("blocked")
        mark = self.people.get(person)
        # A stranger who signed out is nobody any more, also by a credential that was minted in that very moment.
        if mark is not None and (grounds.kid is None or grounds.signed_at <= mark[0]):
            return ended(mark[1], anonymous=grounds.kid is None)
        if grounds.session in self.sessions:
            return ended(self.sessions[grounds.session])
        return None


def ended(why: str, *, anonymous: bool = False) -> CloseCode:
    """Return the close code that tells a session's browser why it was ended.

    Someone signed in may come back with a fresh token; a signed-out anonymous visitor has nothing to come back with.
    """
    match why:
        case "blocked":
            return CloseCode.FORBIDDEN
        case "signed_out":
            return CloseCode.SIGNED_OUT if anonymous else CloseCode.USER_REVOKED
        case "session_signed_out":
            return CloseCode.SIGNED_OUT
        case "erased":
            return CloseCode.IDENTITY_ERASED
        case "adopted":
            return CloseCode.IDENTITY_CHANGED
        case _:
            return CloseCode.USER_REVOKED


def concerns(entry: ControlEntry, grounds: Grounds) -> bool:
    """Does ``entry`` withdraw trust that this session rests on? (For counting who ended because of it.)"""
    return Trust().apply([entry]).judge(grounds) is not None


def raises_fences(kind: ControlKind) -> bool:
    return kind in ("key", "agent", "project")


def trust_gone(code: CloseCode) -> PeerError:
    """Return the refusal that says why trust is gone."""
    match code:
        case CloseCode.KEY_REVOKED:
            return KeyRevoked()
        case CloseCode.FORBIDDEN:
            return Forbidden("This person was blocked.")
        case CloseCode.SIGNED_OUT:
            return SignedOut()
        case CloseCode.APP_UNKNOWN:
            return AppUnknown()
        case CloseCode.IDENTITY_ERASED:
            return IdentityErased()
        case CloseCode.IDENTITY_CHANGED:
            return IdentityChanged("This visitor signed in and kept the chat; start anew.")
        case _:
            return UserRevoked()
