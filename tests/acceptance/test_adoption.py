"""Keeping the chat from before signing in, by real commands and sockets, on nodes that may die in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.acceptance.client import Client, Ended, Refused
from tests.acceptance.conftest import House
from tests.acceptance.gateway import PATIENCE_S, Gateway
from tests.acceptance.operator import Site

from chatgateway.protocol import frames as f

Build = Callable[..., Awaitable[House]]


async def kinds(house: House, site: Site, conversation: str) -> list[tuple[str, str]]:
    log = await house.operator.history(site, conversation)
    return [(entry.get("kind", "text"), entry["from"]["assurance"]) for entry in log]


async def test_a_chat_that_is_kept_is_the_persons_in_every_browser_and_can_be_given_back(house: House) -> None:
    site = await house.operator.site("Kept")
    await house.operator.agent("Kay", site)
    here, there = house.nodes
    async with (
        await Client.visitor(here, site) as visitor,
        await Client.visitor(there, site, site.token("ada")) as phone,
        await Client.agent(there, "Kay") as agent,
    ):
        begun = await visitor.start("begun as a stranger")
        await agent.open(begun.conversation)
        became = await visitor.authenticate(site.token("ada"))
        assert became.adoptable == [begun.conversation]
        await agent.want(f.Identity, lambda badge: not badge.confirmed)
        kept = await visitor.do("adopt")
        assert isinstance(kept, f.Adoption)
        assert (kept.conversations, kept.user) == ([begun.conversation], became.user)
        # The agent's badge, and the person's other browser on the other node, live.
        badge = await agent.want(f.Identity, lambda one: one.confirmed)
        assert (badge.conversation, badge.user) == (begun.conversation, became.user)
        assert (await phone.want(f.Adoption)).receipt == kept.receipt
        shown = await phone.open(begun.conversation)
        assert [one.kind for one in shown] == ["text", "signed_in", "adopted"]
        await phone.send(begun.conversation, "from the phone")
        await visitor.hears("from the phone")

        undone = await house.operator("user", "unadopt", site.project, kept.receipt)
        assert undone.status == 0, undone
        await phone.want(f.Error, lambda error: error.code == "conversation_unknown")
        assert (await phone.want(f.Adoption)).undone
        assert await phone.conversations() == []
        await visitor.send(begun.conversation, "still mine")
        answer = await visitor.ask("adopt")
        assert (answer.code, answer.retry) == ("adoption_refused", "no")
    assert await kinds(house, site, begun.conversation) == [
        ("text", "anonymous"),
        ("signed_in", "signed"),
        ("adopted", "signed"),
        ("text", "signed"),
        ("unadopted", "agent"),
        ("text", "signed"),
    ]


async def test_a_planted_identity_is_dead_on_every_node_before_the_account_sees_the_chat(house: House) -> None:
    site = await house.operator.site("Planted")
    here, there = house.nodes
    attacker = await Client.visitor(here, site)
    begun = await attacker.start("planted")
    planted = attacker.me.session_token
    lurking = [await Client.visitor(node, site, planted) for node in (here, there)]
    second = await lurking[1].start("and another one")
    async with await Client.visitor(there, site, site.token("victim"), earlier=planted) as victim:
        assert set(victim.me.adoptable) == {begun.conversation, second.conversation}
        assert (await victim.open(begun.conversation))[0].text == "planted"
        kept = await victim.do("adopt")
        for socket in (attacker, *lurking):
            goodbye, code = await socket.ended()
            assert goodbye is not None
            assert (goodbye.code, goodbye.retry, code) == (4101, "start_anew", 4101)
        for conversation in kept.conversations:
            await victim.send(conversation, "my card number")
        for socket in (attacker, *lurking):
            assert "my card number" not in str(socket.unread)
    for node in house.nodes:
        with pytest.raises(Ended):
            await Client.visitor(node, site, planted)
        async with await Client.visitor(node, site, site.token("mallory"), earlier=planted) as mallory:
            assert (mallory.me.adoptable, await mallory.conversations()) == ([], [])
            with pytest.raises(Refused, match="adoption_refused"):
                await mallory.do("adopt")


async def test_an_app_that_carries_over_adopts_unasked_and_says_so(house: House) -> None:
    site = await house.operator.site("Carried", "--adoption", "carry_over")
    async with await Client.visitor(house.nodes[0], site) as visitor:
        begun = await visitor.start("carry me")
        await visitor.authenticate(site.token("ada"))
        told = await visitor.want(f.Adoption)
        assert (told.ref, told.conversations) == ("", [begun.conversation])
        async with await Client.visitor(house.nodes[1], site, site.token("ada")) as phone:
            assert [one.conversation for one in await phone.conversations()] == [begun.conversation]


async def test_a_node_killed_in_the_middle_leaves_each_chat_to_exactly_one_of_the_two(own_house: Build) -> None:
    """Whatever stood decided when the node died is finished by another; what was not, has not happened."""
    house = await own_house()
    site = await house.operator.site("Killed")
    dying, there = house.nodes
    begun: dict[str, tuple[str, str]] = {}
    asking: list[Client] = []
    for number in range(16):
        visitor = await Client.visitor(dying, site)
        conversation = (await visitor.start("hello")).conversation
        begun[f"person{number}"] = (conversation, visitor.me.session_token)
        await visitor.authenticate(site.token(f"person{number}"))
        asking.append(visitor)
    answers = [asyncio.create_task(visitor.ask("adopt")) for visitor in asking]
    await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
    await dying.kill()
    outcomes = await asyncio.gather(*answers, return_exceptions=True)
    kept = [isinstance(one, f.Adoption) for one in outcomes]
    assert any(kept)

    await house.serve()
    for (person, (conversation, stranger)), is_kept in zip(begun.items(), kept, strict=True):
        log = await _decided(there, site, person, conversation, stranger)
        # What was answered has happened, what was not may have; and once.
        assert log.count("adopted") == 1 if log else not is_kept, person
    await asyncio.gather(*(visitor.leave() for visitor in asking), return_exceptions=True)


async def _decided(node: Gateway, site: Site, person: str, conversation: str, stranger: str) -> list[str]:
    """Return what is in the person's chat, [] when it stayed the stranger's: once it is the one or the other."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with await Client.visitor(node, site, site.token(person)) as phone:
                is_theirs = bool(await phone.conversations())
                log = [one.kind for one in await phone.open(conversation)] if is_theirs else []
            try:
                async with await Client.visitor(node, site, stranger):
                    is_alive = True
            except Ended:
                is_alive = False
            assert not (is_theirs and is_alive), "the account sees a chat whose stranger is alive"
            if is_theirs or is_alive:
                return [str(kind) for kind in log]
            await asyncio.sleep(0.1)  # decided, and another node is about to finish it
