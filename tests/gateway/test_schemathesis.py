"""The server does what its description says, operation by operation, with data that fits it and data that does not.

Every request bears a token that is good, and names things that exist; what ends or deletes is done to things that were
made for it. schemathesis repeats requests without the token, too, and must be refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import negative_data_rejection
from tests.gateway.indoors import SHOP
from tests.gateway.page import exchanged
from tests.gateway.served import Served

from chatgateway.core.limits import Rate
from chatgateway.gateway import pace
from chatgateway.gateway.api.table import OPERATIONS
from chatgateway.gateway.openapi import encoded

EXAMPLES = 5
"""Drawn for each operation, beside those that its schemas' edges give."""

CONFIG = SchemathesisConfig.from_dict(
    {
        "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none"},
        # What a rule refuses that JSON Schema has no word for is answered 422.
        "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "404", "409", "422"]}},
    }
)
API = schemathesis.openapi.from_dict(json.loads(encoded()), config=CONFIG)

NEVER = {"undo_adoption"}
"""Operations that succeed after more than one request can bring about; they have tests of their own."""

LINES = [negative_data_rejection]
"""Checks that do not fit a body of lines: a line that cannot be is reported, and the rest goes on."""

FRESH = {
    "revoke_key", "regenerate_key", "remove_agent", "revoke_admin", "end_live_session", "end_session", "sign_out",
    "erase_user", "forget_identifier", "block_user", "set_agent_password", "change_app",
}  # fmt: skip
"""Operations that use up what they are done to."""


class World:
    """What requests name."""

    def __init__(self, served: Served) -> None:
        self.served = served
        indoors = served.indoors
        admins = indoors.parts.admins
        self.root = served.do(admins.create("root"))[1]
        self.own = served.do(admins.create("server", (indoors.project.id,)))[1]
        self._made: dict[str, str] = {}
        self._count = 0
        self.of("app", "")
        self.called: set[str] = set()
        self.succeeded: set[str] = set()

    def of(self, name: str, operation: str) -> str:
        """Return something that exists, to stand for a placeholder."""
        if operation in FRESH:
            return self.served.do(self._make(name))
        if name not in self._made:
            self._made[name] = self.served.do(self._make(name))
        return self._made[name]

    async def _make(self, name: str) -> str:
        indoors, parts = self.served.indoors, self.served.indoors.parts
        self._count += 1
        match name:
            case "project":
                return indoors.project.id
            case "app" if "app" in self._made:  # whoever wants another one changes it
                return (await parts.projects.create_app(indoors.project.id, "Other", (SHOP,))).id
            case "app":
                return indoors.app.id
            case "kid":
                kid = f"k-{self._count}"
                await indoors.add_key(kid)
                return kid
            case "agent":
                return (await parts.agents.create(f"Agent {self._count}", projects=(indoors.project.id,))).id
            case "admin":
                return (await parts.admins.create(f"Admin {self._count}", (indoors.project.id,)))[0].id
            case "user" | "external_id":
                await exchanged(indoors, indoors.token(f"user-{self._count}"))
                return f"user-{self._count}"
            case "session":
                return (await exchanged(indoors, indoors.token("ada")))["session"]
            case "conversation":
                tab = await indoors.visitor(indoors.token("ada"))
                conversation = await tab.start()
                tab.leave()
                return conversation
            case "kind":
                return "external_id"
            case "text":
                return f"user-{self._count - 2}"
            case "receipt":
                return "adp_0"
            case _:
                raise AssertionError(f"nothing is known of {{{name}}}")

    def bearer(self, auth: str, operation: str) -> str:
        """Return a token that is good for an operation."""
        if auth == "admin":
            return self.own if operation == "grant_session" else self.root
        if operation in FRESH:
            self._count += 1
            return self._session(f"user-{self._count}")
        if "token" not in self._made:
            self._made["token"] = self._session("ada")
        return self._made["token"]

    def _session(self, person: str) -> str:
        indoors = self.served.indoors
        return self.served.do(exchanged(indoors, indoors.token(person)))["session_token"]

    def fill(self, body: dict[str, Any]) -> None:
        """Put what exists where the body names something."""
        app, project = self.of("app", ""), self.of("project", "")
        known = {"app": app, "client_id": app, "projects": [project], "ref": self.served.indoors.ref()}
        if "client_id" in body:
            body["organization_id"] = project
        for name, value in body.items():
            if name in known:
                body[name] = known[name]
            elif isinstance(value, float) and value.is_integer():
                body[name] = int(value)  # to JSON Schema 1.0 is an integer; a server may ask for one that is written so


@schemathesis.serializer("application/x-ndjson")
def written_lines(context: schemathesis.SerializationContext, value: Any) -> bytes:
    return value.encode("utf-8", "replace") if isinstance(value, str) else json.dumps(value).encode()


@pytest.fixture(scope="module")
def world(store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    plenty = {"requests_per_s": 1e4, "requests_burst": 10_000, "commands_per_s": 1e4, "commands_burst": 10_000}
    with redis.Redis.from_url(store_url) as client:
        client.flushall()  # what other tests left was written with another master key
        client.script_flush()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace, "ADMIN_FAILURES", Rate(1e4, 10_000))
        with Served(store_url, tmp_path_factory.mktemp("served"), **plenty, admin_requests_per_s=1e4) as served:
            yield World(served)


def is_bent(case: schemathesis.Case, place: ParameterLocation) -> bool:
    """Does it mean to break the description there?"""
    return case.meta is not None and case.meta.is_negative_at(place)


@API.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
def test_the_server_does_what_its_description_says(world: World, case: schemathesis.Case) -> None:
    operation = next(
        one for one in OPERATIONS if (one.path, one.method) == (case.operation.path, case.operation.method.upper())
    )
    if not is_bent(case, ParameterLocation.PATH):
        for name in operation.placeholders:
            if name in case.path_parameters:
                case.path_parameters[name] = world.of(name, operation.name)
    if isinstance(case.body, dict) and not is_bent(case, ParameterLocation.BODY):
        world.fill(case.body)
    headers = {"Origin": SHOP}
    if operation.auth in ("admin", "session"):
        headers["Authorization"] = f"Bearer {world.bearer(operation.auth, operation.name)}"
    answer = case.call_and_validate(
        base_url=world.served.url, headers=headers, excluded_checks=LINES if operation.lines else None
    )
    world.called.add(operation.name)
    if answer.status_code < 300:
        world.succeeded.add(operation.name)


def test_every_operation_did_something_for_somebody(world: World) -> None:
    assert world.called - world.succeeded <= NEVER, "their answers of success were never compared"
