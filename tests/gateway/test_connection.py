"""What a connection adds to its session: nothing is taken or handed out without lease and trust, floods end it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from tests.gateway.indoors import SHOP, FakeSocket, Indoors, Tab, settled

from chatgateway.close_codes import CloseCode
from chatgateway.core.effects import Ended
from chatgateway.errors import StoreUnavailable
from chatgateway.gateway.live import live_endpoint
from chatgateway.gateway.outbox import Event
from chatgateway.gateway.websocket import LIVE_EXTENSION


def slow(monkeypatch: pytest.MonkeyPatch, indoors: Indoors, name: str, meanwhile: Callable[[], None]) -> None:
    """Let something happen between the store's answer to a read and its being heard."""
    kind: Any = type(indoors.parts.conversations)
    call = getattr(kind, name)

    def patched(self: Any, *arguments: Any, **options: Any) -> None:
        *rest, done = arguments

        def heard(reply: Any) -> None:
            meanwhile()
            done(reply)

        call(self, *rest, heard, **options)

    monkeypatch.setattr(kind, name, patched)


class TestWithoutALease:
    def over(self, indoors: Indoors) -> Callable[[], None]:
        def end() -> None:
            indoors.parts.node._valid_until = 0.0

        return end

    @pytest.fixture(autouse=True)
    def cut(self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch) -> None:
        """No renewal comes by itself."""
        self.renew = indoors.parts.node._renew

        async def cut() -> None:
            raise StoreUnavailable("cut")

        monkeypatch.setattr(indoors.parts.node, "_renew", cut)

    async def test_commands_are_refused_and_heartbeats_are_heard(self, indoors: Indoors) -> None:
        tab = await indoors.visitor()
        self.over(indoors)()
        answer = await tab.ask("start", text="hello?")
        assert (answer["code"], answer["retry"]) == ("store_unavailable", 1_000)
        tab.say("heartbeat")
        await settled()
        assert tab.unread == []
        await self.renew()
        await tab.start("hello again")

    async def test_nobody_comes_in(self, indoors: Indoors) -> None:
        self.over(indoors)()
        assert await indoors.refused() == 4006

    async def test_what_the_store_answers_late_is_not_handed_out(
        self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tab = await indoors.visitor()
        conversation = await tab.start("private")
        slow(monkeypatch, indoors, "head", self.over(indoors))
        answer = await tab.ask("conversations")
        assert answer["code"] == "store_unavailable"
        await self.renew()
        kind: Any = type(indoors.parts.conversations)
        call = kind.open

        def late(self_: Any, acting: Any, name: Any, done: Any, **options: Any) -> None:
            def heard(reply: Any) -> None:
                self.over(indoors)()
                done(reply)

            call(self_, acting, name, heard, **options)

        monkeypatch.setattr(kind, "open", late)
        answer = await tab.ask("history", conversation=conversation, before=[2**50, 1, "00000000"])
        assert answer["code"] == "store_unavailable"

    async def test_agents_are_shown_no_notes(self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch) -> None:
        conversation = await (await indoors.visitor()).start()
        agent = await indoors.colleague()
        await agent.open(conversation)
        await agent.do("note", conversation=conversation, text="between us")
        await agent.hears("note")
        slow(monkeypatch, indoors, "notes", self.over(indoors))
        asked = asyncio.Event()
        hub = indoors.parts.fanout._hubs[conversation]  # type: ignore[index]
        show = type(hub).show_notes

        def shown(*arguments: Any) -> None:
            show(*arguments)
            asked.set()

        monkeypatch.setattr(type(hub), "show_notes", shown)
        agent.say("open", ref="again", conversation=conversation)
        await asked.wait()
        await settled()
        assert [frame for frame in agent.unread if frame["type"] == "note"] == []
        # With the lease they come back.
        monkeypatch.undo()
        await self.renew()
        await agent.hears("note")


class TestFlood:
    async def test_of_heartbeats_ends_as_abusive(self, indoors: Indoors) -> None:
        tab = await indoors.visitor()
        for _ in range(1_000):
            tab.say("heartbeat")
        assert await tab.ended() == 4429

    async def test_of_typing_ends_as_abusive(self, indoors: Indoors) -> None:
        tab = await indoors.visitor()
        conversation = await tab.start()
        await tab.open(conversation)
        for _ in range(1_000):
            tab.say("typing", conversation=conversation, on=True)
        assert await tab.ended() == 4429

    async def test_that_the_peer_does_not_take_cuts_it_off_and_nobody_else(self, indoors: Indoors) -> None:
        stuck, other = await indoors.visitor(), await indoors.visitor()
        stuck.socket.is_stuck = True
        for tab in (stuck, other):
            for _ in range(257):
                tab.connection.deliver(Event(b'{"type":"beat","now":1}'))
        assert await stuck.ended() == 4003
        await other.start()


class TestMisspoken:
    async def test_is_answered_under_the_ref_that_could_be_read(self, indoors: Indoors) -> None:
        tab = await indoors.visitor()
        assert (await tab.ask("nonsense", ref="one"))["code"] == "malformed"
        assert (await tab.ask("send", ref="two", conversation="c", text=5))["code"] == "malformed"

    async def test_by_a_stranger_ends_it(self, indoors: Indoors) -> None:
        tab = indoors.tab()
        tab.say("send", conversation="c", text="hello?")
        assert await tab.ended() == 4400

    async def test_hello_of_too_many_bytes_ends_it(self, indoors: Indoors) -> None:
        assert await indoors.refused(page="x" * 20_000) == 4413


class TestDoor:
    """From the upgrade to the first frame."""

    async def knock(self, indoors: Indoors, address: str = "192.0.2.9", *offered: str) -> FakeSocket:
        socket = FakeSocket(address)
        self.accepted: list[str | None] = []

        async def accept(subprotocol: str | None) -> None:
            self.accepted.append(subprotocol)

        websocket: Any = SimpleNamespace(
            app=SimpleNamespace(state=SimpleNamespace(parts=indoors.parts)),
            client=SimpleNamespace(host=address),
            headers={"origin": SHOP},
            scope={"subprotocols": list(offered), "extensions": {LIVE_EXTENSION: socket}},
            accept=accept,
        )
        await live_endpoint(websocket)
        return socket

    async def test_tells_the_65th_of_one_address_why_and_closes(self, indoors: Indoors) -> None:
        sockets = [await self.knock(indoors) for _ in range(65)]
        assert [socket.closed for socket in sockets] == [None] * 64 + [4409]
        assert [frame["code"] for frame in sockets[-1].frames] == [4409]
        await settled()
        assert len(indoors.parts.roster.connections) == 64

    async def test_takes_a_token_that_came_as_a_sub_protocol(self, indoors: Indoors) -> None:
        token = base64.urlsafe_b64encode(indoors.token("ada").encode()).decode().rstrip("=")
        socket = await self.knock(indoors, "192.0.2.9", "chatgateway.v1.json", f"bearer.{token}")
        assert self.accepted == ["chatgateway.v1.json"]
        hello = {"type": "hello", "ref": "h", "app": indoors.app.id}
        socket._listener.on_text(json.dumps(hello).encode())
        while not socket.frames:
            await socket.changed.wait()
        assert socket.frames[0]["identity"] == "signed"

    async def test_says_that_the_version_is_unknown_in_words_that_a_page_can_read(self, indoors: Indoors) -> None:
        socket = await self.knock(indoors, "192.0.2.9", "chatgateway.v9.json")
        assert self.accepted == ["chatgateway.v9.json"]
        assert [frame["reason"] for frame in socket.frames] == ["version"]
        await settled()
        assert not indoors.parts.doors._counted


class TestEnd:
    async def test_is_heard_once_and_leaves_nothing_behind(self, indoors: Indoors) -> None:
        tabs = [await indoors.visitor(), await indoors.visitor(indoors.token("ada")), await indoors.colleague()]
        conversation = await tabs[0].start()
        for tab in (tabs[0], tabs[2]):
            await tab.open(conversation)
        await tabs[2].do("inbox", project=indoors.project.id)
        for tab in tabs[:2]:
            tab.connection.hear(Ended(CloseCode.INTERNAL))
            tab.connection.hear(Ended(CloseCode.INTERNAL))
            assert [frame["type"] for frame in tab.unread].count("goodbye") == 1
            assert await tab.ended() == 4000
        tabs[2].leave()
        roster, parts = indoors.parts.roster, indoors.parts
        left = (roster.connections, roster._people, roster._sessions, roster._agents, parts.desk._watches)
        assert [len(index) for index in left] == [0] * 5
        assert not parts.fanout._hubs[conversation].members  # type: ignore[index]
        assert not parts.doors._counted

    async def test_too_many_of_one_address_are_told_so_and_closed(self, indoors: Indoors) -> None:
        tabs = [indoors.tab(address="192.0.2.9") for _ in range(65)]
        assert await tabs[-1].ended() == 4409
        assert [frame["code"] for frame in tabs[-1].unread] == [4409]
        assert tabs[0].socket.closed is None


async def test_a_tab_that_was_cut_off_shows_it(indoors: Indoors) -> None:
    tab: Tab = await indoors.visitor()
    assert "anonymous" in repr(tab.connection)
