"""``chatgateway project``: tenants."""

from __future__ import annotations

from pathlib import Path

import click

from chatgateway.admin import projects
from chatgateway.cli import answer
from chatgateway.cli.opened import Opened, on_new_store, on_store
from chatgateway.core.project import Project
from chatgateway.types import ProjectId


@click.group(name="project")
def command() -> None:
    """Tenants: each has its own people, conversations, agents and keys. Nothing crosses from one to another."""


@command.command("create")
@click.argument("name")
@click.option("--test", is_flag=True, help="Mark its secrets cgs_test_, so that nobody takes them for real ones.")
@answer.revealing
@on_new_store
async def create(at: Opened, *, name: str, test: bool, secret_file: Path | None, as_json: bool) -> None:
    """Make a project with one signing key.

    The key's secret is shown once. The project's own server signs its users in with it; keep it there.
    """
    with answer.secret_place(secret_file) as put:
        made = await projects.create(at, name, test=test)
        put(made.secret)
    shown: dict[str, object] = {"project": made.project.id, "name": made.project.name, "kid": made.key.kid}
    if secret_file is None:
        shown["secret"] = made.secret
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
    """Show one project with its apps, keys, agents and how many sessions are connected now, by a socket."""
    seen = await projects.overview(at, ProjectId(project))
    row = _row(seen.project) | {
        "apps": [app.id for app in seen.apps],
        "keys": [key.kid for key in seen.keys],
        "agents": [agent.name for agent in seen.agents],
        "sessions": seen.sessions,
    }
    answer.record(row, as_json)


@command.command("set")
@click.argument("project")
@click.option("--name", help="What people call it.")
@click.option(
    "--identify-by-email/--no-identify-by-email",
    default=None,
    help="Let a signed, proved address name a person too. Default: only ids do.",
)
@answer.reading
@on_store
async def set_project(
    at: Opened, *, project: str, name: str | None, identify_by_email: bool | None, as_json: bool
) -> None:
    """Change a project. Counts for whoever signs in from now on; who is signed in stays who they are."""
    after = await projects.change(at, ProjectId(project), name=name, identify_by_email=identify_by_email)
    answer.record(_row(after), as_json)


def _row(project: Project) -> dict[str, object]:
    return {
        "project": project.id,
        "name": project.name,
        "test": project.test,
        "identify_by_email": project.identify_by_email,
        "created_at": answer.instant(project.created_at),
    }
