"""Who is how sure, and in which role."""

from __future__ import annotations

import pytest

from chatgateway.core.identity import Agent, Anonymous, Authenticated, Identity
from chatgateway.core.person import Person
from chatgateway.types import AgentId, ExternalId, KeyId, ProjectId, UnixMs, UserId

UNTIL = UnixMs(1_795_249_707_000)
STRANGER = Anonymous(UserId("usr_1"), UNTIL)
SIGNED = Authenticated(UserId("usr_2"), KeyId("k_1"), UNTIL, name="Ana")
MARIA = Agent(UserId("agt_1"), AgentId("agt_1"), "Maria", frozenset({ProjectId("prj_1")}), UNTIL, admin=True)


@pytest.mark.parametrize(
    ("identity", "assurance", "role", "name"),
    [
        (STRANGER, "anonymous", "visitor", ""),
        (SIGNED, "signed", "visitor", "Ana"),
        (MARIA, "agent", "agent", "Maria"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_identity_says_how_sure_the_gateway_is(identity: Identity, assurance: str, role: str, name: str) -> None:
    assert (identity.assurance, identity.role, identity.name) == (assurance, role, name)


def test_a_person_of_whom_nothing_is_known_is_trusted_with_nothing() -> None:
    nobody = Person(UserId("usr_1"))
    assert nobody.external_id == ExternalId("")
    assert not (nobody.email_proved or nobody.signed or nobody.blocked)
