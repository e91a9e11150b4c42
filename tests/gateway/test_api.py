"""What a page and a console ask over HTTP: every answer can be read, and no credential is good twice or elsewhere."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.gateway.indoors import PASSWORD, SHOP, Indoors, founded

from chatgateway.errors import StoreUnavailable
from chatgateway.gateway import assembly
from chatgateway.store.client import Store

CSRF = "x-csrf-token"


class TestToken:
    """POST /v1/token, as a page of the shop says it."""

    async def post(self, indoors: Indoors, origin: str | None = SHOP, **body: Any) -> httpx2.Response:
        async with indoors.browser(headers={"Origin": origin} if origin else {}) as browser:
            return await browser.post("/v1/token", json={"app": indoors.app.id, **body})

    async def test_makes_a_stranger_of_whoever_shows_none(self, indoors: Indoors) -> None:
        answer = await self.post(indoors)
        granted = answer.json()
        assert (answer.status_code, granted["identity"], granted["token_type"]) == (200, "anonymous", "Bearer")
        assert (await indoors.visitor(granted["session_token"])).me["user"] == granted["user"]
        assert answer.headers["cache-control"] == "no-store"

    async def test_is_exchanged_for_a_session_that_a_socket_then_has(self, indoors: Indoors) -> None:
        granted = (await self.post(indoors, token=indoors.token("ada"))).json()
        assert granted["identity"] == "signed"
        left_s = (granted["expires_at"] - await indoors.store.now()) // 1000
        assert abs(granted["expires_in"] - left_s) <= 2
        assert 3_500 < granted["expires_in"] <= 3_600
        tab = await indoors.visitor(granted["session_token"])
        assert (tab.me["session"], tab.me["user"]) == (granted["session"], granted["user"])

    async def test_says_how_much_is_unread_before_any_socket_is_open(self, indoors: Indoors) -> None:
        tab, agent = await indoors.visitor(), await indoors.colleague()
        conversation = await tab.start()
        token = tab.me["session_token"]
        assert (await self.post(indoors, token=token)).json()["unread"] == 0
        await agent.open(conversation)
        for text in ("one", "two"):
            await agent.do("send", conversation=conversation, text=text)
        assert (await self.post(indoors, token=token)).json()["unread"] == 2
        # The same person, signed in, still has them: this browser shows who it was before.
        signed = (await self.post(indoors, token=indoors.token("ada"), earlier=token)).json()
        assert signed["unread"] == 2
        assert (await self.post(indoors, token=indoors.token("bob"))).json()["unread"] == 0

    async def test_is_not_given_out_when_the_key_dies_while_the_answer_is_made(
        self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Bound in time, and of no use any more: nor are name and address for whoever held the key."""
        heads_of = indoors.parts.desk.heads_of

        async def outrun(*arguments: Any) -> Any:
            await indoors.regenerate("k1")
            return await heads_of(*arguments)

        monkeypatch.setattr(type(indoors.parts.desk), "heads_of", lambda _, *arguments: outrun(*arguments))
        answer = await self.post(indoors, token=indoors.token("ada"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "key_revoked")

    async def test_is_granted_to_pages_on_the_list_and_to_no_others(self, indoors: Indoors) -> None:
        assert (await self.post(indoors)).headers["access-control-allow-origin"] == SHOP
        for origin in ("https://evil.example", None):
            answer = await self.post(indoors, origin)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin_forbidden")
            assert answer.headers["vary"] == "Origin"

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            (b"{", 400, "malformed"),
            (b"[]", 400, "malformed"),
            (b'{"app": 5}', 400, "malformed"),
            (b"\xff", 400, "malformed"),
            (b"[" * 50_000, 400, "malformed"),
            (b'{"app": "' + b"x" * 70_000 + b'"}', 413, "too_big"),
            (b'{"app": "app_nobody"}', None, "app_unknown"),
        ],
        ids=["cut", "array", "number", "no text", "deep", "too big", "no app"],
    )
    async def test_that_is_refused_says_why_where_the_page_can_read_it(
        self, indoors: Indoors, body: bytes, status: int | None, code: str
    ) -> None:
        async with indoors.browser(headers={"Origin": SHOP}) as browser:
            answer = await browser.post("/v1/token", content=body)
        assert answer.json()["error"]["code"] == code
        assert status in (None, answer.status_code)
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert answer.headers["content-type"] == "application/json"

    async def test_of_a_dead_key_is_told_when_to_come_back(self, indoors: Indoors) -> None:
        await indoors.regenerate("k1")
        answer = await self.post(indoors, token=indoors.token("ada"))
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (401, "key_revoked")
        assert int(answer.headers["retry-after"]) == -(-error["after_ms"] // 1000) > 0
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert (await self.post(indoors, token=indoors.token("ada", "k2"))).status_code == 200

    async def test_is_not_what_a_console_ticket_is_for(self, indoors: Indoors) -> None:
        ticket = await indoors.parts.agents.issue_ticket(indoors.agent)
        assert "error" in (await self.post(indoors, token=ticket)).json()
        # Nor was it used up.
        await indoors.parts.agents.redeem_ticket(ticket)

    async def test_is_not_given_out_without_a_lease(self, indoors: Indoors) -> None:
        indoors.parts.node.refuse("not fit")
        answer = await self.post(indoors)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
        assert answer.headers["access-control-allow-origin"] == SHOP

    async def test_may_be_asked_for_with_json_from_any_page(self, indoors: Indoors) -> None:
        async with indoors.browser(headers={"Origin": SHOP}) as browser:
            answer = await browser.options("/v1/token")
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert answer.headers["access-control-allow-headers"] == "content-type"

    async def test_of_a_blocked_person_is_refused(self, indoors: Indoors) -> None:
        tab = await indoors.visitor(indoors.token("ada"))
        await indoors.parts.identities.set_blocked(indoors.project.id, tab.me["user"], blocked=True)
        answer = await self.post(indoors, token=indoors.token("ada"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")

    async def test_of_a_stranger_is_refused_where_everybody_must_sign_in(self, indoors: Indoors) -> None:
        token = (await self.post(indoors)).json()["session_token"]
        await indoors.parts.projects.update_app(indoors.app.id, lambda app: dataclasses.replace(app, policy="signed"))
        for shown in ({}, {"token": token}):
            assert (await self.post(indoors, **shown)).json()["error"]["code"] == "forbidden"


async def log_in(browser: httpx2.AsyncClient, **credentials: str) -> dict[str, Any]:
    answer = await browser.post("/v1/agents/login", json=credentials or {"name": "Dana", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestConsole:
    async def test_is_opened_by_a_password_and_kept_by_a_cookie_that_no_script_reads(self, indoors: Indoors) -> None:
        async with indoors.browser() as browser:
            assert (await browser.get("/v1/agents/me")).status_code == 401
            answer = await browser.post("/v1/agents/login", json={"name": "Dana", "password": PASSWORD})
            assert answer.json()["projects"] == [{"id": indoors.project.id, "name": "Shop"}]
            cookie = answer.headers["set-cookie"].lower()
            assert all(word in cookie for word in ("httponly", "samesite=strict", "secure", "path=/"))
            assert (await browser.get("/v1/agents/me")).json() == answer.json()

    async def test_is_opened_by_a_link_once(self, indoors: Indoors) -> None:
        link = await indoors.parts.agents.create_link(indoors.agent.id)
        async with indoors.browser() as first, indoors.browser() as second:
            assert (await log_in(first, link=link))["agent"] == indoors.agent.id
            again = await second.post("/v1/agents/login", json={"link": link})
            assert (again.status_code, again.json()["error"]["code"]) == (401, "login_rejected")
            assert "set-cookie" not in again.headers

    async def test_gives_tickets_that_open_one_socket_each(self, indoors: Indoors) -> None:
        async with indoors.browser() as browser:
            csrf = (await log_in(browser))["csrf"]
            given = (await browser.post("/v1/agents/ticket", headers={CSRF: csrf})).json()
        assert given["expires_in"] == 30
        tab = indoors.tab(origin=None)
        tab.say("hello", ref="h", token=given["ticket"])
        assert (await tab.hears("welcome"))["role"] == "agent"
        assert await indoors.refused(given["ticket"]) == 4401

    @pytest.mark.parametrize("path", ["ticket", "logout"])
    async def test_changes_nothing_for_a_page_that_does_not_know_its_csrf_token(
        self, indoors: Indoors, path: str
    ) -> None:
        async with indoors.browser() as browser, indoors.browser() as other:
            csrf = (await log_in(browser))["csrf"]
            others = (await log_in(other))["csrf"]
            for headers in ({}, {CSRF: ""}, {CSRF: "wrong"}, {CSRF: "ü".encode()}, {CSRF: others}):
                answer = await browser.post(f"/v1/agents/{path}", headers=headers)  # type: ignore[arg-type]
                assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
            foreign = await browser.post(f"/v1/agents/{path}", headers={CSRF: csrf, "Origin": SHOP})
            assert foreign.status_code == 403
            assert (await browser.get("/v1/agents/me")).status_code == 200
            assert (await browser.post(f"/v1/agents/{path}", headers={CSRF: csrf})).status_code == 200

    async def test_is_not_opened_from_another_site(self, indoors: Indoors) -> None:
        async with indoors.browser(headers={"Origin": SHOP}) as browser:
            answer = await browser.post("/v1/agents/login", json={"name": "Dana", "password": PASSWORD})
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)

    async def test_that_is_closed_ends_its_sockets_and_tickets_and_no_others(self, indoors: Indoors) -> None:
        async with indoors.browser() as browser, indoors.browser() as other:
            csrf, others = (await log_in(browser))["csrf"], (await log_in(other))["csrf"]
            tickets = [
                (await one.post("/v1/agents/ticket", headers={CSRF: token})).json()["ticket"]
                for one, token in ((browser, csrf), (browser, csrf), (other, others))
            ]
            tabs = []
            for ticket in (tickets[0], tickets[2]):
                tab = indoors.tab(origin=None)
                tab.say("hello", ref="h", token=ticket)
                await tab.hears("welcome")
                tabs.append(tab)
            assert (await browser.post("/v1/agents/logout", headers={CSRF: csrf})).status_code == 200
            assert await tabs[0].ended() == 4440
            assert await indoors.refused(tickets[1]) == 4440
            assert (await browser.get("/v1/agents/me")).status_code == 401
            await tabs[1].do("inbox", project=indoors.project.id)
            assert (await other.get("/v1/agents/me")).status_code == 200

    async def test_that_could_not_be_closed_can_be_closed_again(
        self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session = await indoors.parts.agents.open_session(indoors.agent)
        tab = await indoors.colleague(cookie=session.cookie)

        async def away(*_: Any) -> Any:
            raise StoreUnavailable("away")

        async with indoors.browser(cookies={"cg_console": session.cookie}) as browser:
            with monkeypatch.context() as patch:
                patch.setattr(indoors.parts.control, "write", away)
                answer = await browser.post("/v1/agents/logout", headers={CSRF: session.csrf})
                assert answer.status_code == 503
            assert (await browser.post("/v1/agents/logout", headers={CSRF: session.csrf})).status_code == 200
        assert await tab.ended() == 4440

    async def test_guesses_count_for_a_whole_ipv6_subscriber(self, indoors: Indoors) -> None:
        statuses: list[int] = []
        for n in range(12):
            async with indoors.browser(f"2001:db8:0:7::{n:x}") as browser:
                answer = await browser.post("/v1/agents/login", json={"name": "Dana", "password": "wrong"})
                statuses.append(answer.status_code)
        assert statuses == [401] * 10 + [429] * 2
        async with indoors.browser("2001:db8:0:8::1") as neighbour:
            await log_in(neighbour)


class TestReadiness:
    async def test_is_lost_while_the_store_evicts_and_comes_back_with_its_setting(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(assembly, "CHECK_EVERY_S", 0.01)
        async with founded(store, tmp_path) as indoors, indoors.browser() as browser:
            tab = await indoors.visitor()
            conversation = await tab.start()

            async def until(status: int) -> dict[str, Any]:
                while (answer := await browser.get("/readyz")).status_code != status:
                    await asyncio.sleep(0.01)  # until the next look at the store
                return answer.json()

            assert (await until(200))["faults"] == []
            await store.redis.config_set("maxmemory-policy", "allkeys-lru")
            try:
                (fault,) = (await until(503))["faults"]
                assert "maxmemory-policy" in fault
                refused = await tab.ask("send", conversation=conversation, text="would be evicted")
                assert refused["code"] == "store_unavailable"
                assert await indoors.refused() == 4006
                assert (await browser.get("/healthz")).status_code == 200
            finally:
                await store.redis.config_set("maxmemory-policy", "noeviction")
            await until(200)
            await tab.do("send", conversation=conversation, text="is kept")

    async def test_names_what_is_wrong(self, indoors: Indoors) -> None:
        async with indoors.browser() as browser:
            ready = await browser.get("/readyz")
            assert (ready.status_code, ready.json()["status"]) == (200, "ready")
            indoors.parts.doors.draining = True
            indoors.parts.probe_age_ms = lambda: 60_000
            faults = (await browser.get("/readyz")).json()["faults"]
            assert [fault.split(":")[0] for fault in faults] == ["draining", "deaf"]
