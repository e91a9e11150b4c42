"""Read header and claims as leniently as their writer may have meant them, and say why the strict reader could not."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from typing import Any, Final, cast

from chatgateway.core.compact import Compact, read, strict_object
from chatgateway.core.doctor.finding import Finding, Mistake, shown
from chatgateway.core.doctor.pasted import runs_of
from chatgateway.errors import TokenRejected

_JSON: Final = frozenset({"not_json", "not_an_object"})
_DEFLATED_BYTES_MAX: Final = 16_384


@dataclass(frozen=True, slots=True)
class Loose:
    """What a token says, vouched for by nobody and read as well as it can be."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    """The bytes under the signature."""
    signature: bytes


def loosely(text: str) -> tuple[Loose, list[Finding]]:
    """Return the parts of a token of three runs, and why they are not what the strict reader wants."""
    runs = text.removeprefix("JWT ")
    findings: list[Finding] = []
    try:
        compact: Compact | None = read(text)
    except TokenRejected:
        compact = None
    header_bytes, claims_bytes, signature = runs_of(text)
    parts: list[dict[str, Any]] = []
    for name, encoded in (("header", header_bytes), ("claims", claims_bytes)):
        value, finding = _part(name, encoded)
        parts.append(value)
        if finding is not None:
            findings.append(finding)
    header, claims = (compact.header, compact.claims) if compact else parts
    return Loose(header, claims, runs.rpartition(".")[0].encode(), signature), findings


def _part(name: str, encoded: bytes) -> tuple[dict[str, Any], Finding | None]:
    try:
        return strict_object(encoded), None
    except TokenRejected as refusal:
        if refusal.detail == "duplicate_name":
            return _doubled(name, encoded)
        if refusal.detail not in _JSON:
            return {}, None
    return _meant(name, encoded)


def _doubled(name: str, encoded: bytes) -> tuple[dict[str, Any], Finding]:
    twice: list[str] = []

    def pairs(listed: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [key for key, _ in listed]
        twice.extend(key for key in dict.fromkeys(names) if names.count(key) > 1)
        return dict(listed)

    # The strict reader has counted the depth, and numbers stay texts: it is safe to parse.
    json.loads(encoded, object_pairs_hook=pairs, parse_int=str)
    cause = f"{shown(twice[0]) if twice else 'a name'} stands twice in the {name}"
    fix = "write it once, for one parser believes the first, another the second"
    return {}, Finding("duplicate_name", cause, fix, frozenset({"duplicate_name"}))


def _meant(name: str, encoded: bytes) -> tuple[dict[str, Any], Finding | None]:
    """Guess what was signed instead of a JSON object, from its first bytes and its outline."""
    mistake: Mistake
    if encoded[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in encoded[:4]:
        mistake, cause, fix = "two_byte_text", "in UTF-16", "encode the JSON in UTF-8"
    elif encoded.startswith(b"\xef\xbb\xbf"):
        mistake, cause, fix = "byte_order_mark", "JSON behind a byte order mark", "write UTF-8 without one"
    elif re.fullmatch(rb"ey[\w-]+\.[\w-]+\.[\w-]*", encoded):
        mistake, cause, fix = "token_in_token", "another token", "sign the claims themselves, once"
    elif _deflates(encoded):
        mistake, cause, fix = "compressed", "compressed", "sign them as they are"
    elif encoded[:1] == b'"' and b'\\"' in encoded:
        mistake, cause, fix = "json_twice", "JSON inside a text", "hand the object to the library, not its JSON"
    elif re.match(rb"[{\[]\s*'", encoded):
        mistake, cause, fix = (
            "single_quotes",
            "written with single quotes",
            "write JSON with double quotes (json.dumps)",
        )
    elif re.match(rb"(?:a|O):\d+:", encoded) or re.search(rb"=>|\barray\(", encoded):
        mistake, cause, fix = "serialized", "a PHP array, not JSON", "hand the array itself to JWT::encode"
    elif re.match(rb"[\w.%]+=[^&]*(?:&|$)", encoded):
        mistake, cause, fix = "form_encoded", "written as a form", "write a JSON object"
    elif not _utf8(encoded):
        mistake, cause, fix = "other_charset", "not in UTF-8", "encode the JSON in UTF-8"
    elif re.search(rb"#\{|\$\{|\{\{|<[A-Z_]+>", encoded):
        cause, fix = f"a placeholder was left in the {name}", "fill the template in on the server"
        return {}, Finding("template", cause, fix, _JSON)
    else:
        return {}, None
    is_are = "is" if name == "header" else "are"
    return {}, Finding(mistake, f"the {name} {is_are} {cause}", fix, _JSON)


def _deflates(encoded: bytes) -> bool:
    for bits in (15, -15, 31):
        try:
            if zlib.decompressobj(bits).decompress(encoded, _DEFLATED_BYTES_MAX).lstrip()[:1] == b"{":
                return True
        except zlib.error:
            continue
    return encoded[:2] in (b"\x78\x9c", b"\x1f\x8b")


def _utf8(encoded: bytes) -> bool:
    try:
        encoded.decode()
    except UnicodeDecodeError:
        return False
    return True


def table(value: object) -> dict[str, Any]:
    """Return a JSON object, and an empty one in the place of anything else."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}
