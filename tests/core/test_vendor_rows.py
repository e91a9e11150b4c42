"""What the vendors' own texts promise about tokens, row by row; the ids are those of the migration pages.

Rows that no test of this folder can show: A7, P16 and P21 need a running gateway; D2 (the payload is readable, so it
holds no secrets) and L11's session variables bind the project's server and the page, not us; D18 is about mobile SDKs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.core.cases import SAMPLES, profile_of, saying
from tests.core.jose import NOW, NOW_S, PROJECT, RING, SIGNERS, STRANGER, Json, Signer, b64, b64_bytes, to_json, token
from tests.core.test_public_key import RSA_PEM, private_pem

from chatgateway.core.compact import read
from chatgateway.core.keyring import KeyRing, is_secret_like, public_key, secret_from, shared_secret
from chatgateway.core.person import EVERYONE, SIGNED, Identifier, Person, described, named
from chatgateway.core.profiles import DESKPRO, LIVECHAT, PINGSTREAMS, PLAIN, TILEDESK, ClaimsProfile
from chatgateway.core.token import Verified, verify
from chatgateway.errors import PeerError, TokenExpired
from chatgateway.types import KeyId, UnixMs, UserId


def accepted(made: str, profile: ClaimsProfile, ring: KeyRing = RING) -> Verified:
    return verify(made, PROJECT, ring, profile, NOW)


def reason(made: object, profile: ClaimsProfile, ring: KeyRing = RING) -> str:
    with pytest.raises(PeerError) as refusal:
        verify(made, PROJECT, ring, profile, NOW)
    return refusal.value.detail


def external(text: str) -> tuple[Identifier, ...]:
    return (Identifier("external_id", text),)


class TestAnchors:
    @pytest.mark.parametrize("sample", SAMPLES)
    def test_A2_one_flipped_byte_is_refused(self, sample: str) -> None:
        profile = profile_of(sample)
        header, claims, signature = saying(sample).split(".")
        flipped = bytearray(b64_bytes(signature))
        flipped[0] ^= 1
        assert accepted(f"{header}.{claims}.{signature}", profile)
        assert reason(f"{header}.{claims}.{b64(bytes(flipped))}", profile) == "bad_signature"

    @pytest.mark.parametrize("sample", SAMPLES)
    def test_A3_the_same_user_signs_in_by_public_key_and_by_shared_secret(self, sample: str) -> None:
        profile = profile_of(sample)
        people = {accepted(saying(sample, kid=kid), profile).identifiers for kid in ("k_main", "k_rsa", "k_ec", "k_ed")}
        assert len(people) == 1

    def test_A5_name_A_then_name_B_with_the_same_id_is_one_user_named_B(self) -> None:
        person = Person(UserId("usr_1"))
        for name in ("A", "B"):
            said = accepted(saying("plain", fullName=name), PLAIN)
            person = described(named(person, said.identifiers, NOW), said.description, NOW, signed=True)
        assert (person.name, person.identifiers) == ("B", external("u-1"))


class TestPlain:
    PASTED = public_key(KeyId("k_pasted"), RSA_PEM, "chat", UnixMs(NOW - 1))
    RING = KeyRing(1, (PASTED,))

    def test_P3_shows_the_right_full_name_and_email(self) -> None:
        said = accepted(saying("plain"), PLAIN).description
        assert (said.name, said.short_name, said.email) == ("Ada Lovelace", "Ada", "ada@example.com")

    def test_P4_the_private_key_is_refused_so_it_never_leaves_their_server(self) -> None:
        with pytest.raises(ValueError, match="keep it on your server"):
            public_key(KeyId("k_1"), private_pem(SIGNERS["k_rsa"].key), "chat", NOW)

    def test_P5_an_internal_name_and_a_pasted_pem_make_a_key_and_there_may_be_several(self) -> None:
        other = public_key(KeyId("k_other"), SIGNERS["k_ec"].public().decode(), "mobile", NOW)
        assert [key.name for key in self.RING.add(other).usable()] == ["mobile", "chat"]

    def test_P7_is_RS256_with_a_lifetime_of_an_hour(self) -> None:
        made = saying("plain", kid="k_rsa", exp=NOW_S + 3_600)
        assert read(made).header["alg"] == "RS256"
        verified = accepted(made, PLAIN)
        assert verified.expires_at - verified.issued_at == 3_600_000 + PLAIN.leeway_ms

    def test_P7_without_kid_by_a_pasted_key(self) -> None:
        made = token(SAMPLES["plain"], kid=None, signer=SIGNERS["k_rsa"])
        assert accepted(made, PLAIN, self.RING).kid == "k_pasted"

    @pytest.mark.parametrize("name", ["fullName", "email", "externalId"])
    def test_P8_fullName_email_and_externalId_are_required(self, name: str) -> None:
        assert reason(saying("plain", name), PLAIN) in ("claim_missing", "id_missing")

    def test_P8_shortName_is_optional(self) -> None:
        assert accepted(saying("plain", "shortName"), PLAIN).description.short_name is None

    @pytest.mark.parametrize("mail", [{"email": "ada@example.com"}, {"isVerified": True}, {}])
    def test_P8_email_and_isVerified_are_required_inside_email(self, mail: Json) -> None:
        assert reason(saying("plain", email=mail), PLAIN) == "claim_missing"

    @pytest.mark.parametrize("proved", [True, False])
    def test_P9_isVerified_says_whether_the_address_is_proved_and_the_person_is_signed_all_the_same(
        self, proved: bool
    ) -> None:
        said = accepted(saying("plain", email={"email": "ada@example.com", "isVerified": proved}), PLAIN)
        person = described(named(Person(UserId("usr_1")), said.identifiers, NOW), said.description, NOW, signed=True)
        assert (person.email, person.email_proved, person.vouched) == ("ada@example.com", proved, True)

    def test_P10_externalId_is_the_identity_and_the_address_is_none(self) -> None:
        assert accepted(saying("plain"), PLAIN).identifiers == external("u-1")
        moved = saying("plain", email={"email": "ada@elsewhere.example", "isVerified": True})
        assert accepted(moved, PLAIN).identifiers == external("u-1")

    def test_P22_nobody_is_impersonated_without_the_private_key(self) -> None:
        """Not with the public key either, as a secret or as a key that the token brings along."""
        by_public = Signer("HS256", SIGNERS["k_rsa"].public())
        forgeries = [
            token(SAMPLES["plain"], signer=STRANGER, kid=None),
            token(SAMPLES["plain"], signer=by_public, kid=None),
            token(SAMPLES["plain"], signer=by_public, kid="k_pasted"),
            token(SAMPLES["plain"], header={"alg": "RS256"}, signer=by_public),
            token(SAMPLES["plain"], header={"alg": "none"}, signer=Signer("none", None)),
            token(SAMPLES["plain"], header={"alg": "RS256", "jwk": {"kty": "RSA"}}, signer=by_public),
        ]
        for made in forgeries:
            assert reason(made, PLAIN, self.RING)


class TestTiledesk:
    def test_T6_a_secret_in_the_place_of_a_token_is_refused_and_noticed(self) -> None:
        secret = secret_from(b"s" * 32, live=True)
        assert reason(secret, TILEDESK) == "segments"
        assert is_secret_like(secret)

    def test_T7_payload_of_name_email_iat_exp_and_external_id(self) -> None:
        assert SAMPLES["tiledesk"].keys() == {"name", "email", "iat", "exp", "external_id"}
        verified = accepted(saying("tiledesk"), TILEDESK)
        assert verified.identifiers == external("u-1")
        assert (verified.description.name, verified.description.email) == ("Ada Lovelace", "ada@example.com")
        assert (verified.dropped, verified.warnings) == ((), ())

    @pytest.mark.parametrize("sample", ["tiledesk", "tiledesk newer"])
    def test_T8_exp_at_most_ten_minutes_after_iat(self, sample: str) -> None:
        assert accepted(saying(sample, exp=NOW_S + 600), TILEDESK)
        assert reason(saying(sample, exp=NOW_S + 601), TILEDESK) == "life_too_long"

    def test_T8_iat_in_seconds_with_up_to_two_minutes_of_skew(self) -> None:
        assert accepted(saying("tiledesk", iat=NOW_S + 120, exp=NOW_S + 720), TILEDESK)
        assert accepted(saying("tiledesk", iat=NOW_S - 700, exp=NOW_S - 119), TILEDESK)
        assert reason(saying("tiledesk", iat=NOW_S + 121, exp=NOW_S + 700), TILEDESK) == "issued_in_the_future"
        with pytest.raises(TokenExpired):
            accepted(saying("tiledesk", iat=NOW_S - 700, exp=NOW_S - 120), TILEDESK)
        assert reason(saying("tiledesk", iat=NOW, exp=NOW + 600_000), TILEDESK) == "instant_out_of_range"

    def test_T8_external_id_is_what_two_tokens_of_one_person_share(self) -> None:
        renamed = saying("tiledesk", name="Ada King", email="king@example.com")
        assert accepted(renamed, TILEDESK).identifiers == accepted(saying("tiledesk"), TILEDESK).identifiers

    def test_T9_algorithm_is_the_node_librarys_default(self) -> None:
        secret = secret_from(b"t" * 32, live=True)
        ring = KeyRing().add(shared_secret(KeyId("k_1"), secret, "", NOW))
        made = token(
            SAMPLES["tiledesk"], header={"alg": "HS256", "typ": "JWT"}, signer=Signer("HS256", secret.encode())
        )
        assert accepted(made, TILEDESK, ring).kid == "k_1"

    def test_T10_bare_or_with_the_prefix(self) -> None:
        assert accepted("JWT " + saying("tiledesk"), TILEDESK) == accepted(saying("tiledesk"), TILEDESK)

    def test_T14_both_generations_name_the_same_person(self) -> None:
        older, newer = (accepted(saying(sample), TILEDESK) for sample in ("tiledesk", "tiledesk newer"))
        assert older.identifiers == newer.identifiers == external("u-1")

    def test_newer_samples_carry_no_exp_and_are_warned_of(self) -> None:
        verified = accepted(saying("tiledesk newer"), TILEDESK)
        assert (verified.warnings, verified.session_max_ms) == (("exp_missing",), 3_600_000)
        with pytest.raises(TokenExpired):
            accepted(saying("tiledesk newer", iat=NOW_S - 720), TILEDESK)
        assert reason(saying("tiledesk", "exp"), TILEDESK) == "exp_missing"


def on_demand(**claims: Any) -> str:
    """The documented payload of somebody whom we need not know yet."""
    return token({"email": "john.smith@example.com", "first_name": "John", "last_name": "Smith", **claims})


class TestDeskpro:
    def test_D1_HS256_by_the_key_that_the_host_signs_with(self) -> None:
        assert read(on_demand()).header["alg"] == "HS256"
        assert accepted(on_demand(), DESKPRO).kid == "k_main"

    def test_D3_failed_validation_rejects_the_payload(self) -> None:
        header, _, signature = on_demand().split(".")
        other = b64(to_json({"email": "boss@example.com"}))
        assert reason(f"{header}.{other}.{signature}", DESKPRO) == "bad_signature"

    @pytest.mark.parametrize("name", SAMPLES["deskpro"])
    def test_D8_every_field_is_optional(self, name: str) -> None:
        assert accepted(saying("deskpro", name), DESKPRO)

    @pytest.mark.parametrize("name", ["deskpro_id", "email"])
    def test_D8_one_identifier_alone_is_enough_and_none_is_not(self, name: str) -> None:
        assert accepted(token({name: SAMPLES["deskpro"][name]}), DESKPRO)
        assert reason(token({"name": "John"}), DESKPRO) == "id_missing"

    def test_D9_deskpro_id_and_email_identify_each_in_a_namespace_of_its_own(self) -> None:
        assert accepted(saying("deskpro"), DESKPRO).identifiers == (
            Identifier("deskpro_id", "42"),
            Identifier("deskpro_email", "ada@example.com"),
        )
        assert accepted(saying("deskpro", "email"), DESKPRO).identifiers == (Identifier("deskpro_id", "42"),)

    def test_D10_two_identifiers_are_both_told_so_that_a_conflict_can_be_seen(self) -> None:
        crossed = accepted(saying("deskpro", email="somebody@else.example"), DESKPRO).identifiers
        assert crossed == (Identifier("deskpro_id", "42"), Identifier("deskpro_email", "somebody@else.example"))

    def test_D11_other_fields_describe_the_user(self) -> None:
        said = accepted(saying("deskpro"), DESKPRO)
        assert said.dropped == ()
        assert (said.description.name, said.description.email) == ("Ada Lovelace", "Ada@Example.com")
        assert said.description.emails == ("ada@example.com", "ada@work.example")
        assert (said.description.organization, said.description.language) == ("7", "1")
        assert (said.description.timezone, said.description.labels) == ("Europe/Berlin", ("vip",))
        assert said.description.fields == {"plan": "gold", "tags": ("a", "b")}
        assert accepted(saying("deskpro", name="Countess"), DESKPRO).description.name == "Countess"

    def test_D12_everyone_signed_is_in_1_and_2_and_a_token_names_only_other_groups(self) -> None:
        said = accepted(saying("deskpro", usergroup_ids=["1", "2", "3", "4"]), DESKPRO)
        assert (said.description.groups, said.warnings) == (
            ("3", "4"),
            ("exp_missing", "iat_missing", "reserved_group"),
        )
        person = described(named(Person(UserId("usr_1")), said.identifiers, NOW), said.description, NOW, signed=True)
        assert person.all_groups == (EVERYONE, SIGNED, "3", "4")

    def test_D14_upfront_tokens_hold_just_deskpro_id(self) -> None:
        verified = accepted(token({"deskpro_id": "42"}), DESKPRO)
        assert verified.identifiers == (Identifier("deskpro_id", "42"),)
        assert verified.description == replace(verified.description, name=None, email=None, fields=None)

    def test_D15_on_demand_tokens_describe_whom_we_do_not_know_yet(self) -> None:
        verified = accepted(on_demand(usergroup_ids=["3", "4"]), DESKPRO)
        assert verified.identifiers == (Identifier("deskpro_email", "john.smith@example.com"),)
        assert (verified.description.name, verified.description.groups) == ("John Smith", ("3", "4"))

    def test_tokens_without_times_give_a_session_of_an_hour_and_a_warning(self) -> None:
        verified = accepted(token({"deskpro_id": "42"}), DESKPRO)
        assert ("exp_missing" in verified.warnings, verified.session_max_ms) == (True, 3_600_000)


class TestPingstreams:
    @pytest.mark.parametrize("name", ["_id", "sub", "aud", "email"])
    def test_S12_id_sub_aud_and_email_are_required(self, name: str) -> None:
        assert reason(saying("pingstreams newer", name), PINGSTREAMS) in ("claim_missing", "id_missing")

    def test_S12_id_starts_with_the_project_and_an_underscore(self) -> None:
        assert accepted(saying("pingstreams newer"), PINGSTREAMS).identifiers == external("u-1")
        assert reason(saying("pingstreams newer", _id="prj_other_u-1"), PINGSTREAMS) == "another_project"

    def test_S12_sub_is_userexternal(self) -> None:
        assert reason(saying("pingstreams newer", sub="user"), PINGSTREAMS) == "claim_value"

    def test_S12_aud_is_an_address_ending_in_the_project(self) -> None:
        assert accepted(saying("pingstreams newer", aud=f"https://any.example/projects/{PROJECT}"), PINGSTREAMS)
        wrong = saying("pingstreams newer", aud="https://any.example/projects/prj_other")
        assert reason(wrong, PINGSTREAMS) == "another_project"

    def test_S12_firstname_lastname_and_attributes_are_optional(self) -> None:
        said = accepted(saying("pingstreams newer"), PINGSTREAMS).description
        assert (said.name, said.fields) == ("Ada Lovelace", {"plan": "gold", "tags": ("a", "b")})
        bare = accepted(saying("pingstreams newer", "firstname", "lastname", "attributes"), PINGSTREAMS).description
        assert (bare.name, bare.fields) == (None, None)

    def test_S12_attributes_of_other_types_are_dropped_and_reported(self) -> None:
        verified = accepted(saying("pingstreams newer", attributes={"a": "b", "n": 5, "o": {}}), PINGSTREAMS)
        assert (verified.description.fields, verified.dropped) == ({"a": "b"}, ("attributes.n", "attributes.o"))

    def test_S4_the_same_person_is_recognised_by_both_generations(self) -> None:
        older, newer = (accepted(saying(sample), PINGSTREAMS) for sample in ("pingstreams", "pingstreams newer"))
        assert older.identifiers == newer.identifiers


class TestLiveChat:
    def test_L11_identity_is_an_id_and_not_metadata(self) -> None:
        verified = accepted(saying("livechat", name="Ada", email="ada@example.com"), LIVECHAT)
        assert verified.identifiers == external("u-1")
        assert (verified.description.name, verified.description.email) == (None, None)
        assert verified.dropped == ("name", "email")

    @pytest.mark.parametrize("name", ["organization_id", "license_id"])
    def test_L17_organisation_or_licence_must_be_the_connections_project(self, name: str) -> None:
        assert accepted(saying("livechat", **{name: PROJECT}), LIVECHAT)
        assert reason(saying("livechat", **{name: "other"}), LIVECHAT) == "another_project"
