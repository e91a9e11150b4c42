"""See what was pasted in the place of a token, or around one.

Each step takes one thing off and says what it was; what remains is looked at again, until nothing is left to take off
or nothing remains that could be a token.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from chatgateway.core.compact import PREFIX, TOKEN_BYTES_MAX
from chatgateway.core.doctor.finding import Finding, Mistake

LOOKED_AT_CHARS_MAX: Final = 65_536
"""More than any mistake needs; a page that was saved in place of a token is larger."""

_STEPS_MAX: Final = 8

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*")
_HEADED: Final = re.compile(r"ey[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*")
"""A header that is a JSON object begins with ``{"``, which is ``ey``."""

_RUNS: Final = re.compile(r"[A-Za-z0-9_.=+/-]+")
_PREFIXES: Final = re.compile(r"(?:authorization\s*:\s*)?(?:jwt|bearer|token)[\s:]+", re.IGNORECASE)
_NAME_IN_FRONT: Final = re.compile(r"[A-Za-z_][\w.-]{0,39}\s*[=:]\s*(?=[\"']?ey)")
_TEMPLATE: Final = re.compile(
    r"#\{.*\}|\$\{.*\}|\{\{.*\}\}|<%.*%>|<[A-Z][A-Z0-9_ .-]*>|%[sd]|\$[A-Z_]+|(?:YOUR|MY|THE)[_-][A-Z_-]+"
    r"|[A-Z]+(?:_[A-Z]+)+|<?[A-Z_]*JWT_TOKEN[A-Z_]*>?",
    re.DOTALL,
)
_HTML: Final = re.compile(r"<(?:!doctype|html|head|body|pre|br|h1|title|\?xml|div)", re.IGNORECASE)
_OURS: Final[tuple[tuple[str, Mistake, str, str], ...]] = (
    (
        "cgs_", "secret_pasted", "this is the project's secret, not a token",
        "keep it on your server and sign a token with it there; if it was ever in a page, replace it now with "
        "chatgateway key regenerate",
    ),
    (
        "cgv_", "session_token_pasted", "this is a session token, which the gateway itself gave to a browser",
        "explain the token that your server signs (three parts, beginning with ey)",
    ),
    (
        "cga_", "admin_token_pasted", "this is an admin token",
        "keep it to yourself, revoke it if others saw it, and explain the token that your server signs",
    ),
    (
        "cgt_", "ticket_pasted", "this is a ticket for the agents' page",
        "explain the token that your server signs (three parts, beginning with ey)",
    ),
)  # fmt: skip
_NO_VALUES: Final = frozenset({"undefined", "null", "none", "nil", "nan", "true", "false", "{}", "[]", "0"})
_QUOTES: Final = {'"': '"', "'": "'", "`": "`", "“": "”", "„": "“", "‘": "’", "«": "»"}
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class Taken(NamedTuple):
    """What one step found, and what remains: "" when there is nothing to go on with."""

    finding: Finding
    rest: str = ""


def unwrapped(text: str) -> tuple[list[Finding], str]:
    """Return what is the matter with the text itself, and the token inside it: "" when there is none."""
    findings: list[Finding] = []
    rest = text
    for _ in range(_STEPS_MAX):
        taken = next(filter(None, (step(rest) for step in _STEPS)), None)
        if taken is None:
            return findings, rest
        findings.append(taken.finding)
        rest = taken.rest
        if not rest:
            break
    return findings, rest


def _found(mistake: Mistake, cause: str, fix: str) -> Finding:
    return Finding(mistake, cause, fix, frozenset({"size", "segments", "base64", "not_json", "not_an_object"}))


def _nothing(text: str) -> Taken | None:
    if text.strip():
        return None
    return Taken(
        _found("nothing", "there is nothing here", "check that your server's answer reached the page, and its status")
    )


def _around(text: str) -> Taken | None:
    tidy = text.strip().strip("\ufeff\u200b\u2060\xa0").strip()
    if tidy == text:
        return None
    return Taken(
        _found(
            "white_space_around", "white space stands before or after the token", "trim it; do not print a line end"
        ),
        tidy,
    )


def _no_value(text: str) -> Taken | None:
    if text.lower() not in _NO_VALUES:
        return None
    cause = f"the page passed {text.lower()} instead of a token"
    fix = "look at what the request to your server answers, and at the name of the property that is read from it"
    return Taken(_found("no_value", cause, fix))


def _object(text: str) -> Taken | None:
    if text in ("[object Promise]", "[object Response]", "[object AsyncFunction]") or text.startswith(
        ("<coroutine object", "async ", "() =>", "function")
    ):
        return Taken(
            _found(
                "promise", "this is something that will yield a token, turned into text",
                "await it, or pass the function itself and let the widget call it",
            )
        )  # fmt: skip
    if re.fullmatch(r"\[object \w+\]", text):
        return Taken(_found("object", "this is an object turned into text", "pass its property that holds the token"))
    return None


def _quoted(text: str) -> Taken | None:
    inner = text.removeprefix("b") if text.startswith(("b'", 'b"')) else text
    if len(inner) < 2 or _QUOTES.get(inner[0]) != inner[-1]:
        return None
    if inner != text:
        fix = "decode the bytes before printing them"
    else:
        fix = "pass the text itself, parsed as JSON if the answer is JSON"
    return Taken(_found("quoted", "the token stands in quotes", fix), inner[1:-1])


def _template(text: str) -> Taken | None:
    if not _TEMPLATE.fullmatch(text) or _TOKEN.fullmatch(text):
        return None
    fix = "put the token that your server signed in its place; templates are filled in on the server"
    return Taken(_found("template", "a placeholder was left in the place of the token", fix))


def _prefixed(text: str) -> Taken | None:
    rest = text.removeprefix(PREFIX)
    prefix = _PREFIXES.match(rest)
    if prefix is None:
        return None
    behind = rest[prefix.end() :]
    if rest != text:
        return Taken(
            _found("prefix_twice", "JWT stands twice before the token", "put it there once, or not at all"), behind
        )
    if "bearer" in prefix[0].lower():
        fix = "leave Bearer away, for it belongs to HTTP, and the widget wants the token alone"
        return Taken(_found("bearer_prefix", "Bearer stands before the token", fix), behind)
    fix = 'write "JWT " in capitals with one space behind, or nothing at all'
    return Taken(_found("prefix_spelled", "the prefix before the token is spelled another way", fix), behind)


def _ours(pasted: str) -> Taken | None:
    text = pasted.strip()
    for prefix, mistake, cause, fix in _OURS:
        if text.startswith(prefix):
            return Taken(_found(mistake, cause, fix))
    if "PRIVATE KEY-----" in text:
        cause = "this is a private key, not a token"
        fix = "keep it on your server and sign with it there; whoever saw it can be anybody, so make a new pair"
        return Taken(_found("private_key_pasted", cause, fix))
    if text.startswith(("-----BEGIN", "ssh-rsa ", "ssh-ed25519 ", "ecdsa-")):
        fix = "add it with chatgateway key add --public, and explain a token that its private half signed"
        return Taken(_found("key_pasted", "this is a public key, not a token", fix))
    if re.fullmatch(r"(?:app|prj|key|agt|usr|ses|cnv|adm)_[a-z2-7]{16}", text):
        fix = "use it to name the app or the project, and explain the token that your server signs"
        return Taken(_found("id_pasted", "this is one of the gateway's ids, not a token", fix))
    return None


def _page(text: str) -> Taken | None:
    if not _HTML.match(text):
        return None
    cause = "this is a web page, as your server sends one with an error or a login"
    return Taken(_found("html", cause, "open that address yourself and read what it says; mind method and cookies"))


def _json(text: str) -> Taken | None:
    if text[0] not in "{[":
        return None
    if inside := _HEADED.search(text):
        fix = "pass the property that holds it, not the whole answer"
        return Taken(_found("inside_json", "the token is inside a JSON answer", fix), inside[0])
    if re.search(r'"(?:external_id|externalId|email|sub|exp|iat|deskpro_id|_id|fullName|payload)"', text):
        fix = "sign them on your server with a JWT library; what a page says unsigned is never believed"
        return Taken(_found("claims_pasted", "these are the claims, unsigned", fix))
    fix = "look at what your server answers, perhaps an error"
    return Taken(_found("json", "this is JSON without a token in it", fix))


def _address(text: str) -> Taken | None:
    if not re.match(r"(?:https?:)?//|www\.|/[a-z]", text, re.IGNORECASE):
        return None
    if inside := _HEADED.search(text):
        fix = "pass the token alone, and keep it out of addresses, for proxies write them down"
        return Taken(_found("inside_url", "the token is inside an address", fix), inside[0])
    return Taken(_found("url", "this is an address, not a token", "fetch it, and pass what it answers"))


def _percent(text: str) -> Taken | None:
    if not re.search(r"%[0-9A-Fa-f]{2}", text):
        return None
    decoded = re.sub(r"%([0-9A-Fa-f]{2})", lambda pair: chr(int(pair[1], 16)), text).replace("+", " ")
    fix = "decode it once; a token needs no encoding, all its characters are safe in addresses"
    return Taken(_found("url_encoded", "the token is URL-encoded", fix), decoded)


def _name_in_front(text: str) -> Taken | None:
    name = _NAME_IN_FRONT.match(text)
    if name is None:
        return None
    fix = "pass what stands behind it, alone"
    return Taken(_found("inside_text", "a name and a sign stand before the token", fix), text[name.end() :].rstrip(";"))


def _holes(text: str) -> Taken | None:
    bare = text.removeprefix(PREFIX)
    joined = "".join(bare.split())
    if joined == bare:
        return None
    if not _RUNS.fullmatch(joined) or joined.count(".") < 1:
        return _sentence(bare)
    fix = "copy it in one line; some programs break long lines, and base64 tools do after 76 characters"
    return Taken(_found("white_space_inside", "white space or line breaks stand inside the token", fix), joined)


def _sentence(text: str) -> Taken:
    if inside := _HEADED.search(text):
        return Taken(_found("inside_text", "there is text around the token", "pass the token alone"), inside[0])
    fix = "pass what the JWT library on your server returns, three parts with dots between that begin with ey"
    return Taken(_found("opaque", "this is no token but some other text", fix))


def _characters(text: str) -> Taken | None:
    if "…" in text or "..." in text:
        fix = "copy all of it; programs shorten long texts when they show them"
        return Taken(_found("shortened", "the token was shortened when it was shown", fix))
    if (run := "".join(text.split())).isascii() and run.isprintable():
        return None
    visible = "".join(char for char in text if char.isspace() or unicodedata.category(char) not in ("Cf", "Cc"))
    if not visible.isascii():
        return None
    fix = "copy it from the server's answer, not from a document"
    return Taken(_found("invisible", "characters that cannot be seen stand inside the token", fix), visible)


def _runs(text: str) -> Taken | None:
    runs = text.removeprefix(PREFIX).split(".")
    match len(runs):
        case 1:
            cause = "this is no JWT, for it has no parts with dots between them"
            fix = (
                "an API key, a session id or an access token of another service will not do; sign a JWT on your server"
            )
            return Taken(_found("opaque", cause, fix))
        case 2:
            fix = "use a library's sign function, with a key; header and claims alone are not signed"
            return Taken(_found("two_parts", "the token has two parts, and the signature is missing", fix))
        case 3:
            return None
        case 5:
            fix = "sign it instead (JWS), for nothing here can decrypt and claims are no secrets"
            return Taken(_found("five_parts", "the token has five parts, so it is encrypted (JWE)", fix))
        case count:
            fix = "pass exactly one token, and nothing behind it"
            return Taken(_found("parts", f"the token has {count:,} parts instead of three", fix))


def _encoded(text: str) -> Taken | None:
    inner = None if "." in text else _lenient(text)
    if inner is None or not _TOKEN.fullmatch(decoded := inner.decode("latin-1").strip()):
        return None
    fix = "leave that step away, for a token is base64url already"
    return Taken(_found("encoded_twice", "the token was encoded as base64 once more", fix), decoded)


def _alphabet(text: str) -> Taken | None:
    bare = text.removeprefix(PREFIX)
    if "+" in bare or "/" in bare:
        fix = "encode as base64url, with - instead of +, _ instead of / and no = at the end"
        translated = bare.replace("+", "-").replace("/", "_").replace("=", "")
        return Taken(_found("standard_alphabet", "the token is in standard base64", fix), translated)
    if "=" in bare:
        fix = "strip = from each part, as base64url in tokens has none"
        return Taken(_found("padded", "the token's parts are padded with =", fix), bare.replace("=", ""))
    if not _TOKEN_CHARS.fullmatch(bare):
        fix = "copy it again, for a token has letters, digits, -, _ and two dots"
        return Taken(_found("not_ascii", "the token holds characters that no token has", fix))
    return None


_TOKEN_CHARS: Final = re.compile(r"[A-Za-z0-9_.-]*")


def _ends(text: str) -> Taken | None:
    """Runs that no encoder writes."""
    for run in text.removeprefix(PREFIX).split("."):
        if len(run) % 4 == 1:
            fix = "copy all of it; a column of a database or a cookie may be too short for it"
            return Taken(_found("cut", "a part of the token is a character too short or too long", fix))
        loose = {2: 0b1111, 3: 0b11}.get(len(run) % 4, 0)
        if run and _ALPHABET.index(run[-1]) & loose:
            fix = "copy it again, for a character at the end of a part was changed or lost"
            return Taken(_found("loose_bits", "a part of the token ends as no encoder ends it", fix))
    return None


def _lenient(run: str) -> bytes | None:
    """Return what a run of any base64 holds, however it is padded; None when it is none."""
    try:
        return base64.urlsafe_b64decode(run.replace("+", "-").replace("/", "_").rstrip("=") + "==")
    except ValueError:
        return None


def _long(text: str) -> Taken | None:
    if len(text) <= TOKEN_BYTES_MAX or _RUNS.fullmatch(text.removeprefix(PREFIX)):
        return None  # a token that is too long is the verifier's affair
    return _sentence(text) if not _HTML.match(text) and text[0] not in "{[" else None


_STEPS: Final[tuple[Callable[[str], Taken | None], ...]] = (
    _nothing, _ours, _around, _no_value, _object, _quoted, _template, _prefixed, _page, _json, _address, _percent,
    _name_in_front, _long, _characters, _holes, _encoded, _alphabet, _runs, _ends,
)  # fmt: skip
"""In this order: what is taken off first hides what comes later."""


def runs_of(text: str) -> Iterator[bytes]:
    """Yield the three parts of a well-formed text, decoded."""
    for run in text.removeprefix(PREFIX).split("."):
        yield _lenient(run) or b""
