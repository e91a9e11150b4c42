"""A person's record: read, and written only by whoever knows what it was.

The record lies in the person's hash, beside what the person is found by and the two ends that are for ever: erased, and
moved (a user who was proposed for somebody and became nobody).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from chatgateway.core.person import Person, folded_email, found_by
from chatgateway.errors import Conflict, IdentityErased, Stale
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.script import Argument, Script
from chatgateway.types import ProjectId, UnixMs, UserId, Version

_PERSON = Script("person")

RACES_MAX = 64
"""Browsers of one person may sign in at once; each round one of them gets through."""

Written = Literal["written", "changed", "nobody"]
"""What became of a write: it took effect, the record is another meanwhile, or the user was made nobody."""

_person_of = msgspec.json.Decoder(Person).decode


class Record(NamedTuple):
    """What lies in a person's hash."""

    revision: int = 0
    person: Person | None = None
    """None: nothing is recorded, or nothing any more."""
    words: str = ""
    """What the person is found by, as it stands in the index."""
    moved: str | None = None
    """For whom a proposed user stands; "" for nobody."""
    erased: bool = False

    @property
    def undecided(self) -> bool:
        """Is this a user whom somebody proposes right now?"""
        return not self.revision and self.moved is None and not self.erased


class Records:
    """The records of all people."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, project: ProjectId, user: UserId) -> Record:
        """Return what lies in a person's hash. Whoever is being erased has no person any more."""
        names = ["revision", "value", "index", "moved", "erased"]
        reply: list[bytes | None] = await self._store.hot.ask("HMGET", [schema.person(project, user)], names)
        revision, value, index, moved, erased = reply
        return Record(
            int(revision or 0),
            _person_of(value) if value and not erased else None,
            (index or b"").decode(),
            None if moved is None else moved.decode(),
            erased is not None,
        )

    async def write(self, project: ProjectId, known: Record, person: Person, version: Version | None = None) -> Written:
        """Replace ``known`` by ``person``, and what they are found by with it. Atomic; repeating is harmless.

        ``version`` is the one that verified the token that says so: behind the fence nothing is written, and Stale is
        raised. Raises IdentityErased.
        """
        partition = schema.partition_of_user(project, person.user)
        keys = [
            schema.person(project, person.user), schema.people(partition, project), schema.fence(partition),
            schema.people_index(partition, project),
        ]  # fmt: skip
        arguments: list[Argument] = [
            known.revision, msgspec.json.encode(person), person.user, person.updated_at, carried(version),
            entries_of(person),
        ]  # fmt: skip
        answer: int = await fenced(self._store, partition, _PERSON, keys, arguments)
        if answer == -1:
            raise IdentityErased
        return "written" if answer == 1 else "changed" if answer == 0 else "nobody"

    async def change(
        self,
        project: ProjectId,
        user: UserId,
        change: Callable[[Person, UnixMs], Person],
        version: Version | None = None,
    ) -> Person:
        """Write what ``change`` makes of the record, an empty one if there is none; no write when nothing changes.

        Raises Stale, IdentityErased, and Conflict for a user who became nobody.
        """
        for _ in range(RACES_MAX):
            record = await self.read(project, user)
            if record.erased:
                raise IdentityErased
            now = await self._store.now()
            after = change(record.person or Person(user, created_at=now, updated_at=now), now)
            if after == record.person and entries_of(after) == record.words:
                return after
            match await self.write(project, record, after, version):
                case "written":
                    return after
                case "nobody":
                    break
                case "changed":
                    continue
        raise Conflict(f"person {user} never stood still")


def entries_of(person: Person) -> str:
    """Return what a person is found by, one entry a line: ``w:`` and a word, ``e:`` and the address that is proved."""
    listed = [f"w:{word}" for word in found_by(person)]
    if person.email and person.email_proved:
        listed.append(f"e:{folded_email(person.email)}")
    return "\n".join(listed)


def carried(version: Version | None) -> Argument:
    """Return how scripts are told a version; operators carry none."""
    return "" if version is None else int(version)


async def fenced(
    store: Store, partition: int, script: Script, keys: Sequence[str], arguments: Sequence[Argument]
) -> Any:
    """Return a script's answer. Raises Stale with the partition in which it was refused."""
    try:
        return await store.hot.ask(script, keys, arguments)
    except Stale as stale:
        stale.partition = partition
        raise
