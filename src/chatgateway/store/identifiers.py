"""Whom identifiers name: decided for several of them at once, though each lies in a partition of its own.

An identifier points at a user, and that user's hash says what the pointer means:

    recorded            it names this person
    moved to another    it names that other person
    moved to nobody     it names nobody and may be taken
    erased              the same
    nothing             it is reserved: somebody signs in right now, and it names nobody yet

A sign-in points everything that names nobody at the user whom it proposes, in the order of the keys, so that no two
sign-ins wait for each other. Then ONE script decides for all of it: the proposed user becomes a person (person.lua), or
stands for the person who was known (move.lua). Until then nobody can be taken for anybody; a conflict is found before,
and changes nobody.

Whoever meets another's reservation waits a little. When it does not go away its owner has died, and the user whom it
proposed is made nobody: an owner that was only slow can decide nothing any more, and begins anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from chatgateway.core.person import OUR_ID, Identifier, contradicts
from chatgateway.errors import Conflict, IdentityConflict, IdentityErased, Stale, StoreError
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.records import RACES_MAX, Record, Records, Written, carried, fenced
from chatgateway.store.script import Script
from chatgateway.types import ProjectId, UserId, Version

_IDENTIFY, _MOVE = Script("identify"), Script("move")

PATIENCE = 5
"""How often the same reservation is met before its owner counts as dead. An owner needs three answers of the store;
meeting it so often takes ten, and the pauses."""

PAUSE_S = 0.01
"""The first pause; each is twice as long as the one before."""

_NOBODY_MS = 86_400_000
"""No write is under way that long."""

Begin = Callable[[UserId], Awaitable[Written]]
"""Record the proposed user as a person."""


class Pointer(NamedTuple):
    """One identifier as it was found."""

    identifier: Identifier
    key: str
    partition: int
    user: str
    """The user at whom it points, "" for none."""
    names: UserId | None
    """The person whom it names."""
    reserved: bool


class Claimed(NamedTuple):
    user: UserId
    began: bool
    """Did this person begin to be now?"""
    new: tuple[Identifier, ...]
    """What named nobody before."""


class Identifiers:
    """The identifiers of all projects."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._records = Records(store)

    async def look(self, project: ProjectId, identifiers: Sequence[Identifier]) -> list[Pointer]:
        """Return what the identifiers mean, in the order of their keys. Not one moment: see ``claim``."""
        digests = {schema.identifier_digest(one.kind, one.text): one for one in identifiers}
        places = sorted(
            (schema.identifier(project, digest), schema.partition_of_identifier(project, digest), one)
            for digest, one in digests.items()
        )
        replies: list[bytes | None] = await asyncio.gather(*(self._store.hot.ask("GET", [key]) for key, _, _ in places))
        users = [UserId(reply.decode()) if reply else UserId("") for reply in replies]
        users = await asyncio.gather(
            *(self._own(project, one, user) for (_, _, one), user in zip(places, users, strict=True))
        )
        records = await self._read(project, {user for user in users if user})
        others = {UserId(record.moved) for record in records.values() if record.moved}
        records |= await self._read(project, others - records.keys())
        return [
            Pointer(one, key, partition, user, _named(user, records), bool(user) and records[user].undecided)
            for (key, partition, one), user in zip(places, users, strict=True)
        ]

    async def _own(self, project: ProjectId, one: Identifier, user: UserId) -> UserId:
        """Return at whom an identifier points; our own id of somebody, as a ``deskpro_id``, needs no pointer.

        Only of somebody whom the project's server named before: an anonymous visitor's id is shown to many, and whoever
        is called so is somebody new.
        """
        if user or one.kind != "deskpro_id" or not OUR_ID.fullmatch(one.text):
            return user
        person = (await self._records.read(project, UserId(one.text))).person
        return person.user if person is not None and person.vouched else UserId("")

    async def claim(
        self,
        project: ProjectId,
        identifiers: Sequence[Identifier],
        proposed: UserId,
        version: Version | None,
        begin: Begin,
    ) -> Claimed:
        """Return whom all ``identifiers`` name from now on, whether that person began to be now, and what is new.

        What is new named nobody before this call.

        Raises IdentityConflict when two of them name two people, Stale when ``version`` is behind a fence; then nobody
        is changed. What ``begin`` raises leaves nothing either.
        """
        met: Counter[str] = Counter()
        fresh = stands_for = False
        taken: tuple[Identifier, ...] = ()
        try:
            for _ in range(RACES_MAX):
                found = await self.look(project, identifiers)
                known = {one.names for one in found if one.names is not None}
                if len(known) > 1:
                    raise IdentityConflict
                free = [one for one in found if one.names is None]
                if known and not free:
                    user = known.pop()
                    await self._straighten(project, found, user, proposed if stands_for else None)
                    return Claimed(user, False, taken if stands_for else ())
                if known:
                    (user,) = known
                    person = (await self._records.read(project, user)).person
                    new = tuple(one.identifier for one in free)
                    if person is not None and contradicts(person, new):
                        raise IdentityConflict  # before anything points at them
                if not fresh:
                    # Whoever is somebody already must not be given what names nobody.
                    fresh = (await self._records.read(project, proposed)).undecided
                    proposed = proposed if fresh else new_user()
                if not await self._take(project, free, proposed, version, met):
                    continue
                taken = tuple(one.identifier for one in free)
                if known:
                    decided = stands_for = await self._move(project, proposed, known.pop(), version)
                else:
                    written = await begin(proposed)
                    if written == "written":
                        return Claimed(proposed, True, taken)
                    decided = False
                if not decided:
                    proposed = new_user()
        except (IdentityConflict, IdentityErased, Stale):
            with contextlib.suppress(StoreError):
                await self.release(project, identifiers, proposed)
            raise
        raise Conflict("too many sign-ins with the same identifiers at once")

    async def release(self, project: ProjectId, identifiers: Sequence[Identifier], user: UserId) -> None:
        """Let those of ``identifiers`` that point at ``user`` name nobody."""
        for one in await self.look(project, identifiers):
            if user in (one.user, one.names):
                await self._point(one, "", None)

    async def let_go(self, project: ProjectId, digest: str, user: UserId) -> None:
        """Let an identifier name nobody, if it points at ``user`` still: whoever took it meanwhile keeps it."""
        keys = [schema.identifier(project, digest), schema.fence(schema.partition_of_identifier(project, digest))]
        await self._store.hot.ask(_IDENTIFY, keys, [user, "", carried(None)])

    async def unfinished(self, project: ProjectId, identifier: Identifier) -> UserId | None:
        """Return whom an identifier named until their erasure began, which was not finished then."""
        (found,) = await self.look(project, [identifier])
        user = UserId(found.user)
        if not user or found.names is not None:
            return None
        record = await self._records.read(project, user)
        if record.moved:
            user = UserId(record.moved)
            record = await self._records.read(project, user)
        return user if record.erased else None

    async def _read(self, project: ProjectId, users: set[UserId]) -> dict[UserId, Record]:
        ordered = sorted(users)
        records = await asyncio.gather(*(self._records.read(project, user) for user in ordered))
        return dict(zip(ordered, records, strict=True))

    async def _take(
        self, project: ProjectId, free: list[Pointer], user: UserId, version: Version | None, met: Counter[str]
    ) -> bool:
        """Point what names nobody at ``user``, and return whether all of it does now."""
        for one in free:
            if one.user == user:
                continue
            if one.reserved:
                met[one.user] += 1
                if met[one.user] < PATIENCE:
                    await asyncio.sleep(PAUSE_S * 2 ** met[one.user])
                    return False
                if not await self._move(project, UserId(one.user), "", version):
                    return False
            if not await self._point(one, user, version):
                return False
        return True

    async def _straighten(self, project: ProjectId, found: list[Pointer], user: UserId, own: UserId | None) -> None:
        """Point at the person directly. ``own``: the user who stood for them for us alone, and is needed no more."""
        for one in found:
            if one.user != user:
                await self._point(one, user, None)
        if own is not None:
            await self._store.hot.ask("DEL", [schema.person(project, own)])

    async def _point(self, one: Pointer, user: str, version: Version | None) -> bool:
        keys = [one.key, schema.fence(one.partition)]
        answer: int = await fenced(self._store, one.partition, _IDENTIFY, keys, [one.user, user, carried(version)])
        return answer == 1

    async def _move(self, project: ProjectId, user: UserId, to: str, version: Version | None) -> bool:
        partition = schema.partition_of_user(project, user)
        keys = [schema.person(project, user), schema.fence(partition)]
        answer: int = await fenced(self._store, partition, _MOVE, keys, [to, carried(version), _NOBODY_MS])
        return answer == 1


def new_user() -> UserId:
    """Return an id that nobody has."""
    return UserId("usr_" + secrets.token_hex(10))


def _named(user: UserId, records: dict[UserId, Record]) -> UserId | None:
    if not user:
        return None
    if records[user].person is not None:
        return user
    other = UserId(records[user].moved or "")
    return other if other and records[other].person is not None else None
