"""Agents over HTTP: for tokens of all projects, because an agent's password, link and end hold in all of theirs.

A token of some projects sees who answers for them, and of the agents' other projects nothing.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.responses import Response

from chatgateway.admin import agents
from chatgateway.core.admin import AdminRecord
from chatgateway.core.project import AgentRecord, AgentRole
from chatgateway.errors import RecordUnknown, Unacceptable
from chatgateway.gateway.api.admin.office import (
    AdminCall,
    Concluded,
    GatewayOffice,
    Name,
    Rehearsing,
    concluded,
    office_of,
    project_of,
    told,
)
from chatgateway.gateway.api.faults import NameInUse
from chatgateway.gateway.api.operation import Operation
from chatgateway.protocol.fields import Id
from chatgateway.types import AgentId, ProjectId

Password = Annotated[str, msgspec.Meta(min_length=8, max_length=1_024)]


class AgentShown(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who answers for projects."""

    agent: str
    name: str
    role: AgentRole
    projects: list[str]
    """Of those for which the token is good."""
    has_password: bool
    """If not, only a login link lets them in."""
    created_at: int

    @classmethod
    def of(cls, agent: AgentRecord, admin: AdminRecord) -> AgentShown:
        return cls(
            agent=agent.id,
            name=agent.name,
            role=agent.role,
            projects=[project for project in agent.projects if admin.serves(project)],
            has_password=bool(agent.password),
            created_at=agent.created_at,
        )


class AgentsShown(msgspec.Struct, frozen=True, kw_only=True):
    """Agents by name."""

    agents: list[AgentShown]


class AgentWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody who is to answer for projects."""

    name: Name
    projects: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=1_000)]
    password: Password | None = None
    """Without one only a login link lets them in."""
    role: AgentRole = "agent"


class PasswordWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An agent's new password."""

    password: Password


class LoginLink(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever has it first is that agent: once, within 15 minutes."""

    agent: str
    link: str
    """To be put behind ``/agent#login=``."""
    url: str


class AgentConcluded(Concluded, frozen=True, kw_only=True):
    """An agent whose sessions were ended."""

    agent: str
    name: str


class AgentForetold(msgspec.Struct, frozen=True, kw_only=True):
    """What would end. Nothing was changed."""

    dry_run: bool = True
    agent: str
    name: str
    active_on_nodes: int


async def list_agents(call: AdminCall) -> AgentsShown:
    found = await office_of(call).agents.list_agents()
    return AgentsShown(agents=[AgentShown.of(agent, call.who) for agent in found])


async def list_project_agents(call: AdminCall) -> AgentsShown:
    office = office_of(call)
    project = await office.projects.get_project(project_of(call))
    found = await office.agents.list_agents(project.id)
    return AgentsShown(agents=[AgentShown.of(agent, call.who) for agent in found])


async def create_agent(call: AdminCall) -> AgentShown:
    wanted: AgentWanted = call.body
    made = await agents.create(
        office_of(call), wanted.name, wanted.password, role=wanted.role, projects=[*map(ProjectId, wanted.projects)]
    )
    return AgentShown.of(made, call.who)


async def get_agent(call: AdminCall) -> AgentShown:
    return AgentShown.of(await _agent(office_of(call), call), call.who)


async def remove_agent(call: AdminCall) -> AgentForetold | Concluded | Response:
    office = office_of(call)
    agent = await _agent(office, call)
    if call.query.dry_run:
        return await _foretold(office, agent)
    ended = await agents.remove(office, agent)
    return concluded(call, AgentConcluded(agent=agent.id, name=agent.name, **told(ended.barrier)))


async def set_agent_password(call: AdminCall) -> AgentForetold | Concluded | Response:
    office = office_of(call)
    agent = await _agent(office, call)
    if call.query.dry_run:
        return await _foretold(office, agent)
    ended = await agents.set_password(office, agent, call.body.password)
    return concluded(call, AgentConcluded(agent=agent.id, name=agent.name, **told(ended.barrier)))


async def make_login_link(call: AdminCall) -> LoginLink:
    office = office_of(call)
    agent = await _agent(office, call)
    link = await agents.link(office, agent)
    settings = call.parts.settings
    at = settings.public_url or f"http://{settings.host}:{settings.port}"
    # Behind the #, which no browser sends to a server.
    return LoginLink(agent=agent.id, link=link, url=f"{at}/agent#login={link}")


async def _agent(office: GatewayOffice, call: AdminCall) -> AgentRecord:
    return await office.agents.get(AgentId(call.path["agent"]))


async def _foretold(office: GatewayOffice, agent: AgentRecord) -> AgentForetold:
    return AgentForetold(agent=agent.id, name=agent.name, active_on_nodes=await office.nodes_with(agent))


_ALL = "/v1/admin/agents"
_ONE = _ALL + "/{agent}"

OPERATIONS = (
    Operation("GET", _ALL, "List all agents.", list_agents, "admin", gives=AgentsShown, everywhere=True),
    Operation(
        "GET", "/v1/admin/projects/{project}/agents", "List who answers for a project.", list_project_agents, "admin",
        gives=AgentsShown, errors=(RecordUnknown,),
    ),
    Operation(
        "POST", _ALL, "Let somebody answer for projects.", create_agent, "admin", everywhere=True,
        takes=AgentWanted, gives=AgentShown, status=201, errors=(RecordUnknown, NameInUse, Unacceptable),
    ),
    Operation("GET", _ONE, "Show an agent.", get_agent, "admin", everywhere=True,
        gives=AgentShown, errors=(RecordUnknown,),
    ),
    Operation(
        "DELETE", _ONE, "Forget an agent, whose sessions end now.", remove_agent, "admin", everywhere=True,
        query=Rehearsing, gives=AgentConcluded, rehearsal=AgentForetold, ends=True, errors=(RecordUnknown,),
        details="What they wrote stays in the history under their name.",
    ),
    Operation(
        "PUT", _ONE + "/password", "Give an agent another password; their sessions end now.", set_agent_password,
        "admin", everywhere=True, query=Rehearsing, takes=PasswordWanted, gives=AgentConcluded,
        rehearsal=AgentForetold, ends=True, errors=(RecordUnknown, Unacceptable),
    ),
    Operation(
        "POST", _ONE + "/link", "Make a login link.", make_login_link, "admin", everywhere=True,
        gives=LoginLink, status=201, errors=(RecordUnknown,),
    ),
)  # fmt: skip
