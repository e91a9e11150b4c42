"""``chatgateway token``: what a customer token says, why it is refused, and one to try with."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Final

import click

from chatgateway.admin import tokens
from chatgateway.cli import FAILED, answer
from chatgateway.cli.opened import Opened, on_store
from chatgateway.core.doctor import Diagnosis, Finding
from chatgateway.core.profiles import PROFILES
from chatgateway.outside.jwks import KeySets
from chatgateway.types import AppId, KeyId

READ_BYTES_MAX: Final = 1_048_576
"""Of what is pasted. A token has 8 KiB; what was saved in its place may have more, and is explained too."""

_NEVER_AN_ARGUMENT: Final = (
    "a token is never an argument, for everybody on this machine can read those, and the shell keeps them: give it on "
    "standard input, or in a file with --file"
)
_LINE_END: Final = Finding(
    "white_space_around", "the input ended with a line break, as files do", "do not send it along, for so it is refused"
)
_COLORS: Final = {"ok": "green", "warn": "yellow", "bad": "red"}


@click.group(name="token")
def command() -> None:
    """Customer tokens, as the project's own server signs them."""


@command.command("explain")
@click.argument("app")
@click.argument("pasted", nargs=-1, metavar="")
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), help="Read the token from this file.")
@answer.reading
@on_store
async def explain(at: Opened, *, app: str, pasted: tuple[str, ...], file: Path | None, as_json: bool) -> None:
    """Say whether this gateway takes a token for APP, and if not, why not and what to change.

    The token is read from standard input. Nothing is changed, no token is used up, and neither token nor secret is
    printed.

    \b
      chatgateway token explain app_… < token.txt

    \b
    Exit status: 0 the token is good   1 it is refused
    """
    if pasted or app.count(".") == 2 or app.startswith(("ey", "JWT", "Bearer", "cgs_", "cgv_")):
        raise click.UsageError(_NEVER_AN_ARGUMENT)
    sets = KeySets(private_addresses=at.settings.jwks_private_addresses)
    token, line_end = _token(file)
    diagnosis = await tokens.explain(at, AppId(app), token, sets=sets, neighbours=True)
    if line_end and diagnosis.verdict != "bad":
        diagnosis = dataclasses.replace(diagnosis, also=(*diagnosis.also, _LINE_END))
    if as_json:
        answer.record(as_row(diagnosis), True)
    else:
        _tell(diagnosis)
    if diagnosis.verdict == "bad":
        raise click.exceptions.Exit(FAILED)


@command.command("mint")
@click.argument("app")
@click.argument("external_id")
@click.option("--profile", type=click.Choice(list(PROFILES)), help="Whose shape it has. [default: the app's]")
@click.option("--name", default="", help="What the agent reads beside the check mark.")
@click.option("--email", default="", help="An address that the project vouches for.")
@click.option("--minutes", type=click.IntRange(1, 24 * 60), default=5, show_default=True, help="How long it lives.")
@click.option("--kid", help="Sign with this key instead of the newest.")
@answer.reading
@on_store
async def mint(
    at: Opened,
    *,
    app: str,
    external_id: str,
    profile: str | None,
    name: str,
    email: str,
    minutes: int,
    kid: str | None,
    as_json: bool,
) -> None:
    """Sign a token that says: the bearer is EXTERNAL_ID.

    For experiments; servers sign with their own library. For the profile deskpro EXTERNAL_ID is an address, or whatever
    names somebody whom the project knows: the token holds their user id.

    Whoever has it is that person for the gateway until it expires, so keep it as you keep a password. The secret is
    read from the store and never shown. Recorded in the audit.
    """
    made = await tokens.mint(
        at,
        AppId(app),
        external_id,
        profile=profile,
        name=name,
        email=email,
        minutes=minutes,
        kid=None if kid is None else KeyId(kid),
    )
    if as_json:
        expires_at = answer.instant(made.expires_at)
        answer.record({"token": made.token, "kid": made.kid, "profile": made.profile, "expires_at": expires_at}, True)
    else:
        click.echo(made.token)


def as_row(diagnosis: Diagnosis) -> dict[str, object]:
    """Return a diagnosis as an object for programs."""
    return {
        "verdict": diagnosis.verdict,
        "reason": diagnosis.reason,
        "mistake": diagnosis.mistake,
        "sentence": diagnosis.sentence,
        "facts": dataclasses.asdict(diagnosis.facts),
        "also": [{"mistake": finding.mistake, "sentence": finding.sentence} for finding in diagnosis.also],
    }


def _token(file: Path | None) -> tuple[str, bool]:
    """Return what was pasted, without the line end that files and programs put behind it, and whether it had one."""
    try:
        if file is not None:
            with file.open("rb") as source:
                raw = source.read(READ_BYTES_MAX)
        else:
            if sys.stdin.isatty():
                click.echo("Paste the token, press Enter, then Ctrl-D:", err=True)
            raw = sys.stdin.buffer.read(READ_BYTES_MAX)
    except OSError as error:
        raise click.UsageError(f"{file or 'standard input'} cannot be read: {error.strerror}") from error
    text = raw.decode(errors="replace")
    token = text.removesuffix("\n").removesuffix("\r")
    return token, token != text


def _tell(diagnosis: Diagnosis) -> None:
    color = False if os.environ.get("NO_COLOR") else None
    verdict = click.style(diagnosis.verdict.upper(), fg=_COLORS[diagnosis.verdict], bold=True)
    click.echo(f"{verdict}  {answer.text(diagnosis.sentence)}", color=color)
    for finding in diagnosis.also:
        click.echo(f"      {answer.text(finding.sentence)}")
    click.echo()
    facts = dataclasses.asdict(diagnosis.facts)
    answer.record({name.replace("_", " "): value for name, value in facts.items() if value}, False)
