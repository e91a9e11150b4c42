"""What a person may ask of a project: everything that is held of them, and that it be forgotten."""

from __future__ import annotations

from typing import Any, NamedTuple

from chatgateway.admin import people
from chatgateway.admin.office import Office
from chatgateway.admin.people import Known
from chatgateway.core.person import Identifier, Person
from chatgateway.errors import NotFound
from chatgateway.store.control import Barrier
from chatgateway.store.identifiers import Identifiers
from chatgateway.store.privacy import Erased
from chatgateway.types import ProjectId, UserId


class Forgotten(NamedTuple):
    """A person of whom nothing is left but the user id, which nobody is given again."""

    user: UserId
    erased: Erased
    barrier: Barrier


async def export(office: Office, project: ProjectId, user: str) -> dict[str, Any]:
    """Return all that is held of one person, as one JSON document. Recorded. Raises NotFound."""
    person = await people.find(office, project, user)
    async with office.recorded("user export", person.user, project) as recording:
        await recording.begin()
        return await office.privacy.export_person(project, person.user)


async def foretell(office: Office, project: ProjectId, user: str) -> Known:
    """Return what erasing somebody would end and delete; all empty when it has begun before. Raises NotFound."""
    try:
        return await people.known(office, project, user)
    except NotFound:
        erased = await _erased(office, project, user)
        if erased is None:
            raise
        return Known(Person(erased), (), {})


async def erase(office: Office, project: ProjectId, user: str) -> Forgotten:
    """Forget a person for ever. Their sessions end with 4410, and nothing under way brings them back.

    Whoever signs in with the same id afterwards is somebody new. The audit keeps the user id and nothing else.
    Repeating by the user id is harmless, and finishes what was interrupted; by the external id too, as long as nobody
    signed in with it again: then it means that person. Raises NotFound, StoreUnavailable, or Conflict.
    """
    user_id = (await foretell(office, project, user)).person.user
    async with office.recorded("user erase", user_id, project) as recording:
        await recording.begin()
        # The tombstone and the marks first: what the sessions still send is refused before any node has heard.
        await office.privacy.withdraw_person(project, user_id)
        entry = office.control.entry("person", project, user_id, "erased", await office.store.now())
        barrier = await office.withdraw(await office.control.write(entry), recording)
        erased = await office.privacy.erase_person(project, user_id)
        recording.result = f"{erased.conversations:,} conversations deleted; {barrier}"
    return Forgotten(user_id, erased, barrier)


async def _erased(office: Office, project: ProjectId, user: str) -> UserId | None:
    """Return whose erasure has begun before, by the user id or, until it is finished, by the external id."""
    if people.may_be_id(user) and (await office.records.read(project, UserId(user))).erased:
        return UserId(user)
    return await Identifiers(office.store).unfinished(project, Identifier("external_id", user))
