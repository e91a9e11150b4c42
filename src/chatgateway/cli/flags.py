"""Every setting as a flag, made from the settings themselves; secrets only as the name of a file."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, cast

import click
import msgspec

from chatgateway import settings
from chatgateway.errors import SettingsError
from chatgateway.settings import Secret, Settings, load

_P = ParamSpec("_P")


def with_settings(function: Callable[Concatenate[Settings, _P], int]) -> Callable[_P, int]:
    """Make a function a command that is given the effective settings, with a flag for each of them.

    What the function returns is the exit status.
    """

    @functools.wraps(function)
    def command(*arguments: _P.args, **options: _P.kwargs) -> int:
        config = cast("Path | None", options.pop("config"))
        flags = {name: options.pop(name) for name in settings.explanations()}
        key_file = cast("Path | None", options.pop("master_key_file"))
        if key_file is not None:
            flags["master_key"] = _secret(key_file)
        return function(load(flags, os.environ, config), *arguments, **options)

    made: Callable[_P, int] = command
    for name, reason in reversed(settings.explanations().items()):
        made = _flag(name, reason)(made)
    return click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="TOML file with settings.")(
        made
    )


def _flag(name: str, reason: str) -> Callable[[Callable[_P, int]], Callable[_P, int]]:
    spelled = "--" + name.replace("_", "-")
    if name == "master_key":
        # The command line of a process is there for everybody to read.
        option = click.option(f"{spelled}-file", type=click.Path(path_type=Path), help=f"File with it. {reason}")
        silent = click.option(spelled, hidden=True, callback=_refuse_secret)
        return lambda function: option(silent(function))
    default = next(field.default for field in msgspec.structs.fields(Settings) if field.name == name)
    shown = "" if default in (None, ()) else f" [default: {default}]"
    return click.option(spelled, name, metavar=_metavar(name), help=reason + shown)


def _metavar(name: str) -> str:
    if "_per_" in name:
        return "NUMBER"
    last = name.rpartition("_")[2]
    return {"s": "SECONDS", "h": "HOURS", "bytes": "BYTES", "url": "URL", "data": "DIR", "watermark": "FILE"}.get(
        last, last.upper() if name in ("host", "port") else "VALUE"
    )


def _refuse_secret(_context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.UsageError("a secret is never an argument: use --master-key-file or CHATGATEWAY_MASTER_KEY")


def _secret(path: Path) -> Secret:
    try:
        return Secret(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError("--master-key-file: the file cannot be read") from error
