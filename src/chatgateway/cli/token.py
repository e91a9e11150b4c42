"""``chatgateway token``: customer tokens for experiments."""

from __future__ import annotations

import click

from chatgateway.cli import answer
from chatgateway.cli.opened import Opened, on_store
from chatgateway.types import AppId, KeyId


@click.group(name="token")
def command() -> None:
    """Customer tokens, as the project's own server signs them. For experiments; servers sign with their own library."""


@command.command("mint")
@click.argument("app")
@click.argument("external_id")
@click.option("--name", help="What the agent reads beside the check mark.")
@click.option("--email", help="An address that the project vouches for.")
@click.option("--minutes", type=click.IntRange(1, 24 * 60), default=5, show_default=True, help="How long it lives.")
@click.option("--kid", help="Sign with this key instead of the newest.")
@answer.reading
@on_store
async def mint(
    at: Opened,
    *,
    app: str,
    external_id: str,
    name: str | None,
    email: str | None,
    minutes: int,
    kid: str | None,
    as_json: bool,
) -> None:
    """Sign a token that says: the bearer is EXTERNAL_ID.

    Whoever has it is that person for the gateway until it expires, so keep it as you keep a password. The secret is
    read from the store and never shown. Recorded in the audit.
    """
    import jwt

    project, _ = await at.projects.get_app(AppId(app))
    ring = await at.keyrings.load(project.id)
    key = next((key for key in ring.usable("HS256") if kid in (None, KeyId(key.kid))), None)
    if key is None:
        raise click.UsageError("the project has no such secret: make one with chatgateway key add, or see key list")
    issued_at = await at.store.now() // 1000
    claims: dict[str, object] = {"external_id": external_id, "iat": issued_at, "exp": issued_at + minutes * 60}
    claims |= {claim: value for claim, value in (("name", name), ("email", email)) if value is not None}
    async with at.recorded("token mint", external_id, project.id) as recording:
        recording.fingerprint = key.fingerprint
        await recording.begin()
    token = jwt.encode(claims, key.material.reveal(), algorithm=key.algorithm, headers={"kid": key.kid})
    if as_json:
        answer.record(
            {"token": token, "kid": key.kid, "expires_at": answer.instant((issued_at + minutes * 60) * 1000)}, True
        )
    else:
        click.echo(token)
