"""Who may operate over HTTP, and where: one token, its projects, and nothing of anybody else's."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from tests.gateway.indoors import Indoors, founded
from tests.gateway.operating import Operator
from tests.gateway.page import Page, code, exchanged

from chatgateway.gateway.api.operation import Operation
from chatgateway.gateway.api.table import OPERATIONS
from chatgateway.store.client import Store
from chatgateway.types import ProjectId

ADMIN = [operation for operation in OPERATIONS if operation.auth == "admin"]
OF_PROJECT = [operation for operation in ADMIN if "{project}" in operation.path]
OF_APP = [operation for operation in ADMIN if "{app}" in operation.path]
EVERYWHERE = [operation for operation in ADMIN if operation.everywhere]

BODIES: dict[str, dict[str, Any]] = {
    "create_project": {"name": "Another"},
    "change_project": {"name": "Renamed"},
    "create_app": {"name": "Another"},
    "change_app": {"name": "Renamed"},
    "add_key": {"kind": "secret"},
    "rename_key": {"name": "Renamed"},
    "create_agent": {"name": "Eve", "projects": ["prj_1"]},
    "set_agent_password": {"password": "another horse"},
    "create_admin": {"name": "Another", "projects": []},
    "upsert_user": {"name": "Ada"},
    "edit_user": {"name": "Ada"},
    "grant_session": {"app": "app_1"},
    "explain_token": {"token": "x"},
    "mint_token": {"external_id": "ada"},
}
"""What each operation takes."""

named = pytest.mark.parametrize("operation", ADMIN, ids=lambda one: one.name)


async def ask(page: Page, operation: Operation, **names: str) -> httpx2.Response:
    """Call an operation with a body that fits it, and names for its placeholders."""
    standing = {"kind": "external_id", **names}
    path = re.sub(r"{(\w+)}", lambda name: standing.get(name[1], "x1"), operation.path).removeprefix("/v1")
    if operation.lines is not None:
        return await page.ask(
            operation.method, path, content=b"{}", headers={**page.headers, "Content-Type": "application/x-ndjson"}
        )
    return await page.ask(operation.method, path, BODIES.get(operation.name))


async def everything(indoors: Indoors) -> bytes:
    """Return all that operators can change, to be compared."""
    parts, project = indoors.parts, indoors.project.id
    ring = await parts.keyrings.load(project)
    seen = [
        await parts.projects.list_projects(),
        await parts.projects.list_apps(),
        [(key.kid, key.state, key.name) for key in ring.keys],
        await parts.agents.list_agents(),
        [(admin.id, admin.revoked) for admin in await parts.admins.list_admins()],
        await parts.identities.list_people(project),
        await parts.audit.entries(project),
        await parts.audit.entries(""),
    ]
    return msgspec.json.encode(seen)


def test_every_body_has_an_example() -> None:
    assert {operation.name for operation in ADMIN if operation.takes is not None} == BODIES.keys()


class TestWhoeverIsNobody:
    @pytest.fixture
    async def strangers(self, indoors: Indoors) -> list[Page]:
        revoked = await Operator.of(indoors, indoors.project.id)
        await indoors.parts.admins.revoke(revoked.admin.id)
        session = await exchanged(indoors, indoors.token("ada"))
        ticket = await indoors.parts.agents.issue_ticket(indoors.agent)
        credentials = [
            revoked.token, session["session_token"], indoors.token("ada"), indoors._secrets["k1"], ticket,
            revoked.token[:-1] + "x", "nonsense", "cga_short",
        ]  # fmt: skip
        pages = [Page(indoors, credential) for credential in credentials]
        nobody = Page(indoors, "", origin=None)
        del nobody.headers["Authorization"]
        basic = Page(indoors, "", origin=None)
        basic.headers["Authorization"] = "Basic Y2dhOg=="
        return [*pages, nobody, basic]

    async def test_is_refused_by_every_operation_with_one_answer_and_changes_nothing(
        self, indoors: Indoors, strangers: list[Page], capsys: pytest.CaptureFixture[str]
    ) -> None:
        before, addresses = await everything(indoors), itertools.count()
        said: set[str] = set()
        for operation in ADMIN:
            for page in strangers:
                page.address = f"192.0.2.{next(addresses) % 250}"
                answer = await ask(page, operation, project=indoors.project.id, app=indoors.app.id, kid="k1")
                assert code(answer) == (401, "admin_rejected"), operation.name
                assert answer.headers["www-authenticate"] == "Bearer"
                assert not page.token or page.token not in answer.text
                if page not in (strangers[0], strangers[3]):  # who bears what was good is told what became of it
                    said.add(answer.text)
        assert len(said) == 1
        assert await everything(indoors) == before
        logged = "".join(capsys.readouterr())
        assert "admin.rejected" in logged
        assert not [page.token for page in strangers if len(page.token) > 8 and page.token in logged]

    async def test_that_brings_a_signing_secret_raises_the_alarm(
        self, indoors: Indoors, strangers: list[Page], capsys: pytest.CaptureFixture[str]
    ) -> None:
        answer = await strangers[3].get("/admin/projects")
        assert "regenerate it now" in answer.json()["error"]["sentence"]
        assert "secret.arrived" in "".join(capsys.readouterr())


class TestATokenOfOneProject:
    @pytest.fixture
    async def other(self, indoors: Indoors) -> Operator:
        """Somebody who is good for another project."""
        theirs = await indoors.parts.projects.create_project("Theirs")
        return await Operator.of(indoors, theirs.id)

    async def test_cannot_tell_another_project_from_one_that_does_not_exist(
        self, indoors: Indoors, other: Operator
    ) -> None:
        before = await everything(indoors)
        for operation in OF_PROJECT:
            foreign = await ask(other, operation, project=indoors.project.id, kid="k1", user="ada")
            unknown = await ask(other, operation, project="prj_nobodys", kid="k1", user="ada")
            assert code(foreign) == (401, "admin_rejected"), operation.name
            assert foreign.text == unknown.text
            assert foreign.headers == unknown.headers
        assert await everything(indoors) == before

    async def test_cannot_tell_another_projects_app_from_one_that_does_not_exist(
        self, indoors: Indoors, other: Operator
    ) -> None:
        before = await everything(indoors)
        for operation in OF_APP:
            foreign, unknown = [await ask(other, operation, app=app) for app in (indoors.app.id, "app_nobodys")]
            assert code(foreign) == (404, "app_unknown"), operation.name
            assert foreign.text == unknown.text
        assert await everything(indoors) == before

    async def test_does_nothing_that_concerns_all_projects(self, indoors: Indoors, other: Operator) -> None:
        before = await everything(indoors)
        for operation in EVERYWHERE:
            for agent in (indoors.agent.id, "agt_nobody"):
                answer = await ask(other, operation, agent=agent, admin=other.admin.id)
                assert code(answer) == (403, "forbidden"), operation.name
        assert await everything(indoors) == before

    async def test_sees_its_own_project_and_of_agents_only_what_concerns_it(
        self, indoors: Indoors, other: Operator
    ) -> None:
        listed = (await other.get("/admin/projects")).json()["projects"]
        (theirs,) = other.admin.projects
        assert [project["project"] for project in listed] == [theirs]
        await indoors.parts.agents.create("Both", projects=(indoors.project.id, theirs))
        (agent,) = (await other.get(f"/admin/projects/{theirs}/agents")).json()["agents"]
        assert (agent["name"], agent["projects"]) == ("Both", [theirs])

    async def test_of_a_revoked_project_token_ends_at_once(self, indoors: Indoors) -> None:
        root, own = await Operator.of(indoors), await Operator.of(indoors, indoors.project.id)
        assert (await own.there("GET", "/keys")).status_code == 200
        answer = await root.ask("DELETE", f"/admin/admins/{own.admin.id}")
        assert answer.json()["complete"] is True
        assert code(await own.there("GET", "/keys")) == (401, "admin_rejected")


async def test_a_verb_that_waits_begins_nothing_once_its_token_is_revoked(
    indoors: Indoors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key set is fetched from a slow site after the token was judged: nobody must vouch for people by it."""
    own, project = await Operator.of(indoors, indoors.project.id), indoors.project.id

    async def and_revoked(_url: str) -> tuple[()]:
        await indoors.parts.admins.revoke(own.admin.id)
        return ()

    monkeypatch.setattr(indoors.parts.signers.sets, "get", and_revoked)
    before = await everything(indoors)
    answer = await own.there("POST", "/keys", {"kind": "jwks", "url": "https://shop.example/jwks.json"})
    assert code(answer) == (401, "admin_rejected")
    assert (await indoors.parts.admins.get(own.admin.id)).revoked
    assert [key.kid for key in (await indoors.parts.keyrings.load(project)).keys] == ["k2", "k1"]
    assert await indoors.parts.audit.entries(project) == []
    assert (await everything(indoors)).replace(b"true", b"false") == before


def test_what_is_for_tokens_of_all_projects_is_what_crosses_their_borders() -> None:
    outside = {operation.name for operation in ADMIN if "{project}" not in operation.path} - {
        operation.name for operation in OF_APP
    }
    assert outside - {operation.name for operation in EVERYWHERE} == {"list_projects"}


class TestPages:
    @named
    async def test_of_other_origins_are_told_nothing(self, indoors: Indoors, operation: Operation) -> None:
        root = await Operator.of(indoors)
        root.headers["Origin"] = "https://shop.example"
        path = operation.path.replace("{", "").replace("}", "").removeprefix("/v1")
        for answer in (await root.ask("OPTIONS", path), await ask(root, operation)):
            assert not [name for name in answer.headers if name.startswith("access-control-")]


class TestRates:
    async def test_a_token_asks_so_often(self, store: Store, tmp_path: Path) -> None:
        async with founded(store, tmp_path, admin_requests_per_s=0.5) as indoors:
            one, other = await Operator.of(indoors), await Operator.of(indoors)
            answers = [await one.get("/admin/projects") for _ in range(3)]
            assert [answer.status_code for answer in answers] == [200, 200, 429]
            assert int(answers[2].headers["retry-after"]) >= 1
            assert (await other.get("/admin/projects")).status_code == 200

    async def test_an_address_fails_so_often_and_does_not_lock_its_neighbours_out(
        self, indoors: Indoors, capsys: pytest.CaptureFixture[str]
    ) -> None:
        good, bad = await Operator.of(indoors), Page(indoors, "cga_guess", address="2001:db8::1")
        seen = [(await bad.get("/admin/projects")).status_code for _ in range(30)]
        assert seen == [401] * 20 + [429] * 10
        assert "".join(capsys.readouterr()).count("admin.rejected") == 20
        bad.address = "2001:db8::2"  # the same subscriber
        answer = await bad.get("/admin/projects")
        assert code(answer) == (429, "rate_limited")
        assert int(answer.headers["retry-after"]) >= 1
        good.address = "2001:db8::3"
        assert (await good.get("/admin/projects")).status_code == 200


async def test_a_project_token_of_an_unknown_project_is_not_made(indoors: Indoors) -> None:
    root = await Operator.of(indoors)
    answer = await root.post("/admin/admins", {"name": "Typo", "projects": ["prj_typo"]})
    assert code(answer) == (404, "not_found")
    assert len(await indoors.parts.admins.list_admins(ProjectId("prj_typo"))) == 1  # root is good for all
