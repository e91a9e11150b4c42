"""``chatgateway app``: places where a project meets visitors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, get_args

import click

from chatgateway.cli import answer
from chatgateway.cli.opened import Opened, on_store
from chatgateway.core import origin
from chatgateway.core.profiles import PROFILES
from chatgateway.core.project import App
from chatgateway.errors import PeerError
from chatgateway.types import AppId, Policy, ProjectId

_F = TypeVar("_F", bound=Callable[..., Any])


@click.group(name="app")
def command() -> None:
    """Places where a project meets visitors: a site, a mobile app. People and keys are shared by a project's apps."""


def _choices(function: _F) -> _F:
    for option in reversed(
        (
            click.option("--origin", "origins", multiple=True, help="Pages that may embed it: https://shop.example"),
            click.option("--policy", type=click.Choice(get_args(Policy)), help="Whom it lets in. Default: anyone"),
            click.option("--profile", type=click.Choice(sorted(PROFILES)), help="How its tokens are read."),
            click.option("--absent-origin/--no-absent-origin", default=None, help="Let clients without Origin in."),
            click.option("--developer-mode/--no-developer-mode", default=None, help="Tell why a token was rejected."),
        )
    ):
        function = option(function)
    return function


@command.command("create")
@click.argument("project")
@click.argument("name")
@_choices
@answer.reading
@on_store
async def create(
    at: Opened,
    *,
    project: str,
    name: str,
    origins: tuple[str, ...],
    policy: Policy | None,
    profile: str | None,
    absent_origin: bool | None,
    developer_mode: bool | None,
    as_json: bool,
) -> None:
    """Make an app; its id goes into the page as data-app.

    Only pages of its origins may embed it. The first pages that may are given with --origin, once for each.
    """
    async with at.recorded("app create", name, project) as recording:
        made = await at.projects.create_app(
            ProjectId(project),
            name,
            _normalised(origins),
            policy=policy or "anyone",
            profile=profile or "canonical",
            absent_origin_ok=bool(absent_origin),
            developer_mode=bool(developer_mode),
            intent=recording,
        )
        recording.result = made.id
    answer.record(_row(made), as_json)


@command.command("list")
@click.argument("project", required=False)
@answer.reading
@on_store
async def list_apps(at: Opened, *, project: str | None, as_json: bool) -> None:
    """List the apps of one project, or of all."""
    rows = [_row(app) for app in await at.projects.list_apps(ProjectId(project) if project else None)]
    answer.table(("app", "project", "name", "origins", "policy", "profile"), rows, as_json)


@command.command("set")
@click.argument("app")
@click.option("--name", help="What people call it.")
@_choices
@click.option("--remove-origin", "removed", multiple=True, help="An origin that may no longer embed it.")
@answer.reading
@on_store
async def set_app(
    at: Opened,
    *,
    app: str,
    name: str | None,
    origins: tuple[str, ...],
    policy: Policy | None,
    profile: str | None,
    absent_origin: bool | None,
    developer_mode: bool | None,
    removed: tuple[str, ...],
    as_json: bool,
) -> None:
    """Change an app. --origin adds one to those that it has.

    What is changed counts for connections made from now on; those that are open stay open.
    """
    added, gone = _normalised(origins), _normalised(removed)
    given: dict[str, Any] = {
        "name": name,
        "policy": policy,
        "profile": profile,
        "absent_origin_ok": absent_origin,
        "developer_mode": developer_mode,
    }
    chosen = {field: value for field, value in given.items() if value is not None}

    def change(before: App) -> App:
        kept = [known for known in dict.fromkeys((*before.origins, *added)) if known not in gone]
        return dataclasses.replace(before, origins=tuple(kept), **chosen)

    project, _ = await at.projects.get_app(AppId(app))
    async with at.recorded("app set", app, project.id) as recording:
        after = await at.projects.update_app(AppId(app), change, intent=recording)
    answer.record(_row(after), as_json)


def _normalised(origins: Iterable[str]) -> tuple[str, ...]:
    try:
        return tuple(origin.normalise_pattern(text) for text in origins)
    except PeerError as error:
        raise click.UsageError(str(error)) from error


def _row(app: App) -> dict[str, object]:
    return {
        "app": app.id,
        "project": app.project,
        "name": app.name,
        "origins": list(app.origins),
        "policy": app.policy,
        "profile": app.profile,
        "absent_origin": app.absent_origin_ok,
        "developer_mode": app.developer_mode,
        "created_at": answer.instant(app.created_at),
    }
