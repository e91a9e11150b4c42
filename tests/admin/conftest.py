"""An office with somebody in it, over a fresh store; and one beside a node that people are connected to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.gateway.indoors import Indoors, founded

from chatgateway.admin import projects
from chatgateway.admin.office import Office
from chatgateway.core.project import Project
from chatgateway.core.rotation import ControlEntry
from chatgateway.store.client import Store
from chatgateway.store.sealing import MasterKey, Sealer

ACTOR = "tester@here"


class Notebook(list[ControlEntry]):
    """What the office remembered outside the store."""


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@pytest.fixture
def office(store: Store, notebook: Notebook) -> Office:
    return Office(store, Sealer((MasterKey(b"m" * 32),)), ACTOR, notebook.extend)


@pytest.fixture
async def shop(office: Office) -> Project:
    return (await projects.create(office, "Shop")).project


@pytest.fixture
async def indoors(store: Store, tmp_path: Path) -> AsyncIterator[Indoors]:
    """One project, one app, two keys, one agent, one node; no wire."""
    async with founded(store, tmp_path) as opened:
        yield opened


@pytest.fixture
def beside(indoors: Indoors, notebook: Notebook) -> Office:
    """The office on the store of the node."""
    return Office(indoors.store, indoors._sealer, ACTOR, notebook.extend)


async def recorded(office: Office, project: str = "") -> list[tuple[str, str, str, str]]:
    """Return the steps in a chain: verb, step, target, result."""
    return [(entry.verb, entry.step, entry.target, entry.result) for entry in await office.audit.entries(project)]
