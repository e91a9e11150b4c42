"""Turn a project's JWT into who it speaks for, or say why not.

Follows RFC 8725 (JWT best current practices): the algorithm is ours to choose, never the token's (section 3.1). The
strict reading happens before the library (core/compact.py), the judging of claims after it; the library is asked one
question, "did this key sign these bytes?", and reads no clock.

Outwardly there is one error, ``token_rejected``, but for two that tell the page to fetch a fresh token. They are
given only to somebody who holds a good signature; ``detail`` says the rest, to the log.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import jwt
from cryptography.exceptions import UnsupportedAlgorithm

from chatgateway.core.compact import Compact, Reason, read, refused
from chatgateway.core.keyring import KEY_ID, KeyRing, SigningKey
from chatgateway.core.profiles import Claim, ClaimsProfile, role_like
from chatgateway.errors import KeyRevoked, PeerError, TokenExpired
from chatgateway.types import ExternalId, KeyId, ProjectId, UnixMs

KEYS_TRIED_MAX: Final = 4
"""Of a token without ``kid``: what one stranger's message may cost."""

ID_CHARS_MAX: Final = 255
PERSON_BYTES_MAX: Final = 4_096
"""All that is kept of one token, as UTF-8."""

EARLIEST_S: Final = 1_000_000_000
LATEST_S: Final = 4_102_444_800
"""2001 to 2100. An instant in milliseconds falls outside."""

ID_REFUSED: Final = frozenset({"Cc", "Cs", "Cf", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that no id holds: what cannot be seen, written or compared. Otherwise an id is opaque."""

TEXT_REFUSED: Final = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Format characters stay in names: Persian and emoji need joiners."""

_OVERRIDES: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""But not those that turn what follows around: a name could wear somebody else's badge."""

_EMAIL: Final = re.compile(r"[^\s@]{1,64}@[^\s@]{1,189}")
"""As much of RFC 5321 as can be known without asking: sizes, one ``@``, no white space."""

_ABSENT: Final = object()

_signatures: Final = jwt.PyJWS(options={"enforce_minimum_key_length": True})


@dataclass(frozen=True, slots=True)
class Verified:
    """Who a token speaks for, and by which key."""

    kid: KeyId
    external_id: ExternalId
    name: str
    email: str
    email_verified: bool
    issued_at: UnixMs
    """``now`` when the profile allows a token without ``iat`` and it has none."""
    expires_at: UnixMs
    """When its trust ends: leeway included, so always after ``now``."""
    dropped: tuple[str, ...] = ()
    """Names of the claims that nobody asked for. They had no effect."""

    @property
    def role_like(self) -> tuple[str, ...]:
        """Dropped claims that asked for rights."""
        return tuple(name for name in self.dropped if role_like(name))


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
    key = _signer(compact, ring, now)
    if not key.usable or key.kid in revoked:
        raise _powerless(key, now)
    claims = compact.claims
    _check_project(claims, profile, project)
    external_id = _external_id(claims, profile)
    name, email = _display_name(claims, profile), _email(claims, profile)
    if sum(len(text.encode()) for text in (external_id, name, email)) > PERSON_BYTES_MAX:
        raise refused("person_too_big")
    email_verified = _boolean(claims, profile.email_verified)
    issued_at, expires_at = _life(claims, profile, now)
    return Verified(
        kid=key.kid,
        external_id=external_id,
        name=name,
        email=email,
        email_verified=email_verified and bool(email),
        issued_at=issued_at,
        expires_at=expires_at,
        dropped=tuple(_loggable(claim) for claim in claims if not profile.reads(claim)),
    )


# Which key signed it. The lately dead are asked too: whoever holds their signature is told so.


def _signer(compact: Compact, ring: KeyRing, now: UnixMs) -> SigningKey:
    fault: Reason | None = "no_key_of_this_kind"
    for key in _candidates(compact, ring, now):
        fault = _fault(compact, key)
        if fault is None:
            return key
    assert fault is not None  # the last candidate's
    raise refused(fault)


def _candidates(compact: Compact, ring: KeyRing, now: UnixMs) -> tuple[SigningKey, ...]:
    if "kid" not in compact.header:
        kind = tuple(key for key in ring.keys if key.algorithm == compact.header.get("alg"))
        living = tuple(key for key in kind if key.usable)
        fallen = tuple(key for key in kind if key.revoked_lately(now))
        return living[:KEYS_TRIED_MAX] + fallen[:KEYS_TRIED_MAX]
    kid = compact.header["kid"]
    if not isinstance(kid, str) or not KEY_ID.fullmatch(kid):
        raise refused("kid_unsafe")
    key = ring.get(KeyId(kid))
    if key is None:
        raise refused("kid_unknown")
    return (key,)


def _fault(compact: Compact, key: SigningKey) -> Reason | None:
    """Return why ``key`` did not sign this, or None when it did."""
    try:
        _signatures.decode(compact.text, key.material.reveal(), algorithms=[key.algorithm])
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


# Who.


def _check_project(claims: Mapping[str, Any], profile: ClaimsProfile, project: ProjectId) -> None:
    for claim in profile.project:
        named = _at(claims, claim, project)
        if project not in (cast(list[object], named) if isinstance(named, list) else [named]):
            raise refused("another_project")


def _external_id(claims: Mapping[str, Any], profile: ClaimsProfile) -> ExternalId:
    named = [value for value in (_at(claims, claim, _ABSENT) for claim in profile.subject) if value is not _ABSENT]
    if not named:
        raise refused("id_missing")
    if any(other != named[0] for other in named):
        raise refused("ids_differ")
    person = named[0]
    if not isinstance(person, str):
        raise refused("id_not_text")
    if not 1 <= len(person) <= ID_CHARS_MAX:
        raise refused("id_length")
    if any(unicodedata.category(char) in ID_REFUSED for char in person):
        raise refused("id_unsafe")
    if person != person.strip():
        raise refused("id_white_space")
    return ExternalId(person)


def _display_name(claims: Mapping[str, Any], profile: ClaimsProfile) -> str:
    for parts in profile.display_name:
        name = " ".join(text for text in (_text(claims, part).strip() for part in parts) if text)
        if name:
            return name
    return ""


def _email(claims: Mapping[str, Any], profile: ClaimsProfile) -> str:
    email = _text(claims, profile.email) if profile.email else ""
    if email and not _EMAIL.fullmatch(email):
        raise refused("email_shape")
    return email


def _text(claims: Mapping[str, Any], claim: Claim) -> str:
    """Return a claim that people will read. Absent, null and "" are the same: nothing is said."""
    text = _at(claims, claim)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise refused("text_expected")
    if any(char in _OVERRIDES or unicodedata.category(char) in TEXT_REFUSED for char in text):
        raise refused("text_unsafe")
    return text


def _boolean(claims: Mapping[str, Any], claim: Claim | None) -> bool:
    value = _at(claims, claim) if claim else None
    # "false" is true to many languages.
    if value is not None and not isinstance(value, bool):
        raise refused("boolean_expected")
    return bool(value)


def _at(claims: Mapping[str, Any], claim: Claim, otherwise: object = None) -> object:
    """Return what stands at the end of the way, or ``otherwise`` where the way ends early."""
    value: object = claims
    for name in claim:
        if not isinstance(value, dict) or name not in value:
            return otherwise
        value = cast(dict[str, object], value)[name]
    return value


def _loggable(claim: str) -> str:
    return claim[:64].encode("utf-8", "backslashreplace").decode()
