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
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, cast

import click

from chatgateway.core.project import AgentRecord
from chatgateway.core.rotation import ControlEntry
from chatgateway.settings import Settings, load
from chatgateway.store.agents import Agents
from chatgateway.store.audit import Audit, Recording
from chatgateway.store.client import Store
from chatgateway.store.control import Barrier, Control
from chatgateway.store.conversations import Conversations
from chatgateway.store.identities import Identities
from chatgateway.store.keyrings import KeyRings
from chatgateway.store.nodes import Nodes
from chatgateway.store.opening import opened_store
from chatgateway.store.projects import Projects
from chatgateway.store.sealing import Sealer
from chatgateway.store.sessions import SessionRow, Sessions
from chatgateway.store.watermark import Watermark
from chatgateway.types import KeyId, ProjectId, SessionId, UserId

_P = ParamSpec("_P")


class Opened:
    """An open store, and what each noun remembers in it."""

    def __init__(self, settings: Settings, store: Store, sealer: Sealer) -> None:
        self.settings = settings
        self.store = store
        self.sealer = sealer

    @cached_property
    def projects(self) -> Projects:
        return Projects(self.store)

    @cached_property
    def agents(self) -> Agents:
        return Agents(self.store)

    @cached_property
    def identities(self) -> Identities:
        return Identities(self.store)

    @cached_property
    def keyrings(self) -> KeyRings:
        return KeyRings(self.store, self.sealer)

    @cached_property
    def audit(self) -> Audit:
        return Audit(self.store, self.sealer)

    @cached_property
    def control(self) -> Control:
        return Control(self.store)

    @cached_property
    def sessions(self) -> Sessions:
        return Sessions(self.store)

    @cached_property
    def conversations(self) -> Conversations:
        return Conversations(self.store)

    def recorded(self, verb: str, target: str, project: str = "") -> AbstractAsyncContextManager[Recording]:
        """Record one verb of whoever types it in the audit chain of ``project`` ("": the gateway's own)."""
        return self.audit.recorded(_actor(), verb, target, project=project)

    async def live_sessions(
        self, project: ProjectId, *, kid: KeyId | None = None, user: UserId | None = None
    ) -> dict[SessionId, SessionRow]:
        """Return the sessions of a project that are connected now, on nodes that live."""
        leases, now = await Nodes(self.store).live()
        alive = {lease.node for lease in leases if lease.until > now}
        return {
            session: row
            for session, row in (await self.sessions.of_project(project)).items()
            if row.node in alive
            and not row.closed_at
            and (kid is None or row.kid == kid)
            and (user is None or row.user == user)
        }

    async def nodes_with(self, agent: AgentRecord) -> int:
        """Return on how many living nodes this agent is active now."""
        leases, now = await Nodes(self.store).live()
        return sum(
            lease.until > now and any(agent.name in names for names in lease.agents.values()) for lease in leases
        )

    async def withdraw(self, entry: ControlEntry | None, recording: Recording) -> Barrier:
        """Make every node act on a written control-log entry, and record what they answered."""
        assert entry is not None  # the caller asked for one to be written
        barrier = await self.control.withdraw(entry)
        # No gateway may be running: this machine remembers all the same.
        Watermark(self.settings.watermark_of(self.store.id), self.store.id).save([entry])
        recording.result = str(barrier)
        return barrier


def on_store(function: Callable[Concatenate[Opened, _P], Coroutine[Any, Any, None]]) -> Callable[_P, None]:
    """Make a coroutine a command: it is given the open store, and the flags that say which one it is."""

    @click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Directory of the embedded store.")
    @click.option("--store-url", metavar="URL", help="External Redis or Valkey instead.")
    @click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="TOML file with settings.")
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
