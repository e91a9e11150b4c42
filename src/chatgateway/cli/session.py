"""``chatgateway session``: who is connected now."""

from __future__ import annotations

import click

from chatgateway.admin import sessions
from chatgateway.cli import answer
from chatgateway.cli.ending import insist, session_row, told, warn
from chatgateway.cli.opened import Opened, on_store
from chatgateway.types import KeyId, ProjectId, SessionId, UserId


@click.group(name="session")
def command() -> None:
    """Sessions: who is connected now, from where, and on which key's word."""


@command.command("list")
@click.argument("project")
@click.option("--user", help="Only this person's.")
@click.option("--kid", help="Only those that rely on this key.")
@answer.reading
@on_store
async def list_sessions(at: Opened, *, project: str, user: str | None, kid: str | None, as_json: bool) -> None:
    """List the visitors' sessions that are connected now by a socket; those who only use HTTP are not among them."""
    found = await at.projects.get_project(ProjectId(project))
    live = await at.live_sessions(found.id, kid=KeyId(kid) if kid else None, user=UserId(user) if user else None)
    columns = ("session", "user", "assurance", "kid", "app", "origin", "client", "since")
    answer.table(columns, [session_row(session, row) for session, row in live.items()], as_json)


@command.command("end")
@click.argument("project")
@click.argument("session")
@answer.asking
@answer.reading
@on_store
async def end(at: Opened, *, project: str, session: str, yes: bool, as_json: bool) -> None:
    """End one session NOW, on whichever node it is.

    Its browser is told 4302 (user_revoked). The person may sign in again with a fresh token; to keep them out, see
    user block. Their other sessions and their history are not touched.
    """
    found = await at.projects.get_project(ProjectId(project))
    ended = SessionId(session)
    row, is_live = await sessions.find(at, found.id, ended)
    live = {ended: row} if is_live else {}
    warn(f"Session {session} of {row.user} ends now", live, yes, returning="with a fresh token")
    barrier = await sessions.end(at, found.id, ended)
    answer.record({"session": session} | told(barrier), as_json)
    insist(barrier, f"chatgateway session end {found.id} {session}")
