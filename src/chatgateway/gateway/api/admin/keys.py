"""Signing keys over HTTP: a secret is in one answer and nowhere else; a key's private half is never sent here."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.responses import Response

from chatgateway.admin import keys
from chatgateway.core.keyring import KEY_ID, KeyKind, KeyState, SigningKey
from chatgateway.core.public_key import PublicMaterial
from chatgateway.errors import RecordUnknown, StoreError, Unacceptable
from chatgateway.gateway.api.admin.office import (
    AdminCall,
    Concluded,
    Foretold,
    Rehearsing,
    concluded,
    office_of,
    project_of,
    told,
)
from chatgateway.gateway.api.faults import OutsideSilent
from chatgateway.gateway.api.operation import Operation
from chatgateway.log import log
from chatgateway.store.control import Barrier
from chatgateway.types import KeyId

Kid = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=rf"^{KEY_ID.pattern}\Z")]
KeyName = Annotated[str, msgspec.Meta(max_length=400)]
Pasted = Annotated[str, msgspec.Meta(min_length=1, max_length=32_768)]


class KeyShown(msgspec.Struct, frozen=True, kw_only=True):
    """A signing key. Never a secret."""

    kid: str
    name: str
    algorithm: KeyKind
    """Of a followed key set: JWKS."""
    state: KeyState
    created_at: int
    last_used_at: int | None
    revoked_at: int | None
    fingerprint: str
    prefix: str
    last_four: str
    """Of a secret, by which people recognise it."""
    url: str
    """Where a followed key set is published."""
    public_key: str
    """PEM; empty for a secret."""

    @classmethod
    def of(cls, key: SigningKey) -> KeyShown:
        return cls(
            kid=key.kid,
            name=key.name,
            algorithm=key.algorithm,
            state=key.state,
            created_at=key.created_at,
            last_used_at=key.last_used_at,
            revoked_at=key.revoked_at,
            fingerprint=key.fingerprint,
            prefix=key.prefix,
            last_four=key.last_four,
            url=key.url,
            public_key=key.material.pem.decode() if isinstance(key.material, PublicMaterial) else "",
        )


class KeysShown(msgspec.Struct, frozen=True, kw_only=True):
    """A project's keys, newest first, dead ones too."""

    keys: list[KeyShown]


class KeyWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    name: KeyName = ""
    """What people call it, for instance the server that signs with it."""


class SecretKeyWanted(KeyWanted, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="secret"):
    """A shared secret that is made here."""


class PublicKeyWanted(KeyWanted, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="public"):
    """The public half of a pair that the project's server signs with."""

    key: Pasted
    """PEM or JWK. A private key is refused, and was exposed."""
    kid: Kid | None = None
    """What tokens call it."""


class FollowedKeysWanted(KeyWanted, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="jwks"):
    """A key set that is published somewhere, and followed from now on."""

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2_048)]


class ImportedKeyWanted(KeyWanted, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="import"):
    """A shared secret that the project's server signs with already."""

    secret: Pasted
    kid: Kid | None = None


class PublishedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was found in a followed set."""

    kid: str
    algorithm: str


class KeyMade(msgspec.Struct, frozen=True, kw_only=True):
    """A key that vouches for people from now on."""

    key: KeyShown
    secret: str | None
    """Of a secret that was made here. Shown once: nobody can ask for it later."""
    published: list[PublishedKey]
    """What was found in a key set that is followed now."""


class KeyEdit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What people are to call it."""

    name: KeyName


class KeyRegenerated(Concluded, frozen=True, kw_only=True):
    """A secret in the place of another, which is dead."""

    replaced: str
    """The id of the old one."""
    key: KeyShown
    secret: str
    """Shown once: nobody can ask for it later."""


class KeyRevoked(Concluded, frozen=True, kw_only=True):
    """A key that vouches for nobody any more."""

    key: KeyShown


async def list_keys(call: AdminCall) -> KeysShown:
    ring = await keys.ring(office_of(call), project_of(call))
    return KeysShown(keys=[KeyShown.of(key) for key in ring.keys])


async def get_key(call: AdminCall) -> KeyShown:
    return KeyShown.of(await keys.get(office_of(call), project_of(call), _kid(call)))


async def add_key(call: AdminCall) -> KeyMade:
    office, project = office_of(call), project_of(call)
    match call.body:
        case PublicKeyWanted(key=text, name=name, kid=kid):
            added = await keys.add_public(office, project, text, name, KeyId(kid) if kid else None)
        case ImportedKeyWanted(secret=secret, name=name, kid=kid):
            added = await keys.import_secret(office, project, secret, name, KeyId(kid) if kid else None)
        case FollowedKeysWanted(url=url, name=name):
            followed = await keys.follow(office, call.parts.signers.sets, project, url, name)
            found = [PublishedKey(kid=key.kid or "", algorithm=key.algorithm) for key in followed.found]
            return KeyMade(key=KeyShown.of(followed.key), secret=None, published=found)
        case wanted:
            made = await keys.add_secret(office, project, wanted.name)
            return KeyMade(key=KeyShown.of(made.key), secret=made.secret, published=[])
    return KeyMade(key=KeyShown.of(added), secret=None, published=[])


async def rename_key(call: AdminCall) -> KeyShown:
    return KeyShown.of(await keys.rename(office_of(call), project_of(call), _kid(call), call.body.name))


async def regenerate_key(call: AdminCall) -> Foretold | Concluded | Response:
    office, project, kid = office_of(call), project_of(call), _kid(call)
    if call.query.dry_run:
        old = keys.secret_to_regenerate(await keys.ring(office, project), kid)
        return Foretold.of(await office.live_sessions(project, kid=old.kid))
    fresh: list[tuple[SigningKey, str]] = []

    def deliver(key: SigningKey, secret: str) -> None:
        fresh.append((key, secret))

    barrier: Barrier | None = None
    try:
        barrier = (await keys.regenerate(office, project, kid, deliver)).barrier
    except StoreError as error:
        if not fresh:
            raise
        # The old one is dead whatever the nodes heard, so the new one must get to whoever asked.
        log.warning("key.unconfirmed", project=project, kid=kid, detail=str(error))
    key, secret = fresh[0]
    return concluded(
        call, KeyRegenerated(replaced=kid, key=KeyShown.of(key), secret=secret, **told(barrier))
    )  # fmt: skip


async def revoke_key(call: AdminCall) -> Foretold | Concluded | Response:
    office, project, kid = office_of(call), project_of(call), _kid(call)
    if call.query.dry_run:
        key = await keys.get(office, project, kid)
        return Foretold.of(await office.live_sessions(project, kid=key.kid))
    ended = await keys.revoke(office, project, kid)
    return concluded(call, KeyRevoked(key=KeyShown.of(ended.key), **told(ended.barrier)))


def _kid(call: AdminCall) -> KeyId:
    return KeyId(call.path["kid"])


_ALL = "/v1/admin/projects/{project}/keys"
_ONE = _ALL + "/{kid}"
_KID = {"kid": Kid}

OPERATIONS = (
    Operation("GET", _ALL, "List a project's signing keys.", list_keys, "admin",
        gives=KeysShown, errors=(RecordUnknown,),
    ),
    Operation(
        "POST", _ALL, "Add one more key.", add_key, "admin",
        takes=SecretKeyWanted | PublicKeyWanted | FollowedKeysWanted | ImportedKeyWanted,
        gives=KeyMade, status=201, errors=(RecordUnknown, Unacceptable, OutsideSilent),
        details="Nobody is cut off; the other keys go on.",
    ),
    Operation("GET", _ONE, "Show a key.", get_key, "admin", gives=KeyShown, errors=(RecordUnknown,), parameters=_KID),
    Operation(
        "PATCH", _ONE, "Call a key something else.", rename_key, "admin",
        takes=KeyEdit, gives=KeyShown, errors=(RecordUnknown, Unacceptable), parameters=_KID,
    ),
    Operation(
        "POST", _ONE + "/regenerate", "Replace a shared secret. The old one dies now.", regenerate_key, "admin",
        query=Rehearsing, gives=KeyRegenerated, rehearsal=Foretold, ends=True,
        errors=(RecordUnknown, Unacceptable), parameters=_KID,
        details=(
            "Sessions signed in with the old one end on every node with 4301. The new secret is in the answer whether "
            "or not every node confirmed; to ask the nodes again, revoke the old key."
        ),
    ),
    Operation(
        "POST", _ONE + "/revoke", "End a key now; nothing takes its place.", revoke_key, "admin",
        query=Rehearsing, gives=KeyRevoked, rehearsal=Foretold, ends=True, errors=(RecordUnknown,), parameters=_KID,
        details="Sessions signed in with it end on every node with 4301. Repeating is harmless.",
    ),
)  # fmt: skip
