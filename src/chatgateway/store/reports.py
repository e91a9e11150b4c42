"""What a project should know of though nobody asked: whom a rule would have refused, and tokens that name two people.

Noting never fails a sign-in and never waits: a line that could not be written is a line less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from chatgateway.core.person import Identifier
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.types import AppId, ProjectId

KEPT_MAX = 1_000


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody whom a rule would have refused."""

    app: str
    rule: str
    origin: str = ""
    user: str = ""
    detail: str = ""
    at: int = 0


class ConflictReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A token whose identifiers named two people. Nobody was changed."""

    app: str
    identifiers: tuple[Identifier, ...]
    at: int = 0


class Reports:
    """The reports of all projects."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def note(
        self, project: ProjectId, app: AppId, rule: str, *, origin: str = "", user: str = "", detail: str = ""
    ) -> None:
        """Queue one line about whom ``rule`` would have refused. Best effort."""
        self._add(schema.reports(project), Report(app=app, rule=rule, origin=origin, user=user, detail=detail))

    def conflict(self, project: ProjectId, app: AppId, identifiers: Sequence[Identifier]) -> None:
        """Queue one line about a token that named two people. Best effort."""
        self._add(schema.conflicts(project), ConflictReport(app=app, identifiers=tuple(identifiers)))

    async def latest(self, project: ProjectId, limit: int = 100) -> list[Report]:
        """Return whom rules would have refused, the latest first."""
        return await self._latest(schema.reports(project), Report, limit)

    async def conflicts(self, project: ProjectId, limit: int = 100) -> list[ConflictReport]:
        """Return the tokens that named two people, the latest first."""
        return await self._latest(schema.conflicts(project), ConflictReport, limit)

    def _add(self, key: str, line: msgspec.Struct) -> None:
        entry = msgspec.json.encode(line)
        self._store.hot.call(("XADD", key, "MAXLEN", "~", KEPT_MAX, "*", "e", entry), (), (), _ignore)

    async def _latest(self, key: str, kind: Any, limit: int) -> list[Any]:
        rows: list[Any] = await self._store.hot.ask(("XREVRANGE", key, "+", "-", "COUNT", limit))
        return [
            msgspec.structs.replace(msgspec.json.decode(fields[1], type=kind), at=int(identifier.split(b"-")[0]))
            for identifier, fields in rows
        ]


def _ignore(_: Any) -> None:
    """A line that could not be written is a line less."""
