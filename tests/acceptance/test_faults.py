"""kill -9 in the middle of sends: nothing acknowledged is lost, nothing is there twice, and all go on by themselves."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.acceptance.client import Client
from tests.acceptance.conftest import House
from tests.acceptance.traffic import Tab, judge, log_of

TABS = 4
WORDS = 24
"""Messages per tab: more than fit into one flight, fewer than the limit of commands at once."""

Build = Callable[..., Awaitable[House]]


@asynccontextmanager
async def tabs(house: House, name: str) -> AsyncIterator[list[Tab]]:
    """Yield people who each have a conversation, spread over the nodes; judge every log against them at the end."""
    site = await house.operator.site(name)
    made: list[Tab] = []
    for number in range(TABS):
        who = f"person-{number}"
        async with await Client.visitor(house.gateways[number % len(house.gateways)], site, site.token(who)) as first:
            begun = await first.start("hello")
        order = house.gateways if number % 2 else house.gateways[::-1]
        made.append(Tab(list(order), site, who, begun.conversation))
    try:
        yield made
        for tab in made:
            await tab.settled()
            log = log_of(await house.operator.history(site, tab.conversation))
            judge(log, tab.acks, entered=tab.acks)
            assert len(log) == 1 + WORDS
            assert tab.shown == log, "what the tab shows is what is stored"
    finally:
        await asyncio.gather(*(tab.close() for tab in made))


async def talk(people: list[Tab]) -> None:
    """Have everybody say something and hear that it is stored, and return while the next words are in flight."""
    for number in range(WORDS // 2):
        for tab in people:
            await tab.enter(f"word {number}")
    for tab in people:
        await tab.settled()
    for number in range(WORDS // 2, WORDS):
        for tab in people:
            await tab.enter(f"word {number}")
    await asyncio.gather(*(tab.flying() for tab in people))


async def test_kill_9_of_a_gateway_loses_nothing_and_repeats_nothing(own_house: Build) -> None:
    house = await own_house(2)
    async with tabs(house, "Gateway") as people:
        await talk(people)
        # The first one is also the parent of the embedded store, which must survive it.
        store = house.place.store_pid
        await house.gateways[0].kill()
        # Those who were on it come back by themselves; the others never noticed.
        await asyncio.gather(*(tab.came_back() for tab in people[1::2]))
        for tab in people:
            await tab.settled()
        assert [tab.returned for tab in people] == [0, 1] * (TABS // 2)
        assert house.place.store_pid == store


async def test_kill_9_of_the_store_is_told_to_everybody_and_heals_by_itself(own_house: Build) -> None:
    house = await own_house(2)
    async with tabs(house, "Store") as people:
        await talk(people)
        store = house.place.store_pid
        os.kill(store, signal.SIGKILL)
        await house.place.another_store(store)
        for tab in people:
            await tab.settled()
        # Nobody had to come back: the sockets outlive a store that returns.
        assert [tab.returned for tab in people] == [0] * TABS


async def test_while_the_store_is_away_sessions_are_told_and_nothing_is_acknowledged(own_house: Build) -> None:
    house = await own_house(1)
    site = await house.operator.site("Away")
    store = house.place.store_pid
    async with await Client.visitor(house.gateways[0], site, site.token("ada")) as ada:
        begun = await ada.start("before")
        os.kill(store, signal.SIGSTOP)
        try:
            refs = [await ada.say("send", conversation=begun.conversation, text=f"lost? {n}") for n in range(3)]
            answers = [await ada.answer(ref) for ref in refs]
            assert {answer.code for answer in answers} == {"store_unavailable"}
            assert all(answer.retry > 0 for answer in answers)
            late = await ada.ask("send", conversation=begun.conversation, text="later")
            assert late.code == "store_unavailable"
        finally:
            os.kill(store, signal.SIGCONT)
        # The same refs again: stored before or not, each is there once.
        acks = {ref: await ada.do("send", ref=ref, conversation=begun.conversation, text="again") for ref in refs}
        judge(log_of(await house.operator.history(site, begun.conversation)), acks, entered=acks, refused=[late.ref])


async def test_kill_9_of_both_gateways_and_the_store_at_once_keeps_what_was_acknowledged(own_house: Build) -> None:
    house = await own_house(2)
    async with tabs(house, "All") as people:
        await talk(people)
        os.kill(house.place.store_pid, signal.SIGKILL)
        await asyncio.gather(*(gateway.kill() for gateway in house.gateways))
        again = await house.serve()
        for tab in people:
            tab.knows(again)
        await asyncio.gather(*(tab.came_back() for tab in people))
