"""A token as somebody got it wrong: what the doctor must say of it, and on which ring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.core.jose import RING, SIGNERS, token

from chatgateway.core.keyring import KeyRing
from chatgateway.core.profiles import CANONICAL, PROFILES, ClaimsProfile


@dataclass(frozen=True, kw_only=True)
class Mistaken:
    name: str
    token: object
    mistake: str
    reason: str
    cause: tuple[str, ...]
    """Words of the sentence that say what happened."""
    fix: tuple[str, ...]
    """Words of the sentence that say what to do."""
    profile: ClaimsProfile = CANONICAL
    ring: KeyRing = RING
    elsewhere: Mapping[str, KeyRing] = field(default_factory=dict[str, KeyRing])
    one_time: bool = False
    demands_expiry: bool = False


GOOD: Final = token()
SECRET: Final[bytes] = SIGNERS["k_main"].key
SECRETS_ONLY: Final = KeyRing(1, tuple(key for key in RING.keys if key.kid in ("k_main", "k_second")))
PUBLIC_ONLY: Final = KeyRing(1, tuple(key for key in RING.keys if key.kid in ("k_rsa", "k_ec")))
DEAD_ONLY: Final = KeyRing(1, tuple(key for key in RING.keys if key.kid == "k_lately"))


def one(name: str, made: object, mistake: str, reason: str, cause: str, fix: str, **more: Any) -> Mistaken:
    """``cause`` and ``fix``: words that must occur, with ``|`` between them."""
    return Mistaken(
        name=name, token=made, mistake=mistake, reason=reason, cause=tuple(cause.split("|")), fix=tuple(fix.split("|")),
        **more,
    )  # fmt: skip


def as_profile(name: str) -> ClaimsProfile:
    return PROFILES[name]
