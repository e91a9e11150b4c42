"""What was said, over HTTP: recorded in the audit, because it is somebody's private word."""

from __future__ import annotations

from typing import Any

import msgspec

from chatgateway.admin import history
from chatgateway.errors import ConversationUnknown, NotFound, RecordUnknown, UserUnknown
from chatgateway.gateway.api.admin.office import AdminCall, office_of, project_of
from chatgateway.gateway.api.operation import ExternalIdPath, Operation


class Uttered(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a conversation."""

    conversation: str
    kid: str
    """The key that vouched for its author; empty when none did."""
    event: dict[str, Any]
    """As it went over the wire: a message, with the assurance that its author had when it was accepted."""


class HistoryShown(msgspec.Struct, frozen=True, kw_only=True):
    """All that was said, in order."""

    events: list[Uttered]


async def read_conversation(call: AdminCall) -> HistoryShown:
    conversation = call.path["conversation"]
    if not conversation.startswith("cnv_"):
        raise ConversationUnknown
    return await _read(call, conversation)


async def read_user_history(call: AdminCall) -> HistoryShown:
    return await _read(call, call.path["user"])


async def _read(call: AdminCall, whose: str) -> HistoryShown:
    office = office_of(call)
    project = await office.projects.get_project(project_of(call))
    try:
        said = await history.read(office, project.id, whose)
    except NotFound as error:
        raise UserUnknown from error
    return HistoryShown(
        events=[Uttered(conversation=one.conversation, kid=one.kid, event=one.event) for one in said]
    )  # fmt: skip


OPERATIONS = (
    Operation(
        "GET", "/v1/admin/projects/{project}/conversations/{conversation}", "Read a conversation.", read_conversation,
        "admin", gives=HistoryShown, errors=(RecordUnknown, ConversationUnknown),
    ),
    Operation(
        "GET", "/v1/admin/projects/{project}/users/{user}/history", "Read all conversations of a person.",
        read_user_history, "admin", gives=HistoryShown, errors=(RecordUnknown, UserUnknown),
        parameters={"user": ExternalIdPath},
    ),
)  # fmt: skip
