"""Customer tokens over HTTP: one explained, and a sample made. What was pasted is neither logged nor repeated."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from chatgateway.admin import tokens
from chatgateway.core.doctor import Facts
from chatgateway.errors import AppUnknown, Unacceptable
from chatgateway.gateway.api.admin.apps import app_of
from chatgateway.gateway.api.admin.keys import Kid
from chatgateway.gateway.api.admin.office import AdminCall, office_of
from chatgateway.gateway.api.operation import Operation
from chatgateway.types import KeyId


class TokenPasted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer token, or what somebody took for one."""

    token: str


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """Something else that would be wrong, or should be mended."""

    mistake: str
    sentence: str


class TokenExplained(msgspec.Struct, frozen=True, kw_only=True):
    """What this gateway makes of a token, and why. Nothing was changed, and no token was used up."""

    verdict: Literal["ok", "warn", "bad"]
    """Good, good but something should be mended, refused."""
    reason: str
    """The verifier's word; empty when it takes the token."""
    mistake: str
    sentence: str
    """Cause and cure of what matters most."""
    facts: Facts
    also: list[Explained]


class SampleWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom the sample is to name."""

    external_id: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    profile: str | None = None
    """Whose shape it has; else the app's."""
    name: Annotated[str, msgspec.Meta(max_length=255)] = ""
    email: Annotated[str, msgspec.Meta(max_length=255)] = ""
    minutes: Annotated[int, msgspec.Meta(ge=1, le=1_440)] = 5
    kid: Kid | None = None
    """Sign with this key instead of the newest."""


class SampleMade(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever has it is that person until it expires."""

    token: str
    kid: str
    profile: str
    expires_at: int


async def explain_token(call: AdminCall) -> TokenExplained:
    office = office_of(call)
    app = await app_of(office, call)
    told = await tokens.explain(
        office, app.id, call.body.token, sets=call.parts.signers.sets, neighbours=call.who.everywhere
    )
    return TokenExplained(
        verdict=told.verdict,
        reason=told.reason,
        mistake=told.mistake,
        sentence=told.sentence,
        facts=told.facts,
        also=[Explained(mistake=finding.mistake, sentence=finding.sentence) for finding in told.also],
    )


async def mint_token(call: AdminCall) -> SampleMade:
    office, wanted = office_of(call), call.body
    app = await app_of(office, call)
    made = await tokens.mint(
        office,
        app.id,
        wanted.external_id,
        profile=wanted.profile,
        name=wanted.name,
        email=wanted.email,
        minutes=wanted.minutes,
        kid=KeyId(wanted.kid) if wanted.kid else None,
    )
    return SampleMade(token=made.token, kid=made.kid, profile=made.profile, expires_at=made.expires_at)


_TOKENS = "/v1/admin/apps/{app}/tokens"

OPERATIONS = (
    Operation(
        "POST", _TOKENS + "/explain", "Say whether this gateway takes a token, and if not, why not.", explain_token,
        "admin", takes=TokenPasted, gives=TokenExplained, errors=(AppUnknown,),
        details="The token is neither logged nor repeated. Nothing is changed.",
    ),
    Operation(
        "POST", _TOKENS + "/mint", "Sign a sample token.", mint_token, "admin",
        takes=SampleWanted, gives=SampleMade, status=201, errors=(AppUnknown, Unacceptable),
        details="For experiments; servers sign with their own library. Recorded in the audit.",
    ),
)  # fmt: skip
