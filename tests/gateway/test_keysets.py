"""Signing in by a key that somebody else publishes: found, found late, taken back, out of reach."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from tests.gateway.indoors import SHOP, Indoors
from tests.outside.key_server import KeyServer, Signer, document, key_server

from chatgateway.core.keyring import followed_set
from chatgateway.gateway import keysets
from chatgateway.outside.jwks import KeySets
from chatgateway.store.control import Barrier
from chatgateway.types import KeyId

RECORD = KeyId("key_set")
FIRST, SECOND = Signer("RS256", "2026-01"), Signer("ES256", "2026-02")
HOUR_MS = 3_600_000


class Following:
    """A project that follows a site, and the gateway's clock for it."""

    def __init__(self, indoors: Indoors, site: KeyServer) -> None:
        self.indoors, self.site = indoors, site
        self.ms = 0

    def later(self, ms: int) -> None:
        self.ms += ms

    async def revoke(self) -> Barrier:
        parts, now = self.indoors.parts, await self.indoors.store.now()
        project = self.indoors.project.id
        entry = parts.control.entry("key", project, RECORD, "revoked", now)
        changed = await parts.keyrings.change(project, lambda ring: ring.revoke(RECORD, now), entry)
        assert changed.control is not None
        return await parts.control.withdraw(changed.control)


@pytest.fixture
async def following(indoors: Indoors, tmp_path: Path) -> AsyncIterator[Following]:
    async with key_server(tmp_path, FIRST) as site:
        made = Following(indoors, site)
        sets = KeySets(private_addresses=True, tls=site.trust, now=lambda: made.ms)
        indoors.parts.signers.sets = sets
        key = followed_set(RECORD, site.url, "the shop's provider", await indoors.store.now())
        await indoors.parts.keyrings.change(indoors.project.id, lambda ring: ring.add(key))
        yield made
        sets.close()


class TestFollowedSet:
    async def test_signs_its_people_in_on_the_word_of_its_record(self, indoors: Indoors, following: Following) -> None:
        tab = await indoors.visitor(FIRST.token("ada"))
        assert (tab.me["identity"], tab.me["name"]) == ("signed", "Ada")
        (row,) = (await indoors.rows(tab.me["user"])).values()
        assert row.kid == RECORD
        await tab.start("it works")
        key = (await indoors.parts.keyrings.load(indoors.project.id)).get(RECORD)
        assert key is not None
        assert key.last_used_at

    async def test_is_asked_once_for_many_sign_ins(self, indoors: Indoors, following: Following) -> None:
        tabs = await asyncio.gather(*(indoors.visitor(FIRST.token(f"u{n}")) for n in range(10)))
        assert len({tab.me["user"] for tab in tabs}) == 10
        await indoors.visitor(FIRST.token("ada", kid=None))
        assert len(following.site.heads) == 1

    async def test_stands_beside_the_projects_own_keys_for_the_same_person(
        self, indoors: Indoors, following: Following
    ) -> None:
        by_set = await indoors.visitor(FIRST.token("ada"))
        by_secret = await indoors.visitor(indoors.token("ada"))
        assert by_set.me["user"] == by_secret.me["user"]

    async def test_is_not_asked_for_a_token_that_another_key_signed(
        self, indoors: Indoors, following: Following
    ) -> None:
        await indoors.visitor(indoors.token("ada"))
        assert following.site.heads == []

    async def test_that_nobody_follows_is_not_asked_for(
        self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def asked(*_: Any) -> None:
            raise AssertionError("there is nobody to ask")

        monkeypatch.setattr(keysets, "with_newest", asked)
        assert await indoors.refused(FIRST.token("ada")) == 4401


class TestRotationAtTheSite:
    async def test_is_noticed_by_the_first_token_of_the_new_key(self, indoors: Indoors, following: Following) -> None:
        await indoors.visitor(FIRST.token("ada"))
        following.site.body = document(FIRST, SECOND)
        following.later(30_000)
        assert (await indoors.visitor(SECOND.token("ada"))).me["identity"] == "signed"
        assert len(following.site.heads) == 2

    async def test_also_when_the_new_key_has_the_old_ones_name(self, indoors: Indoors, following: Following) -> None:
        renewed = Signer("RS256", FIRST.kid)
        await indoors.visitor(FIRST.token("ada"))
        following.site.body = document(renewed)
        following.later(30_000)
        assert (await indoors.visitor(renewed.token("ada"))).me["identity"] == "signed"
        assert await indoors.refused(FIRST.token("ada")) == 4401

    async def test_cannot_be_used_to_make_us_ask_again_and_again(self, indoors: Indoors, following: Following) -> None:
        await indoors.visitor(FIRST.token("ada"))
        for n in range(10):
            assert await indoors.refused(SECOND.token("ada", kid=f"guess-{n}")) == 4401
        following.later(30_000)
        for n in range(10):
            assert await indoors.refused(SECOND.token("ada", kid=f"guess-{n}")) == 4401
        assert len(following.site.heads) == 2

    async def test_leaves_the_sessions_of_a_key_that_was_taken_out_to_their_end(
        self, indoors: Indoors, following: Following
    ) -> None:
        tab = await indoors.visitor(FIRST.token("ada"))
        following.site.body = document(SECOND)
        following.later(HOUR_MS)
        assert await indoors.refused(FIRST.token("bob")) == 4401
        await tab.start("still here")
        assert tab.me["expires_at"] - indoors.parts.node.now() <= HOUR_MS


class TestRevokedRecord:
    async def test_ends_its_sessions_and_no_others(self, indoors: Indoors, following: Following) -> None:
        tab, other = await indoors.visitor(FIRST.token("ada")), await indoors.visitor(indoors.token("bob"))
        assert (await following.revoke()).ended == 1
        assert await tab.ended() == 4301
        assert await indoors.refused(FIRST.token("ada")) == 4301
        await other.start("still here")
        assert len(following.site.heads) == 1, "a dead record sends nobody to its site"

    async def test_while_its_site_is_being_asked_lets_nobody_in(self, indoors: Indoors, following: Following) -> None:
        following.site.gate.clear()
        tab = indoors.tab()
        tab.say("hello", ref="h", app=indoors.app.id, token=FIRST.token("ada"))
        await following.site.asked.wait()
        assert (await following.revoke()).complete
        following.site.gate.set()
        assert await tab.ended() == 4301
        await indoors.idle()
        assert await indoors.parts.sessions.of_project(indoors.project.id) == {}


class TestSiteOutOfReach:
    async def test_does_not_make_a_page_throw_its_token_away(self, indoors: Indoors, following: Following) -> None:
        following.site.status = 500
        tab = indoors.tab()
        tab.say("hello", ref="h", app=indoors.app.id, token=FIRST.token("ada"))
        goodbye = await tab.hears("goodbye")
        assert "key set" in goodbye["sentence"]
        assert await tab.ended() == 4000

        stranger = await indoors.visitor()
        answer = await stranger.ask("authenticate", token=FIRST.token("ada"))
        assert (answer["code"], answer["retry"]) == ("keys_unavailable", 30_000)
        await stranger.start("a stranger goes on")

        async with indoors.browser(headers={"Origin": SHOP}) as browser:
            body = {"app": indoors.app.id, "token": FIRST.token("ada")}
            response = await browser.post("/v1/token", json=body)
        assert (response.status_code, response.json()["error"]["code"]) == (503, "keys_unavailable")
        assert len(following.site.heads) == 1

        following.site.status = 200
        following.later(30_000)
        assert (await indoors.visitor(FIRST.token("ada"))).me["identity"] == "signed"

    async def test_keeps_nobody_out_whose_keys_are_known(self, indoors: Indoors, following: Following) -> None:
        tab = await indoors.visitor(FIRST.token("ada"))
        await following.site.down()
        following.later(12 * HOUR_MS)
        await tab.start("still here")
        assert (await indoors.visitor(FIRST.token("bob"))).me["identity"] == "signed"
        assert (await indoors.visitor(indoors.token("eve"))).me["identity"] == "signed"
        await following.site.up()

    async def test_is_no_excuse_for_a_token_that_is_wrong_in_itself(
        self, indoors: Indoors, following: Following
    ) -> None:
        following.site.status = 500
        assert await indoors.refused("not.a.token" * 5) == 4401
        assert await indoors.refused(indoors.token("ada", exp=1_700_000_600, iat=1_700_000_000)) == 4300
        assert await indoors.refused(jwt.encode({"external_id": "ada"}, "x" * 32, "HS256")) == 4401
        assert following.site.heads == [], "no set holds a shared secret"
