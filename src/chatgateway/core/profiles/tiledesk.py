"""Tiledesk, both generations: ``external_id`` with ten minutes at most, and ``_id`` that carries the project's id.

Both name the same person: ``_id`` is the project's id, an underscore and what ``external_id`` says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from chatgateway.core.profiles.profile import ClaimsProfile, Naming, ProjectNaming

_OLDER: Final = ClaimsProfile(
    name="tiledesk",
    identifiers=(Naming(("external_id",)),),
    constants=((("sub",), "userexternal"),),
    project=(ProjectNaming(("aud",), "url"),),
    max_life_ms=10 * 60_000,
    leeway_ms=120_000,
    display_name=((("name",),),),
    email=("email",),
)

_NEWER: Final = replace(
    _OLDER,
    identifiers=(Naming(("_id",), form="after_project"), Naming(("external_id",))),
    required=(("sub",), ("aud",), ("email",)),
    # The documented samples carry no exp: a page shows one for as long as a token with exp could have lived.
    expiry_required=False,
    session_max_ms=3_600_000,
    display_name=((("firstname",), ("lastname",)), (("name",),)),
    fields=("attributes",),
)

TILEDESK: Final = replace(_OLDER, newer=("_id", _NEWER))
