"""A profile says how a vendor's token is read; the verifier follows it, and none of them reads a claim to rights.

What each vendor's own text promises is in test_vendor_rows.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.core.cases import SAMPLES, profile_of, saying
from tests.core.jose import NOW, NOW_S, PROJECT, RING, token

from chatgateway.core import profiles as profiles_package
from chatgateway.core.person import Identifier
from chatgateway.core.profiles import CANONICAL, LIVECHAT, PLAIN, PROFILES, ClaimsProfile, Naming, role_like
from chatgateway.core.token import Verified, verify
from chatgateway.errors import PeerError, TokenExpired


def accepted(made: str, profile: ClaimsProfile) -> Verified:
    return verify(made, PROJECT, RING, profile, NOW)


def reason(made: str, profile: ClaimsProfile) -> str:
    with pytest.raises(PeerError) as refusal:
        accepted(made, profile)
    return refusal.value.detail


@pytest.mark.parametrize(
    ("claim", "rights"),
    [("is_ADMIN", True), ("user-role", False), ("roles", True), ("name", False), ("usergroup_ids", False)],
)
def test_a_claim_asks_for_rights_by_its_name_however_it_is_spelled(claim: str, rights: bool) -> None:
    assert role_like(claim) is rights


class TestProfiles:
    LAX = ClaimsProfile(
        name="lax",
        identifiers=(Naming(("person", "id")),),
        display_name=((("full_name",),), (("first",), ("last",))),
        email=("mail", "address"),
        email_proved=("mail", "isVerified"),
        expiry_required=False,
        issue_required=False,
        max_life_ms=3_600_000,
        session_max_ms=60_000,
    )
    BARE: ClassVar = {"person": {"id": "u-1"}}

    def test_are_found_by_name(self) -> None:
        assert set(PROFILES) == {"canonical", "plain", "tiledesk", "deskpro", "pingstreams", "livechat"}
        assert all(PROFILES[name].name == name for name in PROFILES)

    def test_are_one_short_module_each(self) -> None:
        folder = Path(profiles_package.__file__).parent
        for name in PROFILES:
            assert len((folder / f"{name}.py").read_text().splitlines()) <= 60

    def test_have_an_honest_sample_each(self) -> None:
        assert {profile_of(sample).name for sample in SAMPLES} == set(PROFILES)
        for sample in SAMPLES:
            assert accepted(saying(sample), profile_of(sample)).dropped == ()

    def test_may_do_without_times_but_not_without_an_end(self) -> None:
        verified = accepted(token(self.BARE), self.LAX)
        assert (verified.issued_at, verified.expires_at) == (NOW, NOW + 3_600_000 + 60_000)
        assert verified.session_max_ms == 60_000
        with pytest.raises(ValueError, match="how long a session lives"):
            replace(CANONICAL, expiry_required=False)

    def test_age_a_token_without_an_end(self) -> None:
        with pytest.raises(TokenExpired):
            accepted(token({**self.BARE, "iat": NOW_S - 3_660}), self.LAX)

    def test_measure_a_token_without_a_beginning_from_now(self) -> None:
        assert reason(token({**self.BARE, "exp": NOW_S + 3_601}), self.LAX) == "life_too_long"
        with pytest.raises(TokenExpired):
            accepted(token({**self.BARE, "exp": NOW_S - 60}), self.LAX)

    def test_read_nested_claims(self) -> None:
        mail = {"address": "ada@example.com", "isVerified": True}
        verified = accepted(token({**self.BARE, "mail": mail, "x": 1}), self.LAX)
        said = verified.description
        assert (said.email, said.email_proved, verified.dropped) == ("ada@example.com", True, ("x",))

    def test_take_the_best_name_there_is(self) -> None:
        parts = {**self.BARE, "first": "Ada", "last": "Lovelace"}
        assert accepted(token(parts), self.LAX).description.name == "Ada Lovelace"
        assert accepted(token({**parts, "full_name": "A. L."}), self.LAX).description.name == "A. L."
        assert accepted(token({**parts, "last": None}), self.LAX).description.name == "Ada"

    def test_tell_a_way_that_ends_early_from_one_that_leads_elsewhere(self) -> None:
        assert reason(token({"person": {}}), self.LAX) == "id_missing"
        assert reason(token({"person": None}), self.LAX) == "id_missing"
        assert reason(token({"person": "identity"}), self.LAX) == "table_expected"

    def test_name_a_person_by_several_kinds_of_identifier(self) -> None:
        two = replace(self.LAX, identifiers=(Naming(("a",)), Naming(("b",), "deskpro_id"), Naming(("c",))))
        assert accepted(token({"a": "1", "b": "2", "c": "1"}), two).identifiers == (
            Identifier("external_id", "1"),
            Identifier("deskpro_id", "2"),
        )
        assert accepted(token({"b": "2"}), two).identifiers == (Identifier("deskpro_id", "2"),)
        assert reason(token({"a": "1", "c": "2"}), two) == "ids_differ"

    @pytest.mark.parametrize("claim", ["role", "isAdmin", "is-staff", "permissions", "assurance", "groups"])
    @pytest.mark.parametrize("place", ["identifiers", "required", "labels", "display_name"])
    def test_never_read_a_claim_that_asks_for_rights(self, claim: str, place: str) -> None:
        way = ("user", claim)
        read: dict[str, object] = {
            "identifiers": (Naming(way),), "required": (way,), "labels": way, "display_name": ((way,),),
        }  # fmt: skip
        with pytest.raises(ValueError, match="asks for rights"):
            replace(CANONICAL, **{place: read[place]})


class TestProjectOfAToken:
    """It comes from the connection; a token may repeat it, and must not contradict it."""

    @pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
    def test_in_its_audience_is_checked_by_every_profile(self, profile: ClaimsProfile) -> None:
        assert reason(saying(profile.name, aud="prj_other"), profile) == "another_project"

    def test_is_the_connections_where_the_token_does_not_say(self) -> None:
        assert accepted(saying("livechat", "organization_id"), LIVECHAT)
        assert accepted(saying("plain"), PLAIN)


class TestCanonical:
    def test_says_everything_that_can_be_said_under_its_own_name(self) -> None:
        said: dict[str, Any] = {
            "short_name": "Ada", "emails": ["a@example.com", "b@example.com"], "organization": "Engines",
            "fields": {"plan": "gold"}, "labels": ["vip"], "timezone": "Europe/London", "language": "en",
        }  # fmt: skip
        description = accepted(saying("canonical", **said), CANONICAL).description
        for name, value in said.items():
            assert getattr(description, name) in (value, tuple(value))

    def test_takes_no_groups_from_a_token(self) -> None:
        verified = accepted(saying("canonical", groups=["3"]), CANONICAL)
        assert (verified.description.groups, verified.role_like) == (None, ("groups",))
