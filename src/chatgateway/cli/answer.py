"""How a command speaks: tables for people, JSON for programs, and a question before anything is lost.

What a visitor wrote is printed without control characters: it must not steer the operator's terminal.
"""

from __future__ import annotations

import datetime
import os
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import click
import msgspec

_F = TypeVar("_F", bound=Callable[..., Any])


def reading(function: _F) -> _F:
    """Give a command ``--json``, as its parameter ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(function)


def rehearsing(function: _F) -> _F:
    """Give a command that ends something ``--dry-run``, with which it needs no terminal."""
    told = "Name the sessions that would end; change nothing."
    return click.option("--dry-run", is_flag=True, is_eager=True, help=told)(function)


def asking(function: _F) -> _F:
    """Give a command that ends something ``--yes``, without which it needs a terminal to ask on."""
    return click.option("--yes", is_flag=True, help="Do not ask.", callback=_yes_or_terminal)(function)


def confirm(question: str, yes: bool) -> None:
    """Ask, unless ``yes``. Raises click.Abort when the answer is no."""
    if not yes:
        click.confirm(question, abort=True, err=True)


def table(columns: Sequence[str], rows: Sequence[Mapping[str, object]], as_json: bool) -> None:
    """Print ``rows``: a JSON array, a table on a terminal, else lines with tabs between the ``columns``."""
    if as_json:
        _json(rows)
    elif sys.stdout.isatty():
        _rich_table(columns, rows)
    else:
        for row in rows:
            click.echo("\t".join(text(row[column]) for column in columns))


def record(row: Mapping[str, object], as_json: bool) -> None:
    """Print one thing: a JSON object, or a line for each of its fields."""
    if as_json:
        _json(row)
        return
    width = max(map(len, row), default=0)
    for name, value in row.items():
        click.echo(f"{name:<{width}}  {text(value)}".rstrip())


def text(value: object) -> str:
    """Return a value as people read it, in one line without control characters."""
    match value:
        case None | "" | () | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case {}:
            return text(msgspec.json.encode(value).decode()) if value else "-"
        case list() | tuple():
            return ", ".join(map(text, cast("Sequence[object]", value)))
        case _:
            return "".join(char if char.isprintable() else "�" for char in str(value))


def instant(at: int) -> str:
    """Return an instant for people (UTC, ISO 8601); "" for 0, which means never."""
    if not at:
        return ""
    return datetime.datetime.fromtimestamp(at / 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def revealing(function: _F) -> _F:
    """Give a command that makes a secret ``--secret-file`` and ``--json``: the secret must be able to go somewhere."""
    where = click.option(
        "--secret-file",
        type=click.Path(path_type=Path, dir_okay=False),
        callback=_some_way_out,
        help="Write the secret here (0600, replaced in one step) instead of printing it.",
    )
    return where(
        click.option("--json", "as_json", is_flag=True, is_eager=True, help="Print one JSON object.")(function)
    )


@contextmanager
def secret_place(path: Path | None) -> Generator[Callable[[str], None]]:
    """Prepare the file before the secret is made, so that a full disk costs nothing; yields what writes it.

    A reader of the file sees the old content or the new one, never a part. With ``path`` None nothing is written.
    """
    if path is None:
        yield lambda _secret: None
        return
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600 from the start
    except OSError as error:
        raise click.UsageError(f"{path} cannot be written: {error.strerror}") from error
    waiting = Path(name)

    def put(secret: str) -> None:
        with os.fdopen(descriptor, "w", closefd=False) as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(descriptor)
        waiting.replace(path)

    try:
        yield put
    finally:
        os.close(descriptor)
        with suppress(FileNotFoundError):
            waiting.unlink()


def password(prompt: str = "Password") -> str:
    """Return a password from the terminal, typed twice, or the first line of standard input. Never an argument."""
    if sys.stdin.isatty():
        typed: str = click.prompt(prompt, hide_input=True, confirmation_prompt=True, err=True)
        return typed
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise click.UsageError("a password is expected on standard input, in its first line")
    return line


def _yes_or_terminal(context: click.Context, _parameter: click.Parameter, yes: bool) -> bool:
    if not yes and not context.params.get("dry_run") and not sys.stdin.isatty():
        raise click.UsageError("this asks before it ends sessions, and there is no terminal to ask on: add --yes")
    return yes


def _some_way_out(context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    # Nothing new is made by these, so there is nothing to show.
    needless = any(context.params.get(name) for name in ("dry_run", "public", "jwks", "imported"))
    if path is None and not (needless or context.params.get("as_json") or sys.stdout.isatty()):
        raise click.UsageError(
            "the new secret is shown once, and standard output is no terminal: add --secret-file FILE or --json"
        )
    return path


def _json(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _rich_table(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*(column.replace("_", " ") for column in columns), box=box.SIMPLE_HEAD)
    for row in rows:
        # Text, not str: brackets in a name are not markup.
        drawn.add_row(*(Text(text(row[column])) for column in columns))
    Console().print(drawn)
