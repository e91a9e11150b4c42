"""Whom rules would refuse that only report so far: what an operator reads before turning one on."""

from __future__ import annotations

from chatgateway.admin.office import Office
from chatgateway.store.reports import KEPT_MAX, Report
from chatgateway.types import AppId, ProjectId


async def would_refuse(office: Office, place: str, limit: int = 100) -> list[Report]:
    """Return who would have been refused in a project (prj_…) or one app (app_…), the latest first.

    Only the last 1,000 of a project are remembered. Raises NotFound, or AppUnknown.
    """
    if not place.startswith("app_"):
        project = await office.projects.get_project(ProjectId(place))
        return await office.reports.latest(project.id, limit)
    project, app = await office.projects.get_app(AppId(place))
    return [report for report in await office.reports.latest(project.id, KEPT_MAX) if report.app == app.id][:limit]
