"""What an operator types, and what comes back."""

from __future__ import annotations

import asyncio
import json
import time
from asyncio.subprocess import PIPE
from dataclasses import dataclass, field
from typing import Any

import jwt
from tests.acceptance.gateway import COMMAND, PATIENCE_S, Place

SHOP = "https://shop.example"
"""The origin of every page of these tests."""


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


@dataclass
class Site:
    """A customer: a project with an app, and the server that signs its users in."""

    project: str
    app: str
    kid: str
    secret: str = field(repr=False)
    keys: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    """Every secret that it signs with, by kid."""

    def token(self, external_id: str, *, kid: str | None = None, minutes: int = 10, **claims: object) -> str:
        """Sign as the site's server does. Without ``kid`` the newest secret, and no kid in the header."""
        now = int(time.time())
        secret = self.keys[kid] if kid else self.secret
        body = {"external_id": external_id, "name": external_id.title(), "iat": now, "exp": now + minutes * 60}
        return jwt.encode(body | claims, secret, "HS256", headers={"kid": kid} if kid else None)


class Operator:
    """Whoever types ``chatgateway`` on the machine of the gateways."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def __call__(self, *arguments: str, stdin: str = "", **environ: str) -> Ran:
        """Run one command to its end."""
        process = await asyncio.create_subprocess_exec(
            COMMAND, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=self._place.environment(**environ)
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                out, err = await process.communicate(stdin.encode())
        except BaseException:
            if process.returncode is None:
                process.kill()
                await process.wait()
            raise
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())

    async def site(self, name: str, *options: str) -> Site:
        """Make a project with one key and one app that pages of SHOP may embed."""
        project = (await self("project", "create", name, "--json")).json
        app = await self("app", "create", project["project"], "web", "--origin", SHOP, *options, "--json")
        kid, secret = project["kid"], project["secret"]
        return Site(project["project"], app.json["app"], kid, secret, {kid: secret})

    async def add_key(self, site: Site, name: str) -> str:
        """Make one more secret that the site signs with, and return its kid."""
        key = (await self("key", "add", site.project, "--name", name, "--json")).json
        site.keys[key["kid"]] = key["secret"]
        return key["kid"]

    async def regenerate(self, site: Site, kid: str) -> dict[str, Any]:
        """Regenerate a secret; the site's server is redeployed with the new one. Returns what was printed."""
        answer = (await self("key", "regenerate", site.project, kid, "--yes", "--json")).json
        site.keys[answer["kid"]] = site.secret = answer["secret"]
        return answer

    async def agent(self, name: str, *sites: Site, password: str = "correct horse") -> None:
        """Let somebody answer for these sites."""
        projects = [word for site in sites for word in ("--project", site.project)]
        added = await self("agent", "add", name, *projects, stdin=password + "\n")
        assert added.status == 0, added.err

    async def history(self, site: Site, whose: str) -> list[dict[str, Any]]:
        """Read a conversation as the store has it: every entry in order, each the event that was published."""
        rows = (await self("history", site.project, whose, "--json")).json
        return [row["event"] | {"kid": row["kid"]} for row in rows]
