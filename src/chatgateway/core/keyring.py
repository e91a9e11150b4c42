"""Decide what a project's signing keys are worth: who may sign now, who no longer, and what a secret looks like.

    pending ──► active ──► retiring ──► revoked ──► destroyed
                   └───────────────────────^

Only ``active`` and ``retiring`` keys vouch for anybody. An id is never used twice, so "revoked" said of an id stays
true for ever; that is why the ring keeps dead keys.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from chatgateway.core.public_key import FollowedKey, PublicMaterial, public_material
from chatgateway.errors import KeyUnknown
from chatgateway.types import KeyId, UnixMs

KeyState = Literal["pending", "active", "retiring", "revoked", "destroyed"]
Algorithm = Literal["HS256", "RS256", "ES256", "EdDSA"]
KeyKind = Literal["HS256", "RS256", "ES256", "EdDSA", "JWKS"]
"""A shared secret, a public key, or a set of public keys that somebody else publishes and that is followed."""

KEY_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What a ``kid`` may look like. Anything else in a token is not worth a look at the ring."""

SECRET_PATTERN: Final = re.compile(r"cgs_(?:live|test)_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}")
"""For secret scanners; the last six characters are a checksum, so that a find needs no confirmation by us."""

ENTROPY_BYTES: Final = 32
SECRET_BYTES_MIN: Final = 32
"""An HMAC key as long as its hash (RFC 7518 section 3.2)."""

URL_CHARS_MAX: Final = 2_048
_HTTPS_URL: Final = re.compile(r"https://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?(/[!-~]*)?")
"""Printable ASCII, a host, and neither a password nor a fragment: enough for an address that an operator pastes."""

ADMIN_ID: Final = "adm_"
"""How ids of admin tokens begin. A session rests on one kid, be it a key's or an admin token's."""

LATELY_MS: Final = 24 * 3600 * 1000
"""For so long after a revocation a token of the dead key is told why: its server may not have heard of the new one."""

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Material:
    """Key bytes that must be asked for by name. Printing, formatting or pickling them shows nothing."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return "Material(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Material) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("key material is not pickled")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What vouches for a project's people, and what has become of it.

    A followed set is one record: its keys sign, but whom they vouch for rests on the record, and ends with it.
    """

    kid: KeyId
    algorithm: KeyKind
    material: Material | PublicMaterial
    """A shared secret (the UTF-8 of the whole text) or a public key. Of a followed set: an empty public one."""
    name: str
    state: KeyState
    created_at: UnixMs
    fingerprint: str
    prefix: str
    last_four: str
    revoked_at: UnixMs | None = None
    last_used_at: UnixMs | None = None
    url: str = ""
    """Where a followed set is published."""
    followed: tuple[FollowedKey, ...] = ()
    """The keys of a followed set, as they were fetched last. Never stored."""

    @property
    def secret(self) -> Material:
        """The shared secret. Raises TypeError for any other kind of key."""
        if not isinstance(self.material, Material):
            raise TypeError(f"{self.kid} is a public key: there is no secret")
        return self.material

    @property
    def usable(self) -> bool:
        return self.state in ("active", "retiring")

    @property
    def dead(self) -> bool:
        return self.state in ("revoked", "destroyed")

    def revoked(self, now: UnixMs) -> SigningKey:
        """Return the key as it is after its end. A dead key stays as dead as it was."""
        return self if self.dead else replace(self, state="revoked", revoked_at=now)

    def revoked_lately(self, now: UnixMs) -> bool:
        """Is it young enough a corpse that whoever still signs with it should be told? Never for a living key."""
        return self.state == "revoked" and self.revoked_at is not None and now - self.revoked_at < LATELY_MS

    def used(self, now: UnixMs) -> SigningKey:
        return replace(self, last_used_at=now)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """A project's signing keys, newest first, dead ones included.

    ``revision`` grows with every change and is compared when the ring is written.
    """

    revision: int = 0
    keys: tuple[SigningKey, ...] = ()

    def get(self, kid: KeyId) -> SigningKey | None:
        """Return the key of that id, alive or dead; None when the ring never had it."""
        return next((key for key in self.keys if key.kid == kid), None)

    def knows(self, kid: KeyId) -> bool:
        return self.get(kid) is not None

    def usable(self, algorithm: KeyKind | None = None) -> tuple[SigningKey, ...]:
        """Return the keys that vouch for people now, newest first; with ``algorithm``, those of that kind."""
        return tuple(key for key in self.keys if key.usable and algorithm in (None, key.algorithm))

    def add(self, key: SigningKey) -> KeyRing:
        """Put ``key`` in front.

        Raises ValueError when its id was used before or could not stand in a token, or when the same key is or was here
        under another id: to revoke it must mean that it is gone, and a leaked key must not come back.
        """
        if not KEY_ID.fullmatch(key.kid):
            raise ValueError(f"key id {key.kid!r} is not of the form {KEY_ID.pattern}")
        if self.knows(key.kid):
            raise ValueError(f"key id {key.kid} was used before")
        if key.kid.startswith(ADMIN_ID):
            raise ValueError(f"key id {key.kid} is of the form of an admin token's id, which vouches for sessions too")
        for other in self.keys:
            if other.fingerprint == key.fingerprint and not (other.dead and key.algorithm == "JWKS"):
                raise ValueError(f"that key is here already, as {other.kid} ({other.state}): make a new one")
        return KeyRing(self.revision + 1, (key, *self.keys))

    def regenerate(self, kid: KeyId, fresh: SigningKey, now: UnixMs) -> KeyRing:
        """Put ``fresh`` in the place of the secret ``kid``, which verifies nothing from ``now`` on. Other keys stay.

        Raises KeyUnknown, or ValueError when ``kid`` is a public key or the fresh id was used before.
        """
        if self._known(kid).algorithm != "HS256":
            raise ValueError(f"{kid} is a public key or a set of them: there is no secret to regenerate")
        return replace(self.revoke(kid, now).add(fresh), revision=self.revision + 1)

    def revoke(self, kid: KeyId, now: UnixMs) -> KeyRing:
        """End ``kid``: it verifies nothing from ``now`` on. Other keys stay. Repeating is harmless.

        Raises KeyUnknown.
        """
        dead = self._known(kid).revoked(now)
        return KeyRing(self.revision + 1, tuple(dead if key.kid == kid else key for key in self.keys))

    def following(self, sets: Mapping[KeyId, tuple[FollowedKey, ...]]) -> KeyRing:
        """Return the ring with the keys of its followed sets, by the record's id. A set that is not given has none.

        A key that was pasted and is dead stays dead, whoever publishes it.
        """
        dead = {key.fingerprint for key in self.keys if key.dead}

        def living(key: SigningKey) -> tuple[FollowedKey, ...]:
            return tuple(one for one in sets.get(key.kid, ()) if fingerprint(one.material.pem) not in dead)

        filled = (replace(key, followed=living(key)) if key.algorithm == "JWKS" else key for key in self.keys)
        return replace(self, keys=tuple(filled))

    def _known(self, kid: KeyId) -> SigningKey:
        key = self.get(kid)
        if key is None:
            raise KeyUnknown(kid)
        return key


def shared_secret(kid: KeyId, secret: str, name: str, now: UnixMs) -> SigningKey:
    """Return an active HS256 key for ``secret``, be it ours or one that a project brings along.

    Raises ValueError under 32 bytes, and for half a key pair.
    """
    material = secret.encode()
    if len(material) < SECRET_BYTES_MIN:
        raise ValueError(f"a shared secret has at least {SECRET_BYTES_MIN} bytes, this one has {len(material)}")
    if "-----BEGIN" in secret or secret.lstrip().startswith("{"):
        raise ValueError("that is a key file, not a shared secret: paste a public key as a public key")
    prefix = next((known for known in ("cgs_live_", "cgs_test_") if secret.startswith(known)), "")
    return SigningKey(
        kid=kid,
        algorithm="HS256",
        material=Material(material),
        name=name,
        state="active",
        created_at=now,
        fingerprint=fingerprint(material),
        prefix=prefix,
        last_four=secret[-4:],
    )


def public_key(kid: KeyId, text: str, name: str, now: UnixMs) -> SigningKey:
    """Return an active key for the PEM or JWK in ``text``. Raises ValueError, with one sentence, for anything else."""
    algorithm, material = public_material(text)
    return _active(kid, algorithm, material, name, now, fingerprint(material.pem))


def followed_set(kid: KeyId, url: str, name: str, now: UnixMs) -> SigningKey:
    """Return an active record that stands for the keys published at ``url``.

    Raises ValueError unless it is an https address without a password or a fragment.
    """
    if url.lower().startswith("http:"):
        raise ValueError("a key set is followed over https only: whoever stands in between could put in keys of theirs")
    if len(url) > URL_CHARS_MAX or not _HTTPS_URL.fullmatch(url) or "#" in url:
        raise ValueError("that is no address of a key set: https://, a host and a path, without password and fragment")
    return replace(_active(kid, "JWKS", PublicMaterial(b""), name, now, fingerprint(url.encode())), url=url)


def _active(
    kid: KeyId, kind: KeyKind, material: PublicMaterial, name: str, now: UnixMs, fingerprint: str
) -> SigningKey:
    return SigningKey(
        kid=kid,
        algorithm=kind,
        material=material,
        name=name,
        state="active",
        created_at=now,
        fingerprint=fingerprint,
        prefix="",
        last_four="",
    )


def fingerprint(material: bytes) -> str:
    """Return 16 hexadecimal digits by which two people can tell that they hold the same key without showing it."""
    return hashlib.sha256(b"chatgateway fingerprint\0" + material).hexdigest()[:16]


def secret_from(entropy: bytes, live: bool) -> str:
    """Return the text of a secret made of 32 random bytes. Raises ValueError for any other number of them."""
    return secret_text(f"cgs_{'live' if live else 'test'}_", entropy)


def secret_text(prefix: str, entropy: bytes) -> str:
    """Return ``prefix``, 32 random bytes as 43 characters of base 62, ``_`` and their checksum.

    Raises ValueError for any other number of bytes.
    """
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"a secret is made of {ENTROPY_BYTES} random bytes, not {len(entropy)}")
    body = f"{prefix}{_base62(int.from_bytes(entropy, 'big'), 43)}"
    return f"{body}_{_checksum(body)}"


def has_checksum(text: str) -> bool:
    """Do the last six characters of ``text`` fit what stands before them?"""
    return _checksum(text[:-7]) == text[-6:]


def is_secret(text: str) -> bool:
    """Is all of ``text`` one of our secrets, without a typing error? Nobody needs to be asked for the answer."""
    return bool(SECRET_PATTERN.fullmatch(text)) and has_checksum(text)


def is_secret_like(text: str) -> bool:
    """Does ``text`` hold anything shaped like one of our secrets? For the tripwire: a typing error excuses nobody."""
    return SECRET_PATTERN.search(text) is not None


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), 6)


def _base62(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits = _DIGITS[digit] + digits
    return digits
