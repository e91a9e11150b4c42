"""LiveChat: a customer's identity is an ``entity_id`` and nothing else; name and email travel apart from it."""

from __future__ import annotations

from typing import Final

from chatgateway.core.profiles.profile import ClaimsProfile, Naming, ProjectNaming

LIVECHAT: Final = ClaimsProfile(
    name="livechat",
    identifiers=(Naming(("entity_id",)),),
    project=(ProjectNaming(("organization_id",)), ProjectNaming(("license_id",)), ProjectNaming(("aud",))),
)
