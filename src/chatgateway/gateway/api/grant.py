"""A project's server asks for a session of a person whom it names, instead of signing a customer token."""

from __future__ import annotations

from typing import Annotated

import msgspec

from chatgateway.core.admin import AdminRecord
from chatgateway.core.upsert import Upsert, description, identifiers
from chatgateway.errors import AppUnknown, Forbidden, IdentityConflict, Unacceptable
from chatgateway.gateway.api.operation import Call, ExternalIdPath, Operation
from chatgateway.gateway.api.token import Granted, granted
from chatgateway.types import ProjectId


class GrantWanted(Upsert, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For which app, and what the server tells of the person. What it tells is locked, as a signed claim is."""

    app: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


async def grant_session(call: Call[AdminRecord, GrantWanted, None]) -> Granted:
    parts, caller, told = call.parts, call.caller, call.body
    named = call.path["external_id"]
    if told.external_id not in ("", named):
        raise Unacceptable("external_id in the body is not the one in the address; leave it out.")
    told = msgspec.structs.replace(told, external_id=named)
    project = await parts.projects.get_project(ProjectId(call.path["project"]))
    caller.app = told.app
    admitted = await parts.grants.granted(caller, call.who, project.id, identifiers(told, project), description(told))
    return await granted(parts, admitted)


OPERATIONS = (
    Operation(
        "POST", "/v1/admin/projects/{project}/users/{external_id}/sessions", "Open a session for a person.",
        grant_session, "admin", takes=GrantWanted, gives=Granted, status=201,
        errors=(AppUnknown, Forbidden, IdentityConflict, Unacceptable),
        parameters={"external_id": ExternalIdPath},
        details=(
            "The admin token must be good for this project and no other: revoking it ends the sessions that it granted."
        ),
    ),
)  # fmt: skip
