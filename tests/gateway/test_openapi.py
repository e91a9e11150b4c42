"""The description of the HTTP side says what the routes do: one table makes both."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from tests.gateway.indoors import Indoors

from chatgateway.errors import PeerError
from chatgateway.gateway.api.table import OPERATIONS
from chatgateway.gateway.openapi import document, encoded

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return json.loads(encoded())


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set[str]()
        return own.union(*(references(value) for value in node.values()))
    return set[str]().union(*(references(value) for value in node)) if isinstance(node, list) else set()


def test_the_document_is_one_of_openapi(described: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(described).validate()


def test_the_file_in_docs_is_what_the_table_makes() -> None:
    written = (ROOT / "docs" / "openapi.json").read_text()
    assert written == encoded(), "run: python -m chatgateway.gateway.openapi > docs/openapi.json"


async def test_the_gateway_gives_out_the_same(indoors: Indoors) -> None:
    async with indoors.browser() as browser:
        answer = await browser.get("/v1/openapi.json")
    assert answer.text == encoded()
    assert answer.headers["content-type"] == "application/json"


def test_every_operation_is_described_once(described: dict[str, Any]) -> None:
    rows = [(operation.path, operation.method.lower()) for operation in OPERATIONS]
    assert len(set(rows)) == len(rows)
    said = [(path, method) for path, methods in described["paths"].items() for method in methods]
    assert sorted(said) == sorted(rows)
    names = [one["operationId"] for methods in described["paths"].values() for one in methods.values()]
    assert len(set(names)) == len(names)


def test_whatever_is_referred_to_is_there_and_nothing_else(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    assert references(described) == {f"#/components/schemas/{name}" for name in schemas}


def test_paths_say_their_parameters(described: dict[str, Any]) -> None:
    for path, methods in described["paths"].items():
        for one in methods.values():
            named = [parameter for parameter in one.get("parameters", []) if parameter["in"] == "path"]
            assert [parameter["name"] for parameter in named] == re.findall(r"{(\w+)}", path)
            assert all(parameter["required"] and parameter["schema"]["type"] == "string" for parameter in named)


def test_every_refusal_is_of_one_shape_with_a_code_that_exists(described: dict[str, Any]) -> None:
    known: dict[str, int] = {"store_unavailable": 503}
    pending = [PeerError]
    while pending:
        error = pending.pop()
        known[error.code] = error.status
        pending += error.__subclasses__()
    for methods in described["paths"].values():
        for one in methods.values():
            for status, answer in one["responses"].items():
                if int(status) < 400:
                    continue
                schema = answer["content"]["application/json"]["schema"]
                # Done, but not confirmed by every node: the fields of a success stand beside the refusal.
                assert {"$ref": "#/components/schemas/Refusal"} in schema.get("allOf", [schema])
                for code in re.findall(r"^`(\w+)`", answer["description"], re.MULTILINE):
                    assert known[code] == int(status), code


def test_who_may_call_is_said(described: dict[str, Any]) -> None:
    for operation in OPERATIONS:
        one = described["paths"][operation.path][operation.method.lower()]
        needs = {name for way in one["security"] for name in way}
        assert needs == {"none": set(), "session": {"session"}, "admin": {"admin"}, "cookie": {"admin"}}[operation.auth]
        assert ("401" in one["responses"]) or operation.auth == "none"


def test_a_query_is_spelt_out(described: dict[str, Any]) -> None:
    asked = described["paths"]["/v1/conversations/{conversation}/messages"]["get"]["parameters"]
    by_name = {one["name"]: one for one in asked if one["in"] == "query"}
    assert by_name.keys() == {"before", "limit"}
    assert by_name["limit"]["schema"]["maximum"] == 100
    assert not by_name["limit"]["required"]


def test_a_table_of_sixty_rows_has_no_two_meanings_for_one_name() -> None:
    assert document(OPERATIONS) == json.loads(encoded())


def test_patterns_are_those_of_json_schema() -> None:
    assert r"\\Z" not in encoded()
