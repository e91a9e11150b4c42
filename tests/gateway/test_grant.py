"""A project's server names the person: the session rests on its admin token, and ends with it."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from tests.gateway.indoors import Indoors
from tests.gateway.page import Page, code

from chatgateway.core.admin import AdminRecord
from chatgateway.store.control import Barrier
from chatgateway.types import ExternalId, ProjectId


class Server:
    """The project's own server, with its admin token."""

    def __init__(self, indoors: Indoors, admin: AdminRecord, token: str) -> None:
        self.indoors, self.admin, self.token = indoors, admin, token

    @classmethod
    async def of(cls, indoors: Indoors, *projects: ProjectId) -> Server:
        return cls(indoors, *await indoors.parts.admins.create("Server", projects or (indoors.project.id,)))

    async def ask(self, external_id: str = "ada", project: str = "", **body: Any) -> httpx2.Response:
        page = Page(self.indoors, self.token, origin=None)
        wanted = {"app": self.indoors.app.id} | body
        where = f"/admin/projects/{project or self.indoors.project.id}/users/{external_id}/sessions"
        return await page.post(where, wanted)

    async def grant(self, external_id: str = "ada", **body: Any) -> dict[str, Any]:
        answer = await self.ask(external_id, **body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def revoke(self) -> Barrier:
        """End the admin token, as the command does: record and entry in one script, then the barrier."""
        parts, now = self.indoors.parts, await self.indoors.store.now()
        entry = parts.control.entry("key", self.indoors.project.id, self.admin.id, "revoked", now)
        revoked = await parts.admins.revoke(self.admin.id, control=entry)
        assert revoked.control is not None
        return await parts.control.withdraw(revoked.control)


@pytest.fixture
async def server(indoors: Indoors) -> Server:
    return await Server.of(indoors)


class TestGrant:
    async def test_is_a_signed_session_of_the_person_who_was_named(self, indoors: Indoors, server: Server) -> None:
        granted = await server.grant("ada", name="Ada", email="ada@shop.example", email_proved=True)
        assert (granted["identity"], granted["name"], granted["email_proved"]) == ("signed", "Ada", True)
        tab = await indoors.visitor(granted["session_token"])
        assert (tab.me["user"], tab.me["session"], tab.me["name"]) == (granted["user"], granted["session"], "Ada")
        # Whoever the customer token names is the same person.
        assert (await indoors.visitor(indoors.token("ada"))).me["user"] == granted["user"]
        person = await indoors.parts.identities.find_by_external_id(indoors.project.id, ExternalId("ada"))
        assert person is not None
        assert "name" in person.signed

    async def test_may_name_people_with_every_character_an_id_can_have(self, indoors: Indoors, server: Server) -> None:
        for escaped, plain in (("a%2Fb", "a/b"), ("%C3%A9", "é"), ("a%20b", "a b"), ("usr_1", "usr_1"), ("%2A", "*")):
            await server.grant(escaped)
            found = await indoors.parts.identities.find_by_external_id(indoors.project.id, ExternalId(plain))
            assert found is not None, plain
        for bad in ("%00", "%ff", "%20a", "x" * 256, "%E2%80%8B"):
            assert (await server.ask(bad)).status_code in (400, 422), bad

    async def test_needs_an_admin_token_of_exactly_this_project(self, indoors: Indoors, server: Server) -> None:
        other = (await indoors.parts.projects.create_project("Other")).id
        both, theirs = await Server.of(indoors, indoors.project.id, other), await Server.of(indoors, other)
        anywhere = Server(indoors, *await indoors.parts.admins.create("Root"))
        forged = Server(indoors, server.admin, server.token[:-1] + "x")
        stranger = Server(indoors, server.admin, indoors.token("ada"))
        for refused in (both, theirs, anywhere, forged, stranger):
            answer = await refused.ask()
            assert code(answer) == (401, "admin_rejected")
            assert refused.token not in answer.text
        assert code(await server.ask(project=other)) == (401, "admin_rejected")
        await server.grant()

    async def test_is_for_an_app_of_this_project(self, indoors: Indoors, server: Server) -> None:
        other = await indoors.parts.projects.create_project("Other")
        theirs = await indoors.parts.projects.create_app(other.id, "Theirs", ())
        for app in (theirs.id, "app_nobody"):
            assert code(await server.ask(app=app)) == (404, "app_unknown")

    async def test_takes_nothing_that_it_does_not_know(self, indoors: Indoors, server: Server) -> None:
        for body in ({"role": "admin"}, {"name": 5}, {"email": "no address"}, {"app": ""}):
            assert (await server.ask("ada", **body)).status_code in (400, 422), body
        assert await indoors.parts.identities.find_by_external_id(indoors.project.id, ExternalId("ada")) is None

    async def test_is_recorded_with_who_became_whom(self, indoors: Indoors, server: Server) -> None:
        granted = await server.grant("ada")
        intent, result = await indoors.parts.audit.entries(indoors.project.id)
        for entry in (intent, result):
            assert (entry.actor, entry.verb, entry.target) == (server.admin.actor, "session grant", indoors.app.id)
        assert (intent.step, result.step) == ("intent", "result")
        assert result.result == f"{granted['session']} of {granted['user']}"

    async def test_that_fails_is_recorded_too(self, indoors: Indoors, server: Server) -> None:
        user = (await server.grant())["user"]
        await indoors.parts.identities.set_blocked(indoors.project.id, user, blocked=True)
        await server.ask()
        assert (await indoors.parts.audit.entries(indoors.project.id))[-1].result == "failed: Forbidden"

    async def test_of_a_blocked_person_is_refused(self, indoors: Indoors, server: Server) -> None:
        user = (await server.grant())["user"]
        await indoors.parts.identities.set_blocked(indoors.project.id, user, blocked=True)
        assert code(await server.ask()) == (403, "forbidden")


class TestRevokingTheAdminToken:
    async def test_ends_exactly_the_sessions_that_it_granted_on_every_node(
        self, indoors: Indoors, server: Server
    ) -> None:
        elsewhere, other = await indoors.node(), await Server.of(indoors)
        mine = [(await server.grant(name))["session_token"] for name in ("ada", "bob", "eve")]
        tabs = [
            await indoors.visitor(token, parts=parts)
            for token, parts in zip(mine, (None, elsewhere, elsewhere), strict=True)
        ]
        spared = [
            await indoors.visitor((await other.grant("ada"))["session_token"], parts=elsewhere),
            await indoors.visitor(indoors.token("ada")),
            await indoors.visitor(),
        ]
        conversation = await spared[1].start("Ada's own words")
        barrier = await server.revoke()
        assert str(barrier) == "2 of 2 nodes confirmed, 3 sessions ended"
        assert [await tab.ended() for tab in tabs] == [4301] * 3
        for token in mine:
            assert code(await Page(indoors, token).get("/me")) == (401, "key_revoked")
            assert await indoors.refused(token) == 4301
            assert code(await Page(indoors, token).send(conversation, "too late")) == (401, "key_revoked")
        assert code(await server.ask()) == (401, "admin_rejected")
        for tab in spared:
            await tab.start("not affected")
        assert (await other.ask()).status_code == 201

    async def test_while_it_grants_lets_no_session_through(
        self, indoors: Indoors, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        find_or_create = indoors.parts.identities.find_or_create

        async def revoked_first(*arguments: Any) -> Any:
            person = await find_or_create(*arguments)
            monkeypatch.undo()
            await server.revoke()
            return person

        monkeypatch.setattr(indoors.parts.identities, "find_or_create", revoked_first)
        assert code(await server.ask()) == (401, "admin_rejected")
        assert indoors.parts.roster._people == {}

    async def test_after_it_was_judged_lets_nothing_begin(
        self, indoors: Indoors, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        get_app, project = indoors.parts.projects.get_app, indoors.project.id

        async def revoked_first(app: Any) -> Any:
            monkeypatch.undo()
            await indoors.parts.admins.revoke(server.admin.id)
            return await get_app(app)

        monkeypatch.setattr(indoors.parts.projects, "get_app", revoked_first)
        assert code(await server.ask()) == (401, "admin_rejected")
        assert await indoors.parts.identities.find_by_external_id(project, ExternalId("ada")) is None
        assert await indoors.parts.audit.entries(project) == []

    async def test_counts_even_where_a_restored_store_calls_it_good(
        self, indoors: Indoors, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await server.revoke()

        async def as_it_was(_: str) -> AdminRecord:
            return server.admin

        monkeypatch.setattr(indoors.parts.admins, "find", as_it_was)
        monkeypatch.setattr(indoors.parts.admins, "get", as_it_was)
        assert code(await server.ask("eve")) == (401, "admin_rejected")
        assert await indoors.parts.identities.find_by_external_id(indoors.project.id, ExternalId("eve")) is None
