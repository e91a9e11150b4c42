"""``chatgateway key``: signing keys, and the night in which one of them has to go."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from chatgateway.admin import keys
from chatgateway.cli import answer, pair
from chatgateway.cli.ending import foretell, insist, told, warn
from chatgateway.cli.opened import Opened, on_store, opened, require_data, which_store
from chatgateway.core.keyring import SigningKey
from chatgateway.core.public_key import PublicMaterial
from chatgateway.errors import Unacceptable
from chatgateway.outside.jwks import KeySets
from chatgateway.settings import Settings, load
from chatgateway.store.control import Barrier
from chatgateway.types import KeyId, ProjectId

FILE_BYTES_MAX: Final = 65_536
"""Of what is read from a file or standard input: no key is larger."""

_RETURNING: Final = "once their server signs with another key"
_KINDS: Final = {"HS256": "secret", "JWKS": "key set"}


@click.group(name="key")
def command() -> None:
    """Signing keys: with them the project's own server vouches for its users.

    \b
    add            one more key; nobody is cut off
    generate-pair  a key whose secret half never leaves your server
    regenerate     a shared secret is replaced; the old one dies NOW
    revoke         a key leaked; it dies NOW and nothing takes its place
    """


@command.command("list")
@click.argument("project")
@answer.reading
@on_store
async def list_keys(at: Opened, *, project: str, as_json: bool) -> None:
    """List a project's keys, newest first, dead ones too. Never shows a secret."""
    ring = await keys.ring(at, ProjectId(project))
    columns = ("kid", "name", "algorithm", "state", "created_at", "last_used_at", "fingerprint", "ends_with")
    answer.table((*columns, "kind", "url"), [_row(key) for key in ring.keys], as_json)


@command.command("show")
@click.argument("project")
@click.argument("kid")
@answer.reading
@on_store
async def show(at: Opened, *, project: str, kid: str, as_json: bool) -> None:
    """Show one key. Of a public key all of it; never a secret."""
    key = await keys.get(at, ProjectId(project), KeyId(kid))
    public = key.material.pem.decode() if isinstance(key.material, PublicMaterial) else ""
    if as_json:
        answer.record(_row(key) | {"public_key": public}, as_json)
        return
    answer.record(_row(key), as_json)
    click.echo(public, nl=False)


@command.command("add")
@click.argument("project")
@click.option("--name", default="", help="What people call it, for instance the server that signs with it.")
@click.option(
    "--public", metavar="FILE", is_eager=True, help="A public key, PEM or JWK, of a pair that your server signs with."
)
@click.option("--jwks", metavar="URL", is_eager=True, help="Follow the key set that is published there (https).")
@click.option(
    "--import", "imported", metavar="FILE", is_eager=True, help="A shared secret that your server signs with already."
)
@click.option("--kid", help="What your server's tokens call this key, if they name it. With --public and --import.")
@answer.revealing
@on_store
async def add(
    at: Opened,
    *,
    project: str,
    name: str,
    public: str | None,
    jwks: str | None,
    imported: str | None,
    kid: str | None,
    secret_file: Path | None,
    as_json: bool,
) -> None:
    """Add one more key. Nobody is cut off; the other keys go on.

    Without --public, --jwks or --import a shared secret is made, and shown once. FILE may be - for standard input.
    """
    given = [way for way in (public, jwks, imported) if way is not None]
    if len(given) > 1:
        raise click.UsageError("--public, --jwks and --import are three kinds of keys: give one of them")
    if given and secret_file is not None:
        raise click.UsageError("--secret-file is for a secret that is made here; this key is yours already")
    if kid is not None and not (public or imported):
        raise click.UsageError("--kid is for a key that has a name already: it goes with --public or --import")
    chosen = None if kid is None else KeyId(kid)
    found = ProjectId(project)
    if public is not None:
        answer.record(_added(await keys.add_public(at, found, _read(public), name, chosen)), as_json)
    elif imported is not None:
        # The line's end is the editor's, not the secret's.
        secret = _read(imported).removesuffix("\n").removesuffix("\r")
        answer.record(_added(await keys.import_secret(at, found, secret, name, chosen)), as_json)
    elif jwks is not None:
        sets = KeySets(private_addresses=at.settings.jwks_private_addresses)
        followed = await keys.follow(at, sets, found, jwks, name)
        published = [f"{key.algorithm} {key.kid or '(unnamed)'}" for key in followed.found]
        answer.record(_added(followed.key) | {"url": followed.key.url, "keys": published}, as_json)
    else:
        with answer.secret_place(secret_file) as put:
            made = await keys.add_secret(at, found, name)
            put(made.secret)
        _reveal(made.key, made.secret, secret_file, as_json, {})


@command.command("generate-pair")
@click.argument("project", required=False)
@click.option("--algorithm", type=click.Choice(pair.KINDS), default="RS256", show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("chatgateway-key.pem"),
    show_default=True,
    help="Where the private part goes (0600, never over another file). The public part goes beside it, as .pub.",
)
@click.option("--name", default="", help="What people call it. With PROJECT.")
@answer.reading
@which_store
def generate_pair(
    *,
    project: str | None,
    algorithm: pair.Kind,
    out: Path,
    name: str,
    as_json: bool,
    data: Path | None,
    store_url: str | None,
    config: Path | None,
) -> None:
    """Make a key pair here: your server signs with the private part, and the gateway needs only the public one.

    With PROJECT the public part is added to its keys at once. The private part is written to a file and is neither
    stored nor shown; nobody is cut off.
    """
    if project is None:
        beside, _ = pair.generate(algorithm, out)
        added: dict[str, object] = {}
        following = f"Keep {out} on your server and sign with it, then: chatgateway key add PROJECT --public {beside}"
    else:
        settings = load({"data": data, "store_url": store_url}, os.environ, config)
        beside, key = asyncio.run(_paired(settings, ProjectId(project), algorithm, out, name))
        added = _added(key)
        following = f'Keep {out} on your server and sign with it, with "kid": "{key.kid}" in the header.'
    made: dict[str, object] = {"private_key": str(out), "public_key": str(beside), "algorithm": algorithm}
    answer.record(made | added, as_json)
    click.echo(following, err=True)


@command.command("rename")
@click.argument("project")
@click.argument("kid")
@click.argument("name")
@answer.reading
@on_store
async def rename(at: Opened, *, project: str, kid: str, name: str, as_json: bool) -> None:
    """Call a key something else. Only people read the name; nobody is cut off, and tokens stay as they are."""
    answer.record(_row(await keys.rename(at, ProjectId(project), KeyId(kid), name)), as_json)


@command.command("regenerate")
@click.argument("project")
@click.argument("kid", required=False)
@answer.rehearsing
@answer.asking
@answer.revealing
@on_store
async def regenerate(
    at: Opened, *, project: str, kid: str | None, dry_run: bool, yes: bool, secret_file: Path | None, as_json: bool
) -> None:
    """Replace a shared secret. The old one dies NOW.

    The new secret is shown once. Sessions signed in with the old one end on every node with 4301 (fetch a fresh token,
    then reconnect). Other keys, anonymous visitors and the message history are not touched. KID is needed when the
    project has several secrets.

    \b
    Exit status: 0 done   1 not confirmed by every node   2 usage   4 store unreachable
    """
    found = await at.projects.get_project(ProjectId(project))
    try:
        old = keys.secret_to_regenerate(await keys.ring(at, found.id), None if kid is None else KeyId(kid))
    except Unacceptable as error:
        raise click.UsageError(str(error)) from error
    sessions = await at.live_sessions(found.id, kid=old.kid)
    if dry_run:
        foretell(sessions, as_json)
        return
    warn(f"{old.kid} of {found.name} dies now", sessions, yes, returning=_RETURNING)
    barrier: Barrier | None = None
    fresh: list[tuple[SigningKey, str]] = []
    with answer.secret_place(secret_file) as put:

        def deliver(key: SigningKey, secret: str) -> None:
            put(secret)
            fresh.append((key, secret))

        # The old secret is dead whatever the nodes answer, so the new one must reach the operator in any case.
        try:
            barrier = (await keys.regenerate(at, found.id, old.kid, deliver)).barrier
        finally:
            for key, secret in fresh:
                _reveal(key, secret, secret_file, as_json, told(barrier))
    insist(barrier, f"chatgateway key revoke {found.id} {old.kid}")


@command.command("revoke")
@click.argument("project")
@click.argument("kid")
@answer.rehearsing
@answer.asking
@answer.reading
@on_store
async def revoke(at: Opened, *, project: str, kid: str, dry_run: bool, yes: bool, as_json: bool) -> None:
    """End a key that leaked. It dies NOW, and nothing takes its place. Repeating is harmless.

    Sessions signed in with it end on every node with 4301. Their server must sign with another key of the project
    (see key add); until it does, its users cannot sign in. Other keys, anonymous visitors and the message history are
    not touched. Of a key set that is followed, all keys end at once.
    """
    found = await at.projects.get_project(ProjectId(project))
    old = await keys.get(at, found.id, KeyId(kid))
    sessions = await at.live_sessions(found.id, kid=old.kid)
    if dry_run:
        foretell(sessions, as_json)
        return
    warn(f"{old.kid} of {found.name} dies now, and nothing takes its place", sessions, yes, returning=_RETURNING)
    ended = await keys.revoke(at, found.id, old.kid)
    answer.record({"kid": old.kid} | told(ended.barrier), as_json)
    insist(ended.barrier, f"chatgateway key revoke {found.id} {old.kid}")


async def _paired(
    settings: Settings, project: ProjectId, algorithm: pair.Kind, out: Path, name: str
) -> tuple[Path, SigningKey]:
    """Make a pair for a project that exists, and add its public part."""
    require_data(settings)
    async with opened(settings) as at:
        await at.projects.get_project(project)
        beside, public = pair.generate(algorithm, out)
        return beside, await keys.add_public(at, project, public, name)


def _read(place: str) -> str:
    """Return the text of a file, or of standard input. What is in it is never part of a complaint."""
    try:
        with click.open_file(place, "rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise click.UsageError(f"{place} is too large for a key")
        return content.decode("utf-8-sig")  # editors put a mark in front
    except OSError as error:
        raise click.UsageError(f"{place} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise click.UsageError(f"{place} is not UTF-8 text") from None


def _reveal(key: SigningKey, secret: str, secret_file: Path | None, as_json: bool, more: Mapping[str, object]) -> None:
    shown: dict[str, object] = {"kid": key.kid, "fingerprint": key.fingerprint}
    shown |= {"secret": secret} if secret_file is None else {"secret_file": str(secret_file)}
    answer.record(shown | dict(more), as_json)


def _added(key: SigningKey) -> dict[str, object]:
    return {"kid": key.kid, "name": key.name, "algorithm": key.algorithm, "fingerprint": key.fingerprint}


def _row(key: SigningKey) -> dict[str, object]:
    return {
        "kid": key.kid,
        "name": key.name,
        "algorithm": key.algorithm,
        "state": key.state,
        "created_at": answer.instant(key.created_at),
        "last_used_at": answer.instant(key.last_used_at or 0),
        "revoked_at": answer.instant(key.revoked_at or 0),
        "fingerprint": key.fingerprint,
        "ends_with": key.last_four,
        "kind": _KINDS.get(key.algorithm, "public key"),
        "url": key.url,
    }
