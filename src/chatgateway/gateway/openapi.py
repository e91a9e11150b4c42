"""The OpenAPI 3.1 description of the HTTP side, made from the table of operations; docs/openapi.json is its output.

python -m chatgateway.gateway.openapi > docs/openapi.json
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from chatgateway import __version__
from chatgateway.errors import (
    AdminRejected,
    AppUnknown,
    Forbidden,
    KeyRevoked,
    Malformed,
    NotJson,
    OriginForbidden,
    PeerError,
    RateLimited,
    SessionUnknown,
    SignedOut,
    TokenExpired,
    TokenRejected,
    TooBig,
    UserRevoked,
)
from chatgateway.gateway.api.answers import Refusal
from chatgateway.gateway.api.faults import NodesSilent
from chatgateway.gateway.api.operation import Auth, Operation
from chatgateway.gateway.api.table import OPERATIONS
from chatgateway.protocol import frames as f

LINES_TYPE = "application/x-ndjson"
_REF = "#/components/schemas/{name}"

_ERRORS: dict[Auth, tuple[type[PeerError], ...]] = {
    "none": (RateLimited,),
    "cookie": (RateLimited,),
    "session": (
        *(RateLimited, TokenRejected, TokenExpired, KeyRevoked, SessionUnknown, SignedOut, UserRevoked),
        *(Forbidden, OriginForbidden, AppUnknown),
    ),
    "admin": (RateLimited, AdminRejected),
}
"""What everybody may meet who calls so."""

_SECURITY: dict[Auth, list[dict[str, list[str]]]] = {
    "none": [],
    "cookie": [{}, {"admin": []}],
    "session": [{"session": []}],
    "admin": [{"admin": []}],
}


def document(operations: Iterable[Operation] = OPERATIONS) -> dict[str, Any]:
    """Return the description of every operation, its errors with their codes."""
    operations = tuple(operations)
    shapes: dict[Any, None] = {Refusal: None, f.Message: None}
    for operation in operations:
        said = (operation.takes, operation.lines, operation.gives, operation.rehearsal, operation.query)
        shapes |= dict.fromkeys(shape for shape in (*said, *operation.placeholders.values()) if shape is not None)
    named, components = msgspec.json.schema_components(list(shapes), ref_template=_REF)
    schemas = dict(zip(shapes, named, strict=True))
    queries = {operation.query.__name__ for operation in operations if operation.query is not None}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas, components)
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "chatgateway",
            "version": __version__,
            "description": "The HTTP side of a live chat; asyncapi.json describes the socket.",
        },
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in components.items() if name not in queries},
            "securitySchemes": {
                "session": {"type": "http", "scheme": "bearer", "description": "A session token, cgv_…"},
                "admin": {"type": "http", "scheme": "bearer", "description": "An admin token, cga_…"},
            },
        },
    }
    return _ecma(described)


def _ecma(node: Any) -> Any:
    """Return a document whose patterns are ECMA-262's, as JSON Schema wants them: they end in ``$``, not ``\\Z``."""
    if isinstance(node, dict):
        told = cast("dict[str, Any]", node)
        return {
            name: value.replace(r"\Z", "$") if name == "pattern" and isinstance(value, str) else _ecma(value)
            for name, value in told.items()
        }
    if isinstance(node, list | tuple):
        return [_ecma(one) for one in cast("list[Any]", node)]
    return node


@functools.cache
def encoded() -> str:
    """Return the document as indented JSON, the same text for the same table."""
    return msgspec.json.format(msgspec.json.encode(document(), order="sorted"), indent=2).decode() + "\n"


def _operation(operation: Operation, schemas: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": _said_of(operation.gives) or operation.summary}
    if operation.rehearsal is not None:
        success["description"] += f"\n\nWith `dry_run`: {_said_of(operation.rehearsal)}"
        success["content"] = _json({"anyOf": [schemas[operation.gives], schemas[operation.rehearsal]]})
    elif operation.gives is not None:
        success["content"] = _json(schemas[operation.gives])
    answers = {str(operation.success): success}
    if operation.may_create:
        answers["201"] = {**success, "description": "Made: there was no such thing before."}
    if operation.ends:
        silent = {"allOf": [schemas[operation.gives], {"$ref": _REF.format(name=Refusal.__name__)}]}
        described_so = f"`{NodesSilent.code}`: {NodesSilent.sentence}"
        answers[str(NodesSilent.status)] = {"description": described_so, "content": _json(silent)}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": _SECURITY[operation.auth],
        "responses": answers | _refusals(operation),
    }
    everywhere = "Needs an admin token of all projects." if operation.everywhere else ""
    if details := " ".join(filter(None, (operation.details, everywhere))):
        described["description"] = details
    if parameters := [*_path(operation, schemas), *_query(operation, components)]:
        described["parameters"] = parameters
    if operation.takes is not None:
        described["requestBody"] = {"required": not operation.optional, "content": _json(schemas[operation.takes])}
    if operation.lines is not None:
        # OpenAPI 3.1 has no word for a sequence of JSON values: what a line holds is said, what the body is is text.
        line = {"type": "string", "description": f"On each line: {schemas[operation.lines]['$ref']}"}
        described["requestBody"] = {"required": True, "content": {LINES_TYPE: {"schema": line}}}
    return described


def _path(operation: Operation, schemas: dict[Any, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": schemas[kind]}
        for name, kind in operation.placeholders.items()
    ]


def _query(operation: Operation, components: dict[str, Any]) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    shape = components[operation.query.__name__]
    required = shape.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in shape["properties"].items()
    ]


def _refusals(operation: Operation) -> dict[str, Any]:
    met: set[type[PeerError]] = {*operation.errors, *_ERRORS[operation.auth], Malformed}
    if operation.takes is not None or operation.lines is not None:
        met |= {NotJson, TooBig}
    if operation.everywhere:
        met.add(Forbidden)
    codes: dict[str, dict[str, str]] = {}
    for error in met:
        codes.setdefault(str(error.status), {})[error.code] = error.sentence
    codes["503"] = {"store_unavailable": "The store does not answer, or the gateway has lost touch with it."}
    content = _json({"$ref": _REF.format(name=Refusal.__name__)})
    return {
        status: {
            "description": "\n".join(f"`{code}`: {sentence}" for code, sentence in sorted(said.items())),
            "content": content,
        }
        for status, said in sorted(codes.items())
    }


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _said_of(shape: Any) -> str:
    return (inspect.getdoc(shape) or "") if inspect.isclass(shape) and issubclass(shape, msgspec.Struct) else ""


if __name__ == "__main__":
    print(encoded(), end="")  # noqa: T201
