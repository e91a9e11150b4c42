"""Places where a project meets visitors: made and changed, with the rules that hold between their settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Final, get_args

import msgspec

from chatgateway.admin.office import Office, acceptable
from chatgateway.core.origin import normalise_pattern
from chatgateway.core.profiles import PROFILES
from chatgateway.core.project import AdoptionPolicy, App, Enforcement
from chatgateway.errors import Unacceptable
from chatgateway.types import AppId, Policy, ProjectId

_STRICTNESS: Final = {policy: rank for rank, policy in enumerate(get_args(Policy))}

CARRY_OVER_WARNING: Final = (
    "carry_over adopts unasked: whoever chatted in this browser before, on a shared computer or by a planted identity, "
    "leaves their words in the account of the next person who signs in. With ask, that person decides."
)

NO_PAGE_WARNING: Final = (
    "no page may embed it yet; let one with: chatgateway app set {app} --origin https://shop.example"
)


class AppChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an app is to be like. What is not given stays as it is, or as it is by default."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    origins: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    policy: Policy | msgspec.UnsetType = msgspec.UNSET
    policy_reported: Policy | msgspec.UnsetType | None = msgspec.UNSET
    """A stricter policy that refuses nobody yet. None: no report."""
    profile: str | msgspec.UnsetType = msgspec.UNSET
    absent_origin_ok: bool | msgspec.UnsetType = msgspec.UNSET
    developer_mode: bool | msgspec.UnsetType = msgspec.UNSET
    require_expiry: Enforcement | msgspec.UnsetType = msgspec.UNSET
    adoption: AdoptionPolicy | msgspec.UnsetType = msgspec.UNSET
    one_time_tokens: bool | msgspec.UnsetType = msgspec.UNSET


async def create(office: Office, project: ProjectId, wanted: AppChange) -> App:
    """Make an app of ``project``. Raises NotFound, OriginForbidden, or Unacceptable."""
    if wanted.name is msgspec.UNSET:
        raise Unacceptable("An app needs a name.")
    await office.projects.get_project(project)
    # The rules are those of a change, of an app that is like all others.
    like = changed(App(AppId(""), project, wanted.name), wanted)
    chosen = {name: getattr(like, name) for name in AppChange.__struct_fields__ if name not in ("name", "origins")}
    async with office.recorded("app create", wanted.name, project) as recording:
        with acceptable():
            made = await office.projects.create_app(project, like.name, like.origins, **chosen, intent=recording)
        recording.result = made.id
    return made


async def change(
    office: Office, app: AppId, wanted: AppChange, *, added: Iterable[str] = (), removed: Iterable[str] = ()
) -> App:
    """Change an app; ``added`` and ``removed`` are origins beside those that it has.

    Counts for connections made from now on. Raises AppUnknown, OriginForbidden, or Unacceptable.
    """
    more, gone = _normalised(added), _normalised(removed)

    def change(before: App) -> App:
        after = changed(before, wanted)
        kept = tuple(known for known in dict.fromkeys((*after.origins, *more)) if known not in gone)
        return dataclasses.replace(after, origins=kept)

    project, before = await office.projects.get_app(app)
    change(before)  # what cannot be is refused before it is recorded
    async with office.recorded("app set", app, project.id) as recording:
        with acceptable():
            return await office.projects.update_app(app, change, intent=recording)


def changed(app: App, wanted: AppChange) -> App:
    """Return ``app`` as it is wanted. Raises OriginForbidden, or Unacceptable for settings that contradict each other.

    A report that the policy in force has caught up with ends by itself.
    """
    given: dict[str, Any] = {
        name: value for name in AppChange.__struct_fields__ if (value := getattr(wanted, name)) is not msgspec.UNSET
    }
    if "origins" in given:
        given["origins"] = _normalised(given["origins"])
    after = dataclasses.replace(app, **given)
    if after.profile not in PROFILES:
        raise Unacceptable(f"There is no claims profile {after.profile!r}; there are {', '.join(sorted(PROFILES))}.")
    if after.policy_reported is not None and _STRICTNESS[after.policy_reported] <= _STRICTNESS[after.policy]:
        if given.get("policy_reported"):
            raise Unacceptable(
                f"A report tries a stricter policy; {after.policy_reported} refuses nobody that {after.policy} lets in."
            )
        after = dataclasses.replace(after, policy_reported=None)
    return after


def warnings(app: App) -> tuple[str, ...]:
    """Return what its operator should know about an app that is set up like this."""
    unseen = NO_PAGE_WARNING.format(app=app.id) if not app.origins and not app.absent_origin_ok else ""
    return tuple(filter(None, (CARRY_OVER_WARNING if app.adoption == "carry_over" else "", unseen)))


def _normalised(origins: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(normalise_pattern, origins)))
