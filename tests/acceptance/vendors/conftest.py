"""One site for each claims profile, made when a test first asks for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.acceptance.conftest import House
from tests.acceptance.vendors.newcomer import Newcomer

CameFrom = Callable[[str], Awaitable[Newcomer]]


@pytest.fixture(scope="session")
async def came_from(house: House, tmp_path_factory: pytest.TempPathFactory) -> CameFrom:
    """Return the site that came from a vendor, by the name of the profile."""
    known: dict[str, Newcomer] = {}

    async def site_of(profile: str) -> Newcomer:
        if profile not in known:
            site = await house.operator.site(f"Came from {profile}", "--profile", profile)
            known[profile] = Newcomer(house, profile, site)
            if profile == "plain":
                known[profile].private_key = await _pair(house, site.project, tmp_path_factory.mktemp("pair"))
        return known[profile]

    return site_of


async def _pair(house: House, project: str, place: Path) -> str:
    """Make a pair as a site does, paste its public half, and return the private one."""
    file = place / "site.pem"
    made = await house.operator("key", "generate-pair", "--out", str(file))
    assert made.status == 0, made.err
    public = Path(f"{file}.pub").read_text()
    added = await house.operator("key", "add", project, "--public", "-", "--name", "Till", stdin=public)
    assert added.status == 0, added.err
    return file.read_text()
