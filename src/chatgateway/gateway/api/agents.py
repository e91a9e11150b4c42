"""How agents sign in: a password or a one-time link buys a cookie, the cookie buys a ticket, the ticket opens a socket.

The cookie is HttpOnly and SameSite=Strict; whatever it changes also wants the CSRF token that only our own pages can
read. The ticket lives 30 seconds and once, and travels in the socket's first frame.
"""

from __future__ import annotations

import hmac
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chatgateway.core.project import AgentRecord
from chatgateway.errors import Forbidden, NotFound, PeerError, SessionUnknown, StoreError
from chatgateway.gateway.api.answers import answer, parts_of, read, refuse
from chatgateway.gateway.doors import block
from chatgateway.gateway.parts import Parts
from chatgateway.log import log
from chatgateway.store.agents import ConsoleSession
from chatgateway.types import ProjectId

COOKIE = "cg_console"
COOKIE_S = 12 * 3600
TICKET_S = 30


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Either name and password, or the link."""

    name: Annotated[str, msgspec.Meta(max_length=200)] = ""
    password: Annotated[str, msgspec.Meta(max_length=1024)] = ""
    link: Annotated[str, msgspec.Meta(max_length=200)] = ""


async def login(request: Request) -> Response:
    """Open a console session."""
    parts: Parts = parts_of(request)
    try:
        _require_own_page(request, parts)
        wanted = await read(request, Login)
        # An IPv6 subscriber has a whole /64 of addresses to try from.
        address = block(request.client.host) if request.client else ""
        if wanted.link:
            agent = await parts.agents.redeem_link(wanted.link)
        else:
            agent = await parts.agents.login(wanted.name, wanted.password, address)
        session = await parts.agents.open_session(agent)
    except (PeerError, StoreError) as error:
        return refuse(error)
    log.info("agent.signed_in", agent=agent.id)
    response = answer(await _account(parts, agent, session.csrf))
    response.set_cookie(
        COOKIE, session.cookie, max_age=COOKIE_S, path="/", httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return response


async def me(request: Request) -> Response:
    """Say who is signed in here."""
    parts: Parts = parts_of(request)
    try:
        session = await _session(request, parts)
        return answer(await _account(parts, session.agent, session.csrf))
    except (PeerError, StoreError) as error:
        return refuse(error)


async def ticket(request: Request) -> Response:
    """Give out what opens a socket."""
    parts: Parts = parts_of(request)
    try:
        session = await _session(request, parts, changing=True)
        return answer(
            {"ticket": await parts.agents.issue_ticket(session.agent, session.cookie), "expires_in": TICKET_S}
        )
    except (PeerError, StoreError) as error:
        return refuse(error)


async def logout(request: Request) -> Response:
    """Close the console session."""
    parts: Parts = parts_of(request)
    try:
        session = await _session(request, parts, changing=True)
        entry = parts.control.entry(
            "session", ProjectId(""), session.sockets, "session_signed_out", await parts.store.now()
        )
        await parts.control.finish(await parts.control.write(entry))
        parts.node.ring_doorbell()
        # Last: whoever is told that it failed can say it again.
        await parts.agents.close_session(session.cookie)
    except (PeerError, StoreError) as error:
        return refuse(error)
    response = answer({})
    response.delete_cookie(COOKIE, path="/")
    return response


async def _session(request: Request, parts: Parts, *, changing: bool = False) -> ConsoleSession:
    cookie = request.cookies.get(COOKIE, "")
    session = await parts.agents.session(cookie) if cookie else None
    if session is None:
        raise SessionUnknown("Sign in first.")
    if changing:
        _require_own_page(request, parts)
        if not hmac.compare_digest(request.headers.get("x-csrf-token", "").encode(), session.csrf.encode()):
            raise Forbidden("The X-CSRF-Token header is missing or wrong; read it from /v1/agents/me.")
    return session


def _require_own_page(request: Request, parts: Parts) -> None:
    origin = request.headers.get("origin")
    if (
        origin is not None
        and origin not in parts.own_origins
        and origin != f"{request.url.scheme}://{request.url.netloc}"
    ):
        raise Forbidden("Only the gateway's own pages sign agents in.")


async def _account(parts: Parts, agent: AgentRecord, csrf: str) -> dict[str, object]:
    projects: list[dict[str, str]] = []
    for project in agent.projects:
        try:
            projects.append({"id": project, "name": (await parts.projects.get_project(project)).name})
        except NotFound:
            continue
    return {"agent": agent.id, "name": agent.name, "role": agent.role, "csrf": csrf, "projects": projects}
