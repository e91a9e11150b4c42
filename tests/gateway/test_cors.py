"""What browsers are told: each app's own pages read its answers, and a cookie never works for anybody else's."""

from __future__ import annotations

import httpx2
import pytest
from tests.gateway.indoors import SHOP, Indoors
from tests.gateway.page import Page, code, visitor

EVIL = "https://evil.example"
ALLOWS = "access-control-allow-origin"
WITH_COOKIE = "access-control-allow-credentials"


async def preflight(indoors: Indoors, path: str, origin: str, method: str = "POST") -> httpx2.Response:
    async with indoors.browser(headers={"Origin": origin, "Access-Control-Request-Method": method}) as browser:
        return await browser.options(path)


class TestWithATokenInHand:
    @pytest.mark.parametrize(
        "path", ["/v1/me", "/v1/conversations", "/v1/conversations/cnv_1/messages", "/v1/sign_out"]
    )
    async def test_a_page_may_ask_with_it(self, indoors: Indoors, path: str) -> None:
        answer = await preflight(indoors, path, SHOP)
        assert (answer.status_code, answer.headers[ALLOWS]) == (204, SHOP)
        assert set(answer.headers["access-control-allow-headers"].split(", ")) == {"authorization", "content-type"}
        assert WITH_COOKIE not in answer.headers
        assert "Origin" in answer.headers["vary"]

    async def test_a_method_is_allowed_where_it_is_known(self, indoors: Indoors) -> None:
        answer = await preflight(indoors, "/v1/sessions/ses_1", SHOP, "DELETE")
        assert answer.headers["access-control-allow-methods"] == "DELETE"

    async def test_answers_and_refusals_are_readable_and_name_one_origin(self, indoors: Indoors) -> None:
        page = await visitor(indoors)
        for answer in (await page.get("/me"), await page.get("/conversations/cnv_nobodys/messages")):
            assert answer.headers[ALLOWS] == SHOP
            assert answer.headers["vary"] == "Origin"
            assert answer.headers["access-control-expose-headers"] == "Retry-After"
            assert WITH_COOKIE not in answer.headers

    async def test_a_page_of_another_site_reads_why_and_nothing_else(self, indoors: Indoors) -> None:
        page = await visitor(indoors)
        page.headers["Origin"] = EVIL
        for answer in (await page.get("/me"), await page.get("/conversations")):
            assert code(answer) == (403, "origin_forbidden")
            assert answer.headers[ALLOWS] == EVIL

    async def test_each_app_has_its_own_pages(self, indoors: Indoors) -> None:
        other = await indoors.parts.projects.create_app(indoors.project.id, "Blog", ("https://blog.example",))
        page = await visitor(indoors)
        page.headers["Origin"] = "https://blog.example"
        assert code(await page.get("/me")) == (403, "origin_forbidden")
        async with indoors.browser(headers={"Origin": "https://blog.example"}) as browser:
            token = (await browser.post("/v1/token", json={"app": other.id})).json()["session_token"]
        assert (await Page(indoors, token, "https://blog.example").get("/me")).status_code == 200
        assert code(await Page(indoors, token).get("/me")) == (403, "origin_forbidden")

    async def test_who_sends_no_origin_comes_in_where_the_app_says_so(self, indoors: Indoors) -> None:
        page = await visitor(indoors)
        native = Page(indoors, page.token, origin=None)
        assert code(await native.get("/me")) == (403, "origin_forbidden")


class TestWithACookie:
    async def test_listed_pages_may_ask_and_others_may_not(self, indoors: Indoors) -> None:
        answer = await preflight(indoors, "/customer/token", SHOP)
        assert (answer.headers[ALLOWS], answer.headers[WITH_COOKIE]) == (SHOP, "true")
        for origin in (EVIL, "null", "*", "https://shop.example.evil.example", "http://shop.example"):
            answer = await preflight(indoors, "/customer/token", origin)
            assert ALLOWS not in answer.headers
            assert WITH_COOKIE not in answer.headers

    async def test_an_origin_that_is_listed_later_is_heard_of(self, indoors: Indoors) -> None:
        assert ALLOWS not in (await preflight(indoors, "/customer/token", "https://new.example")).headers
        await indoors.parts.projects.create_app(indoors.project.id, "New", ("https://new.example",))
        indoors.parts.origins._read_at = -10_000  # type: ignore[assignment]
        assert (await preflight(indoors, "/customer/token", "https://new.example")).headers[ALLOWS]


class TestAServer:
    async def test_shares_its_admin_answers_with_no_page(self, indoors: Indoors) -> None:
        path = f"/v1/admin/projects/{indoors.project.id}/users/ada/sessions"
        for answer in (
            await preflight(indoors, path, SHOP),
            await Page(indoors, "cga_nonsense").post(path.removeprefix("/v1"), {}),
        ):
            assert ALLOWS not in answer.headers
