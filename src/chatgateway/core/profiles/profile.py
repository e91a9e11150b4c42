"""What a claims profile is made of, and what none may ever read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

Claim = tuple[str, ...]
"""The way to a claim, names from the outside in: ``("email", "isVerified")``."""

REGISTERED: Final = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti"})
"""RFC 7519 section 4.1: nobody needs a report when these are not used."""

_ROLES: Final = re.compile(
    r"roles?|(is)?(admin|superuser|agent|operator|staff|owner)|permissions?|scopes?|scp|groups?|authorities|privileges"
    r"|assurance|badge|verified"
)


def role_like(claim: str) -> bool:
    """Does the claim's name ask for rights? A customer token says who somebody is, never what they may do here."""
    return _ROLES.fullmatch(claim.lower().replace("_", "").replace("-", "")) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsProfile:
    """How one vendor's token is read."""

    name: str
    subject: tuple[Claim, ...]
    """Each may name the person; those that are present must agree."""
    display_name: tuple[tuple[Claim, ...], ...] = ()
    """Alternatives, best first; the parts of one are joined by a space."""
    email: Claim | None = None
    email_verified: Claim | None = None
    project: tuple[Claim, ...] = ()
    """Those that are present must name the connection's project (a text, or a list that holds it)."""
    expiry_required: bool = True
    issue_required: bool = True
    max_life_ms: int = 24 * 3600 * 1000
    leeway_ms: int = 60_000
    """Customers' clocks are a little wrong."""

    def __post_init__(self) -> None:
        for claim in self.claims:
            if any(role_like(step) for step in claim):
                raise ValueError(f"profile {self.name}: {'.'.join(claim)} asks for rights; no profile reads that")

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Every claim that is read."""
        names = tuple(part for alternative in self.display_name for part in alternative)
        emails = tuple(claim for claim in (self.email, self.email_verified) if claim)
        return (*self.subject, *names, *emails, *self.project)

    def reads(self, name: str) -> bool:
        """Is anything read from the top-level claim ``name``?"""
        return name in REGISTERED or any(claim[0] == name for claim in self.claims)
