"""The agents' inbox: which conversations a project has, by last activity, merged from 256 parts.

``append`` keeps the parts; a listing asks all of them in one write and merges.
"""

from __future__ import annotations

import asyncio
from typing import Any

from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.types import AgentId, ConversationId, ProjectId, UnixMs


class Inbox:
    """The inbox parts of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(
        self, project: ProjectId, view: str, before: UnixMs | None, limit: int, agent: AgentId
    ) -> tuple[list[ConversationId], bool]:
        """Return the conversations of a view, the latest first, and whether there are more.

        A page is a little longer than ``limit`` where its last conversations were active in the same millisecond.
        ``view`` is "all" (those that are open), "unassigned", "resolved" or "mine" (``agent``'s, open or not).
        """
        part = {"all": "open", "mine": f"agent:{agent}"}.get(view, view)
        top = f"({before}" if before is not None else "+inf"
        replies: list[Any] = await asyncio.gather(
            *(
                self._store.hot.ask(
                    ("ZREVRANGEBYSCORE", schema.inbox(number, project, part), top, "-inf",
                     "WITHSCORES", "LIMIT", 0, limit + 1), (), (),
                )
                for number in range(schema.PARTITIONS)
            )
        )  # fmt: skip
        rows = [
            (float(reply[index + 1]), reply[index].decode()) for reply in replies for index in range(0, len(reply), 2)
        ]
        rows.sort(reverse=True)
        end = limit
        while 0 < end < len(rows) and rows[end][0] == rows[end - 1][0]:
            end += 1
        return [ConversationId(conversation) for _, conversation in rows[:end]], len(rows) > end

    async def size(self, project: ProjectId, view: str) -> int:
        """Return how many conversations a view of its own part holds."""
        replies: list[Any] = await asyncio.gather(
            *(
                self._store.hot.ask(("ZCARD", schema.inbox(number, project, view)), (), ())
                for number in range(schema.PARTITIONS)
            )
        )
        return sum(replies)
