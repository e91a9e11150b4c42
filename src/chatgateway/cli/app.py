"""``chatgateway app``: places where a project meets visitors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from chatgateway.admin import apps, reports
from chatgateway.admin.apps import AppChange
from chatgateway.cli import answer
from chatgateway.cli.opened import Opened, on_store
from chatgateway.core import origin
from chatgateway.core.profiles import PROFILES
from chatgateway.core.project import AdoptionPolicy, App, Enforcement
from chatgateway.errors import PeerError
from chatgateway.types import AppId, Policy, ProjectId

_F = TypeVar("_F", bound=Callable[..., Any])

_POLICIES = click.Choice(get_args(Policy))


@click.group(name="app")
def command() -> None:
    """Places where a project meets visitors: a site, a mobile app. People and keys are shared by a project's apps."""


def _normalised(_context: click.Context, _parameter: click.Parameter, origins: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(origin.normalise_pattern(text) for text in origins)
    except PeerError as error:
        raise click.UsageError(str(error)) from error


def _choices(function: _F) -> _F:
    for option in reversed(
        (
            click.option(
                "--origin",
                "origins",
                multiple=True,
                callback=_normalised,
                help="Pages that may embed it: https://shop.example",
            ),
            click.option("--policy", type=_POLICIES, help="Whom it lets in. Default: anyone"),
            click.option(
                "--policy-reported",
                type=click.Choice([policy for policy in get_args(Policy) if policy != "anyone"] + ["none"]),
                help="A stricter policy that refuses nobody yet: app report lists whom it would refuse.",
            ),
            click.option("--profile", type=click.Choice(sorted(PROFILES)), help="How its tokens are read."),
            click.option(
                "--require-expiry",
                type=click.Choice(get_args(Enforcement)),
                help="What happens to tokens without exp, where the profile takes them. Default: off",
            ),
            click.option(
                "--adoption",
                type=click.Choice(get_args(AdoptionPolicy)),
                help="May a visitor keep the chat begun before signing in? Default: ask",
            ),
            click.option(
                "--one-time-tokens/--no-one-time-tokens", default=None, help="Take each token once; it must carry jti."
            ),
            click.option(
                "--absent-origin/--no-absent-origin",
                "absent_origin_ok",
                default=None,
                help="Let clients without Origin in.",
            ),
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
    at: Opened, *, project: str, name: str, origins: tuple[str, ...], as_json: bool, **chosen: object
) -> None:
    """Make an app; its id goes into the page as data-app.

    Only pages of its origins may embed it. The first pages that may are given with --origin, once for each.
    """
    _tell(at, await apps.create(at, ProjectId(project), _wanted(chosen, name=name, origins=origins)), as_json)


@command.command("list")
@click.argument("project", required=False)
@answer.reading
@on_store
async def list_apps(at: Opened, *, project: str | None, as_json: bool) -> None:
    """List the apps of one project, or of all."""
    if project is not None:
        await at.projects.get_project(ProjectId(project))
    rows = [_row(app) for app in await at.projects.list_apps(ProjectId(project) if project else None)]
    answer.table(("app", "project", "name", "origins", "policy", "profile"), rows, as_json)


@command.command("set")
@click.argument("app")
@click.option("--name", help="What people call it.")
@_choices
@click.option(
    "--remove-origin", "removed", multiple=True, callback=_normalised, help="An origin that may no longer embed it."
)
@answer.reading
@on_store
async def set_app(
    at: Opened,
    *,
    app: str,
    origins: tuple[str, ...],
    removed: tuple[str, ...],
    as_json: bool,
    **chosen: object,
) -> None:
    """Change an app. --origin adds one to those that it has.

    What is changed counts for connections made from now on; those that are open stay open.
    """
    _, before = await at.projects.get_app(AppId(app))
    _tell(at, await apps.change(at, AppId(app), _wanted(chosen), added=origins, removed=removed), as_json)
    for absent in (one for one in removed if one not in (*before.origins, *origins)):
        click.echo(f"chatgateway: {absent} was not on the list of {app}; see app list", err=True)


@command.command("report")
@click.argument("place", metavar="APP|PROJECT")
@click.option("--limit", type=click.IntRange(1, 1_000), default=100, show_default=True)
@answer.reading
@on_store
async def report(at: Opened, *, place: str, limit: int, as_json: bool) -> None:
    """List whom rules that only report would have refused, the latest first: read it before turning one on.

    The rules are --policy-reported and --require-expiry report. The last 1,000 of a project are remembered.
    """
    rows = [
        {
            "at": answer.instant(line.at),
            "app": line.app,
            "rule": line.rule,
            "origin": line.origin,
            "user": line.user,
            "detail": line.detail,
        }
        for line in await reports.would_refuse(at, place, limit)
    ]
    answer.table(("at", "app", "rule", "origin", "user", "detail"), rows, as_json)


def _wanted(chosen: dict[str, Any], **more: object) -> AppChange:
    """Return what was given on the command line; ``--policy-reported none`` takes the report away."""
    given: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None} | more
    if given.get("policy_reported") == "none":
        given["policy_reported"] = None
    return AppChange(**given)


def _tell(at: Opened, app: App, as_json: bool) -> None:
    answer.record(_row(app), as_json)
    for warning in apps.warnings(app):
        click.echo(f"chatgateway: {warning}", err=True)
    if app.policy == "email" and at.settings.smtp_url is None:
        click.echo(
            "chatgateway: visitors prove an address by a mail, and no mail server is set here: the gateway needs "
            "smtp_url and mail_from, or nobody can chat who is not signed in.",
            err=True,
        )


def _row(app: App) -> dict[str, object]:
    return {
        "app": app.id,
        "project": app.project,
        "name": app.name,
        "origins": list(app.origins),
        "policy": app.policy,
        "policy_reported": app.policy_reported or "",
        "profile": app.profile,
        "require_expiry": app.require_expiry,
        "adoption": app.adoption,
        "one_time_tokens": app.one_time_tokens,
        "absent_origin": app.absent_origin_ok,
        "developer_mode": app.developer_mode,
        "created_at": answer.instant(app.created_at),
    }
