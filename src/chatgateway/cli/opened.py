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
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, cast

import click

from chatgateway.admin.office import Office
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


def on_store(function: Callable[Concatenate[Opened, _P], Coroutine[Any, Any, None]]) -> Callable[_P, None]:
    """Make a coroutine a command: it is given the open store, and the flags that say which one it is."""

    @which_store
    @functools.wraps(function)
    def command(*arguments: _P.args, **options: _P.kwargs) -> None:
        flags = {name: options.pop(name) for name in ("data", "store_url")}
        settings = load(flags, os.environ, cast("Path | None", options.pop("config")))

        async def run() -> None:
            async with opened(settings) as store:
                await function(store, *arguments, **options)

        asyncio.run(run())

    return command


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
