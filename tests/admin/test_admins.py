"""Admin tokens as an operator handles them: for whom they are good, and what ends with them."""

from __future__ import annotations

import pytest
from tests.admin.conftest import Notebook, recorded
from tests.gateway.indoors import Indoors

from chatgateway.admin import admins, apps, projects
from chatgateway.admin.apps import AppChange
from chatgateway.admin.office import Office
from chatgateway.core.admin import AdminRecord
from chatgateway.core.project import Project
from chatgateway.errors import AdminRejected, AppUnknown, NotFound, Unacceptable
from chatgateway.store.nodes import Nodes, Report
from chatgateway.store.sessions import SessionRow
from chatgateway.types import AdminId, AppId, NodeId, ProjectId, SessionId, UnixMs, Version


async def granted_session(office: Office, project: ProjectId, admin: AdminRecord, node: NodeId) -> SessionId:
    """Bind a session as a grant does, on a node that is said to live."""
    session = SessionId("ses_granted")
    row = SessionRow(project=project, user="usr_ada", kid=admin.kid, assurance="signed", node=node)
    await office.sessions.bind(session, row, Version(0), UnixMs(0))
    return session


class TestCreate:
    async def test_shows_the_token_once(self, office: Office, shop: Project) -> None:
        made = await admins.create(office, "server", (shop.id,))
        assert (await office.admins.find(made.token)).id == made.admin.id
        assert made.token not in repr(made)
        assert await recorded(office, shop.id) == [
            *(await recorded(office, shop.id))[:-2],
            ("admin create", "intent", "server", ""),
            ("admin create", "result", "server", made.admin.id),
        ]

    async def test_for_all_projects_is_in_the_gateways_own_chain(self, office: Office) -> None:
        made = await admins.create(office, "console")
        assert made.admin.everywhere
        assert ("admin create", "result", "console", made.admin.id) in await recorded(office)

    async def test_for_an_unknown_project_or_without_a_name_makes_nothing(self, office: Office, shop: Project) -> None:
        with pytest.raises(NotFound):
            await admins.create(office, "server", (shop.id, ProjectId("prj_none")))
        with pytest.raises(Unacceptable, match="name"):
            await admins.create(office, "", (shop.id,))
        assert await office.admins.list_admins() == []


class TestScope:
    async def test_answers_alike_for_a_foreign_project_and_for_none(self, office: Office, shop: Project) -> None:
        other = (await projects.create(office, "Other")).project
        admin = (await admins.create(office, "server", (shop.id,))).admin
        assert await admins.project_of(office, admin, shop.id) == shop
        refused: list[str] = []
        for project in (other.id, ProjectId("prj_none")):
            with pytest.raises(NotFound) as error:
                await admins.project_of(office, admin, project)
            refused.append(str(error.value).replace(project, "it"))
        assert refused == ["project it", "project it"]

    async def test_covers_the_apps_of_its_projects_alone(self, office: Office, shop: Project) -> None:
        other = (await projects.create(office, "Other")).project
        ours, foreign = [await apps.create(office, one.id, AppChange(name="Site")) for one in (shop, other)]
        admin = (await admins.create(office, "server", (shop.id,))).admin
        assert await admins.app_of(office, admin, ours.id) == ours
        for app in (foreign.id, AppId("app_none")):
            with pytest.raises(AppUnknown):
                await admins.app_of(office, admin, app)

    async def test_of_a_token_for_all_covers_what_comes_later(self, office: Office) -> None:
        admin = (await admins.create(office, "console")).admin
        later = (await projects.create(office, "Later")).project
        assert await admins.project_of(office, admin, later.id) == later
        with pytest.raises(NotFound):
            await admins.project_of(office, admin, ProjectId("prj_none"))


class TestRevoke:
    async def test_ends_the_token_and_is_remembered(self, office: Office, shop: Project, notebook: Notebook) -> None:
        made = await admins.create(office, "server", (shop.id,))
        revoked = await admins.revoke(office, made.admin.id)
        assert revoked.admin.revoked
        assert revoked.barrier is not None
        assert revoked.barrier.complete
        with pytest.raises(AdminRejected):
            await office.admins.find(made.token)
        (entry,) = notebook
        assert (entry.kind, entry.project, entry.subject) == ("key", shop.id, made.admin.id)
        assert (await recorded(office, shop.id))[-1] == (
            "admin revoke", "result", made.admin.id, "0 of 0 nodes confirmed, 0 sessions ended",
        )  # fmt: skip

    async def test_tells_every_project_of_the_token(self, office: Office, shop: Project, notebook: Notebook) -> None:
        other = (await projects.create(office, "Other")).project
        made = await admins.create(office, "server", (shop.id, other.id))
        await admins.revoke(office, made.admin.id)
        assert [(entry.project, entry.subject) for entry in notebook] == [
            (shop.id, made.admin.id),
            (other.id, made.admin.id),
        ]

    async def test_of_a_token_for_all_projects_asks_no_node(self, office: Office, notebook: Notebook) -> None:
        made = await admins.create(office, "console")
        assert (await admins.revoke(office, made.admin.id)).barrier is None
        assert notebook == []
        with pytest.raises(AdminRejected):
            await office.admins.find(made.token)

    async def test_twice_is_harmless(self, office: Office, shop: Project) -> None:
        made = await admins.create(office, "server", (shop.id,))
        first, again = [await admins.revoke(office, made.admin.id) for _ in range(2)]
        assert first == again

    async def test_of_an_unknown_token_is_refused(self, office: Office) -> None:
        with pytest.raises(NotFound):
            await admins.revoke(office, AdminId("adm_none"))
        assert await recorded(office) == []

    async def test_is_incomplete_when_a_living_node_is_silent(
        self, office: Office, shop: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = await admins.create(office, "server", (shop.id,))
        await Nodes(office.store).renew(NodeId("deaf"), 60_000, Report())
        monkeypatch.setattr(type(office.control).barrier, "__kwdefaults__", {"timeout_s": 0.0, "progress": None})
        revoked = await admins.revoke(office, made.admin.id)
        assert revoked.barrier is not None
        assert revoked.barrier.silent == ("deaf",)
        assert revoked.admin.revoked, "the token is dead whatever the nodes answer"


class TestGranted:
    async def test_names_the_sessions_that_would_end(self, beside: Office, indoors: Indoors) -> None:
        project = indoors.project.id
        made = await admins.create(beside, "server", (project,))
        ada = await indoors.visitor(indoors.token("ada"))
        session = await granted_session(beside, project, made.admin, indoors.parts.node.id)
        assert list(await admins.granted(beside, made.admin)) == [session]
        rows = await beside.sessions.of_person(project, ada.me["user"])
        assert all(row.kid != made.admin.kid for row in rows.values())

    async def test_does_not_touch_sessions_of_keys(self, beside: Office, indoors: Indoors) -> None:
        made = await admins.create(beside, "server", (indoors.project.id,))
        ada = await indoors.visitor(indoors.token("ada"))
        revoked = await admins.revoke(beside, made.admin.id)
        assert revoked.barrier is not None
        assert revoked.barrier.confirmed == (indoors.parts.node.id,)
        assert made.admin.kid in indoors.parts.node.trust.revoked_keys(indoors.project.id)
        assert await ada.start("still here")
