"""A sample is a good token of its profile, and says no more than it was given."""

from __future__ import annotations

import pytest
from tests.core.jose import NOW, NOW_S, PROJECT, RING, token

from chatgateway.core.doctor import diagnose
from chatgateway.core.profiles import PROFILES
from chatgateway.core.sample import sample_claims
from chatgateway.core.token import verify


@pytest.mark.parametrize("profile", PROFILES)
class TestSample:
    def test_is_taken_without_a_word(self, profile: str) -> None:
        claims = sample_claims(profile, PROJECT, "u-1", NOW_S, 300, name="Ada Lovelace", email="ada@shop.example")
        diagnosis = diagnose(token(claims), PROJECT, RING, PROFILES[profile], NOW)
        assert (diagnosis.verdict, diagnosis.sentence[:18]) == ("ok", "The token is good:")
        assert diagnosis.facts.looks_like == profile
        assert diagnosis.facts.dropped == ()

    def test_names_the_person_who_was_asked_for(self, profile: str) -> None:
        claims = sample_claims(profile, PROJECT, "u-1", NOW_S, 300, name="Ada Lovelace", email="ada@shop.example")
        verified = verify(token(claims), PROJECT, RING, PROFILES[profile], NOW)
        assert verified.identifiers[0].text == "u-1"
        assert verified.description.name == ("Ada Lovelace" if profile != "livechat" else None)

    def test_needs_no_more_than_a_person(self, profile: str) -> None:
        claims = sample_claims(profile, PROJECT, "u-1", NOW_S, 300)
        assert verify(token(claims), PROJECT, RING, PROFILES[profile], NOW).identifiers[0].text == "u-1"
        assert "" not in claims.values()


def test_an_unknown_profile_has_no_sample() -> None:
    with pytest.raises(ValueError, match="no sample"):
        sample_claims("nobody", PROJECT, "u-1", NOW_S, 300)
