"""POST /v1/token: exchange a customer token for a session token, or mint an anonymous identity."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chatgateway.core.identity import Authenticated
from chatgateway.core.rotation import Grounds
from chatgateway.errors import PeerError, RateLimited, StoreError, StoreUnavailable
from chatgateway.gateway.api.answers import answer, parts_of, read, refuse
from chatgateway.gateway.connection import Caller
from chatgateway.gateway.parts import Parts
from chatgateway.gateway.signin import Admitted
from chatgateway.log import log

SCHEME = "Bearer"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    app: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    token: str | None = None
    earlier: str | None = None
    page: Annotated[str, msgspec.Meta(max_length=2048)] = ""
    client: Annotated[str, msgspec.Meta(max_length=64)] = ""
    can_refresh: bool = False


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    session_token: str
    session: str
    user: str
    identity: str
    token_type: str
    expires_in: int
    """Seconds."""
    expires_at: int
    unread: int


def _nobody_joins(_: Grounds) -> None:
    """No socket rests on an exchange: the session joins when its socket comes."""


async def exchange(request: Request) -> Response:
    """Answer with the credential of a session; CORS by the app's own list."""
    parts: Parts = parts_of(request)
    origin = request.headers.get("origin")
    # Any page may read why it was refused; only pages on the app's list are ever granted anything.
    headers = {"Vary": "Origin"} | ({"Access-Control-Allow-Origin": origin} if origin else {})
    try:
        wanted = await read(request, Wanted)
        if not parts.node.may_act:
            raise StoreUnavailable("this node has no lease")
        address = request.client.host if request.client else ""
        refused = parts.doors.refuses(address)
        if refused is not None:
            raise RateLimited(refused, retry=2_000)
        caller = Caller(
            origin=origin, address=address, app=wanted.app, page=wanted.page, client=wanted.client,
            can_refresh=wanted.can_refresh, live=False,
        )  # fmt: skip
        if wanted.token is not None and wanted.token.startswith("cgt_"):
            raise PeerError("A console ticket opens a socket; it is not exchanged.")
        admitted = await parts.sign_in.admit(caller, wanted.token, wanted.earlier, None, _nobody_joins)
        unread = await _unread(parts, admitted)
    except (PeerError, StoreError) as error:
        return refuse(error, headers)
    except Exception as error:  # noqa: BLE001  the outermost frame of a request
        log.error("token.failed", exc_info=error)
        return refuse(error, headers)
    left_ms = admitted.identity.expires_at - parts.node.now()
    return answer(
        Granted(
            session_token=admitted.token, session=admitted.grounds.session, user=admitted.identity.user,
            identity=admitted.identity.assurance, token_type=SCHEME, expires_in=max(0, left_ms // 1000),
            expires_at=admitted.identity.expires_at, unread=unread,
        ),
        headers=headers,
    )  # fmt: skip


async def preflight(request: Request) -> Response:
    """Answer a browser's question before it posts JSON. Which app is asked for is not known yet; the POST judges."""
    return Response(
        status_code=204,
        headers={
            "Access-Control-Allow-Origin": request.headers.get("origin", "*"),
            "Access-Control-Allow-Methods": "POST",
            "Access-Control-Allow-Headers": "content-type",
            "Access-Control-Max-Age": "600",
            "Vary": "Origin",
        },
    )


async def _unread(parts: Parts, admitted: Admitted) -> int:
    """Return how many messages of agents await this person; the page shows them before any socket is opened."""
    identity, grounds = admitted.identity, admitted.grounds
    earlier = identity.earlier if isinstance(identity, Authenticated) else None
    heads = await parts.desk.heads_of(admitted.project, identity.user, earlier, grounds.session)
    return sum(head.unread(identity.user) for head in heads)
