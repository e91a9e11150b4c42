"""A site that comes from another vendor: its server signs what it always signed, by the key that it always had."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import jwt
from tests.acceptance.client import Client
from tests.acceptance.conftest import House
from tests.acceptance.gateway import Gateway
from tests.acceptance.operator import SHOP, Ran, Site

Json = dict[str, Any]


@dataclass(frozen=True)
class Customer:
    """Somebody whom the site knows."""

    id: str
    name: str = "Ada Lovelace"

    @property
    def email(self) -> str:
        return f"{self.id}@shop.example"

    @property
    def times(self) -> Json:
        now = int(time.time())
        return {"iat": now, "exp": now + 600}

    @property
    def names(self) -> list[str]:
        return self.name.split(" ")


def _plain(who: Customer, _: str) -> Json:
    email = {"email": who.email, "isVerified": True}
    return {"externalId": who.id, "fullName": who.name, "shortName": who.names[0], "email": email, **who.times}


def _older(who: Customer, _: str) -> Json:
    return {"external_id": who.id, "name": who.name, "email": who.email, **who.times}


def _newer(who: Customer, project: str) -> Json:
    about = {"sub": "userexternal", "aud": f"https://chat.example/projects/{project}", "email": who.email}
    first, last = who.names
    return {"_id": f"{project}_{who.id}", **about, "firstname": first, "lastname": last, **who.times}


def _deskpro(who: Customer, _: str) -> Json:
    first, last = who.names
    return {"email": who.email, "first_name": first, "last_name": last}


def _livechat(who: Customer, project: str) -> Json:
    return {"entity_id": who.id, "organization_id": project, **who.times}


PAYLOADS: Final[Mapping[str, Callable[[Customer, str], Json]]] = {
    "canonical": _older,
    "plain": _plain,
    "tiledesk": _older,
    "deskpro": _deskpro,
    "pingstreams": _newer,
    "livechat": _livechat,
}
"""What a server of each profile's vendor says of a customer, given the project's id."""


@dataclass
class Newcomer:
    """The site, with an app of its profile."""

    house: House
    profile: str
    site: Site
    private_key: str = field(default="", repr=False)
    """The half that never left the site's server, where it signs by a pair."""
    _agent: str = ""

    def signed(self, claims: Json) -> str:
        """Sign as the site's server does: no vendor's server names its key."""
        if self.private_key:
            return jwt.encode(claims, self.private_key, "RS256")
        return jwt.encode(claims, self.site.secret, "HS256")

    def token(self, who: Customer | str, **claims: Any) -> str:
        """Return what the site's server signs for a customer; ``claims`` change what it says of them."""
        customer = Customer(who) if isinstance(who, str) else who
        return self.signed(PAYLOADS[self.profile](customer, self.site.project) | claims)

    async def visitor(self, node: Gateway, token: str | None = None, **hello: Any) -> Client:
        """Open the widget on a page of the site: with a customer token, a session token, or as a stranger."""
        return await Client.visitor(node, self.site, token, **hello)

    async def agent(self, node: Gateway) -> Client:
        """Open the agents' page of this site."""
        if not self._agent:
            self._agent = f"Agent of {self.site.project}"
            await self.house.operator.agent(self._agent, self.site)
        return await Client.agent(node, self._agent)

    async def person(self, user: str) -> Json:
        """Return what is known of a person, by the user id or the external id."""
        return (await self.asked(user)).json

    async def asked(self, user: str) -> Ran:
        """Return what the operator is told who asks for a person."""
        return await self.house.operator("user", "show", self.site.project, user, "--json")

    async def people(self) -> list[Json]:
        """Return everybody whom the project knows, with the instant of their last change."""
        return (await self.house.operator("user", "list", self.site.project, "--json")).json


async def ask(
    node: Gateway, method: str, path: str, bearer: str = "", body: Any = None, **headers: str
) -> httpx2.Response:
    """Ask over HTTP, as a page of the shop."""
    headers = {"Origin": SHOP} | ({"Authorization": f"Bearer {bearer}"} if bearer else {}) | headers
    async with httpx2.AsyncClient(base_url=node.url, trust_env=False) as browser:
        return await browser.request(method, path, headers=headers, json=body)
