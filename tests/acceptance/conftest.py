"""Two gateways over one data directory, shared by the tests that leave them whole; and houses of one's own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.acceptance.gateway import Gateway, Place
from tests.acceptance.operator import Operator

EXPECTED = {"secret.arrived"}
"""Alarms that tests raise on purpose."""


@dataclass
class House:
    """A machine with gateways on one data directory, and its operator."""

    place: Place
    gateways: list[Gateway] = field(default_factory=list[Gateway])

    @property
    def operator(self) -> Operator:
        return Operator(self.place)

    @property
    def nodes(self) -> tuple[Gateway, Gateway]:
        first, second = self.gateways[:2]
        return first, second

    async def serve(self, **settings: str) -> Gateway:
        """Start one more gateway."""
        gateway = await Gateway.start(self.place, **settings)
        self.gateways.append(gateway)
        return gateway

    async def close(self) -> None:
        """Stop what still runs; the store goes with the last. Whatever happened, nothing is left behind."""
        stopping = await asyncio.gather(*(gateway.stop() for gateway in self.gateways), return_exceptions=True)
        for gateway in self.gateways:
            await gateway.kill()
        orphan = self.place.running_store()
        if orphan is not None:
            os.kill(orphan, signal.SIGKILL)
        for outcome in stopping:
            if isinstance(outcome, BaseException):
                raise outcome


@pytest.fixture(scope="session")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Two nodes for everybody. Each test brings its own projects."""
    shared = House(Place(tmp_path_factory.mktemp("house")))
    try:
        await shared.serve()
        await shared.serve()
        yield shared
    finally:
        await shared.close()
    for gateway in shared.gateways:
        assert gateway.status == 0
        mistakes = [line for line in gateway.lines if line.get("level") == "error" and line["event"] not in EXPECTED]
        assert mistakes == [], "a gateway that nobody harmed logs no error"


@pytest.fixture
async def own_house(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[House]]]:
    """Build a house for this test alone: to be stopped, killed and frozen."""
    built: list[House] = []

    async def build(nodes: int = 2, **environ: str) -> House:
        made = House(Place(tmp_path, environ))
        built.append(made)
        for _ in range(nodes):
            await made.serve()
        return made

    yield build
    for made in built:
        await made.close()
