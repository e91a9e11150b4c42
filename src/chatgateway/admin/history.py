"""What was said, for those who may read it: recorded, because it is somebody's private word."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import msgspec

from chatgateway.admin import people
from chatgateway.admin.office import Office
from chatgateway.errors import ConversationUnknown
from chatgateway.store.conversations import require_conversation
from chatgateway.types import ConversationId, ProjectId, UserId


class Said(NamedTuple):
    """One event of a conversation."""

    conversation: ConversationId
    event: dict[str, Any]
    """As it went over the wire."""
    kid: str
    """The key that vouched for its author; "" when none did."""


async def read(office: Office, project: ProjectId, whose: str) -> list[Said]:
    """Return all events of a conversation (cnv_…), or of one person's conversations, in order.

    Raises NotFound for an unknown person, ConversationUnknown for what is not this project's.
    """
    target = whose
    if whose.startswith("cnv_"):
        conversations = [require_conversation(whose)]
    else:
        # The user id, not what the project calls them: the audit outlives whoever is erased.
        target = (await people.find(office, project, whose)).user
        conversations = await office.conversations.of_person(project, UserId(target))
    async with office.recorded("history read", target, project) as recording:
        await recording.begin()
    said: list[Said] = []
    for conversation in conversations:
        await _require_its_own(office, project, conversation)
        entries = await office.conversations.entries(conversation)
        said += [Said(conversation, msgspec.json.decode(event), kid) for event, kid in entries]
    return said


async def _require_its_own(office: Office, project: ProjectId, conversation: ConversationId) -> None:
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    office.conversations.head(conversation, answered.set_result)
    head = await answered
    if isinstance(head, Exception):
        raise head
    if head is None or head.project != project:
        raise ConversationUnknown
