"""Who speaks on a live connection: only the project's server makes it somebody, and who signs out is out."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from tests.gateway.indoors import Indoors, Tab, settled

from chatgateway.close_codes import CloseCode
from chatgateway.errors import StoreUnavailable


class TestAuthenticate:
    async def test_takes_nothing_that_the_gateway_itself_minted(self, indoors: Indoors) -> None:
        ada = await indoors.visitor(indoors.token("ada"))
        bob = await indoors.visitor(indoors.token("bob", "k2"))
        stranger = await indoors.visitor()
        ticket = await indoors.parts.agents.issue_ticket(indoors.agent)
        for tab in (ada, stranger):
            for token in (bob.me["session_token"], stranger.me["session_token"], ticket):
                assert (await tab.ask("authenticate", token=token))["code"] == "token_rejected"
        assert [tab.connection.user for tab in (ada, stranger)] == [ada.me["user"], stranger.me["user"]]
        assert list(indoors.parts.roster.agents()) == []
        # Still on the word of her key.
        assert (await indoors.regenerate("k1")).ended == 1
        assert await ada.ended() == 4301

    async def test_with_a_secret_in_place_of_a_token_says_so_and_shows_it_to_nobody(
        self, indoors: Indoors, capsys: pytest.CaptureFixture[str]
    ) -> None:
        secret = indoors._secrets[next(iter(indoors._secrets))]
        answer = await (await indoors.visitor()).ask("authenticate", token=secret)
        assert answer["code"] == "token_rejected"
        assert "regenerate" in answer["sentence"]
        assert secret not in str(answer) + "".join(capsys.readouterr())

    async def test_of_two_tabs_of_one_stranger_lets_both_go_on_in_the_chat(self, indoors: Indoors) -> None:
        one = await indoors.visitor()
        conversation = await one.start()
        two = await indoors.visitor(one.me["session_token"])
        agent = await indoors.colleague()
        for tab in (one, two, agent):
            await tab.open(conversation)
        for tab in (one, two):
            await tab.do("authenticate", token=indoors.token("ada"))
        # Whoever signed in first took it from the other, who may have it back.
        await two.open(conversation)
        for tab, text in ((one, "first tab"), (two, "second tab")):
            await tab.do("send", conversation=conversation, text=text)
        await agent.do("send", conversation=conversation, text="to both")
        for tab in (one, two):
            for text in ("first tab", "second tab", "to both"):
                await tab.hears("message", lambda frame, text=text: frame.get("text") == text)


async def are_out(indoors: Indoors, *tokens: str) -> None:
    """These session tokens open nothing any more."""
    assert [await indoors.refused(token) for token in tokens] == [CloseCode.SIGNED_OUT] * len(tokens)


class TestSignOut:
    async def test_of_a_session_ends_it_in_all_its_tabs_and_spares_the_persons_other_browsers(
        self, indoors: Indoors
    ) -> None:
        ada = await indoors.visitor(indoors.token("ada"))
        conversation = await ada.start()
        tab = await indoors.visitor(ada.me["session_token"])
        elsewhere = await indoors.visitor(indoors.token("ada"))
        nobody = await ada.do("sign_out")
        assert (nobody["identity"], nobody["user"] == ada.me["user"]) == ("anonymous", False)
        assert await tab.ended() == 4440
        await are_out(indoors, ada.me["session_token"])
        assert (await ada.ask("send", conversation=conversation, text="who?"))["code"] == "conversation_unknown"
        await ada.start("a stranger's first words")
        await elsewhere.do("send", conversation=conversation, text="still Ada")

    async def test_takes_the_other_tabs_of_its_browser_with_it(self, indoors: Indoors) -> None:
        stranger = await indoors.visitor()
        anonymous = stranger.me["session_token"]
        one = await indoors.visitor(indoors.token("ada"), earlier=anonymous)
        two = await indoors.visitor(indoors.token("ada"), earlier=anonymous)
        closed = await indoors.visitor(indoors.token("ada"), earlier=anonymous)
        assert len({tab.me["session"] for tab in (one, two, closed)}) == 3
        closed.leave()
        await indoors.rows(one.me["user"])
        await one.do("sign_out")
        assert await two.ended() == 4440
        assert await stranger.ended() == 4440
        # Nor does a tab that is opened again, or the visitor that the browser was before.
        await are_out(indoors, one.me["session_token"], two.me["session_token"], closed.me["session_token"], anonymous)

    async def test_tells_nodes_only_of_sessions_that_have_a_socket(self, indoors: Indoors) -> None:
        stranger = await indoors.visitor()
        anonymous = stranger.me["session_token"]
        ada = await indoors.visitor(indoors.token("ada"), earlier=anonymous)
        async with indoors.browser(headers={"Origin": "https://shop.example"}) as browser:
            body = {"app": indoors.app.id, "token": indoors.token("ada"), "earlier": anonymous}
            granted = [(await browser.post("/v1/token", json=body)).json() for _ in range(5)]
        await ada.do("sign_out")
        assert await indoors.parts.control.versions() == (1, 1)
        await are_out(indoors, *(one["session_token"] for one in granted))

    async def test_everywhere_ends_every_session_and_every_credential_of_the_person(self, indoors: Indoors) -> None:
        strangers = [await indoors.visitor() for _ in range(2)]
        credentials = [tab.me["session_token"] for tab in strangers]
        tabs = [await indoors.visitor(indoors.token("ada"), earlier=held) for held in credentials]
        asks = await indoors.visitor(indoors.token("ada"))
        assert (await asks.do("sign_out", everywhere=True))["identity"] == "anonymous"
        for tab in tabs:
            assert await tab.ended() == 4302
            assert await indoors.refused(tab.me["session_token"]) == 4302
        await are_out(indoors, *credentials)
        # The site may sign her in again.
        assert (await indoors.visitor(indoors.token("ada"))).me["user"] == asks.me["user"]

    async def test_of_a_stranger_kills_the_credential_and_its_other_sockets(self, indoors: Indoors) -> None:
        other_node = await indoors.node()
        one = await indoors.visitor()
        await one.start()
        two = await indoors.visitor(one.me["session_token"])
        three = await indoors.visitor(one.me["session_token"], parts=other_node)
        fresh = await one.do("sign_out")
        assert fresh["user"] != one.me["user"]
        assert [await tab.ended() for tab in (two, three)] == [4440, 4440]
        await are_out(indoors, one.me["session_token"])
        await one.start("somebody else")

    async def test_where_nobody_may_be_a_stranger_ends_the_socket(self, indoors: Indoors) -> None:
        await indoors.parts.projects.update_app(indoors.app.id, lambda app: dataclasses.replace(app, policy="signed"))
        ada = await indoors.visitor(indoors.token("ada"))
        ada.say("sign_out", ref="s")
        assert await ada.ended() == 4440
        await are_out(indoors, ada.me["session_token"])

    async def test_is_possible_on_a_page_that_may_not_come_in_any_more(self, indoors: Indoors) -> None:
        ada = await indoors.visitor(indoors.token("ada"))
        session_token = ada.me["session_token"]
        await indoors.parts.projects.update_app(indoors.app.id, lambda app: dataclasses.replace(app, origins=()))
        ada.say("sign_out", ref="s")
        assert await ada.ended() == 4440
        await indoors.parts.projects.update_app(
            indoors.app.id, lambda app: dataclasses.replace(app, origins=indoors.app.origins)
        )
        await are_out(indoors, session_token)

    async def test_leaves_nothing_of_the_page_that_the_person_had_told(self, indoors: Indoors) -> None:
        ada = await indoors.visitor(indoors.token("ada"))
        await ada.do("context", page="https://shop.example/", facts={"plan": "gold"})
        fresh = await ada.do("sign_out")
        await ada.start()
        assert [row.facts for row in (await indoors.rows(fresh["user"])).values()] == [{}]

    async def test_by_forty_strangers_at_once_costs_neither_lease_nor_log(self, indoors: Indoors) -> None:
        tabs = [await indoors.visitor() for _ in range(40)]
        for tab in tabs:
            tab.say("sign_out", ref="s")
        assert [(await tab.answers("s"))["type"] for tab in tabs] == ["identity"] * 40
        assert indoors.parts.node.may_act
        # Nobody in the store knew them: the control log does not grow by strangers.
        assert await indoors.parts.control.versions() == (0, 0)

    async def test_by_forty_whom_the_store_knows_leaves_room_for_everybody_else(self, indoors: Indoors) -> None:
        tabs = [await indoors.visitor() for _ in range(40)]
        for tab in tabs:
            await tab.start()
        for tab in tabs:
            tab.say("sign_out", ref="s")
        assert await (await indoors.visitor(indoors.token("ada"))).start()
        assert [(await tab.answers("s"))["type"] for tab in tabs] == ["identity"] * 40
        assert await indoors.parts.control.versions() == (40, 40)

    async def test_is_not_what_agents_do(self, indoors: Indoors) -> None:
        agent = await indoors.colleague()
        assert (await agent.ask("sign_out"))["type"] == "error"
        await agent.do("inbox", project=indoors.project.id)


class Held:
    """A sign-out that the store keeps waiting."""

    def __init__(self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.gate = asyncio.Event(), asyncio.Event()
        self.fails = False
        mark = indoors.parts.control.mark_person

        async def held(*arguments: Any, **options: Any) -> None:
            self.reached.set()
            await self.gate.wait()
            if self.fails:
                raise StoreUnavailable("away")
            await mark(*arguments, **options)

        monkeypatch.setattr(indoors.parts.control, "mark_person", held)


@pytest.fixture
def held(indoors: Indoors, monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(indoors, monkeypatch)


class TestSignOutUnderWay:
    async def listening(self, indoors: Indoors) -> tuple[Tab, Tab, str]:
        ada, agent = await indoors.visitor(indoors.token("ada")), await indoors.colleague()
        conversation = await ada.start()
        for tab in (ada, agent):
            await tab.open(conversation)
        return ada, agent, conversation

    async def test_shows_nothing_that_the_dead_key_would_not(self, indoors: Indoors, held: Held) -> None:
        ada, agent, conversation = await self.listening(indoors)
        witness = await indoors.visitor(indoors.token("ada", "k2"))
        await witness.open(conversation)
        ada.say("sign_out", ref="s")
        await held.reached.wait()
        await indoors.regenerate("k1")
        await agent.do("send", conversation=conversation, text="after she was gone")
        await witness.hears("message")
        await settled()
        assert ada.texts == []
        held.gate.set()
        assert (await ada.answers("s"))["identity"] == "anonymous"

    async def test_that_fails_ends_with_the_key_that_died_meanwhile(self, indoors: Indoors, held: Held) -> None:
        ada, _, _ = await self.listening(indoors)
        held.fails = True
        ada.say("sign_out", ref="s")
        await held.reached.wait()
        await indoors.regenerate("k1")
        held.gate.set()
        assert await ada.ended() == 4301
        assert not indoors.parts.roster._people

    async def test_that_fails_leaves_everything_as_it_was(self, indoors: Indoors, held: Held) -> None:
        ada, agent, conversation = await self.listening(indoors)
        held.fails = True
        ada.say("sign_out", ref="s")
        held.gate.set()
        assert (await ada.answers("s"))["code"] == "store_unavailable"
        await agent.do("send", conversation=conversation, text="are you there?")
        await ada.hears("message")
        await ada.do("send", conversation=conversation, text="still Ada")
        assert (await indoors.regenerate("k1")).ended == 1
        assert await ada.ended() == 4301


async def test_many_sessions_are_told_of_a_regeneration_and_others_are_not(indoors: Indoors) -> None:
    doomed = [await indoors.visitor(indoors.token(f"u{n}", "k1")) for n in range(5)]
    spared = [await indoors.visitor(indoors.token("ada", "k2")), await indoors.visitor(), await indoors.colleague()]
    barrier = await indoors.regenerate("k1")
    assert str(barrier) == "1 of 1 nodes confirmed, 5 sessions ended"
    assert [await tab.ended() for tab in doomed] == [4301] * 5
    for tab in spared[:2]:
        await tab.start()
    assert spared[2].socket.closed is None
