"""Read who a token speaks of, and what was meant where the profile finds nothing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from chatgateway.core.doctor.finding import Finding, a_type, shown
from chatgateway.core.doctor.parts import table
from chatgateway.core.payload import payload_of
from chatgateway.core.profiles import Claim, ClaimsProfile, role_like
from chatgateway.core.profiles.profile import REGISTERED
from chatgateway.errors import TokenRejected
from chatgateway.types import ProjectId

NAMING: Final = (
    "external_id", "externalId", "external-id", "externalID", "ExternalId", "externalid", "external_user_id", "userId",
    "user_id", "userid", "uid", "sub", "_id", "id", "ID", "customer_id", "customerId", "client_id", "entity_id",
    "entityId", "deskpro_id", "deskproId", "username", "login",
)  # fmt: skip
"""What people call the id of a person, the likeliest first."""

_PLACEHOLDER: Final = re.compile(
    r"[#$]\{[^}]*\}|\{\{[^}]*\}\}|<[A-Z][A-Z0-9_ .-]*>|<%.*%>|\bAPP_KEY\b|\b(?:your|YOUR)[_-](?:id|ID|[a-zA-Z_]+)\b"
)
_SECRETS: Final = re.compile(
    r"(?:^|[_-])(?:password|passwd|pwd|secret|api_?key|private_?key|credit_?card|ssn|iban|cvv)s?$"
)
_WHO: Final = frozenset(
    {"id_missing", "claim_missing", "id_not_text", "ids_differ", "another_project", "claim_value", "another_profile"}
)
_NAMES: Final = frozenset(
    {"fullname", "displayname", "firstname", "lastname", "givenname", "familyname", "surname", "nickname"}
)
"""What people call the claim with somebody's name."""


def refusal(claims: Mapping[str, Any], profile: ClaimsProfile, project: ProjectId) -> str:
    """Return the verifier's word for what is the matter with the claims that say who, or ""."""
    try:
        payload_of(claims, profile.generation(claims), project)
    except TokenRejected as refused:
        return refused.detail
    return ""


def likeliest(
    claims: Mapping[str, Any], profile: ClaimsProfile, project: ProjectId, profiles: Mapping[str, ClaimsProfile]
) -> str:
    """Return the name of the profile that these claims were written for: ``profile``'s when no other fits better."""

    def fit(candidate: ClaimsProfile) -> tuple[int, int, int]:
        reader = candidate.generation(claims)
        telling = [name for name in claims if name not in REGISTERED]
        used = sum(reader.reads(name) for name in telling)
        passes = not refusal(claims, candidate, project)
        return passes, used - (len(telling) - used), candidate.name == profile.name

    return max((profile, *profiles.values()), key=fit).name


def examined(
    claims: Mapping[str, Any], profile: ClaimsProfile, project: ProjectId, profiles: Mapping[str, ClaimsProfile]
) -> Iterator[Finding]:
    """Yield what is the matter with the claims that say who, what matters most first."""
    reader = profile.generation(claims)
    word = refusal(claims, profile, project)
    if word:
        alike = likeliest(claims, profile, project, profiles)
        if word in _WHO and alike != profile.name and _is_of(claims, profiles[alike], reader, project):
            cause = f"this looks like a {alike} token, but the app reads {profile.name}"
            fix = f"chatgateway app set APP --profile {alike}, or write the claims of {profile.name}"
            yield Finding("another_profile", cause, fix, frozenset({word}))
        yield from (finding for finding in _causes(claims, reader, project, word) if finding)
    yield from _placeholders(claims)
    yield from _misspelled(claims, reader, profiles)
    yield from _doubtful_ids(claims, reader)
    if readable := [name for name in claims if _SECRETS.search(_snake(name))]:
        fix = "leave it out, for whoever has a token can read it"
        yield Finding("readable_secret", f"the claim {shown(readable[0])} seems to hold a secret", fix)
    if rights := [name for name in claims if not reader.reads(name) and role_like(name)]:
        cause = f"the claim {shown(rights[0])} asks for rights, which no token gives"
        yield Finding("rights", cause, "leave it out; agents and their rights are made with chatgateway agent")


def _is_of(claims: Mapping[str, Any], other: ClaimsProfile, profile: ClaimsProfile, project: ProjectId) -> bool:
    """Does ``other`` know whom this names, by a claim that ``profile`` passes over or refuses?"""
    if refusal(claims, other, project) in _WHO:
        return False
    own = {naming.claim[0] for naming in profile.identifiers if naming.form != "email"}
    if any(name in claims for name in profile.foreign):
        return not any(name in claims for name in own)
    reader = other.generation(claims)
    return any(reader.reads(name) and not profile.reads(name) for name in claims if name not in REGISTERED)


def wanted(profile: ClaimsProfile) -> str:
    """Return which claims name the person, in words."""
    return " or ".join(dict.fromkeys(".".join(naming.claim) for naming in profile.identifiers))


def _causes(
    claims: Mapping[str, Any], profile: ClaimsProfile, project: ProjectId, word: str
) -> Iterator[Finding | None]:
    match word:
        case "id_missing":
            yield _missing_id(claims, profile)
        case "id_not_text" | "ids_differ" | "id_length" | "id_white_space" | "id_unsafe":
            yield _bad_id(claims, profile, word)
        case "another_project":
            yield from _foreign(claims, profile, project)
        case "claim_value":
            cause = f"sub is {shown(claims.get('sub'))}, and {profile.name} wants userexternal"
            yield Finding("sub_not_external", cause, 'write "sub": "userexternal"', frozenset({word}))
        case "another_profile":
            yield _foreign_id(claims, profile)
        case "claim_missing":
            yield _missing(claims, profile)
        case "table_expected" | "text_expected" | "email_shape" | "boolean_expected" | "list_expected" | "text_unsafe":
            yield _mistyped(claims, profile, word)
        case _:
            return


# Who.


def _missing_id(claims: Mapping[str, Any], profile: ClaimsProfile) -> Finding:
    names = wanted(profile)
    known = next((name for name in NAMING if name in claims), None)
    explains = frozenset({"id_missing"})
    if known is None:
        instead = "; an address alone names nobody here" if "email" in claims else ""
        cause = f"no claim names the person{instead}"
        return Finding("id_missing", cause, f"add {names}, the id under which your own system knows them", explains)
    number = ", and as a text in quotes" if not isinstance(claims[known], str) else ""
    cause = f"{profile.name} reads the person's id from {names}, and this token has {known}"
    return Finding("id_misspelled", cause, f"call the claim {names}{number}", explains)


def _bad_id(claims: Mapping[str, Any], profile: ClaimsProfile, word: str) -> Finding | None:
    explains = frozenset({word})
    named = {".".join(naming.claim): at(claims, naming.claim) for naming in profile.identifiers}
    present = {name: value for name, value in named.items() if value is not None or name in claims}
    for name, value in present.items():
        if word == "id_not_text" and not isinstance(value, str):
            if type(value) is int:
                return Finding("id_is_number", f"{name} is a number", 'write it as a text ("42", not 42)', explains)
            return Finding("id_not_text", f"{name} is {a_type(value)}", "write the id as a text", explains)
        if not isinstance(value, str):
            continue
        if word == "id_length" and not 1 <= len(value) <= 255:
            what = "empty" if not value else f"{len(value):,} characters long"
            fix = "fill it in" if not value else "use an id of at most 255 characters"
            return Finding("id_length", f"{name} is {what}", fix, explains)
        if word == "id_white_space" and value != value.strip():
            return Finding(
                "id_white_space", f"{name} begins or ends with white space", "trim it before signing", explains
            )
        if word == "id_unsafe" and (
            unseen := [char for char in value if unicodedata.category(char)[0] in "CZ" and char != " "]
        ):
            what = unicodedata.name(unseen[0], f"U+{ord(unseen[0]):04X}")
            fix = "send the id as your database has it, without it"
            return Finding("id_unsafe", f"{name} holds a character that cannot be seen ({what})", fix, explains)
    if word == "ids_differ":
        cause = f"{' and '.join(present)} name two different people"
        return Finding("ids_differ", cause, "let them say the same, or send only one of them", explains)
    return None


def _foreign_id(claims: Mapping[str, Any], profile: ClaimsProfile) -> Finding:
    there = ", ".join(name for name in profile.foreign if name in claims)
    cause = f"the token has {there}, by which other profiles name people, and the app reads {profile.name}"
    fix = f"leave {there} out, and send {wanted(profile)}"
    return Finding("another_profile", cause, fix, frozenset({"another_profile"}))


def _foreign(claims: Mapping[str, Any], profile: ClaimsProfile, project: ProjectId) -> Iterator[Finding]:
    explains = frozenset({"another_project"})
    for naming in profile.identifiers:
        value = at(claims, naming.claim)
        if naming.form == "after_project" and isinstance(value, str) and not value.startswith(f"{project}_"):
            cause = f"{naming.claim[0]} does not begin with the project's id and an underscore"
            fix = f'write "{naming.claim[0]}": "{project}_" and the person\'s id behind it'
            yield Finding("id_without_project", cause, fix, explains)
    for naming in profile.project:
        value = at(claims, naming.claim)
        name = ".".join(naming.claim)
        if value is None and name not in claims:
            continue
        texts = cast(list[object], value) if isinstance(value, list) else [value]
        if naming.form == "id" and project not in texts:
            cause = f"{name} names {shown(texts[0]) if texts else 'nobody'}, not this project"
            yield Finding("aud_other_project", cause, f'write "{project}", or leave {name} out', explains)
        elif naming.form == "url" and not any(isinstance(text, str) and "/projects/" in text for text in texts):
            fix = f"let it be your gateway's address and /projects/{project}, or leave it out"
            yield Finding("aud_without_project", f"{name} does not end in /projects/ and an id", fix, explains)
        elif naming.form == "url" and not any(str(text).endswith(f"/projects/{project}") for text in texts):
            other = next(str(text).rpartition("/projects/")[2] for text in texts if "/projects/" in str(text))
            cause = f"{name} names the project {shown(other)}, not this one"
            yield Finding("aud_other_project", cause, f"let it end in /projects/{project}", explains)


# What.


def _missing(claims: Mapping[str, Any], profile: ClaimsProfile) -> Finding | None:
    explains = frozenset({"claim_missing"})
    for claim in profile.required:
        if at(claims, claim) not in (None, ""):
            continue
        name = ".".join(claim)
        if claim == ("email", "isVerified"):
            if "isVerified" in claims or "email_verified" in claims:
                fix = 'write it inside, as in "email": {"email": "…", "isVerified": true}'
                return Finding("isverified_outside", "isVerified stands beside the email object", fix, explains)
            fix = "add it, as true when you have made sure that the address is the person's, else false"
            return Finding("isverified_missing", "email.isVerified is missing", fix, explains)
        near = next((one for one in claims if _bare(one) == _bare(claim[-1]) and one != claim[0]), None)
        if near is None and _bare(claim[-1]) == "fullname":
            near = next((one for one in ("name", "displayName") if one in claims), None)
        if near is not None:
            cause = f"{profile.name} reads {name}, and this token has {shown(near)}"
            return Finding("misspelled", cause, f"call the claim {name}", explains)
        empty = "empty" if claim[0] in claims else "missing"
        return Finding("claim_missing", f"{name} is {empty}, and {profile.name} demands it", "fill it in", explains)
    return None


def _mistyped(claims: Mapping[str, Any], profile: ClaimsProfile, word: str) -> Finding | None:
    explains = frozenset({word})
    email = claims.get("email")
    if profile.email == ("email", "email") and isinstance(email, str):
        fix = 'write "email": {"email": "name@host", "isVerified": true}'
        return Finding("email_is_text", f"email is a text, and {profile.name} wants an object", fix, explains)
    if profile.email == ("email",) and isinstance(email, dict):
        fix = 'write "email": "name@host", or set the app to the profile plain'
        return Finding("email_is_object", f"email is an object, and {profile.name} wants a text", fix, explains)
    if word == "boolean_expected" and profile.email_proved:
        name, value = ".".join(profile.email_proved), at(claims, profile.email_proved)
        cause = f"{name} is {a_type(value)}"
        return Finding("boolean_as_text", cause, "write true or false without quotes", explains)
    if word == "email_shape":
        fix = "send one address as name@host, without a display name and without white space"
        return Finding("email_shape", f"{'.'.join(profile.email or ('email',))} is no address", fix, explains)
    if word == "text_expected":
        for claim in profile.claims:
            value = at(claims, claim)
            if value is not None and not isinstance(value, str | bool | list | dict):
                cause = f"{'.'.join(claim)} is {a_type(value)}, not a text"
                return Finding("text_expected", cause, "write it in quotes", explains)
    return None


def _placeholders(claims: Mapping[str, Any]) -> Iterator[Finding]:
    for name, text in _texts(claims):
        if _PLACEHOLDER.search(text):
            fix = "fill it in on the server, from the person who is logged in"
            yield Finding("placeholder", f"{shown(name)} still holds a placeholder of the sample", fix)
            return


def _misspelled(
    claims: Mapping[str, Any], profile: ClaimsProfile, profiles: Mapping[str, ClaimsProfile]
) -> Iterator[Finding]:
    """Yield a claim that nobody reads, but whose name a read one nearly has, or that says the same elsewhere."""
    read = {_bare(claim[0]): claim[0] for claim in profile.claims}
    for name in claims:
        if profile.reads(name):
            continue
        meant = (read[_bare(name)],) if _bare(name) in read else _same(name, profile, profiles)
        if meant and not any(one in claims for one in meant):
            cause = f"the claim {shown(name)} is not read by {profile.name}"
            yield Finding("misspelled", cause, f"call it {' and '.join(meant)}")
            return


def _same(name: str, profile: ClaimsProfile, profiles: Mapping[str, ClaimsProfile]) -> tuple[str, ...]:
    """Return the claims by which ``profile`` says what ``name`` says in another profile, or out of habit."""
    own = _meanings(profile)
    if _bare(name) in _NAMES:
        return own.get("name", ())
    for other in profiles.values():
        for generation in (other, *((other.newer[1],) if other.newer else ())):
            for meaning, names in _meanings(generation).items():
                if name in names and meaning in own:
                    return own[meaning]
    return ()


def _meanings(profile: ClaimsProfile) -> dict[str, tuple[str, ...]]:
    """Return which top-level claims say what in a profile; of the ways to write a name the best."""
    meanings: dict[str, tuple[str, ...]] = {}
    if profile.display_name:
        meanings["name"] = tuple(part[0] for part in profile.display_name[0])
    single = {
        "short_name": profile.short_name, "email_proved": profile.email_proved, "emails": profile.emails,
        "organization": profile.organization, "fields": profile.fields, "labels": profile.labels,
        "timezone": profile.timezone, "language": profile.language,
    }  # fmt: skip
    return meanings | {meaning: (claim[0],) for meaning, claim in single.items() if claim is not None}


def _doubtful_ids(claims: Mapping[str, Any], profile: ClaimsProfile) -> Iterator[Finding]:
    for naming in profile.identifiers:
        value, name = at(claims, naming.claim), ".".join(naming.claim)
        if not isinstance(value, str) or value.isascii():
            continue
        if value != unicodedata.normalize("NFC", value):
            fix = "normalise ids (NFC) before signing, or the same letters will be two people"
            yield Finding("not_normalised", f"{name} is not in Unicode's composed form", fix)
        elif _mixed(value):
            fix = "use the id as your database has it, for ids that look alike are different people here"
            yield Finding("look_alike", f"{name} mixes letters that look alike in several scripts", fix)


def _mixed(text: str) -> bool:
    """Do plain letters stand beside letters of another alphabet, or in another width?"""
    scripts = {unicodedata.name(char, "?").split()[0] for char in text if char.isalnum() and not char.isdecimal()}
    return len(scripts & {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "FULLWIDTH", "MATHEMATICAL"}) > 1


def at(claims: Mapping[str, Any], claim: Claim) -> Any:
    """Return what stands at the end of the way, or None where it ends early."""
    value: Any = claims
    for name in claim:
        value = table(value).get(name)
    return value


def _texts(claims: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in claims.items():
        for inner in table(value).values() or (value,):
            if isinstance(inner, str):
                yield name, inner


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
