"""Every HTTP operation: what routes.py registers and openapi.py describes."""

from __future__ import annotations

from chatgateway.gateway.api import customer, description, grant, token, visitor
from chatgateway.gateway.api.admin import (
    admins,
    agents,
    apps,
    audit,
    history,
    imports,
    keys,
    people,
    projects,
    sessions,
    tokens,
)
from chatgateway.gateway.api.operation import Operation

OPERATIONS: tuple[Operation, ...] = (
    *token.OPERATIONS,
    *visitor.OPERATIONS,
    *customer.OPERATIONS,
    *projects.OPERATIONS,
    *apps.OPERATIONS,
    *keys.OPERATIONS,
    *agents.OPERATIONS,
    *admins.OPERATIONS,
    *people.OPERATIONS,
    *imports.OPERATIONS,
    *grant.OPERATIONS,
    *sessions.OPERATIONS,
    *history.OPERATIONS,
    *audit.OPERATIONS,
    *tokens.OPERATIONS,
    *description.OPERATIONS,
)
