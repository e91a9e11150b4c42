"""``chatgateway check``: what would be in force."""

from __future__ import annotations

import click
import msgspec

from chatgateway import settings
from chatgateway.cli import DONE, answer
from chatgateway.cli.flags import with_settings
from chatgateway.settings import Settings


@click.command(name="check")
@click.option("--example", is_flag=True, help="Print a commented file with every setting and its default instead.")
@answer.reading
@with_settings
def command(chosen: Settings, example: bool, as_json: bool) -> int:
    """Print the effective settings, from flags, CHATGATEWAY_* variables and the TOML file. Secrets are hidden.

    Nothing is opened or changed. Exit status: 0 all is well   2 a setting is wrong
    """
    if example:
        click.echo(settings.example(), nl=False)
        return DONE
    from chatgateway.outside.smtp import smtp_of

    smtp_of(chosen)  # what a mail server's url may say is known there
    rows: dict[str, object] = {}
    for field in msgspec.structs.fields(Settings):
        value = getattr(chosen, field.name)
        rows[field.name] = "(hidden)" if value is not None and settings.is_secret(field.name) else _plain(value)
    # What None stands for.
    rows |= {"data": str(chosen.data_directory) if chosen.store_url is None else None}
    rows |= {"watermark": str(chosen.watermark_of("STORE"))}
    answer.record(rows, as_json)
    return DONE


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
