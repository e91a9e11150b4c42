"""Visitors and servers that speak HTTP, against the real command on two nodes."""

from __future__ import annotations

from typing import Any

import httpx2
from tests.acceptance.client import Client, mint_ref
from tests.acceptance.conftest import House
from tests.acceptance.gateway import Gateway
from tests.acceptance.operator import SHOP, Site


async def ask(
    gateway: Gateway, method: str, path: str, token: str | None = None, body: Any = None, origin: str | None = SHOP
) -> httpx2.Response:
    headers = ({"Authorization": f"Bearer {token}"} if token else {}) | ({"Origin": origin} if origin else {})
    async with httpx2.AsyncClient(base_url=gateway.url, trust_env=False) as browser:
        return await browser.request(method, path, headers=headers, json=body)


async def exchanged(gateway: Gateway, site: Site, token: str | None = None) -> dict[str, Any]:
    answer = await ask(gateway, "POST", "/v1/token", body={"app": site.app, "token": token})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_what_is_said_over_http_on_one_node_is_heard_on_the_others_sockets(house: House) -> None:
    site = await house.operator.site("Requests")
    await house.operator.agent("Hugo", site)
    here, there = house.nodes
    token = (await exchanged(here, site, site.token("ada")))["session_token"]
    begun = (await ask(here, "POST", "/v1/conversations", token, {"ref": mint_ref(), "text": "hello?"})).json()
    conversation = begun["conversation"]
    async with await Client.agent(there, "Hugo") as agent:
        await agent.open(conversation)
        path = f"/v1/conversations/{conversation}/messages"
        placed = (await ask(here, "POST", path, token, {"ref": mint_ref(), "text": "over HTTP"})).json()
        heard = await agent.hears("over HTTP")
        assert (heard.at, heard.seq, heard.link) == (placed["at"], placed["seq"], placed["link"])
        await agent.send(conversation, "from a socket")
        shown = (await ask(there, "GET", path, token)).json()
        assert [message["text"] for message in shown["messages"]] == ["hello?", "over HTTP", "from a socket"]
        assert (await ask(there, "GET", "/v1/unread", token)).json() == {"unread": 1}


async def test_signing_out_over_http_closes_the_socket_on_the_other_node(house: House) -> None:
    site = await house.operator.site("Sign-out by request")
    here, there = house.nodes
    token = (await exchanged(here, site, site.token("ada")))["session_token"]
    async with await Client.visitor(there, site, token) as tab:
        assert (await ask(here, "POST", "/v1/sign_out", token, {})).status_code == 204
        assert (await tab.ended())[1] == 4440
    for gateway in (here, there):
        refused = await ask(gateway, "GET", "/v1/me", token)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "signed_out")


async def test_revoking_an_admin_token_ends_exactly_what_it_granted_on_every_node(house: House) -> None:
    site = await house.operator.site("Granted")
    here, there = house.nodes
    made = (await house.operator("admin", "create", "Server", "--project", site.project, "--json")).json
    kept = (await house.operator("admin", "create", "Other server", "--project", site.project, "--json")).json

    async def granted(gateway: Gateway, admin: dict[str, Any], name: str) -> httpx2.Response:
        path = f"/v1/admin/projects/{site.project}/users/{name}/sessions"
        return await ask(gateway, "POST", path, admin["token"], {"app": site.app, "name": name.title()}, origin=None)

    mine = [(await granted(gateway, made, name)).json() for gateway, name in ((here, "ada"), (there, "bob"))]
    other = (await granted(here, kept, "ada")).json()
    async with (
        await Client.visitor(there, site, mine[0]["session_token"]) as ada,
        await Client.visitor(here, site, mine[1]["session_token"]) as bob,
        await Client.visitor(there, site, other["session_token"]) as spared,
        await Client.visitor(here, site, site.token("ada")) as signed,
    ):
        begun = await ada.start("granted by the server")
        assert ada.me.user == spared.me.user == signed.me.user
        revoked = await house.operator("admin", "revoke", made["admin"], "--yes", "--json")
        assert revoked.status == 0, revoked.err
        assert [(await tab.ended())[1] for tab in (ada, bob)] == [4301, 4301]
        for gateway in (here, there):
            path = f"/v1/conversations/{begun.conversation}/messages"
            late = await ask(gateway, "POST", path, mine[0]["session_token"], {"ref": mint_ref(), "text": "too late"})
            assert (late.status_code, late.json()["error"]["code"]) == (401, "key_revoked")
            assert (await granted(gateway, made, "ada")).status_code == 401
        await spared.send(begun.conversation, "the other server's word still counts")
        await signed.send(begun.conversation, "and so does the key")
    log = await house.operator.history(site, begun.conversation)
    assert [entry["text"] for entry in log] == [
        "granted by the server", "the other server's word still counts", "and so does the key",
    ]  # fmt: skip
    assert [entry["kid"] for entry in log] == [made["admin"], kept["admin"], site.kid]


async def test_a_cookie_over_plain_http_names_the_same_customer_again(house: House) -> None:
    site = await house.operator.site("Cookies")
    here, there = house.nodes
    body = {"grant_type": "cookie", "client_id": site.app, "organization_id": site.project}
    async with httpx2.AsyncClient(headers={"Origin": SHOP}, trust_env=False) as browser:
        first = await browser.post(f"{here.url}/customer/token", json=body)
        assert first.headers["access-control-allow-origin"] == SHOP
        again = await browser.post(f"{there.url}/customer/token", json=body)
        assert again.json()["entity_id"] == first.json()["entity_id"]
    async with await Client.visitor(there, site, first.json()["access_token"]) as tab:
        assert tab.me.user == first.json()["entity_id"]


async def test_bytes_that_are_no_request_of_ours_are_answered_and_logged_as_nobodys_mistake(house: House) -> None:
    site = await house.operator.site("Nonsense")
    here, _ = house.nodes
    token = (await exchanged(here, site))["session_token"]
    async with httpx2.AsyncClient(base_url=here.url, headers={"Origin": SHOP}, trust_env=False) as browser:
        for path in (
            "/v1/conversations/%00/messages",
            "/v1/conversations/%ff%fe/messages",
            "/v1/me?x=1",
            "/v1/nothing",
        ):
            answer = await browser.get(path, headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code in (400, 404), path
            assert answer.json()["error"]["sentence"]
        answer = await browser.request("PUT", "/v1/me")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert not [line for line in here.lines if line.get("event") == "request.failed"]
