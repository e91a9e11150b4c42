"""``chatgateway admin``: tokens for servers that operate the gateway over HTTP."""

from __future__ import annotations

from pathlib import Path

import click

from chatgateway.admin import admins
from chatgateway.cli import answer
from chatgateway.cli.ending import foretell, insist, told, warn
from chatgateway.cli.opened import Opened, on_new_store, on_store
from chatgateway.core.admin import AdminRecord
from chatgateway.types import AdminId, ProjectId


@click.group(name="admin")
def command() -> None:
    """Admin tokens: whoever has one may do over HTTP what this command does, for its projects."""


@command.command("create")
@click.argument("name")
@click.option("--project", "projects", multiple=True, help="Good for this one only; may be repeated. Default: for all.")
@answer.revealing
@on_new_store
async def create(at: Opened, *, name: str, projects: tuple[str, ...], secret_file: Path | None, as_json: bool) -> None:
    """Make an admin token. It is shown once; the gateway remembers only its digest.

    Give a project's server a token of its own, with --project: it is worth nothing elsewhere, and only a token of one
    single project may open sessions for people. Without --project it may do everything, in every project.
    """
    with answer.secret_place(secret_file) as put:
        made = await admins.create(at, name, tuple(map(ProjectId, projects)))
        put(made.token)
    shown = _row(made.admin) | ({"token": made.token} if secret_file is None else {"secret_file": str(secret_file)})
    answer.record({key: shown[key] for key in shown if key not in ("last_used_at", "revoked_at")}, as_json)


@command.command("list")
@click.argument("project", required=False)
@answer.reading
@on_store
async def list_admins(at: Opened, *, project: str | None, as_json: bool) -> None:
    """List the admin tokens, or those that are good for one project; revoked ones too. Never shows a token."""
    if project is not None:
        await at.projects.get_project(ProjectId(project))
    rows = [_row(admin) for admin in await at.admins.list_admins(ProjectId(project) if project else None)]
    answer.table(("admin", "name", "projects", "ends_with", "created_at", "last_used_at", "revoked_at"), rows, as_json)


@command.command("revoke")
@click.argument("admin")
@answer.rehearsing
@answer.asking
@answer.reading
@on_store
async def revoke(at: Opened, *, admin: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """End an admin token. It dies NOW, and so do the sessions that it granted. Repeating is harmless.

    The people whose sessions end are told 4301 (fetch a fresh token, then reconnect). Nothing else is touched.
    """
    found = await at.admins.get(AdminId(admin))
    sessions = await admins.granted(at, found)
    if dry_run:
        foretell(sessions, as_json)
        return
    warn(f"{found.id} ({found.name}) dies now", sessions, yes, returning="once their server asks with another token")
    revoked = await admins.revoke(at, found.id)
    if revoked.barrier is None:
        answer.record({"admin": found.id, "revoked_at": answer.instant(revoked.admin.revoked_at or 0)}, as_json)
        return
    answer.record({"admin": found.id} | told(revoked.barrier), as_json)
    insist(revoked.barrier, f"chatgateway admin revoke {found.id}")


def _row(admin: AdminRecord) -> dict[str, object]:
    return {
        "admin": admin.id,
        "name": admin.name,
        "projects": list(admin.projects) or "all",
        "ends_with": admin.last_four,
        "created_at": answer.instant(admin.created_at),
        "last_used_at": answer.instant(admin.last_used_at or 0),
        "revoked_at": answer.instant(admin.revoked_at or 0),
    }
