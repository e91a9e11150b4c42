"""Row T1: only administrators change how visitors sign in. An agent's cookie opens nothing of the admin API."""

from __future__ import annotations

import re

from tests.gateway.indoors import PASSWORD, Indoors

from chatgateway.gateway.api.table import OPERATIONS


async def test_T1_what_an_administrator_may_do_no_agent_may(indoors: Indoors) -> None:
    async with indoors.browser() as browser:
        login = await browser.post("/v1/agents/login", json={"name": "Dana", "password": PASSWORD})
        assert login.status_code == 200
        cookies, headers = dict(browser.cookies), {"X-CSRF-Token": login.json()["csrf"]}
    operations = [one for one in OPERATIONS if one.path.startswith("/v1/admin")]
    assert operations
    ids = {"project": indoors.project.id, "app": indoors.app.id, "kid": "k1", "agent": indoors.agent.id}
    for number, operation in enumerate(operations):
        # Each from an address of its own: whoever is refused often is not heard any more.
        async with indoors.browser(f"192.0.2.{number}", cookies=cookies, headers=headers) as browser:
            assert (await browser.get("/v1/agents/me")).status_code == 200
            address = re.sub(r"{(\w+)}", lambda name: ids.get(name[1], "T1"), operation.path)
            answer = await browser.request(operation.method, address, json={"policy": "signed"})
        assert answer.status_code in (401, 403), f"{operation.method} {address}: {answer.text}"


async def test_T1_an_administrators_token_changes_whom_an_app_lets_in(indoors: Indoors) -> None:
    _, token = await indoors.parts.admins.create("Tim", (indoors.project.id,))
    async with indoors.browser(headers={"Authorization": f"Bearer {token}"}) as browser:
        answer = await browser.patch(f"/v1/admin/apps/{indoors.app.id}", json={"policy": "signed"})
    assert answer.status_code == 200, answer.text
    _, app = await indoors.parts.projects.get_app(indoors.app.id)
    assert app.policy == "signed"
