"""A project's signing keys: made, brought along, followed, and one day ended, each with everything that hangs on it.

A secret's text is in the hands of whoever asked for it and nowhere else; a key's private half never gets here. What is
pasted by mistake is refused without being repeated: into no answer, no log and no audit.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from chatgateway.admin.office import Office, acceptable
from chatgateway.core.keyring import (
    ENTROPY_BYTES,
    KEY_ID,
    KeyRing,
    SigningKey,
    followed_set,
    public_key,
    secret_from,
    shared_secret,
)
from chatgateway.core.project import Project, checked_name
from chatgateway.core.public_key import FollowedKey
from chatgateway.errors import KeyUnknown, Unacceptable
from chatgateway.outside.jwks import KeySets
from chatgateway.store.control import Barrier
from chatgateway.store.projects import fresh_id
from chatgateway.types import KeyId, ProjectId

Deliver = Callable[[SigningKey, str], None]
"""Takes a new secret's text to whoever asked for it."""


@dataclass(frozen=True, slots=True)
class Made:
    """A new shared secret."""

    key: SigningKey
    secret: str = dataclasses.field(repr=False)
    """Its text, which nobody can ask for later."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A key set that the project follows from now on, and what was found there."""

    key: SigningKey
    found: tuple[FollowedKey, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """A key that vouches for nobody any more, and what the nodes answered."""

    key: SigningKey
    barrier: Barrier


async def ring(office: Office, project: ProjectId) -> KeyRing:
    """Return a project's keys, newest first, dead ones too. Raises NotFound."""
    found = await office.projects.get_project(project)
    return await office.keyrings.load(found.id)


async def get(office: Office, project: ProjectId, kid: KeyId) -> SigningKey:
    """Return one key. Raises NotFound, KeyUnknown."""
    return _known(await ring(office, project), kid)


async def add_secret(office: Office, project: ProjectId, name: str = "") -> Made:
    """Make one more shared secret; the other keys go on. Raises NotFound, or Unacceptable for a bad name."""
    found = await office.projects.get_project(project)
    name = _named(name)
    key, secret = await fresh_key(office, found, name)
    return Made(await _add(office, found, key), secret)


async def import_secret(
    office: Office, project: ProjectId, secret: str, name: str = "", kid: KeyId | None = None
) -> SigningKey:
    """Add a shared secret that the project's server signs with already. ``kid`` is what its tokens call it.

    Raises NotFound, or Unacceptable for what is no secret, too short, or here already.
    """
    found = await office.projects.get_project(project)
    with acceptable():
        key = shared_secret(kid or _fresh_kid(), secret, _named(name), await office.store.now())
    return await _add(office, found, key)


async def add_public(
    office: Office, project: ProjectId, text: str, name: str = "", kid: KeyId | None = None
) -> SigningKey:
    """Add the public key in ``text``, PEM or JWK. ``kid`` is what tokens call it; else what the JWK says, if anything.

    Raises NotFound, or Unacceptable, which says what was pasted instead and never quotes it.
    """
    found = await office.projects.get_project(project)
    with acceptable():
        key = public_key(_fresh_kid(), text, _named(name), await office.store.now())
    return await _add(office, found, dataclasses.replace(key, kid=kid or _kid_of(text) or key.kid))


async def follow(office: Office, sets: KeySets, project: ProjectId, url: str, name: str = "") -> Followed:
    """Follow the key set at ``url``: it is asked for now, and what cannot be had is not followed.

    Raises NotFound, Unacceptable for a bad address, OutsideUnavailable.
    """
    found = await office.projects.get_project(project)
    with acceptable():
        key = followed_set(_fresh_kid(), url, _named(name), await office.store.now())
    published = await sets.get(key.url)
    return Followed(await _add(office, found, key), published)


async def rename(office: Office, project: ProjectId, kid: KeyId, name: str) -> SigningKey:
    """Call a key something else; nothing else changes. Raises NotFound, KeyUnknown, or Unacceptable for a bad name."""
    found = await office.projects.get_project(project)
    name = _named(name)

    def renamed(before: KeyRing) -> KeyRing:
        after = dataclasses.replace(_known(before, kid), name=name)
        return KeyRing(before.revision + 1, tuple(after if key.kid == kid else key for key in before.keys))

    async with office.recorded("key rename", kid, found.id) as recording:
        changed = await office.keyrings.change(found.id, renamed, intent=recording)
    return _known(changed.ring, kid)


def secret_to_regenerate(keys: KeyRing, kid: KeyId | None = None) -> SigningKey:
    """Return the living secret that is meant. Raises Unacceptable, which says what to do, when none or several are."""
    named = None if kid is None else keys.get(kid)
    if named is not None and named.usable and named.algorithm == "JWKS":
        raise Unacceptable(
            f"{kid} is a key set that its site publishes: the site puts a new key in and takes the old one out; to "
            "end every session that rests on the set, revoke it."
        )
    if named is not None and named.usable and named.algorithm != "HS256":
        raise Unacceptable(
            f"{kid} is a public key: there is no secret to regenerate. Make a new pair (key generate-pair), add its "
            "public part (key add --public), sign with its private part, and then revoke this one."
        )
    candidates = [key for key in keys.usable("HS256") if kid in (None, key.kid)]
    if kid is None and len(candidates) > 1:
        several = ", ".join(f"{key.kid} ({key.name or 'unnamed'})" for key in candidates)
        raise Unacceptable(f"this project has several secrets; say which: {several}")
    if not candidates:
        raise Unacceptable(f"{kid} is not a living secret of this project" if kid else "the project has no secret")
    return candidates[0]


async def regenerate(office: Office, project: ProjectId, kid: KeyId, deliver: Deliver) -> Ended:
    """Replace the shared secret ``kid``, which is dead from now on; return the new one, as a key.

    ``deliver`` is given its text as soon as the old one is dead: whatever the nodes answer after that, whoever asked
    must have it. Raises NotFound, KeyUnknown, Unacceptable; and after ``deliver`` StoreUnavailable or Conflict, when
    the nodes could not be told: then the verb that asks them again is ``revoke``.
    """
    found = await office.projects.get_project(project)
    old = secret_to_regenerate(await office.keyrings.load(found.id), kid)
    fresh, secret = await fresh_key(office, found, old.name)
    now = await office.store.now()
    entry = office.control.entry("key", found.id, old.kid, "regenerated", now)
    async with office.recorded("key regenerate", old.kid, found.id) as recording:
        recording.fingerprint = fresh.fingerprint
        changed = await office.keyrings.change(
            found.id, lambda ring: ring.regenerate(old.kid, fresh, now), entry, recording
        )
        deliver(fresh, secret)
        return Ended(fresh, await office.withdraw(changed.control, recording))


async def revoke(office: Office, project: ProjectId, kid: KeyId) -> Ended:
    """End a key of any kind now, with every session that rests on it. Repeating is harmless.

    Raises NotFound, KeyUnknown.
    """
    found = await office.projects.get_project(project)
    old = _known(await office.keyrings.load(found.id), kid)
    now = await office.store.now()
    entry = office.control.entry("key", found.id, old.kid, "revoked", now)
    async with office.recorded("key revoke", old.kid, found.id) as recording:
        recording.fingerprint = old.fingerprint
        changed = await office.keyrings.change(found.id, lambda ring: ring.revoke(old.kid, now), entry, recording)
        return Ended(_known(changed.ring, kid), await office.withdraw(changed.control, recording))


async def fresh_key(office: Office, project: Project, name: str) -> tuple[SigningKey, str]:
    """Return a new shared secret as a key, and its text, which nobody can ask for later. Nothing is written."""
    secret = secret_from(secrets.token_bytes(ENTROPY_BYTES), live=not project.test)
    return shared_secret(_fresh_kid(), secret, name, await office.store.now()), secret


async def _add(office: Office, project: Project, key: SigningKey) -> SigningKey:
    with acceptable():
        (await office.keyrings.load(project.id)).add(key)  # what cannot be is refused before it is recorded
    async with office.recorded("key add", project.id, project.id) as recording:
        recording.fingerprint, recording.result = key.fingerprint, key.kid
        with acceptable():
            await office.keyrings.change(project.id, lambda ring: ring.add(key), intent=recording)
    return key


def _known(keys: KeyRing, kid: KeyId) -> SigningKey:
    key = keys.get(kid)
    if key is None:
        raise KeyUnknown(kid)
    return key


def _named(name: str) -> str:
    with acceptable():
        return checked_name(name) if name else ""


def _fresh_kid() -> KeyId:
    return KeyId(fresh_id("key"))


def _kid_of(text: str) -> KeyId | None:
    """Return what a JWK, which was read before, calls itself (RFC 7517 section 4.5), if it may be called so here."""
    if not text.lstrip().startswith("{"):
        return None
    kid = json.loads(text).get("kid")
    return KeyId(kid) if isinstance(kid, str) and KEY_ID.fullmatch(kid) else None
