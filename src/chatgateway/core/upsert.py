"""Read what a project's server tells of a person, as strictly as a token is read, and say in a sentence what is wrong.

One shape for a line of an import and for the body of an upsert. What is absent or null is not told, and changes
nothing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from chatgateway.core.payload import (
    EMAIL,
    ENTRIES_MAX,
    ID_CHARS_MAX,
    ID_REFUSED,
    OVERRIDES,
    PERSON_BYTES_MAX,
    TEXT_REFUSED,
)
from chatgateway.core.person import OUR_ID, Description, Identifier, folded_email
from chatgateway.core.project import Project
from chatgateway.errors import Unacceptable

TEXT_CHARS_MAX: Final = 255


class Upsert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One person, by the id that the project's server uses, and what it tells of them."""

    external_id: str = ""
    name: str | None = None
    short_name: str | None = None
    email: str | None = None
    email_proved: bool | None = None
    """Does the project know that the person controls ``email``?"""
    emails: tuple[str, ...] | None = None
    organization: str | None = None
    groups: tuple[str, ...] | None = None
    fields: Mapping[str, str | tuple[str, ...]] | None = None
    """Added to those that are known, name by name."""
    labels: tuple[str, ...] | None = None
    timezone: str | None = None
    language: str | None = None
    identify_by_email: bool = False
    """Let the proved address name this person too, where the project identifies by address."""


_MEANT: Final = {
    "email_verified": "email_proved", "emailVerified": "email_proved", "externalId": "external_id",
    "user_id": "external_id", "sub": "external_id", "fullName": "name", "full_name": "name", "usergroup_ids": "groups",
}  # fmt: skip
"""What tokens, and other services, call a field."""

_decode = msgspec.json.Decoder(Upsert).decode


def read(line: bytes) -> Upsert:
    """Return what a JSON object tells. Raises Unacceptable; its sentence repeats names, never values."""
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unacceptable(f"This is not a person as JSON: {_tidy(str(error))}.") from error


def hint(error: str) -> str:
    """Return what to add to a decoder's complaint about a field that is called otherwise here; else ""."""
    meant = next((meant for name, meant in _MEANT.items() if f"unknown field `{name}`" in error), None)
    return f"; here it is called {meant}" if meant else ""


def identifiers(told: Upsert, project: Project, *, names_by_address: bool = False) -> tuple[Identifier, ...]:
    """Return what names the person; all of it must name the same one. Raises Unacceptable.

    ``names_by_address``: an app of the project reads tokens in which an address is a name; it names who was told of.
    """
    named = (Identifier("external_id", external_id(told.external_id)),)
    if names_by_address and told.email:
        named = (*named, Identifier("deskpro_email", folded_email(told.email)))
    if not told.identify_by_email:
        return named
    if not project.identify_by_email:
        raise Unacceptable("This project does not identify people by address; see: chatgateway project set --help")
    if not told.email or not told.email_proved:
        raise Unacceptable("Only an address with email_proved true can name a person.")
    return (*named, Identifier("email", folded_email(told.email)))


def external_id(text: str) -> str:
    """Return ``text`` if it can be somebody's id; it is opaque and taken as it is. Raises Unacceptable."""
    if not 1 <= len(text) <= ID_CHARS_MAX:
        raise Unacceptable(f"external_id needs 1 to {ID_CHARS_MAX} characters, and this one has {len(text)}.")
    if text != text.strip() or any(unicodedata.category(char) in ID_REFUSED for char in text):
        raise Unacceptable("external_id has invisible characters, or white space at its ends.")
    if OUR_ID.fullmatch(text):
        raise Unacceptable("external_id looks like one of our own user ids; use the id of your own system.")
    return text


def description(told: Upsert) -> Description:
    """Return what is told of the person. Raises Unacceptable."""
    if told.email_proved is not None and told.email is None:
        raise Unacceptable("email_proved says something of email, and there is no email.")
    for field, texts in (("emails", told.emails), ("groups", told.groups), ("labels", told.labels)):
        if texts is not None and len(texts) > ENTRIES_MAX:
            raise Unacceptable(f"{field} has at most {ENTRIES_MAX} entries.")
    size = 0
    for field, text in _texts(told):
        size += len(text.encode("utf-8", "surrogatepass"))
        if len(text) > TEXT_CHARS_MAX:
            raise Unacceptable(f"{field} has at most {TEXT_CHARS_MAX} characters.")
        if any(char in OVERRIDES or unicodedata.category(char) in TEXT_REFUSED for char in text):
            raise Unacceptable(f"{field} has control characters, or ones that turn the text around.")
        if field in ("email", "emails") and text and not EMAIL.fullmatch(text):
            raise Unacceptable(f"{field} is not an address.")
    if size > PERSON_BYTES_MAX:
        raise Unacceptable(f"All that is told of a person has at most {PERSON_BYTES_MAX} bytes.")
    return Description(
        name=_trimmed(told.name),
        short_name=_trimmed(told.short_name),
        email=told.email,
        email_proved=told.email_proved,
        emails=_listed(told.emails),
        organization=_trimmed(told.organization),
        groups=_listed(told.groups),
        fields=told.fields,
        labels=_listed(told.labels),
        timezone=_trimmed(told.timezone),
        language=_trimmed(told.language),
    )


def _trimmed(text: str | None) -> str | None:
    return None if text is None else text.strip()


def _listed(texts: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return a list without repetitions and empty entries. [] says: none."""
    return None if texts is None else tuple(dict.fromkeys(filter(None, (text.strip() for text in texts))))


def _texts(told: Upsert) -> Iterator[tuple[str, str]]:
    """Yield every text that is told, with the name of its field."""
    for field in ("name", "short_name", "email", "organization", "timezone", "language"):
        text: str | None = getattr(told, field)
        if text is not None:
            yield field, text
    for field in ("emails", "groups", "labels"):
        texts: tuple[str, ...] | None = getattr(told, field)
        yield from ((field, text) for text in texts or ())
    fields = told.fields or {}
    if len(fields) > ENTRIES_MAX:
        raise Unacceptable(f"fields has at most {ENTRIES_MAX} entries.")
    for name, value in fields.items():
        yield "fields", name
        values = (value,) if isinstance(value, str) else value
        if len(values) > ENTRIES_MAX:
            raise Unacceptable(f"A field has at most {ENTRIES_MAX} values.")
        yield from (("fields", text) for text in values)


def _tidy(error: str) -> str:
    """Return the decoder's own words in one line; it names the way to the place, not what stands there."""
    return f"{error.replace('`', '').rstrip('.')[:200]}{hint(error)}"
