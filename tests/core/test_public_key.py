"""Which public keys are taken, what is said of the others, and what is taken out of a set that somebody publishes."""

from __future__ import annotations

import ast
import inspect
import json
import re
import types
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.utils import to_base64url_uint
from tests.core.checks import mutants, run
from tests.core.jose import RSA_KEY, SIGNERS

from chatgateway.core import public_key as public_key_module
from chatgateway.core.public_key import (
    DOCUMENT_BYTES_MAX,
    FOLLOWED_MAX,
    PRIVATE,
    FollowedKey,
    PublicAlgorithm,
    PublicMaterial,
    followed_keys,
    public_material,
)

EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def pem(key: Any, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> str:
    return key.public_key().public_bytes(Encoding.PEM, form).decode()


def private_pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def jwk(key: Any) -> dict[str, Any]:
    """Return the JWK of a public or a private key, with nothing in it but the key."""
    writer = next(
        writer for kind, writer in (("RSA", RSAAlgorithm), ("EC", ECAlgorithm), ("Ed", OKPAlgorithm))
        if kind in type(key).__name__.replace("Elliptic", "EC")
    )  # fmt: skip
    made = writer.to_jwk(key, as_dict=True)
    return {name: value for name, value in made.items() if name != "key_ops"}


RSA_JWK, EC_JWK, ED_JWK = (jwk(key.public_key()) for key in (RSA_KEY, EC_KEY, ED_KEY))
RSA_PEM = pem(RSA_KEY)
_SMALL = rsa.generate_private_key(65_537, 1_024)


def _rsa_jwk(modulus: int, exponent: int) -> dict[str, str]:
    def number(value: int) -> str:
        return to_base64url_uint(value).decode()

    return {"kty": "RSA", "n": number(modulus), "e": number(exponent)}


GOOD: dict[str, tuple[str, PublicAlgorithm]] = {
    "RSA": (RSA_PEM, "RS256"),
    "RSA as PKCS1": (pem(RSA_KEY, PublicFormat.PKCS1), "RS256"),
    "EC": (pem(EC_KEY), "ES256"),
    "Ed25519": (pem(ED_KEY), "EdDSA"),
    "with white space around": (f"\n  {RSA_PEM}\n\n", "RS256"),
    "with the line ends of Windows": (RSA_PEM.replace("\n", "\r\n"), "RS256"),
    "RSA as JWK": (json.dumps(RSA_JWK), "RS256"),
    "EC as JWK": (json.dumps(EC_JWK), "ES256"),
    "Ed25519 as JWK": (json.dumps(ED_JWK), "EdDSA"),
    "JWK that says what it is for": (
        json.dumps({**RSA_JWK, "use": "sig", "alg": "RS256", "key_ops": ["verify"], "kid": "x", "x5t": "y"}), "RS256",
    ),
    "JWK with the newer name of its algorithm": (json.dumps({**ED_JWK, "alg": "Ed25519"}), "EdDSA"),
}  # fmt: skip

BAD: dict[str, tuple[str, str]] = {
    "nothing": ("", "is no public key"),
    "words": ("my key", "is no public key"),
    "base64 without its frame": (RSA_PEM.split("-----")[2], "is no public key"),
    "not ASCII": (RSA_PEM.replace("PUBLIC", "PUBLIÇ"), "is no public key"),
    "a long text": (RSA_PEM + " " * 20_000, "too long"),
    "a PEM that lost a line": ("\n".join([*RSA_PEM.split("\n")[:3], *RSA_PEM.split("\n")[4:]]), "was a line lost"),
    "a PEM of something else": (RSA_PEM.replace("PUBLIC KEY", "X509 CRL"), "was a line lost"),
    "two keys": (RSA_PEM + pem(EC_KEY), "several keys"),
    "a certificate": (RSA_PEM.replace("PUBLIC KEY", "CERTIFICATE"), "is a certificate"),
    "a key of OpenSSH": (
        RSA_KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(), "OpenSSH",
    ),
    "a private key": (private_pem(RSA_KEY), PRIVATE),
    "a private key of OpenSSL": (private_pem(RSA_KEY, PrivateFormat.TraditionalOpenSSL), PRIVATE),
    "a private key of OpenSSH": (private_pem(ED_KEY, PrivateFormat.OpenSSH), PRIVATE),
    "a private EC key": (private_pem(EC_KEY), PRIVATE),
    "a public key and a private one": (RSA_PEM + private_pem(RSA_KEY), PRIVATE),
    "a private JWK": (json.dumps(jwk(RSA_KEY)), PRIVATE),
    "a private EC JWK": (json.dumps(jwk(EC_KEY)), PRIVATE),
    "a private Ed25519 JWK": (json.dumps(jwk(ED_KEY)), PRIVATE),
    "an RSA key of 1024 bits": (pem(_SMALL), "2048 to 8192 bits here, that one 1024"),
    "an RSA JWK of 1024 bits": (json.dumps(jwk(_SMALL.public_key())), "that one 1024"),
    "an RSA JWK of 16000 bits": (json.dumps(_rsa_jwk(2**16_000 + 1, 65_537)), "that one 16001"),
    "a key on P-384": (pem(ec.generate_private_key(ec.SECP384R1())), "P-256"),
    "a JWK on P-384": (json.dumps(jwk(ec.generate_private_key(ec.SECP384R1()).public_key())), "P-256|holds no key"),
    "a key on secp256k1": (pem(ec.generate_private_key(ec.SECP256K1())), "P-256"),
    "an Ed448 key": (pem(ed448.Ed448PrivateKey.generate()), "unknown kind"),
    "an X25519 key": (pem(x25519.X25519PrivateKey.generate()), "unknown kind"),
    "a shared secret as JWK": ('{"kty":"oct","k":"c2VjcmV0"}', "shared secret"),
    "half a shared secret": ('{"kty":"oct"}', "shared secret"),
    "a secret in an RSA JWK": (json.dumps({**RSA_JWK, "k": "c2VjcmV0"}), "shared secret"),
    "a JWK of an unknown kind": ('{"kty":"AKP","pub":"x"}', "unknown kind"),
    "a JWK of no kind": (json.dumps({**RSA_JWK, "kty": ["RSA"]}), "unknown kind"),
    "a JWK for encryption": (json.dumps({**RSA_JWK, "use": "enc"}), '"use"'),
    "a JWK for wrapping": (json.dumps({**RSA_JWK, "key_ops": ["wrapKey"]}), '"key_ops"'),
    "a JWK with a text for operations": (json.dumps({**RSA_JWK, "key_ops": "verify"}), '"key_ops"'),
    "a JWK for RS512": (json.dumps({**RSA_JWK, "alg": "RS512"}), "another algorithm than RS256"),
    "a JWK for HS256": (json.dumps({**RSA_JWK, "alg": "HS256"}), "another algorithm than RS256"),
    **{
        f"an RSA JWK by which anybody could sign ({exponent})": (
            json.dumps(_rsa_jwk(RSA_KEY.public_key().public_numbers().n, exponent)), "part is missing",
        )
        for exponent in (1, 2, 65_536)
    },
    "a JWK without its modulus": (json.dumps({"kty": "RSA", "e": "AQAB"}), "part is missing"),
    "a JWK with a point off the curve": (json.dumps({**EC_JWK, "x": EC_JWK["y"]}), "part is missing"),
    "a JWK with half a point": (json.dumps({**ED_JWK, "x": "AAAA"}), "part is missing"),
    "a JWK with numbers for texts": (json.dumps({**RSA_JWK, "n": 5}), "part is missing"),
    "a set": (json.dumps({"keys": [RSA_JWK]}), "set of keys"),
    "a JWK with two kinds": ('{"kty":"RSA",' + json.dumps(RSA_JWK)[1:], "well-formed JWK: duplicate_name"),
    "a JWK that is cut": (json.dumps(RSA_JWK)[:-1], "well-formed JWK: not_json"),
    "a JWK with a lone surrogate": ('{"kty":"\ud800"}', "well-formed JWK"),
    "deep brackets": ('{"x":' + "[" * 5_000, "well-formed JWK: too_deep"),
}  # fmt: skip


class TestPasted:
    @pytest.mark.parametrize(("text", "algorithm"), GOOD.values(), ids=GOOD)
    def test_is_taken(self, text: str, algorithm: PublicAlgorithm) -> None:
        found, material = public_material(text)
        assert found == algorithm
        assert material.pem.startswith(b"-----BEGIN PUBLIC KEY-----\n")
        assert public_material(material.pem.decode()) == (found, material)

    def test_is_one_key_however_it_is_written(self) -> None:
        written = [RSA_PEM, pem(RSA_KEY, PublicFormat.PKCS1), json.dumps(RSA_JWK), json.dumps({**RSA_JWK, "kid": "x"})]
        assert len({public_material(text) for text in written}) == 1

    @pytest.mark.parametrize(("text", "sentence"), BAD.values(), ids=BAD)
    def test_is_refused_in_one_sentence(self, text: str, sentence: str) -> None:
        with pytest.raises(ValueError, match=sentence) as refusal:
            public_material(text)
        assert refusal.value.__cause__ is None
        assert "\n" not in str(refusal.value)

    def test_private_is_told_apart_from_broken(self) -> None:
        assert PRIVATE == "that is a private key: keep it on your server, paste the public one"

    @given(st.text() | st.text(min_size=1).map(lambda text: RSA_PEM.replace("A", text)))
    def test_noise_is_refused_or_a_key(self, text: str) -> None:
        try:
            assert public_material(text)[0] in get_args(PublicAlgorithm)
        except ValueError as refusal:
            assert "\n" not in str(refusal)


class TestMaterial:
    def test_hands_out_the_key_and_parses_it_once(self) -> None:
        _, material = public_material(RSA_PEM)
        assert material.key() is PublicMaterial(material.pem).key()

    @pytest.mark.parametrize("junk", [b"", b"x" * 40, pem(_SMALL).encode(), private_pem(RSA_KEY).encode()])
    def test_that_may_not_vouch_hands_out_nothing(self, junk: bytes) -> None:
        with pytest.raises(ValueError, match="key"):
            PublicMaterial(junk).key()

    def test_is_no_bytes(self) -> None:
        """What has no ``reveal`` cannot be taken for a shared secret."""
        assert not hasattr(PublicMaterial(b""), "reveal")


def document(*keys: object, **more: object) -> bytes:
    return json.dumps({"keys": keys, **more}).encode()


BAD_DOCUMENTS = [
    (b"", "well-formed"),
    (b"\xff", "well-formed"),
    (b"[]", "well-formed"),
    (b"<html>", "well-formed"),
    (b'{"keys":' + b"[" * 9_999, "well-formed JSON: too_deep"),
    (b'{"keys":[],"keys":[]}', "well-formed JSON: duplicate_name"),
    (b"{}", 'no list "keys"'),
    (b'{"keys":[]}', "nothing in it"),
    (b'{"keys":{"kty":"RSA"}}', 'no list "keys"'),
    (b" " * (DOCUMENT_BYTES_MAX + 1), "bytes"),
    (document({"kty": "oct", "k": "c2VjcmV0"}), "holds no key"),
    (document({**EC_JWK, "kid": "not safe"}), "holds no key"),
    (document({**EC_JWK, "kid": 5}), "holds no key"),
]


class TestFollowedKeys:
    def test_are_those_that_may_vouch_in_their_order(self) -> None:
        found = followed_keys(document({**RSA_JWK, "kid": "a/b+c="}, EC_JWK, {**ED_JWK, "kid": "3"}, extra=1))
        assert [(key.kid, key.algorithm) for key in found] == [("a/b+c=", "RS256"), (None, "ES256"), ("3", "EdDSA")]
        assert found[0] == FollowedKey("a/b+c=", *public_material(RSA_PEM))

    @pytest.mark.parametrize(
        "other",
        [
            {"kty": "oct", "k": "c2VjcmV0", "kid": "s"},
            {**RSA_JWK, "use": "enc"},
            {**RSA_JWK, "alg": "RSA-OAEP"},
            jwk(_SMALL.public_key()),
            jwk(EC_KEY),
            {"kty": "AKP"},
            {**EC_JWK, "kid": "not safe"},
            {**EC_JWK, "kid": 5},
            {**EC_JWK, "kid": ""},
            "key",
            None,
            [],
        ],
        ids=str,
    )
    def test_are_found_beside_what_may_not_be_used(self, other: object) -> None:
        assert [key.algorithm for key in followed_keys(document(other, ED_JWK))] == ["EdDSA"]
        with pytest.raises(ValueError, match="holds no key"):
            followed_keys(document(other))

    def test_are_told_once(self) -> None:
        assert len(followed_keys(document(ED_JWK, ED_JWK, {**ED_JWK, "kid": "1"}, {**ED_JWK, "kid": "1"}))) == 2

    def test_are_at_most_64(self) -> None:
        many = [{**ED_JWK, "kid": str(n)} for n in range(FOLLOWED_MAX + 5)]
        assert [key.kid for key in followed_keys(document(*many))] == [str(n) for n in range(64)]

    @pytest.mark.parametrize(("bytes_", "sentence"), BAD_DOCUMENTS)
    def test_are_not_in_a_document_that_is_none(self, bytes_: bytes, sentence: str) -> None:
        with pytest.raises(ValueError, match=sentence):
            followed_keys(bytes_)

    @given(st.binary())
    def test_noise_is_refused(self, noise: bytes) -> None:
        with pytest.raises(ValueError, match="key"):
            followed_keys(noise)


def _misjudged(module: types.ModuleType) -> list[str]:
    """Return what is taken, or refused for something else than it is: junk, to whom it is said so, is pasted again."""
    wrong: list[str] = []
    texts = [(module.public_material, text, sentence) for text, sentence in BAD.values()]
    documents = [(module.followed_keys, each, sentence) for each, sentence in BAD_DOCUMENTS]
    for read, given_, sentence in (*texts, *documents):
        try:
            read(given_)
        except ValueError as refusal:
            if re.search(sentence, str(refusal)):
                continue
        except (TypeError, AttributeError, KeyError):
            pass
        wrong.append(sentence)
    return wrong


def test_judges_all_of_them_right_when_nothing_is_deleted() -> None:
    assert _misjudged(run(public_key_module, inspect.getsource(public_key_module))) == []


@pytest.mark.parametrize("mutant", [pytest.param(mutant, id=name) for name, mutant in mutants(public_key_module)])
def test_deleting_a_check_misjudges_a_key(mutant: ast.Module) -> None:
    assert _misjudged(run(public_key_module, mutant))


def test_signers_of_the_corpus_are_good_keys_but_for_one() -> None:
    for kid, signer in SIGNERS.items():
        if signer.algorithm != "HS256" and kid != "k_weak_rsa":
            assert public_material(signer.public().decode())[0] == signer.algorithm
