"""When an anonymous chat may become an account's, and what is remembered of it."""

from __future__ import annotations

import dataclasses
from typing import get_args

import msgspec
import pytest

from chatgateway.core import adoption as rules
from chatgateway.core.adoption import Receipt
from chatgateway.core.conversation import ref_ms
from chatgateway.core.credential import COOKIE_USER, Credential, anonymous, longest_life_ms, signed
from chatgateway.core.project import AdoptionPolicy
from chatgateway.errors import AdoptionRefused
from chatgateway.settings import Settings
from chatgateway.types import AppId, ConversationId, KeyId, ProjectId, SessionId, UnixMs, UserId

NOW = UnixMs(1_795_249_707_000)
DAY_MS = 24 * 3_600_000
SHOP, OTHER = ProjectId("prj_shop"), ProjectId("prj_other")
STRANGER, ADA, BOB = UserId("usr_00ff"), UserId("usr_ada"), UserId("usr_bob")
CHAT = ConversationId("cnv_00" + "a" * 20)
SHOWN = anonymous(SessionId("ses_1"), STRANGER, SHOP, AppId("app_1"), NOW)
RECEIPT = Receipt(SHOP, STRANGER, ADA, SessionId("ses_2"), KeyId("k1"), NOW, (CHAT,), "finished")


def require(
    shown: Credential | None, *, project: ProjectId = SHOP, policy: AdoptionPolicy = "ask", after_ms: int = 0
) -> Credential:
    return rules.require_presented(shown, project, policy, UnixMs(NOW + after_ms))


class TestTheCredential:
    def test_that_is_fresh_and_was_shown_is_taken(self) -> None:
        assert require(SHOWN) == SHOWN
        assert require(SHOWN, policy="carry_over", after_ms=DAY_MS) == SHOWN

    @pytest.mark.parametrize(
        ("shown", "project", "policy", "after_ms", "reason"),
        [
            (None, SHOP, "ask", 0, "not_presented"),
            (signed(SessionId("s"), ADA, SHOP, AppId("a"), NOW, until=NOW), SHOP, "ask", 0, "not_presented"),
            (SHOWN, OTHER, "ask", 0, "another_project"),
            (SHOWN, SHOP, "ask", DAY_MS + 1, "too_old"),
            (SHOWN, SHOP, "never", 0, "never"),
        ],
    )
    def test_is_refused_for_any_other(
        self, shown: Credential | None, project: ProjectId, policy: AdoptionPolicy, after_ms: int, reason: str
    ) -> None:
        with pytest.raises(AdoptionRefused) as caught:
            require(shown, project=project, policy=policy, after_ms=after_ms)
        assert caught.value.detail == reason

    def test_that_was_renewed_is_as_old_as_its_first(self) -> None:
        renewed = SHOWN.renewed(UnixMs(NOW + DAY_MS)).renewed(UnixMs(NOW + DAY_MS + 1))
        assert renewed.born_at == NOW
        with pytest.raises(AdoptionRefused, match="24 hours"):
            require(renewed, after_ms=DAY_MS + 1)


class TestAReceipt:
    def test_is_named_by_the_one_visitor_whom_it_can_concern(self) -> None:
        assert RECEIPT.id == "adp_00ff"
        assert rules.earlier_of(RECEIPT.id) == rules.earlier_of(STRANGER) == STRANGER

    @pytest.mark.parametrize("name", ["", "00ff", "cnv_00ff", "ADP_00ff"])
    def test_of_no_such_name_is_unknown(self, name: str) -> None:
        with pytest.raises(AdoptionRefused, match="no such receipt"):
            rules.earlier_of(name)

    def test_gives_every_step_a_name_that_any_node_would_choose(self) -> None:
        again = dataclasses.replace(RECEIPT)
        assert again.entry == RECEIPT.entry
        assert again.divider_ref(CHAT, "adopted") == RECEIPT.divider_ref(CHAT, "adopted")
        undone = dataclasses.replace(RECEIPT, undone_at=UnixMs(NOW + 5))
        assert ref_ms(RECEIPT.divider_ref(CHAT, "adopted")) == NOW
        assert ref_ms(undone.divider_ref(CHAT, "unadopted")) == NOW + 5

    def test_gives_each_conversation_and_each_visitor_a_name_of_its_own(self) -> None:
        other = dataclasses.replace(RECEIPT, earlier=UserId("usr_00fe"))
        elsewhere = ConversationId("cnv_00" + "b" * 20)
        refs = {one.divider_ref(chat, "adopted") for one in (RECEIPT, other) for chat in (CHAT, elsewhere)}
        assert len(refs) == 4
        assert other.entry != RECEIPT.entry

    @pytest.mark.parametrize("state", get_args(rules.State))
    def test_says_whether_anything_is_left_to_do(self, state: rules.State) -> None:
        is_finished = dataclasses.replace(RECEIPT, state=state).is_finished
        assert is_finished == (state in ("finished", "undone", "abandoned"))


@pytest.mark.parametrize("stranger", [STRANGER, UserId(COOKIE_USER + "1")])
def test_an_adoption_is_remembered_for_longer_than_any_credential_of_the_stranger_lives(stranger: UserId) -> None:
    """Forgotten earlier, they would be alive again, and could be adopted by somebody else."""
    assert longest_life_ms(stranger) <= rules.REMEMBERED_MS
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"anonymous_days": rules.REMEMBERED_MS // DAY_MS + 1}, Settings)


class TestGivingBack:
    def test_is_the_accounts_for_a_day(self) -> None:
        rules.require_returnable(RECEIPT, ADA, UnixMs(NOW + DAY_MS))
        with pytest.raises(AdoptionRefused, match="ask the operator"):
            rules.require_returnable(RECEIPT, ADA, UnixMs(NOW + DAY_MS + 1))

    def test_is_nobody_elses(self) -> None:
        for account in (BOB, STRANGER):
            with pytest.raises(AdoptionRefused, match="somebody else"):
                rules.require_returnable(RECEIPT, account, NOW)

    def test_that_was_done_is_answered_again_however_late(self) -> None:
        rules.require_returnable(dataclasses.replace(RECEIPT, state="undone"), ADA, UnixMs(NOW + 9 * DAY_MS))

    def test_of_what_went_with_the_account_is_of_nothing(self) -> None:
        with pytest.raises(AdoptionRefused, match="no such receipt"):
            rules.require_returnable(dataclasses.replace(RECEIPT, state="abandoned"), ADA, NOW)


class TestARefusal:
    @pytest.mark.parametrize("reason", get_args(rules.Reason))
    def test_has_one_sentence_and_keeps_its_reason_for_the_log(self, reason: rules.Reason) -> None:
        error = rules.refused(reason)
        assert (error.code, error.detail) == ("adoption_refused", reason)
        assert str(error).endswith(".")

    @pytest.mark.parametrize("reason", get_args(rules.Reason))
    def test_is_read_from_what_a_script_says(self, reason: rules.Reason) -> None:
        known = rules.refusal_of(f"REFUSED {reason}")
        assert known is not None
        assert known.detail == reason

    @pytest.mark.parametrize("text", ["REFUSED", "REFUSED because", "UNKNOWN", "taken", "REFUSED taken twice"])
    def test_is_read_from_nothing_else(self, text: str) -> None:
        assert rules.refusal_of(text) is None
