"""List people and find them: 256 parts, asked in one write and merged."""

from __future__ import annotations

import asyncio
from typing import Any

from chatgateway.core.person import Person, folded_email, folded_prefixes, is_found
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.records import Records
from chatgateway.store.script import Script
from chatgateway.types import ProjectId, UnixMs, UserId

_SEARCH = Script("search")

SEVERAL_WORDS_READ_MAX = 1_000
"""How many who have the longest word are looked at for the other words."""


class People:
    """The people of all projects, as somebody looks for them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._records = Records(store)

    async def page(
        self, project: ProjectId, before: UnixMs | None = None, limit: int = 100
    ) -> tuple[list[Person], bool]:
        """Return the people who were last updated before an instant, the latest first, and whether there are more.

        A page is a little longer than ``limit`` where its last people were updated in the same millisecond. Whoever is
        erased meanwhile is left out.
        """
        top = "+inf" if before is None else f"({before}"
        options = [top, "-inf", "WITHSCORES", "LIMIT", 0, limit + 1]
        parts: list[list[bytes]] = await asyncio.gather(
            *(
                self._store.hot.ask("ZREVRANGEBYSCORE", [schema.people(part, project)], options)
                for part in range(schema.PARTITIONS)
            )
        )
        rows = [(float(score), user) for part in parts for user, score in zip(part[::2], part[1::2], strict=True)]
        rows.sort(reverse=True)
        end = limit
        while 0 < end < len(rows) and rows[end][0] == rows[end - 1][0]:
            end += 1
        return await self._people(project, [UserId(user.decode()) for _, user in rows[:end]]), len(rows) > end

    async def search(self, project: ProjectId, prefix: str, limit: int = 50) -> list[Person]:
        """Return people of whose name, address or id a word begins with ``prefix``, without regard to case and accents.

        Each of several words must begin one of theirs. In the order of the words that were found. Of a first word that
        very many share only so many people are looked at.
        """
        prefixes = folded_prefixes(prefix)
        if not prefixes:
            return []
        reading = limit if len(prefixes) == 1 else max(limit, SEVERAL_WORDS_READ_MAX)
        parts: list[list[bytes]] = await asyncio.gather(
            *(
                self._store.hot.ask(_SEARCH, [schema.people_index(part, project)], [f"w:{prefixes[0]}", reading])
                for part in range(schema.PARTITIONS)
            )
        )
        found = sorted(row for part in parts for row in part)[:reading]
        people = await self._people(project, [_user_of(row) for row in found])
        return [person for person in people if is_found(person, prefixes)][:limit]

    async def with_email(self, project: ProjectId, email: str, limit: int = 20) -> list[Person]:
        """Return those who proved that they control ``email``. For agents: they are not one person."""
        bounds = [f"[e:{folded_email(email)}\n", f"(e:{folded_email(email)}\x0b", "LIMIT", 0, limit]
        parts: list[list[bytes]] = await asyncio.gather(
            *(
                self._store.hot.ask("ZRANGEBYLEX", [schema.people_index(part, project)], bounds)
                for part in range(schema.PARTITIONS)
            )
        )
        users = sorted(_user_of(row) for part in parts for row in part)
        return await self._people(project, users[:limit])

    async def _people(self, project: ProjectId, users: list[UserId]) -> list[Person]:
        records: list[Any] = await asyncio.gather(*(self._records.read(project, user) for user in users))
        return [record.person for record in records if record.person is not None]


def _user_of(row: bytes) -> UserId:
    return UserId(row.rpartition(b"\n")[2].decode())
