"""Remember projects and their apps."""

from __future__ import annotations

import base64
import dataclasses
import secrets
from collections.abc import Callable

import msgspec

from chatgateway.core.project import AdoptionPolicy, App, Enforcement, Project, checked_name
from chatgateway.errors import AppUnknown, Conflict, NotFound
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.script import Script
from chatgateway.store.transition import Intent, RecordPlace, read_record, read_records, transition
from chatgateway.types import AppId, Policy, ProjectId

_APP = Script("app")
_ATTEMPTS = 8


def fresh_id(prefix: str) -> str:
    """Return ``PREFIX_`` and 16 characters of base 32: 80 random bits, no two alike, readable over a telephone."""
    return f"{prefix}_{base64.b32encode(secrets.token_bytes(10)).decode().lower()}"


class Projects:
    """The projects and apps of this gateway."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create_project(self, name: str, *, test: bool = False, intent: Intent | None = None) -> Project:
        """Make a project without apps or keys. Raises ValueError for a bad name."""
        project = Project(ProjectId(fresh_id("prj")), checked_name(name), test, await self._store.now())
        value = msgspec.json.encode(project)
        await transition(self._store, _project_place(project.id), value=value, intent=intent)
        return project

    async def list_projects(self) -> list[Project]:
        """Return every project, oldest first."""
        values = (await read_records(self._store, schema.PROJECTS)).values()
        projects = [msgspec.json.decode(value, type=Project) for value in values]
        return sorted(projects, key=lambda project: (project.created_at, project.id))

    async def get_project(self, project: ProjectId) -> Project:
        """Return one project. Raises NotFound."""
        record = await read_record(self._store, _project_place(project))
        if not record.revision:
            raise NotFound(f"project {project}")
        return msgspec.json.decode(record.value, type=Project)

    async def update_project(
        self, project: ProjectId, change: Callable[[Project], Project], *, intent: Intent | None = None
    ) -> Project:
        """Write what ``change`` makes of the project, atomically; it may be called again, as in ``update_app``.

        Raises NotFound, or ValueError for a bad name.
        """
        for _ in range(_ATTEMPTS):
            place = _project_place(project)
            record = await read_record(self._store, place)
            if not record.revision:
                raise NotFound(f"project {project}")
            before = msgspec.json.decode(record.value, type=Project)
            after = change(before)
            after = dataclasses.replace(after, id=before.id, test=before.test, name=checked_name(after.name))
            try:
                value = msgspec.json.encode(after)
                await transition(self._store, place, expected=record.revision, value=value, intent=intent)
            except Conflict:
                continue
            return after
        raise Conflict(f"project {project} never stood still")

    async def create_app(
        self,
        project: ProjectId,
        name: str,
        origins: tuple[str, ...] = (),
        *,
        policy: Policy = "anyone",
        profile: str = "canonical",
        absent_origin_ok: bool = False,
        developer_mode: bool = False,
        policy_reported: Policy | None = None,
        require_expiry: Enforcement = "off",
        adoption: AdoptionPolicy = "ask",
        one_time_tokens: bool = False,
        intent: Intent | None = None,
    ) -> App:
        """Make an app of ``project``; the origins are normalised already.

        Raises NotFound, or ValueError for a bad name.
        """
        await self.get_project(project)
        app = App(
            id=AppId(fresh_id("app")),
            project=project,
            name=checked_name(name),
            origins=origins,
            policy=policy,
            profile=profile,
            absent_origin_ok=absent_origin_ok,
            developer_mode=developer_mode,
            policy_reported=policy_reported,
            require_expiry=require_expiry,
            adoption=adoption,
            one_time_tokens=one_time_tokens,
            created_at=await self._store.now(),
        )
        await transition(self._store, _app_place(app.id), value=msgspec.json.encode(app), intent=intent)
        return app

    async def get_app(self, app: AppId) -> tuple[Project, App]:
        """Return the project of ``app``, and the app: one round trip. Raises AppUnknown."""
        found = await self._store.hot.ask(_APP, [schema.APPS, schema.PROJECTS], [app])
        if not found:
            raise AppUnknown
        project, value = found
        return msgspec.json.decode(project, type=Project), msgspec.json.decode(value, type=App)

    async def update_app(self, app: AppId, change: Callable[[App], App], *, intent: Intent | None = None) -> App:
        """Write what ``change`` makes of the app, atomically; it may be called again when another writer was faster.

        Raises AppUnknown.
        """
        for _ in range(_ATTEMPTS):
            record = await read_record(self._store, _app_place(app))
            if not record.revision:
                raise AppUnknown
            before = msgspec.json.decode(record.value, type=App)
            after = dataclasses.replace(change(before), id=before.id, project=before.project)
            after = dataclasses.replace(after, name=checked_name(after.name))
            try:
                value = msgspec.json.encode(after)
                await transition(self._store, _app_place(app), expected=record.revision, value=value, intent=intent)
            except Conflict:
                continue
            return after
        raise Conflict(f"app {app} never stood still")

    async def list_apps(self, project: ProjectId | None = None) -> list[App]:
        """Return the apps of one project, or of all, oldest first."""
        values = (await read_records(self._store, schema.APPS)).values()
        apps = [msgspec.json.decode(value, type=App) for value in values]
        wanted = [app for app in apps if project is None or app.project == project]
        return sorted(wanted, key=lambda app: (app.created_at, app.id))


def _project_place(project: ProjectId) -> RecordPlace:
    return RecordPlace(schema.PROJECTS, f"{project}:")


def _app_place(app: AppId) -> RecordPlace:
    return RecordPlace(schema.APPS, f"{app}:")
