"""Decide which public keys may vouch for people, and take them out of what operators paste and sites publish.

    RSA, 2048 to 8192 bits    RS256
    EC on P-256               ES256
    Ed25519                   EdDSA

A key's algorithm follows from the key and from nothing else (RFC 8725 section 3.1). Public material is a type of its
own: it hands out a key object and never bytes, so no MAC can be computed with it, whatever a token's header says.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from chatgateway.core.compact import strict_object
from chatgateway.errors import TokenRejected

PublicAlgorithm = Literal["RS256", "ES256", "EdDSA"]
PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

RSA_BITS_MIN: Final = 2_048
RSA_BITS_MAX: Final = 8_192
"""Above, each stranger's token costs us milliseconds."""

TEXT_CHARS_MAX: Final = 16_384
"""Of a pasted key. The longest that is taken has 1,500."""

DOCUMENT_BYTES_MAX: Final = 262_144
"""Of a published key set."""

FOLLOWED_MAX: Final = 64
"""Keys taken out of one set. Large providers publish five."""

REMOTE_KID: Final = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}")
"""What the ``kid`` of somebody else's key may look like: wider than ours, and only ever compared in memory."""

PRIVATE: Final = "that is a private key: keep it on your server, paste the public one"

_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "priv"})
"""RFC 7518 sections 6.2.2 and 6.3.2."""

_OF_KTY: Final[Mapping[object, PublicAlgorithm]] = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}

_SPELLINGS: Final[Mapping[PublicAlgorithm, tuple[object, ...]]] = {
    "RS256": ("RS256",),
    "ES256": ("ES256",),
    "EdDSA": ("EdDSA", "Ed25519"),  # RFC 9864 renames it
}


@dataclass(frozen=True, slots=True)
class PublicMaterial:
    """A public key as PEM (SubjectPublicKeyInfo). Anybody may see it."""

    pem: bytes

    def key(self) -> PublicKey:
        """Return the key itself. Parsed once per process. Raises ValueError when it may not vouch for anybody."""
        return _parsed(self.pem)


@dataclass(frozen=True, slots=True)
class FollowedKey:
    """One key of a set that somebody else publishes."""

    kid: str | None
    """The publisher's own name for it; never one of ours."""
    algorithm: PublicAlgorithm
    material: PublicMaterial


def public_material(text: str) -> tuple[PublicAlgorithm, PublicMaterial]:
    """Return what a pasted PEM or JWK holds: the algorithm that the key has, and the key.

    Raises ValueError, with one sentence that says what it is instead and never quotes it.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise ValueError("that is too long for a key: paste one public key, as PEM or as JWK")
    pasted = text.strip()
    if "PRIVATE KEY" in pasted:
        raise ValueError(PRIVATE)
    if pasted.startswith("{"):
        try:
            jwk = strict_object(pasted.encode("utf-8", "surrogatepass"))
        except TokenRejected as refusal:
            raise ValueError(f"that is not a well-formed JWK: {refusal.detail}") from None
        if "keys" in jwk:
            raise ValueError("that is a set of keys: paste one of them, or follow the address at which it is published")
        return _of_jwk(jwk)
    if "BEGIN CERTIFICATE" in pasted:
        raise ValueError("that is a certificate: paste the key in it (openssl x509 -pubkey -noout -in FILE)")
    if pasted.startswith(("ssh-", "ecdsa-")):
        raise ValueError("that is a key as OpenSSH writes it: convert it first (ssh-keygen -e -m PKCS8 -f FILE)")
    if not pasted.isascii() or "-----BEGIN" not in pasted:
        raise ValueError("that is no public key: paste PEM (-----BEGIN PUBLIC KEY-----) or a JWK")
    if pasted.count("-----BEGIN") > 1:
        raise ValueError("those are several keys: paste one at a time")
    return _normalised(_loaded(pasted.encode()))


def followed_keys(document: bytes) -> tuple[FollowedKey, ...]:
    """Return the keys of a JWKS document that may vouch for people; the others are passed over.

    Raises ValueError, with one sentence, when the document is malformed or holds no such key.
    """
    if len(document) > DOCUMENT_BYTES_MAX:
        raise ValueError(f"the key set has more than {DOCUMENT_BYTES_MAX} bytes")
    try:
        listed = strict_object(document).get("keys")
    except TokenRejected as refusal:
        raise ValueError(f"the key set is not well-formed JSON: {refusal.detail}") from None
    if not isinstance(listed, list) or not listed:
        raise ValueError('the key set has no list "keys", or nothing in it')
    found: dict[FollowedKey, None] = {}
    for jwk in cast(list[object], listed):
        with contextlib.suppress(ValueError):
            found[_followed(jwk)] = None
            if len(found) == FOLLOWED_MAX:
                break
    if not found:
        raise ValueError("the key set holds no key for RS256 (2048 bits or more), ES256 or EdDSA signatures")
    return tuple(found)


def _followed(jwk: object) -> FollowedKey:
    members = cast(dict[str, Any], jwk if isinstance(jwk, dict) else {})
    kid = members.get("kid")
    if kid is not None and not (isinstance(kid, str) and REMOTE_KID.fullmatch(kid)):
        raise ValueError("no token could name it")
    algorithm, material = _of_jwk(members)
    return FollowedKey(kid, algorithm, material)


def _of_jwk(jwk: Mapping[str, Any]) -> tuple[PublicAlgorithm, PublicMaterial]:
    kind = jwk.get("kty")
    if kind == "oct" or "k" in jwk:
        raise ValueError("that is a shared secret, not a public key: import it as a secret")
    # Also where a set publishes one: a private key that everybody can read vouches for nobody.
    if not _PRIVATE_MEMBERS.isdisjoint(jwk):
        raise ValueError(PRIVATE)
    algorithm = _OF_KTY.get(kind) if isinstance(kind, str) else None
    if algorithm is None:
        raise ValueError("that key is of an unknown kind: RSA, EC (P-256) and OKP (Ed25519) are known")
    if jwk.get("use", "sig") != "sig":
        raise ValueError('that key is not for signatures: its "use" says so')
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise ValueError('that key is not for verifying: its "key_ops" say so')
    if jwk.get("alg", algorithm) not in _SPELLINGS[algorithm]:
        raise ValueError(f"that key is for another algorithm than {algorithm}, the only one for its kind here")
    try:
        key: object = jwt.PyJWK(dict(jwk), algorithm).key
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, AttributeError, OverflowError):
        raise ValueError("that JWK holds no key: a part is missing or broken") from None
    return _normalised(key)


def _loaded(pem: bytes) -> object:
    try:
        return load_pem_public_key(pem)
    except (UnsupportedAlgorithm, ValueError):
        raise ValueError("that PEM holds no public key that can be read: was a line lost?") from None


def _normalised(key: object) -> tuple[PublicAlgorithm, PublicMaterial]:
    public, algorithm = _checked(key)
    return algorithm, PublicMaterial(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _checked(key: object) -> tuple[PublicKey, PublicAlgorithm]:
    """Return the key and its algorithm. Raises ValueError when it may not vouch for anybody."""
    match key:
        case RSAPublicKey():
            if not RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
                raise ValueError(f"an RSA key has {RSA_BITS_MIN} to {RSA_BITS_MAX} bits here, that one {key.key_size}")
            return key, "RS256"  # the parser refuses the exponent 1, by which everybody could sign
        case EllipticCurvePublicKey():
            if not isinstance(key.curve, SECP256R1):
                raise ValueError("an EC key lies on the curve P-256 here, not on another")  # noqa: TRY004
            return key, "ES256"
        case Ed25519PublicKey():
            return key, "EdDSA"
        case _:
            raise ValueError("that key is of an unknown kind: RSA, EC (P-256) and Ed25519 are known")


@functools.lru_cache(maxsize=1_024)
def _parsed(pem: bytes) -> PublicKey:
    return _checked(_loaded(pem))[0]
