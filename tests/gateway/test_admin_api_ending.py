"""What ends sessions over HTTP: on every node, foretold when asked, and never called done when a node is silent."""

from __future__ import annotations

from typing import Any

import pytest
from tests.gateway.indoors import Indoors, Tab
from tests.gateway.operating import Operator
from tests.gateway.page import code

from chatgateway.core.keyring import is_secret
from chatgateway.errors import StoreUnavailable
from chatgateway.gateway.parts import Parts
from chatgateway.store.control import Control
from chatgateway.store.nodes import Nodes, Report
from chatgateway.types import KeyId, NodeId, UnixMs, Version


@pytest.fixture
async def own(indoors: Indoors) -> Operator:
    return await Operator.of(indoors, indoors.project.id)


@pytest.fixture
async def elsewhere(indoors: Indoors) -> Parts:
    """Another node."""
    return await indoors.node()


async def alive(tab: Tab) -> bool:
    """Can it still say something?"""
    return tab.socket.closed is None and bool(await tab.start("still here"))


class TestRegenerate:
    async def test_ends_what_rests_on_the_old_secret_on_every_node_and_nothing_else(
        self, indoors: Indoors, own: Operator, elsewhere: Parts, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ending = [await indoors.visitor(indoors.token("ada"), parts=parts) for parts in (indoors.parts, elsewhere)]
        spared = [await indoors.visitor(indoors.token("bob", "k2"), parts=elsewhere), await indoors.visitor()]
        foretold = await own.got("POST", "/keys/k1/regenerate?dry_run=true")
        assert (foretold["dry_run"], foretold["sessions_ending"]) == (True, 2)
        assert {one["session"] for one in foretold["sessions"]} == {tab.me["session"] for tab in ending}
        assert all([await alive(tab) for tab in ending])
        answer = await own.there("POST", "/keys/k1/regenerate")
        ended = answer.json()
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert (ended["complete"], ended["nodes_confirmed"], ended["nodes_silent"]) == (True, 2, [])
        assert (ended["sessions_ended"], ended["replaced"]) == (2, "k1")
        assert [await tab.ended() for tab in ending] == [4301, 4301]
        assert all([await alive(tab) for tab in spared])
        ring = await indoors.parts.keyrings.load(indoors.project.id)
        key = ring.get(KeyId(ended["key"]["kid"]))
        assert key is not None
        assert key.secret.reveal().decode() == ended["secret"]
        assert ended["secret"] not in "".join(capsys.readouterr()) + str(await own.audited())
        assert ended["secret"] not in (await own.there("GET", "/keys")).text

    async def test_of_a_dead_or_unknown_key_says_so(self, own: Operator) -> None:
        await own.got("POST", "/keys/k1/revoke")
        assert code(await own.there("POST", "/keys/k1/regenerate")) == (422, "unacceptable")

    async def test_without_dry_run_is_not_a_rehearsal(self, own: Operator) -> None:
        for query in ("dry_run=maybe", "dryrun=true", "dry_run=true&dry_run=false"):
            assert code(await own.there("POST", f"/keys/k1/regenerate?{query}")) == (400, "malformed")
        assert (await own.got("GET", "/keys/k1"))["state"] == "active"


class TestASilentNode:
    @pytest.fixture
    async def ghost(self, indoors: Indoors, monkeypatch: pytest.MonkeyPatch) -> str:
        """A node that holds a lease and applies nothing; nobody waits for it as long as an operator would."""
        report = Report(
            applied=Version(0), sessions=0, ended={}, agents={}, host="h", pid=1, started_at=UnixMs(0), build="0"
        )
        await Nodes(indoors.store).renew(NodeId("ghost"), 600_000, report)
        assert Control.barrier.__kwdefaults__ is not None
        monkeypatch.setitem(Control.barrier.__kwdefaults__, "timeout_s", 0.2)
        return "ghost"

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", "/keys/k1/revoke", None),
            ("POST", "/users/ada/block", None),
            ("POST", "/users/ada/unblock", None),
            ("DELETE", "/users/ada", None),
        ],
    )
    async def test_makes_an_error_of_what_is_done(
        self, indoors: Indoors, own: Operator, ghost: str, method: str, path: str, body: Any
    ) -> None:
        await indoors.visitor(indoors.token("ada"))
        answer = await own.there(method, path, body)
        assert code(answer) == (424, "nodes_silent")
        told = answer.json()
        assert (told["complete"], told["nodes_silent"], told["nodes_confirmed"]) == (False, [ghost], 1)

    async def test_does_not_keep_the_new_secret_from_whoever_asked(
        self, indoors: Indoors, own: Operator, ghost: str
    ) -> None:
        answer = await own.there("POST", "/keys/k1/regenerate")
        assert code(answer) == (424, "nodes_silent")
        assert (answer.json()["complete"], answer.json()["nodes_silent"]) == (False, [ghost])
        ring = await indoors.parts.keyrings.load(indoors.project.id)
        assert ring.keys[0].secret.reveal().decode() == answer.json()["secret"]

    async def test_does_not_keep_it_when_nobody_could_be_told_at_all(
        self, indoors: Indoors, own: Operator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async def unreachable(*_: Any) -> None:
            raise StoreUnavailable("a replica did not acknowledge in time")

        monkeypatch.setattr(Control, "finish", unreachable)
        answer = await own.there("POST", "/keys/k1/regenerate")
        assert code(answer) == (424, "nodes_silent")
        assert is_secret(answer.json()["secret"])
        assert (answer.json()["complete"], answer.json()["nodes_confirmed"]) == (False, 0)
        logged = "".join(capsys.readouterr())
        assert "key.unconfirmed" in logged
        assert answer.json()["secret"] not in logged
        # Where no secret is at stake, the caller is told that nothing is promised.
        assert code(await own.there("POST", "/keys/k2/revoke")) == (503, "store_unavailable")


class TestBlock:
    async def test_ends_all_sessions_of_a_person_on_every_node_and_lets_nobody_of_that_name_in(
        self, indoors: Indoors, own: Operator, elsewhere: Parts
    ) -> None:
        tabs = [await indoors.visitor(indoors.token("ada"), parts=parts) for parts in (indoors.parts, elsewhere)]
        bob = await indoors.visitor(indoors.token("bob"), parts=elsewhere)
        foretold = await own.got("POST", "/users/ada/block?dry_run=true")
        assert (foretold["sessions_ending"], foretold["can_refresh"]) == (2, 0)
        assert all([await alive(tab) for tab in tabs])
        blocked = await own.got("POST", "/users/ada/block")
        assert (blocked["user"], blocked["blocked"], blocked["sessions_ended"]) == (tabs[0].me["user"], True, 2)
        assert (blocked["complete"], blocked["nodes_confirmed"]) == (True, 2)
        assert [await tab.ended() for tab in tabs] == [4403, 4403]
        assert await indoors.refused(indoors.token("ada")) == 4403
        assert await alive(bob)
        assert (await own.got("GET", "/users/ada"))["person"]["blocked"] is True
        unblocked = await own.got("POST", "/users/ada/unblock")
        assert (unblocked["blocked"], unblocked["complete"]) == (False, True)
        assert await alive(await indoors.visitor(indoors.token("ada")))


class TestSessions:
    async def test_are_listed_shown_and_ended_one_by_one(
        self, indoors: Indoors, own: Operator, elsewhere: Parts
    ) -> None:
        one, two = await indoors.visitor(indoors.token("ada")), await indoors.visitor(indoors.token("ada"))
        other = await indoors.visitor(indoors.token("bob", "k2"), parts=elsewhere)
        listed = await own.got("GET", "/sessions")
        assert listed["total"] == 3
        assert (await own.got("GET", "/sessions?limit=1&kid=k1"))["total"] == 2
        by_user = await own.got("GET", f"/sessions?user={other.me['user']}")
        assert [session["node"] for session in by_user["sessions"]] == [elsewhere.node.id]
        path = f"/sessions/{one.me['session']}"
        assert (await own.got("GET", path))["is_live"] is True
        assert (await own.got("DELETE", f"{path}?dry_run=true"))["sessions_ending"] == 1
        assert (await own.got("DELETE", path))["sessions_ended"] == 1
        assert await one.ended() == 4302
        assert await alive(two)
        assert code(await own.there("DELETE", "/sessions/ses_nobodys")) == (404, "not_found")

    async def test_of_another_project_are_not_there(self, indoors: Indoors) -> None:
        theirs = await indoors.parts.projects.create_project("Theirs")
        tab, operator = await indoors.visitor(indoors.token("ada")), await Operator.of(indoors, theirs.id)
        operator.project = theirs.id
        for method in ("GET", "DELETE"):
            assert code(await operator.there(method, f"/sessions/{tab.me['session']}")) == (404, "not_found")
        assert await alive(tab)


class TestErase:
    async def test_is_foretold_and_then_for_ever(self, indoors: Indoors, own: Operator) -> None:
        ada = await indoors.visitor(indoors.token("no-hex@shop"))
        conversation = await ada.start("a secret of Ada's")
        foretold = await own.got("DELETE", "/users/no-hex%40shop?dry_run=true")
        assert (foretold["sessions_ending"], foretold["conversations_deleted"]) == (1, 1)
        assert (await own.got("GET", "/users/no-hex%40shop"))["conversations"] == [conversation]
        erased = await own.got("DELETE", "/users/no-hex%40shop")
        assert (erased["user"], erased["complete"], erased["conversations_deleted"]) == (ada.me["user"], True, 1)
        assert await ada.ended() == 4410
        assert code(await own.there("GET", "/users/no-hex%40shop")) == (404, "user_unknown")
        assert code(await own.there("GET", f"/conversations/{conversation}")) == (404, "conversation_unknown")
        again = await own.got("DELETE", f"/users/{erased['user']}")
        assert (again["complete"], again["conversations_deleted"]) == (True, 0)
        assert "no-hex" not in str(await own.audited())
