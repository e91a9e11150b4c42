"""The real command in a process of its own, on a data directory whose store runs already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chatgateway.settings import Settings
from chatgateway.store.embedded import EmbeddedStore


@dataclass(frozen=True)
class Ran:
    """What a command answered."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


@dataclass(frozen=True)
class Command:
    """``chatgateway`` with nothing of the tester's own environment."""

    home: Path
    data: Path

    @property
    def environ(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("CHATGATEWAY_", "XDG_"))}
        return clean | {"HOME": str(self.home), "CHATGATEWAY_DATA": str(self.data)}

    @property
    def settings(self) -> Settings:
        return Settings(data=self.data)

    def __call__(self, *arguments: str, stdin: str = "", **environ: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "chatgateway", *arguments],
            input=stdin,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
async def command(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Command]:
    """The command on one data directory, whose store a neighbour keeps running: every call joins it."""
    home = tmp_path_factory.mktemp("home")
    made = Command(home, home / "data")
    assert made("project", "create", "Founder", "--json").status == 0
    neighbour = await EmbeddedStore.start(made.data, die_with_parent=True)
    yield made
    await neighbour.stop()
