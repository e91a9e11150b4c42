"""``chatgateway agent``: those who answer."""

from __future__ import annotations

import re

import click
import msgspec

from chatgateway.admin import agents
from chatgateway.cli import answer
from chatgateway.cli.ending import insist, told
from chatgateway.cli.opened import Opened, on_store
from chatgateway.core.project import AgentRecord, AgentRole
from chatgateway.settings import Settings
from chatgateway.types import ProjectId


@click.group(name="agent")
def command() -> None:
    """Those who answer for projects. A password is typed, or read from standard input; it is never an argument."""


def _address(_context: click.Context, _parameter: click.Parameter, url: str | None) -> str | None:
    if url is None:
        return None
    if not re.fullmatch(r"https?://[^/\s?#]+/?", url):
        raise click.UsageError("--public-url is scheme, host and perhaps port: https://chat.example")
    return url.rstrip("/")


_at_address = click.option(
    "--public-url", metavar="URL", callback=_address, help="Where browsers reach the gateway: the link begins so."
)


@command.command("add")
@click.argument("name")
@click.option("--project", "projects", multiple=True, required=True, help="A project that they answer for.")
@click.option("--role", type=click.Choice(["agent", "admin"]), default="agent", show_default=True)
@click.option("--link", is_flag=True, help="Ask for no password; print a one-time login link instead.")
@_at_address
@answer.reading
@on_store
async def add(
    at: Opened,
    *,
    name: str,
    projects: tuple[str, ...],
    role: AgentRole,
    link: bool,
    public_url: str | None,
    as_json: bool,
) -> None:
    """Let somebody answer for projects. They see every conversation of those, and nothing of others."""
    served = [(await at.projects.get_project(ProjectId(project))).id for project in projects]
    password = None if link else answer.password(f"Password for {name}")
    agent = await agents.create(at, name, password, role=role, projects=served)
    row = _row(agent)
    if link:
        row["link"] = _login_url(at.settings, public_url, await at.agents.create_link(agent.id))
    answer.record(row, as_json)


@command.command("list")
@click.argument("project", required=False)
@answer.reading
@on_store
async def list_agents(at: Opened, *, project: str | None, as_json: bool) -> None:
    """List the agents of one project, or all."""
    if project is not None:
        await at.projects.get_project(ProjectId(project))
    rows = [_row(agent) for agent in await at.agents.list_agents(ProjectId(project) if project else None)]
    answer.table(("agent", "name", "role", "projects", "password", "created_at"), rows, as_json)


@command.command("passwd")
@click.argument("name")
@answer.asking
@answer.reading
@on_store
async def passwd(at: Opened, *, name: str, yes: bool, as_json: bool) -> None:
    """Give an agent another password. Every session that they have ends NOW; they sign in again with the new one."""
    agent = await at.agents.by_name(name)
    password = answer.password(f"New password for {agent.name}")
    await _warn(at, agent, "", yes)
    _, barrier = await agents.set_password(at, agent, password)
    answer.record({"agent": agent.id, "name": agent.name} | told(barrier), as_json)
    insist(barrier, f"chatgateway agent passwd {agent.name!r}")


@command.command("remove")
@click.argument("name")
@answer.asking
@answer.reading
@on_store
async def remove(at: Opened, *, name: str, yes: bool, as_json: bool) -> None:
    """Forget an agent. Every session that they have ends NOW, and nothing lets them in again.

    What they wrote stays in the history under their name.
    """
    agent = await at.agents.by_name(name)
    await _warn(at, agent, ", and nothing lets them in again", yes)
    _, barrier = await agents.remove(at, agent)
    answer.record({"agent": agent.id, "name": agent.name} | told(barrier), as_json)
    insist(barrier, f"chatgateway agent list, to see that {agent.name!r} is gone")


@command.command("link")
@click.argument("name")
@_at_address
@answer.reading
@on_store
async def link(at: Opened, *, name: str, public_url: str | None, as_json: bool) -> None:
    """Print a link that signs the agent in: once, within 15 minutes. Whoever has it first is that agent."""
    agent = await at.agents.by_name(name)
    url = _login_url(at.settings, public_url, await agents.link(at, agent))
    answer.record({"agent": agent.id, "name": agent.name, "link": url}, as_json)


async def _warn(at: Opened, agent: AgentRecord, what: str, yes: bool) -> None:
    active = answer.plural(await at.nodes_with(agent), "node")
    click.echo(f"Every session of {agent.name}, who is active on {active}, ends now{what}.", err=True)
    answer.confirm("Go on?", yes)


def _login_url(settings: Settings, public_url: str | None, link: str) -> str:
    """Return the link, and say so where the gateway's address is a guess."""
    if public_url is not None:
        settings = msgspec.structs.replace(settings, public_url=public_url)
    url = login_url(settings, link)
    if settings.public_url is None:
        assumed = url.partition("/agent#")[0]
        click.echo(
            f"chatgateway: this assumes that the gateway answers at {assumed}; if not, say --public-url (or "
            "CHATGATEWAY_PUBLIC_URL), as to serve",
            err=True,
        )
    return url


def login_url(settings: Settings, link: str) -> str:
    """Return the agent page's address with a login link: behind the #, which no browser sends to a server."""
    at = settings.public_url or f"http://{settings.host}:{settings.port}"
    return f"{at}/agent#login={link}"


def _row(agent: AgentRecord) -> dict[str, object]:
    return {
        "agent": agent.id,
        "name": agent.name,
        "role": agent.role,
        "projects": list(agent.projects),
        "password": bool(agent.password),
        "created_at": answer.instant(agent.created_at),
    }
