"""Remember key rings, with every secret sealed.

Public keys are sealed too, for another purpose than secrets: whoever may write to the store cannot put one in, and
cannot make a secret of one by renaming its algorithm. What a followed set holds is not remembered, only where it is.

A ring is one record, written by compare-and-set on its revision. When a key was last seen at work stands beside it,
outside the compare-and-set: that is an observation, and may be lost.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from chatgateway.core.credential import CredentialRing
from chatgateway.core.keyring import KeyKind, KeyRing, KeyState, Material, SigningKey
from chatgateway.core.public_key import PublicMaterial
from chatgateway.core.rotation import ControlEntry
from chatgateway.errors import Conflict, StoreError
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.sealing import Sealer
from chatgateway.store.transition import Intent, RecordPlace, read_record, transition
from chatgateway.types import KeyId, ProjectId, UnixMs

USED_EVERY_MS = 60_000
"""How exactly the last use of a key is known: one write a minute and process, however many people sign in."""

_GATEWAY = RecordPlace(schema.GATEWAY_RING)
_RACES_MAX = 32


class Changed(NamedTuple):
    ring: KeyRing
    """As it is stored now."""
    control: ControlEntry | None
    """The control-log entry with its version, for store/control.py to finish; None without one."""


class _StoredKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    kid: KeyId
    algorithm: KeyKind
    sealed: bytes
    name: str
    state: KeyState
    created_at: UnixMs
    fingerprint: str
    prefix: str
    last_four: str
    revoked_at: UnixMs | None = None
    url: str = ""


class _StoredRing(msgspec.Struct, frozen=True):
    keys: tuple[_StoredKey, ...]


class _StoredGatewayRing(msgspec.Struct, frozen=True):
    keys: tuple[bytes, ...]
    """Sealed, newest first."""


_ring_of = msgspec.json.Decoder(_StoredRing).decode
_gateway_ring_of = msgspec.json.Decoder(_StoredGatewayRing).decode


class KeyRings:
    """The key rings of all projects, and the gateway's own."""

    def __init__(self, store: Store, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer
        self._noted_at: dict[tuple[ProjectId, KeyId], UnixMs] = {}

    async def load(self, project: ProjectId) -> KeyRing:
        """Return the project's ring with its secrets open: one round trip.

        A project without a ring has an empty one, which verifies nothing. Raises StoreRefused when the master key
        does not open it.
        """
        flat: list[bytes] = await self._store.hot.ask("HGETALL", [schema.key_ring(project)], [])
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        if b"value" not in fields:
            return KeyRing()
        stored = _ring_of(fields[b"value"]).keys
        keys = tuple(self._opened(project, key, fields.get(f"used:{key.kid}".encode())) for key in stored)
        return KeyRing(int(fields[b"revision"]), keys)

    async def change(
        self,
        project: ProjectId,
        transform: Callable[[KeyRing], KeyRing],
        control: ControlEntry | None = None,
        intent: Intent | None = None,
    ) -> Changed:
        """Store what ``transform`` makes of the ring, with the control-log entry and the audit's intent. Atomic.

        ``transform`` is called again, on the newer ring, when another writer was faster; what it raises is raised on,
        and nothing is written. Raises Conflict after many lost races.
        """
        for _ in range(_RACES_MAX):
            before = await self.load(project)
            after = dataclasses.replace(transform(before), revision=before.revision + 1)
            value = msgspec.json.encode(_StoredRing(tuple(self._sealed(project, key) for key in after.keys)))
            place = RecordPlace(schema.key_ring(project))
            try:
                applied = await transition(
                    self._store, place, expected=before.revision, value=value, control=control, intent=intent
                )
            except Conflict:
                continue
            return Changed(after, applied.control)
        raise Conflict(f"the key ring of {project} never stood still")

    async def touch(self, project: ProjectId, kid: KeyId, now: UnixMs) -> None:
        """Remember that ``kid`` verified a token just now: once a minute and process, best effort, never raises."""
        if now - self._noted_at.get((project, kid), UnixMs(0)) < USED_EVERY_MS:
            return
        self._noted_at[project, kid] = now
        with contextlib.suppress(StoreError):
            await self._store.hot.ask("HSET", [schema.key_ring(project)], [f"used:{kid}", now])

    async def gateway_ring(self) -> CredentialRing:
        """Return the ring that signs session tokens, made at its first use: however many ask at once, one is made.

        Raises StoreRefused when the master key does not open it.
        """
        for _ in range(_RACES_MAX):
            record = await read_record(self._store, _GATEWAY)
            if record.revision:
                sealed = _gateway_ring_of(record.value).keys
                keys = tuple(Material(self._sealer.open("session", "", "", key)) for key in sealed)
                return CredentialRing(record.revision, keys)
            fresh = self._sealer.seal("session", "", "", secrets.token_bytes(32))
            with contextlib.suppress(Conflict):
                await transition(self._store, _GATEWAY, value=msgspec.json.encode(_StoredGatewayRing((fresh,))))
        raise Conflict("the gateway's own ring never stood still")

    def _sealed(self, project: ProjectId, key: SigningKey) -> _StoredKey:
        material = key.material
        held = material.pem if isinstance(material, PublicMaterial) else material.reveal()
        return _StoredKey(
            kid=key.kid,
            algorithm=key.algorithm,
            sealed=self._sealer.seal(_purpose(key.algorithm), project, key.kid, held),
            name=key.name,
            state=key.state,
            created_at=key.created_at,
            fingerprint=key.fingerprint,
            prefix=key.prefix,
            last_four=key.last_four,
            revoked_at=key.revoked_at,
            url=key.url,
        )

    def _opened(self, project: ProjectId, key: _StoredKey, used: bytes | None) -> SigningKey:
        held = self._sealer.open(_purpose(key.algorithm), project, key.kid, key.sealed)
        return SigningKey(
            kid=key.kid,
            algorithm=key.algorithm,
            material=Material(held) if key.algorithm == "HS256" else PublicMaterial(held),
            name=key.name,
            state=key.state,
            created_at=key.created_at,
            fingerprint=key.fingerprint,
            prefix=key.prefix,
            last_four=key.last_four,
            revoked_at=key.revoked_at,
            last_used_at=UnixMs(int(used)) if used else None,
            url=key.url,
        )


def _purpose(kind: KeyKind) -> str:
    return "signing" if kind == "HS256" else f"public {kind} key"
