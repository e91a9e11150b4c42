"""Signing out ends the sockets of every node whatever fails in between, and is no way to fill the control log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.indoors import Indoors, founded
from tests.gateway.page import Page, code, visitor

from chatgateway.core.limits import Rate
from chatgateway.errors import StoreUnavailable
from chatgateway.gateway import pace
from chatgateway.store import schema
from chatgateway.store.client import Store


def failing_once(monkeypatch: pytest.MonkeyPatch, noun: Any, verb: str) -> None:
    real, failed = getattr(noun, verb), False

    async def call(*arguments: Any, **options: Any) -> Any:
        nonlocal failed
        if not failed:
            failed = True
            raise StoreUnavailable("for a moment")
        return await real(*arguments, **options)

    monkeypatch.setattr(noun, verb, call)


class TestASignOutThatFailedHalfWay:
    """The page asks again, and may be answered that it is out already: then it must be, on every node."""

    @pytest.mark.parametrize("step", ["write", "mark_person", "finish"])
    @pytest.mark.parametrize("who", ["stranger", "browser", "everywhere"])
    async def test_ends_the_sockets_of_other_nodes_yet(
        self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch, who: str, step: str
    ) -> None:
        tab = await indoors.visitor(None if who == "stranger" else indoors.token("ada"), parts=await indoors.node())
        await tab.start()
        page = Page(indoors, tab.me["session_token"])
        failing_once(monkeypatch, indoors.parts.control, step)
        body = {"everywhere": who == "everywhere"}
        assert code(await page.post("/sign_out", body)) == (503, "store_unavailable")
        assert (await page.post("/sign_out", body)).status_code in (204, 401)
        assert await tab.ended() == (4302 if who == "everywhere" else 4440)
        assert (await page.get("/me")).status_code == 401


class TestManySignOutsOfStrangers:
    """Each leaves an entry that is never forgotten, and strangers cost nothing to make."""

    @pytest.fixture
    async def guarded(self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Indoors]:
        """A gateway that lets two of one address go."""
        monkeypatch.setattr(pace, "DEPARTURES", Rate(per_s=0.001, burst=2))
        async with founded(store, tmp_path) as opened:
            yield opened

    async def test_on_one_socket_are_held_back(self, guarded: Indoors) -> None:
        tab = await guarded.visitor()
        for _ in range(2):
            await tab.start()
            await tab.do("sign_out")
        conversation, entries = await tab.start(), await guarded.store.redis.xlen(schema.LOG)
        refused = await tab.ask("sign_out")
        assert refused["code"] == "rate_limited"
        assert refused["retry"] > 0
        assert await guarded.store.redis.xlen(schema.LOG) == entries
        await tab.do("send", conversation=conversation, text="still here")

    async def test_over_http_are_held_back_for_the_address_alone(self, guarded: Indoors) -> None:
        pages = [await visitor(guarded) for _ in range(3)]
        for page in pages:
            await page.start()
        assert [(await page.post("/sign_out", {})).status_code for page in pages[:2]] == [204, 204]
        entries = await guarded.store.redis.xlen(schema.LOG)
        assert code(await pages[2].post("/sign_out", {})) == (429, "rate_limited")
        assert await guarded.store.redis.xlen(schema.LOG) == entries
        pages[2].address = "198.51.100.200"
        assert (await pages[2].post("/sign_out", {})).status_code == 204

    async def test_hold_nobody_back_who_is_signed_in(self, guarded: Indoors) -> None:
        for _ in range(3):
            page = await visitor(guarded, guarded.token("ada"))
            assert (await page.post("/sign_out", {})).status_code == 204
