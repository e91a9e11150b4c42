"""Tokens that are signed by the wrong key, in the wrong way, or say the wrong thing about it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from tests.core.jose import NOW, PROJECT, RING, RSA_KEY, SIGNERS, STRANGER, Signer, b64, b64_bytes, token
from tests.core.mistaken import DEAD_ONLY, PUBLIC_ONLY, SECRET, SECRETS_ONLY, Mistaken, one

from chatgateway.core.keyring import KeyRing, Material
from chatgateway.types import UnixMs


def headers() -> Iterator[Mistaken]:
    unsigned = Signer("none", None)
    yield one(
        "alg none",
        token(alg="none", kid=None, signer=unsigned),
        "unsigned",
        "no_key_of_this_kind",
        "alg none",
        "sign it",
    )
    yield one(
        "alg none with a kid", token(alg="none", signer=unsigned), "unsigned", "alg_mismatch", "alg none", "sign it"
    )
    yield one("alg hs256", token(alg="hs256"), "alg_spelled", "alg_mismatch", "spelled hs256", "HS256")
    yield one("alg of nobody", token(alg="MD5"), "alg_unknown", "alg_mismatch", "MD5", "sign with")
    yield one(
        "RS256, only secrets",
        token(kid=None, signer=SIGNERS["k_rsa"]),
        "only_secrets",
        "no_key_of_this_kind",
        "RS256|only shared secrets",
        "add your public key",
        ring=SECRETS_ONLY,
    )
    yield one(
        "HS256, only public keys",
        token(kid=None),
        "only_public_keys",
        "no_key_of_this_kind",
        "only public keys",
        "private key",
        ring=PUBLIC_ONLY,
    )
    yield one(
        "HS512",
        token(kid=None, signer=Signer("HS512", SECRET)),
        "alg_variant",
        "no_key_of_this_kind",
        "HS512|with the right key (k_main)",
        "HS256",
        ring=SECRETS_ONLY,
    )
    yield one(
        "PS256",
        token(kid=None, signer=Signer("PS256", RSA_KEY)),
        "alg_variant",
        "no_key_of_this_kind",
        "PS256",
        "RS256",
        ring=PUBLIC_ONLY,
    )
    yield one(
        "no key at all",
        token(kid=None),
        "no_keys",
        "no_key_of_this_kind",
        "no key at all",
        "key add",
        ring=KeyRing(),
    )
    yield one(
        "every key dead",
        token(kid=None, signer=STRANGER),
        "all_dead",
        "bad_signature",
        "Every key",
        "key add",
        ring=DEAD_ONLY,
    )
    yield one("typ", token(typ="at+jwt"), "typ", "typ", "typ is not JWT", "leave typ out")
    yield one(
        "brings its key along",
        token(jku="https://x.example"),
        "header_refused",
        "header_refused",
        "its own key",
        "remove jwk",
    )
    yield one(
        "kid of nobody",
        token(kid="k_other", signer=STRANGER),
        "kid_unknown",
        "kid_unknown",
        "no key k_other",
        "key list",
    )
    yield one(
        "kid that is no id",
        token(kid="k main", signer=STRANGER),
        "kid_unsafe",
        "kid_unsafe",
        "kid is k main|could not be",
        "key list",
    )
    yield one(
        "kid of another key",
        token(kid="k_second", signer=SIGNERS["k_main"]),
        "kid_of_another_key",
        "bad_signature",
        "kid names k_second|by k_main",
        '"kid": "k_main"',
    )
    yield one(
        "unknown kid, known key",
        token(kid="k_typo", signer=SIGNERS["k_main"]),
        "kid_of_another_key",
        "kid_unknown",
        "kid names k_typo|by k_main",
        '"kid": "k_main"',
    )
    yield one(
        "the fifth key",
        token(kid=None, signer=SIGNERS["k_fifth"]),
        "kid_missing_among_many",
        "bad_signature",
        "more keys than are tried",
        '"kid": "k_fifth"',
    )


def keys() -> Iterator[Mistaken]:
    def by(secret: bytes) -> str:
        return token(kid=None, signer=Signer("HS256", secret))

    def mistaken(name: str, secret: bytes, mistake: str, cause: str, fix: str) -> Mistaken:
        return one(name, by(secret), mistake, "bad_signature", cause, fix, ring=SECRETS_ONLY)

    yield mistaken(
        "decoded",
        base64.urlsafe_b64decode(SECRET + b"=" * (-len(SECRET) % 4)),
        "secret_decoded",
        "base64-decoded secret k_main",
        "do not decode",
    )
    yield mistaken(
        "encoded", base64.b64encode(SECRET), "secret_encoded", "base64-encoded secret k_main", "do not encode"
    )
    yield mistaken("in hexadecimal", SECRET.hex().encode(), "secret_hex", "hexadecimal", "as it was shown")
    yield mistaken("hashed", hashlib.sha256(SECRET).digest(), "secret_hashed", "a hash", "secret itself")
    yield mistaken(
        "without its prefix",
        SECRET.removeprefix(b"cgs_test_"),
        "secret_cut",
        "a part of the secret",
        "prefix and checksum",
    )
    yield mistaken("without its checksum", SECRET[:-7], "secret_cut", "a part of the secret", "prefix and checksum")
    yield mistaken("a character short", SECRET[:-1], "secret_cut", "a part of the secret", "copy all of it")
    yield mistaken("with a line end", SECRET + b"\n", "secret_with_white_space", "white space beside", "trim")
    yield mistaken("with a space", SECRET + b" ", "secret_with_white_space", "white space beside", "trim")
    yield mistaken("in quotes", b'"' + SECRET + b'"', "secret_with_quotes", "quotes around", "take the quotes away")
    yield mistaken("in UTF-16", SECRET.decode().encode("utf-16-le"), "secret_two_bytes", "UTF-16", "UTF-8")
    yield mistaken("in UTF-16 with its mark", SECRET.decode().encode("utf-16"), "secret_two_bytes", "UTF-16", "UTF-8")
    yield mistaken("without its first character", SECRET[1:], "secret_cut", "a part of the secret", "copy all of it")
    yield mistaken("nothing", b"", "empty_secret", "empty secret", "variable")
    yield mistaken(
        "a manual's word", b"your-256-bit-secret", "sample_secret", "out of a manual", "from the environment"
    )
    yield mistaken("the template's word", b"#{yourSecret}", "sample_secret", "out of a manual", "from the environment")
    yield mistaken("the project's id", PROJECT.encode(), "id_as_secret", "an id", "cgs_")
    public = Signer("HS256", SIGNERS["k_rsa"].public())
    yield one(
        "the public key as a secret",
        token(kid=None, signer=public),
        "public_key_as_secret",
        "bad_signature",
        "HMAC and the public key k_rsa",
        "private key",
    )
    yield one(
        "the public key without its line end",
        token(kid=None, signer=Signer("HS256", public.key.strip())),
        "public_key_as_secret",
        "bad_signature",
        "public key k_rsa",
        "private key",
    )
    head, _, signature = token(kid="k_ec").rpartition(".")
    raw = b64_bytes(signature)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    yield one("ECDSA in DER", f"{head}.{b64(der)}", "der_signature", "bad_signature", "written as DER", "32 bytes each")
    yield one("over the claims alone", _over_claims(), "unsigned_part", "bad_signature", "something else", "library")
    yield one(
        "by a key revoked lately",
        token(kid="k_lately"),
        "dead_key",
        "key_revoked",
        "k_lately|23 hours 59 minutes ago",
        "present secret",
    )
    revoked = KeyRing(
        1,
        tuple(
            replace(key, state="revoked", revoked_at=UnixMs(NOW - 60_000)) if key.kid == "k_ec" else key
            for key in RING.keys
            if key.kid in ("k_ec", "k_main", "k_rsa")
        ),
    )
    yield one(
        "by the only key of its kind, which was revoked",
        token(kid="k_ec"),
        "dead_key",
        "key_revoked",
        "k_ec|revoked 1 minute ago",
        "in force",
        ring=revoked,
    )
    yield one(
        "by a key revoked long ago, no kid",
        token(kid=None, signer=SIGNERS["k_long_ago"]),
        "dead_key",
        "bad_signature",
        "k_long_ago|1 day ago",
        "present secret",
    )
    yield one(
        "by a pending key, no kid",
        token(kid=None, signer=SIGNERS["k_pending"]),
        "pending_key",
        "bad_signature",
        "k_pending is not in force",
        "active key",
    )
    foreign = KeyRing(1, (replace(RING.keys[0], material=Material(STRANGER.key)),))
    yield one(
        "by another project's key",
        token(kid=None, signer=STRANGER),
        "another_projects_key",
        "bad_signature",
        "another project, Bookshop",
        "other project's app",
        elsewhere={"Bookshop": foreign},
    )
    yield one(
        "by nobody",
        token(kid=None, signer=STRANGER),
        "bad_signature",
        "bad_signature",
        "none of this project's keys".capitalize(),
        "whole secret",
    )
    yield one("by a short key", token(kid="k_weak"), "key_unfit", "key_unfit", "too short", "key add")


def _over_claims() -> str:
    head, body, _ = token(kid=None).split(".")
    return f"{head}.{body}.{b64(SIGNERS['k_main'].sign(body.encode()))}"
