"""Projects over HTTP: a token sees those that it is good for; only one of all projects makes new ones."""

from __future__ import annotations

import msgspec

from chatgateway.admin import projects
from chatgateway.core.project import Project
from chatgateway.errors import RecordUnknown, Unacceptable
from chatgateway.gateway.api.admin.office import AdminCall, Name, office_of, project_of
from chatgateway.gateway.api.operation import Operation


class ProjectShown(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant."""

    project: str
    name: str
    test: bool
    """Do its secrets say ``cgs_test_``?"""
    identify_by_email: bool
    """Does a signed, proved address name a person too?"""
    created_at: int

    @classmethod
    def of(cls, project: Project) -> ProjectShown:
        return cls(
            project=project.id,
            name=project.name,
            test=project.test,
            identify_by_email=project.identify_by_email,
            created_at=project.created_at,
        )


class ProjectsShown(msgspec.Struct, frozen=True, kw_only=True):
    """Those that the token is good for, oldest first."""

    projects: list[ProjectShown]


class ProjectOverview(msgspec.Struct, frozen=True, kw_only=True):
    """A project and what it has."""

    project: ProjectShown
    apps: list[str]
    keys: list[str]
    """Those that vouch for people now, newest first."""
    agents: list[str]
    sessions: int
    """How many are connected now."""


class ProjectWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new project."""

    name: Name
    test: bool = False


class ProjectChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different. What is not given, or null, stays."""

    name: Name | None = None
    identify_by_email: bool | None = None


class ProjectMade(msgspec.Struct, frozen=True, kw_only=True):
    """A new project with its first signing key."""

    project: ProjectShown
    kid: str
    secret: str
    """Shown once: nobody can ask for it later."""


async def list_projects(call: AdminCall) -> ProjectsShown:
    found = await office_of(call).projects.list_projects()
    return ProjectsShown(projects=[ProjectShown.of(project) for project in found if call.who.serves(project.id)])


async def create_project(call: AdminCall) -> ProjectMade:
    made = await projects.create(office_of(call), call.body.name, test=call.body.test)
    return ProjectMade(project=ProjectShown.of(made.project), kid=made.key.kid, secret=made.secret)


async def get_project(call: AdminCall) -> ProjectOverview:
    seen = await projects.overview(office_of(call), project_of(call))
    return ProjectOverview(
        project=ProjectShown.of(seen.project),
        apps=[app.id for app in seen.apps],
        keys=[key.kid for key in seen.keys],
        agents=[agent.id for agent in seen.agents],
        sessions=seen.sessions,
    )


async def change_project(call: AdminCall) -> ProjectShown:
    wanted: ProjectChange = call.body
    changed = await projects.change(
        office_of(call), project_of(call), name=wanted.name, identify_by_email=wanted.identify_by_email
    )
    return ProjectShown.of(changed)


_ONE = "/v1/admin/projects/{project}"

OPERATIONS = (
    Operation(
        "GET", "/v1/admin/projects", "List the projects that the token is good for.", list_projects, "admin",
        gives=ProjectsShown,
    ),
    Operation(
        "POST", "/v1/admin/projects", "Make a project with one signing key.", create_project, "admin",
        takes=ProjectWanted, gives=ProjectMade, status=201, errors=(Unacceptable,), everywhere=True,
    ),
    Operation("GET", _ONE, "Show a project and what it has.", get_project, "admin", gives=ProjectOverview,
        errors=(RecordUnknown,),
    ),
    Operation(
        "PATCH", _ONE, "Change a project.", change_project, "admin",
        takes=ProjectChange, gives=ProjectShown, errors=(RecordUnknown, Unacceptable),
        details="Counts for whoever signs in from now on; who is signed in stays who they are.",
    ),
)  # fmt: skip
