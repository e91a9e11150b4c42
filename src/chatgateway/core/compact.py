"""Take a customer token apart, strictly, before any cryptography looks at it.

RFC 7515 section 3.1 (compact serialization), RFC 8725 (best current practices), RFC 7493 (I-JSON). What libraries let
pass here, they disagree about later: padding and loose bits make two texts of one token, the second of two equal names
wins in one parser and the first in another.

Every refusal is its own ``if … : raise refused("reason")``, so that tests can delete one at a time.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from chatgateway.errors import TokenRejected

Reason = Literal[
    "not_text", "size", "segments", "base64",
    "header_too_big", "too_deep", "not_json", "not_an_object", "duplicate_name", "too_many_names", "number",
    "typ", "header_refused",
    "kid_unsafe", "kid_unknown", "no_key_of_this_kind", "alg_mismatch", "key_unfit", "bad_signature", "key_pending",
    "key_revoked_long_ago",
    "exp_missing", "iat_missing", "not_an_instant", "instant_out_of_range", "exp_not_after_iat", "life_too_long",
    "issued_in_the_future", "not_yet_valid",
    "another_project", "another_profile", "id_reserved", "id_missing", "ids_differ", "id_not_text", "id_length",
    "id_unsafe", "id_white_space",
    "jti_missing", "jti_shape", "used_before",
    "claim_missing", "claim_value", "list_expected", "list_too_long", "table_expected", "reserved_group",
    "text_expected", "text_unsafe", "email_shape", "boolean_expected", "person_too_big",
]  # fmt: skip
"""Why a token was rejected: for the log and the token doctor, never for the peer. Words never change meaning."""

TOKEN_BYTES_MIN: Final = 20
TOKEN_BYTES_MAX: Final = 8_192
HEADER_BYTES_MAX: Final = 1_024
DEPTH_MAX: Final = 8
NAMES_MAX: Final = 64
NUMBER_CHARS_MAX: Final = 32
"""More digits than any instant or id has. Independent of the interpreter's own limit, which a process may lift."""

PREFIX: Final = "JWT "

REFUSED_HEADERS: Final = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip"})
"""They bring a key along, or change what the rest means. The key is ours to choose, never the token's."""

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_OPENING_OR_CLOSING: Final = re.compile(r"[\[\]{}]")


@dataclass(frozen=True, slots=True)
class Compact:
    """A well-formed token that nobody has vouched for yet."""

    text: str
    """The three runs, without the prefix."""
    header: dict[str, Any]
    claims: dict[str, Any]

    def __repr__(self) -> str:
        return f"Compact(alg={self.header.get('alg')!r}, claims={len(self.claims)})"


def refused(reason: Reason) -> TokenRejected:
    return TokenRejected(detail=reason)


def read(token: object) -> Compact:
    """Return the token's parts. At most one prefix ``JWT `` is taken off. Raises TokenRejected.

    Nothing of what comes back may be believed before the signature is verified.
    """
    if not isinstance(token, str):
        raise refused("not_text")
    if not TOKEN_BYTES_MIN <= len(token) <= TOKEN_BYTES_MAX:
        raise refused("size")
    text = token.removeprefix(PREFIX)
    try:
        header_run, claims_run, signature_run = text.split(".")
    except ValueError:
        raise refused("segments") from None
    header, claims, _ = _decoded(header_run), _decoded(claims_run), _decoded(signature_run)
    if len(header) > HEADER_BYTES_MAX:
        raise refused("header_too_big")
    compact = Compact(text, strict_object(header), strict_object(claims))
    if compact.header.get("typ", "JWT") != "JWT":
        raise refused("typ")
    if not REFUSED_HEADERS.isdisjoint(compact.header):
        raise refused("header_refused")
    return compact


def _decoded(run: str) -> bytes:
    try:
        decoded = base64.urlsafe_b64decode(run + "==")
    except ValueError:
        raise refused("base64") from None
    # Python's decoder skips what is not in the alphabet and takes padding and loose bits: only the way back is strict.
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != run:
        raise refused("base64")
    return decoded


def strict_object(encoded: bytes) -> dict[str, Any]:
    """Return the JSON object that ``encoded`` is to every parser alike. Raises TokenRejected."""
    try:
        text = encoded.decode()
        if _depth(text) > DEPTH_MAX:
            raise refused("too_deep")
        value = json.loads(
            text, object_pairs_hook=_named, parse_constant=_constant, parse_int=_integer, parse_float=_fraction
        )
    except ValueError:
        raise refused("not_json") from None
    if not isinstance(value, dict):
        raise refused("not_an_object")
    return value  # pyright: ignore[reportUnknownVariableType]


def _depth(text: str) -> int:
    """Count before parsing: the parser is recursive, and a token has room for 6,000 brackets."""
    depth = deepest = 0
    for bracket in _OPENING_OR_CLOSING.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise refused("duplicate_name")
    if len(value) > NAMES_MAX:
        raise refused("too_many_names")
    return value


def _constant(_name: str) -> float:
    raise refused("number")  # NaN, Infinity, -Infinity are not JSON (RFC 8259 section 6)


def _integer(digits: str) -> int:
    if len(digits) > NUMBER_CHARS_MAX:
        raise refused("number")
    return int(digits)


def _fraction(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise refused("number")
    return value
