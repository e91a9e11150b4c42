"""Find out which key made a signature, or what was taken for one: a secret written another way, a neighbour's key.

The project's secrets are tried in memory, in the ways in which people mistake them; none of it can verify anything, for
the verifier (core/token.py) never asks here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Container, Iterator, Mapping
from typing import Any, Final, NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from chatgateway.core.doctor.finding import Finding, Mistake, shown, spoken
from chatgateway.core.doctor.parts import Loose
from chatgateway.core.keyring import KeyRing, Material, SigningKey
from chatgateway.core.public_key import REMOTE_KID, PublicKey, PublicMaterial
from chatgateway.core.token import KEYS_TRIED_MAX
from chatgateway.types import KeyId, ProjectId, UnixMs

KEY_REFUSALS: Final = frozenset(
    {
        "kid_unsafe", "kid_unknown", "no_key_of_this_kind", "alg_mismatch", "key_unfit", "bad_signature", "key_pending",
        "key_revoked_long_ago", "key_revoked",
    }
)  # fmt: skip

_DIGESTS: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
_KNOWN: Final = frozenset(
    {*_DIGESTS, "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "ES256K", "EdDSA"}
)
_PUBLIC: Final[Mapping[str, tuple[str, ...]]] = {"RS256": ("RS384", "RS512", "PS256", "PS384", "PS512")}
"""What the owner of a private key may have signed with instead of the key's one algorithm."""

_SAMPLES: Final = (
    b"secret", b"your-256-bit-secret", b"a-string-secret-at-least-256-bits-long", b"#{yourSecret}", b"yourSecret",
    b"your_secret", b"YOUR_SECRET", b"SECRET", b"secretkey", b"changeme", b"undefined", b"null", b"None",
)  # fmt: skip
"""What stands in the documentation of vendors and libraries, and what an unset variable becomes."""

_HASHED_AS_SECRETS: Final = frozenset({"sha256", "sha512", "md5"})


class Match(NamedTuple):
    """Who made a signature."""

    key: SigningKey
    kid: str
    """Of a followed set: the publisher's name for the key."""
    algorithm: str


def match(loose: Loose, ring: KeyRing) -> Match | None:
    """Return the key of the ring that made the signature, whatever its state and whatever the header says."""
    claimed = loose.header.get("alg")
    for record in ring.keys:
        if isinstance(record.material, Material):
            secret = record.material.reveal()
            for algorithm in _DIGESTS:
                if secret and _signed_with(secret, loose, algorithm):
                    return Match(record, record.kid, algorithm)
        for kid, own, material in _public_keys(record):
            for algorithm in (own, *(other for other in _PUBLIC.get(own, ()) if other == claimed)):
                if _verifies(material, loose.signed, loose.signature, algorithm):
                    return Match(record, kid, algorithm)
    return None


def examined(
    loose: Loose,
    ring: KeyRing,
    project: ProjectId,
    now: UnixMs,
    revoked: Container[KeyId],
    elsewhere: Mapping[str, KeyRing],
) -> tuple[Match | None, list[Finding]]:
    """Return which key signed, and what is the matter with algorithm, ``kid`` and key."""
    found = match(loose, ring)
    findings = [*_of_algorithm(loose, ring, found), *_of_kid(loose, ring, found)]
    if found is not None:
        # A dead key is why; which algorithms are left, or what the token calls the key, comes after.
        state = _of_state(found, ring, now, revoked)
        dead = found.key.dead or found.key.kid in revoked
        return found, [*state, *findings] if dead else [*findings, *state]
    if loose.signature:
        findings += _nearest(loose, ring, project, elsewhere)
    return None, findings


# The header.


def _of_algorithm(loose: Loose, ring: KeyRing, found: Match | None) -> Iterator[Finding]:
    claimed = loose.header.get("alg")
    usable = {kind for key in ring.usable() for kind in _kinds(key)}
    wanted = " or ".join(sorted(usable)) or "HS256"
    if not usable:
        fix = "make one with chatgateway key add, and sign with that"
        if ring.keys:
            yield _refusing("all_dead", "every key of this project is revoked or pending", fix)
        else:
            yield _refusing("no_keys", "this project has no key at all", fix)
    if not isinstance(claimed, str) or claimed in usable:
        return
    if claimed.lower() in ("none", ""):
        fix = f"sign it with the project's key and {wanted}; an unsigned token says nothing"
        yield _refusing("unsigned", "the token is unsigned (alg none)", fix)
    elif claimed not in _KNOWN and claimed.upper() in {name.upper() for name in _KNOWN}:
        yield _refusing("alg_spelled", f"alg is spelled {shown(claimed)}", f"write {wanted}, exactly as RFC 7518 does")
    elif claimed not in _KNOWN:
        yield _refusing("alg_unknown", f"alg is {shown(claimed)}, which is no signature", f"sign with {wanted}")
    elif usable and claimed[0] in "RPE" and usable == {"HS256"}:
        cause = f"the token is signed with {claimed}, and this project has only shared secrets"
        fix = "add your public key with chatgateway key add --public FILE, or sign with HS256 and the secret"
        yield _refusing("only_secrets", cause, fix)
    elif claimed == "HS256" and usable:
        cause = "the token is signed with HS256, and this project has only public keys"
        fix = f"sign with your private key and {wanted}, or make a secret with chatgateway key add"
        yield _refusing("only_public_keys", cause, fix)
    elif usable and not (found and found.key.dead and found.algorithm == claimed):
        with_it = f", though with the right key ({found.kid})" if found else ""
        cause = f"the token is signed with {claimed}{with_it}"
        yield _refusing("alg_variant", cause, f"sign with {wanted}, for a key of this project has one algorithm")


def _of_kid(loose: Loose, ring: KeyRing, found: Match | None) -> Iterator[Finding]:
    if "kid" not in loose.header:
        if isinstance(loose.claims.get("kid"), str):
            yield Finding("kid_in_payload", "kid stands among the claims", "write it into the header, or leave it out")
        if found is not None and found.key.usable and _beyond_reach(found, ring):
            cause = "this project has more keys than are tried for a token without kid"
            yield _refusing("kid_missing_among_many", cause, f'write "kid": "{found.kid}" into the header')
        return
    kid = loose.header["kid"]
    if not isinstance(kid, str) or found is None:
        if isinstance(kid, str) and not REMOTE_KID.fullmatch(kid):
            fix = "write the key's id as chatgateway key list shows it, or leave kid out"
            yield Finding(
                "kid_unsafe", f"kid is {shown(kid)}, which could not be an id", fix, frozenset({"kid_unsafe"})
            )
        elif isinstance(kid, str) and not ring.knows(KeyId(kid)) and not _published(ring, kid):
            cause = f"this project has no key {shown(kid)}"
            fix = "write the id of one of its keys (chatgateway key list), or leave kid out"
            yield Finding("kid_unknown", cause, fix, frozenset({"kid_unknown"}))
        return
    if kid not in (found.kid, found.key.kid):
        cause = f"kid names {shown(kid)}, but the signature is by {found.kid}"
        yield _refusing("kid_of_another_key", cause, f'write "kid": "{found.kid}" into the header, or leave kid out')


def _beyond_reach(found: Match, ring: KeyRing) -> bool:
    kind = [key.kid for key in ring.usable() if found.algorithm in _kinds(key)]
    return found.key.kid not in kind[:KEYS_TRIED_MAX]


def _of_state(found: Match, ring: KeyRing, now: UnixMs, revoked: Container[KeyId]) -> Iterator[Finding]:
    key = found.key
    if key.state == "pending":
        cause = f"the key {key.kid} is not in force yet"
        yield _refusing("pending_key", cause, "sign with the active key until this one is activated")
    elif key.dead or key.kid in revoked:
        when = "" if key.revoked_at is None else f" {spoken(now - key.revoked_at)} ago"
        cause = f"it is signed with the key {key.kid}, which was revoked{when}"
        fix = "sign with a key that is in force (chatgateway key list), and make one with key add if there is none"
        if key.algorithm == "HS256" and ring.usable("HS256"):
            fix = "put the project's present secret onto the server that signs, and restart it"
        yield _refusing("dead_key", cause, fix)
    elif key.state == "retiring":
        cause = f"the key {key.kid} is retiring"
        yield Finding("retiring_key", cause, "put the new secret onto the server that signs before it ends")


# The nearest miss.


def _nearest(loose: Loose, ring: KeyRing, project: ProjectId, elsewhere: Mapping[str, KeyRing]) -> Iterator[Finding]:
    """Yield at most one finding: what was taken for the key."""
    for label, other in elsewhere.items():
        found = match(loose, other)
        if found is not None:
            cause = f"it is signed with the key {found.kid} of another project, {shown(label)}"
            fix = "sign with a key of this project, or use the other project's app"
            yield _refusing("another_projects_key", cause, fix)
            return
    if _signed_with(b"", loose):
        yield _refusing(
            "empty_secret", "it is signed with an empty secret", "check that the variable with the secret is set"
        )
        return
    for sample in _SAMPLES:
        if _signed_with(sample, loose):
            cause = "it is signed with a word out of a manual or an unset variable, not with the secret"
            yield _refusing("sample_secret", cause, "put the project's secret in its place, from the environment")
            return
    names = [project, *(key.kid for key in ring.keys), *(key.fingerprint for key in ring.keys)]
    for name in names:
        if _signed_with(name.encode(), loose):
            cause = "it is signed with an id or a fingerprint in the place of the secret"
            yield _refusing("id_as_secret", cause, "sign with the secret that was shown once, beginning with cgs_")
            return
    for record in ring.keys:
        for mistake, what, fix, secret in _misreadings(record):
            if _signed_with(secret, loose):
                yield _refusing(mistake, f"it is signed with {what} {record.kid}", fix)
                return
        for kid, own, material in _public_keys(record):
            rewritten = _as_raw_ecdsa(loose.signature)
            if own == "ES256" and rewritten and _verifies(material, loose.signed, rewritten, "ES256"):
                cause = f"it is signed with the key {kid}, but the signature is written as DER"
                fix = "write r and s as 32 bytes each (RFC 7518 section 3.4), as JWT libraries do"
                yield _refusing("der_signature", cause, fix)
                return
    head, _, body = loose.signed.partition(b".")
    for record in ring.keys:
        if isinstance(record.material, Material) and record.material.reveal():
            for part in (body, head, loose.signed + b".", _plain(body)):
                if _mac(record.material.reveal(), part, "sha256") == loose.signature:
                    cause = f"it is signed with the key {record.kid}, but over something else than header.claims"
                    yield _refusing("unsigned_part", cause, "let a JWT library sign")
                    return


def _misreadings(record: SigningKey) -> Iterator[tuple[Mistake, str, str, bytes]]:
    """Yield what people take for this key: mistake, what it is, what to do, and its bytes."""
    for _, _, material in _public_keys(record):
        pem = material.pem
        fix = "sign with the private key and its own algorithm, for whoever has the public one could sign like this"
        for written in {pem, pem.strip(), pem.strip() + b"\n", pem.replace(b"\n", b"\r\n")}:
            yield "public_key_as_secret", "HMAC and the public key", fix, written
    if not isinstance(record.material, Material):
        return
    whole = record.material.reveal()
    text = whole.decode("utf-8", "surrogateescape")
    as_is = "do not decode it, for the key is the UTF-8 of the whole text as it was shown"
    for alphabet in (base64.urlsafe_b64decode, base64.b64decode):
        decoded = _decoded(alphabet, whole)
        if decoded:
            yield "secret_decoded", "the base64-decoded secret", as_is, decoded
    as_is = "do not encode it, for the key is the whole text as it was shown"
    for encoded in (base64.b64encode(whole), base64.urlsafe_b64encode(whole)):
        yield "secret_encoded", "the base64-encoded secret", as_is, encoded
        yield "secret_encoded", "the base64-encoded secret", as_is, encoded.rstrip(b"=")
    yield "secret_hex", "the hexadecimal form of the secret", as_is, whole.hex().encode()
    yield (
        "secret_two_bytes",
        "the UTF-16 form of the secret",
        "encode the secret in UTF-8",
        text.encode("utf-16-le", "replace"),
    )
    yield (
        "secret_two_bytes",
        "the UTF-16 form of the secret",
        "encode the secret in UTF-8",
        text.encode("utf-16", "replace"),
    )
    for name in sorted(_HASHED_AS_SECRETS):
        digest = hashlib.new(name, whole, usedforsecurity=False)
        hashed = "sign with the secret itself, not with a hash of it"
        yield "secret_hashed", "a hash of the secret", hashed, digest.digest()
        yield "secret_hashed", "a hash of the secret", hashed, digest.hexdigest().encode()
    entire = "copy all of it, for prefix and checksum belong to the key"
    for part in _pieces(whole):
        yield "secret_cut", "a part of the secret", entire, part
    bare = "trim what is read from the file or the environment"
    for before, after in (
        (b"", b"\n"),
        (b"", b"\r\n"),
        (b"", b"\r"),
        (b"", b" "),
        (b" ", b""),
        (b"\n", b""),
        (b"\xef\xbb\xbf", b""),
    ):
        yield "secret_with_white_space", "white space beside the secret", bare, before + whole + after
    for quote in (b'"', b"'", b"`"):
        fix = "take the quotes away that stand in the file or the environment"
        yield "secret_with_quotes", "quotes around the secret", fix, quote + whole + quote


def _pieces(whole: bytes) -> Iterator[bytes]:
    parts = whole.split(b"_")
    if len(parts) == 4:
        yield parts[2]
        yield b"_".join(parts[2:])
        yield b"_".join(parts[:3])
        yield b"_".join(parts[1:])
        yield parts[2] + parts[3]
    yield whole[:-1]
    yield whole[1:]
    for length in (16, 24, 32, 48, 50):
        yield whole[:length]


# Cryptography.


def _signed_with(secret: bytes, loose: Loose, algorithm: str | None = None) -> bool:
    algorithms = (algorithm,) if algorithm else tuple(_DIGESTS)
    return any(hmac.compare_digest(_mac(secret, loose.signed, _DIGESTS[one]), loose.signature) for one in algorithms)


def _mac(secret: bytes, signed: bytes, digest: str) -> bytes:
    return hmac.digest(secret, signed, digest)


def _verifies(material: PublicMaterial, signed: bytes, signature: bytes, algorithm: str) -> bool:
    try:
        key: PublicKey = material.key()
        judge: Any = jwt.get_algorithm_by_name(algorithm)
        return bool(judge.verify(signed, judge.prepare_key(key), signature))
    except (jwt.PyJWTError, UnsupportedAlgorithm, NotImplementedError, ValueError, TypeError, AttributeError):
        return False  # a key of another kind, or none


def _as_raw_ecdsa(signature: bytes) -> bytes | None:
    try:
        r, s = decode_dss_signature(signature)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    except (ValueError, OverflowError):
        return None


def _public_keys(record: SigningKey) -> Iterator[tuple[str, str, PublicMaterial]]:
    """Yield what each public key is called, its own algorithm, and the key."""
    if record.algorithm == "JWKS":
        yield from ((key.kid or record.kid, key.algorithm, key.material) for key in record.followed)
    elif isinstance(record.material, PublicMaterial):
        yield record.kid, record.algorithm, record.material


def _kinds(record: SigningKey) -> tuple[str, ...]:
    return tuple(key.algorithm for key in record.followed) if record.algorithm == "JWKS" else (record.algorithm,)


def _published(ring: KeyRing, kid: str) -> bool:
    return any(key.kid == kid for record in ring.keys for key in record.followed)


def _decoded(decode: Any, text: bytes) -> bytes:
    try:
        return bytes(decode(text + b"=" * (-len(text) % 4)))
    except ValueError:
        return b""


def _plain(run: bytes) -> bytes:
    return _decoded(base64.urlsafe_b64decode, run)


def _refusing(mistake: Mistake, cause: str, fix: str) -> Finding:
    return Finding(mistake, cause, fix, KEY_REFUSALS)
