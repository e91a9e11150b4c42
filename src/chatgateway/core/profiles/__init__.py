"""Decide how one vendor's token is read: which claims name the person, and which lifetime is allowed.

A profile is a value: a new one is a new module with one constant, and the verifier stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chatgateway.core.profiles.canonical import CANONICAL
from chatgateway.core.profiles.deskpro import DESKPRO
from chatgateway.core.profiles.livechat import LIVECHAT
from chatgateway.core.profiles.pingstreams import PINGSTREAMS
from chatgateway.core.profiles.plain import PLAIN
from chatgateway.core.profiles.profile import Claim, ClaimsProfile, Naming, ProjectNaming, role_like
from chatgateway.core.profiles.tiledesk import TILEDESK

__all__ = [
    "CANONICAL",
    "DESKPRO",
    "LIVECHAT",
    "PINGSTREAMS",
    "PLAIN",
    "PROFILES",
    "TILEDESK",
    "Claim",
    "ClaimsProfile",
    "Naming",
    "ProjectNaming",
    "role_like",
]

PROFILES: Final[Mapping[str, ClaimsProfile]] = {
    profile.name: profile for profile in (CANONICAL, PLAIN, TILEDESK, DESKPRO, PINGSTREAMS, LIVECHAT)
}
"""By the name that an app's record holds."""
