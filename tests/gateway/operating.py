"""A server or a script that operates the gateway over HTTP with an admin token."""

from __future__ import annotations

from typing import Any

import httpx2
from tests.gateway.indoors import Indoors
from tests.gateway.page import Page

from chatgateway.core.admin import AdminRecord
from chatgateway.core.audit import AuditEntry
from chatgateway.types import ProjectId


class Operator(Page):
    """Whoever holds an admin token. ``project`` is where its paths begin."""

    def __init__(self, indoors: Indoors, admin: AdminRecord, token: str) -> None:
        super().__init__(indoors, token, origin=None)
        self.admin = admin
        self.project = indoors.project.id

    @classmethod
    async def of(cls, indoors: Indoors, *projects: ProjectId) -> Operator:
        """Return the bearer of a new token, good for these projects or for all."""
        return cls(indoors, *await indoors.parts.admins.create("Server", projects))

    async def there(self, method: str, path: str, body: Any = None, **options: Any) -> httpx2.Response:
        """Ask for an address of the project."""
        return await self.ask(method, f"/admin/projects/{self.project}{path}", body, **options)

    async def got(self, method: str, path: str, body: Any = None, status: int = 200, **options: Any) -> Any:
        """Return what the project's address answers, which must be a success."""
        answer = await self.there(method, path, body, **options)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def audited(self, project: str | None = None) -> list[AuditEntry]:
        """Return the chain of the project, or another."""
        return await self.indoors.parts.audit.entries(self.project if project is None else project)
