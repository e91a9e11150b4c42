"""Signed tokens, honest and hostile, that differ in what they say of a person: each profile has its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from tests.core.cases import SAMPLES, Case, profile_of, saying
from tests.core.jose import CLAIMS, NOW_S, PROJECT, claiming, token, without


def values(*given: Any) -> tuple[Any, ...]:
    """Values of many types, as JSON has them."""
    return given


CHANGES: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("plain", {"email": {"email": "ada@example.com", "isVerified": False}}),
    ("plain", {"exp": NOW_S + 86_400}),
    ("plain", {"aud": PROJECT}),
    ("tiledesk", {"iat": NOW_S + 120, "exp": NOW_S + 720}),
    ("tiledesk", {"sub": "userexternal", "aud": f"https://x.example/projects/{PROJECT}"}),
    ("tiledesk newer", {"external_id": "u-1"}),
    ("tiledesk newer", {"exp": NOW_S + 600}),
    ("tiledesk newer", {"iat": NOW_S - 719}),
    ("pingstreams", {"exp": NOW_S + 86_400}),
    ("pingstreams newer", {"iat": NOW_S - 86_400}),
    ("deskpro", {"exp": NOW_S + 3_600, "iat": NOW_S}),
    ("deskpro", {"emails": [f"a{n}@example.com" for n in range(64)]}),
    ("deskpro", {"usergroup_ids": ["1", "2", "3"]}),
    ("deskpro", {"fields": {"n": 5, "deep": {"x": "y"}, "mixed": ["a", 1], "role": "admin"}}),
    ("livechat", {"license_id": PROJECT, "name": 5, "email": ["not read"]}),
)
"""What an honest token may say, too."""


def honest_people() -> Iterator[Case]:
    for sample in SAMPLES:
        for kid in ("k_main", "k_rsa", "remote_ec"):
            yield Case(f"{sample} by {kid}", saying(sample, kid=kid), "", profile_of(sample))
    for sample, gone in (
        ("plain", ("shortName",)),
        ("tiledesk", ("name", "email")),
        ("tiledesk newer", ("firstname", "lastname", "attributes")),
        ("pingstreams", ("exp",)),
        ("pingstreams newer", ("firstname", "lastname", "attributes")),
        ("deskpro", ("deskpro_id",)),
        ("deskpro", tuple(SAMPLES["deskpro"].keys() - {"deskpro_id"})),
        ("deskpro", tuple(SAMPLES["deskpro"].keys() - {"email"})),
        ("livechat", ("organization_id",)),
    ):
        yield Case(f"{sample} without {', '.join(sorted(gone))}", saying(sample, *gone), "", profile_of(sample))
    for sample, changes in CHANGES:
        yield Case(f"{sample} with {changes}"[:90], saying(sample, **changes), "", profile_of(sample))


def hostile_people() -> Iterator[Case]:
    for corpus in (
        _bad_ids,
        _bad_persons,
        _bad_lists,
        _bad_jti,
        _bad_plain,
        _bad_tiledesk,
        _bad_deskpro,
        _bad_livechat,
    ):
        yield from corpus()


def _vendor(sample: str, expected: str, *gone: str, **changes: Any) -> Case:
    told = " and ".join([*(f"no {name}" for name in gone), *(f"{name} {value!r}" for name, value in changes.items())])
    return Case(f"{sample}: {told}"[:90], saying(sample, *gone, **changes), expected, profile_of(sample))


def _bad_ids() -> Iterator[Case]:
    yield Case("no id", token(without("external_id")), "id_missing")
    yield Case("only an email", token(without("external_id", "name")), "id_missing")
    yield Case("two ids that differ", claiming(sub="u-2"), "ids_differ")
    yield Case("two ids that differ in case", claiming(sub="U-1"), "ids_differ")
    yield Case("an id and null", claiming(sub=None), "ids_differ")
    yield Case("a text and its number", token({**CLAIMS, "external_id": 1, "sub": "1"}), "ids_differ")
    for value in (None, 5, True, 1.5, ["u-1"], {"id": "u-1"}):
        yield Case(f"id {value!r}", claiming(external_id=value), "id_not_text")
    yield Case("empty id", claiming(external_id=""), "id_length")
    yield Case("id of 256 characters", claiming(external_id="x" * 256), "id_length")
    unsafe = {
        "NUL": "\0", "line feed": "\n", "delete": "\x7f", "C1 control": "\x85", "lone high surrogate": "\ud800",
        "lone low surrogate": "\udfff", "zero-width space": "\u200b", "joiner": "\u200d", "override": "\u202e",
        "byte order mark": "\ufeff", "soft hyphen": "\xad", "tag": "\U000e0041", "private": "\ue000",
        "private plane": "\U00100000", "unassigned": "\u0378", "noncharacter": "\uffff", "line separator": "\u2028",
        "paragraph separator": "\u2029",
    }  # fmt: skip
    for name, char in unsafe.items():
        yield Case(f"id with {name}", claiming(external_id=f"u{char}1"), "id_unsafe")
    for name, char in {"space": " ", "no-break space": "\xa0", "ideographic space": "\u3000"}.items():
        yield Case(f"id with {name} in front", claiming(external_id=f"{char}u-1"), "id_white_space")
        yield Case(f"id with {name} behind", claiming(external_id=f"u-1{char}"), "id_white_space")


def _bad_persons() -> Iterator[Case]:
    for value in (5, True, ["Ada"], {"first": "Ada"}):
        yield Case(f"name {value!r}", claiming(name=value), "text_expected")
        yield Case(f"email {value!r}", claiming(email=value), "text_expected")
    for char in (
        "\0",
        "\n",
        "\x1b",
        "\ud800",
        "\ue000",
        "\u0378",
        "\u2028",
        "\u2029",
        *"\u202a\u202b\u202c\u202d\u202e",
    ):
        yield Case(f"name with {char!r}", claiming(name=f"Ada{char}✓"), "text_unsafe")
    for char in "\u2066\u2067\u2068\u2069":
        yield Case(f"name with {char!r}", claiming(name=f"Ada{char}✓"), "text_unsafe")
    for email in (
        "ada",
        "@",
        "ada@",
        "@example.com",
        "a@b@c",
        "a da@example.com",
        "x" * 65 + "@example.com",
        f"a@{'x' * 190}",
    ):
        yield Case(f"email {email[:20]!r} ({len(email)})", claiming(email=email), "email_shape")
    for value in values("true", "false", 1, 0, []):
        yield Case(f"email_verified {value!r}", claiming(email_verified=value), "boolean_expected")
    yield Case("name of 4 KiB", claiming(name="x" * 4_090), "person_too_big")
    yield Case(
        "name of 1,500 characters, 4.5 KB",
        token(json.dumps({**CLAIMS, "name": "語" * 1_500}, ensure_ascii=False).encode()),
        "person_too_big",
    )


def _bad_lists() -> Iterator[Case]:
    for name in ("emails", "labels"):
        for value in values("vip", 5, {"a": "b"}, True):
            yield Case(f"{name} {value!r}", claiming(**{name: value}), "list_expected")
        for value in values([5], [None], ["a@b.example", ["c"]]):
            yield Case(f"{name} {value!r}", claiming(**{name: value}), "text_expected")
        yield Case(f"65 {name}", claiming(**{name: [f"a{n}@b.example" for n in range(65)]}), "list_too_long")
        yield Case(f"{name} with an override", claiming(**{name: ["a\u202eb@c.example"]}), "text_unsafe")
    yield Case("emails with none", claiming(emails=["ada"]), "email_shape")
    for value in values("gold", ["gold"], 5, False):
        yield Case(f"fields {value!r}", claiming(fields=value), "table_expected")
    yield Case("fields of 65 texts", claiming(fields={"tags": [str(n) for n in range(65)]}), "list_too_long")
    yield Case("field with an unsafe name", claiming(fields={"a\nb": "c"}), "text_unsafe")
    yield Case("field with an unsafe text", claiming(fields={"a": "b\u2028c"}), "text_unsafe")
    yield Case("field with an unsafe entry", claiming(fields={"a": ["b\0c"]}), "text_unsafe")
    big = "x" * 4_090
    for name, value in {
        "labels": [big], "emails": [f"{n:03}{'x' * 60}@{'y' * 180}" for n in range(20)], "organization": big,
        "timezone": big, "language": big, "short_name": big, "fields": {"a": big},
    }.items():  # fmt: skip
        yield Case(f"{name} of 4 KiB", claiming(**{name: value}), "person_too_big")
    yield Case("field with a name of 4 KiB", claiming(fields={big: "a"}), "person_too_big")
    yield Case("field with texts of 4 KiB", claiming(fields={"a": [big]}), "person_too_big")
    for name in ("short_name", "organization", "timezone", "language"):
        yield Case(f"{name} 5", claiming(**{name: 5}), "text_expected")
        yield Case(f"{name} with a line break", claiming(**{name: "a\nb"}), "text_unsafe")


def _bad_jti() -> Iterator[Case]:
    for value in values(None, 5, ["a"], "", "x" * 256, "a\0b", "a\u200bb"):
        yield Case(f"jti {value!r}"[:40], claiming(jti=value), "jti_shape")


def _bad_plain() -> Iterator[Case]:
    mail = {"email": "ada@example.com", "isVerified": True}
    for name in ("fullName", "email"):
        yield _vendor("plain", "claim_missing", name)
        yield _vendor("plain", "claim_missing", **{name: None})
    yield _vendor("plain", "claim_missing", fullName="")
    yield _vendor("plain", "claim_missing", email={"email": "ada@example.com"})
    yield _vendor("plain", "claim_missing", email={"isVerified": True})
    yield _vendor("plain", "claim_missing", email={**mail, "email": ""})
    yield _vendor("plain", "claim_missing", email={**mail, "isVerified": None})
    yield _vendor("plain", "table_expected", email="ada@example.com")
    yield _vendor("plain", "table_expected", email=5)
    yield _vendor("plain", "table_expected", email=["ada@example.com", True])
    yield _vendor("plain", "boolean_expected", email={**mail, "isVerified": "true"})
    yield _vendor("plain", "email_shape", email={**mail, "email": "ada"})
    yield _vendor("plain", "text_expected", fullName=["Ada"])
    yield _vendor("plain", "text_expected", shortName=5)
    yield _vendor("plain", "id_missing", "externalId")
    yield _vendor("plain", "id_missing", "externalId", sub="u-1", external_id="u-1")
    yield _vendor("plain", "id_not_text", externalId=5)
    yield _vendor("plain", "exp_missing", "exp")
    yield _vendor("plain", "iat_missing", "iat")
    yield _vendor("plain", "life_too_long", exp=NOW_S + 86_401)
    yield _vendor("plain", "another_project", aud="prj_other")


def _bad_tiledesk() -> Iterator[Case]:
    for vendor in ("tiledesk", "pingstreams"):
        newer = f"{vendor} newer"
        for name in ("sub", "aud", "email"):
            yield _vendor(newer, "claim_missing", name)
        yield _vendor(newer, "claim_missing", email="")
        for value in values("admin", "", None, 5, ["userexternal"], "USEREXTERNAL"):
            yield _vendor(newer, "claim_value", sub=value)
            yield _vendor(vendor, "claim_value", sub=value)
        for value in values(
            "https://x.example/projects/prj_other", f"https://x.example/projects/{PROJECT}/", PROJECT, None, 5, [],
            f"https://x.example/projects/x{PROJECT}", f"https://x.example/projects/{PROJECT}?", f"/{PROJECT}",
        ):  # fmt: skip
            yield _vendor(newer, "another_project", aud=value)
            yield _vendor(vendor, "another_project", aud=value)
        for value in values("u-1", f"prj_other_{PROJECT}_u-1", PROJECT, f"{PROJECT}u-1", f" {PROJECT}_u-1", "", "_u-1"):
            yield _vendor(newer, "another_project", _id=value)
        for value in values(None, 5, [f"{PROJECT}_u-1"]):
            yield _vendor(newer, "id_not_text", _id=value)
        yield _vendor(newer, "id_length", _id=f"{PROJECT}_")
        yield _vendor(newer, "id_white_space", _id=f"{PROJECT}_ u-1")
        yield _vendor(newer, "id_reserved", _id=f"{PROJECT}_usr_0123456789abcdef0123")
        yield _vendor(newer, "id_unsafe", _id=f"{PROJECT}_u\0001")
        yield _vendor(newer, "ids_differ", external_id="u-2")
        yield _vendor(newer, "ids_differ", external_id=f"{PROJECT}_u-1")
        yield _vendor(newer, "iat_missing", "iat")
        yield _vendor(newer, "table_expected", attributes="gold")
        yield _vendor(vendor, "id_missing", "external_id")
        yield _vendor(vendor, "iat_missing", "iat")
        yield _vendor(vendor, "issued_in_the_future", iat=NOW_S + 121, exp=NOW_S + 700)
    for name in ("sub", "external_id", "externalId", "entity_id", "_id"):
        yield _vendor("deskpro", "another_profile", **{name: "u-1"})
    for text in ("usr_0123456789abcdef0123", "usr_cookie_0123456789abcdef0123"):
        yield Case(f"id {text[:10]}", claiming(external_id=text), "id_reserved")
    yield _vendor("tiledesk", "exp_missing", "exp")
    yield _vendor("tiledesk", "life_too_long", exp=NOW_S + 601)
    yield _vendor("tiledesk newer", "life_too_long", exp=NOW_S + 601)
    yield _vendor("tiledesk newer", "token_expired", iat=NOW_S - 720)
    yield _vendor("pingstreams", "life_too_long", exp=NOW_S + 86_401)
    yield _vendor("pingstreams", "token_expired", "exp", iat=NOW_S - 86_520)


def _bad_deskpro() -> Iterator[Case]:
    yield _vendor("deskpro", "id_missing", "deskpro_id", "email")
    yield _vendor("deskpro", "id_missing", "deskpro_id", email="")
    yield _vendor("deskpro", "id_missing", "deskpro_id", email=None)
    yield Case("deskpro: nothing at all", token({}), "id_missing", profile_of("deskpro"))
    yield _vendor("deskpro", "id_not_text", deskpro_id=42)
    yield _vendor("deskpro", "id_not_text", deskpro_id=None)
    yield _vendor("deskpro", "id_length", deskpro_id="")
    yield _vendor("deskpro", "text_expected", email=["ada@example.com"])
    yield _vendor("deskpro", "email_shape", email="ada")
    yield _vendor("deskpro", "id_unsafe", email="ada\u200b@example.com")
    yield _vendor("deskpro", "list_expected", usergroup_ids="3")
    yield _vendor("deskpro", "text_expected", usergroup_ids=[3])
    yield _vendor("deskpro", "list_too_long", usergroup_ids=[str(n) for n in range(65)])
    yield _vendor("deskpro", "person_too_big", usergroup_ids=["x" * 4_090])
    yield _vendor("deskpro", "text_expected", organization_id=7)
    yield _vendor("deskpro", "table_expected", fields=["a"])
    yield _vendor("deskpro", "list_expected", labels="vip")
    yield _vendor("deskpro", "text_unsafe", timezone="Europe/\nBerlin")
    # Whichever name is shown, all of them are read.
    yield _vendor("deskpro", "text_expected", name="Ada", last_name=5)
    yield _vendor("deskpro", "token_expired", exp=NOW_S - 60)
    yield _vendor("deskpro", "token_expired", iat=NOW_S - 86_460)
    yield _vendor("deskpro", "life_too_long", exp=NOW_S + 86_401)
    yield _vendor("deskpro", "another_project", aud="prj_other")


def _bad_livechat() -> Iterator[Case]:
    for name in ("organization_id", "license_id", "aud"):
        for value in values("prj_other", 5, None, ""):
            yield _vendor("livechat", "another_project", **{name: value})
    yield _vendor("livechat", "id_missing", "entity_id")
    yield _vendor("livechat", "id_missing", "entity_id", email="ada@example.com", sub="u-1")
    yield _vendor("livechat", "id_not_text", entity_id=5)
    yield _vendor("livechat", "exp_missing", "exp")
