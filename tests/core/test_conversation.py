"""Heads, unread counts, ids and refs of conversations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgateway.core.conversation import Head, new_conversation_id, new_ref, ref_ms
from chatgateway.types import GENESIS_LINK, START, ConversationId, ProjectId, SessionId, UnixMs, UserId

CNV, ANA = ConversationId("cnv_00aa"), UserId("usr_ana")


def head(**fields: str) -> Head:
    return Head.of(CNV, {key.encode(): value.encode() for key, value in fields.items()})


class TestHead:
    def test_is_what_the_scripts_wrote(self) -> None:
        one = head(
            project="prj_1", visitor="usr_ana", state="resolved", at="1700", seq="42", link="77d0e1b3", nv="5", na="3"
        )
        assert (one.project, one.visitor, one.state) == ("prj_1", "usr_ana", "resolved")
        assert one.top == (1700, 42, "77d0e1b3")
        assert (one.visitor_texts, one.agent_texts) == (5, 3)
        assert one.pending is None
        assert one.holders == frozenset()

    def test_of_a_conversation_without_entries_is_at_the_start(self) -> None:
        assert head(project="prj_1").top == START
        assert head().top.link == GENESIS_LINK

    def test_in_a_state_of_a_later_version_is_open(self) -> None:
        assert head(state="snoozed").state == "open"

    def test_counts_what_the_visitor_has_not_read(self) -> None:
        assert head(na="3").unread(ANA) == 3
        assert head(na="3", **{"rc:usr_ana": "2"}).unread(ANA) == 1
        assert head(na="3", **{"rc:usr_bob": "2"}).unread(ANA) == 3

    def test_counts_what_no_agent_has_read(self) -> None:
        assert head(nv="5", **{"rc:agents": "4"}).unread_by_agents == 1
        assert head(nv="5", **{"rc:usr_ana": "4"}).unread_by_agents == 5

    def test_never_counts_below_nothing(self) -> None:
        """A mark may be ahead of counters that a failover took back."""
        one = head(nv="1", na="1", **{"rc:usr_ana": "9", "rc:agents": "9"})
        assert one.unread(ANA) == one.unread_by_agents == 0

    def test_shows_the_marks_of_people_and_not_the_one_that_agents_share(self) -> None:
        assert head(**{"rs:usr_ana": "7", "rs:agt_1": "6", "rs:agents": "6"}).reads == {"usr_ana": 7, "agt_1": 6}

    def test_speaks_for_whoever_signed_in_during_it(self) -> None:
        assert head(visitor="usr_anon").speaks == "usr_anon"
        assert head(visitor="usr_anon", pending="usr_ana", holders=" ses_1 ").speaks == "usr_ana"

    def test_is_read_by_its_visitor_and_after_a_sign_in_only_by_the_sessions_that_showed_both_credentials(self) -> None:
        anonymous, ana, one, other = UserId("usr_anon"), UserId("usr_ana"), SessionId("ses_1"), SessionId("ses_2")
        before = head(visitor="usr_anon")
        assert before.may_read(anonymous, one)
        assert not before.may_read(ana, one)
        after = head(visitor="usr_anon", pending="usr_ana", holders=" ses_1 ses_3 ")
        assert after.may_read(ana, one)
        assert not after.may_read(ana, other)
        assert not after.may_read(anonymous, other)


class TestConversationId:
    def test_is_the_same_for_the_same_ref_of_the_same_person(self) -> None:
        made = {new_conversation_id(7, ProjectId("prj_1"), ANA, "r1") for _ in range(2)}
        assert len(made) == 1
        assert made.pop().startswith("cnv_07")

    def test_differs_by_project_person_and_ref(self) -> None:
        made = {
            new_conversation_id(7, ProjectId(project), UserId(user), ref)
            for project in ("prj_1", "prj_2")
            for user in ("usr_1", "usr_2")
            for ref in ("r1", "r2")
        }
        assert len(made) == 8


class TestRef:
    @given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
    def test_is_a_uuidv7_that_carries_its_instant(self, now: int, entropy: bytes) -> None:
        assert ref_ms(new_ref(UnixMs(now), entropy)) == now

    @pytest.mark.parametrize(
        "ref",
        [
            "",
            "1",
            "0192a1b2-c3d4-4e5f-8a9b-0c1d2e3f4a5b",
            "0192a1b2-c3d4-7e5f-ca9b-0c1d2e3f4a5b",
            "0192A1B2-C3D4-7E5F-8A9B-0C1D2E3F4A5B",
            "0192a1b2c3d47e5f8a9b0c1d2e3f4a5b",
            "0192a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b\n",
            "٠192a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
        ],
        ids=[
            "nothing",
            "a number",
            "version 4",
            "another variant",
            "capitals",
            "no dashes",
            "a line end",
            "other digits",
        ],
    )
    def test_is_nothing_else(self, ref: str) -> None:
        assert ref_ms(ref) is None
