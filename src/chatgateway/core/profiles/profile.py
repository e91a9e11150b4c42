"""What a claims profile is made of, and what none may ever read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from chatgateway.core.person import IdentifierKind

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


class Naming(NamedTuple):
    """A claim that names the person."""

    claim: Claim
    kind: IdentifierKind = "external_id"
    form: Literal["opaque", "after_project", "email"] = "opaque"
    """Taken as it is; what follows the project's id and an underscore; an address, of which ASCII case is no part."""


class ProjectNaming(NamedTuple):
    """A claim that names a project, as a text or a list that holds it: it must be the connection's."""

    claim: Claim
    form: Literal["id", "url"] = "id"
    """The project's id, or an address that ends in ``/projects/`` and the id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsProfile:
    """How one vendor's token is read."""

    name: str

    # Who.
    identifiers: tuple[Naming, ...]
    """What names the person: at least one must be there, and those of one kind must agree."""
    foreign: tuple[str, ...] = ()
    """Top-level claims that must be absent: by them other profiles name people. For who takes an address for a name:
    a project's keys sign for all its apps, and where the token was made the address may be anybody's."""
    required: tuple[Claim, ...] = ()
    """Must be there and say something; of which type follows from what it becomes."""
    constants: tuple[tuple[Claim, str], ...] = ()
    """A claim that is there must be this text."""
    project: tuple[ProjectNaming, ...] = (ProjectNaming(("aud",)),)
    """RFC 7519 section 4.1.3: an audience that does not name us is a reason to refuse."""

    # When.
    expiry_required: bool = True
    issue_required: bool = True
    max_life_ms: int = 24 * 3600 * 1000
    """From ``iat``, or from now, to ``exp``. A token without ``exp`` is as good as one that lives so long."""
    leeway_ms: int = 60_000
    """Customers' clocks are a little wrong."""
    session_max_ms: int | None = None
    """A session on a token without ``exp`` lives at most so long."""

    # What becomes of the rest.
    display_name: tuple[tuple[Claim, ...], ...] = ()
    """Alternatives, best first; the parts of one are joined by a space."""
    short_name: Claim | None = None
    email: Claim | None = None
    email_proved: Claim | None = None
    emails: Claim | None = None
    organization: Claim | None = None
    groups: Claim | None = None
    """The two groups that everybody gets from us are passed over."""
    fields: Claim | None = None
    """A table of texts and lists of texts; other values are passed over."""
    labels: Claim | None = None
    timezone: Claim | None = None
    language: Claim | None = None

    newer: tuple[str, ClaimsProfile] | None = None
    """When this top-level claim is there, the token is of the vendor's newer generation, read as that profile says."""

    def __post_init__(self) -> None:
        for claim in self.claims:
            if any(role_like(step) for step in claim):
                raise ValueError(f"profile {self.name}: {'.'.join(claim)} asks for rights; no profile reads that")
        if not self.expiry_required and self.session_max_ms is None:
            raise ValueError(f"profile {self.name}: who may do without exp says how long a session lives")

    @property
    def names_by_address(self) -> bool:
        """Is an address a name here?"""
        return any(naming.form == "email" for naming in self.identifiers)

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Every claim that is read."""
        return tuple(self._claims())

    def reads(self, name: str) -> bool:
        """Is anything read from the top-level claim ``name``?"""
        return name in REGISTERED or any(claim[0] == name for claim in self._claims())

    def generation(self, claims: Mapping[str, object]) -> ClaimsProfile:
        """Return the profile that reads a token with these claims: this one, or the newer one."""
        if self.newer is not None and self.newer[0] in claims:
            return self.newer[1]
        return self

    def _claims(self) -> Iterator[Claim]:
        yield from (naming.claim for naming in self.identifiers)
        yield from self.required
        yield from (claim for claim, _ in self.constants)
        yield from (naming.claim for naming in self.project)
        yield from (part for alternative in self.display_name for part in alternative)
        for claim in (
            self.short_name, self.email, self.email_proved, self.emails, self.organization, self.groups, self.fields,
            self.labels, self.timezone, self.language,
        ):  # fmt: skip
            if claim is not None:
                yield claim
