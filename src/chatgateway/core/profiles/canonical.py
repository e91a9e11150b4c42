"""Our own form: each claim has the name of what it becomes."""

from __future__ import annotations

from typing import Final

from chatgateway.core.profiles.profile import ClaimsProfile, Naming, ProjectNaming

CANONICAL: Final = ClaimsProfile(
    name="canonical",
    identifiers=(Naming(("external_id",)), Naming(("sub",))),
    project=(ProjectNaming(("project_id",)), ProjectNaming(("aud",))),
    display_name=((("name",),),),
    short_name=("short_name",),
    email=("email",),
    email_proved=("email_verified",),  # as OpenID Connect spells it
    emails=("emails",),
    organization=("organization",),
    fields=("fields",),
    labels=("labels",),
    timezone=("timezone",),
    language=("language",),
)
"""``groups`` is missing: a claim of that name asks for rights elsewhere. They come by the admin API."""
