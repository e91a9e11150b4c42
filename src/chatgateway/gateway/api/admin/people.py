"""People over HTTP: told of by their project's server, found, noted about, kept out, exported and forgotten.

``{user}`` is the user id (usr_…) or the id that the project's server uses, escaped: a slash in it is %2F.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args

import msgspec
from starlette.responses import Response

from chatgateway.admin import people, privacy
from chatgateway.core.person import Identifier, IdentifierKind, Person
from chatgateway.core.upsert import Upsert
from chatgateway.errors import (
    AdoptionRefused,
    IdentityConflict,
    IdentityErased,
    NotFound,
    RecordUnknown,
    Unacceptable,
    UserUnknown,
)
from chatgateway.gateway.api.admin.office import (
    AdminCall,
    Concluded,
    Few,
    Foretold,
    GatewayOffice,
    Rehearsing,
    SessionShown,
    concluded,
    office_of,
    project_of,
    told,
)
from chatgateway.gateway.api.answers import answer
from chatgateway.gateway.api.operation import ExternalIdPath, Operation
from chatgateway.types import ProjectId, UnixMs

Kind = Annotated[str, msgspec.Meta(pattern=rf"^(?:{'|'.join(get_args(IdentifierKind))})\Z")]
IdentifierText = Annotated[str, msgspec.Meta(min_length=1, max_length=320)]


class PersonShown(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whom a project knows."""

    user: str
    deskpro_id: str
    """What a token of the ``deskpro`` profile may name them by."""
    external_id: str
    name: str
    short_name: str
    email: str
    email_proved: bool
    emails: tuple[str, ...]
    organization: str
    groups: tuple[str, ...]
    own_groups: tuple[str, ...]
    """Those that the project told; ``groups`` holds the two that nobody has to name too."""
    fields: Mapping[str, str | tuple[str, ...]]
    labels: tuple[str, ...]
    timezone: str
    language: str
    identifiers: tuple[Identifier, ...]
    """Everything that names them: pairs of kind and text."""
    signed: tuple[str, ...]
    """Fields for which the project's server vouches: locked."""
    blocked: bool
    created_at: int
    updated_at: int

    @classmethod
    def of(cls, person: Person) -> PersonShown:
        alike = {name: getattr(person, name) for name in _ALIKE}
        return cls(
            deskpro_id=person.user,
            groups=person.all_groups,
            own_groups=person.groups,
            identifiers=person.names,
            **alike,
        )


_ALIKE = tuple(
    name for name in PersonShown.__struct_fields__ if name not in ("deskpro_id", "groups", "own_groups", "identifiers")
)  # fmt: skip


class PeopleShown(msgspec.Struct, frozen=True, kw_only=True):
    """A page of people: the last updated first, or in the order of the words that were found."""

    users: list[PersonShown]
    next: str | None
    """What ``after`` is to be for the next page; null: this is the last one."""


class PersonKnown(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of somebody."""

    person: PersonShown
    conversations: tuple[str, ...]
    sessions: list[SessionShown]
    """Those that are connected now."""


class PersonChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator knows of somebody. What is not given, or null, stays."""

    name: str | None = None
    short_name: str | None = None
    email: str | None = None
    """Counts as unproved."""
    emails: tuple[str, ...] | None = None
    organization: str | None = None
    groups: tuple[str, ...] | None = None
    fields: Mapping[str, str | tuple[str, ...]] | None = None
    labels: tuple[str, ...] | None = None
    timezone: str | None = None
    language: str | None = None


class PersonEdited(msgspec.Struct, frozen=True, kw_only=True):
    """What is known now."""

    person: PersonShown
    locked: tuple[str, ...]
    """Fields that stayed as they were, because the project's server vouches for them."""


class PersonConcluded(Concluded, frozen=True, kw_only=True):
    """Somebody who was kept out, or let in again."""

    user: str
    blocked: bool


class PersonErased(Concluded, frozen=True, kw_only=True):
    """Somebody of whom nothing is left but the user id."""

    user: str
    erased_at: int
    conversations_deleted: int
    conversations_rewritten: int
    """Of others: the person's words and name were taken out."""


class Conflicting(msgspec.Struct, frozen=True, kw_only=True):
    """One of a token's identifiers, and whom it names now."""

    kind: IdentifierKind
    text: str
    user: str | None
    """Null: nobody any more."""


class ConflictShown(msgspec.Struct, frozen=True, kw_only=True):
    """A token that named two people. Nobody was changed."""

    at: int
    app: str
    identifiers: list[Conflicting]
    settled: bool
    """They name two people no longer."""


class ConflictsShown(msgspec.Struct, frozen=True, kw_only=True):
    """The latest first."""

    conflicts: list[ConflictShown]


class AdoptionUndone(msgspec.Struct, frozen=True, kw_only=True):
    """A chat that was given back to the anonymous visitor who began it."""

    receipt: str
    state: str
    account: str
    earlier: str
    conversations: tuple[str, ...]
    undone_at: int


class PeopleWanted(msgspec.Struct, frozen=True, kw_only=True):
    prefix: Annotated[str, msgspec.Meta(max_length=255)] = ""
    """With which a word of their name, address or id begins, without regard to case and accents."""
    limit: Few = 100
    after: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,16}\Z")] | None = None
    """``next`` of the page before. Not with ``prefix``, which gives one page."""


class LatestConflicts(msgspec.Struct, frozen=True, kw_only=True):
    limit: Few = 100


async def list_users(call: AdminCall) -> PeopleShown:
    office, wanted = office_of(call), call.query
    project = (await office.projects.get_project(project_of(call))).id
    if wanted.prefix:
        if wanted.after is not None:
            raise Unacceptable("A search gives one page: prefix and after do not go together.")
        found = await office.people.search(project, wanted.prefix, wanted.limit)
        return PeopleShown(users=[PersonShown.of(person) for person in found], next=None)
    before = None if wanted.after is None else UnixMs(int(wanted.after))
    found, is_more = await office.people.page(project, before, wanted.limit)
    return PeopleShown(
        users=[PersonShown.of(person) for person in found],
        next=str(found[-1].updated_at) if is_more and found else None,
    )


async def get_user(call: AdminCall) -> PersonKnown:
    office, project = await _there(call)
    known = await _known(people.known(office, project, call.path["user"]))
    return PersonKnown(
        person=PersonShown.of(known.person),
        conversations=known.conversations,
        sessions=[SessionShown.of(*one) for one in known.sessions.items()],
    )


async def upsert_user(call: AdminCall) -> Response:
    office, told_of = office_of(call), call.body
    named = call.path["user"]
    if told_of.external_id not in ("", named):
        raise Unacceptable("external_id in the body is not the one in the address; leave it out.")
    project = await office.projects.get_project(project_of(call))
    person, created = await people.upsert(office, project, msgspec.structs.replace(told_of, external_id=named))
    return answer(PersonShown.of(person), 201 if created else 200, call.headers)


async def edit_user(call: AdminCall) -> PersonEdited:
    office, project = await _there(call)
    wanted = Upsert(**msgspec.structs.asdict(call.body))
    person, locked = await _known(people.edit(office, project, call.path["user"], wanted))
    return PersonEdited(person=PersonShown.of(person), locked=locked)


async def block_user(call: AdminCall) -> Foretold | Concluded | Response:
    office, project = await _there(call)
    if call.query.dry_run:
        person = await _known(people.find(office, project, call.path["user"]))
        return Foretold.of(await office.live_sessions(project, user=person.user))
    person, barrier = await _known(people.block(office, project, call.path["user"]))
    return concluded(call, PersonConcluded(user=person.user, blocked=person.blocked, **told(barrier)))


async def unblock_user(call: AdminCall) -> Concluded | Response:
    office, project = await _there(call)
    person, barrier = await _known(people.unblock(office, project, call.path["user"]))
    return concluded(call, PersonConcluded(user=person.user, blocked=person.blocked, **told(barrier)))


async def export_user(call: AdminCall) -> dict[str, Any]:
    office, project = await _there(call)
    return await _known(privacy.export(office, project, call.path["user"]))


async def erase_user(call: AdminCall) -> Foretold | Concluded | Response:
    office, project = await _there(call)
    if call.query.dry_run:
        _, conversations, sessions = await _known(privacy.foretell(office, project, call.path["user"]))
        return Foretold.of(sessions, len(conversations))
    user, erased, barrier = await _known(privacy.erase(office, project, call.path["user"]))
    done = PersonErased(
        user=user,
        erased_at=erased.at,
        conversations_deleted=erased.conversations,
        conversations_rewritten=erased.rewritten,
        **told(barrier),
    )
    return concluded(call, done)


async def forget_identifier(call: AdminCall) -> PersonShown:
    office, project = await _there(call)
    kind: Any = call.path["kind"]
    identifier = Identifier(kind, call.path["text"])
    return PersonShown.of(await _known(people.forget_identifier(office, project, call.path["user"], identifier)))


async def list_conflicts(call: AdminCall) -> ConflictsShown:
    found = await people.conflicts(office_of(call), project_of(call), call.query.limit)
    return ConflictsShown(
        conflicts=[
            ConflictShown(
                at=one.report.at,
                app=one.report.app,
                identifiers=[
                    Conflicting(kind=kind, text=text, user=user)
                    for (kind, text), user in zip(one.report.identifiers, one.users, strict=True)
                ],
                settled=one.settled,
            )
            for one in found
        ]
    )


async def undo_adoption(call: AdminCall) -> AdoptionUndone:
    undone = await people.unadopt(office_of(call), project_of(call), call.path["receipt"])
    return AdoptionUndone(
        receipt=undone.id,
        state=undone.state,
        account=undone.account,
        earlier=undone.earlier,
        conversations=undone.conversations,
        undone_at=undone.undone_at,
    )


async def _there(call: AdminCall) -> tuple[GatewayOffice, ProjectId]:
    """Return an office, and a project that exists. Raises NotFound."""
    office = office_of(call)
    return office, (await office.projects.get_project(project_of(call))).id


async def _known(asked: Any) -> Any:
    """Return what is known of somebody. Raises UserUnknown, which repeats no name."""
    try:
        return await asked
    except NotFound as error:
        raise UserUnknown from error


_ALL = "/v1/admin/projects/{project}/users"
_ONE = _ALL + "/{user}"
_USER = {"user": ExternalIdPath}
_UNKNOWN = (RecordUnknown, UserUnknown)

OPERATIONS = (
    Operation(
        "GET", _ALL, "List people, or find them by the beginning of a word.", list_users, "admin",
        query=PeopleWanted, gives=PeopleShown, errors=(RecordUnknown, Unacceptable),
        details="Anonymous visitors of whom nothing is recorded are among the sessions.",
    ),
    Operation("GET", _ONE, "Show what is known of a person.", get_user, "admin",
        gives=PersonKnown, errors=_UNKNOWN, parameters=_USER,
    ),
    Operation(
        "PUT", _ONE, "Tell of a person: found by the id in the address, or created.", upsert_user, "admin",
        takes=Upsert, gives=PersonShown, may_create=True, parameters=_USER,
        errors=(RecordUnknown, Unacceptable, IdentityConflict, IdentityErased),
        details=(
            "Here {user} is always the id that the project's server uses. What is told is locked, as a signed claim "
            "is; what is absent or null stays. Repeating is harmless."
        ),
    ),
    Operation(
        "PATCH", _ONE, "Note what an operator knows of a person.", edit_user, "admin",
        takes=PersonChange, gives=PersonEdited, errors=(*_UNKNOWN, Unacceptable, IdentityErased), parameters=_USER,
        details="Fields for which the project's server vouches stay as they are, and are named in the answer.",
    ),
    Operation(
        "DELETE", _ONE, "Forget a person for ever, with their conversations. Sessions end now.", erase_user, "admin",
        query=Rehearsing, gives=PersonErased, rehearsal=Foretold, ends=True, errors=_UNKNOWN, parameters=_USER,
        details="It cannot be undone. Repeating with the user id is harmless, and finishes what was interrupted.",
    ),
    Operation("GET", _ONE + "/export", "Give all that is held of a person, as one document.", export_user, "admin",
        gives=dict[str, Any], errors=_UNKNOWN, parameters=_USER,
    ),
    Operation(
        "POST", _ONE + "/block", "Keep a person out. All their sessions end now.", block_user, "admin",
        query=Rehearsing, gives=PersonConcluded, rehearsal=Foretold, ends=True,
        errors=(*_UNKNOWN, IdentityErased), parameters=_USER, details="Repeating is harmless.",
    ),
    Operation(
        "POST", _ONE + "/unblock", "Let a blocked person in again.", unblock_user, "admin",
        gives=PersonConcluded, ends=True, errors=(*_UNKNOWN, IdentityErased), parameters=_USER,
        details="Sessions that ended stay ended; a fresh token begins new ones. Repeating is harmless.",
    ),
    Operation(
        "DELETE", _ONE + "/identifiers/{kind}/{text}", "Let an identifier name a person no longer.",
        forget_identifier, "admin", gives=PersonShown, errors=(*_UNKNOWN, IdentityErased),
        parameters={**_USER, "kind": Kind, "text": IdentifierText},
        details="Whoever signs in with it next is somebody new. Nobody's session ends, and no history moves.",
    ),
    Operation(
        "GET", "/v1/admin/projects/{project}/conflicts", "List tokens that were refused because they name two people.",
        list_conflicts, "admin", query=LatestConflicts, gives=ConflictsShown, errors=(RecordUnknown,),
    ),
    Operation(
        "POST", "/v1/admin/projects/{project}/adoptions/{receipt}/undo",
        "Take a chat that was kept out of the account again.", undo_adoption, "admin",
        gives=AdoptionUndone, errors=(RecordUnknown, AdoptionRefused),
        details="{receipt} is the adoption's, or the anonymous visitor's id. No message is lost. It may be repeated.",
    ),
)  # fmt: skip
