"""Everybody whom an entry of the control log concerns is found, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from chatgateway.close_codes import CloseCode
from chatgateway.core.rotation import ControlEntry, ControlKind, Grounds
from chatgateway.gateway.roster import NOBODYS, Roster
from chatgateway.types import AgentId, KeyId, ProjectId, SessionId, UnixMs, UserId

PROJECT, OTHER = ProjectId("prj_1"), ProjectId("prj_2")


class Someone:
    """A connection, as far as the roster cares."""


@pytest.fixture
def roster() -> Roster:
    return Roster()


def grounds(session: str, user: str, kid: str | None = None, project: ProjectId = PROJECT) -> Grounds:
    return Grounds(SessionId(session), UserId(user), project, UnixMs(1), KeyId(kid) if kid else None)


def agents(session: str, agent: str) -> Grounds:
    return Grounds(SessionId(session), UserId(agent), ProjectId(""), UnixMs(1), agent=AgentId(agent))


def join(roster: Roster, on: Grounds) -> Any:
    one: Any = Someone()
    roster.connections.add(one)
    roster.join(one, on)
    return one


def concerned(roster: Roster, kind: ControlKind, subject: str, project: ProjectId = PROJECT) -> set[Any]:
    return roster.concerned(ControlEntry("e", kind, project, subject, "revoked", UnixMs(1)))


class TestConcerned:
    def test_by_a_key_are_those_who_signed_in_with_it(self, roster: Roster) -> None:
        join(roster, grounds("s5", "u1", "k1", OTHER))
        one, two = join(roster, grounds("s1", "u1", "k1")), join(roster, grounds("s2", "u2", "k1"))
        join(roster, grounds("s3", "u3", "k2"))
        join(roster, grounds("s4", "u4"))
        assert concerned(roster, "key", "k1") == {one, two}
        assert concerned(roster, "key", "k9") == set()

    def test_by_a_person_are_all_their_sessions_in_that_project(self, roster: Roster) -> None:
        one, two = join(roster, grounds("s1", "u1", "k1")), join(roster, grounds("s2", "u1"))
        join(roster, grounds("s3", "u1", "k1", OTHER))
        join(roster, grounds("s4", "u2"))
        assert concerned(roster, "person", "u1") == {one, two} == roster.of_person(PROJECT, UserId("u1"))

    def test_by_a_session_are_its_sockets(self, roster: Roster) -> None:
        one = join(roster, grounds("s1", "u1"))
        join(roster, grounds("s2", "u1"))
        agent = join(roster, agents("s3", "a1"))
        assert concerned(roster, "session", "s1") == {one}
        assert concerned(roster, "session", "s3") == {agent}

    def test_by_an_agent_are_all_their_sockets_whatever_project_the_entry_names(self, roster: Roster) -> None:
        one, two = join(roster, agents("s1", "a1")), join(roster, agents("s2", "a1"))
        join(roster, agents("s3", "a2"))
        join(roster, grounds("s4", "a1"))
        assert concerned(roster, "agent", "a1", ProjectId("")) == {one, two}

    def test_by_a_project_are_its_visitors(self, roster: Roster) -> None:
        one, two = join(roster, grounds("s1", "u1", "k1")), join(roster, grounds("s2", "u2"))
        join(roster, grounds("s3", "u3", None, OTHER))
        join(roster, agents("s4", "a1"))
        assert concerned(roster, "project", "") == {one, two} == roster.visitors(PROJECT)


class TestMark:
    def test_reaches_every_member_at_once(self, roster: Roster) -> None:
        on = grounds("s1", "u1", "k1")
        group = roster.join(join(roster, on), on)
        assert group.withdrawn is None
        roster.mark_key(PROJECT, KeyId("k1"), CloseCode.KEY_REVOKED)
        assert group.withdrawn is CloseCode.KEY_REVOKED

    def test_meets_those_who_join_later(self, roster: Roster) -> None:
        """A sign-in that verified its token before the key died joins after: it must find the mark."""
        roster.mark_key(PROJECT, KeyId("k1"), CloseCode.KEY_REVOKED)
        on = grounds("s1", "u1", "k1")
        assert roster.join(join(roster, on), on).withdrawn is CloseCode.KEY_REVOKED

    def test_is_kept_when_the_last_member_leaves(self, roster: Roster) -> None:
        on = grounds("s1", "u1", "k1")
        one = join(roster, on)
        roster.mark_key(PROJECT, KeyId("k1"), CloseCode.KEY_REVOKED)
        roster.leave(one, on)
        assert roster.join(one, on).withdrawn is CloseCode.KEY_REVOKED

    def test_is_seen_by_who_left_and_still_looks_at_the_group(self, roster: Roster) -> None:
        """Whoever signs out has left already, and is handed nothing more once the key dies."""
        on = grounds("s1", "u1", "k1")
        one = join(roster, on)
        group = roster.join(one, on)
        roster.leave(one, on)
        roster.mark_key(PROJECT, KeyId("k1"), CloseCode.KEY_REVOKED)
        assert group.withdrawn is CloseCode.KEY_REVOKED

    def test_of_one_projects_key_is_not_anothers(self, roster: Roster) -> None:
        roster.mark_key(OTHER, KeyId("k1"), CloseCode.KEY_REVOKED)
        on = grounds("s1", "u1", "k1")
        assert roster.join(join(roster, on), on).withdrawn is None

    def test_never_reaches_those_who_rest_on_no_key(self, roster: Roster) -> None:
        for on in (grounds("s1", "u1"), agents("s2", "a1")):
            assert roster.join(join(roster, on), on) is NOBODYS
        assert NOBODYS.withdrawn is None
        assert not NOBODYS.members


class TestLeaving:
    def test_leaves_nothing_behind(self, roster: Roster) -> None:
        for on in (grounds("s1", "u1", "k1"), grounds("s2", "u2"), agents("s3", "a1")):
            roster.leave(join(roster, on), on)
        indexes = (roster._keys, roster._people, roster._agents, roster._sessions, roster._projects)
        assert [len(index) for index in indexes] == [0] * 5

    def test_leaves_the_others_where_they_are(self, roster: Roster) -> None:
        on = grounds("s1", "u1", "k1")
        one, two = join(roster, on), join(roster, on)
        roster.leave(one, on)
        assert roster.holds(SessionId("s1"))
        assert concerned(roster, "key", "k1") == concerned(roster, "session", "s1") == {two}
        roster.leave(two, on)
        assert not roster.holds(SessionId("s1"))

    def test_twice_is_harmless(self, roster: Roster) -> None:
        on = grounds("s1", "u1", "k1")
        one = join(roster, on)
        roster.leave(one, on)
        roster.leave(one, on)


def test_agents_are_those_who_answer(roster: Roster) -> None:
    join(roster, grounds("s1", "u1"))
    some = {join(roster, agents(f"s{n}", f"a{n % 2}")) for n in range(2, 6)}
    assert set(roster.agents()) == some
    assert len(roster) == 5
