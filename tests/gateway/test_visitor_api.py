"""The bearer of a session token over HTTP: the same person, the same rules and the same limits as on a socket."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.gateway.indoors import SHOP, Indoors, founded
from tests.gateway.page import Page, code, exchanged, visitor

from chatgateway.gateway.api.table import OPERATIONS
from chatgateway.gateway.connection import Caller
from chatgateway.gateway.visit import admitted_visit
from chatgateway.protocol import frames as f
from chatgateway.store.client import Store
from chatgateway.types import UserId


@pytest.fixture
async def unhurried(store: Store, tmp_path: Path) -> AsyncIterator[Indoors]:
    """A gateway whose rates nobody reaches."""
    async with founded(store, tmp_path, commands_burst=10_000, requests_burst=10_000) as opened:
        yield opened


async def set_policy(indoors: Indoors, **changes: Any) -> None:
    await indoors.parts.projects.update_app(indoors.app.id, lambda app: dataclasses.replace(app, **changes))


class TestWhoIsAsking:
    async def test_a_person_is_told_who_they_are(self, indoors: Indoors) -> None:
        granted = await exchanged(indoors, indoors.token("ada", email="ada@shop.example"))
        me = (await Page(indoors, granted["session_token"]).get("/me")).json()
        assert (me["user"], me["session"], me["identity"]) == (granted["user"], granted["session"], "signed")
        assert (me["name"], me["email"], me["app"]) == ("Ada", "ada@shop.example", indoors.app.id)
        assert abs(me["now"] - await indoors.store.now()) < 5_000

    async def test_a_stranger_stays_the_same_one_from_request_to_request(self, indoors: Indoors) -> None:
        page = await visitor(indoors)
        first, second = (await page.get("/me")).json(), (await page.get("/me")).json()
        assert (first["user"], first["session"]) == (second["user"], second["session"])
        assert first["identity"] == "anonymous"

    @pytest.mark.parametrize(
        "header",
        [None, "", "Bearer", "Bearer ", "Basic Zm9v", "Bearer nonsense", "Bearer cgv_e30.AAAA", "Bearer a.b.c"],
    )
    async def test_whoever_shows_no_session_token_is_refused(self, indoors: Indoors, header: str | None) -> None:
        page = await visitor(indoors)
        del page.headers["Authorization"]
        if header is not None:
            page.headers["Authorization"] = header
        answer = await page.get("/me")
        assert code(answer) == (401, "token_rejected")
        assert answer.headers["www-authenticate"] == "Bearer"

    async def test_a_customer_token_is_not_a_session_token(self, indoors: Indoors) -> None:
        assert code(await Page(indoors, indoors.token("ada")).get("/me")) == (401, "token_rejected")

    async def test_a_secret_in_place_of_a_token_raises_the_alarm(
        self, indoors: Indoors, capsys: pytest.CaptureFixture[str]
    ) -> None:
        secret = next(iter(indoors._secrets.values()))
        answer = await Page(indoors, secret).get("/me")
        assert code(answer) == (401, "token_rejected")
        said = answer.text + "".join(capsys.readouterr())
        assert "secret.arrived" in said
        assert secret not in said

    async def test_row_a4_after_the_exchange_the_jwt_is_not_needed_to_send(self, indoors: Indoors) -> None:
        page = await visitor(indoors, indoors.token("ada"))
        conversation = await page.start("with the session token alone")
        assert (await page.send(conversation, "again")).status_code == 200

    async def test_row_p16_the_exchange_gives_a_credential_for_socket_and_requests_alike(
        self, indoors: Indoors
    ) -> None:
        page = await visitor(indoors, indoors.token("ada"))
        tab = await indoors.visitor(page.token)
        assert tab.me["user"] == (await page.get("/me")).json()["user"]
        conversation = await tab.start("said on the socket")
        await page.send(conversation, "said over HTTP")
        assert (await tab.do("open", conversation=conversation))["type"] in ("ack", "reset")
        assert await page.texts(conversation) == ["said on the socket", "said over HTTP"]


class TestConversations:
    async def test_what_is_said_reaches_those_who_listen_on_sockets(self, indoors: Indoors) -> None:
        page, agent = await visitor(indoors, indoors.token("ada")), await indoors.colleague()
        conversation = await page.start("is anybody there?")
        await agent.open(conversation)
        placed = (await page.send(conversation, "hello?")).json()
        heard = await agent.hears("message", lambda frame: frame["text"] == "hello?")
        assert (heard["at"], heard["seq"], heard["link"]) == (placed["at"], placed["seq"], placed["link"])
        assert heard["from"] == {
            "user": (await page.get("/me")).json()["user"], "role": "visitor", "assurance": "signed", "name": "Ada",
        }  # fmt: skip

    async def test_a_repeated_ref_is_stored_once_and_answered_alike(self, indoors: Indoors) -> None:
        page, ref = await visitor(indoors), indoors.ref()
        first = await page.start("once", ref)
        assert await page.start("once", ref) == first
        again = indoors.ref()
        one, two = [(await page.send(first, "twice?", again)).json() for _ in range(2)]
        assert (one.pop("repeated"), two.pop("repeated")) == (False, True)
        assert one == two
        assert await page.texts(first) == ["once", "twice?"]

    async def test_leave_a_row_of_a_stranger_from_the_first_words_on(self, indoors: Indoors) -> None:
        page = await visitor(indoors)
        me = (await page.get("/me")).json()
        assert await indoors.rows(me["user"]) == {}
        conversation = await page.start("first words")
        await page.send(conversation, "more")
        ((session, row),) = (await indoors.rows(me["user"])).items()
        assert (session, row.node, row.origin) == (me["session"], "", SHOP)

    async def test_are_listed_with_their_last_words_and_what_is_unread(self, indoors: Indoors) -> None:
        page, agent = await visitor(indoors, indoors.token("ada")), await indoors.colleague()
        conversation = await page.start("hello")
        await agent.open(conversation)
        for text in ("one", "two"):
            await agent.do("send", conversation=conversation, text=text)
        (listed,) = (await page.get("/conversations")).json()["conversations"]
        assert (listed["conversation"], listed["preview"], listed["unread"]) == (conversation, "two", 2)
        assert (await page.get("/unread")).json() == {"unread": 2}
        assert (await page.post(f"/conversations/{conversation}/read", {"seq": 2})).status_code == 204
        assert (await page.get("/unread")).json() == {"unread": 1}
        assert (await agent.hears("read"))["seq"] == 2

    async def test_are_read_page_by_page_backwards_without_holes(self, indoors: Indoors) -> None:
        page = await visitor(indoors)
        conversation = await page.start("0")
        for number in range(1, 7):
            assert (await page.send(conversation, str(number))).status_code == 200
        path, shown, query = f"/conversations/{conversation}/messages", [], {"limit": "3"}
        while True:
            answer = (await page.get(path, params=query)).json()
            shown = [message["text"] for message in answer["messages"]] + shown
            if not answer["more"]:
                break
            oldest = answer["messages"][0]
            query["before"] = f"{oldest['at']},{oldest['seq']},{oldest['link']}"
        assert shown == [str(number) for number in range(7)]

    async def test_of_others_are_not_there(self, indoors: Indoors) -> None:
        theirs = await (await visitor(indoors, indoors.token("ada"))).start("mine")
        for page in (await visitor(indoors), await visitor(indoors, indoors.token("bob"))):
            assert (await page.get("/conversations")).json() == {"conversations": []}
            for answer in (
                await page.get(f"/conversations/{theirs}/messages"),
                await page.send(theirs, "let me in"),
                await page.post(f"/conversations/{theirs}/read", {"seq": 1}),
                await page.get("/conversations/cnv_nonsense/messages"),
            ):
                assert code(answer) == (404, "conversation_unknown")

    async def test_of_a_person_are_the_same_in_every_browser_and_a_strangers_in_one_alone(
        self, indoors: Indoors
    ) -> None:
        ada = await visitor(indoors, indoors.token("ada"))
        conversation = await ada.start("from the first browser")
        assert await (await visitor(indoors, indoors.token("ada"))).texts(conversation) == ["from the first browser"]

    async def test_begun_before_signing_in_are_read_by_the_session_that_holds_them(self, indoors: Indoors) -> None:
        stranger = await visitor(indoors)
        conversation = await stranger.start("before")
        granted = await exchanged(indoors, indoors.token("ada"), earlier=stranger.token)
        assert granted["adoptable"] == [conversation]
        assert await Page(indoors, granted["session_token"]).texts(conversation) == ["before"]
        elsewhere = await visitor(indoors, indoors.token("ada"))
        assert code(await elsewhere.get(f"/conversations/{conversation}/messages")) == (404, "conversation_unknown")


class TestRules:
    async def test_a_text_is_as_long_as_on_a_socket_and_no_longer(self, indoors: Indoors) -> None:
        page = await visitor(indoors)
        conversation = await page.start("ä" * (indoors.parts.rules.text_max_bytes // 2))
        longer = "ä" * (indoors.parts.rules.text_max_bytes // 2) + "b"
        assert code(await page.send(conversation, longer)) == (413, "too_big")
        assert code(await page.send(conversation, "c" * 70_000)) == (413, "too_big")
        assert len(await page.texts(conversation)) == 1

    async def test_refs_are_minted_from_the_stores_clock(self, indoors: Indoors) -> None:
        page = await visitor(indoors)
        conversation = await page.start()
        assert code(await page.send(conversation, "x", "r1")) == (400, "frame_rejected")
        ahead = "0fffffff-ffff-7000-8000-000000000000"
        assert code(await page.send(conversation, "x", ahead)) == (400, "ref_ahead")

    async def test_a_session_asks_as_often_as_a_socket_says(self, store: Store, tmp_path: Path) -> None:
        async with founded(store, tmp_path, commands_per_s=0.01, commands_burst=3) as indoors:
            page, other = await visitor(indoors), await visitor(indoors)
            assert [(await page.get("/unread")).status_code for _ in range(3)] == [200] * 3
            answer = await page.get("/unread")
            assert code(answer) == (429, "rate_limited")
            assert int(answer.headers["retry-after"]) * 1000 >= answer.json()["error"]["after_ms"] > 0
            assert answer.headers["access-control-allow-origin"]
            assert (await other.get("/unread")).status_code == 200

    async def test_an_address_asks_so_often_whoever_it_says_it_is(self, store: Store, tmp_path: Path) -> None:
        async with founded(store, tmp_path, requests_per_s=0.01, requests_burst=2) as indoors:
            page = Page(indoors, "cgv_guess", address="2001:db8::1")
            assert [code(await page.get("/me"))[0] for _ in range(2)] == [401] * 2
            page.address = "2001:db8::2"  # the same subscriber
            assert code(await page.get("/me")) == (429, "rate_limited")
            page.address = "2001:db8:0:1::1"
            assert code(await page.get("/me")) == (401, "token_rejected")

    async def test_nothing_is_answered_without_a_lease(self, indoors: Indoors) -> None:
        page = await visitor(indoors)
        indoors.parts.node.refuse("not fit")
        answer = await page.get("/conversations")
        assert code(answer) == (503, "store_unavailable")

    async def test_where_an_address_must_be_proved_a_stranger_may_only_ask_who_they_are(self, indoors: Indoors) -> None:
        page = await visitor(indoors)
        conversation = await page.start("before the rule")
        await set_policy(indoors, policy="email")
        granted = await exchanged(indoors, page.token)
        assert (granted["unread"], granted["policy"], granted["meets_policy"]) == (0, "email", False)
        assert not (await page.get("/me")).json()["meets_policy"]
        for answer in (
            await page.get("/conversations"),
            await page.get("/unread"),
            await page.get(f"/conversations/{conversation}/messages"),
            await page.send(conversation, "may I?"),
            await page.post("/conversations", {"ref": indoors.ref(), "text": "may I?"}),
            await page.post(f"/conversations/{conversation}/read", {"seq": 1}),
        ):
            assert code(answer) == (403, "email_required")
        assert (await (await visitor(indoors, indoors.token("ada"))).get("/conversations")).status_code == 200
        assert (await page.post("/sign_out", {})).status_code == 204

    async def test_where_everybody_signs_in_a_stranger_may_only_sign_out(self, indoors: Indoors) -> None:
        page = await visitor(indoors)
        await set_policy(indoors, policy="signed")
        assert code(await page.get("/me")) == (403, "forbidden")
        assert (await page.post("/sign_out", {})).status_code == 204
        await set_policy(indoors, policy="anyone")
        assert code(await page.get("/me")) == (401, "signed_out")


class TestTrust:
    async def test_of_a_dead_key_says_when_to_come_back(self, indoors: Indoors) -> None:
        page, spared = await visitor(indoors, indoors.token("ada")), await visitor(indoors, indoors.token("bob", "k2"))
        conversation = await page.start()
        await indoors.regenerate("k1")
        answer = await page.send(conversation, "from a dead key")
        assert code(answer) == (401, "key_revoked")
        assert 30_000 <= answer.json()["error"]["after_ms"] <= 300_000
        assert await (await visitor(indoors, indoors.token("ada", "k2"))).texts(conversation) == ["hello"]
        assert (await spared.get("/conversations")).status_code == 200

    async def test_that_ends_while_a_request_is_under_way_hands_out_nothing(
        self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        page = await visitor(indoors, indoors.token("ada"))
        conversation = await page.start("a secret of Ada's")
        reached, gate = asyncio.Event(), asyncio.Event()
        heads_of = indoors.parts.desk.heads_of

        async def held(*arguments: Any) -> Any:
            heads = await heads_of(*arguments)
            reached.set()
            await gate.wait()
            return heads

        monkeypatch.setattr(type(indoors.parts.desk), "heads_of", lambda _, *arguments: held(*arguments))
        asking = asyncio.create_task(page.get("/conversations"))
        await reached.wait()
        await indoors.regenerate("k1")
        gate.set()
        answer = await asking
        assert code(answer) == (401, "key_revoked")
        assert conversation not in answer.text

    async def test_a_node_that_heard_of_nothing_catches_up_and_survivors_never_notice(self, indoors: Indoors) -> None:
        page = await visitor(indoors, indoors.token("bob", "k2"))
        conversation = await page.start()
        parts, before = indoors.parts, indoors.parts.node.trust
        caller = Caller(origin=SHOP, address="203.0.113.9", live=False)
        visit = await admitted_visit(parts, caller, page.token, "policy")
        await indoors.regenerate("k1")
        parts.node.trust = before  # as if it had applied nothing yet
        await visit.say(f.Send(ref=indoors.ref(), conversation=conversation, text="still Bob"))
        assert parts.node.trust.applied > before.applied
        assert await page.texts(conversation) == ["hello", "still Bob"]

    async def test_of_a_blocked_person_is_gone_everywhere(self, indoors: Indoors) -> None:
        page = await visitor(indoors, indoors.token("ada"))
        conversation = await page.start()
        user = UserId((await page.get("/me")).json()["user"])
        project, parts = indoors.project.id, indoors.parts
        partitions = list(await parts.sessions.partitions(project, user))
        await parts.control.mark_person(project, user, partitions, "blocked", str(await indoors.store.now()))
        for answer in (await page.get("/me"), await page.send(conversation, "x")):
            assert code(answer) == (403, "forbidden")


class TestSessions:
    async def test_are_listed_with_the_one_that_asks_first(self, indoors: Indoors) -> None:
        ada = await indoors.visitor(indoors.token("ada"), page="https://shop.example/cart", client="widget/1")
        page = await visitor(indoors, indoors.token("ada"))
        listed = (await page.get("/sessions")).json()["sessions"]
        assert [one["current"] for one in listed] == [True, False]
        assert (listed[1]["session"], listed[1]["page"], listed[1]["client"]) == (
            ada.me["session"], "https://shop.example/cart", "widget/1",
        )  # fmt: skip
        assert "198.51.100." in listed[1]["address_block"]
        assert (await (await visitor(indoors, indoors.token("bob"))).get("/sessions")).json()["sessions"][0]["current"]

    async def test_of_a_chosen_device_are_ended_with_its_tabs_and_no_others(self, indoors: Indoors) -> None:
        stranger = await indoors.visitor()
        lost = await indoors.visitor(indoors.token("ada"), earlier=stranger.me["session_token"])
        also = await indoors.visitor(indoors.token("ada"), earlier=stranger.me["session_token"])
        page = await visitor(indoors, indoors.token("ada"))
        kept = await indoors.visitor(indoors.token("ada"))
        for _ in range(2):
            assert (await page.ask("DELETE", f"/sessions/{lost.me['session']}")).status_code == 204
        assert [await tab.ended() for tab in (lost, also, stranger)] == [4440] * 3
        assert code(await Page(indoors, lost.me["session_token"]).get("/me")) == (401, "signed_out")
        listed = {one["session"] for one in (await page.get("/sessions")).json()["sessions"]}
        assert listed == {kept.me["session"], (await page.get("/me")).json()["session"]}
        await kept.start("still here")

    async def test_of_somebody_else_cannot_be_ended(self, indoors: Indoors) -> None:
        bob = await indoors.visitor(indoors.token("bob"))
        page, stranger = await visitor(indoors, indoors.token("ada")), await visitor(indoors)
        for session in (bob.me["session"], "ses_nobody"):
            assert code(await page.ask("DELETE", f"/sessions/{session}")) == (404, "no_such_session")
        assert code(await stranger.ask("DELETE", f"/sessions/{bob.me['session']}")) == (403, "forbidden")
        await bob.start("untouched")


class TestSignOut:
    @pytest.mark.parametrize("everywhere", [False, True])
    async def test_row_a10_ends_the_session_on_the_socket_too(self, indoors: Indoors, everywhere: bool) -> None:
        page = await visitor(indoors, indoors.token("ada"))
        tab, elsewhere = await indoors.visitor(page.token), await indoors.visitor(indoors.token("ada"))
        conversation = await page.start()
        assert (await page.post("/sign_out", {"everywhere": everywhere})).status_code == 204
        assert await tab.ended() == (4302 if everywhere else 4440)
        refused = (401, "user_revoked" if everywhere else "signed_out")
        for answer in (await page.get("/me"), await page.send(conversation, "x"), await page.post("/sign_out", {})):
            assert code(answer) == refused
        if everywhere:
            assert await elsewhere.ended() == 4302
        else:
            await elsewhere.do("send", conversation=conversation, text="still Ada")

    async def test_row_p17_of_a_stranger_leaves_nothing_that_opens_the_old_chat(self, indoors: Indoors) -> None:
        page = await visitor(indoors)
        conversation = await page.start("mine")
        tab = await indoors.visitor(page.token)
        assert (await page.post("/sign_out", {})).status_code == 204
        assert await tab.ended() == 4440
        assert await indoors.refused(page.token) == 4440
        assert code(await page.get(f"/conversations/{conversation}/messages")) == (401, "signed_out")

    async def test_on_a_socket_is_signed_out_over_http_too(self, indoors: Indoors) -> None:
        tab = await indoors.visitor(indoors.token("ada"))
        page = Page(indoors, tab.me["session_token"])
        assert (await page.get("/me")).status_code == 200
        fresh = await tab.do("sign_out")
        assert code(await page.get("/me")) == (401, "signed_out")
        assert (await Page(indoors, fresh["session_token"]).get("/me")).json()["identity"] == "anonymous"

    async def test_is_possible_from_a_page_that_may_not_come_in_any_more(self, indoors: Indoors) -> None:
        page = await visitor(indoors, indoors.token("ada"))
        await set_policy(indoors, origins=())
        assert code(await page.get("/me")) == (403, "origin_forbidden")
        assert (await page.post("/sign_out", {})).status_code == 204
        await set_policy(indoors, origins=indoors.app.origins)
        assert code(await page.get("/me")) == (401, "signed_out")


class TestRefresh:
    async def test_row_a12_a_fresh_token_goes_on_as_the_same_person(self, indoors: Indoors) -> None:
        before, after = [await exchanged(indoors, indoors.token("ada")) for _ in range(2)]
        assert before["user"] == after["user"]
        assert (await exchanged(indoors, before["session_token"]))["session"] == before["session"]

    async def test_another_person_is_refused_in_band_and_is_another_session_over_http(self, indoors: Indoors) -> None:
        tab = await indoors.visitor(indoors.token("ada"))
        assert (await tab.ask("authenticate", token=indoors.token("bob")))["code"] == "identity_changed"
        page = Page(indoors, tab.me["session_token"])
        bob = await exchanged(indoors, indoors.token("bob"), earlier=page.token)
        assert bob["user"] != tab.me["user"]
        assert (await page.get("/me")).json()["user"] == tab.me["user"]


HOSTILE = [
    b"", b"{", b"[]", b"null", b"\xff\xfe", b'"\\ud800"', b'{"ref":1,"text":2}', b'{"text":"x"}', b"[" * 60_000,
    b'{"ref":"\\u0000","text":"\\u0000"}', b'{"ref":"r","text":"\\ud800"}', b'{"ref":"r","text":""}',
    b"{}" + b" " * 70_000, b'{"seq":1e400,"ref":"r","text":"t"}', b'{"seq":-1}', b'{"seq":"1"}',
]  # fmt: skip
QUERIES = [
    "limit=0", "limit=101", "limit=x", "limit=1&limit=2", "before=1", "before=1,2,zzzzzzzz", "limit=%ff", "limti=5",
    "before=1,2,00000000%0A", "x" * 5_000, "=", "%", "limit=" + "9" * 4_000, "before=" + "9" * 20 + ",1,00000000",
]  # fmt: skip


class TestWhatIsWrong:
    async def test_in_a_body_is_said_and_never_a_mistake_of_ours(self, unhurried: Indoors) -> None:
        page = await visitor(unhurried)
        conversation = await page.start()
        for path in ("", f"/{conversation}/messages", f"/{conversation}/read"):
            for body in HOSTILE:
                answer = await page.post("/conversations" + path, content=body)
                assert answer.status_code in (400, 413), (path, body[:50], answer.text)
                assert answer.headers["content-type"] == "application/json"
                assert answer.json()["error"]["sentence"]

    async def test_in_a_query_is_said(self, unhurried: Indoors) -> None:
        page = await visitor(unhurried)
        conversation = await page.start()
        for query in QUERIES:
            answer = await page.get(f"/conversations/{conversation}/messages?{query}")
            assert code(answer) == (400, "malformed"), query[:50]

    async def test_in_an_address_is_said(self, unhurried: Indoors) -> None:
        page = await visitor(unhurried)
        for name in ("%00", "%ff", "%2e%2e", "a%2Fb", "x" * 65, "a b", "%F0%9F%92%A9"):
            assert code(await page.get(f"/conversations/{name}/messages")) == (400, "malformed"), name

    async def test_in_the_kind_of_body_is_said(self, indoors: Indoors) -> None:
        page = await visitor(indoors)
        body = b'{"ref":"r","text":"t"}'
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"):
            answer = await page.post("/conversations", content=body, headers={"Content-Type": kind})
            assert code(answer) == (415, "not_json")

    async def test_in_a_method_is_said_with_those_that_are_right(self, indoors: Indoors) -> None:
        addresses: dict[str, set[str]] = {}
        for operation in OPERATIONS:
            addresses.setdefault(operation.path, set()).add(operation.method)
        async with indoors.browser() as browser:
            for path, known in addresses.items():
                for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} - known:
                    answer = await browser.request(method, path.replace("{", "").replace("}", ""))
                    assert code(answer) == (405, "method_unknown"), (method, path)
                    assert known <= set(answer.headers["allow"].split(", "))

    async def test_in_a_method_of_the_consoles_is_said_too(self, indoors: Indoors) -> None:
        async with indoors.browser() as browser:
            answer = await browser.get("/v1/agents/login")
        assert (code(answer), answer.headers["allow"]) == ((405, "method_unknown"), "POST")

    async def test_in_the_whole_address_is_said(self, indoors: Indoors) -> None:
        async with indoors.browser() as browser:
            for method in ("GET", "POST", "DELETE"):
                answer = await browser.request(method, "/v1/conversation")
                assert code(answer) == (404, "address_unknown")


async def test_every_answer_is_of_the_shape_that_the_table_says(indoors: Indoors) -> None:
    page = await visitor(indoors, indoors.token("ada"))
    conversation = await page.start()
    for operation in OPERATIONS:
        if operation.method == "GET" and operation.auth == "session":
            answer = await page.get(operation.path.removeprefix("/v1").format(conversation=conversation))
            assert answer.status_code == operation.success
            msgspec.json.decode(answer.content, type=operation.gives)
            assert answer.json().keys() == {field.encode_name for field in msgspec.structs.fields(operation.gives)}
