"""``chatgateway history``: what was said."""

from __future__ import annotations

from typing import Any

import click

from chatgateway.admin import history
from chatgateway.admin.history import Said
from chatgateway.cli import answer
from chatgateway.cli.opened import Opened, on_store
from chatgateway.types import ProjectId


@click.command(name="history")
@click.argument("project")
@click.argument("whose")
@answer.reading
@on_store
async def command(at: Opened, *, project: str, whose: str, as_json: bool) -> None:
    """Print a conversation (cnv_…), or all conversations of one person (usr_…, or the id their server signs).

    Each message stands with the assurance that its author had when it was accepted, and the key that vouched. Recorded
    in the audit, because it is somebody's private word.
    """
    found = await at.projects.get_project(ProjectId(project))
    rows = [_row(said) for said in await history.read(at, found.id, whose)]
    columns = ("conversation", "seq", "at", "role", "name", "assurance", "kid", "text")
    answer.table(columns, rows, as_json)


def _row(said: Said) -> dict[str, object]:
    event = said.event
    author: dict[str, Any] = event.get("from", {})
    return {
        "conversation": said.conversation,
        "seq": event.get("seq", 0),
        "at": answer.instant(event.get("at", 0)),
        "user": author.get("user", ""),
        "role": author.get("role", ""),
        "name": author.get("name", ""),
        "assurance": author.get("assurance", ""),
        "kid": said.kid,
        "text": event.get("text", ""),
        "event": event,
    }
