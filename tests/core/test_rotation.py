"""Whose trust ends with an entry of the control log, with which code, and whose does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chatgateway.close_codes import CloseCode
from chatgateway.core.rotation import (
    ControlEntry,
    ControlKind,
    Grounds,
    Trust,
    concerns,
    ended,
    raises_fences,
    trust_gone,
)
from chatgateway.types import AgentId, KeyId, ProjectId, SessionId, UnixMs, UserId, Version

SHOP, OTHER = ProjectId("prj_shop"), ProjectId("prj_other")
NOW = UnixMs(1_795_249_707_000)
ANA = Grounds(SessionId("ses_ana"), UserId("usr_ana"), SHOP, NOW, kid=KeyId("k_1"))
STRANGER = Grounds(SessionId("ses_anon"), UserId("usr_anon"), SHOP, NOW)
MARIA = Grounds(
    SessionId("ses_maria"), UserId("agt_maria"), ProjectId(""), NOW, agent=AgentId("agt_maria"), judged=Version(3)
)


def entry(
    kind: ControlKind, subject: str, why: str = "revoked", *, project: ProjectId = SHOP, version: int = 4, at: int = NOW
) -> ControlEntry:
    return ControlEntry(f"e_{version}", kind, project, subject, why, UnixMs(at), Version(version))


def trust(*entries: ControlEntry) -> Trust:
    numbered = [replace(one, version=Version(number), entry=f"e_{number}") for number, one in enumerate(entries, 4)]
    return Trust().apply(numbered)


class TestAWithdrawnKey:
    def test_ends_exactly_the_sessions_that_rest_on_it(self) -> None:
        after = trust(entry("key", "k_1"))
        assert after.judge(ANA) is CloseCode.KEY_REVOKED
        assert after.judge(replace(ANA, kid=KeyId("k_2"))) is None
        assert after.judge(STRANGER) is None
        assert after.judge(MARIA) is None

    def test_is_not_the_key_of_the_same_name_of_another_project(self) -> None:
        assert trust(entry("key", "k_1", project=OTHER)).judge(ANA) is None

    def test_verifies_nothing_whatever_a_ring_says(self) -> None:
        after = trust(entry("key", "k_1"), entry("key", "k_2"))
        assert after.revoked_keys(SHOP) == {"k_1", "k_2"}
        assert after.revoked_keys(OTHER) == frozenset()


class TestAnAgent:
    def test_who_was_removed_is_forbidden(self) -> None:
        assert trust(entry("agent", "agt_maria", "removed")).judge(MARIA) is CloseCode.FORBIDDEN

    def test_whose_password_changed_signs_in_again(self) -> None:
        after = trust(entry("agent", "agt_maria", "password_changed"))
        assert after.judge(MARIA) is CloseCode.USER_REVOKED
        assert after.judge(replace(MARIA, judged=Version(4))) is None, "who signed in afterwards is not concerned"

    def test_is_not_another_one(self) -> None:
        assert trust(entry("agent", "agt_anna", "removed")).judge(MARIA) is None

    def test_answers_on_when_a_project_or_a_person_of_the_same_name_goes(self) -> None:
        after = trust(entry("project", "prj_shop"), entry("person", "agt_maria", "blocked"))
        assert after.judge(MARIA) is None

    def test_may_be_signed_out_of_one_session(self) -> None:
        assert trust(entry("session", "ses_maria", "session_signed_out")).judge(MARIA) is CloseCode.SIGNED_OUT


class TestAPerson:
    def test_signed_out_everywhere_loses_what_they_signed_in_with_until_then(self) -> None:
        after = trust(entry("person", "usr_ana", "signed_out"))
        assert after.judge(ANA) is CloseCode.USER_REVOKED
        assert after.judge(replace(ANA, signed_at=UnixMs(NOW + 1))) is None
        assert after.judge(replace(ANA, project=OTHER)) is None

    def test_who_was_a_stranger_has_nothing_to_come_back_with(self) -> None:
        assert trust(entry("person", "usr_anon", "signed_out")).judge(STRANGER) is CloseCode.SIGNED_OUT

    @pytest.mark.parametrize(("why", "code"), [("signed_out", "SIGNED_OUT"), ("adopted", "IDENTITY_CHANGED")])
    def test_who_was_a_stranger_is_nobody_by_what_was_minted_since_either(self, why: str, code: str) -> None:
        """A cookie or a renewal may mint while the sign-out is written: the same person, who signed out."""
        after = trust(entry("person", "usr_anon", why))
        assert after.judge(replace(STRANGER, signed_at=UnixMs(NOW + 1))) is CloseCode[code]
        assert after.judge(replace(STRANGER, user=UserId("usr_other"))) is None

    def test_who_is_blocked_stays_out_however_they_sign_in(self) -> None:
        after = trust(entry("person", "usr_ana", "blocked"))
        assert after.judge(replace(ANA, signed_at=UnixMs(NOW + 10_000))) is CloseCode.FORBIDDEN

    def test_stays_blocked_when_they_are_signed_out_too(self) -> None:
        after = trust(entry("person", "usr_ana", "blocked"), entry("person", "usr_ana", "signed_out"))
        assert after.judge(replace(ANA, signed_at=UnixMs(NOW + 10_000))) is CloseCode.FORBIDDEN

    def test_is_still_signed_out_when_a_block_is_lifted(self) -> None:
        after = trust(*(entry("person", "usr_ana", why) for why in ("signed_out", "blocked", "unblocked")))
        assert after.judge(ANA) is CloseCode.USER_REVOKED
        assert after.judge(replace(ANA, signed_at=UnixMs(NOW + 1))) is None

    def test_is_signed_out_up_to_the_latest_instant(self) -> None:
        after = trust(entry("person", "usr_ana", "signed_out"), entry("person", "usr_ana", "signed_out", at=NOW - 500))
        assert after.judge(ANA) is CloseCode.USER_REVOKED

    def test_whose_chat_was_adopted_is_somebody_else_now(self) -> None:
        for anonymous in (True, False):
            assert ended("adopted", anonymous=anonymous) is CloseCode.IDENTITY_CHANGED

    def test_who_was_erased_is_told_so(self) -> None:
        assert trust(entry("person", "usr_ana", "erased")).judge(ANA) is CloseCode.IDENTITY_ERASED


def test_a_session_signed_out_ends_alone() -> None:
    after = trust(entry("session", "ses_ana", "session_signed_out"))
    assert after.judge(ANA) is CloseCode.SIGNED_OUT
    assert after.judge(replace(ANA, session=SessionId("ses_2"))) is None


def test_a_project_that_is_gone_takes_its_visitors_with_it() -> None:
    after = trust(entry("project", "prj_shop"))
    assert after.judge(ANA) is after.judge(STRANGER) is CloseCode.APP_UNKNOWN
    assert after.judge(replace(ANA, project=OTHER)) is None


class TestApplying:
    def test_tells_how_far_one_has_heard(self) -> None:
        after = Trust().apply([entry("key", "k_1", version=4), entry("key", "k_2", version=7)])
        assert (after.applied, after.entry) == (7, "e_7")

    def test_of_nothing_changes_nothing(self) -> None:
        before = trust(entry("key", "k_1"))
        assert before.apply([]) == before

    def test_of_what_was_applied_already_changes_nothing(self) -> None:
        before = trust(entry("key", "k_1"), entry("person", "usr_ana", "blocked"))
        assert before.apply([entry("person", "usr_ana", "unblocked", version=5)]) == before

    def test_leaves_the_value_before_as_it_was(self) -> None:
        before = trust(entry("key", "k_1"))
        before.apply([entry("key", "k_2", version=9)])
        assert before.revoked_keys(SHOP) == {"k_1"}

    def test_never_unlearns(self) -> None:
        after = trust(entry("key", "k_1")).apply([entry("key", "k_2", version=9), entry("project", "x", version=10)])
        assert after.revoked_keys(SHOP) == {"k_1", "k_2"}


@pytest.mark.parametrize(
    ("one", "grounds", "expected"),
    [
        (entry("key", "k_1"), ANA, True),
        (entry("key", "k_1"), STRANGER, False),
        (entry("agent", "agt_maria", "removed"), MARIA, True),
        (entry("person", "usr_ana", "unblocked"), ANA, False),
        (entry("session", "ses_ana", "session_signed_out"), ANA, True),
    ],
)
def test_an_entry_concerns_whoever_it_would_end(one: ControlEntry, grounds: Grounds, expected: bool) -> None:
    assert concerns(one, grounds) is expected


def test_only_what_reaches_beyond_one_person_raises_every_fence() -> None:
    kinds: list[ControlKind] = ["key", "agent", "project", "person", "session"]
    assert [raises_fences(kind) for kind in kinds] == [True, True, True, False, False]


def test_a_reason_of_a_later_version_still_ends() -> None:
    assert ended("moved_away") is CloseCode.USER_REVOKED


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (CloseCode.KEY_REVOKED, "key_revoked"),
        (CloseCode.FORBIDDEN, "forbidden"),
        (CloseCode.SIGNED_OUT, "signed_out"),
        (CloseCode.APP_UNKNOWN, "app_unknown"),
        (CloseCode.IDENTITY_CHANGED, "identity_changed"),
        (CloseCode.USER_REVOKED, "user_revoked"),
        (CloseCode.IDENTITY_ERASED, "identity_erased"),
    ],
)
def test_trust_that_is_gone_is_refused_with_the_code_that_says_why(code: CloseCode, said: str) -> None:
    assert (trust_gone(code).code, trust_gone(code).close) == (said, code)
