"""The wire under test, started once for each loop; and all that is behind it, without a wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from tests.gateway.indoors import Indoors, founded
from tests.gateway.wiring import WireServer

from chatgateway.gateway.wire import Wire
from chatgateway.store.client import Store

LOOPS = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def loop_name(request: pytest.FixtureRequest) -> str:
    """Every test of the wire runs on both loops."""
    return request.param


@pytest.fixture
def start_wire(loop_name: str) -> Iterator[Callable[..., WireServer]]:
    """Start the application with the given limits."""
    started: list[WireServer] = []

    def start(**limits: int) -> WireServer:
        server = WireServer(LOOPS[loop_name], Wire(**limits))
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def shared_wires() -> Iterator[dict[str, WireServer]]:
    """Servers with the default limits, started when first asked for."""
    servers: dict[str, WireServer] = {}
    yield servers
    for server in servers.values():
        server.stop()


@pytest.fixture
def wired(loop_name: str, shared_wires: dict[str, WireServer]) -> Iterator[WireServer]:
    """The application with the default limits, with nobody connected."""
    server = shared_wires.get(loop_name)
    if server is None:
        server = shared_wires[loop_name] = WireServer(LOOPS[loop_name], Wire())
    yield server
    server.forget()


@pytest.fixture
async def indoors(store: Store, tmp_path: Path) -> AsyncIterator[Indoors]:
    """One project, one app, two keys, one agent, one node; no wire."""
    async with founded(store, tmp_path) as opened:
        yield opened
