"""``chatgateway key``: signing keys, and the night in which one of them has to go."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

import click

from chatgateway.cli import answer
from chatgateway.cli.ending import foretell, insist, told, warn
from chatgateway.cli.opened import Opened, on_store
from chatgateway.core.keyring import ENTROPY_BYTES, KeyRing, SigningKey, secret_from, shared_secret
from chatgateway.core.project import Project
from chatgateway.errors import KeyUnknown
from chatgateway.store.control import Barrier
from chatgateway.store.projects import fresh_id
from chatgateway.types import KeyId, ProjectId


@click.group(name="key")
def command() -> None:
    """Signing keys: with them the project's own server vouches for its users.

    \b
    add         one more secret; nobody is cut off
    regenerate  a shared secret is replaced; the old one dies NOW
    revoke      a key leaked; it dies NOW and nothing takes its place
    """


@command.command("list")
@click.argument("project")
@answer.reading
@on_store
async def list_keys(at: Opened, *, project: str, as_json: bool) -> None:
    """List a project's keys, newest first, dead ones too. Never shows a secret."""
    found = await at.projects.get_project(ProjectId(project))
    ring = await at.keyrings.load(found.id)
    columns = ("kid", "name", "algorithm", "state", "created_at", "last_used_at", "fingerprint", "ends_with")
    answer.table(columns, [_row(key) for key in ring.keys], as_json)


@command.command("add")
@click.argument("project")
@click.option("--name", default="", help="What people call it, for instance the server that signs with it.")
@answer.revealing
@on_store
async def add(at: Opened, *, project: str, name: str, secret_file: Path | None, as_json: bool) -> None:
    """Make one more shared secret. Nobody is cut off; the other keys go on.

    The new secret is shown once.
    """
    found = await at.projects.get_project(ProjectId(project))
    with answer.secret_place(secret_file) as put:
        async with at.recorded("key add", found.id, found.id) as recording:
            key, secret = await fresh_key(at, found, name)
            recording.fingerprint, recording.result = key.fingerprint, key.kid
            await at.keyrings.change(found.id, lambda ring: ring.add(key), intent=recording)
        put(secret)
    _reveal(key, secret, secret_file, as_json, {})


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
    old = _chosen(await at.keyrings.load(found.id), kid)
    sessions = await at.live_sessions(found.id, kid=old.kid)
    if dry_run:
        foretell(sessions, as_json)
        return
    warn(f"{old.kid} of {found.name} dies now", sessions, yes)
    with answer.secret_place(secret_file) as put:
        fresh, secret = await fresh_key(at, found, old.name)
        now = await at.store.now()
        entry = at.control.entry("key", found.id, old.kid, "regenerated", now)
        async with at.recorded("key regenerate", old.kid, found.id) as recording:
            recording.fingerprint = fresh.fingerprint
            changed = await at.keyrings.change(
                found.id, lambda ring: ring.regenerate(old.kid, fresh, now), entry, recording
            )
            # The old secret is dead whatever the nodes answer, so the new one must reach the operator in any case.
            put(secret)
            barrier: Barrier | None = None
            try:
                barrier = await at.withdraw(changed.control, recording)
            finally:
                _reveal(fresh, secret, secret_file, as_json, told(barrier))
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
    not touched.
    """
    found = await at.projects.get_project(ProjectId(project))
    old = (await at.keyrings.load(found.id)).get(KeyId(kid))
    if old is None:
        raise KeyUnknown(kid)
    sessions = await at.live_sessions(found.id, kid=old.kid)
    if dry_run:
        foretell(sessions, as_json)
        return
    warn(f"{old.kid} of {found.name} dies now, and nothing takes its place", sessions, yes)
    now = await at.store.now()
    entry = at.control.entry("key", found.id, old.kid, "revoked", now)
    async with at.recorded("key revoke", old.kid, found.id) as recording:
        recording.fingerprint = old.fingerprint
        changed = await at.keyrings.change(found.id, lambda ring: ring.revoke(old.kid, now), entry, recording)
        barrier = await at.withdraw(changed.control, recording)
    answer.record({"kid": old.kid} | told(barrier), as_json)
    insist(barrier, f"chatgateway key revoke {found.id} {old.kid}")


async def fresh_key(at: Opened, project: Project, name: str) -> tuple[SigningKey, str]:
    """Return a new shared secret as a key, and its text, which nobody can ask for later."""
    secret = secret_from(secrets.token_bytes(ENTROPY_BYTES), live=not project.test)
    return shared_secret(KeyId(fresh_id("key")), secret, name, await at.store.now()), secret


def _chosen(ring: KeyRing, kid: str | None) -> SigningKey:
    """Return the usable secret that is meant; with several, the operator has to say which."""
    candidates = [key for key in ring.usable("HS256") if kid in (None, key.kid)]
    if kid is None and len(candidates) > 1:
        named = ", ".join(f"{key.kid} ({key.name or 'unnamed'})" for key in candidates)
        raise click.UsageError(f"this project has several secrets; say which: {named}")
    if not candidates:
        raise click.UsageError(f"{kid} is not a living secret of this project" if kid else "the project has no secret")
    return candidates[0]


def _reveal(key: SigningKey, secret: str, secret_file: Path | None, as_json: bool, more: Mapping[str, object]) -> None:
    shown: dict[str, object] = {"kid": key.kid, "fingerprint": key.fingerprint}
    shown |= {"secret": secret} if secret_file is None else {"secret_file": str(secret_file)}
    answer.record(shown | dict(more), as_json)


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
    }
