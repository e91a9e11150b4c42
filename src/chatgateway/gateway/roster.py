"""Who is connected to this node, findable by everything that trust may be withdrawn from.

A group is the connections that rest on one signing key: withdrawing trust in the key marks the group, in O(1), and no
member of a marked group is handed anything any more, long before its socket is closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

from chatgateway.close_codes import CloseCode
from chatgateway.core.rotation import ControlEntry, Grounds
from chatgateway.types import AgentId, KeyId, ProjectId, SessionId, UserId

if TYPE_CHECKING:
    from chatgateway.gateway.connection import Connection


_Key = TypeVar("_Key")


class Group:
    """The connections that rest on one key. ``withdrawn`` is the mark."""

    __slots__ = ("__weakref__", "members", "withdrawn")

    def __init__(self) -> None:
        self.members: set[Connection] = set()
        self.withdrawn: CloseCode | None = None


NOBODYS = Group()
"""Of connections that rest on no customer's key. Never marked."""


class Roster:
    """The connections of one node."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self._keys: dict[tuple[ProjectId, KeyId], Group] = {}
        self._groups: WeakValueDictionary[tuple[ProjectId, KeyId], Group] = WeakValueDictionary()
        """Every group that anybody still looks at. Who left one while signing out does, and must see its mark."""
        self._people: defaultdict[tuple[ProjectId, UserId], set[Connection]] = defaultdict(set)
        self._agents: defaultdict[AgentId, set[Connection]] = defaultdict(set)
        self._sessions: defaultdict[SessionId, set[Connection]] = defaultdict(set)
        self._projects: defaultdict[ProjectId, set[Connection]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self.connections)

    def join(self, connection: Connection, grounds: Grounds) -> Group:
        """Enter a connection under its grounds, before it is bound, and return the group to look at when delivering."""
        self._sessions[grounds.session].add(connection)
        if grounds.agent is not None:
            self._agents[grounds.agent].add(connection)
            return NOBODYS
        self._people[grounds.project, grounds.user].add(connection)
        self._projects[grounds.project].add(connection)
        if grounds.kid is None:
            return NOBODYS
        group = self._keys[grounds.project, grounds.kid] = self._group(grounds.project, grounds.kid)
        group.members.add(connection)
        return group

    def leave(self, connection: Connection, grounds: Grounds) -> None:
        """Forget a connection under these grounds."""
        _discard(self._sessions, grounds.session, connection)
        if grounds.agent is not None:
            _discard(self._agents, grounds.agent, connection)
            return
        _discard(self._people, (grounds.project, grounds.user), connection)
        _discard(self._projects, grounds.project, connection)
        if grounds.kid is not None:
            group = self._keys.get((grounds.project, grounds.kid))
            if group is not None:
                group.members.discard(connection)
                if not group.members and group.withdrawn is None:
                    del self._keys[grounds.project, grounds.kid]

    def mark_key(self, project: ProjectId, kid: KeyId, code: CloseCode) -> Group:
        """Withdraw trust in a key: from now on nothing is handed to its group. The group, marked, stays known."""
        group = self._keys[project, kid] = self._group(project, kid)
        group.withdrawn = code
        return group

    def _group(self, project: ProjectId, kid: KeyId) -> Group:
        group = self._groups.get((project, kid))
        if group is None:
            group = self._groups[project, kid] = Group()
        return group

    def concerned(self, entry: ControlEntry) -> set[Connection]:
        """Return the connections whose trust an entry may withdraw."""
        match entry.kind:
            case "key":
                group = self._keys.get((entry.project, KeyId(entry.subject)))
                return set(group.members) if group is not None else set()
            case "agent":
                return set(self._agents.get(AgentId(entry.subject), ()))
            case "person":
                return set(self._people.get((entry.project, UserId(entry.subject)), ()))
            case "session":
                return set(self._sessions.get(SessionId(entry.subject), ()))
            case "project":
                return set(self._projects.get(entry.project, ()))

    def holds(self, session: SessionId) -> bool:
        """Is there still a connection of this session here?"""
        return bool(self._sessions.get(session))

    def of_session(self, session: SessionId) -> set[Connection]:
        return set(self._sessions.get(session, ()))

    def of_person(self, project: ProjectId, user: UserId) -> set[Connection]:
        return set(self._people.get((project, user), ()))

    def visitors(self, project: ProjectId) -> set[Connection]:
        return set(self._projects.get(project, ()))

    def agents(self) -> Iterator[Connection]:
        """Yield the agents' connections."""
        for group in self._agents.values():
            yield from group


def _discard(index: dict[_Key, set[Connection]], key: _Key, member: Connection) -> None:
    group = index.get(key)
    if group is not None:
        group.discard(member)
        if not group:
            del index[key]
