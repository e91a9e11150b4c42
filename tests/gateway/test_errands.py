"""What sessions order is carried out in order, on behalf of the living, and seen by those whom it concerns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.gateway.indoors import Indoors, settled

from chatgateway.errors import StoreUnavailable
from chatgateway.gateway.desk import GATHER_MS


class TestLeaving:
    async def test_right_after_opening_leaves(self, indoors: Indoors) -> None:
        tab, other = await indoors.visitor(), await indoors.colleague()
        conversation = await tab.start()
        tab.say("open", ref="open", conversation=conversation)
        tab.say("leave", ref="leave", conversation=conversation)
        for ref in ("leave", "open"):
            assert (await tab.answers(ref))["type"] == "ack"
        await other.open(conversation)
        await other.do("send", conversation=conversation, text="nobody listens")
        await other.hears("message")
        await settled()
        assert tab.texts == []
        assert tab.connection not in indoors.parts.fanout._hubs[conversation].members  # type: ignore[index]
        # What waits behind it is not held up, and it may be opened again.
        await tab.do("authenticate", token=indoors.token("ada"))
        await tab.open(conversation)

    async def test_while_it_is_read_leaves(self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch) -> None:
        tab = await indoors.visitor()
        conversation = await tab.start()
        read, gate = indoors.parts.fanout._read, asyncio.Event()
        reached = asyncio.Event()

        async def held(*arguments: Any) -> Any:
            page = await read(*arguments)
            reached.set()
            await gate.wait()
            return page

        monkeypatch.setattr(indoors.parts.fanout, "_read", held)
        tab.say("open", ref="open", conversation=conversation)
        await reached.wait()
        await tab.do("leave", conversation=conversation)
        gate.set()
        await tab.answers("open")
        assert not tab.connection.followed
        assert not indoors.parts.fanout._hubs[conversation].members  # type: ignore[index]

    async def test_and_opening_again_follows(self, indoors: Indoors) -> None:
        tab, other = await indoors.visitor(), await indoors.colleague()
        conversation = await tab.start()
        for kind in ("open", "leave", "open"):
            tab.say(kind, ref=kind, conversation=conversation)
        await tab.hears("reset")
        await other.open(conversation)
        await other.do("send", conversation=conversation, text="heard")
        await tab.hears("message")

    async def test_for_good_while_the_card_is_read_leaves_nothing_behind(
        self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        conversation = await (await indoors.visitor()).start()
        agent = await indoors.colleague()
        card = indoors.parts.desk.card

        async def leaves(head: Any) -> Any:
            agent.leave()
            return await card(head)

        monkeypatch.setattr(indoors.parts.desk, "card", leaves)
        agent.say("open", ref="open", conversation=conversation)
        await agent.ended()
        await indoors.idle()
        hub = indoors.parts.fanout._hubs[conversation]  # type: ignore[index]
        assert (len(hub.members), hub.joining) == (0, 0)

    async def test_is_what_an_agent_does_whose_channel_cannot_be_heard(
        self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        conversation = await (await indoors.visitor()).start()
        agent = await indoors.colleague()

        async def deaf(*_: Any) -> None:
            raise StoreUnavailable("deaf")

        monkeypatch.setattr(indoors.parts.fanout, "_hear_agents", deaf)
        assert (await agent.ask("open", conversation=conversation))["code"] == "store_unavailable"
        assert not indoors.parts.fanout._hubs[conversation].members  # type: ignore[index]
        assert not agent.connection.followed


class TestContext:
    async def card(self, indoors: Indoors, conversation: str) -> dict[str, Any]:
        agent = await indoors.colleague()
        await agent.open(conversation)
        return (await agent.hears("conversation"))["visitor"]

    async def test_that_was_told_before_the_first_words_reaches_agents(self, indoors: Indoors) -> None:
        tab = await indoors.visitor()
        await tab.do("context", page="https://shop.example/cart", facts={"plan": "gold"})
        card = await self.card(indoors, await tab.start())
        assert (card["page"], card["facts"]) == ("https://shop.example/cart", {"plan": "gold"})

    async def test_that_changes_reaches_agents_who_watch_the_inbox(self, indoors: Indoors) -> None:
        tab, agent = await indoors.visitor(), await indoors.colleague()
        await tab.open(await tab.start())
        await agent.do("inbox", project=indoors.project.id)
        await tab.do("context", page="https://shop.example/pay", facts={"cart": "3"})
        row = await agent.hears(
            "inbox", lambda page: any(row["visitor"].get("page", "").endswith("/pay") for row in page["rows"])
        )
        assert row["rows"][0]["visitor"]["facts"] == {"cart": "3"}

    async def test_survives_a_sign_in(self, indoors: Indoors) -> None:
        tab = await indoors.visitor()
        await tab.do("context", page="https://shop.example/cart", facts={"plan": "gold"})
        conversation = await tab.start()
        await tab.do("authenticate", token=indoors.token("ada"))
        card = await self.card(indoors, conversation)
        assert (card["assurance"], card["facts"]) == ("signed", {"plan": "gold"})


class TestAssigning:
    async def test_is_to_those_who_answer_for_the_project(self, indoors: Indoors) -> None:
        conversation = await (await indoors.visitor()).start()
        agent = await indoors.colleague()
        await agent.open(conversation)
        agents = indoors.parts.agents
        elsewhere = await agents.create("Elsewhere", projects=())
        for nobody in ("agt_nobody", elsewhere.id):
            assert (await agent.ask("assign", conversation=conversation, agent=nobody))["code"] == "forbidden"
        await agent.do("assign", conversation=conversation, agent=indoors.agent.id)
        entry = await agent.hears("message", lambda frame: frame.get("kind") == "assigned")
        assert entry["subject"] == indoors.agent.id


class TestReading:
    async def test_up_to_more_than_there_is_reads_what_there_is(self, indoors: Indoors) -> None:
        tab, agent = await indoors.visitor(), await indoors.colleague()
        conversation = await tab.start()
        for listener in (tab, agent):
            await listener.open(conversation)
        await tab.do("read", conversation=conversation, seq=2**53 - 1)
        assert (await agent.hears("read"))["seq"] == 1

    async def test_back_from_the_very_beginning_is_an_empty_page(self, indoors: Indoors) -> None:
        tab = await indoors.visitor()
        conversation = await tab.start()
        page = await tab.do("history", conversation=conversation, before=[0, 0, "00000000"])
        assert (page["type"], page["messages"], page.get("more", False)) == ("replay", [], False)


class TestWithdrawnTrust:
    async def test_while_the_store_answers_leaves_no_command_behind(
        self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tab = await indoors.visitor(indoors.token("ada"))
        conversation = await tab.start("hers")
        kind: Any = type(indoors.parts.conversations)
        call, waiting = kind.open, []

        def held(self: Any, acting: Any, name: Any, done: Any, **options: Any) -> None:
            call(self, acting, name, lambda reply: waiting.append((done, reply)), **options)

        monkeypatch.setattr(kind, "open", held)
        for n in range(5):
            tab.say("history", ref=f"h{n}", conversation=conversation, before=[2**50, 1, "00000000"])
        while len(waiting) < 5:
            await asyncio.sleep(0)
        await indoors.regenerate("k1")
        assert await tab.ended() == 4301
        for done, reply in waiting:
            done(reply)
        await indoors.idle()
        assert [frame for frame in tab.unread if frame["type"] == "replay"] == []

    async def test_that_only_the_store_knows_of_ends_the_session(self, indoors: Indoors) -> None:
        """A mark stands in the partition before any node has heard of it."""
        tab = await indoors.visitor(indoors.token("ada"))
        conversation = await tab.start()
        user: Any = tab.me["user"]
        partitions = list(await indoors.parts.sessions.partitions(indoors.project.id, user))
        await indoors.parts.control.mark_person(indoors.project.id, user, partitions, "blocked", "1")
        tab.say("send", ref=indoors.ref(), conversation=conversation, text="blocked, but writing")
        assert await tab.ended() == 4403

    async def test_reaches_the_chat_from_before_they_signed_in(self, indoors: Indoors) -> None:
        tab = await indoors.visitor()
        conversation = await tab.start()
        user: Any = (await tab.do("authenticate", token=indoors.token("ada")))["user"]
        await tab.do("authenticate", token=indoors.token("ada"))
        partitions = list(await indoors.parts.sessions.partitions(indoors.project.id, user))
        await indoors.parts.control.mark_person(indoors.project.id, user, partitions, "blocked", "1")
        tab.say("send", ref=indoors.ref(), conversation=conversation, text="blocked, but writing")
        assert await tab.ended() == 4403


async def test_an_inbox_that_was_asked_for_with_the_last_breath_is_not_watched(indoors: Indoors) -> None:
    agent = await indoors.colleague()
    agent.say("inbox", ref="inbox", project=indoors.project.id)
    agent.leave()
    await indoors.idle()
    assert not indoors.parts.desk._watches


async def test_an_inbox_that_changed_while_there_was_no_lease_is_read_again(indoors: Indoors) -> None:
    other = await indoors.node()
    agent = await indoors.colleague()
    await agent.do("inbox", project=indoors.project.id)
    indoors.parts.node.refuse("not fit")
    conversation = await (await indoors.visitor(parts=other)).start()
    watch = indoors.parts.desk._watches[indoors.project.id]
    async with asyncio.timeout(10):
        while not watch.scheduled:
            await asyncio.sleep(0.001)
        while watch.scheduled:
            await asyncio.sleep(GATHER_MS / 10_000)
    await indoors.idle()
    assert [frame for frame in agent.unread if frame["type"] == "inbox"] == []
    indoors.parts.node.refuse("")
    assert (await agent.hears("inbox"))["more"]
    (row,) = (await agent.do("inbox", project=indoors.project.id))["rows"]
    assert row["conversation"] == conversation
