"""The store that a command works on: joined, started or reached over the network, and left as it was found.

A command on a data directory joins the store that a gateway runs there; when none runs, the command starts it and
stops it again when it leaves.
"""

from __future__ import annotations

import asyncio
import functools
import getpass
import os
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, cast

import click

from chatgateway.admin.office import Office
from chatgateway.errors import AppUnknown, NotFound, StoreRefused
from chatgateway.settings import Settings, load
from chatgateway.store.client import Store
from chatgateway.store.opening import opened_store
from chatgateway.store.sealing import Sealer
from chatgateway.store.watermark import Watermark

_P = ParamSpec("_P")


class Opened(Office):
    """The office of whoever types: it acts under the operating system's name for them, on this machine."""

    def __init__(self, settings: Settings, store: Store, sealer: Sealer) -> None:
        # No gateway may be running: this machine remembers all the same.
        watermark = Watermark(settings.watermark_of(store.id), store.id)
        super().__init__(store, sealer, _actor(), watermark.save)
        self.settings = settings


def which_store(function: Callable[_P, None]) -> Callable[_P, None]:
    """Give a command the flags that say which store is meant: ``data``, ``store_url`` and ``config``."""
    places = (
        click.option(
            "--data", type=click.Path(path_type=Path, file_okay=False), help="Directory of the embedded store."
        ),
        click.option("--store-url", metavar="URL", help="External Redis or Valkey instead."),
        click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="TOML file with settings."),
    )
    for place in reversed(places):
        function = place(function)
    return function


_Verb = Callable[Concatenate[Opened, _P], Coroutine[Any, Any, None]]


def on_store(function: _Verb[_P]) -> Callable[_P, None]:
    """Make a coroutine a command: it is given the open store, and the flags that say which one it is."""
    return _on_store(function, may_found=False)


def on_new_store(function: _Verb[_P]) -> Callable[_P, None]:
    """The same for a verb that makes something first: where there is no data yet, it founds the store."""
    return _on_store(function, may_found=True)


def _on_store(function: _Verb[_P], may_found: bool) -> Callable[_P, None]:
    @which_store
    @functools.wraps(function)
    def command(*arguments: _P.args, **options: _P.kwargs) -> None:
        flags = {name: options.pop(name) for name in ("data", "store_url")}
        settings = load(flags, os.environ, cast("Path | None", options.pop("config")))
        if not may_found:
            require_data(settings)

        async def run() -> None:
            async with opened(settings) as store:
                await function(store, *arguments, **options)

        try:
            asyncio.run(run())
        except (NotFound, AppUnknown) as error:
            error.add_note(f"in {'the store of --store-url' if settings.store_url else settings.data_directory}")
            raise

    return command


def require_data(settings: Settings) -> None:
    """Refuse a data directory in which no gateway ever ran: a typing error must not found one. Raises StoreRefused."""
    if settings.store_url is not None:
        return
    data = settings.data_directory
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(data) as entries:
        if any(entries):
            return
    raise StoreRefused(f"no data at {data} (did you mean --data?); project create founds a store there")


@asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[Opened]:
    """Open the store that ``settings`` name. Raises StoreUnavailable, StoreRefused, DataDirectoryInUse."""
    # It never dies with this command: a gateway may join meanwhile and go on with it.
    async with opened_store(settings) as (store, sealer):
        yield Opened(settings, store, sealer)


def _actor() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in passwd
        name = f"uid {os.getuid()}"
    return f"{name}@{socket.gethostname()}"
