"""What is pasted in the place of a token, around one, or into its parts."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from typing import Final

from tests.core.jose import CLAIMS, SIGNERS, claiming, raw_claims, to_json, token
from tests.core.mistaken import GOOD, Mistaken, one

OURS: Final = f"cgs_live_{'A' * 43}_000000"


def not_tokens() -> Iterator[Mistaken]:
    yield one("nothing", "", "nothing", "size", "nothing here", "server's answer")
    yield one("only white space", " \n\t" * 10, "nothing", "segments", "nothing here", "server's answer")
    for text in ("undefined", "null", "None", "NaN", "false"):
        yield one(text, text, "no_value", "size", f"{text.lower()} instead of a token", "name of the property")
    yield one("a promise", "[object Promise]", "promise", "size", "turned into text", "await")
    yield one("a coroutine", "<coroutine object sign at 0x7f>", "promise", "segments", "turned into text", "await")
    yield one("an object", "[object Object]", "object", "size", "object turned into text", "property")
    yield one("a secret", OURS, "secret_pasted", "segments", "secret, not a token", "keep it on your server|regenerate")
    yield one(
        "a session token",
        f"cgv_{'A' * 40}.{'B' * 43}",
        "session_token_pasted",
        "segments",
        "session token",
        "your server signs",
    )
    yield one("an admin token", f"cga_{'A' * 43}_000000", "admin_token_pasted", "segments", "admin token", "revoke it")
    yield one("a ticket", f"cgt_{'A' * 43}", "ticket_pasted", "segments", "ticket", "your server signs")
    yield one(
        "a private key",
        "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",
        "private_key_pasted",
        "segments",
        "private key",
        "keep it on your server|new pair",
    )
    yield one(
        "a public key", SIGNERS["k_rsa"].public().decode(), "key_pasted", "segments", "public key", "key add --public"
    )
    yield one("an app's id", "app_abcdefghijklmnop", "id_pasted", "segments", "gateway's ids", "your server signs")
    yield one("an address", "https://shop.example/chat-token", "url", "segments", "an address", "fetch it")
    yield one(
        "a token in an address",
        f"https://shop.example/?token={GOOD}",
        "inside_url",
        "segments",
        "inside an address",
        "token alone|proxies",
    )
    yield one("an error page", "<!DOCTYPE html><title>500</title>", "html", "segments", "web page", "open that address")
    yield one("a long error page", f"<html>{'x' * 9_000}</html>", "html", "size", "web page", "open that address")
    yield one(
        "JSON without a token",
        '{"error":"not logged in"}',
        "json",
        "segments",
        "without a token",
        "your server answers",
    )
    yield one(
        "JSON with the token",
        json.dumps({"token": GOOD}),
        "inside_json",
        "base64",
        "inside a JSON answer",
        "property",
    )
    yield one(
        "the claims, unsigned", json.dumps(CLAIMS), "claims_pasted", "segments", "unsigned", "sign them on your server"
    )
    yield one("an opaque token", "ya29A0ARrdaM8sNvT8w2kG7", "opaque", "segments", "no JWT", "sign a JWT")
    yield one("a UUID", "123e4567-e89b-12d3-a456-426614174000", "opaque", "segments", "no JWT", "sign a JWT")
    yield one("a sentence", "please sign me in, thank you", "opaque", "segments", "some other text", "JWT library")
    for text in (
        "<JWT_TOKEN_HERE_GENERATED_SERVER_SIDE>",
        "${await server.token()}",
        "{{ token_for_the_widget }}",
        "YOUR_JWT_TOKEN_GOES_HERE",
    ):
        yield one(f"template {text[:12]}", text, "template", "segments", "placeholder", "on the server")
    yield one("five parts", f"{GOOD}.AAAA.AAAA", "five_parts", "segments", "encrypted (JWE)", "sign it instead")
    yield one("two parts", GOOD.rpartition(".")[0], "two_parts", "segments", "signature is missing", "sign function")
    yield one("four parts", f"{GOOD}.AAAA", "parts", "segments", "4 parts", "exactly one token")
    yield one("shortened", f"{GOOD[:30]}...", "shortened", "segments", "shortened", "copy all of it")
    yield one("cut by a character", GOOD[:-2], "cut", "base64", "a character too short", "copy all of it")
    yield one(
        "its end changed",
        f"{GOOD[:-1]}{'B' if GOOD[-1] != 'B' else 'C'}",
        "loose_bits",
        "base64",
        "no encoder",
        "copy it again",
    )
    yield one("not ASCII", f"{GOOD[:-1]}é", "not_ascii", "base64", "no token has", "copy it again")
    yield one("a bracket in it", f"{GOOD[:-1]}]", "not_ascii", "base64", "no token has", "copy it again")


def around() -> Iterator[Mistaken]:
    yield one("line end", f"{GOOD}\n", "white_space_around", "base64", "White space", "trim it")
    yield one("byte order mark", f"\ufeff{GOOD}", "white_space_around", "base64", "White space", "trim it")
    for quote in ('"', "'", "`"):
        yield one(f"in {quote}", f"{quote}{GOOD}{quote}", "quoted", "base64", "in quotes", "parsed as JSON")
    yield one("bytes of Python", f"b'{GOOD}'", "quoted", "base64", "in quotes", "decode the bytes")
    yield one("Bearer", f"Bearer {GOOD}", "bearer_prefix", "base64", "Bearer stands before", "leave Bearer away")
    yield one(
        "a whole header", f"Authorization: Bearer {GOOD}", "bearer_prefix", "base64", "Bearer", "leave Bearer away"
    )
    yield one("JWT twice", f"JWT JWT {GOOD}", "prefix_twice", "base64", "twice", "once, or not at all")
    yield one("jwt", f"jwt {GOOD}", "prefix_spelled", "base64", "spelled another way", "capitals")
    yield one("JWT:", f"JWT: {GOOD}", "prefix_spelled", "base64", "spelled another way", "one space")
    yield one("a cookie", f"token={GOOD}", "inside_text", "base64", "A name and a sign", "alone")
    yield one("URL-encoded", f"JWT%20{GOOD}", "url_encoded", "base64", "URL-encoded", "decode it once")
    yield one(
        "broken into lines", f"{GOOD[:76]}\n{GOOD[76:]}", "white_space_inside", "base64", "line breaks", "in one line"
    )
    yield one(
        "invisible inside",
        f"{GOOD[:9]}\u200b{GOOD[9:]}",
        "invisible",
        "base64",
        "cannot be seen",
        "not from a document",
    )
    yield one("text around", f"here you are: {GOOD} bye", "inside_text", "base64", "text around", "token alone")
    yield one(
        "encoded once more",
        base64.b64encode(GOOD.encode()).decode(),
        "encoded_twice",
        "segments",
        "once more",
        "base64url already",
    )
    padded = ".".join(run + "=" * (-len(run) % 4) for run in GOOD.split("."))
    yield one("padded", padded, "padded", "base64", "padded with =", "strip =")
    plain = _standard()
    yield one("standard alphabet", plain, "standard_alphabet", "base64", "standard base64", "base64url|- instead of +")


def _standard() -> str:
    """A token whose parts need the two letters in which the alphabets differ."""
    made = next(made for n in range(99) if {"-", "_"} & set(made := claiming(name=f"Ada ÿ{'?' * n}>")))
    return made.replace("-", "+").replace("_", "/")


def parts() -> Iterator[Mistaken]:
    yield one(
        "single quotes", token(repr(dict(CLAIMS)).encode()), "single_quotes", "not_json", "single quotes", "json.dumps"
    )
    yield one(
        "JSON in JSON",
        token(to_json(json.dumps(CLAIMS))),
        "json_twice",
        "not_an_object",
        "JSON inside a text",
        "hand the object",
    )
    yield one("a token in a token", token(GOOD.encode()), "token_in_token", "not_json", "another token", "once")
    yield one(
        "compressed", token(zlib.compress(to_json(CLAIMS))), "compressed", "not_json", "compressed", "as they are"
    )
    yield one("UTF-16", token(json.dumps(CLAIMS).encode("utf-16")), "two_byte_text", "not_json", "UTF-16", "UTF-8")
    yield one(
        "byte order mark",
        token(b"\xef\xbb\xbf" + to_json(CLAIMS)),
        "byte_order_mark",
        "not_json",
        "byte order mark",
        "without one",
    )
    yield one(
        "Latin-1", token(b'{"name":"Zo\xeb"}'), "other_charset", "not_json", "not in UTF-8", "encode the JSON in UTF-8"
    )
    yield one(
        "a form", token(b"external_id=42&name=Ada"), "form_encoded", "not_json", "written as a form", "JSON object"
    )
    yield one(
        "PHP's serialize", token(b'a:1:{s:4:"name";s:3:"Ada";}'), "serialized", "not_json", "PHP array", "JWT::encode"
    )
    yield one(
        "PHP with braces",
        token(b"{ 'name' => 'Ada', 'external_id' => '42' }"),
        "single_quotes",
        "not_json",
        "single quotes",
        "JSON",
    )
    yield one(
        "a placeholder that is no JSON",
        token(b'{"iat": #{timestamp}}'),
        "template",
        "not_json",
        "placeholder",
        "on the server",
    )
    yield one(
        "a name twice",
        raw_claims('"external_id":"admin"'),
        "duplicate_name",
        "duplicate_name",
        "external_id stands twice",
        "once",
    )
