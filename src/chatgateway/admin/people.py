"""The people that a project knows: told of by its server, found, kept out and let in again.

What the project's server tells is locked, as what it signs: neither a page nor an agent changes it afterwards.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import NamedTuple

from chatgateway.admin.office import Office
from chatgateway.core import upsert as told
from chatgateway.core.adoption import Receipt
from chatgateway.core.person import Identifier, Person, described, named
from chatgateway.core.profiles import PROFILES
from chatgateway.core.project import Project
from chatgateway.core.upsert import Upsert
from chatgateway.errors import Conflict, NotFound, PeerError, Unacceptable
from chatgateway.store import schema
from chatgateway.store.control import Barrier
from chatgateway.store.identifiers import new_user
from chatgateway.store.reports import ConflictReport
from chatgateway.store.sessions import SessionRow
from chatgateway.types import ConversationId, ExternalId, ProjectId, SessionId, UserId

_USER_ID = re.compile("[0-9A-Za-z_-]{1,64}")

LINE_MAX_BYTES = 65_536
"""Of an import: far more than one person may take."""

AT_ONCE = 64
"""Lines of an import that are on their way to the store together."""


class Known(NamedTuple):
    """All that is known of somebody."""

    person: Person
    conversations: tuple[ConversationId, ...]
    sessions: dict[SessionId, SessionRow]
    """Those that are connected now."""


class Upserted(NamedTuple):
    person: Person
    created: bool


class Edited(NamedTuple):
    person: Person
    locked: tuple[str, ...]
    """Fields that stayed as they were, because the project's server vouches for them."""


class Blocked(NamedTuple):
    """A person who was kept out, or let in again, and what the nodes answered."""

    person: Person
    barrier: Barrier


class Imported(NamedTuple):
    """How an import went, or how far it is."""

    created: int = 0
    known: int = 0
    failed: int = 0

    @property
    def lines(self) -> int:
        return self.created + self.known + self.failed

    def __str__(self) -> str:
        return f"{self.lines:,} lines: {self.created:,} created, {self.known:,} known before, {self.failed:,} failed"


class ConflictFound(NamedTuple):
    """A token that named two people, and whom each of its identifiers names now."""

    report: ConflictReport
    users: tuple[UserId | None, ...]
    """One for each identifier, in their order; None: nobody any more."""

    @property
    def settled(self) -> bool:
        """Do the identifiers not name two people any more?"""
        return len({user for user in self.users if user is not None}) < 2


async def find(office: Office, project: ProjectId, user: str) -> Person:
    """Return the person meant by a user id or by the external id. Raises NotFound."""
    # Only what can be an id becomes part of a key's name.
    person = await office.identities.get(project, UserId(user)) if may_be_id(user) else None
    if person is None:
        person = await office.identities.find_by_external_id(project, ExternalId(user))
    is_user_id = may_be_id(user) and user.startswith("usr_")
    if person is None and is_user_id and await _was_here(office, project, UserId(user)):
        person = Person(UserId(user))  # an anonymous visitor, of whom nothing is recorded
    if person is None:
        raise NotFound(f"person called {user} in project {project}")
    return person


async def known(office: Office, project: ProjectId, user: str) -> Known:
    """Return all that is known of somebody. Raises NotFound."""
    person = await find(office, project, user)
    conversations = await office.conversations.of_person(project, person.user)
    return Known(person, tuple(conversations), await office.live_sessions(project, user=person.user))


async def upsert(office: Office, project: Project, wanted: Upsert) -> Upserted:
    """Find or create the person of that id, and tell what is told of them. Repeating is harmless.

    What changes nobody is not recorded: a server may tell the same at every login. Raises Unacceptable,
    IdentityConflict, or IdentityErased.
    """
    by_address = await names_by_address(office, project.id)
    identifiers = told.identifiers(wanted, project, names_by_address=by_address)
    said = told.description(wanted)
    before = await office.identities.find_by_external_id(project.id, ExternalId(wanted.external_id))
    if before is not None:
        names = (*identifiers, Identifier("deskpro_id", before.user))  # what an upsert gives everybody
        if described(named(before, names, before.updated_at), said, before.updated_at, signed=True) == before:
            return Upserted(before, False)
    proposed = new_user()
    async with office.recorded("user upsert", before.user if before else proposed, project.id) as recording:
        await recording.begin()
        upserted = Upserted(*await office.identities.upsert(project.id, identifiers, said, proposed))
        recording.result = f"{'created' if upserted.created else 'updated'} {upserted.person.user}"
    return upserted


async def names_by_address(office: Office, project: ProjectId) -> bool:
    """Does an app of the project read tokens in which an address is a name?"""
    return any(PROFILES[app.profile].names_by_address for app in await office.projects.list_apps(project))


async def import_people(
    office: Office,
    project: Project,
    lines: Iterable[bytes],
    *,
    on_failure: Callable[[int, str], None],
    on_person: Callable[[int, Person], None] = lambda _number, _person: None,
    on_progress: Callable[[Imported], None] = lambda _: None,
    may_go_on: Callable[[], Awaitable[None]] | None = None,
) -> Imported:
    """Upsert a person for each line of JSON. Repeating is harmless; later lines win over earlier ones.

    A line that cannot be is told to ``on_failure``, by its number from 1 and in a sentence, and the rest goes on; who
    is known by a line is told to ``on_person``.
    Recorded once, with how it ended. ``may_go_on`` is asked before each batch, and may raise. Raises StoreUnavailable;
    what was imported by then stays.
    """
    imported = Imported()

    def failed(number: int, error: Exception) -> None:
        nonlocal imported
        imported = imported._replace(failed=imported.failed + 1)
        on_failure(number, str(error))

    async with office.recorded("user import", project.id, project.id) as recording:
        await recording.begin()
        by_address = await names_by_address(office, project.id)
        for batch in _batches(lines, project, by_address, failed):
            if may_go_on is not None:
                await may_go_on()
            outcomes = await asyncio.gather(
                *(_imported(office, project, identifiers, wanted) for _, identifiers, wanted in batch),
                return_exceptions=True,
            )
            for (number, _, _), outcome in zip(batch, outcomes, strict=True):
                match outcome:
                    case PeerError() | Conflict():
                        failed(number, outcome)
                    case BaseException():
                        raise outcome
                    case person, created:
                        on_person(number, person)
                        imported = imported._replace(
                            created=imported.created + created, known=imported.known + (not created)
                        )
            on_progress(imported)
        recording.result = str(imported)
    return imported


async def edit(office: Office, project: ProjectId, user: str, wanted: Upsert) -> Edited:
    """Note what an operator knows of somebody; what the project's server vouches for stays as it is.

    Raises NotFound, or Unacceptable.
    """
    if wanted.external_id or wanted.identify_by_email:
        raise Unacceptable("Who somebody is cannot be edited; only what is known of them.")
    said = told.description(wanted)
    person = await find(office, project, user)
    async with office.recorded("user edit", person.user, project) as recording:
        await recording.begin()
        edited = Edited(*await office.identities.edit(project, person.user, said))
        recording.result = f"locked: {', '.join(edited.locked)}" if edited.locked else "done"
    return edited


async def block(office: Office, project: ProjectId, user: str) -> Blocked:
    """Keep a person out: all their sessions end, and no token lets them in. Repeating is harmless. Raises NotFound."""
    person = await find(office, project, user)
    async with office.recorded("user block", person.user, project) as recording:
        await recording.begin()
        now = await office.store.now()
        # The marks first: what the sessions still send is refused before any node has heard. The person's own partition
        # before all: once nothing is bound there any more, no session can bring another partition along.
        own = schema.partition_of_user(project, person.user)
        await office.control.mark_person(project, person.user, [own], "blocked", str(now))
        partitions = sorted(await office.sessions.partitions(project, person.user))
        await office.control.mark_person(project, person.user, partitions, "blocked", str(now))
        person = await office.identities.set_blocked(project, person.user, True)
        entry = office.control.entry("person", project, person.user, "blocked", now)
        return Blocked(person, await office.withdraw(await office.control.write(entry), recording))


async def unblock(office: Office, project: ProjectId, user: str) -> Blocked:
    """Let a blocked person in again, by a fresh token. Repeating is harmless. Raises NotFound."""
    person = await find(office, project, user)
    async with office.recorded("user unblock", person.user, project) as recording:
        await recording.begin()
        now = await office.store.now()
        partitions = sorted(await office.sessions.partitions(project, person.user))
        # Sessions from before stay dead although the block goes.
        await office.control.mark_person(project, person.user, partitions, "*", str(now))
        person = await office.identities.set_blocked(project, person.user, False)
        entry = office.control.entry("person", project, person.user, "unblocked", now)
        barrier = await office.withdraw(await office.control.write(entry), recording)
        await office.control.unmark_person(project, person.user, partitions, "blocked")
    return Blocked(person, barrier)


async def forget_identifier(office: Office, project: ProjectId, user: str, identifier: Identifier) -> Person:
    """Let ``identifier`` name this person no longer; whoever signs in with it next is somebody new.

    The way out of a conflict: sessions that live go on. Raises NotFound when it does not name them.
    """
    person = await find(office, project, user)
    named = await office.identities.find(project, identifier)
    if identifier not in person.names and (named is None or named.user != person.user):
        raise NotFound(f"{identifier.kind} {identifier.text!r} that names {person.user}")
    async with office.recorded("user forget-identifier", person.user, project) as recording:
        await recording.begin()
        recording.result = f"{identifier.kind} forgotten"
        return await office.identities.forget_identifier(project, person.user, identifier)


async def conflicts(office: Office, project: ProjectId, limit: int = 100) -> list[ConflictFound]:
    """Return the tokens that named two people, the latest first. Raises NotFound."""
    await office.projects.get_project(project)
    found: list[ConflictFound] = []
    for report in await office.reports.conflicts(project, limit):
        people = [await office.identities.find(project, identifier) for identifier in report.identifiers]
        found.append(ConflictFound(report, tuple(person.user if person else None for person in people)))
    return found


async def unadopt(office: Office, project: ProjectId, receipt: str) -> Receipt:
    """Give an adopted chat back to the anonymous visitor who began it; no message is lost. Repeating is harmless.

    ``receipt`` is an adoption's, or the anonymous visitor's id. Raises AdoptionRefused, StoreUnavailable.
    """
    await office.projects.get_project(project)
    async with office.recorded("user unadopt", receipt, project) as recording:
        await recording.begin()
        undone = await office.adoptions.undo(project, receipt, office.actor)
        recording.result = undone.state
    return undone


def may_be_id(text: str) -> bool:
    """Could ``text`` be a user id? What the project's server calls somebody may hold anything, a key's marks too."""
    return bool(_USER_ID.fullmatch(text))


async def _was_here(office: Office, project: ProjectId, user: UserId) -> bool:
    if await office.sessions.of_person(project, user):
        return True
    return bool(await office.conversations.of_person(project, user))


_Line = tuple[int, tuple[Identifier, ...], Upsert]


def _batches(
    lines: Iterable[bytes], project: Project, by_address: bool, failed: Callable[[int, Exception], None]
) -> Iterator[list[_Line]]:
    """Yield readable lines with their numbers, in runs in which nobody is named twice: order matters for one person."""
    batch: list[_Line] = []
    busy: set[Identifier] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if len(line) > LINE_MAX_BYTES:
                raise Unacceptable(f"A line has at most {LINE_MAX_BYTES} bytes.")
            wanted = told.read(line)
            identifiers = told.identifiers(wanted, project, names_by_address=by_address)
        except Unacceptable as error:
            failed(number, error)
            continue
        if len(batch) == AT_ONCE or not busy.isdisjoint(identifiers):
            yield batch
            batch, busy = [], set()
        batch.append((number, identifiers, wanted))
        busy.update(identifiers)
    if batch:
        yield batch


async def _imported(office: Office, project: Project, identifiers: tuple[Identifier, ...], wanted: Upsert) -> Upserted:
    said = told.description(wanted)
    return Upserted(*await office.identities.upsert(project.id, identifiers, said, new_user()))
