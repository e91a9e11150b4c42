"""Deskpro: everything is optional, but for one of ``deskpro_id`` and ``email``, each of which names the person.

Both live in namespaces of their own: an address here is nobody's external id, and no other profile's address.
"""

from __future__ import annotations

from typing import Final

from chatgateway.core.profiles.profile import ClaimsProfile, Naming

DESKPRO: Final = ClaimsProfile(
    name="deskpro",
    identifiers=(Naming(("deskpro_id",), "deskpro_id"), Naming(("email",), "deskpro_email", "email")),
    foreign=("sub", "external_id", "externalId", "entity_id", "_id"),
    # The documented payloads know neither: such a token is good until its key is revoked, and we say so.
    expiry_required=False,
    issue_required=False,
    session_max_ms=3_600_000,
    display_name=((("name",),), (("first_name",), ("last_name",))),
    email=("email",),
    emails=("emails",),
    organization=("organization_id",),
    groups=("usergroup_ids",),
    fields=("fields",),
    labels=("labels",),
    timezone=("timezone",),
    language=("language_id",),
)
