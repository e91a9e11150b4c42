"""``chatgateway project``: tenants."""

from __future__ import annotations

from pathlib import Path

import click

from chatgateway.cli import answer
from chatgateway.cli.key import fresh_key
from chatgateway.cli.opened import Opened, on_store
from chatgateway.core.project import Project
from chatgateway.types import ProjectId


@click.group(name="project")
def command() -> None:
    """Tenants: each has its own people, conversations, agents and keys. Nothing crosses from one to another."""


@command.command("create")
@click.argument("name")
@click.option("--test", is_flag=True, help="Mark its secrets cgs_test_, so that nobody takes them for real ones.")
@answer.revealing
@on_store
async def create(at: Opened, *, name: str, test: bool, secret_file: Path | None, as_json: bool) -> None:
    """Make a project with one signing key.

    The key's secret is shown once. The project's own server signs its users in with it; keep it there.
    """
    with answer.secret_place(secret_file) as put:
        async with at.recorded("project create", name) as recording:
            project = await at.projects.create_project(name, test=test, intent=recording)
            recording.result = project.id
        async with at.recorded("key add", project.id, project.id) as recording:
            key, secret = await fresh_key(at, project, "first")
            await at.keyrings.change(project.id, lambda ring: ring.add(key), intent=recording)
            recording.fingerprint, recording.result = key.fingerprint, key.kid
        put(secret)
    shown: dict[str, object] = {"project": project.id, "name": project.name, "kid": key.kid}
    if secret_file is None:
        shown["secret"] = secret
    answer.record(shown, as_json)


@command.command("list")
@answer.reading
@on_store
async def list_projects(at: Opened, *, as_json: bool) -> None:
    """List all projects, oldest first."""
    rows = [_row(project) for project in await at.projects.list_projects()]
    answer.table(("project", "name", "test", "created_at"), rows, as_json)


@command.command("show")
@click.argument("project")
@answer.reading
@on_store
async def show(at: Opened, *, project: str, as_json: bool) -> None:
    """Show one project with its apps, keys, agents and how many sessions are connected."""
    found = await at.projects.get_project(ProjectId(project))
    ring = await at.keyrings.load(found.id)
    row = _row(found) | {
        "apps": [app.id for app in await at.projects.list_apps(found.id)],
        "keys": [key.kid for key in ring.usable()],
        "agents": [agent.name for agent in await at.agents.list_agents(found.id)],
        "sessions": len(await at.live_sessions(found.id)),
    }
    answer.record(row, as_json)


def _row(project: Project) -> dict[str, object]:
    return {
        "project": project.id,
        "name": project.name,
        "test": project.test,
        "created_at": answer.instant(project.created_at),
    }
