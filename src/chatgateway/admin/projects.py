"""Tenants: made with one signing key, and told how to know their people."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from chatgateway.admin.keys import fresh_key
from chatgateway.admin.office import Office, acceptable
from chatgateway.core.keyring import SigningKey
from chatgateway.core.project import AgentRecord, App, Project
from chatgateway.types import ProjectId


@dataclass(frozen=True, slots=True)
class Made:
    """A new project with its first key."""

    project: Project
    key: SigningKey
    secret: str = dataclasses.field(repr=False)
    """The key's text, which nobody can ask for later."""


@dataclass(frozen=True, slots=True)
class Overview:
    """A project and what it has."""

    project: Project
    apps: tuple[App, ...]
    keys: tuple[SigningKey, ...]
    """Those that vouch for people now, newest first."""
    agents: tuple[AgentRecord, ...]
    sessions: int
    """How many are connected now."""


async def create(office: Office, name: str, *, test: bool = False) -> Made:
    """Make a project with one signing key. Raises Unacceptable for a bad name."""
    async with office.recorded("project create", name) as recording:
        with acceptable():
            project = await office.projects.create_project(name, test=test, intent=recording)
        recording.result = project.id
    async with office.recorded("key add", project.id, project.id) as recording:
        key, secret = await fresh_key(office, project, "first")
        await office.keyrings.change(project.id, lambda ring: ring.add(key), intent=recording)
        recording.fingerprint, recording.result = key.fingerprint, key.kid
    return Made(project, key, secret)


async def overview(office: Office, project: ProjectId) -> Overview:
    """Return a project and what it has. Raises NotFound."""
    found = await office.projects.get_project(project)
    return Overview(
        project=found,
        apps=tuple(await office.projects.list_apps(found.id)),
        keys=(await office.keyrings.load(found.id)).usable(),
        agents=tuple(await office.agents.list_agents(found.id)),
        sessions=len(await office.live_sessions(found.id)),
    )


async def change(
    office: Office, project: ProjectId, *, name: str | None = None, identify_by_email: bool | None = None
) -> Project:
    """Change a project; None leaves a thing as it is. Counts for whoever signs in from now on.

    Raises NotFound, or Unacceptable for a bad name.
    """

    def changed(before: Project) -> Project:
        return dataclasses.replace(
            before,
            name=before.name if name is None else name,
            identify_by_email=before.identify_by_email if identify_by_email is None else identify_by_email,
        )

    await office.projects.get_project(project)
    async with office.recorded("project set", project, project) as recording:
        with acceptable():
            return await office.projects.update_project(project, changed, intent=recording)
