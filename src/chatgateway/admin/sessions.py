"""Sessions of visitors: found, and ended one by one."""

from __future__ import annotations

from chatgateway.admin.office import Office
from chatgateway.errors import NotFound
from chatgateway.store.control import Barrier
from chatgateway.store.sessions import SessionRow
from chatgateway.types import ProjectId, SessionId, UserId


async def find(office: Office, project: ProjectId, session: SessionId) -> tuple[SessionRow, bool]:
    """Return a remembered session's row, and whether it is connected now. Raises NotFound."""
    row = (await office.sessions.of_project(project)).get(session)
    if row is None:
        raise NotFound(f"session {session} in project {project}, or it was forgotten")
    return row, session in await office.live_sessions(project, user=UserId(row.user))


async def end(office: Office, project: ProjectId, session: SessionId) -> Barrier:
    """End one session now, on whichever node it is. Repeating is harmless. Raises NotFound."""
    row, _ = await find(office, project, session)
    user = UserId(row.user)
    async with office.recorded("session end", session, project) as recording:
        await recording.begin()
        # The marks first: what the session still sends is refused before any node has heard.
        partitions = await office.sessions.partitions(project, user)
        await office.control.mark_person(project, user, sorted(partitions), session, "ended")
        entry = office.control.entry("session", project, session, "ended", await office.store.now())
        return await office.withdraw(await office.control.write(entry), recording)
