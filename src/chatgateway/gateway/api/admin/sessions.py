"""Visitors' sessions over HTTP: who is connected now, and one of them ended."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.responses import Response

from chatgateway.admin import sessions
from chatgateway.errors import NotFound, RecordUnknown
from chatgateway.gateway.api.admin.keys import Kid
from chatgateway.gateway.api.admin.office import (
    AdminCall,
    Concluded,
    Foretold,
    GatewayOffice,
    Rehearsing,
    SessionShown,
    concluded,
    office_of,
    project_of,
    told,
)
from chatgateway.gateway.api.operation import Operation
from chatgateway.protocol.fields import Id
from chatgateway.store.sessions import SessionRow
from chatgateway.types import KeyId, ProjectId, SessionId, UserId


class SessionsShown(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions that are connected now."""

    total: int
    sessions: list[SessionShown]
    """At most ``limit`` of them."""


class SessionDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A session that is remembered."""

    session: SessionShown
    is_live: bool
    closed_at: int
    """0 while it never closed."""
    close_code: int


class SessionConcluded(Concluded, frozen=True, kw_only=True):
    """A session that was ended."""

    session: str


class SessionsWanted(msgspec.Struct, frozen=True, kw_only=True):
    user: Id | None = None
    """Only this person's (usr_…)."""
    kid: Kid | None = None
    """Only those that rely on this key."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1_000


async def list_live_sessions(call: AdminCall) -> SessionsShown:
    office, wanted = office_of(call), call.query
    project = await office.projects.get_project(project_of(call))
    live = await office.live_sessions(
        project.id,
        kid=KeyId(wanted.kid) if wanted.kid else None,
        user=UserId(wanted.user) if wanted.user else None,
    )
    shown = [SessionShown.of(*one) for one in list(live.items())[: wanted.limit]]
    return SessionsShown(total=len(live), sessions=shown)


async def get_live_session(call: AdminCall) -> SessionDetail:
    session, row, is_live = await _found(office_of(call), call)
    return SessionDetail(
        session=SessionShown.of(session, row), is_live=is_live, closed_at=row.closed_at, close_code=row.close_code
    )


async def end_live_session(call: AdminCall) -> Foretold | Concluded | Response:
    office = office_of(call)
    session, row, is_live = await _found(office, call)
    if call.query.dry_run:
        return Foretold.of({session: row} if is_live else {})
    barrier = await sessions.end(office, ProjectId(row.project), session)
    return concluded(call, SessionConcluded(session=session, **told(barrier)))


async def _found(office: GatewayOffice, call: AdminCall) -> tuple[SessionId, SessionRow, bool]:
    session = SessionId(call.path["session"])
    try:
        return (session, *await sessions.find(office, project_of(call), session))
    except NotFound as error:
        raise RecordUnknown("No such session of this project is remembered.") from error


_ALL = "/v1/admin/projects/{project}/sessions"
_ONE = _ALL + "/{session}"

OPERATIONS = (
    Operation("GET", _ALL, "List the visitors' sessions that are connected now.", list_live_sessions, "admin",
        query=SessionsWanted, gives=SessionsShown, errors=(RecordUnknown,),
    ),
    Operation("GET", _ONE, "Show a session.", get_live_session, "admin",
        gives=SessionDetail, errors=(RecordUnknown,),
    ),
    Operation(
        "DELETE", _ONE, "End one session now, on whichever node it is.", end_live_session, "admin",
        query=Rehearsing, gives=SessionConcluded, rehearsal=Foretold, ends=True, errors=(RecordUnknown,),
        details="The person may sign in again with a fresh token; to keep them out, block them. Repeating is harmless.",
    ),
)  # fmt: skip
