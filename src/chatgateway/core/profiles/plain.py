"""Plain: RS256 with a pasted public key; ``fullName``, an ``email`` object and ``externalId`` are all required."""

from __future__ import annotations

from typing import Final

from chatgateway.core.profiles.profile import ClaimsProfile, Naming

PLAIN: Final = ClaimsProfile(
    name="plain",
    identifiers=(Naming(("externalId",)),),
    required=(("fullName",), ("email",), ("email", "email"), ("email", "isVerified")),
    display_name=((("fullName",),),),
    short_name=("shortName",),
    email=("email", "email"),
    # False: the person chats at once as signed, and agents see the address as unproved.
    email_proved=("email", "isVerified"),
)
