"""The gateway's own session token: who it names, for how long, and when it is made anew.

    cgv_<payload>.<mac>

The payload is readable, the MAC covers prefix and payload as text, so there is one text per credential. A valid one
proves that we minted it and no more: an authenticated visitor's needs its session row too, and a sign-out's tombstone
beats an anonymous one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, replace
from typing import Final, Literal

import msgspec

from chatgateway.core.keyring import Material
from chatgateway.errors import TokenExpired, TokenRejected
from chatgateway.types import AppId, ProjectId, SessionId, UnixMs, UserId

PREFIX: Final = "cgv_"
TOKEN_CHARS_MAX: Final = 1_024
KEY_BYTES_MIN: Final = 32

ANONYMOUS_LIFE_MS: Final = 180 * 24 * 3600 * 1000
"""Sliding: made anew past half of it, so whoever comes once in 90 days keeps the history."""

SIGNED_LIFE_MS: Final = 3600 * 1000
"""At most. Only a customer token renews it, so the site's own sign-out reaches us within the hour."""

COOKIE_LIFE_MS: Final = 2 * 365 * 24 * 3600 * 1000
"""Sliding: of an anonymous identity that a browser keeps as a cookie."""

COOKIE_USER: Final = "usr_cookie_"
"""How the id of somebody begins who is kept in a cookie: it tells how long a tombstone must stand."""

Kind = Literal["anonymous", "signed"]


@dataclass(frozen=True, slots=True)
class Credential:
    """What the gateway vouches for in a session token."""

    session: SessionId
    user: UserId
    project: ProjectId
    app: AppId
    kind: Kind
    issued_at: UnixMs
    expires_at: UnixMs
    first_issued_at: UnixMs | None = None
    """Of an anonymous one that was made anew: when its identity got the first. None: this is the first."""

    @property
    def born_at(self) -> UnixMs:
        """How old the identity behind it is, however often its credential was renewed."""
        return self.issued_at if self.first_issued_at is None else self.first_issued_at

    def remaining_ms(self, now: UnixMs) -> int:
        """How long a tombstone must outlive it; 0 when it is over."""
        return max(0, self.expires_at - now)

    def renewed(self, now: UnixMs, life_ms: int = ANONYMOUS_LIFE_MS) -> Credential:
        """Return an anonymous credential with its whole life before it. Raises ValueError for a signed one."""
        if self.kind != "anonymous":
            raise ValueError("only a customer token renews a signed session")
        return replace(self, issued_at=now, expires_at=UnixMs(now + life_ms), first_issued_at=self.born_at)


@dataclass(frozen=True, slots=True)
class CredentialRing:
    """The gateway's own keys, newest first: the first one mints, each one vouches."""

    revision: int
    keys: tuple[Material, ...]

    def __post_init__(self) -> None:
        if not self.keys or any(len(key.reveal()) < KEY_BYTES_MIN for key in self.keys):
            raise ValueError(f"the gateway's ring has at least one key, each of {KEY_BYTES_MIN} bytes or more")


class _Payload(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    format: Literal[1]
    session: str
    user: str
    project: str
    app: str
    kind: Kind
    issued_at: int
    expires_at: int
    first_issued_at: int | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Payload).decode


def anonymous(
    session: SessionId, user: UserId, project: ProjectId, app: AppId, now: UnixMs, life_ms: int = ANONYMOUS_LIFE_MS
) -> Credential:
    """Return the credential of a visitor who showed nothing."""
    return Credential(session, user, project, app, "anonymous", now, UnixMs(now + life_ms))


def signed(
    session: SessionId, user: UserId, project: ProjectId, app: AppId, now: UnixMs, *, until: UnixMs
) -> Credential:
    """Return the credential of an authenticated visitor: to ``until``, where the customer token ends, or an hour."""
    return Credential(session, user, project, app, "signed", now, UnixMs(min(until, now + SIGNED_LIFE_MS)))


def longest_life_ms(user: UserId) -> int:
    """Return how long any credential of this stranger may live yet: what a tombstone must outlive."""
    return COOKIE_LIFE_MS if user.startswith(COOKIE_USER) else ANONYMOUS_LIFE_MS


def mint(credential: Credential, ring: CredentialRing) -> str:
    """Return the session token."""
    payload = _Payload(
        format=1,
        session=credential.session,
        user=credential.user,
        project=credential.project,
        app=credential.app,
        kind=credential.kind,
        issued_at=credential.issued_at,
        expires_at=credential.expires_at,
        first_issued_at=credential.first_issued_at,
    )
    vouched = PREFIX + _text(_encode(payload))
    return f"{vouched}.{_mac(vouched, ring.keys[0])}"


def read(token: object, ring: CredentialRing, now: UnixMs) -> Credential:
    """Return what ``token`` vouches for. The session may have ended since; only the store knows.

    Raises TokenRejected, or TokenExpired from ``expires_at`` on.
    """
    if not isinstance(token, str) or not token.startswith(PREFIX) or len(token) > TOKEN_CHARS_MAX:
        raise TokenRejected(detail="not_a_session_token")
    vouched, _, mac = token.rpartition(".")
    given = mac.encode("utf-8", "replace")
    if not any(hmac.compare_digest(given, _mac(vouched, key).encode()) for key in ring.keys):
        raise TokenRejected(detail="session_token_forged")
    try:
        payload = _decode(base64.urlsafe_b64decode(vouched.removeprefix(PREFIX) + "=="))
    except (ValueError, msgspec.DecodeError):
        raise TokenRejected(detail="session_token_of_another_release") from None
    if now >= payload.expires_at:
        raise TokenExpired(detail="session token")
    return Credential(
        session=SessionId(payload.session),
        user=UserId(payload.user),
        project=ProjectId(payload.project),
        app=AppId(payload.app),
        kind=payload.kind,
        issued_at=UnixMs(payload.issued_at),
        expires_at=UnixMs(payload.expires_at),
        first_issued_at=None if payload.first_issued_at is None else UnixMs(payload.first_issued_at),
    )


def needs_renewal(credential: Credential, now: UnixMs) -> bool:
    """Is an anonymous credential past half of its life? A signed one is never renewed here."""
    return (
        credential.kind == "anonymous"
        and now - credential.issued_at >= (credential.expires_at - credential.issued_at) // 2
    )


def _mac(vouched: str, key: Material) -> str:
    return _text(hmac.digest(key.reveal(), vouched.encode("utf-8", "replace"), hashlib.sha256))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
