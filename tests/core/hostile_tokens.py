"""Hostile and honest customer tokens, each with what must be said to it, at one fixed instant.

Every token is as good as it can be but for the one thing that its name says: whatever lets it pass is a hole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from tests.core.cases import Case
from tests.core.hostile_people import honest_people, hostile_people
from tests.core.jose import (
    CLAIMS,
    NOW,
    NOW_S,
    PROJECT,
    REMOTE,
    RSA_KEY,
    SIGNERS,
    STRANGER,
    Json,
    Signer,
    b64,
    b64_bytes,
    claiming,
    raw_claims,
    to_json,
    token,
    without,
)


def values(*given: Any) -> tuple[Any, ...]:
    """Values of many types, as JSON has them."""
    return given


def honest() -> Iterator[Case]:
    yield Case("plain", token(), "")
    yield Case("with the prefix", "JWT " + token(), "")
    yield Case("without a kid", token(kid=None), "")
    yield Case("without a kid, by the fourth key", token(kid=None, signer=SIGNERS["k_fourth"]), "")
    yield Case("without typ", token(header={"alg": "HS256", "kid": "k_main"}), "")
    yield Case("by a retiring key", token(kid="k_retiring"), "")
    for kid in ("k_rsa", "k_ec", "k_ed"):
        yield Case(f"by {kid}", token(kid=kid), "")
        yield Case(f"by {kid} without a kid", token(kid=None, signer=SIGNERS[kid]), "")
    yield Case("sub alone", token({**without("external_id"), "sub": "u-1"}), "")
    yield Case("sub that agrees", claiming(sub="u-1"), "")
    yield Case("id of 255 characters", claiming(external_id="é" * 255), "")
    yield Case("id with inner space, braces and star", claiming(external_id="a}:{b * ü"), "")
    yield Case("life of a day", claiming(exp=NOW_S + 86_400), "")
    yield Case("issued a minute ahead", claiming(iat=NOW_S + 60), "")
    yield Case("in its last millisecond of leeway", claiming(iat=NOW_S - 600, exp=NOW_S - 59), "")
    yield Case("not before a minute ahead", claiming(nbf=NOW_S + 60), "")
    yield Case("this project", claiming(project_id=PROJECT), "")
    yield Case("this project's audience among others", claiming(aud=["x", PROJECT]), "")
    yield Case("null name and empty email", claiming(name=None, email=""), "")
    yield Case("joiners in a name", claiming(name="نمی\u200cدانم 👩\u200d👧"), "")
    yield Case("unknown claims", claiming(role="admin", plan={"level": [1, 2]}), "")
    yield Case("depth of 8", claiming(deep=[[[[[[[0]]]]]]]), "")
    yield Case("brackets in a text", claiming(note='[[[[[[[[["{{{{{{{{{'), "")
    yield Case("64 names", token({**CLAIMS, **{f"x{n}": n for n in range(59)}}), "")
    yield Case("8,192 bytes", _of_size(8_192), "")
    for kid in ("remote/1+=", "remote_ec", "remote_rsa"):
        yield Case(f"by the followed key {kid}", token(kid=kid), "")
        yield Case(f"by the followed key {kid} without a kid", token(kid=None, signer=REMOTE[kid]), "")
    yield Case("by a followed key that has no id", token(kid=None, signer=REMOTE["nameless"]), "")
    yield Case("by a followed key under its record's id", token(kid="k_set", signer=REMOTE["remote_ec"]), "")
    yield Case("by the fourth of its kind, followed, no kid", token(kid=None, signer=REMOTE["fourth_ec"]), "")
    yield Case("with an id of its own", claiming(jti="0190-a"), "")
    yield from honest_people()
    yield Case("header of 1,024 bytes", token(x="x" * (1_024 - _header_bytes(x=""))), "")


def _loosened(run: str) -> str:
    """The same bytes with a loose bit at the end."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return run[:-1] + alphabet[alphabet.index(run[-1]) + 1]


def headed(**extra: Any) -> Json:
    return {"alg": "HS256", "typ": "JWT", "kid": "k_main", **extra}


def _header_bytes(**extra: Any) -> int:
    return len(to_json(headed(**extra)))


def _of_size(size: int) -> str:
    """Base64 grows in steps, and one more step comes from the length of the id."""
    return next(
        made
        for fill in range((size - 400) * 3 // 4, size)
        for pad in range(3)
        if len(made := token({**CLAIMS, "x": "x" * fill}, x="x" * pad)) == size
    )


def hostile() -> Iterator[Case]:
    for corpus in (_not_tokens, _bad_json, _bad_headers, _bad_keys, _bad_sets, _bad_times, _bad_projects):
        yield from corpus()
    yield from hostile_people()


def _not_tokens() -> Iterator[Case]:
    good = token()
    header, claims, signature = good.split(".")
    for name, value in {
        "nothing": None,
        "a number": 5,
        "a list": [good],
        "an object": {"t": good},
        "true": True,
    }.items():
        yield Case(name, value, "not_text")
    yield Case("bytes", good.encode(), "not_text")
    yield Case("empty", "", "size")
    yield Case("19 characters", "a" * 19, "size")
    yield Case("8,193 bytes", _of_size(8_193), "size")
    yield Case("2 MB", "a." * 1_000_000, "size")
    yield Case("prefix that makes it too long", "JWT " + _of_size(8_192), "size")
    yield Case("text", "the quick brown fox jumps", "segments")
    yield Case("one run", header, "segments")
    yield Case("two runs", f"{header}.{claims}", "segments")
    yield Case("four runs", good + ".AAAA", "segments")
    yield Case("five runs, as an encrypted token has", good + ".AAAA.AAAA", "segments")
    yield Case("only dots", "." * 30, "segments")
    yield Case("no header", f".{claims}.{signature}", "not_json")
    yield Case("no claims", f"{header}..{signature}", "not_json")
    yield Case("no signature", f"{header}.{claims}.", "bad_signature")
    yield Case("signature padded", good + "=", "base64")
    yield Case("signature padded twice", good + "==", "base64")
    yield Case("header padded", f"{header}=.{claims}.{signature}", "base64")
    yield Case("line break at the end", good + "\n", "base64")
    yield Case("space in front", " " + good, "base64")
    yield Case("space inside", f"{header} .{claims}.{signature}", "base64")
    yield Case("line break inside", f"{header}.{claims[:9]}\n{claims[9:]}.{signature}", "base64")
    yield Case("junk that decoders skip", f"{header}.{claims}.{signature[:5]}!{signature[5:]}", "base64")
    yield Case("standard alphabet", f"{header}.{claims}.{signature[:-2]}+/", "base64")
    yield Case("loose bits", f"{header}.{claims}.{_loosened(signature)}", "base64")
    yield Case("one character too many", good + "A", "bad_signature")
    yield Case("two characters too many", good + "AA", "base64")
    yield Case("not ASCII", good[:-1] + "é", "base64")
    yield Case("full-width digit", good[:-1] + "\uff11", "base64")
    yield Case("lone surrogate", good[:-1] + "\ud800", "base64")
    yield Case("NUL", good + "\0", "base64")
    yield Case("prefix twice", "JWT JWT " + good, "base64")
    yield Case("prefix in lower case", "jwt " + good, "base64")
    yield Case("prefix of HTTP", "Bearer " + good, "base64")
    yield Case("prefix with two spaces", "JWT  " + good, "base64")
    yield Case("prefix with a tab", "JWT\t" + good, "base64")


def _bad_json() -> Iterator[Case]:
    yield Case("header is not JSON", token(header=b"alg: HS256"), "not_json")
    yield Case("header is a list", token(header=b'["HS256"]'), "not_an_object")
    yield Case("header is null", token(header=b"null"), "not_an_object")
    yield Case("header is cut", token(header=b'{"alg":"HS256","kid":"k_main"'), "not_json")
    yield Case("header has two algs", token(header=b'{"alg":"none","alg":"HS256","kid":"k_main"}'), "duplicate_name")
    yield Case("header has two kids", token(header=b'{"alg":"HS256","kid":"k_rsa","kid":"k_main"}'), "duplicate_name")
    yield Case("header of 1,025 bytes", token(x="x" * (1_025 - _header_bytes(x=""))), "header_too_big")
    yield Case("header nested 9 deep", token(x=[[[[[[[[0]]]]]]]]), "too_deep")
    yield Case("header with NaN", token(header=b'{"alg":"HS256","kid":"k_main","x":NaN}'), "number")
    yield Case("claims are a text", token(b'"external_id"'), "not_an_object")
    yield Case("claims are a number", token(b"1"), "not_an_object")
    yield Case("claims are a list", token(b"[]"), "not_an_object")
    yield Case("claims are another token", token(token().encode()), "not_json")
    yield Case("claims are compressed", token(b"\x78\x9c\xab\x56"), "not_json")
    yield Case("claims in UTF-16", token(json.dumps(CLAIMS).encode("utf-16")), "not_json")
    yield Case("claims with a byte order mark", token(b"\xef\xbb\xbf" + to_json(CLAIMS)), "not_json")
    yield Case("claims with broken UTF-8", token(b'{"x":"\xff",' + to_json(CLAIMS)[1:]), "not_json")
    yield Case("claims with an overlong slash", token(b'{"x":"\xc0\xaf",' + to_json(CLAIMS)[1:]), "not_json")
    yield Case("claims with a surrogate in UTF-8", raw_claims('"x":"\ud800"'), "not_json")
    yield Case("claims with a raw line break", raw_claims('"x":"a\nb"'), "not_json")
    yield Case("claims with single quotes", token(repr(dict(CLAIMS)).encode()), "not_json")
    yield Case("claims with a comment", raw_claims('/* */"x":1'), "not_json")
    yield Case("claims with a trailing comma", token(to_json(CLAIMS)[:-1] + b",}"), "not_json")
    yield Case("claims with something behind", token(to_json(CLAIMS) + b"{}"), "not_json")
    yield Case("two ids", raw_claims('"external_id":"admin"'), "duplicate_name")
    yield Case("two ids, one escaped", raw_claims('"external\\u005fid":"admin"'), "duplicate_name")
    yield Case("two names deep inside", raw_claims('"x":{"y":{"z":1,"z":2}}'), "duplicate_name")
    for number in ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 33, "9" * 4_000):
        yield Case(f"number {number[:12]} ({len(number)})", raw_claims(f'"x":{number}'), "number")
    yield Case("exp is NaN", token({**CLAIMS, "exp": float("nan")}), "number")
    yield Case("nested 9 deep", claiming(x=[[[[[[[[0]]]]]]]]), "too_deep")
    yield Case("objects nested 9 deep", raw_claims('"x":' + '{"y":' * 8 + "0" + "}" * 8), "too_deep")
    yield Case("nested 2,500 deep", raw_claims('"x":' + "[" * 2_500 + "]" * 2_500), "too_deep")
    yield Case("5,000 opening brackets", token(b"[" * 5_000), "too_deep")
    yield Case("depth behind an escaped quote", raw_claims('"x":"\\"","y":' + "[" * 9 + "]" * 9), "too_deep")
    yield Case("65 names", token({**CLAIMS, **{f"x{n}": n for n in range(60)}}), "too_many_names")
    yield Case("65 names inside", claiming(x={f"x{n}": n for n in range(65)}), "too_many_names")


def _bad_headers() -> Iterator[Case]:
    for typ in ("jwt", "at+jwt", "JOSE", "", None, 1, ["JWT"]):
        yield Case(f"typ {typ!r}", token(typ=typ), "typ")
    own: dict[str, Any] = {
        "jwk": {"kty": "oct", "k": b64(STRANGER.key)},
        "jku": "https://evil.example/jwks.json",
        "x5u": "https://evil.example/cert.pem",
        "x5c": ["MIIB"],
        "zip": "DEF",
        "b64": True,
    }
    for name, value in own.items():
        yield Case(f"brings {name}", token(header=headed(**{name: value})), "header_refused")
        yield Case(f"brings {name} as null", token(header=headed(**{name: None})), "header_refused")
    yield Case("its own jwk signed it", token(signer=STRANGER, jwk=own["jwk"]), "header_refused")
    yield Case("critical extension", token(crit=["exp"]), "header_refused")
    yield Case("critical extension that a library knows", token(crit=["b64"], b64=True), "header_refused")
    yield Case("no critical extensions", token(crit=[]), "header_refused")


def _bad_keys() -> Iterator[Case]:
    for kid in ("k_other", "K_MAIN", "k_main.", "../k_main", "k" * 128, "k_main\0", " k_main", "k" * 129, "é", ""):
        safe = kid in ("k_other", "K_MAIN", "k_main.", "../k_main", "k" * 128)
        yield Case(
            f"kid {kid[:12]!r}", token(kid=kid, signer=SIGNERS["k_main"]), "kid_unknown" if safe else "kid_unsafe"
        )
    for kid in values(None, 5, True, ["k_main"], {"k": "k_main"}):
        header = {"alg": "HS256", "kid": kid}
        yield Case(f"kid {kid!r}", token(header=header, signer=SIGNERS["k_main"]), "kid_unsafe")
    yield Case("kid of a key whose id is not safe", token(kid="not safe"), "kid_unsafe")
    for alg in ("none", "None", "NONE", "nOnE", "", None):
        yield Case(f"alg {alg!r}, unsigned", token(alg=alg, signer=Signer("none", None)), "alg_mismatch")
        yield Case(f"alg {alg!r}, no kid", token(alg=alg, kid=None), "no_key_of_this_kind")
    yield Case("no alg", token(header={"kid": "k_main"}), "alg_mismatch")
    yield Case("list of algs", token(alg=["HS256"]), "alg_mismatch")
    yield Case("alg as a number", token(alg=256), "alg_mismatch")
    yield Case("alg in lower case", token(alg="hs256"), "alg_mismatch")
    for alg in ("HS384", "HS512"):
        bigger = Signer(alg, SIGNERS["k_main"].key)
        yield Case(f"{alg} by our secret", token(signer=bigger), "alg_mismatch")
        yield Case(f"{alg} by our secret, no kid", token(signer=bigger, kid=None), "no_key_of_this_kind")
    yield Case("PS256 by our RSA key", token(signer=Signer("PS256", RSA_KEY), kid="k_rsa"), "alg_mismatch")
    public = Signer("HS256", SIGNERS["k_rsa"].public())
    yield Case("the public key as a secret", token(signer=public, kid="k_rsa"), "alg_mismatch")
    yield Case("the public key as a secret, no kid", token(signer=public, kid=None), "bad_signature")
    yield Case("RS256 asked of a secret", token(signer=SIGNERS["k_rsa"], kid="k_main"), "alg_mismatch")
    yield Case(
        "another algorithm than it says", token(alg="RS256", signer=SIGNERS["k_main"], kid="k_rsa"), "bad_signature"
    )
    yield Case("ES256 with an all-zero signature", _resigned(token(kid="k_ec"), bytes(64)), "bad_signature")
    yield Case("ES256 in DER", _resigned(token(kid="k_ec"), b"\x30\x44" + bytes(68)), "bad_signature")
    yield Case("signature of zeros", _resigned(token(), bytes(32)), "bad_signature")
    yield Case("signature cut", _resigned(token(), b64_bytes(token().rsplit(".", 1)[1])[:31]), "bad_signature")
    yield Case("signed by a stranger", token(signer=STRANGER), "bad_signature")
    yield Case("signed by a stranger, no kid", token(signer=STRANGER, kid=None), "bad_signature")
    yield Case("signed with nothing", token(signer=Signer("HS256", b"")), "bad_signature")
    yield Case("signed by another key of the ring", token(signer=SIGNERS["k_second"]), "bad_signature")
    yield Case("claims of another token", _spliced(token(), claiming(external_id="admin")), "bad_signature")
    yield Case("header of another token", _spliced(token(kid="k_main"), token(kid=None), 0), "bad_signature")
    yield Case("by the fifth key, no kid", token(kid=None, signer=SIGNERS["k_fifth"]), "bad_signature")
    yield Case("by a short secret", token(kid="k_weak"), "key_unfit")
    yield Case("by a short RSA key", token(kid="k_weak_rsa"), "key_unfit")
    yield Case("by a pending key", token(kid="k_pending"), "key_pending")
    yield Case("by a pending key, no kid", token(kid=None, signer=SIGNERS["k_pending"]), "bad_signature")
    yield Case("by a key revoked within a day", token(kid="k_lately"), "key_revoked")
    yield Case("by a key revoked within a day, no kid", token(kid=None, signer=SIGNERS["k_lately"]), "key_revoked")
    yield Case("by a key revoked a day ago", token(kid="k_long_ago"), "key_revoked_long_ago")
    yield Case("by a key revoked a day ago, no kid", token(kid=None, signer=SIGNERS["k_long_ago"]), "bad_signature")
    yield Case("by a key that the control log revoked", token(kid="k_heard"), "key_revoked")
    yield Case("forged for a key revoked within a day", token(kid="k_lately", signer=STRANGER), "bad_signature")
    yield Case("forged for a key that the control log revoked", token(kid="k_heard", signer=STRANGER), "bad_signature")
    yield Case("by a destroyed key", token(kid="k_destroyed"), "key_revoked_long_ago")


def _bad_sets() -> Iterator[Case]:
    """Keys that somebody else publishes, and that stand or fall with the record by which they are followed."""
    yield Case("by a followed key that is called as ours", token(signer=REMOTE["k_main"]), "alg_mismatch")
    yield Case(
        "by a followed key that is called as ours, as it says",
        token(header={"alg": "HS256", "kid": "k_main"}, signer=REMOTE["k_main"]),
        "bad_signature",
    )
    for name in ("remote/1+=", "remote_ec", "remote_rsa"):
        public = Signer("HS256", REMOTE[name].public())
        yield Case(f"followed key {name} as a secret", token(kid=name, signer=public), "alg_mismatch")
        yield Case(f"followed key {name} as a secret, no kid", token(kid=None, signer=public), "bad_signature")
        yield Case(f"forged for the followed key {name}", token(kid=name, signer=STRANGER), "alg_mismatch")
    empty = Signer("HS256", b"")
    yield Case("followed record as an empty secret", token(kid="k_set", signer=empty), "alg_mismatch")
    yield Case(
        "by a followed key under another record's id",
        token(kid="k_set_heard", signer=REMOTE["remote_ec"]),
        "alg_mismatch",
    )
    yield Case(
        "by a followed key under another's id", token(kid="third_ec", signer=REMOTE["remote_ec"]), "bad_signature"
    )
    yield Case(
        "by a followed key under our own key's id", token(kid="k_ec", signer=REMOTE["remote_ec"]), "bad_signature"
    )
    yield Case(
        "by the fifth of its kind, followed, no kid", token(kid=None, signer=REMOTE["fifth_ec"]), "bad_signature"
    )
    yield Case("by a short followed RSA key", token(kid="remote_weak"), "key_unfit")
    yield Case("by a set revoked within a day", token(kid="dead_ec"), "key_revoked")
    yield Case("by a set revoked within a day, no kid", token(kid=None, signer=REMOTE["dead_ec"]), "key_revoked")
    yield Case("by a set revoked a day ago", token(kid="long_dead_ec"), "key_revoked_long_ago")
    yield Case("by a set revoked a day ago, no kid", token(kid=None, signer=REMOTE["long_dead_ec"]), "bad_signature")
    yield Case("by a set that the control log revoked", token(kid="heard_ed"), "key_revoked")
    yield Case(
        "by a set that the control log revoked, no kid", token(kid=None, signer=REMOTE["heard_ed"]), "key_revoked"
    )


def _resigned(made: str, signature: bytes) -> str:
    return f"{made.rsplit('.', 1)[0]}.{b64(signature)}"


def _spliced(made: str, other: str, run: int = 1) -> str:
    runs, others = made.split("."), other.split(".")
    runs[run] = others[run]
    return ".".join(runs)


def _bad_times() -> Iterator[Case]:
    yield Case("no exp", token(without("exp")), "exp_missing")
    yield Case("no iat", token(without("iat")), "iat_missing")
    for name in ("exp", "iat", "nbf"):
        honest_s = int({**CLAIMS, "nbf": NOW_S}[name])
        for value in values(str(honest_s), honest_s + 0.0, None, True, [honest_s], {}):
            yield Case(f"{name} {type(value).__name__}", claiming(**{name: value}), "not_an_instant")
        for value in (0, -1, 999_999_999, 4_102_444_801, honest_s * 1000, 2**63, 10**30):
            yield Case(f"{name} {value}", claiming(**{name: value}), "instant_out_of_range")
    yield Case("all in milliseconds", claiming(iat=NOW, exp=NOW + 600_000), "instant_out_of_range")
    yield Case("expired", claiming(iat=NOW_S - 7_200, exp=NOW_S - 3_600), "token_expired")
    yield Case("expired with its leeway", claiming(iat=NOW_S - 600, exp=NOW_S - 60), "token_expired")
    yield Case("expired, by a stranger", token({**CLAIMS, "exp": NOW_S - 60}, signer=STRANGER), "bad_signature")
    yield Case("issued 61 s ahead", claiming(iat=NOW_S + 61), "issued_in_the_future")
    yield Case("issued in a year", claiming(iat=NOW_S + 31_536_000, exp=NOW_S + 31_536_600), "issued_in_the_future")
    yield Case("not before 61 s ahead", claiming(nbf=NOW_S + 61), "not_yet_valid")
    yield Case("a second longer than a day", claiming(exp=NOW_S + 86_401), "life_too_long")
    yield Case("until 2099", claiming(exp=4_070_908_800), "life_too_long")
    yield Case("issued long ago, for long", claiming(iat=NOW_S - 86_401), "life_too_long")
    yield Case("ends when it begins", claiming(exp=NOW_S), "exp_not_after_iat")
    yield Case("ends before it begins", claiming(iat=NOW_S + 30, exp=NOW_S - 30), "exp_not_after_iat")


def _bad_projects() -> Iterator[Case]:
    for value in ("prj_other", PROJECT.upper(), PROJECT + " ", "", None, 5, [], ["prj_other"], {"id": PROJECT}):
        yield Case(f"project_id {value!r}", claiming(project_id=value), "another_project")
        yield Case(f"aud {value!r}", claiming(aud=value), "another_project")
    yield Case("one name right, one wrong", claiming(project_id=PROJECT, aud="prj_other"), "another_project")


HONEST: Final = tuple(honest())
HOSTILE: Final = tuple(hostile())
