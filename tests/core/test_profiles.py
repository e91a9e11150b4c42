"""A profile says how a vendor's token is read; the verifier follows it, and none of them reads a claim to rights."""

from __future__ import annotations

from typing import ClassVar

import pytest
from tests.core.jose import NOW, NOW_S, PROJECT, RING, token

from chatgateway.core.profiles import CANONICAL, PROFILES, ClaimsProfile, role_like
from chatgateway.core.token import Verified, verify
from chatgateway.errors import PeerError, TokenExpired


def accepted(made: str, profile: ClaimsProfile) -> Verified:
    return verify(made, PROJECT, RING, profile, NOW)


def reason(made: str, profile: ClaimsProfile) -> str:
    with pytest.raises(PeerError) as refusal:
        accepted(made, profile)
    return refusal.value.detail


@pytest.mark.parametrize(
    ("claim", "rights"), [("is_ADMIN", True), ("user-role", False), ("roles", True), ("name", False)]
)
def test_a_claim_asks_for_rights_by_its_name_however_it_is_spelled(claim: str, rights: bool) -> None:
    assert role_like(claim) is rights


class TestProfiles:
    LAX = ClaimsProfile(
        name="lax",
        subject=(("person", "id"),),
        display_name=((("full_name",),), (("first",), ("last",))),
        email=("mail", "address"),
        email_verified=("mail", "isVerified"),
        expiry_required=False,
        issue_required=False,
        max_life_ms=3_600_000,
    )
    BARE: ClassVar = {"person": {"id": "u-1"}}

    def test_are_found_by_name(self) -> None:
        assert PROFILES == {"canonical": CANONICAL}

    def test_may_do_without_times_but_not_without_an_end(self) -> None:
        verified = accepted(token(self.BARE), self.LAX)
        assert (verified.issued_at, verified.expires_at) == (NOW, NOW + 3_600_000 + 60_000)

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
        assert (verified.email, verified.email_verified, verified.dropped) == ("ada@example.com", True, ("x",))

    def test_take_the_best_name_there_is(self) -> None:
        parts = {**self.BARE, "first": "Ada", "last": "Lovelace"}
        assert accepted(token(parts), self.LAX).name == "Ada Lovelace"
        assert accepted(token({**parts, "full_name": "A. L."}), self.LAX).name == "A. L."
        assert accepted(token({**parts, "last": None}), self.LAX).name == "Ada"

    def test_survive_a_way_that_ends_early(self) -> None:
        assert reason(token({"person": "identity"}), self.LAX) == "id_missing"

    @pytest.mark.parametrize("claim", ["role", "isAdmin", "is-staff", "permissions", "assurance"])
    def test_never_read_a_claim_that_asks_for_rights(self, claim: str) -> None:
        with pytest.raises(ValueError, match="asks for rights"):
            ClaimsProfile(name="bad", subject=(("user", claim),))
