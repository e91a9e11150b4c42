"""Sign people out: this browser, chosen devices, everywhere; and end the anonymous credential that a browser had.

Trust is withdrawn by marks, which the store's scripts ask, before anybody is told; nodes hear only of what has sockets.
A browser's tabs are those that signed in from the same anonymous visitor. What the asking session rests on itself goes
last: when the store fails half way, whoever asked can ask again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatgateway.close_codes import CloseCode
from chatgateway.core.credential import longest_life_ms
from chatgateway.core.rotation import ControlEntry
from chatgateway.errors import NoSuchSession
from chatgateway.store import schema
from chatgateway.types import ProjectId, SessionId, UnixMs, UserId

if TYPE_CHECKING:
    from chatgateway.gateway.parts import Parts

_WHY = "session_signed_out"
DAY_MS = 86_400_000


class Departure:
    """The sign-outs of this node. Each is written when its call returns; repeating one is harmless."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def of_stranger(self, project: ProjectId, stranger: UserId, now: UnixMs, until: UnixMs | None = None) -> None:
        """End an anonymous identity: a tombstone that outlives all its credentials. Raises StoreError.

        ``until`` is when the credential ends that was shown. Nodes are told only of a stranger whom the store knows:
        nobody else may make the control log grow.
        """
        parts = self._parts
        partition = schema.partition_of_user(project, stranger)
        life_ms = max(longest_life_ms(stranger), parts.settings.anonymous_days * DAY_MS, (until or now) - now)
        entry = parts.control.entry("person", project, stranger, "signed_out", now)
        known = bool(await parts.sessions.of_person(project, stranger))
        # Written before the mark, committed after it: once the mark lets nobody ask again, any node finishes the rest.
        written = await parts.control.write(entry) if known else None
        await parts.control.mark_person(project, stranger, [partition], "*", str(now), ttl_ms=life_ms)
        if written is not None:
            await self._tell_nodes(written)
        for connection in parts.roster.of_person(project, stranger):
            connection.end_trust(CloseCode.SIGNED_OUT)

    async def of_browser(self, project: ProjectId, user: UserId, session: SessionId, now: UnixMs) -> None:
        """End a signed-in session with its browser's other tabs, open or good for being opened again.

        Raises StoreError.
        """
        parts = self._parts
        rows = await parts.sessions.of_person(project, user)
        browser = rows[session].earlier if session in rows else ""
        tabs = {
            one
            for one, row in rows.items()
            if browser and row.earlier == browser and one != session and (row.node or row.expires_at > now)
        }
        if tabs:
            await self._mark(project, user, tabs)
            # Marked, none of them is bound any more; nodes are told of those that have a socket.
            bound = {one for one, row in (await parts.sessions.of_person(project, user)).items() if row.node}
            for one in tabs & bound:
                await self._tell_nodes(
                    await parts.control.write(parts.control.entry("session", project, one, _WHY, now))
                )
        if browser:
            await self.of_stranger(project, UserId(browser), now)
        written = await parts.control.write(parts.control.entry("session", project, session, _WHY, now))
        await self._mark(project, user, {session})
        await self._tell_nodes(written)

    async def of_device(self, project: ProjectId, user: UserId, session: SessionId, now: UnixMs) -> None:
        """End another device of the same person, as if they had signed out there.

        Raises NoSuchSession when they have no such session, StoreError.
        """
        if await self._parts.sessions.get(project, user, session) is None:
            raise NoSuchSession
        await self.of_browser(project, user, session, now)

    async def everywhere(self, project: ProjectId, user: UserId, now: UnixMs) -> None:
        """End all sessions of a person, and every anonymous identity that they signed in from. Raises StoreError."""
        parts = self._parts
        rows = await parts.sessions.of_person(project, user)
        for earlier in {row.earlier for row in rows.values() if row.earlier}:
            await self.of_stranger(project, UserId(earlier), now)
        partitions = await parts.sessions.partitions(project, user)
        written = await parts.control.write(parts.control.entry("person", project, user, "signed_out", now))
        await parts.control.mark_person(project, user, list(partitions), "*", str(now))
        await self._tell_nodes(written)

    async def _mark(self, project: ProjectId, user: UserId, sessions: set[SessionId]) -> None:
        partitions = list(await self._parts.sessions.partitions(project, user))
        for session in sessions:
            await self._parts.control.mark_person(project, user, partitions, session, _WHY)

    async def _tell_nodes(self, written: ControlEntry) -> None:
        await self._parts.control.finish(written)
        self._parts.node.ring_doorbell()
