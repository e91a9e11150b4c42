"""LiveChat's row that wants a running gateway: L12; the rest of its endpoint is in tests/gateway/test_customer.py."""

from __future__ import annotations

from typing import Any

from tests.acceptance.client import Client
from tests.acceptance.conftest import House
from tests.acceptance.gateway import Gateway
from tests.acceptance.operator import SHOP
from tests.acceptance.vendors.conftest import CameFrom
from tests.acceptance.vendors.newcomer import Customer, ask


async def test_L12_chats_are_never_lost_and_the_same_on_every_platform(house: House, came_from: CameFrom) -> None:
    shop = await came_from("livechat")
    here, there = house.nodes
    project = shop.site.project
    server = (await house.operator("admin", "create", "L12", "--project", project, "--json")).json["token"]
    phone = (await house.operator("app", "create", project, "phone", "--origin", SHOP, "--json")).json["app"]

    async def token(node: Gateway, app: str) -> dict[str, Any]:
        """Ask as the project's server does, on behalf of whoever is logged in there."""
        body = {"grant_type": "agent_token", "client_id": app, "organization_id": project, "entity_id": "L12"}
        answer = await ask(node, "POST", "/customer/token", server, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    web, mobile = await token(here, shop.site.app), await token(there, phone)
    assert web["entity_id"] == mobile["entity_id"]
    async with await Client.connect(here) as page, await Client.connect(there) as device:
        for client, app, bearer in ((page, shop.site.app, web), (device, phone, mobile)):
            await client.hello(app=app, token=bearer["access_token"])
            assert client.me.user == web["entity_id"]
        begun = await page.start("from the page")
        assert [message.text for message in await device.open(begun.conversation)] == ["from the page"]
        await device.send(begun.conversation, "from the phone")
        await page.hears("from the phone")
    # Tokens end, the customer does not: the next one, and a signed one, find everything.
    later = (await token(there, shop.site.app))["access_token"]
    for bearer in (later, shop.token(Customer("L12"))):
        async with await shop.visitor(here, bearer) as again:
            shown = await again.open(begun.conversation)
            assert [message.text for message in shown] == ["from the page", "from the phone"]
