"""Apps over HTTP: an app is its project's, and for a token of another project there is no such app."""

from __future__ import annotations

from typing import Annotated

import msgspec

from chatgateway.admin import admins, apps, reports
from chatgateway.admin.apps import AppChange
from chatgateway.core.project import AdoptionPolicy, App, Enforcement
from chatgateway.errors import AppUnknown, OriginForbidden, RecordUnknown, Unacceptable
from chatgateway.gateway.api.admin.office import AdminCall, Few, GatewayOffice, Name, office_of, project_of
from chatgateway.gateway.api.operation import Operation
from chatgateway.types import AppId, Policy

Origins = Annotated[tuple[Annotated[str, msgspec.Meta(max_length=300)], ...], msgspec.Meta(max_length=100)]


class AppSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be chosen of any app."""

    policy: Policy | msgspec.UnsetType = msgspec.UNSET
    policy_reported: Policy | msgspec.UnsetType | None = msgspec.UNSET
    profile: str | msgspec.UnsetType = msgspec.UNSET
    absent_origin_ok: bool | msgspec.UnsetType = msgspec.UNSET
    developer_mode: bool | msgspec.UnsetType = msgspec.UNSET
    require_expiry: Enforcement | msgspec.UnsetType = msgspec.UNSET
    adoption: AdoptionPolicy | msgspec.UnsetType = msgspec.UNSET
    one_time_tokens: bool | msgspec.UnsetType = msgspec.UNSET


class AppWanted(AppSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new app. What is not given is as it is by default."""

    name: Name
    origins: Origins = ()


class AppEdit(AppSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different. What is not given stays."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    origins: Origins | msgspec.UnsetType = msgspec.UNSET
    """All of them."""
    add_origins: Origins = ()
    remove_origins: Origins = ()


class AppShown(msgspec.Struct, frozen=True, kw_only=True):
    """One place where a project meets visitors."""

    app: str
    project: str
    name: str
    origins: tuple[str, ...]
    """Pages that may embed it."""
    policy: Policy
    policy_reported: Policy | None
    """A stricter policy that refuses nobody yet: it lists who would be refused."""
    profile: str
    """Which claims profile reads its customer tokens."""
    absent_origin_ok: bool
    """May a client connect that sends no Origin?"""
    developer_mode: bool
    """Is a client told precisely why its token was rejected?"""
    require_expiry: Enforcement
    adoption: AdoptionPolicy
    one_time_tokens: bool
    created_at: int
    warnings: tuple[str, ...]
    """What its operator should know about an app that is set up like this."""

    @classmethod
    def of(cls, app: App) -> AppShown:
        return cls(
            app=app.id,
            project=app.project,
            name=app.name,
            origins=app.origins,
            policy=app.policy,
            policy_reported=app.policy_reported,
            profile=app.profile,
            absent_origin_ok=app.absent_origin_ok,
            developer_mode=app.developer_mode,
            require_expiry=app.require_expiry,
            adoption=app.adoption,
            one_time_tokens=app.one_time_tokens,
            created_at=app.created_at,
            warnings=apps.warnings(app),
        )


class AppsShown(msgspec.Struct, frozen=True, kw_only=True):
    """Apps, oldest first."""

    apps: list[AppShown]


class ReportShown(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whom a rule would have refused."""

    at: int
    app: str
    rule: str
    origin: str
    user: str
    detail: str


class ReportsShown(msgspec.Struct, frozen=True, kw_only=True):
    """Whom rules that only report would have refused, the latest first."""

    reports: list[ReportShown]


class LatestFew(msgspec.Struct, frozen=True, kw_only=True):
    limit: Few = 100


async def list_apps(call: AdminCall) -> AppsShown:
    office = office_of(call)
    project = await office.projects.get_project(project_of(call))
    return AppsShown(apps=[AppShown.of(app) for app in await office.projects.list_apps(project.id)])


async def create_app(call: AdminCall) -> AppShown:
    return AppShown.of(await apps.create(office_of(call), project_of(call), _changes(call.body)))


async def get_app(call: AdminCall) -> AppShown:
    return AppShown.of(await app_of(office_of(call), call))


async def change_app(call: AdminCall) -> AppShown:
    office, wanted = office_of(call), call.body
    app = await app_of(office, call)
    changed = await apps.change(
        office, app.id, _changes(wanted), added=wanted.add_origins, removed=wanted.remove_origins
    )
    return AppShown.of(changed)


async def list_app_reports(call: AdminCall) -> ReportsShown:
    office = office_of(call)
    app = await app_of(office, call)
    return await _reported(office, app.id, call.query.limit)


async def list_project_reports(call: AdminCall) -> ReportsShown:
    return await _reported(office_of(call), project_of(call), call.query.limit)


async def app_of(office: GatewayOffice, call: AdminCall) -> App:
    """Return the app in the path. Raises AppUnknown, for one of a project for which the token is not good too."""
    return await admins.app_of(office, call.who, AppId(call.path["app"]))


async def _reported(office: GatewayOffice, place: str, limit: int) -> ReportsShown:
    lines = await reports.would_refuse(office, place, limit)
    return ReportsShown(
        reports=[
            ReportShown(
                at=line.at, app=line.app, rule=line.rule, origin=line.origin, user=line.user, detail=line.detail
            )
            for line in lines
        ]
    )


def _changes(wanted: AppWanted | AppEdit) -> AppChange:
    return AppChange(**{name: getattr(wanted, name) for name in AppChange.__struct_fields__})


_ALL = "/v1/admin/projects/{project}/apps"
_ONE = "/v1/admin/apps/{app}"

OPERATIONS = (
    Operation("GET", _ALL, "List a project's apps.", list_apps, "admin", gives=AppsShown, errors=(RecordUnknown,)),
    Operation(
        "POST", _ALL, "Make an app.", create_app, "admin",
        takes=AppWanted, gives=AppShown, status=201, errors=(RecordUnknown, Unacceptable, OriginForbidden),
    ),
    Operation("GET", _ONE, "Show an app.", get_app, "admin", gives=AppShown, errors=(AppUnknown,)),
    Operation(
        "PATCH", _ONE, "Change an app.", change_app, "admin",
        takes=AppEdit, gives=AppShown, errors=(AppUnknown, Unacceptable, OriginForbidden),
        details="Counts for connections made from now on.",
    ),
    Operation(
        "GET", _ONE + "/reports", "List whom an app's rules that only report would have refused.", list_app_reports,
        "admin", query=LatestFew, gives=ReportsShown, errors=(AppUnknown,),
    ),
    Operation(
        "GET", "/v1/admin/projects/{project}/reports", "List whom rules that only report would have refused.",
        list_project_reports, "admin", query=LatestFew, gives=ReportsShown, errors=(RecordUnknown,),
    ),
)  # fmt: skip
