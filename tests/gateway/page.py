"""A page's or a server's HTTP calls, with one credential, against the gateway's own routes."""

from __future__ import annotations

from typing import Any

import httpx2
from tests.gateway.indoors import SHOP, Indoors


class Page:
    """Whoever holds a session token and no socket."""

    def __init__(self, indoors: Indoors, token: str, origin: str | None = SHOP, address: str = "203.0.113.9") -> None:
        self.indoors = indoors
        self.token = token
        self.headers = {"Authorization": f"Bearer {token}"} | ({"Origin": origin} if origin else {})
        self.address = address

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> httpx2.Response:
        """Ask for one address under /v1."""
        if body is not None:
            options["json"] = body
        async with self.indoors.browser(self.address, headers=self.headers) as browser:
            return await browser.request(method, f"/v1{path}", **options)

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx2.Response:
        return await self.ask("POST", path, body, **options)

    async def start(self, text: str = "hello", ref: str = "") -> str:
        """Begin a conversation and return its id."""
        answer = await self.post("/conversations", {"ref": ref or self.indoors.ref(), "text": text})
        assert answer.status_code == 200, answer.text
        return answer.json()["conversation"]

    async def send(self, conversation: str, text: str, ref: str = "") -> httpx2.Response:
        return await self.post(
            f"/conversations/{conversation}/messages", {"ref": ref or self.indoors.ref(), "text": text}
        )

    async def texts(self, conversation: str) -> list[str]:
        """Return what the conversation's last page says."""
        answer = await self.get(f"/conversations/{conversation}/messages")
        assert answer.status_code == 200, answer.text
        return [message["text"] for message in answer.json()["messages"] if message.get("text")]


def code(answer: httpx2.Response) -> tuple[int, str]:
    """Return what a refusal says to a program."""
    return answer.status_code, answer.json()["error"]["code"]


async def exchanged(indoors: Indoors, token: str | None = None, **more: Any) -> dict[str, Any]:
    """Return what POST /v1/token grants."""
    async with indoors.browser(headers={"Origin": SHOP}) as browser:
        answer = await browser.post("/v1/token", json={"app": indoors.app.id, "token": token, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def visitor(indoors: Indoors, token: str | None = None, **more: Any) -> Page:
    """Become somebody over HTTP alone."""
    return Page(indoors, (await exchanged(indoors, token, **more))["session_token"])
