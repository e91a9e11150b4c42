"""Projects and apps are found as they were made, and two operators do not undo each other's work."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator

import pytest

from chatgateway.core.project import App
from chatgateway.errors import AppUnknown, NotFound
from chatgateway.store import schema
from chatgateway.store.audit import Audit
from chatgateway.store.client import Store
from chatgateway.store.projects import Projects
from chatgateway.store.sealing import MasterKey, Sealer
from chatgateway.types import AppId, ProjectId


@pytest.fixture
async def store(fresh_store: str) -> AsyncIterator[Store]:
    store = await Store.open(fresh_store)
    yield store
    await store.close()


@pytest.fixture
def projects(store: Store) -> Projects:
    return Projects(store)


class TestProject:
    async def test_is_found_as_it_was_made(self, projects: Projects) -> None:
        project = await projects.create_project(" Bella Vista ", test=True)
        assert project.name == "Bella Vista"
        assert project.test
        assert await projects.get_project(project.id) == project

    async def test_has_an_id_that_can_be_read_over_a_telephone(self, projects: Projects) -> None:
        project = await projects.create_project("Bella Vista")
        assert re.fullmatch(r"prj_[a-z2-7]{16}", project.id)
        assert project.id != (await projects.create_project("Bella Vista")).id

    async def test_of_another_id_is_not_found(self, projects: Projects) -> None:
        with pytest.raises(NotFound, match="prj_none"):
            await projects.get_project(ProjectId("prj_none"))

    async def test_is_listed_oldest_first(self, projects: Projects) -> None:
        made = [await projects.create_project(name) for name in ("one", "two", "three")]
        assert await projects.list_projects() == sorted(made, key=lambda each: (each.created_at, each.id))

    async def test_without_a_name_is_not_made(self, projects: Projects) -> None:
        with pytest.raises(ValueError, match="name"):
            await projects.create_project(" ")
        assert await projects.list_projects() == []

    async def test_is_made_together_with_its_audit_entry(self, store: Store, projects: Projects) -> None:
        audit = Audit(store, Sealer((MasterKey(b"m" * 32),)))
        async with audit.recorded("root", "project create", "Bella Vista") as recording:
            await projects.create_project("Bella Vista", intent=recording)
            assert recording.begun
        assert len(await audit.entries("")) == 2


class TestApp:
    async def test_is_found_together_with_its_project(self, projects: Projects) -> None:
        project = await projects.create_project("Bella Vista")
        app = await projects.create_app(
            project.id, "Site", ("https://bella.example",), policy="signed", developer_mode=True
        )
        assert await projects.get_app(app.id) == (project, app)
        assert app.policy == "signed"
        assert app.origins == ("https://bella.example",)
        assert app.developer_mode
        assert not app.absent_origin_ok

    @pytest.mark.parametrize("app", ["app_none", "", "a}:{b", "*", "name:x", "\0", "revision"])
    async def test_of_another_id_is_unknown(self, projects: Projects, app: str) -> None:
        await projects.create_app((await projects.create_project("Bella Vista")).id, "Site")
        with pytest.raises(AppUnknown):
            await projects.get_app(AppId(app))
        with pytest.raises(AppUnknown):
            await projects.update_app(AppId(app), lambda each: each)

    async def test_whose_project_is_gone_is_unknown(self, store: Store, projects: Projects) -> None:
        app = await projects.create_app((await projects.create_project("Bella Vista")).id, "Site")
        await store.redis.delete(schema.PROJECTS)
        with pytest.raises(AppUnknown):
            await projects.get_app(app.id)

    async def test_of_an_unknown_project_is_not_made(self, projects: Projects) -> None:
        with pytest.raises(NotFound):
            await projects.create_app(ProjectId("prj_none"), "Site")
        assert await projects.list_apps() == []

    async def test_is_listed_with_its_project(self, projects: Projects) -> None:
        one, two = [await projects.create_project(name) for name in ("one", "two")]
        site = await projects.create_app(one.id, "Site")
        other = await projects.create_app(two.id, "Other")
        assert await projects.list_apps(one.id) == [site]
        assert {app.id for app in await projects.list_apps()} == {site.id, other.id}


class TestChangedApp:
    async def test_keeps_what_every_operator_changed(self, projects: Projects) -> None:
        app = await projects.create_app((await projects.create_project("Bella Vista")).id, "Site")

        def adding(origin: str) -> asyncio.Future[App]:
            def change(each: App) -> App:
                return dataclasses.replace(each, origins=(*each.origins, origin))

            return asyncio.ensure_future(projects.update_app(app.id, change))

        origins = {f"https://{number}.example" for number in range(6)}
        await asyncio.gather(*(adding(origin) for origin in origins))
        assert set((await projects.get_app(app.id))[1].origins) == origins

    async def test_stays_in_its_project(self, projects: Projects) -> None:
        app = await projects.create_app((await projects.create_project("Bella Vista")).id, "Site")
        changed = await projects.update_app(
            app.id, lambda each: dataclasses.replace(each, project=ProjectId("prj_2"), name="Shop")
        )
        assert (changed.project, changed.name) == (app.project, "Shop")
