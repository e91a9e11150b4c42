"""Who somebody becomes: a stranger for half a year, a person on a key's word, and nobody on a dead one's."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.indoors import SHOP, Indoors, founded

from chatgateway.core import credential
from chatgateway.store.client import Store
from chatgateway.store.privacy import Privacy
from chatgateway.types import SessionId, UnixMs

DAY_MS = 24 * 3_600_000


def later(indoors: Indoors, monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """Let the node's clock show a later day."""
    now = type(indoors.parts.node).now
    node = indoors.parts.node
    monkeypatch.setattr(node, "now", lambda: UnixMs(now(node) + days * DAY_MS))


class TestStranger:
    async def test_is_the_same_half_a_year_later_with_a_credential_made_anew(
        self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = await indoors.visitor()
        conversation = await first.start("long ago")
        token = first.me["session_token"]
        first.leave()

        later(indoors, monkeypatch, 89)
        tab = await indoors.visitor(token)
        assert (tab.me["user"], tab.me["session_token"]) == (first.me["user"], token)

        later(indoors, monkeypatch, 179)
        tab = await indoors.visitor(token)
        assert tab.me["user"] == first.me["user"]
        assert tab.me["session_token"] != token
        assert abs(tab.me["expires_at"] - indoors.parts.node.now() - 180 * DAY_MS) < 60_000
        await tab.open(conversation)
        renewed = tab.me["session_token"]

        later(indoors, monkeypatch, 200)
        assert await indoors.refused(token) == 4300
        assert (await indoors.visitor(renewed)).me["user"] == first.me["user"]

    async def test_lives_as_long_as_the_setting_says(self, store: Store, tmp_path: Path) -> None:
        async with founded(store, tmp_path, anonymous_days=2) as indoors:
            tab = await indoors.visitor()
            assert abs(tab.me["expires_at"] - await store.now() - 2 * DAY_MS) < 60_000

    async def test_who_signed_out_lives_as_long_too(self, store: Store, tmp_path: Path) -> None:
        async with founded(store, tmp_path, anonymous_days=2) as indoors:
            tab = await indoors.visitor(indoors.token("ada"))
            fresh = await tab.do("sign_out")
            assert abs(fresh["expires_at"] - await store.now() - 2 * DAY_MS) < 60_000

    @pytest.mark.parametrize("days", [0, 89, 91])
    async def test_who_was_erased_is_refused_however_new_their_credential_would_be(
        self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch, days: int
    ) -> None:
        """Past half of its life a credential is made anew: younger than the erasure, and of the same person."""
        project = indoors.project.id
        first = await indoors.visitor()
        await first.start("a canary")
        first.leave()
        await Privacy(indoors.store).erase_person(project, first.me["user"])
        await indoors.parts.projects.update_app(
            indoors.app.id, lambda app: dataclasses.replace(app, policy_reported="signed")
        )
        later(indoors, monkeypatch, days)
        assert await indoors.refused(first.me["session_token"]) == 4410
        assert await indoors.parts.reports.latest(project) == []

    async def test_is_refused_where_everybody_must_sign_in(self, indoors: Indoors) -> None:
        token = (await indoors.visitor()).me["session_token"]
        await indoors.parts.projects.update_app(indoors.app.id, lambda app: dataclasses.replace(app, policy="signed"))
        assert await indoors.refused() == 4403
        assert await indoors.refused(token) == 4403
        assert (await indoors.visitor(indoors.token("ada"))).me["identity"] == "signed"


class TestCustomerToken:
    async def test_of_a_key_that_dies_meanwhile_changes_nobody(
        self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Verified before the verb returned, written after it: the person must not be named by a dead key."""
        reached, gate = asyncio.Event(), asyncio.Event()
        identities: Any = indoors.parts.identities
        write = identities._records.write

        async def held(*arguments: Any) -> Any:
            reached.set()
            await gate.wait()
            return await write(*arguments)

        monkeypatch.setattr(identities._records, "write", held)
        tab = await indoors.visitor()
        tab.say("authenticate", ref="a", token=indoors.token("ada", name="Mallory"))
        await reached.wait()
        assert (await indoors.regenerate("k1")).complete
        gate.set()
        answer = await tab.answers("a")
        assert answer["code"] == "key_revoked"
        assert answer["retry"] >= 1_000
        assert await identities.find_by_external_id(indoors.project.id, "ada") is None

    async def test_of_a_key_that_dies_before_it_is_bound_binds_nobody(
        self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reached, gate = asyncio.Event(), asyncio.Event()
        sessions: Any = indoors.parts.sessions
        bind = sessions.bind

        async def held(*arguments: Any) -> Any:
            reached.set()
            await gate.wait()
            return await bind(*arguments)

        monkeypatch.setattr(sessions, "bind", held)
        tab = indoors.tab()
        tab.say("hello", ref="h", app=indoors.app.id, token=indoors.token("ada"))
        await reached.wait()
        assert (await indoors.regenerate("k1")).complete
        gate.set()
        assert await tab.ended() == 4301
        await indoors.idle()
        assert await sessions.of_project(indoors.project.id) == {}
        assert not indoors.parts.roster._people

    async def test_of_another_person_does_not_make_a_session_theirs(self, indoors: Indoors) -> None:
        ada = await indoors.visitor(indoors.token("ada"))
        assert (await ada.ask("authenticate", token=indoors.token("bob")))["code"] == "identity_changed"
        assert ada.connection.user == ada.me["user"]

    async def test_that_refreshes_a_session_leaves_it_the_chat_from_before_it_signed_in(self, indoors: Indoors) -> None:
        tab = await indoors.visitor()
        conversation = await tab.start()
        await tab.do("context", page="https://shop.example/cart", facts={"plan": "gold"})
        user = (await tab.do("authenticate", token=indoors.token("ada")))["user"]
        held = await indoors.parts.sessions.partitions(indoors.project.id, user)

        refreshed = await tab.do("authenticate", token=indoors.token("ada", "k2"))
        assert refreshed["session"] == tab.connection.session_id
        row = (await indoors.rows(user))[tab.connection.session_id]
        assert (row.kid, row.earlier, row.facts) == ("k2", tab.me["user"], {"plan": "gold"})
        # Whoever blocks the person marks the partition of that chat too.
        assert await indoors.parts.sessions.partitions(indoors.project.id, user) == held
        assert len(held) == 2

        # After a reload it is still theirs.
        again = await indoors.visitor(refreshed["session_token"])
        await again.do("send", conversation=conversation, text="still here")
        again.say("conversations", ref="list")
        assert (await again.hears("conversation"))["conversation"] == conversation


class TestSessionToken:
    async def test_of_a_dead_key_is_refused_whoever_refreshed_the_session_last(self, indoors: Indoors) -> None:
        """One session on two nodes: the older tab's account must not overwrite the key that vouches now."""
        other = await indoors.node()
        old = await indoors.visitor(indoors.token("ada", "k1"))
        new = await indoors.visitor(old.me["session_token"], parts=other)
        refreshed = await new.do("authenticate", token=indoors.token("ada", "k2"))
        old.say("context", ref="c", page="https://shop.example/old", facts={})
        old.leave()
        row = (await indoors.rows(old.me["user"]))[SessionId(old.me["session"])]
        assert (row.kid, row.node, row.closed_at) == ("k2", other.node.id, 0)
        assert (await indoors.regenerate("k2")).complete
        assert await new.ended() == 4301
        assert await indoors.refused(refreshed["session_token"]) == 4301

    async def test_that_is_exchanged_leaves_the_row_of_its_socket_alone(self, indoors: Indoors) -> None:
        tab = await indoors.visitor(indoors.token("ada"))
        before = await indoors.rows(tab.me["user"])
        async with indoors.browser(headers={"Origin": SHOP}) as browser:
            body = {"app": indoors.app.id, "token": tab.me["session_token"]}
            granted = await browser.post("/v1/token", json=body)
            assert granted.json()["session"] == tab.me["session"]
            assert await indoors.rows(tab.me["user"]) == before
            tab.leave()
            (row,) = (await indoors.rows(tab.me["user"])).values()
            assert row.closed_at
            # It is still judged like any other.
            await indoors.regenerate("k1")
            assert (await browser.post("/v1/token", json=body)).json()["error"]["code"] == "key_revoked"

    async def test_that_was_signed_out_is_not_exchanged_either(self, indoors: Indoors) -> None:
        tab = await indoors.visitor(indoors.token("ada"))
        await tab.do("sign_out")
        async with indoors.browser(headers={"Origin": SHOP}) as browser:
            body = {"app": indoors.app.id, "token": tab.me["session_token"]}
            assert (await browser.post("/v1/token", json=body)).json()["error"]["code"] == "signed_out"


class TestRow:
    """A row says that a session is live exactly while it is."""

    async def row(self, indoors: Indoors, user: str, session: str) -> Any:
        return (await indoors.rows(user))[SessionId(session)]

    async def test_is_closed_when_its_person_signs_out(self, indoors: Indoors) -> None:
        tab = await indoors.visitor(indoors.token("ada"))
        await tab.do("sign_out")
        assert (await self.row(indoors, tab.me["user"], tab.me["session"])).closed_at

    async def test_is_closed_when_the_stranger_signs_in(self, indoors: Indoors) -> None:
        tab = await indoors.visitor()
        await tab.start()
        signed = await tab.do("authenticate", token=indoors.token("ada"))
        assert (await self.row(indoors, tab.me["user"], tab.me["session"])).closed_at
        assert not (await self.row(indoors, signed["user"], signed["session"])).closed_at

    async def test_is_closed_when_the_peer_left_while_it_was_written(self, indoors: Indoors) -> None:
        tab = indoors.tab()
        bound = asyncio.Event()
        sessions: Any = indoors.parts.sessions
        bind = sessions.bind

        async def leaves(*arguments: Any) -> Any:
            row = await bind(*arguments)
            tab.leave()
            bound.set()
            return row

        sessions.bind = leaves
        tab.say("hello", ref="h", app=indoors.app.id, token=indoors.token("ada"))
        await bound.wait()
        await indoors.idle()
        (row,) = (await sessions.of_project(indoors.project.id)).values()
        (row,) = (await indoors.rows(row.user)).values()
        assert row.closed_at
        assert not indoors.parts.roster._sessions

    async def test_is_closed_when_the_peer_left_with_its_first_words(
        self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tab = await indoors.visitor()
        sessions: Any = indoors.parts.sessions
        bind = sessions.bind

        async def leaves(*arguments: Any) -> Any:
            row = await bind(*arguments)
            tab.leave()
            return row

        monkeypatch.setattr(sessions, "bind", leaves)
        tab.say("start", ref=indoors.ref(), text="hello?")
        await indoors.idle()
        assert (await self.row(indoors, tab.me["user"], tab.me["session"])).closed_at

    async def test_is_closed_with_the_last_of_its_tabs_whichever_that_is(self, indoors: Indoors) -> None:
        first = await indoors.visitor(indoors.token("ada"))
        second = await indoors.visitor(first.me["session_token"])
        assert second.me["session"] == first.me["session"]
        second.leave()
        assert not (await self.row(indoors, first.me["user"], first.me["session"])).closed_at
        first.leave()
        assert (await self.row(indoors, first.me["user"], first.me["session"])).closed_at

    async def test_of_a_stranger_who_comes_back_is_written_with_the_first_words(self, indoors: Indoors) -> None:
        before = await indoors.visitor()
        conversation = await before.start()
        before.leave()
        tab = await indoors.visitor(before.me["session_token"])
        await tab.do("send", conversation=conversation, text="back")
        row = await self.row(indoors, tab.me["user"], tab.me["session"])
        assert (row.node, row.closed_at) == (indoors.parts.node.id, 0)
        agent = await indoors.colleague()
        (shown,) = (await agent.do("inbox", project=indoors.project.id))["rows"]
        assert shown["visitor"]["online"]


async def test_a_forged_credential_is_refused(indoors: Indoors) -> None:
    tab = await indoors.visitor()
    other = credential.CredentialRing(1, (type(indoors.parts.credential_ring.keys[0])(b"x" * 32),))
    held = credential.read(tab.me["session_token"], indoors.parts.credential_ring, indoors.parts.node.now())
    assert await indoors.refused(credential.mint(held, other)) == 4401
