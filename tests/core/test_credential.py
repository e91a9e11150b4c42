"""A session token says what was minted into it, until its end, and to nobody's advantage when it is bent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgateway.core.credential import (
    ANONYMOUS_LIFE_MS,
    COOKIE_LIFE_MS,
    COOKIE_USER,
    SIGNED_LIFE_MS,
    Credential,
    CredentialRing,
    anonymous,
    longest_life_ms,
    mint,
    needs_renewal,
    read,
    signed,
)
from chatgateway.core.keyring import Material
from chatgateway.errors import TokenExpired, TokenRejected
from chatgateway.types import AppId, ProjectId, SessionId, UnixMs, UserId

NOW = UnixMs(1_795_249_707_000)
DAY_MS = 24 * 3600 * 1000
OLD_KEY, NEW_KEY = Material(b"o" * 32), Material(b"n" * 32)
RING = CredentialRing(2, (NEW_KEY, OLD_KEY))
WHO = (SessionId("ses_1"), UserId("usr_1"), ProjectId("prj_1"), AppId("app_1"))
VISITOR = anonymous(*WHO, NOW)


def sealed(payload: object, key: Material = NEW_KEY, prefix: str = "cgv_") -> str:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    vouched = prefix + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    mac = hmac.digest(key.reveal(), vouched.encode(), hashlib.sha256)
    return f"{vouched}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def refusal(token: object) -> str:
    with pytest.raises(TokenRejected) as refused:
        read(token, RING, NOW)
    return refused.value.detail


class TestRead:
    def test_gives_back_what_was_minted(self) -> None:
        assert read(mint(VISITOR, RING), RING, NOW) == VISITOR

    def test_accepts_an_older_key_of_the_ring(self) -> None:
        assert read(mint(VISITOR, CredentialRing(1, (OLD_KEY,))), RING, NOW) == VISITOR

    def test_refuses_a_key_that_left_the_ring(self) -> None:
        with pytest.raises(TokenRejected, match="rejected"):
            read(mint(VISITOR, RING), CredentialRing(3, (OLD_KEY,)), NOW)

    def test_ends_at_the_instant(self) -> None:
        token = mint(VISITOR, RING)
        assert read(token, RING, UnixMs(VISITOR.expires_at - 1)) == VISITOR
        with pytest.raises(TokenExpired):
            read(token, RING, VISITOR.expires_at)

    @pytest.mark.parametrize("token", [None, 5, b"cgv_x.y", "", "cgv_", "cga_x.y", "eyJ.e30.x", "cgv_" + "x" * 1_024])
    def test_refuses_what_is_not_a_session_token(self, token: object) -> None:
        assert refusal(token) in ("not_a_session_token", "session_token_forged")

    @pytest.mark.parametrize("change", ["", "=", "==", "\n", " ", "A", ".", "\ud800", "é", "\0"])
    def test_has_one_text_per_credential(self, change: str) -> None:
        token = mint(VISITOR, RING)
        vouched, mac = token.split(".")
        for bent in (token + change, f"{vouched}{change}.{mac}", f"cgv_{change}{token[4:]}", token[:-1] + change):
            if bent != token:
                assert refusal(bent) == "session_token_forged"

    def test_computes_no_mac_of_a_text_that_is_too_long(self) -> None:
        assert refusal("cgv_".ljust(1_024, "x")) == "session_token_forged"
        assert refusal("cgv_".ljust(1_025, "x")) == "not_a_session_token"

    def test_refuses_a_mac_with_loose_bits(self) -> None:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        token = mint(VISITOR, RING)
        assert refusal(token[:-1] + alphabet[alphabet.index(token[-1]) + 1]) == "session_token_forged"

    def test_refuses_a_stranger(self) -> None:
        assert refusal(mint(VISITOR, CredentialRing(1, (Material(b"s" * 32),)))) == "session_token_forged"

    def test_refuses_another_purpose_of_the_same_key(self) -> None:
        assert refusal(sealed([1], prefix="cgt_")) == "not_a_session_token"

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"\xff",
            b"[[[[",
            {},
            [],
            [2, "ses", "usr", "prj", "app", "anonymous", NOW, NOW + 1],
            [1, "ses", "usr", "prj", "app", "agent", NOW, NOW + 1],
            [1, "ses", "usr", "prj", "app", "anonymous", NOW],
            [1, "ses", "usr", "prj", "app", "anonymous", str(NOW), NOW + 1],
            [1, "ses", "usr", "prj", "app", "anonymous", NOW, NOW + 1, "more"],
        ],
    )
    def test_refuses_what_another_release_minted(self, payload: object) -> None:
        assert refusal(sealed(payload)) == "session_token_of_another_release"

    @given(st.text(max_size=60) | st.text("cgv_.AQ=", max_size=60).map(lambda text: "cgv_" + text))
    def test_refuses_noise(self, noise: str) -> None:
        assert refusal(noise)


class TestLife:
    def test_of_a_visitor_slides(self) -> None:
        later = UnixMs(NOW + 179 * DAY_MS)
        assert read(mint(VISITOR, RING), RING, later) == VISITOR
        renewed = VISITOR.renewed(later)
        assert (renewed.user, renewed.session) == (VISITOR.user, VISITOR.session)
        assert renewed.expires_at == later + 180 * DAY_MS == later + ANONYMOUS_LIFE_MS

    def test_of_a_visitor_is_as_old_as_the_first_credential_however_often_it_is_renewed(self) -> None:
        assert VISITOR.born_at == NOW
        renewed = VISITOR
        for days in (100, 200, 300):
            renewed = read(mint(renewed.renewed(UnixMs(NOW + days * DAY_MS)), RING), RING, UnixMs(NOW + days * DAY_MS))
        assert (renewed.born_at, renewed.issued_at) == (NOW, NOW + 300 * DAY_MS)

    @pytest.mark.parametrize(
        ("age_ms", "needed"), [(0, False), (90 * DAY_MS - 1, False), (90 * DAY_MS, True), (179 * DAY_MS, True)]
    )
    def test_of_a_visitor_is_renewed_past_half(self, age_ms: int, needed: bool) -> None:
        assert needs_renewal(VISITOR, UnixMs(NOW + age_ms)) is needed

    def test_of_an_authenticated_visitor_is_an_hour_at_most(self) -> None:
        assert signed(*WHO, NOW, until=UnixMs(NOW + DAY_MS)).expires_at == NOW + SIGNED_LIFE_MS == NOW + 3_600_000
        assert signed(*WHO, NOW, until=UnixMs(NOW + 5)).expires_at == NOW + 5

    def test_of_an_authenticated_visitor_is_renewed_by_a_customer_token_only(self) -> None:
        credential = signed(*WHO, NOW, until=UnixMs(NOW + DAY_MS))
        assert not needs_renewal(credential, UnixMs(NOW + 179 * DAY_MS))
        with pytest.raises(ValueError, match="customer token"):
            credential.renewed(NOW)

    def test_remaining_is_what_a_tombstone_needs(self) -> None:
        assert VISITOR.remaining_ms(NOW) == ANONYMOUS_LIFE_MS
        assert VISITOR.remaining_ms(UnixMs(VISITOR.expires_at + 5)) == 0


class TestRing:
    @pytest.mark.parametrize("keys", [(), (Material(b"x" * 31),), (NEW_KEY, Material(b""))])
    def test_without_a_good_key_is_refused(self, keys: tuple[Material, ...]) -> None:
        with pytest.raises(ValueError, match="at least one key"):
            CredentialRing(1, keys)

    def test_shows_no_key_when_printed(self) -> None:
        assert "nnnn" not in repr(RING)


@given(
    st.builds(
        Credential,
        *[st.text(max_size=20)] * 4,
        st.sampled_from(["anonymous", "signed"]),
        st.integers(0, NOW),
        st.integers(NOW + 1, 2**53),
    )
)
def test_whatever_is_minted_is_read(credential: Credential) -> None:
    try:
        token = mint(credential, RING)
    except UnicodeEncodeError:
        return
    assert read(token, RING, NOW) == credential


class TestTombstone:
    def test_outlives_the_cookie_of_whoever_is_kept_in_one(self) -> None:
        kept = UserId(COOKIE_USER + "0" * 20)
        assert longest_life_ms(kept) == COOKIE_LIFE_MS > ANONYMOUS_LIFE_MS

    def test_outlives_any_other_strangers_credential(self) -> None:
        assert longest_life_ms(UserId("usr_" + "c" * 20)) == ANONYMOUS_LIFE_MS
