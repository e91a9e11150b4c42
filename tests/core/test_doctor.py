"""Every typical mistake gets its sentence, with cause and cure, and the verdict is always the verifier's."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.cases import Case
from tests.core.checks import outcome
from tests.core.doctor_corpus import CORPUS
from tests.core.hostile_tokens import HONEST, HOSTILE
from tests.core.jose import CLAIMS, NOW, PROJECT, REVOKED_ON_THIS_NODE, RING, SIGNERS, STRANGER, Signer, claiming, token
from tests.core.mistaken import GOOD, SECRET, SECRETS_ONLY, Mistaken

from chatgateway.core.compact import Reason
from chatgateway.core.doctor import SENTENCES, Diagnosis, Mistake, diagnose
from chatgateway.core.doctor.finding import shown, spoken
from chatgateway.core.keyring import Material
from chatgateway.core.profiles import CANONICAL, PROFILES


def examined(case: Mistaken) -> Diagnosis:
    return diagnose(
        case.token,
        PROJECT,
        case.ring,
        case.profile,
        NOW,
        revoked=REVOKED_ON_THIS_NODE,
        elsewhere=case.elsewhere,
        one_time=case.one_time,
        require_expiry="on" if case.demands_expiry else "off",
    )


def said(diagnosis: Diagnosis) -> str:
    """Everything that anybody may read of a diagnosis."""
    return "\n".join([diagnosis.sentence, repr(diagnosis.facts), *(finding.sentence for finding in diagnosis.also)])


class TestMistakes:
    @pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
    def test_get_a_sentence_with_cause_and_cure(self, case: Mistaken) -> None:
        diagnosis = examined(case)
        assert (diagnosis.mistake, diagnosis.reason) == (case.mistake, case.reason), diagnosis.sentence
        for words in (*case.cause, *case.fix):
            assert words in diagnosis.sentence
        assert diagnosis.verdict == ("bad" if case.reason else "warn")

    def test_are_told_in_one_readable_sentence(self) -> None:
        for case in CORPUS:
            sentence = examined(case).sentence
            assert sentence.endswith("."), case.name
            assert sentence.isprintable(), case.name
            assert len(sentence) < 320, case.name
            assert re.sub(r'"\w+": ', "", sentence).count(": ") == 1, sentence

    def test_are_many_and_each_word_of_the_doctors_is_one(self) -> None:
        known = {case.mistake for case in CORPUS}
        assert len(known) >= 40
        asks_the_store = {"id_of_nobody"}
        assert {*get_args(Mistake)} - asks_the_store <= known


_, _, BODY, SUM = SECRET.split(b"_")

FORMS: dict[str, tuple[bytes, ...]] = {
    "secret_encoded": (
        base64.b64encode(SECRET),
        base64.urlsafe_b64encode(SECRET),
        base64.b64encode(SECRET).rstrip(b"="),
    ),
    "secret_hashed": tuple(
        form
        for name in ("sha256", "sha512", "md5")
        for form in (hashlib.new(name, SECRET).digest(), hashlib.new(name, SECRET).hexdigest().encode())
    ),
    "secret_cut": (
        BODY, BODY + b"_" + SUM, BODY + SUM, SECRET[4:], SECRET[:-7], SECRET[:-1], SECRET[1:], SECRET[:32], SECRET[:16],
    ),
    "secret_with_white_space": (SECRET + b"\n", SECRET + b"\r\n", SECRET + b"\r", SECRET + b" ", b" " + SECRET),
    "secret_with_quotes": (b'"' + SECRET + b'"', b"'" + SECRET + b"'", b"`" + SECRET + b"`"),
}  # fmt: skip
"""The many ways in which people hold one secret."""


@pytest.mark.parametrize(("mistake", "form"), [(mistake, form) for mistake, forms in FORMS.items() for form in forms])
@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
def test_a_secret_is_known_in_each_of_its_forms(mistake: str, form: bytes, algorithm: str) -> None:
    made = token(kid=None, signer=Signer(algorithm, form))
    diagnosis = diagnose(made, PROJECT, SECRETS_ONLY, CANONICAL, NOW)
    assert mistake in (diagnosis.mistake, *(finding.mistake for finding in diagnosis.also))


class TestReasons:
    def test_have_a_sentence_each(self) -> None:
        assert {*get_args(Reason), "token_expired", "key_revoked", "identity_conflict", "forbidden"} == SENTENCES.keys()

    @pytest.mark.parametrize("word", SENTENCES)
    def test_say_cause_and_cure_in_one_sentence(self, word: Any) -> None:
        cause, fix = SENTENCES[word]
        assert len(cause) > 10
        assert len(fix) > 5
        assert not cause.endswith(".")
        assert not fix.endswith(".")
        assert ": " not in cause
        assert ": " not in re.sub(r'"\w+": ', "", fix)


class TestVerdict:
    @pytest.mark.parametrize("case", (*HONEST, *HOSTILE), ids=lambda case: case.name)
    def test_is_the_verifiers(self, case: Case) -> None:
        diagnosis = diagnose(case.token, PROJECT, RING, case.profile, NOW, revoked=REVOKED_ON_THIS_NODE)
        assert diagnosis.reason == outcome(case)
        assert (diagnosis.verdict == "bad") is bool(case.expected)

    def test_of_a_good_token_says_who_and_by_which_key(self) -> None:
        diagnosis = diagnose(GOOD, PROJECT, RING, CANONICAL, NOW)
        assert diagnosis.verdict == "ok"
        assert diagnosis.sentence == "The token is good: external_id u-1, signed with k_main (HS256, active)."
        assert diagnosis.facts.life == "10 minutes"
        assert diagnosis.facts.read == ("external_id", "name", "email", "iat", "exp")

    def test_goes_on_behind_the_first_fault(self) -> None:
        made = claiming(exp=str(NOW), role="admin")
        diagnosis = diagnose(f'"{made}"', PROJECT, RING, CANONICAL, NOW)
        assert diagnosis.mistake == "quoted"
        assert [finding.mistake for finding in diagnosis.also] == ["instant_as_text", "rights"]
        assert diagnosis.facts.key == "k_main (HS256, active)"
        assert diagnosis.facts.role_like == ("role",)

    def test_names_what_the_verifier_would_say_next(self) -> None:
        diagnosis = diagnose(f"Bearer {token(signer=STRANGER, kid=None)}", PROJECT, RING, CANONICAL, NOW)
        assert [finding.mistake for finding in diagnosis.also] == ["bad_signature"]

    @pytest.mark.parametrize("profile", PROFILES)
    def test_tells_the_profile_that_a_token_was_written_for(self, profile: str) -> None:
        from tests.core.cases import SAMPLES

        diagnosis = diagnose(token(SAMPLES[profile]), PROJECT, RING, PROFILES[profile], NOW)
        assert (diagnosis.facts.profile, diagnosis.facts.looks_like) == (profile, profile)


def _secrets() -> Iterator[str]:
    for signer in (*SIGNERS.values(), STRANGER):
        if isinstance(signer.key, bytes):
            yield signer.key.decode()


class TestDiscretion:
    """Nothing that a diagnosis says could be used to become somebody."""

    def test_neither_token_nor_secret_is_said(self) -> None:
        for case in (*CORPUS, *HONEST, *HOSTILE):
            if isinstance(case, Mistaken):
                told = said(examined(case))
            else:
                told = said(diagnose(case.token, PROJECT, RING, case.profile, NOW, revoked=REVOKED_ON_THIS_NODE))
            assert not re.search(r"eyJ|cg[sva]_[a-zA-Z0-9]", told), case.name
            assert not any(secret in told for secret in _secrets()), case.name
            assert not any(run in told for run in str(case.token).split(".") if len(run) > 20), case.name

    @pytest.mark.parametrize("claim", ["external_id", "name", "sub", "aud", "kid", "x"])
    def test_a_secret_in_a_claim_is_not_said(self, claim: str) -> None:
        secret = f"cgs_live_{'A' * 43}_000000"
        for made in (claiming(**{claim: secret}), claiming(**{secret: "x"}), token(kid=secret, signer=STRANGER)):
            assert "AAAAAAAA" not in said(diagnose(made, PROJECT, RING, CANONICAL, NOW))

    def test_strangers_characters_do_not_reach_the_screen(self) -> None:
        assert shown("a\x1b[31mb\u202ec") == "a�[31mb�c"
        assert shown("x " * 40) == "x " * 32 + "…"
        assert shown(5) == "a number"


class TestNeverRaises:
    @given(st.one_of(st.text(), st.text("JWTey.-_=AQ \"'{}[]<>%:/\n", max_size=200), st.integers(), st.none()))
    def test_whatever_is_pasted(self, pasted: object) -> None:
        assert diagnose(pasted, PROJECT, RING, CANONICAL, NOW).verdict == "bad"

    @given(st.integers(0, 400), st.text(max_size=4), st.integers(0, 40))
    def test_however_a_token_is_bent(self, at: int, put: str, gone: int) -> None:
        bent = GOOD[:at] + put + GOOD[at + gone :]
        diagnosis = diagnose(bent, PROJECT, RING, CANONICAL, NOW)
        assert (diagnosis.verdict == "bad") is bool(outcome(Case("", bent, "")))

    @given(
        st.dictionaries(
            st.sampled_from([*CLAIMS, "sub", "aud", "nbf", "kid", "_id", "fullName", "isVerified"])
            | st.text(max_size=8),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
                max_leaves=8,
            ),
            max_size=8,
        ),
        st.sampled_from([*PROFILES]),
    )
    def test_whatever_is_signed(self, claims: dict[str, Any], profile: str) -> None:
        made = token({**CLAIMS, **claims})
        diagnosis = diagnose(made, PROJECT, RING, PROFILES[profile], NOW)
        assert diagnosis.reason == outcome(Case("", made, "", PROFILES[profile]))
        assert said(diagnosis)

    @given(st.binary(max_size=60), st.binary(max_size=60))
    def test_whatever_bytes_are_signed(self, header: bytes, claims: bytes) -> None:
        assert diagnose(token(claims, header), PROJECT, RING, CANONICAL, NOW).verdict == "bad"

    def test_however_broken_the_ring(self) -> None:
        from dataclasses import replace

        from chatgateway.core.keyring import KeyRing

        broken = KeyRing(1, tuple(replace(key, material=Material(b"")) for key in RING.keys))
        assert diagnose(GOOD, PROJECT, broken, CANONICAL, NOW).verdict == "bad"


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 seconds"),
        (1_000, "1 second"),
        (61_000, "1 minute 1 second"),
        (3_600_000, "1 hour"),
        (-90_000_000, "1 day 1 hour"),
    ],
)
def test_durations_are_words(ms: int, words: str) -> None:
    assert spoken(ms) == words
