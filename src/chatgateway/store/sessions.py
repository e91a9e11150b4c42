"""Session rows: who is (or was) live, from where, on which key's word.

A row is a hint for people and a requirement for resuming a signed-in session; correctness of revocation never depends
on it. Rows are kept 90 days for the report after a compromise.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

import msgspec

from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.script import Script
from chatgateway.types import ConversationId, NodeId, ProjectId, SessionId, UnixMs, UserId, Version

_BIND, _ROW = Script("bind"), Script("row")
KEPT_MS = 90 * 86_400_000


class SessionRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One session as the store remembers it. ``bound_at`` and ``signed_at`` are written by the store's own clock."""

    bound_at: int = 0
    signed_at: int = 0
    """When trust in it was established; a person's mark at or after this instant ends it."""
    project: str
    user: str
    app: str = ""
    kid: str = ""
    assurance: str = "anonymous"
    expires_at: int = 0
    earlier: str = ""
    """The anonymous visitor that this session was before it signed in."""
    origin: str = ""
    address_block: str = ""
    page: str = ""
    facts: dict[str, str] = {}
    """What the page said about itself and the visit, unsigned."""
    client: str = ""
    can_refresh: bool = False
    node: str = ""
    closed_at: int = 0
    close_code: int = 0


_decode = msgspec.json.Decoder(SessionRow).decode


class Sessions:
    """The session rows of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def bind(
        self, session: SessionId, row: SessionRow, version: Version, now: UnixMs, read_at: int = 0
    ) -> SessionRow:
        """Record that ``session`` is live and return its row with the store's instants in it.

        ``version`` is the one that verified the token. A row that says when it was bound is only looked at: nothing is
        written, and it is returned as it is. ``read_at`` is when the row was bound that this one was made from. Raises
        Conflict when it was bound again since, Stale, Withdrawn, StoreUnavailable.
        """
        project, user = ProjectId(row.project), UserId(row.user)
        partition = schema.partition_of_user(project, user)
        blank = msgspec.structs.replace(row, bound_at=0, signed_at=0)
        account = b"" if row.bound_at else msgspec.json.encode(blank)[1:]
        bound_at, signed_at = await self._store.hot.ask(
            _BIND,
            [
                schema.fence(partition),
                schema.person(project, user, "x"),
                schema.withdrawn(partition, project, user),
                schema.person(project, user, "xs"),
            ],
            [int(version), session, row.signed_at, account, now - KEPT_MS, read_at],
        )
        if row.bound_at:
            return row
        return msgspec.structs.replace(row, bound_at=int(bound_at), signed_at=int(signed_at))

    async def get(self, project: ProjectId, user: UserId, session: SessionId) -> SessionRow | None:
        """Return the row of a session, or None when there is none."""
        raw: bytes | None = await self._store.hot.ask("HGET", [schema.person(project, user, "x")], [session])
        return _decode(raw) if raw else None

    async def of_person(self, project: ProjectId, user: UserId) -> dict[SessionId, SessionRow]:
        """Return every remembered session of one person."""
        flat: list[bytes] = await self._store.hot.ask("HGETALL", [schema.person(project, user, "x")])
        return _rows(flat)

    async def latest(self, project: ProjectId, user: UserId, limit: int = 16) -> list[SessionRow]:
        """Return the rows that were bound last, the latest first."""
        names: list[bytes] = await self._store.hot.ask(("ZREVRANGE", schema.person(project, user, "xs"), 0, limit - 1))
        if not names:
            return []
        rows: list[bytes | None] = await self._store.hot.ask("HMGET", [schema.person(project, user, "x")], names)
        return [_decode(row) for row in rows if row is not None]

    async def of_project(self, project: ProjectId) -> dict[SessionId, SessionRow]:
        """Return every remembered session of a project, by walking the partitions' keys (for people, not for speed)."""
        found: dict[SessionId, SessionRow] = {}
        cursor: bytes = b"0"
        while True:
            reply: tuple[bytes, list[bytes]] = await self._store.hot.ask(
                ("SCAN", cursor, "MATCH", f"cg:*:u:{project}:*:x", "COUNT", 1000)
            )
            cursor, keys = reply
            for key in keys:
                found |= _rows(await self._store.hot.ask("HGETALL", [key]))
            if cursor == b"0":
                return found

    async def marks(self, project: ProjectId, user: UserId) -> dict[str, str]:
        """Return the withdrawal marks of a person in their own partition."""
        partition = schema.partition_of_user(project, user)
        flat: list[bytes] = await self._store.hot.ask("HGETALL", [schema.withdrawn(partition, project, user)])
        return {flat[index].decode(): flat[index + 1].decode() for index in range(0, len(flat), 2)}

    async def partitions(self, project: ProjectId, user: UserId) -> set[int]:
        """Return every partition that holds conversations which this person may write to."""
        found = {schema.partition_of_user(project, user)}
        for row in (await self.of_person(project, user)).values():
            if row.earlier:
                found.add(schema.partition_of_user(project, UserId(row.earlier)))
        joined: list[bytes] = await self._store.hot.ask(("ZRANGE", schema.person(project, user, "c"), 0, -1))
        found |= {schema.partition_of_conversation(ConversationId(name.decode())) for name in joined}
        return found

    def keep(self, session: SessionId, row: SessionRow, done: Callable[[Any], None] = lambda _: None) -> None:
        """Queue a new account of a session; nothing happens when it was bound again since ``row.bound_at``."""
        key = schema.person(ProjectId(row.project), UserId(row.user), "x")
        head = f'{{"bound_at":{row.bound_at},"signed_at":{row.signed_at},'.encode()
        rest = msgspec.json.encode(msgspec.structs.replace(row, bound_at=0, signed_at=0))[1:]
        self._store.hot.call(_ROW, (key,), (session, row.bound_at, head + rest), done)


def _rows(flat: list[bytes]) -> dict[SessionId, SessionRow]:
    return {SessionId(flat[index].decode()): _decode(flat[index + 1]) for index in range(0, len(flat), 2)}


def address_block(address: str) -> str:
    """Return the network that an address belongs to (IPv4 /24, IPv6 /64): enough to tell places apart, no more."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        # A dual-stack listener sees IPv4 peers as ::ffff:a.b.c.d: all of IPv4 would be one network.
        parsed = parsed.ipv4_mapped or parsed
    return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 64), strict=False))


def here(row: SessionRow, node: NodeId) -> SessionRow:
    """Return the row as it reads while its socket is on ``node``."""
    return msgspec.structs.replace(row, node=node, closed_at=0, close_code=0)


def closed(row: SessionRow, now: UnixMs, code: int) -> SessionRow:
    """Return the row as it reads once its socket is gone."""
    return msgspec.structs.replace(row, node="", closed_at=now, close_code=code)
