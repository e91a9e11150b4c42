"""Remember people: one per external id and project, found or created by whoever comes first.

The identifier points at the user before the person's record is written. A crash in between leaves a pointer to nobody,
and the next sign-in writes the record: nothing is ever looked for by a record that no pointer leads to.
"""

from __future__ import annotations

import asyncio
import dataclasses
import heapq
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from chatgateway.core.identity import Person
from chatgateway.core.token import Verified
from chatgateway.errors import Conflict, IdentityConflict
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.script import Script
from chatgateway.types import ExternalId, ProjectId, UnixMs, UserId, Version

_IDENTIFY, _PERSON = Script("identify"), Script("person")
_RACES_MAX = 64
"""Browsers of one person may sign in at once; each round one of them gets through."""

_person_of = msgspec.json.Decoder(Person).decode


class Identifier(NamedTuple):
    """One way to name a person: kind ``external_id``, ``email``, ``alias`` …, and the text, taken as it is."""

    kind: str
    text: str


class Identities:
    """The people of all projects."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find_or_create(
        self, project: ProjectId, claims: Verified, proposed: UserId, version: Version | None = None
    ) -> Person:
        """Return the person whom verified ``claims`` name, updated by them; ``proposed`` is the id of a new one.

        Atomic: of any number of first sign-ins of one person, one proposal wins. Absent claims change nothing.
        ``version`` is the one that verified the claims: behind the fence they change nobody, and Stale is raised.
        """
        user = await self.identify(project, [Identifier("external_id", claims.external_id)], proposed)
        return await self._change(project, user, lambda person, now: with_claims(person, claims, now), version)

    async def identify(self, project: ProjectId, identifiers: Sequence[Identifier], proposed: UserId) -> UserId:
        """Return the user that all ``identifiers`` name from now on: the known one, or ``proposed`` when none is known.

        Raises IdentityConflict when two of them name two people; nobody is changed then.
        """
        keys = [_key(project, identifier) for identifier in identifiers]
        user = proposed
        if len(keys) > 1:
            replies: list[bytes | None] = await asyncio.gather(*(self._store.hot.ask("GET", [key], []) for key in keys))
            known = {reply.decode() for reply in replies if reply is not None}
            if len(known) > 1:
                raise IdentityConflict
            user = UserId(known.pop()) if known else proposed
        for position, key in enumerate(keys):
            winner = UserId((await self._store.hot.ask(_IDENTIFY, [key], [user])).decode())
            if winner != user and position > 0:
                raise IdentityConflict
            user = winner
        return user

    async def get(self, project: ProjectId, user: UserId) -> Person | None:
        """Return what is recorded of a person; None when nothing is (an anonymous visitor, say)."""
        return (await self._read(project, user))[1]

    async def find_by_external_id(self, project: ProjectId, external_id: ExternalId) -> Person | None:
        """Return the person whom the project's server calls ``external_id``."""
        user: bytes | None = await self._store.hot.ask(
            "GET", [_key(project, Identifier("external_id", external_id))], []
        )
        return await self.get(project, UserId(user.decode())) if user else None

    async def list_people(self, project: ProjectId, limit: int = 100) -> list[Person]:
        """Return up to ``limit`` recorded people, last updated first."""
        ask = self._store.hot.ask
        options = ["+inf", "-inf", "WITHSCORES", "LIMIT", 0, limit]
        parts: list[list[bytes]] = await asyncio.gather(
            *(ask("ZREVRANGEBYSCORE", [schema.people(part, project)], options) for part in range(schema.PARTITIONS))
        )
        listed = [(float(score), user) for part in parts for user, score in zip(part[::2], part[1::2], strict=True)]
        newest = heapq.nlargest(limit, listed)
        people = await asyncio.gather(*(self.get(project, UserId(user.decode())) for _, user in newest))
        return [person for person in people if person is not None]

    async def set_blocked(self, project: ProjectId, user: UserId, blocked: bool) -> Person:
        """Record that a person is blocked, or no longer. The mark that stops their sessions is store/control.py's."""

        def changed(person: Person, now: UnixMs) -> Person:
            if person.blocked == blocked:
                return person
            return dataclasses.replace(person, blocked=blocked, updated_at=now)

        return await self._change(project, user, changed)

    async def _read(self, project: ProjectId, user: UserId) -> tuple[int, Person | None]:
        reply: list[Any] = await self._store.hot.ask("HMGET", [schema.person(project, user)], ["revision", "value"])
        revision, value = reply
        return int(revision or 0), _person_of(value) if value else None

    async def _change(
        self,
        project: ProjectId,
        user: UserId,
        change: Callable[[Person, UnixMs], Person],
        version: Version | None = None,
    ) -> Person:
        """Write what ``change`` makes of the record, an empty one if there is none; no write when nothing changes."""
        partition = schema.partition_of_user(project, user)
        keys = [schema.person(project, user), schema.people(partition, project), schema.fence(partition)]
        for _ in range(_RACES_MAX):
            revision, before = await self._read(project, user)
            now = await self._store.now()
            after = change(before or Person(user, created_at=now, updated_at=now), now)
            if after == before:
                return after
            carried = "" if version is None else int(version)
            arguments = [revision, msgspec.json.encode(after), user, after.updated_at, carried]
            if await self._store.hot.ask(_PERSON, keys, arguments):
                return after
        raise Conflict(f"person {user} never stood still")


def with_claims(person: Person, claims: Verified, now: UnixMs) -> Person:
    """Return the person as a signed token describes them. What the token does not say stays.

    An address that was proved before stays proved while it stays the same.
    """
    said = {"external_id": claims.external_id, "name": claims.name, "email": claims.email}
    fields = {name: value for name, value in said.items() if value}
    proved = person.email_proved
    if claims.email:
        proved = claims.email_verified or (person.email_proved and claims.email == person.email)
    signed = tuple(sorted({*person.signed, *fields}))
    known = dataclasses.replace(person, **fields, email_proved=proved, signed=signed)
    return known if known == person else dataclasses.replace(known, updated_at=now)


def _key(project: ProjectId, identifier: Identifier) -> str:
    return schema.identifier(project, schema.identifier_digest(identifier.kind, identifier.text))
