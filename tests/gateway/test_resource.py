"""What every operation has checked for it, shown on a table of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
from starlette.applications import Starlette
from tests.gateway.indoors import SHOP, Indoors
from tests.gateway.page import code, exchanged

from chatgateway.errors import NotFound, Stale
from chatgateway.gateway.api.operation import Call, Operation
from chatgateway.gateway.api.resource import resources


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    count: int = 1


class Told(msgspec.Struct, frozen=True, kw_only=True):
    said: str


async def tell(call: Call[Any, None, Wish]) -> Told:
    return Told(said=f"{call.path.get('project', '')} {call.query.count}")


async def fail(call: Call[Any, None, None]) -> Told:
    raise ValueError("a bug, with a cgs_secret in its words")


async def miss(call: Call[Any, None, None]) -> Told:
    raise NotFound("project prj_gone")


async def linger(call: Call[Any, None, None]) -> Told:
    """Meanwhile the visitor signs out everywhere."""
    parts, who = call.parts, call.who
    await parts.departure.everywhere(who.project, who.user, await parts.store.now())
    committed, _ = await parts.control.versions()
    await parts.node.catch_up(Stale(committed), 0)
    return Told(said="a name, an address")


async def wish(call: Call[Any, Wish, None]) -> Told:
    return Told(said=f"granted {call.body.count}")


OPERATIONS = (
    Operation("POST", "/v1/admin/projects/{project}", "Wish.", wish, "admin", takes=Wish, gives=Told),
    Operation("GET", "/v1/admin/projects/{project}", "Tell.", tell, "admin", query=Wish, gives=Told),
    Operation("GET", "/bug", "Fail.", fail, gives=Told),
    Operation("GET", "/missing", "Miss.", miss, gives=Told),
    Operation("GET", "/slow", "Linger.", linger, "session", gives=Told),
    Operation("POST", "/slow", "Linger.", linger, "session", gives=Told),
)


def caller(indoors: Indoors, token: str = "") -> httpx2.AsyncClient:
    app = Starlette(routes=resources(OPERATIONS))
    app.state.parts = indoors.parts
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="https://gateway.example", headers=headers
    )


async def test_an_admin_token_opens_its_own_projects_and_no_others(indoors: Indoors) -> None:
    admins, mine = indoors.parts.admins, indoors.project.id
    _, scoped = await admins.create("Scoped", (mine,))
    _, anywhere = await admins.create("Root")
    async with caller(indoors, scoped) as server:
        answer = await server.get(f"/v1/admin/projects/{mine}?count=2")
        assert (answer.status_code, answer.json()) == (200, {"said": f"{mine} 2"})
        for other in ("prj_other", mine + "x"):
            assert code(await server.get(f"/v1/admin/projects/{other}")) == (401, "admin_rejected")
    async with caller(indoors, anywhere) as server:
        assert (await server.get("/v1/admin/projects/prj_other")).status_code == 200
    async with caller(indoors) as nobody:
        answer = await nobody.get(f"/v1/admin/projects/{mine}")
        assert code(answer) == (401, "admin_rejected")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_mistake_of_ours_is_logged_and_says_nothing(indoors: Indoors) -> None:
    async with caller(indoors) as browser:
        answer = await browser.get("/bug")
    assert code(answer) == (500, "internal")
    assert "cgs_secret" not in answer.text


async def test_a_record_that_is_not_there_is_named(indoors: Indoors) -> None:
    async with caller(indoors) as browser:
        answer = await browser.get("/missing")
    assert code(answer) == (404, "not_found")
    assert "project prj_gone" in answer.text


async def test_a_head_is_asked_for_as_a_page_is(indoors: Indoors) -> None:
    async with caller(indoors) as browser:
        assert (await browser.head("/missing")).status_code == 404


async def test_what_was_read_is_handed_to_nobody_whose_trust_ended_meanwhile(indoors: Indoors) -> None:
    token = (await exchanged(indoors, indoors.token("ada")))["session_token"]
    async with caller(indoors, token) as browser:
        answer = await browser.get("/slow", headers={"Origin": SHOP})
    assert code(answer) == (401, "user_revoked")
    assert "a name" not in answer.text


async def test_what_was_done_is_confirmed_though_trust_ended_with_it(indoors: Indoors) -> None:
    token = (await exchanged(indoors, indoors.token("ada")))["session_token"]
    async with caller(indoors, token) as browser:
        assert (await browser.post("/slow", headers={"Origin": SHOP})).status_code == 200


async def test_an_admin_token_that_is_revoked_while_its_body_is_on_the_way_does_nothing(indoors: Indoors) -> None:
    admin, token = await indoors.parts.admins.create("Stolen", (indoors.project.id,))
    path, headers = f"/v1/admin/projects/{indoors.project.id}", {"Content-Type": "application/json"}
    read: list[str] = []

    async def body(*, revoked: bool) -> AsyncIterator[bytes]:
        """Is asked for once the head was judged."""
        read.append("begun")
        yield b"{"
        if revoked:
            await indoors.parts.admins.revoke(admin.id)
        yield b'"count": 3}'

    async with caller(indoors, token) as server:
        answer = await server.post(path, content=body(revoked=False), headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"said": "granted 3"})
        answer = await server.post(path, content=body(revoked=True), headers=headers)
        assert code(answer) == (401, "admin_rejected")
    assert read == ["begun"] * 2
