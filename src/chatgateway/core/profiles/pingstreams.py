"""Pingstreams: both generations as Tiledesk has them, but a token may live for a day and may lack its end."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from chatgateway.core.profiles.profile import ClaimsProfile, Naming, ProjectNaming

_OLDER: Final = ClaimsProfile(
    name="pingstreams",
    identifiers=(Naming(("external_id",)),),
    constants=((("sub",), "userexternal"),),
    project=(ProjectNaming(("aud",), "url"),),
    expiry_required=False,
    session_max_ms=3_600_000,
    leeway_ms=120_000,
    display_name=((("name",),),),
    email=("email",),
)

_NEWER: Final = replace(
    _OLDER,
    identifiers=(Naming(("_id",), form="after_project"), Naming(("external_id",))),
    required=(("sub",), ("aud",), ("email",)),
    display_name=((("firstname",), ("lastname",)), (("name",),)),
    fields=("attributes",),
)

PINGSTREAMS: Final = replace(_OLDER, newer=("_id", _NEWER))
