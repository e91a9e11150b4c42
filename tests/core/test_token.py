"""Every token of the corpus is judged for its expected reason, and what comes of a good one is told whole."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.cases import Case, saying
from tests.core.checks import outcome
from tests.core.hostile_tokens import HONEST, HOSTILE
from tests.core.jose import (
    CLAIMS,
    NOW,
    NOW_S,
    PROJECT,
    REMOTE,
    REVOKED_ON_THIS_NODE,
    RING,
    SIGNERS,
    Signer,
    claiming,
    token,
)

from chatgateway.core import token as token_module
from chatgateway.core.compact import Reason
from chatgateway.core.keyring import Algorithm, KeyRing, Material
from chatgateway.core.person import Description, Identifier
from chatgateway.core.profiles import CANONICAL, DESKPRO, PROFILES, ClaimsProfile
from chatgateway.core.public_key import PublicMaterial
from chatgateway.core.token import KEYS_TRIED_MAX, Verified, verify
from chatgateway.errors import KeyRevoked, PeerError, TokenExpired, TokenRejected
from chatgateway.types import KeyId, UnixMs

ELSEWHERE = {"jti_missing", "used_before", "reserved_group"}
"""Reasons that the exchange gives, and one that only warns."""


def accepted(made: str, profile: ClaimsProfile = CANONICAL, now: UnixMs = NOW) -> Verified:
    return verify(made, PROJECT, RING, profile, now)


def reason(made: str, profile: ClaimsProfile = CANONICAL, now: UnixMs = NOW) -> str:
    with pytest.raises(PeerError) as refusal:
        accepted(made, profile, now)
    return refusal.value.detail


class TestCorpus:
    @pytest.mark.parametrize("case", HONEST, ids=lambda case: case.name)
    def test_accepts_the_honest(self, case: Case) -> None:
        assert outcome(case) == ""

    @pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.name)
    def test_refuses_the_hostile_for_the_expected_reason(self, case: Case) -> None:
        assert outcome(case) == case.expected

    def test_is_large_and_has_every_reason(self) -> None:
        assert len(HOSTILE) >= 120
        assert {case.expected for case in HOSTILE} == {*get_args(Reason), "token_expired", "key_revoked"} - ELSEWHERE

    def test_has_every_profile_and_every_kind_of_key(self) -> None:
        for corpus in (HONEST, HOSTILE):
            assert {case.profile.name for case in corpus} == set(PROFILES)


class TestVerified:
    def test_says_who_and_by_which_key(self) -> None:
        assert accepted(claiming(email_verified=True, iss="https://shop.example")) == Verified(
            kid=KeyId("k_main"),
            identifiers=(Identifier("external_id", "u-1"),),
            description=Description(name="Ada", email="ada@example.com", email_proved=True),
            issued_at=NOW,
            expires_at=UnixMs(NOW + 600_000 + 60_000),
        )

    def test_reports_dropped_claims_and_those_that_ask_for_rights(self) -> None:
        verified = accepted(claiming(plan="gold", role="admin", isAdmin=True, **{"is-staff": 1}))
        assert verified.dropped == ("plan", "role", "isAdmin", "is-staff")
        assert verified.role_like == ("role", "isAdmin", "is-staff")

    def test_reports_names_that_a_log_can_write(self) -> None:
        assert accepted(claiming(**{"\ud800" + "x" * 100: 1})).dropped == ("\\ud800" + "x" * 63,)

    def test_reports_entries_of_a_table_that_ask_for_rights(self) -> None:
        verified = accepted(claiming(fields={"plan": "gold", "is_admin": "yes", "age": 5}))
        assert verified.description.fields == {"plan": "gold"}
        assert verified.dropped == ("fields.is_admin", "fields.age")
        assert verified.role_like == ("fields.is_admin",)

    def test_says_nothing_of_a_proof_where_the_token_does_not(self) -> None:
        assert accepted(token()).description.email_proved is None
        assert accepted(claiming(email_verified=False)).description.email_proved is False

    def test_carries_the_tokens_own_id(self) -> None:
        assert accepted(claiming(jti="0190-a")).token_id == "0190-a"
        assert accepted(token()).token_id == ""

    def test_carries_no_id_of_a_token_that_is_good_for_ever(self) -> None:
        """Nobody could remember it for so long: one-time use is refused for it rather than forgotten."""
        timeless = saying("deskpro", jti="0190-a")
        assert accepted(timeless, DESKPRO).token_id == ""
        assert accepted(saying("deskpro", jti="0190-a", iat=NOW_S), DESKPRO).token_id == "0190-a"
        assert accepted(saying("deskpro", jti="0190-a", exp=NOW_S + 60), DESKPRO).token_id == "0190-a"

    def test_warns_of_missing_times_and_shortens_the_session(self) -> None:
        bare = accepted(saying("deskpro"), DESKPRO)
        assert bare.warnings == ("exp_missing", "iat_missing")
        assert bare.session_max_ms == 3_600_000
        timed = accepted(saying("deskpro", iat=NOW_S, exp=NOW_S + 600), DESKPRO)
        assert (timed.warnings, timed.session_max_ms) == ((), None)
        assert accepted(token()).session_max_ms is None

    def test_ends_after_now_even_in_the_leeway(self) -> None:
        assert accepted(claiming(iat=NOW_S - 600, exp=NOW_S - 59)).expires_at == NOW + 1_000

    def test_trims_the_name(self) -> None:
        assert accepted(claiming(name="  Ada ")).description.name == "Ada"


class TestOutwardly:
    """Rule 9: one error, but for two, and those two only to the bearer of a good signature."""

    def test_everything_else_is_one_error(self) -> None:
        for case in HOSTILE:
            with pytest.raises(PeerError) as refusal:
                verify(case.token, PROJECT, RING, case.profile, NOW, revoked=REVOKED_ON_THIS_NODE)
            expected = case.expected if case.expected in ("token_expired", "key_revoked") else "token_rejected"
            assert refusal.value.code == expected
            assert str(refusal.value) == type(refusal.value).sentence

    def test_no_refusal_quotes_the_token(self) -> None:
        for case in HOSTILE:
            with pytest.raises(PeerError) as refusal:
                verify(case.token, PROJECT, RING, case.profile, NOW, revoked=REVOKED_ON_THIS_NODE)
            assert re.fullmatch(r"[a-z_0-9]+|\d+ ms ago", refusal.value.detail)
            assert refusal.value.__cause__ is None
            assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


class TestAtTheEdge:
    @pytest.mark.parametrize(("later_ms", "detail"), [(-1, ""), (0, "0 ms"), (1, "1 ms")])
    def test_a_token_lives_to_the_millisecond_before_its_leeway_ends(self, later_ms: int, detail: str) -> None:
        end = NOW + 600_000 + 60_000
        if not detail:
            assert accepted(token(), now=UnixMs(end + later_ms)).expires_at == end
            return
        with pytest.raises(TokenExpired):
            accepted(token(), now=UnixMs(end + later_ms))

    def test_a_revoked_key_is_named_for_a_day(self) -> None:
        with pytest.raises(KeyRevoked):
            accepted(token(kid="k_lately"))
        assert reason(token({**CLAIMS}, kid="k_lately"), now=UnixMs(NOW + 1)) == "key_revoked_long_ago"


class TestBrokenKeys:
    """A ring may hold what an import should have refused: it verifies nothing and spoils nothing for the others."""

    @pytest.mark.parametrize("algorithm", get_args(Algorithm))
    @pytest.mark.parametrize(
        "material",
        [b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", b"\xff" * 40],
        ids=["empty", "broken PEM", "bytes"],
    )
    def test_verify_nothing(self, algorithm: Algorithm, material: bytes) -> None:
        signer = next(signer for signer in SIGNERS.values() if signer.algorithm == algorithm)
        good = next(key for key in RING.keys if key.kid == "k_main")
        held = Material(material) if algorithm == "HS256" else PublicMaterial(material)
        broken = replace(good, kid=KeyId("k_broken"), algorithm=algorithm, material=held)
        ring = KeyRing(1, (broken, *(key for key in RING.keys if key.algorithm == algorithm)))
        with pytest.raises(TokenRejected):
            verify(token(header={"alg": algorithm, "kid": "k_broken"}, signer=signer), PROJECT, ring, CANONICAL, NOW)
        assert verify(token(kid=None, signer=signer), PROJECT, ring, CANONICAL, NOW).kid in SIGNERS

    @pytest.mark.parametrize("kid", ["k_rsa", "k_ec", "k_ed"])
    def test_compute_no_mac_with_public_material_even_if_the_record_says_so(self, kid: str) -> None:
        """Whoever could rewrite a record's algorithm could sign with what everybody may see."""
        public = next(key for key in RING.keys if key.kid == kid)
        ring = KeyRing(1, (replace(public, algorithm="HS256"),))
        forged = token(header={"alg": "HS256", "kid": kid}, signer=Signer("HS256", SIGNERS[kid].public()))
        with pytest.raises(TokenRejected) as refusal:
            verify(forged, PROJECT, ring, CANONICAL, NOW)
        assert refusal.value.detail == "key_unfit"

    @pytest.mark.parametrize("kid", ["k_rsa", "k_ec", "k_ed", "remote_ec", "k_main"])
    def test_give_the_library_bytes_of_a_secret_only(self, kid: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The library guards against PEM in a MAC by looking at it; we do not give it anything to look at."""
        given: list[object] = []

        class Library:
            def decode(self, _text: str, key: object, algorithms: list[str]) -> None:
                given.append(key)

        monkeypatch.setattr(token_module, "_signatures", Library())
        accepted(token(kid=kid))
        assert [isinstance(key, bytes) for key in given] == [kid == "k_main"]

    @pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
    def test_take_no_secret_for_a_public_key(self, algorithm: Algorithm) -> None:
        """A PEM that was stored as a secret is bytes like any other, to a MAC and to nothing else."""
        signer = next(signer for signer in SIGNERS.values() if signer.algorithm == algorithm)
        good = next(key for key in RING.keys if key.kid == "k_main")
        ring = KeyRing(1, (replace(good, material=Material(signer.public())),))
        forged = token(signer=Signer("HS256", signer.public()))
        assert outcome(Case("", forged, ""), ring=ring) == "key_unfit"


class TestFollowedKey:
    @pytest.mark.parametrize("name", ["remote/1+=", "remote_ec", "remote_rsa"])
    def test_vouches_under_its_records_id(self, name: str) -> None:
        assert accepted(token(kid=name)).kid == "k_set"

    def test_vouches_for_nobody_once_its_record_is_revoked(self) -> None:
        ring = RING.revoke(KeyId("k_set"), NOW)
        with pytest.raises(KeyRevoked):
            verify(token(kid="remote_ec"), PROJECT, ring, CANONICAL, NOW)

    def test_vouches_by_another_record_that_follows_it_too(self) -> None:
        """The one is revoked; whoever signs in now rests on the other."""
        again = replace(next(key for key in RING.keys if key.kid == "k_set"), kid=KeyId("k_again"))
        ring = replace(RING, keys=(*RING.keys, again)).revoke(KeyId("k_set"), NOW)
        for made in (token(kid="remote_ec"), token(kid=None, signer=REMOTE["remote_ec"])):
            assert verify(made, PROJECT, ring, CANONICAL, NOW).kid == "k_again"
            heard = verify(made, PROJECT, RING.add(replace(again, fingerprint="x")), CANONICAL, NOW, revoked={"k_set"})
            assert heard.kid == "k_again"

    def test_does_not_take_the_turn_of_a_pasted_key(self) -> None:
        """Of a token without ``kid`` few keys are asked, and a newer set may publish more than that."""
        records = {record.kid: record for record in RING.keys}
        newer, pasted = records[KeyId("k_set")], records[KeyId("k_ec")]
        assert sum(one.algorithm == "ES256" for one in newer.followed) >= KEYS_TRIED_MAX
        made = token(kid=None, signer=SIGNERS["k_ec"])
        assert verify(made, PROJECT, KeyRing(1, (newer, pasted)), CANONICAL, NOW).kid == "k_ec"

    def test_that_was_not_fetched_is_unknown(self) -> None:
        assert outcome(Case("", token(kid="remote_ec"), ""), ring=RING.following({})) == "kid_unknown"


@given(st.one_of(st.text(), st.binary(), st.integers(), st.none(), st.text("JWTey.-_=AQ ", max_size=200)))
def test_nothing_but_a_refusal_comes_of_noise(noise: object) -> None:
    with pytest.raises(PeerError):
        verify(noise, PROJECT, RING, CANONICAL, NOW)


NAMES = st.sampled_from([*CLAIMS, "sub", "aud", "nbf", "email_verified"]) | st.text(max_size=8)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_signed_nonsense_is_judged_and_never_crashes(claims: dict[str, Any]) -> None:
    try:
        verified = accepted(token({**CLAIMS, **claims}))
    except PeerError:
        return
    assert 1 <= len(verified.identifiers[0].text) <= 255
    assert verified.expires_at > NOW
