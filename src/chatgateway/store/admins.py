"""Remember admin tokens, each by its digest only.

Two entries per token in one hash: the record, and which record a digest stands for. Looking a digest up compares
nothing with anything secret: who lacks the token cannot choose its digest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from chatgateway.core.admin import AdminRecord, admin_digest, admin_token, is_admin_token
from chatgateway.core.keyring import ENTROPY_BYTES
from chatgateway.core.project import checked_name
from chatgateway.core.rotation import ControlEntry
from chatgateway.errors import AdminRejected, Conflict, NotFound, StoreError
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.projects import fresh_id
from chatgateway.store.transition import Intent, NameClaim, RecordPlace, read_record, read_records, transition
from chatgateway.types import AdminId, ProjectId, UnixMs

USED_EVERY_MS = 60_000
"""How exactly the last use of a token is known: one write a minute and process, however many calls it makes."""

_RACES_MAX = 8

_record_of = msgspec.json.Decoder(AdminRecord).decode


class AdminRevoked(NamedTuple):
    admin: AdminRecord
    """As it is now."""
    control: ControlEntry | None
    """The control-log entry with its version, for store/control.py to finish; None without one."""


class Admins:
    """The admin tokens of this gateway."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._noted_at: dict[AdminId, UnixMs] = {}

    async def create(
        self, name: str, projects: Sequence[ProjectId] = (), *, intent: Intent | None = None
    ) -> tuple[AdminRecord, str]:
        """Make an admin token, and return its record and its text, which nobody can ask for later.

        ``projects`` empty: good for all of them. Raises ValueError for a bad name.
        """
        token = admin_token(secrets.token_bytes(ENTROPY_BYTES))
        admin = AdminRecord(
            id=AdminId(fresh_id("adm")),
            name=checked_name(name),
            projects=tuple(dict.fromkeys(projects)),
            created_at=await self._store.now(),
            last_four=token[-4:],
        )
        claim = NameClaim(admin_digest(token), admin.id)
        await transition(self._store, _place(admin.id), value=msgspec.json.encode(admin), claim=claim, intent=intent)
        return admin, token

    async def find(self, token: str) -> AdminRecord:
        """Return whom ``token`` makes its bearer. Raises AdminRejected; who bears one that was revoked is told so."""
        if not is_admin_token(token):
            raise AdminRejected(detail="malformed")
        (owner,) = await self._store.hot.ask("HMGET", [schema.ADMINS], [f"name:{admin_digest(token)}"])
        if owner is None:
            raise AdminRejected(detail="unknown")
        admin = await self.get(AdminId(owner.decode()))
        if admin.revoked:
            sentence = "This admin token was revoked; make another with: chatgateway admin create"
            raise AdminRejected(sentence, detail=f"{admin.id} was revoked")
        await self._touch(admin.id)
        return admin

    async def get(self, admin: AdminId) -> AdminRecord:
        """Return one token's record. Raises NotFound."""
        return (await self._read(admin))[1]

    async def list_admins(self, project: ProjectId | None = None) -> list[AdminRecord]:
        """Return all records, or of those good for one project, oldest first; revoked ones too."""
        admins = [_record_of(value) for value in (await read_records(self._store, schema.ADMINS)).values()]
        used = await self._used([admin.id for admin in admins])
        wanted = [
            dataclasses.replace(admin, last_used_at=used[admin.id])
            for admin in admins
            if project is None or admin.serves(project)
        ]
        return sorted(wanted, key=lambda admin: (admin.created_at, admin.id))

    async def revoke(
        self, admin: AdminId, *, control: ControlEntry | None = None, intent: Intent | None = None
    ) -> AdminRevoked:
        """End a token: when this returns, ``find`` rejects it. Repeating is harmless. Raises NotFound."""
        for _ in range(_RACES_MAX):
            revision, before = await self._read(admin)
            after = before if before.revoked else dataclasses.replace(before, revoked_at=await self._store.now())
            try:
                applied = await transition(
                    self._store,
                    _place(admin),
                    expected=revision,
                    value=msgspec.json.encode(dataclasses.replace(after, last_used_at=None)),
                    control=control,
                    intent=intent,
                )
            except Conflict:
                continue
            return AdminRevoked(after, applied.control)
        raise Conflict(f"admin token {admin} never stood still")

    async def _read(self, admin: AdminId) -> tuple[int, AdminRecord]:
        record = await read_record(self._store, _place(admin))
        if not record.revision:
            raise NotFound(f"admin token {admin}")
        used = await self._used([admin])
        return record.revision, dataclasses.replace(_record_of(record.value), last_used_at=used[admin])

    async def _used(self, admins: Sequence[AdminId]) -> dict[AdminId, UnixMs | None]:
        if not admins:
            return {}
        fields = [f"used:{admin}" for admin in admins]
        reply: list[bytes | None] = await self._store.hot.ask("HMGET", [schema.ADMINS], fields)
        return {admin: UnixMs(int(at)) if at else None for admin, at in zip(admins, reply, strict=True)}

    async def _touch(self, admin: AdminId) -> None:
        """Remember that it was used just now: once a minute and process, best effort."""
        with contextlib.suppress(StoreError):
            now = await self._store.now()
            if now - self._noted_at.get(admin, UnixMs(0)) >= USED_EVERY_MS:
                self._noted_at[admin] = now
                await self._store.hot.ask("HSET", [schema.ADMINS], [f"used:{admin}", now])


def _place(admin: AdminId) -> RecordPlace:
    return RecordPlace(schema.ADMINS, f"{admin}:")
