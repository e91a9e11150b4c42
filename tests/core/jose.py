"""A tiny JOSE writer on bare cryptography, and a ring with one key for each thing that can be the matter with a key,
two followed sets among them.

It shares nothing with the library under test, so nothing under test has a say in what can be written.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chatgateway.core.keyring import Algorithm, KeyRing, KeyState, Material, SigningKey, fingerprint, followed_set
from chatgateway.core.public_key import FollowedKey, PublicAlgorithm, PublicMaterial
from chatgateway.types import KeyId, ProjectId, UnixMs

NOW: Final = UnixMs(1_795_249_707_000)
NOW_S: Final = NOW // 1000
PROJECT: Final = ProjectId("prj_corpus")
HOUR_MS: Final = 3_600_000
REVOKED_ON_THIS_NODE: Final = frozenset({KeyId("k_heard"), KeyId("k_set_heard")})
"""What the control log said, and the ring does not know yet."""

Json = Mapping[str, Any]


# The writer.


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def b64_bytes(run: str) -> bytes:
    return base64.urlsafe_b64decode(run + "==")


def to_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class Signer:
    """Signs as ``algorithm`` says, whatever the header says."""

    def __init__(self, algorithm: str, key: Any) -> None:
        self.algorithm = algorithm
        self.key = key

    def sign(self, signed: bytes) -> bytes:
        match self.algorithm:
            case "HS256" | "HS384" | "HS512":
                return hmac.digest(self.key, signed, getattr(hashlib, f"sha{self.algorithm[2:]}"))
            case "RS256":
                return self.key.sign(signed, padding.PKCS1v15(), SHA256())
            case "PS256":
                return self.key.sign(signed, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
            case "ES256":
                r, s = decode_dss_signature(self.key.sign(signed, ec.ECDSA(SHA256())))
                return r.to_bytes(32, "big") + s.to_bytes(32, "big")
            case "EdDSA":
                return self.key.sign(signed)
            case _:
                return b""

    def material(self) -> Material | PublicMaterial:
        return Material(self.key) if isinstance(self.key, bytes) else PublicMaterial(self.public())

    def public(self) -> bytes:
        """A secret, or the PEM of a public key."""
        if isinstance(self.key, bytes):
            return self.key
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def secret(name: str) -> Signer:
    return Signer("HS256", f"cgs_test_{name.ljust(43, '0')}_000000".encode())


# The project's keys: one for each thing that can be the matter with a key.

RSA_KEY: Final = rsa.generate_private_key(65_537, 2_048)
_WEAK_RSA: Final = rsa.generate_private_key(65_537, 1_024)

SIGNERS: Final = {
    "k_main": secret("main"),
    "k_second": secret("second"),
    "k_third": secret("third"),
    "k_fourth": secret("fourth"),
    "k_fifth": secret("fifth"),
    "k_heard": secret("heard"),
    "k_weak": Signer("HS256", b"31 bytes are a byte too few ..."),
    "not safe": secret("notsafe"),
    "k_pending": secret("pending"),
    "k_retiring": secret("retiring"),
    "k_lately": secret("lately"),
    "k_long_ago": secret("longago"),
    "k_destroyed": secret("destroyed"),
    "k_rsa": Signer("RS256", RSA_KEY),
    "k_weak_rsa": Signer("RS256", _WEAK_RSA),
    "k_ec": Signer("ES256", ec.generate_private_key(ec.SECP256R1())),
    "k_ed": Signer("EdDSA", ed25519.Ed25519PrivateKey.generate()),
}
STATES: Final[Mapping[str, KeyState]] = {
    "k_pending": "pending",
    "k_retiring": "retiring",
    "k_lately": "revoked",
    "k_long_ago": "revoked",
    "k_destroyed": "destroyed",
}
REVOKED_AT: Final = {"k_lately": NOW - 24 * HOUR_MS + 1, "k_long_ago": NOW - 24 * HOUR_MS}
STRANGER: Final = secret("stranger")


def _curve() -> Signer:
    return Signer("ES256", ec.generate_private_key(ec.SECP256R1()))


REMOTE: Final = {
    "remote/1+=": Signer("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    "remote_ec": _curve(),
    "remote_rsa": Signer("RS256", rsa.generate_private_key(65_537, 2_048)),
    "nameless": Signer("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    "third_ec": _curve(),
    "fourth_ec": _curve(),
    "fifth_ec": _curve(),
    "remote_weak": Signer("RS256", _WEAK_RSA),
    "k_main": Signer("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    "dead_ec": _curve(),
    "long_dead_ec": _curve(),
    "heard_ed": Signer("EdDSA", ed25519.Ed25519PrivateKey.generate()),
}
"""What others publish, by their own ids; one of them likes to be called as a key of ours."""

_SETS: Final[Mapping[str, tuple[KeyState, int | None, tuple[str, ...]]]] = {
    "k_set": (
        "active", None,
        (
            "remote/1+=", "remote_ec", "remote_rsa", "nameless", "third_ec", "fourth_ec", "fifth_ec", "remote_weak",
            "k_main",
        ),
    ),
    "k_set_dead": ("revoked", NOW - HOUR_MS, ("dead_ec",)),
    "k_set_long_dead": ("revoked", NOW - 25 * HOUR_MS, ("long_dead_ec",)),
    "k_set_heard": ("active", None, ("heard_ed",)),
}  # fmt: skip


def _followed(name: str) -> FollowedKey:
    signer = REMOTE[name]
    algorithm: PublicAlgorithm = signer.algorithm  # pyright: ignore[reportAssignmentType]
    return FollowedKey(None if name == "nameless" else name, algorithm, PublicMaterial(signer.public()))


def _record(kid: str) -> SigningKey:
    state, revoked_at, _ = _SETS[kid]
    made = followed_set(KeyId(kid), f"https://shop.example/{kid}.json", kid, UnixMs(NOW - 1000 * HOUR_MS))
    return replace(made, state=state, revoked_at=None if revoked_at is None else UnixMs(revoked_at))


def _key(kid: str, signer: Signer) -> SigningKey:
    revoked_at = REVOKED_AT.get(kid)
    algorithm: Algorithm = signer.algorithm  # pyright: ignore[reportAssignmentType]
    return SigningKey(
        kid=KeyId(kid),
        algorithm=algorithm,
        material=signer.material(),
        name=kid,
        state=STATES.get(kid, "active"),
        created_at=UnixMs(NOW - 1000 * HOUR_MS),
        fingerprint=fingerprint(signer.public()),
        prefix="",
        last_four="",
        revoked_at=None if revoked_at is None else UnixMs(revoked_at),
    )


RING: Final = KeyRing(
    7, (*(_key(kid, signer) for kid, signer in SIGNERS.items()), *(_record(kid) for kid in _SETS))
).following({KeyId(kid): tuple(_followed(name) for name in names) for kid, (_, _, names) in _SETS.items()})

CLAIMS: Final[Json] = {
    "external_id": "u-1",
    "name": "Ada",
    "email": "ada@example.com",
    "iat": NOW_S,
    "exp": NOW_S + 600,
}


def without(*names: str) -> Json:
    return {name: value for name, value in CLAIMS.items() if name not in names}


def token(
    claims: Json | bytes = CLAIMS,
    header: Json | bytes | None = None,
    kid: str | None = "k_main",
    signer: Signer | None = None,
    **extra: Any,
) -> str:
    """Return a token signed by ``signer``, else by the key that ``kid`` names; ``extra`` goes into the header."""
    signer = signer or {**REMOTE, **SIGNERS}[kid or "k_main"]
    named = {} if kid is None else {"kid": kid}
    shown = {"alg": signer.algorithm, "typ": "JWT", **named, **extra} if header is None else header
    signed = ".".join(b64(part if isinstance(part, bytes) else to_json(part)) for part in (shown, claims))
    return f"{signed}.{b64(signer.sign(signed.encode()))}"


def claiming(**claims: Any) -> str:
    return token({**CLAIMS, **claims})


def raw_claims(text: str) -> str:
    """The honest claims with ``text`` written in front of them, as bytes that no JSON writer would write."""
    return token(b"{" + text.encode("utf-8", "surrogatepass") + b"," + to_json(CLAIMS)[1:])
