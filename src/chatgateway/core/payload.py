"""Turn the claims of a token that somebody vouched for into a person, as a claims profile says.

Claims are typed by what they become, and a wrong type is a reason to refuse: what we guessed here, the next parser
would guess otherwise. What nobody asked for is dropped and reported; nothing in a token gives rights.

Every refusal is its own ``if … : raise refused("reason")``, so that tests can delete one at a time.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from chatgateway.core.compact import Reason, refused
from chatgateway.core.person import EVERYONE, OUR_ID, SIGNED, Description, Identifier, IdentifierKind, folded_email
from chatgateway.core.profiles import Claim, ClaimsProfile, Naming, ProjectNaming, role_like
from chatgateway.types import ProjectId

ID_CHARS_MAX: Final = 255
PERSON_BYTES_MAX: Final = 4_096
"""All that is kept of one token, as UTF-8."""

ENTRIES_MAX: Final = 64
"""In a list of addresses, groups, labels or texts."""

ID_REFUSED: Final = frozenset({"Cc", "Cs", "Cf", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that no id holds: what cannot be seen, written or compared. Otherwise an id is opaque."""

TEXT_REFUSED: Final = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Format characters stay in names: Persian and emoji need joiners."""

OVERRIDES: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""But not those that turn what follows around: a name could wear somebody else's badge."""

EMAIL: Final = re.compile(r"[^\s@]{1,64}@[^\s@]{1,189}")
"""As much of RFC 5321 as can be known without asking: sizes, one ``@``, no white space."""

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Payload:
    """What a token says, and of whom."""

    identifiers: tuple[Identifier, ...]
    description: Description
    dropped: tuple[str, ...]
    """Names of claims, or of entries in a table, that had no effect."""
    warnings: tuple[Reason, ...]
    token_id: str


def payload_of(claims: Mapping[str, Any], profile: ClaimsProfile, project: ProjectId) -> Payload:
    """Return what ``claims`` say of a person of ``project``. Raises TokenRejected."""
    for naming in profile.project:
        _check_project(claims, naming, project)
    for name in profile.foreign:
        if name in claims:
            raise refused("another_profile")
    identifiers = _identifiers(claims, profile, project)
    for claim, constant in profile.constants:
        if _at(claims, claim, constant) != constant:
            raise refused("claim_value")
    for claim in profile.required:
        if _at(claims, claim) in (None, ""):
            raise refused("claim_missing")
    groups = _texts(claims, profile.groups)
    ours = tuple(group for group in groups or () if group in (EVERYONE, SIGNED))
    fields, passed_over = _fields(claims, profile.fields)
    description = Description(
        name=_display_name(claims, profile) or None,
        short_name=_trimmed(claims, profile.short_name),
        email=_email(claims, profile.email) or None,
        email_proved=_boolean(claims, profile.email_proved),
        emails=_emails(claims, profile.emails),
        organization=_trimmed(claims, profile.organization),
        groups=None if groups is None else tuple(group for group in groups if group not in ours),
        fields=fields,
        labels=_texts(claims, profile.labels),
        timezone=_trimmed(claims, profile.timezone),
        language=_trimmed(claims, profile.language),
    )
    if sum(len(text.encode()) for text in _kept(identifiers, description)) > PERSON_BYTES_MAX:
        raise refused("person_too_big")
    unread = (claim for claim in claims if not profile.reads(claim))
    return Payload(
        identifiers=identifiers,
        description=description,
        dropped=tuple(_loggable(name) for name in (*unread, *passed_over)),
        warnings=("reserved_group",) if ours else (),
        token_id=_token_id(claims),
    )


# Who.


def _check_project(claims: Mapping[str, Any], naming: ProjectNaming, project: ProjectId) -> None:
    named = _at(claims, naming.claim, _ABSENT)
    if named is _ABSENT:
        return
    listed = cast(list[object], named) if isinstance(named, list) else [named]
    if not any(_names_project(text, naming, project) for text in listed):
        raise refused("another_project")


def _names_project(text: object, naming: ProjectNaming, project: ProjectId) -> bool:
    if naming.form == "url":
        return isinstance(text, str) and text.endswith(f"/projects/{project}")
    return text == project


def _identifiers(claims: Mapping[str, Any], profile: ClaimsProfile, project: ProjectId) -> tuple[Identifier, ...]:
    named: dict[IdentifierKind, object] = {}
    for naming in profile.identifiers:
        value = _named(claims, naming, project)
        if value is _ABSENT:
            continue
        if named.get(naming.kind, value) != value:
            raise refused("ids_differ")
        named[naming.kind] = value
    if not named:
        raise refused("id_missing")
    return tuple(Identifier(kind, _checked_id(value, kind)) for kind, value in named.items())


def _named(claims: Mapping[str, Any], naming: Naming, project: ProjectId) -> object:
    """Return what a claim calls the person, not checked yet."""
    if naming.form == "email":
        return folded_email(_email(claims, naming.claim)) or _ABSENT
    value = _at(claims, naming.claim, _ABSENT)
    if naming.form == "after_project" and isinstance(value, str):
        if not value.startswith(f"{project}_"):
            raise refused("another_project")
        return value.removeprefix(f"{project}_")
    return value


def _checked_id(person: object, kind: IdentifierKind) -> str:
    if not isinstance(person, str):
        raise refused("id_not_text")
    if not 1 <= len(person) <= ID_CHARS_MAX:
        raise refused("id_length")
    if any(unicodedata.category(char) in ID_REFUSED for char in person):
        raise refused("id_unsafe")
    if person != person.strip():
        raise refused("id_white_space")
    if kind == "external_id" and OUR_ID.fullmatch(person):
        raise refused("id_reserved")
    return person


def _token_id(claims: Mapping[str, Any]) -> str:
    if "jti" not in claims:
        return ""
    token_id = claims["jti"]
    if not isinstance(token_id, str) or not 1 <= len(token_id) <= ID_CHARS_MAX:
        raise refused("jti_shape")
    if any(unicodedata.category(char) in ID_REFUSED for char in token_id):
        raise refused("jti_shape")
    return token_id


# What they are like.


def _display_name(claims: Mapping[str, Any], profile: ClaimsProfile) -> str:
    # All alternatives are read, so that what is refused does not hang on which of them is given.
    names = [" ".join(filter(None, (_text(claims, part).strip() for part in parts))) for parts in profile.display_name]
    return next(filter(None, names), "")


def _email(claims: Mapping[str, Any], claim: Claim | None) -> str:
    return _checked_email(_text(claims, claim))


def _checked_email(email: str) -> str:
    if email and not EMAIL.fullmatch(email):
        raise refused("email_shape")
    return email


def _emails(claims: Mapping[str, Any], claim: Claim | None) -> tuple[str, ...] | None:
    emails = _texts(claims, claim)
    return None if emails is None else tuple(_checked_email(email) for email in emails)


def _trimmed(claims: Mapping[str, Any], claim: Claim | None) -> str | None:
    return _text(claims, claim).strip() or None


def _text(claims: Mapping[str, Any], claim: Claim | None) -> str:
    """Return a claim that people will read. Absent, null and "" are the same: nothing is said."""
    text = _at(claims, claim) if claim else None
    return "" if text is None else _checked_text(text)


def _checked_text(text: object) -> str:
    if not isinstance(text, str):
        raise refused("text_expected")
    if any(char in OVERRIDES or unicodedata.category(char) in TEXT_REFUSED for char in text):
        raise refused("text_unsafe")
    return text


def _texts(claims: Mapping[str, Any], claim: Claim | None) -> tuple[str, ...] | None:
    """Return a list of texts, without repetitions and empty ones; None when nothing is said. [] says: none."""
    listed = _at(claims, claim) if claim else None
    if listed is None:
        return None
    if not isinstance(listed, list):
        raise refused("list_expected")
    return _checked_texts(cast(list[object], listed))


def _checked_texts(listed: list[object]) -> tuple[str, ...]:
    if len(listed) > ENTRIES_MAX:
        raise refused("list_too_long")
    return tuple(dict.fromkeys(filter(None, (_checked_text(text).strip() for text in listed))))


def _fields(
    claims: Mapping[str, Any], claim: Claim | None
) -> tuple[dict[str, str | tuple[str, ...]] | None, tuple[str, ...]]:
    """Return the table of the project's own fields, and the names of the entries that were passed over."""
    table = _at(claims, claim) if claim else None
    if table is None or claim is None:
        return None, ()
    if not isinstance(table, dict):
        raise refused("table_expected")
    kept: dict[str, str | tuple[str, ...]] = {}
    passed_over: list[str] = []
    for name, value in cast(dict[str, object], table).items():
        listed = cast(list[object], value) if isinstance(value, list) else None
        if not name or role_like(name):
            passed_over.append(f"{claim[-1]}.{name}")
        elif isinstance(value, str):
            kept[_checked_text(name)] = _checked_text(value)
        elif listed is not None and all(isinstance(text, str) for text in listed):
            kept[_checked_text(name)] = _checked_texts(listed)
        else:
            passed_over.append(f"{claim[-1]}.{name}")
    return kept, tuple(passed_over)


def _boolean(claims: Mapping[str, Any], claim: Claim | None) -> bool | None:
    value = _at(claims, claim) if claim else None
    # "false" is true to many languages.
    if value is not None and not isinstance(value, bool):
        raise refused("boolean_expected")
    return value


def _at(claims: Mapping[str, Any], claim: Claim, otherwise: object = None) -> object:
    """Return what stands at the end of the way, or ``otherwise`` where the way ends early."""
    value: object = claims
    for name in claim:
        if value is None:
            return otherwise
        if not isinstance(value, dict):
            raise refused("table_expected")
        table = cast(dict[str, object], value)
        if name not in table:
            return otherwise
        value = table[name]
    return value


def _kept(identifiers: tuple[Identifier, ...], said: Description) -> Iterator[str]:
    yield from (identifier.text for identifier in identifiers)
    yield from filter(None, (said.name, said.short_name, said.email, said.organization, said.timezone, said.language))
    for listed in (said.emails, said.groups, said.labels):
        yield from listed or ()
    for name, value in (said.fields or {}).items():
        yield name
        yield from (value,) if isinstance(value, str) else value


def _loggable(claim: str) -> str:
    return claim[:64].encode("utf-8", "backslashreplace").decode()
