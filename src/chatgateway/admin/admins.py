"""Admin tokens: made for some projects or all, and ended together with the sessions that they granted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from chatgateway.admin.office import Office, acceptable
from chatgateway.core.admin import AdminRecord
from chatgateway.core.project import App, Project
from chatgateway.core.rotation import ControlEntry
from chatgateway.errors import AppUnknown, NotFound
from chatgateway.store.audit import Recording
from chatgateway.store.control import Barrier
from chatgateway.store.sessions import SessionRow
from chatgateway.types import AdminId, AppId, ProjectId, SessionId


@dataclass(frozen=True, slots=True)
class Made:
    """A new admin token."""

    admin: AdminRecord
    token: str = dataclasses.field(repr=False)
    """Its text, which nobody can ask for later."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """An admin token that is good for nothing any more."""

    admin: AdminRecord
    barrier: Barrier | None
    """What the nodes answered; None for a token of all projects, on which no session can rest."""


async def create(office: Office, name: str, projects: Sequence[ProjectId] = ()) -> Made:
    """Make an admin token for ``projects``, or for all. Raises NotFound, or Unacceptable for a bad name."""
    for project in projects:
        await office.projects.get_project(project)
    async with office.recorded("admin create", name, _chain(projects)) as recording:
        with acceptable():
            admin, token = await office.admins.create(name, projects, intent=recording)
        recording.result = admin.id
    return Made(admin, token)


async def project_of(office: Office, admin: AdminRecord, project: ProjectId) -> Project:
    """Return a project that ``admin`` may operate on.

    Raises NotFound, in the same words for one of somebody else and one that does not exist.
    """
    if not admin.serves(project):
        raise NotFound(f"project {project}")
    return await office.projects.get_project(project)


async def app_of(office: Office, admin: AdminRecord, app: AppId) -> App:
    """Return an app that ``admin`` may operate on. Raises AppUnknown, in the same words as ``project_of``."""
    project, found = await office.projects.get_app(app)
    if not admin.serves(project.id):
        raise AppUnknown
    return found


async def granted(office: Office, admin: AdminRecord) -> dict[SessionId, SessionRow]:
    """Return the sessions that are connected now on this token's word: those that revoking it would end."""
    live: dict[SessionId, SessionRow] = {}
    for project in admin.projects:
        live |= await office.live_sessions(project, kid=admin.kid)
    return live


async def revoke(office: Office, admin: AdminId) -> Revoked:
    """End an admin token now, and every session that it granted. Repeating is harmless. Raises NotFound."""
    before = await office.admins.get(admin)
    async with office.recorded("admin revoke", admin, _chain(before.projects)) as recording:
        now = await office.store.now()
        entries = [office.control.entry("key", project, before.kid, "revoked", now) for project in before.projects]
        revoked = await office.admins.revoke(admin, control=entries[0] if entries else None, intent=recording)
        if revoked.control is None:
            return Revoked(revoked.admin, None)
        # The token itself is dead by now; an entry per project tells the nodes whose sessions to end.
        written = [revoked.control, *[await office.control.write(entry) for entry in entries[1:]]]
        return Revoked(revoked.admin, await _withdrawn(office, written, recording))


async def _withdrawn(office: Office, entries: Sequence[ControlEntry], recording: Recording) -> Barrier:
    """Make every node act on each entry, and return what they answered to all of them."""
    barriers = [await office.withdraw(entry, recording) for entry in entries]
    silent = tuple(dict.fromkeys(node for barrier in barriers for node in barrier.silent))
    confirmed = tuple(node for node in barriers[-1].confirmed if node not in silent)
    barrier = Barrier(confirmed, silent, sum(barrier.ended for barrier in barriers))
    recording.result = str(barrier)
    return barrier


def _chain(projects: Sequence[ProjectId]) -> str:
    """Return the audit chain that a token's verbs belong to: its only project's, or the gateway's own."""
    return projects[0] if len(projects) == 1 else ""
