"""An honest payload for each claims profile and generation, and what a corpus of tokens is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.core.jose import CLAIMS, NOW_S, PROJECT, Json, token

from chatgateway.core.profiles import CANONICAL, PROFILES, ClaimsProfile


@dataclass(frozen=True)
class Case:
    name: str
    token: object
    expected: str
    """A Reason, or the outward code of the two that have one of their own, or "" for an honest token."""
    profile: ClaimsProfile = CANONICAL


_TIMES: Final[Json] = {"iat": NOW_S, "exp": NOW_S + 600}
_OLDER: Final[Json] = {"name": "Ada Lovelace", "email": "ada@example.com", "external_id": "u-1", **_TIMES}
_NEWER: Final[Json] = {
    "_id": f"{PROJECT}_u-1",
    "sub": "userexternal",
    "aud": f"https://tiledesk.example/projects/{PROJECT}",
    "email": "ada@example.com",
    "firstname": "Ada",
    "lastname": "Lovelace",
    "attributes": {"plan": "gold", "tags": ["a", "b"]},
    "iat": NOW_S,
}

SAMPLES: Final[Mapping[str, Json]] = {
    "canonical": CLAIMS,
    "plain": {
        "fullName": "Ada Lovelace",
        "shortName": "Ada",
        "email": {"email": "ada@example.com", "isVerified": True},
        "externalId": "u-1",
        "iat": NOW_S,
        "exp": NOW_S + 3_600,
    },
    "tiledesk": _OLDER,
    "tiledesk newer": _NEWER,
    "pingstreams": _OLDER,
    "pingstreams newer": _NEWER,
    "deskpro": {
        "deskpro_id": "42",
        "email": "Ada@Example.com",
        "emails": ["ada@example.com", "ada@work.example"],
        "first_name": "Ada",
        "last_name": "Lovelace",
        "organization_id": "7",
        "language_id": "1",
        "usergroup_ids": ["3", "4"],
        "fields": {"plan": "gold", "tags": ["a", "b"]},
        "timezone": "Europe/Berlin",
        "labels": ["vip"],
    },
    "livechat": {"entity_id": "u-1", "organization_id": PROJECT, **_TIMES},
}
"""By the profile's name, and which of its generations."""


def profile_of(sample: str) -> ClaimsProfile:
    return PROFILES[sample.split(maxsplit=1)[0]]


def saying(sample: str, *without: str, kid: str | None = "k_main", **changes: Any) -> str:
    """Return a token with the payload of ``sample``, but for these changes."""
    kept = {name: value for name, value in SAMPLES[sample].items() if name not in without}
    return token({**kept, **changes}, kid=kid)
