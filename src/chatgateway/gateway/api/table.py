"""Every HTTP operation: what routes.py registers and openapi.py describes."""

from __future__ import annotations

from chatgateway.gateway.api import customer, description, grant, token, visitor
from chatgateway.gateway.api.operation import Operation

OPERATIONS: tuple[Operation, ...] = (
    *token.OPERATIONS,
    *visitor.OPERATIONS,
    *customer.OPERATIONS,
    *grant.OPERATIONS,
    *description.OPERATIONS,
)
