"""GET /v1/openapi.json: the gateway describes its own HTTP side. What is at no address is said as JSON too."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from chatgateway.errors import AddressUnknown
from chatgateway.gateway.api.answers import refuse
from chatgateway.gateway.api.operation import Call, Operation
from chatgateway.gateway.connection import Caller


async def get_openapi(call: Call[Caller, None, None]) -> Response:
    from chatgateway.gateway.openapi import encoded  # it reads the table, and this row is in it

    return Response(encoded(), headers=call.headers, media_type="application/json")


async def nowhere(request: Request) -> Response:
    """Answer for every address under /v1 that the table does not hold."""
    del request
    return refuse(AddressUnknown())


OPERATIONS = (
    Operation("GET", "/v1/openapi.json", "Describe this API (OpenAPI 3.1).", get_openapi, gives=dict[str, Any]),
)
