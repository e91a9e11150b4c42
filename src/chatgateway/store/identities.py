"""Remember people: found or created by what names them, described by whoever may describe them.

``store/identifiers.py`` decides whom several identifiers name, ``store/records.py`` writes what is known of a person;
``store/people.py`` lists and finds them, ``store/privacy.py`` forgets them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from chatgateway.core.person import (
    Description,
    Identifier,
    Person,
    contradicts,
    described,
    forgotten,
    locked,
    named,
    proved,
)
from chatgateway.errors import IdentityConflict, IdentityErased
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.identifiers import Identifiers
from chatgateway.store.people import People
from chatgateway.store.records import Record, Records, Written
from chatgateway.types import ExternalId, KeyId, ProjectId, UnixMs, UserId, Version


class Edited(NamedTuple):
    person: Person
    locked: tuple[str, ...]
    """Names of what was asked for and not changed, because it was signed."""


class Identities:
    """The people of all projects."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._identifiers = Identifiers(store)
        self._records = Records(store)

    # --- by the project's server

    async def find_or_create(
        self,
        project: ProjectId,
        identifiers: Sequence[Identifier],
        said: Description,
        proposed: UserId,
        version: Version | None = None,
    ) -> Person:
        """Return the person whom ``identifiers`` name, as ``said`` describes them; ``proposed`` is the id of a new one.

        Atomic: of any number of first sign-ins of one person, one proposal wins. What is not said changes nothing.
        ``version`` is the one that verified the token: behind the fence it changes nobody, and Stale is raised.
        Raises IdentityConflict when two identifiers name two people: nobody is changed then. Raises IdentityErased when
        the person is erased meanwhile; whoever comes later with the same identifiers is somebody new.
        """
        return (await self._found(project, identifiers, said, proposed, version))[0]

    async def upsert(
        self, project: ProjectId, identifiers: Sequence[Identifier], said: Description, proposed: UserId
    ) -> tuple[Person, bool]:
        """Return the person as the project's server describes them, and whether they began to be now.

        From now on a token that says just the user id as its ``deskpro_id`` finds them. Repeating is harmless.
        Raises IdentityConflict, IdentityErased.
        """
        person, created = await self._found(project, identifiers, said, proposed, None)
        alias = Identifier("deskpro_id", person.user)
        if alias not in person.identifiers:
            person, _ = await self._found(project, [*identifiers, alias], Description(), proposed, None, person.user)
        return person, created

    async def identify(self, project: ProjectId, identifiers: Sequence[Identifier], proposed: UserId) -> UserId:
        """Return a user whom ``identifiers`` name now, ``proposed`` when they name nobody. Changes nothing."""
        found = await self._identifiers.look(project, identifiers)
        return next((one.names for one in found if one.names is not None), proposed)

    async def spend(self, project: ProjectId, kid: KeyId, token_id: str, until: UnixMs) -> bool:
        """Take a token that is good once, and return whether it was. Remembered as long as the token could live."""
        key = schema.spent(project, schema.identifier_digest(f"jti {kid}", token_id))
        life_ms = max(1, until - await self._store.now())
        return await self._store.hot.ask("SET", [key], [1, "NX", "PX", life_ms]) is not None

    async def spent(self, project: ProjectId, kid: KeyId, token_id: str) -> bool:
        """Was a token that is good once taken already? Takes nothing."""
        key = schema.spent(project, schema.identifier_digest(f"jti {kid}", token_id))
        return bool(await self._store.hot.ask("EXISTS", [key], []))

    # --- by others

    async def get(self, project: ProjectId, user: UserId) -> Person | None:
        """Return what is recorded of a person; None when nothing is (an anonymous visitor, say)."""
        return (await self._records.read(project, user)).person

    async def find(self, project: ProjectId, identifier: Identifier) -> Person | None:
        """Return the person whom ``identifier`` names."""
        (found,) = await self._identifiers.look(project, [identifier])
        return None if found.names is None else await self.get(project, found.names)

    async def find_by_external_id(self, project: ProjectId, external_id: ExternalId) -> Person | None:
        """Return the person whom the project's server calls ``external_id``."""
        return await self.find(project, Identifier("external_id", external_id))

    async def edit(self, project: ProjectId, user: UserId, said: Description) -> Edited:
        """Let an agent or a page describe a person. What was signed stays, and is named. Raises IdentityErased."""
        refused: tuple[str, ...] = ()

        def change(person: Person, now: UnixMs) -> Person:
            nonlocal refused
            refused = locked(person, said)
            return described(person, said, now, signed=False)

        return Edited(await self._records.change(project, user, change), refused)

    async def prove_email(self, project: ProjectId, user: UserId, email: str) -> Person:
        """Record that somebody showed that they control ``email``. It names nobody. Raises IdentityErased."""
        return await self._records.change(project, user, lambda person, now: proved(person, email, now))

    async def set_blocked(self, project: ProjectId, user: UserId, blocked: bool) -> Person:
        """Record that a person is blocked, or no longer. The mark that stops their sessions is store/control.py's.

        Raises IdentityErased.
        """

        def changed(person: Person, now: UnixMs) -> Person:
            if person.blocked == blocked:
                return person
            return dataclasses.replace(person, blocked=blocked, updated_at=now)

        return await self._records.change(project, user, changed)

    async def forget_identifier(self, project: ProjectId, user: UserId, identifier: Identifier) -> Person:
        """Let ``identifier`` name this person no more, so that it can name another. Repeating is harmless.

        The way out of a conflict: sessions that live go on, the next token decides anew. Raises IdentityErased.
        """
        await self._identifiers.release(project, [identifier], user)
        return await self._records.change(project, user, lambda person, now: forgotten(person, identifier, now))

    async def list_people(self, project: ProjectId, limit: int = 100) -> list[Person]:
        """Return up to ``limit`` recorded people, last updated first. ``People.page`` goes on from there."""
        return (await People(self._store).page(project, limit=limit))[0][:limit]

    async def _found(
        self,
        project: ProjectId,
        identifiers: Sequence[Identifier],
        said: Description,
        proposed: UserId,
        version: Version | None,
        must_be: UserId | None = None,
    ) -> tuple[Person, bool]:
        """``must_be``: whom the identifiers named a moment ago. If they do not any more, IdentityErased is raised."""
        if not identifiers:
            raise ValueError("a person is found by at least one identifier")
        created: Person | None = None

        new: tuple[Identifier, ...] = ()

        def change(person: Person, now: UnixMs) -> Person:
            # What names them already does so, be it listed or not: whoever was to list it may have died.
            if contradicts(person, new):
                raise IdentityConflict
            return described(named(person, tuple(identifiers), now), said, now, signed=True)

        async def begin(user: UserId) -> Written:
            nonlocal created
            if must_be is not None:
                raise IdentityErased
            now = await self._store.now()
            created = change(Person(user, created_at=now, updated_at=now), now)
            return await self._records.write(project, Record(), created, version)

        user, began, new = await self._identifiers.claim(project, identifiers, proposed, version, begin)
        if began:
            assert created is not None
            return created, True
        if must_be not in (None, user):
            await self._identifiers.release(project, new, user)
            raise IdentityErased
        try:
            return await self._records.change(project, user, change, version), False
        except IdentityConflict:
            # Another token called them otherwise in the same moment, and came first.
            person = await self.get(project, user)
            theirs = person.names if person is not None else ()
            await self._identifiers.release(project, [one for one in new if one not in theirs], user)
            raise
