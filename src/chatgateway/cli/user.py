"""``chatgateway user``: the people that a project knows."""

from __future__ import annotations

import click

from chatgateway.cli import answer
from chatgateway.cli.ending import insist, session_row, told, warn
from chatgateway.cli.opened import Opened, on_store
from chatgateway.core.identity import Person
from chatgateway.errors import NotFound
from chatgateway.types import ExternalId, ProjectId, UserId


@click.group(name="user")
def command() -> None:
    """The people that a project knows. USER is the user id (usr_…) or the id that the project's server signs."""


@command.command("list")
@click.argument("project")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@answer.reading
@on_store
async def list_users(at: Opened, *, project: str, limit: int, as_json: bool) -> None:
    """List the people who signed in, the last updated first. Anonymous visitors are in session list."""
    found = await at.projects.get_project(ProjectId(project))
    rows = [_row(person) for person in await at.identities.list_people(found.id, limit)]
    answer.table(("user", "external_id", "name", "email", "blocked", "updated_at"), rows, as_json)


@command.command("show")
@click.argument("project")
@click.argument("user")
@answer.reading
@on_store
async def show(at: Opened, *, project: str, user: str, as_json: bool) -> None:
    """Show one person: what is known, their conversations, and their sessions that are connected now."""
    found = await at.projects.get_project(ProjectId(project))
    person = await person_of(at, found.id, user)
    live = await at.live_sessions(found.id, user=person.user)
    sessions = [session_row(session, row) for session, row in live.items()]
    row = _row(person) | {
        "email_proved": person.email_proved,
        "signed": list(person.signed),
        "created_at": answer.instant(person.created_at),
        "conversations": list(await at.conversations.of_person(found.id, person.user)),
        "sessions": sessions if as_json else [session["session"] for session in sessions],
    }
    answer.record(row, as_json)


@command.command("block")
@click.argument("project")
@click.argument("user")
@answer.asking
@answer.reading
@on_store
async def block(at: Opened, *, project: str, user: str, yes: bool, as_json: bool) -> None:
    """Keep a person out. All their sessions end NOW, and no token lets them in again.

    Their browsers are told 4403 (forbidden). They can still chat anonymously where the app's policy admits anyone.
    Their history stays; user unblock lets them in again.
    """
    found = await at.projects.get_project(ProjectId(project))
    person = await person_of(at, found.id, user)
    live = await at.live_sessions(found.id, user=person.user)
    warn(f"{person.name or person.user} is kept out of {found.name} from now on", live, yes)
    async with at.recorded("user block", person.user, found.id) as recording:
        await recording.begin()
        now = await at.store.now()
        # The marks first: what the sessions still send is refused before any node has heard.
        partitions = sorted(await at.sessions.partitions(found.id, person.user))
        await at.control.mark_person(found.id, person.user, partitions, "blocked", str(now))
        await at.identities.set_blocked(found.id, person.user, True)
        entry = at.control.entry("person", found.id, person.user, "blocked", now)
        barrier = await at.withdraw(await at.control.write(entry), recording)
    answer.record({"user": person.user, "blocked": True} | told(barrier), as_json)
    insist(barrier, f"chatgateway user block {found.id} {person.user}")


@command.command("unblock")
@click.argument("project")
@click.argument("user")
@answer.reading
@on_store
async def unblock(at: Opened, *, project: str, user: str, as_json: bool) -> None:
    """Let a blocked person in again. The sessions that ended stay ended; a fresh token begins new ones."""
    found = await at.projects.get_project(ProjectId(project))
    person = await person_of(at, found.id, user)
    async with at.recorded("user unblock", person.user, found.id) as recording:
        await recording.begin()
        now = await at.store.now()
        partitions = sorted(await at.sessions.partitions(found.id, person.user))
        # Sessions from before stay dead although the block goes.
        await at.control.mark_person(found.id, person.user, partitions, "*", str(now))
        await at.identities.set_blocked(found.id, person.user, False)
        entry = at.control.entry("person", found.id, person.user, "unblocked", now)
        barrier = await at.withdraw(await at.control.write(entry), recording)
        await at.control.unmark_person(found.id, person.user, partitions, "blocked")
    answer.record({"user": person.user, "blocked": False} | told(barrier), as_json)
    insist(barrier, f"chatgateway user unblock {found.id} {person.user}")


async def person_of(at: Opened, project: ProjectId, user: str) -> Person:
    """Return the person meant by a user id or by the external id. Raises NotFound."""
    person = await at.identities.get(project, UserId(user))
    if person is None:
        person = await at.identities.find_by_external_id(project, ExternalId(user))
    if person is None and user.startswith("usr_") and await at.sessions.of_person(project, UserId(user)):
        person = Person(UserId(user))  # an anonymous visitor: known by sessions alone
    if person is None:
        raise NotFound(f"nobody in project {project} is called {user}")
    return person


def _row(person: Person) -> dict[str, object]:
    return {
        "user": person.user,
        "external_id": person.external_id,
        "name": person.name,
        "email": person.email,
        "blocked": person.blocked,
        "updated_at": answer.instant(person.updated_at),
    }
