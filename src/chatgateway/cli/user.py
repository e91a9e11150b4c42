"""``chatgateway user``: the people that a project knows."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, cast, get_args

import click
import msgspec

from chatgateway.admin import people, privacy
from chatgateway.admin.people import Imported
from chatgateway.cli import FAILED, answer
from chatgateway.cli.ending import foretell, insist, session_row, told, warn
from chatgateway.cli.opened import Opened, on_store
from chatgateway.core.person import Identifier, IdentifierKind, Person
from chatgateway.core.upsert import Upsert
from chatgateway.types import ProjectId

_PROGRESS_EVERY = 10_000
"""Lines of an import between two lines of its progress."""


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
    _table(await at.identities.list_people(found.id, limit), as_json)


@command.command("search")
@click.argument("project")
@click.argument("prefix")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True)
@answer.reading
@on_store
async def search(at: Opened, *, project: str, prefix: str, limit: int, as_json: bool) -> None:
    """Find people of whose name, address or id a word begins with PREFIX, without regard to case and accents."""
    found = await at.projects.get_project(ProjectId(project))
    _table(await at.people.search(found.id, prefix, limit), as_json)


@command.command("show")
@click.argument("project")
@click.argument("user")
@answer.reading
@on_store
async def show(at: Opened, *, project: str, user: str, as_json: bool) -> None:
    """Show one person: what is known, their conversations, and their sessions that are connected now.

    What stands under own_groups was told by the project; groups holds 1 and 2 too, which nobody has to name: everybody,
    and whoever signed in. What stands under signed is locked: the project's server said it, and neither a page nor an
    agent changes it.
    """
    found = await at.projects.get_project(ProjectId(project))
    person, conversations, live = await people.known(at, found.id, user)
    sessions = [session_row(session, row) for session, row in live.items()]
    row = _described(person) | {
        "conversations": list(conversations),
        "sessions": sessions if as_json else [session["session"] for session in sessions],
    }
    answer.record(row, as_json)


@command.command("edit")
@click.argument("project")
@click.argument("user")
@click.option("--name", help="What the agent reads.")
@click.option("--email", help="An address; it counts as unproved.")
@click.option("--organization", help="Where they belong to.")
@click.option("--label", "labels", multiple=True, help="Replaces all labels; once for each.")
@answer.reading
@on_store
async def edit(
    at: Opened,
    *,
    project: str,
    user: str,
    name: str | None,
    email: str | None,
    organization: str | None,
    labels: tuple[str, ...],
    as_json: bool,
) -> None:
    """Note what you know of a person. What their project's server vouches for stays as it is, and is named.

    \b
    Exit status: 0 something was noted, or was known   1 all of it is locked
    """
    found = await at.projects.get_project(ProjectId(project))
    told_of = Upsert(name=name, email=email, organization=organization, labels=labels or None)
    person, locked = await people.edit(at, found.id, user, told_of)
    answer.record(_described(person) | {"locked": list(locked)}, as_json)
    if locked:
        fields = ", ".join(locked)
        click.echo(f"chatgateway: not changed, because the project's server vouches for it: {fields}", err=True)
        asked = {"name": name, "email": email, "organization": organization, "labels": labels or None}
        if all(field in locked for field, value in asked.items() if value is not None):
            raise click.exceptions.Exit(FAILED)


@command.command("import")
@click.argument("project")
@click.argument("file", type=click.File("rb"))
@answer.reading
@on_store
async def import_users(at: Opened, *, project: str, file: BinaryIO, as_json: bool) -> None:
    """Tell of many people: FILE (- is standard input) has one JSON object a line, such as

    \b
      {"external_id": "u-1", "name": "Ada", "email": "ada@shop.example", "email_proved": true}

    Who is known is updated, who is not is created; running it again is harmless. What is imported is locked as if it
    were signed. A line that cannot be is reported with its number, and the rest goes on. With --json the answer lists
    the errors by line, and for each person the user id.

    \b
    Exit status: 0 every line   1 some lines failed
    """
    found = await at.projects.get_project(ProjectId(project))
    reported = 0
    failures: list[dict[str, object]] = []
    told_of: list[dict[str, object]] = []

    def on_failure(number: int, why: str) -> None:
        click.echo(f"line {number}: {answer.text(why)}", err=True)
        failures.append({"line": number, "sentence": why})

    def on_person(number: int, person: Person) -> None:
        if as_json:
            told_of.append({"line": number, "external_id": person.external_id, "user": person.user})

    def on_progress(imported: Imported) -> None:
        nonlocal reported
        if imported.lines - reported >= _PROGRESS_EVERY:
            reported = imported.lines
            click.echo(f"{imported} so far", err=True)

    imported = await people.import_people(
        at, found, file, on_failure=on_failure, on_person=on_person, on_progress=on_progress
    )
    click.echo(str(imported), err=True)
    row: dict[str, object] = {**imported._asdict(), "lines": imported.lines}
    if as_json:
        row |= {name: sorted(rows, key=_line) for name, rows in (("errors", failures), ("people", told_of))}
    answer.record(row, as_json)
    if imported.failed:
        raise click.exceptions.Exit(FAILED)


@command.command("export")
@click.argument("project")
@click.argument("user")
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it here (0600, replaced in one step) instead of printing it.",
)
@answer.reading
@on_store
async def export(at: Opened, *, project: str, user: str, file: Path | None, as_json: bool) -> None:
    """Give a person all that is held of them, as one JSON document: who they are, sessions, every message.

    Of others it holds only what they wrote in this person's conversations. Recorded in the audit.
    """
    found = await at.projects.get_project(ProjectId(project))
    with answer.secret_place(file) as put:
        document = await privacy.export(at, found.id, user)
        put(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
    if file is None:
        answer.record(document, as_json=True)
        return
    conversations = len(document["conversations"])
    answer.record({"user": document["user"], "conversations": conversations, "file": str(file)}, as_json)


@command.command("erase")
@click.argument("project")
@click.argument("user")
@answer.rehearsing
@answer.asking
@answer.reading
@on_store
async def erase(at: Opened, *, project: str, user: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Forget a person for ever. Their sessions end NOW, and their conversations are deleted, agents' answers too.

    Their browsers are told 4410 (identity_erased). In conversations of others their words are taken out and their name
    is replaced. Whoever signs in with the same id later is somebody new. It cannot be undone: see user export before.
    Repeating is harmless, and finishes what was interrupted: by the user id (usr_…), for the other id is gone.
    """
    found = await at.projects.get_project(ProjectId(project))
    person, conversations, live = await privacy.foretell(at, found.id, user)
    if dry_run:
        foretell(live, as_json)
        return
    count = answer.plural(len(conversations), "conversation")
    warn(f"{person.name or person.user} is forgotten by {found.name} for ever, with {count}", live, yes)
    user_id, erased, barrier = await privacy.erase(at, found.id, person.user)
    deleted = {"conversations_deleted": erased.conversations, "conversations_rewritten": erased.rewritten}
    answer.record({"user": user_id, "erased_at": answer.instant(erased.at)} | deleted | told(barrier), as_json)
    insist(barrier, f"chatgateway user erase {found.id} {user_id}")


@command.command("block")
@click.argument("project")
@click.argument("user")
@answer.rehearsing
@answer.asking
@answer.reading
@on_store
async def block(at: Opened, *, project: str, user: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Keep a person out. All their sessions end NOW, and no token lets them in again.

    Their browsers are told 4403 (forbidden). They can still chat anonymously where the app's policy admits anyone.
    Their history stays; user unblock lets them in again.
    """
    found = await at.projects.get_project(ProjectId(project))
    person = await people.find(at, found.id, user)
    live = await at.live_sessions(found.id, user=person.user)
    if dry_run:
        foretell(live, as_json)
        return
    warn(f"{person.name or person.user} is kept out of {found.name} from now on", live, yes)
    blocked = await people.block(at, found.id, person.user)
    answer.record({"user": person.user, "blocked": True} | told(blocked.barrier), as_json)
    insist(blocked.barrier, f"chatgateway user block {found.id} {person.user}")


@command.command("unblock")
@click.argument("project")
@click.argument("user")
@answer.reading
@on_store
async def unblock(at: Opened, *, project: str, user: str, as_json: bool) -> None:
    """Let a blocked person in again. The sessions that ended stay ended; a fresh token begins new ones."""
    found = await at.projects.get_project(ProjectId(project))
    person, barrier = await people.unblock(at, found.id, user)
    answer.record({"user": person.user, "blocked": False} | told(barrier), as_json)
    insist(barrier, f"chatgateway user unblock {found.id} {person.user}")


@command.command("conflicts")
@click.argument("project")
@click.option("--limit", type=click.IntRange(1, 1_000), default=100, show_default=True)
@answer.reading
@on_store
async def conflicts(at: Opened, *, project: str, limit: int, as_json: bool) -> None:
    """List tokens that were refused because their identifiers name two people, the latest first.

    Nobody was changed. What is settled names two people no longer. To end a conflict, correct the server that signs
    them, or let one identifier go (user forget-identifier).
    """
    found = await at.projects.get_project(ProjectId(project))
    rows = [
        {
            "at": answer.instant(conflict.report.at),
            "app": conflict.report.app,
            "state": "settled" if conflict.settled else "open",
            "identifiers": [
                f"{kind} {text} names {user or 'nobody'}"
                for (kind, text), user in zip(conflict.report.identifiers, conflict.users, strict=True)
            ],
        }
        for conflict in await people.conflicts(at, found.id, limit)
    ]
    answer.table(("at", "app", "state", "identifiers"), rows, as_json)


@command.command("forget-identifier")
@click.argument("project")
@click.argument("user")
@click.argument("kind", type=click.Choice(get_args(IdentifierKind)))
@click.argument("text")
@answer.reading
@on_store
async def forget_identifier(
    at: Opened, *, project: str, user: str, kind: IdentifierKind, text: str, as_json: bool
) -> None:
    """Let an identifier name a person no longer. Nobody's session ends, and no history moves.

    Whoever signs in with it next is somebody new, or the person whom the token's other identifier names.
    """
    found = await at.projects.get_project(ProjectId(project))
    person = await people.forget_identifier(at, found.id, user, Identifier(kind, text))
    answer.record(_described(person), as_json)


@command.command("unadopt")
@click.argument("project")
@click.argument("receipt")
@answer.reading
@on_store
async def unadopt(at: Opened, *, project: str, receipt: str, as_json: bool) -> None:
    """Take a chat that somebody kept when they signed in out of their account again. No message is lost.

    RECEIPT is what the adoption was answered with, or the anonymous visitor's id (usr_…). Agents go on seeing the
    conversation; the person does not. Repeating is harmless.
    """
    undone = await people.unadopt(at, ProjectId(project), receipt)
    row = {
        "receipt": undone.id,
        "state": undone.state,
        "account": undone.account,
        "earlier": undone.earlier,
        "conversations": list(undone.conversations),
        "undone_at": answer.instant(undone.undone_at),
    }
    answer.record(row, as_json)


def _line(row: dict[str, object]) -> int:
    return cast("int", row["line"])


def _table(found: list[Person], as_json: bool) -> None:
    rows = [_row(person) for person in found]
    answer.table(("user", "external_id", "name", "email", "blocked", "updated_at"), rows, as_json)


def _row(person: Person) -> dict[str, object]:
    return {
        "user": person.user,
        "external_id": person.external_id,
        "name": person.name,
        "email": person.email,
        "blocked": person.blocked,
        "updated_at": answer.instant(person.updated_at),
    }


def _described(person: Person) -> dict[str, object]:
    return _row(person) | {
        "short_name": person.short_name,
        "email_proved": person.email_proved,
        "emails": list(person.emails),
        "organization": person.organization,
        "groups": list(person.all_groups),
        "own_groups": list(person.groups),
        "fields": dict(person.fields),
        "labels": list(person.labels),
        "timezone": person.timezone,
        "language": person.language,
        "identifiers": [f"{kind} {text}" for kind, text in person.identifiers],
        "signed": list(person.signed),
        "created_at": answer.instant(person.created_at),
    }
