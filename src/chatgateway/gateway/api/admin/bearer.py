"""Who may operate over HTTP: the bearer of an admin token, so often, and only where the token is good.

A token of some projects gets one answer for a project of somebody else and for one that does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from chatgateway.core.admin import AdminRecord
from chatgateway.core.keyring import is_secret_like
from chatgateway.errors import AdminRejected, Forbidden
from chatgateway.gateway.doors import block
from chatgateway.gateway.visit import bearer_of
from chatgateway.log import log
from chatgateway.types import ProjectId

if TYPE_CHECKING:
    from starlette.requests import Request

    from chatgateway.gateway.api.operation import Operation
    from chatgateway.gateway.connection import Caller
    from chatgateway.gateway.parts import Parts


async def admin_of(parts: Parts, caller: Caller, request: Request) -> AdminRecord:
    """Return whose admin token the request bears. Raises AdminRejected, RateLimited, StoreError."""
    try:
        token = bearer_of(request, AdminRejected)
        if is_secret_like(token):
            log.error("secret.arrived", address=caller.address)
            raise AdminRejected("A signing secret arrived instead of an admin token. It is exposed: regenerate it now.")
        admin = await parts.admins.find(token)
    except AdminRejected as rejected:
        parts.pace.count_failure(caller.address)
        log.info("admin.rejected", address=block(caller.address), detail=rejected.detail)
        raise
    parts.pace.require_admin(admin.id)
    return admin


async def still_good(parts: Parts, operation: Operation, admin: AdminRecord, path: Mapping[str, str]) -> AdminRecord:
    """Return ``admin`` as it is now: a body may come long after its head, and the token be revoked in between.

    Raises AdminRejected, Forbidden, StoreError.
    """
    now = await parts.admins.get(admin.id)
    if now.revoked:
        raise AdminRejected
    require_scope(operation, now, path)
    return now


def require_scope(operation: Operation, admin: AdminRecord, path: Mapping[str, str]) -> None:
    """Let ``admin`` do only what its token is good for. Raises AdminRejected, Forbidden."""
    if "project" in path and not admin.serves(ProjectId(path["project"])):
        raise AdminRejected("This admin token is not good for that project.")
    if operation.everywhere and not admin.everywhere:
        raise Forbidden("This needs an admin token of all projects; make one with: chatgateway admin create NAME")
