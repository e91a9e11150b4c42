"""SIGTERM: everybody is told when to come back, and finds the other node."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import httpx2
import pytest
from tests.acceptance.client import Client
from tests.acceptance.conftest import House
from tests.acceptance.gateway import is_running
from websockets.exceptions import InvalidStatus

from chatgateway.protocol import frames as f

Build = Callable[..., Awaitable[House]]


async def test_sigterm_sends_everybody_to_the_other_node_and_the_store_goes_with_the_last(own_house: Build) -> None:
    house = await own_house(2)
    site = await house.operator.site("Drain")
    await house.operator.agent("Dora", site)
    leaving, staying = house.nodes
    store = house.place.store_pid
    people = [await Client.visitor(leaving, site, site.token(f"p{number}")) for number in range(4)]
    people.append(await Client.visitor(leaving, site))
    begun = {client: await client.start("hi") for client in people}
    agent = await Client.agent(leaving, "Dora")
    silent = await Client.connect(leaving)
    other = await Client.visitor(staying, site)
    chat = await other.start("undisturbed")

    leaving.signal(signal.SIGTERM)
    for client in (*people, agent, silent):
        goodbye, code = await client.ended()
        assert goodbye is not None
        assert (goodbye.code, goodbye.reason, goodbye.retry, code) == (4200, "draining", "resume", 4200)
        assert 0 <= goodbye.after_ms <= 20_000
    assert await leaving.stop() == 0
    with pytest.raises(OSError, match="Connect call failed"):
        await Client.connect(leaving)

    assert is_running(store)
    assert house.place.store_pid == store
    await other.send(chat.conversation, "still undisturbed")
    for client, first in begun.items():
        resume = {first.conversation: (first.at, first.seq, first.link)}
        async with await Client.visitor(staying, site, client.me.session_token, resume=resume) as back:
            assert back.me.user == client.me.user
            assert (await back.send(first.conversation, "and on")).seq == 2
            assert (await back.shows(first.conversation, 2)).text == "and on"
    await other.leave()
    assert await staying.stop() == 0
    assert not is_running(store)


async def test_a_draining_node_tells_its_balancer_and_lets_nobody_in(own_house: Build) -> None:
    house = await own_house(1)
    site = await house.operator.site("Full")
    (gateway,) = house.gateways
    # A peer that does not answer our close frame keeps the drain open for a moment.
    clinging = await Client.visitor(gateway, site)
    async with httpx2.AsyncClient(base_url=gateway.url, trust_env=False) as browser:
        ready = await browser.get("/readyz")
        assert (ready.status_code, ready.json()["faults"]) == (200, [])
        clinging.cling()
        gateway.signal(signal.SIGTERM)
        await clinging.want(f.Goodbye)
        ready = await browser.get("/readyz")
        assert (ready.status_code, ready.json()["faults"]) == (503, ["draining"])
        assert (await browser.get("/healthz")).status_code == 200
        with pytest.raises(InvalidStatus, match="503"):
            await Client.connect(gateway)
    await clinging.drop()
    assert await gateway.stop() == 0


async def test_a_second_sigterm_does_not_wait_for_anybody(own_house: Build) -> None:
    house = await own_house(1)
    site = await house.operator.site("Hurry")
    (gateway,) = house.gateways
    store = house.place.store_pid
    clinging = await Client.visitor(gateway, site)
    clinging.cling()
    gateway.signal(signal.SIGTERM)
    await clinging.want(f.Goodbye)
    async with asyncio.timeout(4):
        assert await gateway.stop() == 0
    assert not is_running(store)
    await clinging.drop()
