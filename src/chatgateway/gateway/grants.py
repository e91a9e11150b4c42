"""Sessions that a project's server asks for itself, with an admin token, instead of signing a customer token.

Such a session rests on the admin token as others rest on a key: revoking the token ends exactly what it granted. So
only a token that is good for this project and nothing else grants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatgateway.core.person import Description, Identifier
from chatgateway.errors import AdminRejected, AppUnknown, IdentityConflict, NotFound, Stale
from chatgateway.gateway.admission import ATTEMPTS, Admitted, nobody_joins
from chatgateway.gateway.exchange import Vouched
from chatgateway.log import log
from chatgateway.types import AppId, ProjectId

if TYPE_CHECKING:
    from chatgateway.core.admin import AdminRecord
    from chatgateway.gateway.connection import Caller
    from chatgateway.gateway.parts import Parts


class Grants:
    """The grants of this node."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def granted(
        self,
        caller: Caller,
        admin: AdminRecord,
        project: ProjectId,
        identifiers: tuple[Identifier, ...],
        said: Description,
    ) -> Admitted:
        """Return a session for the person whom ``admin`` names. Nobody's page asks, so no origin is judged.

        Raises AdminRejected, AppUnknown, PeerError, StoreError.
        """
        parts = self._parts
        life_ms = parts.settings.session_minutes * 60_000
        for attempt in range(ATTEMPTS):
            # First of all: what is withdrawn from here on, the bind that carries this version is refused for.
            version = parts.node.trust.applied
            record = await parts.admins.get(admin.id)
            if not record.grants(project):
                raise AdminRejected("Sessions are granted to tokens of this one project only.")
            if record.revoked or record.kid in parts.node.trust.revoked_keys(project):
                raise AdminRejected
            try:
                _, app = await parts.projects.get_app(AppId(caller.app))
            except NotFound as error:
                raise AppUnknown from error
            if app.project != project or project in parts.node.trust.projects:
                raise AppUnknown
            vouched = Vouched(record.kid, identifiers, said, version, life_ms)
            try:
                async with parts.audit.recorded(
                    record.actor, "session grant", app.id, project=project, admin=record.id
                ) as recording:
                    await recording.begin()
                    admitted = await parts.exchange.bound(caller, app, vouched, None, nobody_joins, None, None)
                    recording.result = f"{admitted.grounds.session} of {admitted.identity.user}"
            except Stale as stale:
                if attempt == ATTEMPTS - 1:
                    raise
                await parts.exchange.catch_up(stale, project, identifiers)
            except IdentityConflict:
                parts.reports.conflict(project, app.id, identifiers)
                raise
            else:
                log.info(
                    "session.granted", project=project, app=app.id, session=admitted.grounds.session, kid=record.kid
                )
                return admitted
        raise AssertionError("unreachable")
