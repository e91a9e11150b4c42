"""Decide how one vendor's token is read: which claims name the person, and which lifetime is allowed.

A profile is a value: a new one is a new module with one constant, and the verifier stays as it is.
"""

from __future__ import annotations

from chatgateway.core.profiles.canonical import CANONICAL
from chatgateway.core.profiles.profile import Claim, ClaimsProfile, role_like

__all__ = ["CANONICAL", "PROFILES", "Claim", "ClaimsProfile", "role_like"]

PROFILES: dict[str, ClaimsProfile] = {profile.name: profile for profile in (CANONICAL,)}
"""By the name that an app's record holds."""
