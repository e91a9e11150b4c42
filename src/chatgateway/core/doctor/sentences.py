"""For every reason of a refusal, what it means and what to do: the words when no finer mistake was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chatgateway.core.doctor.finding import Finding, Refusal

_LIBRARY: Final = "let a JWT library write the token, and pass on exactly what it returns"

SENTENCES: Final[Mapping[Refusal, tuple[str, str]]] = {
    "not_text": ("the token is no text", "pass the text that the JWT library returned, not an object or bytes"),
    "size": (
        "a token has 20 to 8,192 characters",
        "put only what names the person into it, and keep everything else on your server",
    ),
    "segments": ("a token is three runs of letters with two dots between them", _LIBRARY),
    "base64": ("a part of the token is not base64url as RFC 7515 wants it, without padding", _LIBRARY),
    "header_too_big": ("the header has more than 1,024 bytes", "keep alg, typ and kid, and drop the rest"),
    "too_deep": ("the claims are nested more than 8 deep", "flatten them"),
    "not_json": ("the header or the claims are not JSON in UTF-8", "give the JWT library an object, not a text"),
    "not_an_object": (
        "the header or the claims are no JSON object",
        "sign an object with names and values, not a bare text, number or list",
    ),
    "duplicate_name": ("a name stands twice in one object", "write each claim once"),
    "too_many_names": ("an object has more than 64 names", "send only what the profile reads"),
    "number": (
        "a number is not finite, or has more than 32 digits",
        "write ids as texts and instants as whole seconds",
    ),
    "typ": ("the header's typ is not JWT", 'write "typ": "JWT" in capitals, or leave typ out'),
    "header_refused": (
        "the header brings its own key along or changes how the rest is read",
        "remove jwk, jku, x5u, x5c, crit, b64 and zip, and name the key by kid",
    ),
    "kid_unsafe": (
        "the header's kid could not be the name of a key",
        "write the key's id as key list shows it, or leave kid out",
    ),
    "kid_unknown": (
        "this project has no key of the name that stands in kid",
        "write the id of a key of this project (chatgateway key list), or leave kid out",
    ),
    "no_key_of_this_kind": (
        "this project has no key for the algorithm in the token's header",
        "sign with the algorithm of one of its keys (chatgateway key list), or add a key of that kind",
    ),
    "alg_mismatch": (
        "the token's algorithm is not the one of the key that it names",
        "sign with the key's own algorithm (chatgateway key list)",
    ),
    "key_unfit": (
        "the key in the ring is too short or broken, and verifies nothing",
        "make a new one with chatgateway key add and sign with that",
    ),
    "bad_signature": (
        "none of this project's keys made the signature",
        "sign with the whole secret exactly as it was shown, of this very project (or with the private half of its "
        "public key)",
    ),
    "key_pending": ("the key is not in force yet", "sign with the active key until this one is activated"),
    "key_revoked_long_ago": (
        "the key that signed it was revoked",
        "sign with a key of the project that is in force (chatgateway key list)",
    ),
    "exp_missing": ("the claim exp is missing", "add exp, in whole seconds since 1970 (iat plus the token's life)"),
    "iat_missing": ("the claim iat is missing", "add iat, the present time in whole seconds since 1970"),
    "not_an_instant": (
        "exp, iat or nbf is no whole number",
        "write seconds since 1970 as a whole number, without quotes and without a fraction",
    ),
    "instant_out_of_range": (
        "exp, iat or nbf lies before 2001 or after 2100",
        "write seconds since 1970, not milliseconds and not a duration",
    ),
    "exp_not_after_iat": ("the token ends before it begins", "make exp the sum of iat and the token's life"),
    "life_too_long": ("the token lives longer than this profile allows", "sign a fresh one whenever the page asks"),
    "issued_in_the_future": (
        "the token was issued in the future",
        "set the signing server's clock (NTP), and write iat in UTC",
    ),
    "not_yet_valid": ("the token is not valid yet", "drop nbf, or set it to the present time"),
    "another_project": (
        "the token names another project than the app belongs to",
        "write this project's id, or use the app of the other project",
    ),
    "another_profile": (
        "this profile takes an address for a name, and the token names somebody by an id of another profile",
        "sign a token for this app's own profile, without sub, external_id, externalId, entity_id and _id",
    ),
    "id_reserved": (
        "the person's id looks like one of our own user ids (usr_…)",
        "send the id under which your own system knows them",
    ),
    "id_missing": ("no claim names the person", "add the id under which your own system knows them"),
    "ids_differ": ("two claims name two different people", "let both say the same, or send only one of them"),
    "id_not_text": ("the person's id is no text", 'write it in quotes ("42", not 42)'),
    "id_length": ("the person's id is empty or longer than 255 characters", "use a short id that never changes"),
    "id_unsafe": (
        "the person's id holds a character that cannot be seen",
        "send the id as your database has it, without control and format characters",
    ),
    "id_white_space": ("the person's id begins or ends with white space", "trim it before signing"),
    "jti_missing": (
        "this app takes each token once, and this one has no jti",
        "add jti, a fresh random text for every token, and iat or exp",
    ),
    "jti_shape": ("jti is no text of 1 to 255 visible characters", "write a fresh random text, for example a UUID"),
    "used_before": (
        "this app takes each token once, and this one was used before",
        "sign a fresh token for every sign-in, and do not cache it",
    ),
    "claim_missing": ("a claim that this profile demands is missing or empty", "add it"),
    "claim_value": ("a claim has not the one value that this profile allows", 'write "sub": "userexternal"'),
    "list_expected": ("a claim should be a list and is none", 'write it in brackets (["a", "b"])'),
    "list_too_long": ("a list has more than 64 entries", "send fewer"),
    "table_expected": (
        "a claim should be an object and is none",
        'write it in braces with names inside ({"name": "value"})',
    ),
    "reserved_group": (
        "the token lists the groups 1 or 2, which everybody gets unasked",
        "list only groups of your own",
    ),
    "text_expected": ("a claim that people read is no text", "write it in quotes"),
    "text_unsafe": (
        "a claim that people read holds control characters or such as turn the writing around",
        "send the plain text",
    ),
    "email_shape": ("the email is no address", "send one address as name@host, without a display name and white space"),
    "boolean_expected": (
        "whether the address is verified is neither true nor false",
        "write true or false without quotes",
    ),
    "person_too_big": (
        "the token says more than 4 KiB about the person",
        "send less with the token, and the rest over the admin API",
    ),
    "token_expired": ("the token has expired", "sign a fresh one whenever the page asks, and do not cache it"),
    "key_revoked": (
        "the key that signed it was revoked or regenerated within the last day",
        "sign with a key of the project that is in force (chatgateway key list)",
    ),
    "identity_conflict": (
        "the token's identifiers belong to two different people here",
        "send only one of them, or correct the records (chatgateway user conflicts)",
    ),
    "forbidden": ("the person whom it names was blocked", "let them in again with chatgateway user unblock"),
}
"""Cause and cure."""


def finding_of(refusal: Refusal) -> Finding:
    """Return what can be said of a refusal when nothing finer is known."""
    cause, fix = SENTENCES[refusal]
    return Finding(refusal, cause, fix, frozenset({refusal}))
