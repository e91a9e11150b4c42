"""chatgateway's own claims: ``external_id`` (or ``sub``), ``name``, ``email``, ``email_verified``, ``iat``, ``exp``."""

from __future__ import annotations

from typing import Final

from chatgateway.core.profiles.profile import ClaimsProfile

CANONICAL: Final = ClaimsProfile(
    name="canonical",
    subject=(("external_id",), ("sub",)),
    display_name=((("name",),),),
    email=("email",),
    email_verified=("email_verified",),
    # RFC 7519 section 4.1.3: an audience that does not name us is a reason to refuse.
    project=(("project_id",), ("aud",)),
)
