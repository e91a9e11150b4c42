"""An office for each request of the admin API, and how a verb answers that ends sessions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from chatgateway.admin.office import Office
from chatgateway.core.admin import AdminRecord
from chatgateway.gateway.api.answers import answer, faulted
from chatgateway.gateway.api.faults import NodesSilent
from chatgateway.gateway.api.operation import Call
from chatgateway.gateway.parts import Parts
from chatgateway.store.agents import Agents
from chatgateway.store.control import Barrier
from chatgateway.store.sessions import SessionRow
from chatgateway.types import ProjectId, SessionId

SAMPLES_MAX = 100

AdminCall = Call[AdminRecord, Any, Any]

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=400)]
"""Of a project, an app, an agent, a key: judged by core/project.py, after white space at its ends is gone."""

Few = Annotated[int, msgspec.Meta(ge=1, le=1_000)]


class GatewayOffice(Office):
    """An office inside a gateway, whose node remembers what is withdrawn: it follows the control log as all do."""

    def __init__(self, parts: Parts, admin: AdminRecord) -> None:
        super().__init__(parts.store, parts.sealer, admin.actor, admin=admin.id)
        self._parts = parts

    @cached_property
    def agents(self) -> Agents:
        return self._parts.agents  # of which one bounds how many passwords are hashed at once


class Rehearsing(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing is changed when it is only asked what would be."""

    dry_run: bool = False


class SessionShown(msgspec.Struct, frozen=True, kw_only=True):
    """A visitor's session."""

    session: str
    user: str
    assurance: str
    kid: str
    """The key, or the admin token, on whose word it rests; empty for nobody's."""
    app: str
    origin: str
    page: str
    address_block: str
    client: str
    can_refresh: bool
    """Can its page fetch a fresh token by itself?"""
    node: str
    bound_at: int

    @classmethod
    def of(cls, session: SessionId, row: SessionRow) -> SessionShown:
        return cls(
            session=session,
            user=row.user,
            assurance=row.assurance,
            kid=row.kid,
            app=row.app,
            origin=row.origin,
            page=row.page,
            address_block=row.address_block,
            client=row.client,
            can_refresh=row.can_refresh,
            node=row.node,
            bound_at=row.bound_at,
        )


class Foretold(msgspec.Struct, frozen=True, kw_only=True):
    """What would end. Nothing was changed."""

    dry_run: bool = True
    sessions_ending: int
    can_refresh: int
    """So many of them can fetch a fresh token by themselves."""
    sessions: list[SessionShown]
    """The first hundred of them."""
    conversations_deleted: int = 0

    @classmethod
    def of(cls, sessions: Mapping[SessionId, SessionRow], conversations: int = 0) -> Foretold:
        return cls(
            sessions_ending=len(sessions),
            can_refresh=sum(row.can_refresh for row in sessions.values()),
            sessions=[SessionShown.of(*one) for one in list(sessions.items())[:SAMPLES_MAX]],
            conversations_deleted=conversations,
        )


class Concluded(msgspec.Struct, frozen=True, kw_only=True):
    """What the nodes answered to what was withdrawn."""

    complete: bool
    """Did every node that lives confirm?"""
    nodes_confirmed: int
    nodes_silent: list[str]
    """Alive, but did not confirm in time. What was withdrawn can write nothing there either."""
    sessions_ended: int


def office_of(call: AdminCall) -> GatewayOffice:
    """Return the office in which the bearer acts: what is done there is recorded under the token's id and name."""
    return GatewayOffice(call.parts, call.who)


def project_of(call: AdminCall) -> ProjectId:
    """Return the project in the path, for which the token is good."""
    return ProjectId(call.path["project"])


def told(barrier: Barrier | None) -> dict[str, Any]:
    """Return the fields of ``Concluded``. None: the nodes could not be asked."""
    if barrier is None:
        return {"complete": False, "nodes_confirmed": 0, "nodes_silent": [], "sessions_ended": 0}
    return {
        "complete": barrier.complete,
        "nodes_confirmed": len(barrier.confirmed),
        "nodes_silent": list(barrier.silent),
        "sessions_ended": barrier.ended,
    }


def concluded(call: AdminCall, ended: Concluded) -> Concluded | Response:
    """Return how a verb answers that withdrew trust: as an error, beside all that it has to say, unless all confirmed.

    A script that only looks at the status must not take it for done; one that looks for a new secret must find it.
    """
    if ended.complete:
        return ended
    body = {**msgspec.to_builtins(ended), **msgspec.to_builtins(faulted(NodesSilent()))}
    return answer(body, NodesSilent.status, call.headers)
