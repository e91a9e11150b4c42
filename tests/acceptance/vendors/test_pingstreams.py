"""Pingstreams' rows that want a running gateway: S1 to S5, S8, S11, S15; see docs/migrating/pingstreams.md."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT, create_subprocess_exec
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from tests.acceptance.client import Refused
from tests.acceptance.conftest import House
from tests.acceptance.gateway import PATIENCE_S
from tests.acceptance.vendors.conftest import CameFrom
from tests.acceptance.vendors.newcomer import Newcomer

TOKEN_SERVERS = Path(__file__).parents[3] / "docs" / "token-servers"


@pytest.fixture
async def shop(came_from: CameFrom) -> Newcomer:
    return await came_from("pingstreams")


async def test_S1_S2_S3_A1_a_browser_has_an_anonymous_id_that_a_reload_keeps_and_another_browser_does_not(
    house: House, shop: Newcomer
) -> None:
    here, there = house.nodes
    async with await shop.visitor(here) as chrome, await shop.visitor(there) as firefox:
        ids = {chrome.me.user, firefox.me.user}
        assert len(ids) == 2
        assert (chrome.me.identity, chrome.me.name) == ("anonymous", "")
        begun = await chrome.start("psst")
        kept = chrome.me.session_token
    # A reload, on whichever node: what the browser kept is all it takes.
    for node in (here, there):
        async with await shop.visitor(node, kept) as reloaded:
            assert reloaded.me.user == chrome.me.user
            assert [view.conversation for view in await reloaded.conversations()] == [begun.conversation]
    # A cleared cache and a private window have kept nothing.
    async with await shop.visitor(here) as private:
        assert private.me.user not in ids
        assert await private.conversations() == []
        with pytest.raises(Refused, match="conversation_unknown"):
            await private.open(begun.conversation)


async def test_S4_S5_A7_history_is_kept_by_user_and_follows_the_token_to_every_browser(
    house: House, shop: Newcomer
) -> None:
    here, there = house.nodes
    async with await shop.visitor(here, shop.token("S4")) as first:
        begun = [await first.start(text) for text in ("in the first browser", "and another matter")]
    async with await shop.visitor(there, shop.token("S4")) as second:
        assert second.me.user == first.me.user
        home = await second.conversations()
        assert {view.conversation for view in home} == {one.conversation for one in begun}
        assert {view.preview for view in home} == {"in the first browser", "and another matter"}
        assert [message.text for message in await second.open(begun[0].conversation)] == ["in the first browser"]
    async with await shop.visitor(there) as without:
        assert await without.conversations() == []
        with pytest.raises(Refused, match="conversation_unknown"):
            await without.open(begun[0].conversation)


@asynccontextmanager
async def token_server(shop: Newcomer) -> AsyncGenerator[httpx2.AsyncClient]:
    """Run the documentation's token server, as the tutorial's own, on a free port."""
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
        "CHAT_SECRET": shop.site.secret,
        "CHAT_PROJECT": shop.site.project,
        "DEMO_PASSWORD": "correct horse",
        "PORT": "0",
    }
    process = await create_subprocess_exec(
        sys.executable, "server.py", cwd=TOKEN_SERVERS / "python", env=environ, stdout=PIPE, stderr=STDOUT
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            address = (await process.stdout.readline()).decode().strip()
        async with httpx2.AsyncClient(base_url=address, trust_env=False) as server:
            yield server
    finally:
        process.kill()
        await process.communicate()


async def test_S8_S11_the_tutorial_shows_the_same_history_in_every_browser(house: House, shop: Newcomer) -> None:
    """The page posts what the visitor typed to /auth, and gives the widget what it is answered."""
    here, there = house.nodes
    typed = {"email": "ada@shop.example", "password": "correct horse"}
    async with token_server(shop) as server:
        assert (await server.post("/auth", json=typed | {"password": "guessed"})).status_code == 401
        begun = None
        for number, node in enumerate((here, there, here)):
            async with await shop.visitor(node) as browser:
                assert await browser.conversations() == []
                answer = await server.post("/auth", json=typed)
                became = await browser.authenticate(answer.json()["token"])
                assert (became.identity, became.name) == ("signed", "Ada Lovelace")
                if begun is None:
                    begun = await browser.start("test 0")
                shown = await browser.open(begun.conversation)
                assert [message.text for message in shown] == [f"test {one}" for one in range(max(number, 1))]
                if number:
                    await browser.send(begun.conversation, f"test {number}")
