"""The claims that each profile's own documentation would have a server sign: for samples, demonstrations and tests."""

from __future__ import annotations

from typing import Any, Final

from chatgateway.types import ProjectId

EMAIL: Final = "someone@shop.example"
"""Where a profile demands an address and none was given. Nobody reads mail there (RFC 2606)."""

GATEWAY: Final = "https://chat.example"
"""Stands before ``/projects/``: nobody compares what is there."""


def sample_claims(
    profile: str, project: ProjectId, person: str, issued_s: int, life_s: int, *, name: str = "", email: str = ""
) -> dict[str, Any]:
    """Return claims in which a project's server vouches for ``person`` to an app that reads ``profile``.

    Raises ValueError for a profile that is not known.
    """
    first, _, last = name.partition(" ")
    life = {"iat": issued_s, "exp": issued_s + life_s}
    match profile:
        case "canonical":
            said = {"external_id": person, "name": name, "email": email}
        case "plain":
            # All but the short name is required, so a sample has to say something.
            said = {
                "fullName": name or person,
                "shortName": first,
                "email": {"email": email or EMAIL, "isVerified": False},
                "externalId": person,
            }
        case "tiledesk":
            said = {"name": name, "email": email, "external_id": person}
        case "pingstreams":
            said = {
                "_id": f"{project}_{person}",
                "sub": "userexternal",
                "aud": f"{GATEWAY}/projects/{project}",
                "firstname": first,
                "lastname": last,
                "email": email or EMAIL,
            }
        case "deskpro":
            said = {"deskpro_id": person, "email": email, "first_name": first, "last_name": last}
        case "livechat":
            said = {"entity_id": person, "organization_id": project}
        case _:
            raise ValueError(f"there is no sample for the claims profile {profile}")
    return {claim: value for claim, value in said.items() if value} | life
