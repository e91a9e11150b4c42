"""Those who answer: let in, given another password, shown out, each with the end of what they held before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from chatgateway.admin.office import Office, acceptable
from chatgateway.core.project import AgentRecord, AgentRole
from chatgateway.store.control import Barrier
from chatgateway.types import ProjectId


class AgentEnded(NamedTuple):
    """An agent whose sessions were ended, and what the nodes answered."""

    agent: AgentRecord
    barrier: Barrier


async def create(
    office: Office,
    name: str,
    password: str | None = None,
    *,
    role: AgentRole = "agent",
    projects: Sequence[ProjectId],
) -> AgentRecord:
    """Let somebody answer for projects; without a password only a login link lets them in.

    Raises NotFound for an unknown project, NameTaken, or Unacceptable for a bad name or password.
    """
    for project in projects:
        await office.projects.get_project(project)
    async with office.recorded("agent add", name) as recording:
        with acceptable():
            agent = await office.agents.create(
                name, password, role=role, projects=tuple(dict.fromkeys(projects)), intent=recording
            )
        recording.result = agent.id
    return agent


async def set_password(office: Office, agent: AgentRecord, password: str) -> AgentEnded:
    """Give an agent another password; every session that they have ends. Raises Unacceptable for a bad password."""
    async with office.recorded("agent passwd", agent.id) as recording:
        with acceptable():
            changed = await office.agents.set_password(agent.id, password, intent=recording)
        return AgentEnded(changed.agent, await office.withdraw(changed.control, recording))


async def remove(office: Office, agent: AgentRecord) -> AgentEnded:
    """Forget an agent; every session that they have ends, and nothing lets them in again. Raises NotFound."""
    async with office.recorded("agent remove", agent.id) as recording:
        changed = await office.agents.remove(agent.id, intent=recording)
        return AgentEnded(changed.agent, await office.withdraw(changed.control, recording))


async def link(office: Office, agent: AgentRecord) -> str:
    """Return a login link's token: once, within 15 minutes. Raises NotFound."""
    async with office.recorded("agent link", agent.id) as recording:
        await recording.begin()
        return await office.agents.create_link(agent.id)
