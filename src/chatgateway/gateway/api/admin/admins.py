"""Admin tokens over HTTP: for tokens of all projects alone, or a token could give more than it has."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.responses import Response

from chatgateway.admin import admins
from chatgateway.core.admin import AdminRecord
from chatgateway.errors import RecordUnknown, Unacceptable
from chatgateway.gateway.api.admin.office import (
    AdminCall,
    Concluded,
    Foretold,
    Name,
    Rehearsing,
    concluded,
    office_of,
    told,
)
from chatgateway.gateway.api.operation import Operation
from chatgateway.protocol.fields import Id
from chatgateway.store.control import Barrier
from chatgateway.types import AdminId, ProjectId


class AdminShown(msgspec.Struct, frozen=True, kw_only=True):
    """An admin token: everything but the token."""

    admin: str
    name: str
    projects: tuple[str, ...]
    """For which it is good. Empty: for all."""
    last_four: str
    created_at: int
    last_used_at: int | None
    revoked_at: int | None

    @classmethod
    def of(cls, admin: AdminRecord) -> AdminShown:
        return cls(
            admin=admin.id,
            name=admin.name,
            projects=admin.projects,
            last_four=admin.last_four,
            created_at=admin.created_at,
            last_used_at=admin.last_used_at,
            revoked_at=admin.revoked_at,
        )


class AdminsShown(msgspec.Struct, frozen=True, kw_only=True):
    """Admin tokens, oldest first, revoked ones too."""

    admins: list[AdminShown]


class AdminWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new admin token."""

    name: Name
    projects: Annotated[list[Id], msgspec.Meta(max_length=100)]
    """For which it is to be good. [] says: for all."""


class AdminMade(msgspec.Struct, frozen=True, kw_only=True):
    """A new admin token."""

    admin: AdminShown
    token: str
    """Shown once: nobody can ask for it later."""


class AdminRevoked(Concluded, frozen=True, kw_only=True):
    """An admin token that is good for nothing any more."""

    admin: AdminShown


class OfProject(msgspec.Struct, frozen=True, kw_only=True):
    project: Id | None = None
    """Only those that are good for this one."""


async def list_admins(call: AdminCall) -> AdminsShown:
    project = call.query.project
    found = await office_of(call).admins.list_admins(ProjectId(project) if project else None)
    return AdminsShown(admins=[AdminShown.of(admin) for admin in found])


async def create_admin(call: AdminCall) -> AdminMade:
    made = await admins.create(office_of(call), call.body.name, [*map(ProjectId, call.body.projects)])
    return AdminMade(admin=AdminShown.of(made.admin), token=made.token)


async def get_admin(call: AdminCall) -> AdminShown:
    return AdminShown.of(await office_of(call).admins.get(AdminId(call.path["admin"])))


async def revoke_admin(call: AdminCall) -> Foretold | Concluded | Response:
    office = office_of(call)
    found = await office.admins.get(AdminId(call.path["admin"]))
    if call.query.dry_run:
        return Foretold.of(await admins.granted(office, found))
    revoked = await admins.revoke(office, found.id)
    # On a token of all projects no session can rest: nobody needs to confirm anything.
    barrier = revoked.barrier or Barrier((), (), 0)
    return concluded(call, AdminRevoked(admin=AdminShown.of(revoked.admin), **told(barrier)))


_ALL = "/v1/admin/admins"
_ONE = _ALL + "/{admin}"

OPERATIONS = (
    Operation("GET", _ALL, "List admin tokens.", list_admins, "admin", everywhere=True,
        query=OfProject, gives=AdminsShown,
    ),
    Operation(
        "POST", _ALL, "Make an admin token.", create_admin, "admin", everywhere=True,
        takes=AdminWanted, gives=AdminMade, status=201, errors=(RecordUnknown, Unacceptable),
    ),
    Operation("GET", _ONE, "Show an admin token's record.", get_admin, "admin", everywhere=True,
        gives=AdminShown, errors=(RecordUnknown,),
    ),
    Operation(
        "DELETE", _ONE, "End an admin token and the sessions that it granted, now.", revoke_admin, "admin",
        everywhere=True, query=Rehearsing, gives=AdminRevoked, rehearsal=Foretold, ends=True, errors=(RecordUnknown,),
        details="Repeating is harmless. A token may end itself.",
    ),
)  # fmt: skip
