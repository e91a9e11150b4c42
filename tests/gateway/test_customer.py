"""LiveChat's token endpoint: rows L8, L10, L16 and L17, and that a cookie is good for nobody else."""

from __future__ import annotations

import dataclasses
from typing import Any

import httpx2
import pytest
from tests.gateway.indoors import SHOP, Indoors, Tab
from tests.gateway.page import Page, code

from chatgateway.core import credential as credentials
from chatgateway.core.adoption import AGE_MAX_MS
from chatgateway.store.privacy import Privacy
from chatgateway.types import AppId, UnixMs, UserId

PATH = "/customer/token"
TWO_YEARS_S = 2 * 365 * 24 * 3600


class Browser:
    """A browser's own cookies, on a page of the shop."""

    def __init__(self, indoors: Indoors, origin: str | None = SHOP, url: str = "https://gateway.example") -> None:
        self.indoors = indoors
        self.headers = {"Origin": origin} if origin else {}
        self.cookie = ""
        self.url = url

    async def ask(self, **fields: Any) -> httpx2.Response:
        wanted = {
            "grant_type": "cookie", "client_id": self.indoors.app.id, "organization_id": self.indoors.project.id,
        }  # fmt: skip
        body = {name: value for name, value in (wanted | fields).items() if value is not None}
        headers = self.headers | ({"Cookie": self.cookie} if self.cookie else {})
        async with self.indoors.browser(headers=headers) as browser:
            answer = await browser.post(self.url + PATH, json=body)
        if "set-cookie" in answer.headers:
            self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return answer

    async def token(self, **fields: Any) -> dict[str, Any]:
        answer = await self.ask(**fields)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def browser(indoors: Indoors) -> Browser:
    return Browser(indoors)


async def admin(indoors: Indoors, *projects: Any) -> str:
    return (await indoors.parts.admins.create("Server", projects or (indoors.project.id,)))[1]


class TestCookieGrant:
    async def test_row_l8_answers_in_snake_case_with_seconds(self, indoors: Indoors, browser: Browser) -> None:
        answer = await browser.ask()
        token = answer.json()
        assert token.keys() == {
            "access_token", "entity_id", "token_type", "expires_in", "client_id", "organization_id",
        }  # fmt: skip
        assert (token["token_type"], token["expires_in"]) == ("Bearer", 8 * 3600)
        assert (token["client_id"], token["organization_id"]) == (indoors.app.id, indoors.project.id)
        assert answer.headers["cache-control"] == "no-store"
        old = await browser.token(organization_id=None, license_id=indoors.project.id)
        assert (old["license_id"], "organization_id" in old) == (indoors.project.id, False)

    async def test_row_l10_the_first_call_makes_an_identity_and_later_ones_refresh_it(
        self, indoors: Indoors, browser: Browser
    ) -> None:
        first = await browser.token()
        second = await browser.token(entity_id=first["entity_id"])
        assert second["entity_id"] == first["entity_id"]
        assert second["access_token"] != first["access_token"]
        # The store is asked for nothing until somebody says something.
        assert await indoors.parts.sessions.of_person(indoors.project.id, UserId(first["entity_id"])) == {}
        assert (await Browser(indoors).token())["entity_id"] != first["entity_id"]

    async def test_row_l16_the_access_token_is_a_bearer_and_opens_sockets(
        self, indoors: Indoors, browser: Browser
    ) -> None:
        token = await browser.token()
        page = Page(indoors, token["access_token"])
        assert (await page.get("/me")).json()["user"] == token["entity_id"]
        conversation = await page.start("over HTTP")
        tab = await indoors.visitor(token["access_token"])
        assert (tab.me["user"], tab.me["identity"]) == (token["entity_id"], "anonymous")
        await tab.open(conversation)
        # A later token of the same customer has the same history.
        assert await Page(indoors, (await browser.token())["access_token"]).texts(conversation) == ["over HTTP"]

    async def test_row_l17_the_cookie_lasts_two_years_from_each_use_and_no_script_reads_it(
        self, indoors: Indoors, browser: Browser
    ) -> None:
        for _ in range(2):
            said = (await browser.ask()).headers["set-cookie"]
            name, *attributes = said.split("; ")
            assert name.startswith(f"cg_customer_{indoors.app.id}=")
            assert attributes == [
                f"Max-Age={TWO_YEARS_S}", f"Path={PATH}", "HttpOnly", "Secure", "SameSite=None", "Partitioned",
            ]  # fmt: skip

    async def test_over_plain_http_the_cookie_is_one_that_browsers_take(self, indoors: Indoors) -> None:
        said = (await Browser(indoors, url="http://localhost:8080").ask()).headers["set-cookie"]
        assert said.endswith("HttpOnly; SameSite=Lax")

    async def test_an_access_token_stays_short_however_often_it_is_renewed(
        self, indoors: Indoors, browser: Browser
    ) -> None:
        tab = await indoors.visitor((await browser.token())["access_token"])
        old = credentials.read(tab.me["session_token"], indoors.parts.credential_ring, await indoors.store.now())
        aged = dataclasses.replace(
            old, issued_at=old.issued_at - 5 * 3_600_000, expires_at=old.expires_at - 5 * 3_600_000
        )
        again = await indoors.visitor(credentials.mint(aged, indoors.parts.credential_ring))
        left_h = (again.me["expires_at"] - await indoors.store.now()) / 3_600_000
        assert 7.9 < left_h <= 8

    async def test_an_id_that_is_not_the_cookies_is_refused(self, indoors: Indoors, browser: Browser) -> None:
        other = (await Browser(indoors).token())["entity_id"]
        assert code(await browser.ask(entity_id=other)) == (403, "forbidden")
        mine = (await browser.token())["entity_id"]
        for named in (other, mine[:-1], "usr_nobody"):
            assert code(await browser.ask(entity_id=named)) == (403, "forbidden")
        assert (await browser.token(entity_id=mine))["entity_id"] == mine

    async def test_a_cookie_of_another_app_or_that_we_did_not_make_begins_anew(
        self, indoors: Indoors, browser: Browser
    ) -> None:
        mine = (await browser.token())["entity_id"]
        name, _, value = browser.cookie.partition("=")
        other = await indoors.parts.projects.create_app(indoors.project.id, "Other", (SHOP,))
        browser.cookie = f"cg_customer_{other.id}={value}"
        assert (await browser.token(client_id=other.id))["entity_id"] != mine
        for forged in (value[:-2] + "AA", "cgv_", "x", '"', value.replace("cgv_", "")):
            browser.cookie = f"{name}={forged}"
            assert (await browser.token())["entity_id"] != mine

    async def test_what_a_page_holds_is_not_made_a_cookie_of(self, indoors: Indoors, browser: Browser) -> None:
        """A page can set a cookie too: a stranger's credential must not become one of two years."""
        stranger = await indoors.visitor()
        browser.cookie = f"cg_customer_{indoors.app.id}={stranger.me['session_token']}"
        entity = (await browser.token())["entity_id"]
        assert entity != stranger.me["user"]
        assert entity.startswith(credentials.COOKIE_USER)

    async def test_who_came_long_ago_is_no_fresh_stranger_however_often_they_come(
        self, indoors: Indoors, browser: Browser
    ) -> None:
        """An account keeps only what was begun lately; what the cookie gives out is as old as the identity."""
        entity, ring = (await browser.token())["entity_id"], indoors.parts.credential_ring
        name, _, value = browser.cookie.partition("=")
        fresh = credentials.read(value, ring, await indoors.store.now())
        old = dataclasses.replace(fresh, issued_at=UnixMs(fresh.issued_at - AGE_MAX_MS - 1))
        browser.cookie = f"{name}={credentials.mint(old, ring)}"
        await browser.token()
        again = await browser.token()
        assert again["entity_id"] == entity
        held = credentials.read(again["access_token"], ring, await indoors.store.now())
        assert held.born_at == old.issued_at
        await (await indoors.visitor(again["access_token"])).start("begun today")
        ada = await indoors.visitor(indoors.token("ada"), earlier=again["access_token"])
        assert (await ada.ask("adopt"))["code"] == "adoption_refused"

    async def test_who_signed_out_begins_anew_and_stays_out_for_as_long_as_the_cookie_lives(
        self, indoors: Indoors, browser: Browser
    ) -> None:
        token = await browser.token()
        page, user = Page(indoors, token["access_token"]), UserId(token["entity_id"])
        assert (await page.post("/sign_out", {})).status_code == 204
        assert (await browser.token())["entity_id"] != user
        from chatgateway.store import schema

        key = schema.withdrawn(schema.partition_of_user(indoors.project.id, user), indoors.project.id, user)
        left_ms = int(await indoors.store.hot.ask(("PTTL", key)))
        assert left_ms > (TWO_YEARS_S - 60) * 1000

    async def test_who_was_erased_begins_anew(self, indoors: Indoors, browser: Browser) -> None:
        first = (await browser.ask()).json()["entity_id"]
        await Privacy(indoors.store).erase_person(indoors.project.id, first)
        second = (await browser.ask()).json()["entity_id"]
        assert second != first
        assert (await browser.ask()).json()["entity_id"] == second

    async def test_who_was_blocked_is_refused_and_gets_no_new_cookie(self, indoors: Indoors, browser: Browser) -> None:
        user, parts = UserId((await browser.token())["entity_id"]), indoors.parts
        partitions = list(await parts.sessions.partitions(indoors.project.id, user))
        await parts.control.mark_person(indoors.project.id, user, partitions, "blocked", "1")
        answer = await browser.ask()
        assert code(answer) == (403, "forbidden")
        assert "set-cookie" not in answer.headers

    async def test_becomes_somebody_by_a_customer_token_as_every_stranger_does(
        self, indoors: Indoors, browser: Browser
    ) -> None:
        token = await browser.token()
        tab = await indoors.visitor(token["access_token"])
        conversation = await tab.start("before signing in")
        await indoors.visitor(indoors.token("ada"), earlier=token["access_token"])
        agent = await indoors.colleague()
        row = (await agent.do("inbox", project=indoors.project.id))["rows"][0]
        assert (row["conversation"], row["pending"]) == (conversation, True)

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", None])
    async def test_another_sites_page_gets_and_changes_nothing(
        self, indoors: Indoors, browser: Browser, origin: str | None
    ) -> None:
        await browser.token()
        browser.headers = {"Origin": origin} if origin else {}
        answer = await browser.ask()
        assert code(answer) == (403, "origin_forbidden")
        for header in ("set-cookie", "access-control-allow-origin", "access-control-allow-credentials"):
            assert header not in answer.headers

    async def test_a_body_that_a_browser_sends_unasked_is_refused(self, indoors: Indoors, browser: Browser) -> None:
        await browser.token()
        headers = {"Origin": SHOP, "Cookie": browser.cookie}
        body = b'{"grant_type":"cookie","client_id":"%s"}' % indoors.app.id.encode()
        async with indoors.browser(headers=headers) as sender:
            for kind in ({"Content-Type": "text/plain"}, {"Content-Type": "text/plain;application/json"}, {}):
                answer = await sender.post(PATH, content=body, headers=kind)
                assert code(answer) == (415, "not_json")

    async def test_refusals_are_readable_for_the_apps_own_pages(self, indoors: Indoors, browser: Browser) -> None:
        answer = await browser.ask(organization_id="prj_other")
        assert code(answer) == (404, "app_unknown")
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert answer.headers["access-control-allow-credentials"] == "true"
        for wrong in ({"client_id": "app_nobody"}, {"organization_id": None}, {"grant_type": "password"}):
            assert (await browser.ask(**wrong)).status_code in (400, 404)

    async def test_where_everybody_signs_in_nobody_gets_an_anonymous_one(
        self, indoors: Indoors, browser: Browser
    ) -> None:
        token = await browser.token()
        await indoors.parts.projects.update_app(
            AppId(indoors.app.id), lambda app: dataclasses.replace(app, policy="signed")
        )
        assert code(await browser.ask()) == (403, "forbidden")
        assert code(await Page(indoors, token["access_token"]).get("/me")) == (403, "forbidden")


class TestAgentTokenGrant:
    async def test_row_l17_the_server_picks_the_customer(self, indoors: Indoors) -> None:
        server = Browser(indoors, origin=None)
        server.headers["Authorization"] = f"Bearer {await admin(indoors)}"
        answer = await server.ask(grant_type="agent_token", entity_id="ada")
        token = answer.json()
        assert "set-cookie" not in answer.headers
        assert 3_500 < token["expires_in"] <= 3_600
        tab: Tab = await indoors.visitor(token["access_token"])
        assert (tab.me["user"], tab.me["identity"]) == (token["entity_id"], "signed")
        # The same person as by a customer token, and by the id that was answered.
        assert (await indoors.visitor(indoors.token("ada"))).me["user"] == token["entity_id"]
        again = await server.token(grant_type="agent_token", entity_id=token["entity_id"])
        assert again["entity_id"] == token["entity_id"]

    async def test_needs_an_admin_token_of_this_project_and_a_name(self, indoors: Indoors) -> None:
        other = await indoors.parts.projects.create_project("Other")
        stranger = (await Browser(indoors).token())["entity_id"]
        server, wanted = Browser(indoors, origin=None), {"grant_type": "agent_token", "entity_id": "ada"}
        assert code(await server.ask(**wanted)) == (401, "admin_rejected")
        for scope in ((other.id,), (indoors.project.id, other.id)):
            server.headers["Authorization"] = f"Bearer {await admin(indoors, *scope)}"
            assert code(await server.ask(**wanted)) == (401, "admin_rejected")
        server.headers["Authorization"] = f"Bearer {await admin(indoors)}"
        assert code(await server.ask(grant_type="agent_token")) == (400, "malformed")
        for nobody in (stranger, "usr_" + "0" * 20):
            assert code(await server.ask(grant_type="agent_token", entity_id=nobody)) == (404, "user_unknown")
        for bad in ("", " ada", "a\u0000b", "x" * 256):
            answer = await server.ask(grant_type="agent_token", entity_id=bad)
            assert answer.status_code in (400, 422)

    async def test_asked_for_by_another_projects_server_tells_nobody_who_is_known(self, indoors: Indoors) -> None:
        ada = (await indoors.visitor(indoors.token("ada"))).me["user"]
        other = await indoors.parts.projects.create_project("Other")
        server = Browser(indoors, origin=None)
        server.headers["Authorization"] = f"Bearer {await admin(indoors, other.id)}"
        asked = [await server.ask(grant_type="agent_token", entity_id=one) for one in (ada, "usr_" + "0" * 20, "ada")]
        assert {code(answer) for answer in asked} == {(401, "admin_rejected")}
        assert len({answer.text for answer in asked}) == 1
