"""Who a project knows: by which names, what was said of them, and who may change it.

A person has identifiers (each names one person of a project) and a description. What a signed token said is locked:
neither a page nor an agent changes it. What a token does not say stays as it was.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, NamedTuple

from chatgateway.types import ExternalId, UnixMs, UserId

IdentifierKind = Literal["external_id", "email", "deskpro_id", "deskpro_email"]
"""Each kind is a namespace of its own: an address in one is nobody in another."""

EVERYONE: Final = "1"
"""The group that everybody is in."""

SIGNED: Final = "2"
"""The group of those for whom the project's server vouched."""

OUR_ID: Final = re.compile(r"usr_(?:cookie_)?[0-9a-f]{20}")
"""What our own user ids look like. No project calls anybody so: which of the two was meant, nobody could tell."""

WORDS_MAX: Final = 32
WORD_CHARS_MAX: Final = 64
"""What a person is found by is bounded, whatever a token names them."""


class Identifier(NamedTuple):
    """One way to name a person: the kind, and the text, taken as it is (an address: as ``folded_email`` writes it)."""

    kind: IdentifierKind
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What somebody says of a person. None: nothing is said about this."""

    name: str | None = None
    short_name: str | None = None
    email: str | None = None
    email_proved: bool | None = None
    """Did whoever says this know that the person controls ``email``?"""
    emails: tuple[str, ...] | None = None
    organization: str | None = None
    groups: tuple[str, ...] | None = None
    """Ids of the project's own groups, without the two that everybody gets from us."""
    fields: Mapping[str, str | tuple[str, ...]] | None = None
    labels: tuple[str, ...] | None = None
    timezone: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """What a project knows of somebody. Signed fields win over everything a page says."""

    user: UserId
    external_id: ExternalId = ExternalId("")
    name: str = ""
    email: str = ""
    email_proved: bool = False
    signed: tuple[str, ...] = ()
    """Names of the fields that came in a signed token, or from the project's server: locked."""
    created_at: UnixMs = UnixMs(0)
    updated_at: UnixMs = UnixMs(0)
    blocked: bool = False
    short_name: str = ""
    emails: tuple[str, ...] = ()
    organization: str = ""
    groups: tuple[str, ...] = ()
    fields: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict[str, str | tuple[str, ...]])
    labels: tuple[str, ...] = ()
    timezone: str = ""
    language: str = ""
    identifiers: tuple[Identifier, ...] = ()
    """Everything that names this person, in the order in which it was learnt."""

    @property
    def names(self) -> tuple[Identifier, ...]:
        """Everything that names this person; records from before identifiers were kept have an external id alone."""
        external = Identifier("external_id", self.external_id)
        return (
            self.identifiers if not self.external_id or external in self.identifiers else (external, *self.identifiers)
        )

    @property
    def vouched(self) -> bool:
        """Did the project's own server ever name this person? If not, it is an anonymous visitor with a record."""
        return bool(self.identifiers or self.external_id)

    @property
    def all_groups(self) -> tuple[str, ...]:
        """The groups that this person is in, the two that nobody has to name included."""
        return (EVERYONE, *((SIGNED,) if self.vouched else ()), *self.groups)


_DESCRIBED: Final = tuple(one.name for one in fields(Description))


def described(person: Person, said: Description, now: UnixMs, *, signed: bool) -> Person:
    """Return ``person`` as ``said`` describes them; what is not said stays.

    ``signed``: a token or the project's own server says it, and what it says is locked from now on. Else locked fields
    stay as they are, and no address is proved by saying so. A proved address stays proved while it stays the same.
    """
    given: dict[str, Any] = {name: getattr(said, name) for name in _DESCRIBED if getattr(said, name) is not None}
    proved = given.pop("email_proved", None)
    if not signed:
        given = {name: value for name, value in given.items() if name not in person.signed}
        proved = None
    if "fields" in given:
        given["fields"] = {**person.fields, **given["fields"]}
    if "groups" in given:
        given["groups"] = tuple(group for group in given["groups"] if group not in (EVERYONE, SIGNED))
    if "email" in given:
        same = given["email"] == person.email
        given["email_proved"] = bool(given["email"]) and (bool(proved) or (person.email_proved and same))
    locked = tuple(sorted({*person.signed, *(given.keys() - {"email_proved"})})) if signed else person.signed
    known = replace(person, **given, signed=locked)
    return known if known == person else replace(known, updated_at=now)


def named(person: Person, identifiers: tuple[Identifier, ...], now: UnixMs) -> Person:
    """Return ``person`` with these identifiers, which the store has found or made theirs."""
    fresh = tuple(one for one in identifiers if one not in person.identifiers)
    external_id = next((ExternalId(one.text) for one in identifiers if one.kind == "external_id"), person.external_id)
    if not fresh and external_id == person.external_id:
        return person
    locked = tuple(sorted({*person.signed, "external_id"})) if external_id else person.signed
    return replace(
        person, identifiers=(*person.identifiers, *fresh), external_id=external_id, signed=locked, updated_at=now
    )


def contradicts(person: Person, identifiers: tuple[Identifier, ...]) -> bool:
    """Do ``identifiers`` call ``person`` by another id than the project's server did before?

    Somebody has one id of a kind, our own being good for one as well; addresses may be several, for people change them.
    """
    taken = {one.kind for one in person.names if one.kind in ("external_id", "deskpro_id")}
    return any(one.kind in taken and one not in person.names and one.text != person.user for one in identifiers)


def forgotten(person: Person, identifier: Identifier, now: UnixMs) -> Person:
    """Return ``person`` without ``identifier``: it names them no more. What was said of them stays."""
    if identifier not in person.names:
        return person
    left = tuple(one for one in person.names if one != identifier)
    external_id = next((ExternalId(one.text) for one in reversed(left) if one.kind == "external_id"), ExternalId(""))
    signed = person.signed if external_id else tuple(name for name in person.signed if name != "external_id")
    return replace(person, identifiers=left, external_id=external_id, signed=signed, updated_at=now)


def proved(person: Person, email: str, now: UnixMs) -> Person:
    """Return ``person`` as somebody who showed that they control ``email``. An address that was signed stays."""
    if "email" in person.signed and folded_email(person.email) != folded_email(email):
        return person
    known = replace(person, email=email, email_proved=True)
    return known if known == person else replace(known, updated_at=now)


def locked(person: Person, said: Description) -> tuple[str, ...]:
    """Return the names of what ``said`` would change and may not, because it was signed."""
    return tuple(
        name for name in _DESCRIBED
        if name in person.signed and getattr(said, name) not in (None, getattr(person, name))
    )  # fmt: skip


def found_by(person: Person) -> tuple[str, ...]:
    """Return the folded words that this person is found by: of their names, identifiers and addresses."""
    words: list[str] = []
    for name in (person.name, person.short_name):
        for word in folded(name).split():
            words += [word, *re.split(r"\W+", word)]
    for text in (*(one.text for one in person.names), person.email, *person.emails):
        words += folded(text).split()
    distinct = dict.fromkeys(_cut(word) for word in words if word)
    return tuple(sorted(list(distinct)[:WORDS_MAX]))


def is_found(person: Person, prefixes: tuple[str, ...]) -> bool:
    """Does every one of these folded prefixes begin one of the person's words?"""
    words = found_by(person)
    return all(any(word.startswith(prefix) for word in words) for prefix in prefixes)


def folded(text: str) -> str:
    """Return ``text`` without case and accents (NFKD, Unicode Standard Annex 15): for finding, never for naming."""
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return " ".join("".join(char for char in apart if not unicodedata.combining(char)).split())


def folded_prefixes(text: str) -> tuple[str, ...]:
    """Return what is looked for when somebody types ``text``: its folded words, the longest first."""
    return tuple(sorted((_cut(word) for word in folded(text).split()), key=len, reverse=True)[:WORDS_MAX])


def _cut(word: str) -> str:
    return word[:WORD_CHARS_MAX]


def folded_email(email: str) -> str:
    """Return what two spellings of one address share. ASCII letters only: wider folding makes two addresses one."""
    return "".join(char.lower() if char.isascii() else char for char in email)
