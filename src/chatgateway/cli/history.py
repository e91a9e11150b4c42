"""``chatgateway history``: what was said."""

from __future__ import annotations

import asyncio
from typing import Any

import click
import msgspec

from chatgateway.cli import answer
from chatgateway.cli.opened import Opened, on_store
from chatgateway.cli.user import person_of
from chatgateway.errors import ConversationUnknown
from chatgateway.store.conversations import require_conversation
from chatgateway.types import ConversationId, ProjectId


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
    if whose.startswith("cnv_"):
        conversations = [require_conversation(whose)]
    else:
        person = await person_of(at, found.id, whose)
        conversations = await at.conversations.of_person(found.id, person.user)
    async with at.recorded("history read", whose, found.id) as recording:
        await recording.begin()
    rows: list[dict[str, object]] = []
    for conversation in conversations:
        await _require_its_own(at, found.id, conversation)
        for event, kid in await at.conversations.entries(conversation):
            rows.append(_row(conversation, event, kid))
    columns = ("conversation", "seq", "at", "role", "name", "assurance", "kid", "text")
    answer.table(columns, rows, as_json)


async def _require_its_own(at: Opened, project: ProjectId, conversation: ConversationId) -> None:
    """Raise ConversationUnknown for a conversation of another project."""
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    at.conversations.head(conversation, answered.set_result)
    head = await answered
    if isinstance(head, Exception):
        raise head
    if head is None or head.project != project:
        raise ConversationUnknown


def _row(conversation: ConversationId, event: bytes, kid: str) -> dict[str, object]:
    fields: dict[str, Any] = msgspec.json.decode(event)
    author: dict[str, Any] = fields.get("from", {})
    return {
        "conversation": conversation,
        "seq": fields.get("seq", 0),
        "at": answer.instant(fields.get("at", 0)),
        "user": author.get("user", ""),
        "role": author.get("role", ""),
        "name": author.get("name", ""),
        "assurance": author.get("assurance", ""),
        "kid": kid,
        "text": fields.get("text", ""),
        "event": fields,
    }
