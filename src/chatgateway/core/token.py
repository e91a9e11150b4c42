"""Turn a project's JWT into who it speaks for, or say why not.

Follows RFC 8725 (JWT best current practices): the algorithm is ours to choose, never the token's (section 3.1). The
strict reading happens before the library (core/compact.py), the judging of claims after it; the library is asked one
question, "did this key sign these bytes?", and reads no clock. Who it is that a good token speaks for is read in
core/payload.py.

Outwardly there is one error, ``token_rejected``, but for two that tell the page to fetch a fresh token. They are
given only to somebody who holds a good signature; ``detail`` says the rest, to the log.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm

from chatgateway.core.compact import Compact, Reason, read, refused
from chatgateway.core.keyring import Algorithm, KeyRing, Material, SigningKey
from chatgateway.core.payload import payload_of
from chatgateway.core.person import Description, Identifier
from chatgateway.core.profiles import ClaimsProfile, role_like
from chatgateway.core.public_key import REMOTE_KID, PublicMaterial
from chatgateway.errors import KeyRevoked, PeerError, TokenExpired
from chatgateway.types import KeyId, ProjectId, UnixMs

KEYS_TRIED_MAX: Final = 4
"""Of a token without ``kid``: what one stranger's message may cost."""

EARLIEST_S: Final = 1_000_000_000
LATEST_S: Final = 4_102_444_800
"""2001 to 2100. An instant in milliseconds falls outside."""

_signatures: Final = jwt.PyJWS(options={"enforce_minimum_key_length": True})


@dataclass(frozen=True, slots=True)
class Verified:
    """Who a token speaks for, and by which key."""

    kid: KeyId
    identifiers: tuple[Identifier, ...]
    """What names the person; there is at least one. All of them must name the same one."""
    description: Description
    issued_at: UnixMs
    """``now`` when the profile allows a token without ``iat`` and it has none."""
    expires_at: UnixMs
    """When its trust ends: leeway included, so always after ``now``."""
    dropped: tuple[str, ...] = ()
    """Names of the claims that nobody asked for. They had no effect."""
    warnings: tuple[Reason, ...] = ()
    """What is tolerated but should be mended, for the log and the token doctor."""
    token_id: str = ""
    """``jti``, for apps that take each token once. Empty without one, and of a token that never ends, not even by
    its age: nobody could remember it for as long as it is good."""
    session_max_ms: int | None = None
    """A session on this token lives at most so long; None: as long as the gateway's own setting says."""

    @property
    def role_like(self) -> tuple[str, ...]:
        """Dropped claims that asked for rights."""
        return tuple(name for name in self.dropped if role_like(name.rpartition(".")[2]))


def verify(
    token: object,
    project: ProjectId,
    ring: KeyRing,
    profile: ClaimsProfile,
    now: UnixMs,
    *,
    revoked: Container[KeyId] = (),
) -> Verified:
    """Return who ``token`` speaks for at ``now``.

    ``project`` and ``ring`` come from the connection's app, never from the token. ``revoked`` is what this node has
    heard of from the control log: it may be ahead of the ring.

    Raises TokenExpired, KeyRevoked, or TokenRejected, whose ``detail`` is a Reason. On ``kid_unknown`` the ring may
    be older than the token.
    """
    compact = read(token)
    key = _signer(compact, ring, now, revoked)
    if not key.usable or key.kid in revoked:
        raise _powerless(key, now)
    claims = compact.claims
    profile = profile.generation(claims)
    said = payload_of(claims, profile, project)
    issued_at, expires_at = _life(claims, profile, now)
    endless: tuple[Reason, ...] = () if "exp" in claims else ("exp_missing",)
    ageless: tuple[Reason, ...] = () if "iat" in claims else ("iat_missing",)
    return Verified(
        kid=key.kid,
        identifiers=said.identifiers,
        description=said.description,
        issued_at=issued_at,
        expires_at=expires_at,
        dropped=said.dropped,
        warnings=(*endless, *ageless, *said.warnings),
        token_id="" if endless and ageless else said.token_id,
        session_max_ms=profile.session_max_ms if endless else None,
    )


# Which key signed it. The lately dead are asked too: whoever holds their signature is told so.


class _Candidate(NamedTuple):
    record: SigningKey
    """On which everything rests that this key vouches for."""
    kid: str | None
    algorithm: Algorithm
    material: Material | PublicMaterial


def _signer(compact: Compact, ring: KeyRing, now: UnixMs, revoked: Container[KeyId]) -> SigningKey:
    fault: Reason = "kid_unknown" if "kid" in compact.header else "no_key_of_this_kind"
    for candidate in _candidates(compact, ring, now, revoked):
        found = _fault(compact, candidate)
        if found is None:
            return candidate.record
        fault = found
    raise refused(fault)


def _candidates(compact: Compact, ring: KeyRing, now: UnixMs, revoked: Container[KeyId]) -> list[_Candidate]:
    """Return the keys to ask: the living before the fallen, and no more than a stranger's message may cost."""
    known = [candidate for record in ring.keys for candidate in _keys_of(record)]
    if "kid" in compact.header:
        kid = compact.header["kid"]
        if not isinstance(kid, str) or not REMOTE_KID.fullmatch(kid):
            raise refused("kid_unsafe")
        # Our own ids first: whoever publishes a set does not get to say what they mean.
        own = ring.get(KeyId(kid))
        chosen = [one for one in known if (one.record is own if own else one.kid == kid)]
    else:
        alike = (one for one in known if one.algorithm == compact.header.get("alg"))
        chosen = [one for one in alike if one.record.usable or one.record.revoked_lately(now)]
    trusted = {record.kid for record in ring.keys if record.usable and record.kid not in revoked}
    living = [one for one in chosen if one.record.kid in trusted]
    living.sort(key=lambda one: one.record.algorithm == "JWKS")  # a long set must not take the turns of pasted keys
    fallen = [one for one in chosen if one.record.kid not in trusted]
    return living[:KEYS_TRIED_MAX] + fallen[:KEYS_TRIED_MAX]


def _keys_of(record: SigningKey) -> list[_Candidate]:
    if record.algorithm == "JWKS":
        return [_Candidate(record, key.kid, key.algorithm, key.material) for key in record.followed]
    return [_Candidate(record, record.kid, record.algorithm, record.material)]


def _fault(compact: Compact, candidate: _Candidate) -> Reason | None:
    """Return why this key did not sign this, or None when it did."""
    material = candidate.material
    try:
        # Public material is a key object and a secret is bytes: neither fits where the other belongs.
        key: Any = material.key() if isinstance(material, PublicMaterial) else material.reveal()
        _signatures.decode(compact.text, key, algorithms=[candidate.algorithm])
    except jwt.InvalidAlgorithmError:
        return "alg_mismatch"
    except (jwt.InvalidKeyError, UnsupportedAlgorithm, ValueError, TypeError):
        return "key_unfit"  # too short, or no key at all: the library lets some of the parser's own errors through
    except jwt.PyJWTError:
        return "bad_signature"
    return None


def _powerless(key: SigningKey, now: UnixMs) -> PeerError:
    """Return what to say to the bearer of a good signature by a key that vouches for nobody."""
    if key.state == "pending":
        return refused("key_pending")
    if key.dead and not key.revoked_lately(now):
        return refused("key_revoked_long_ago")
    return KeyRevoked(detail=key.kid)


# When.


def _life(claims: Mapping[str, Any], profile: ClaimsProfile, now: UnixMs) -> tuple[UnixMs, UnixMs]:
    """Return from when and until when the token may be believed, the leeway included in the latter."""
    issued_at, expires_at, not_before = (_instant(claims, name) for name in ("iat", "exp", "nbf"))
    if issued_at is None and profile.issue_required:
        raise refused("iat_missing")
    if expires_at is None and profile.expiry_required:
        raise refused("exp_missing")
    begin = now if issued_at is None else issued_at
    end = UnixMs(begin + profile.max_life_ms) if expires_at is None else expires_at
    if begin > now + profile.leeway_ms:
        raise refused("issued_in_the_future")
    if not_before is not None and not_before > now + profile.leeway_ms:
        raise refused("not_yet_valid")
    if issued_at is not None and end <= begin:
        raise refused("exp_not_after_iat")
    if end - begin > profile.max_life_ms:
        raise refused("life_too_long")
    if now >= end + profile.leeway_ms:
        raise TokenExpired(detail=f"{now - end} ms ago")
    return begin, UnixMs(end + profile.leeway_ms)


def _instant(claims: Mapping[str, Any], name: str) -> UnixMs | None:
    if name not in claims:
        return None
    seconds = claims[name]
    # A bool is an int to Python; a float or a text is a date to other parsers, and not the same one to all.
    if type(seconds) is not int:
        raise refused("not_an_instant")
    if not EARLIEST_S <= seconds <= LATEST_S:
        raise refused("instant_out_of_range")
    return UnixMs(seconds * 1000)
