"""Tokens whose claims say the wrong thing of whom, or the right thing in the wrong words."""

from __future__ import annotations

from collections.abc import Iterator

from tests.core.cases import saying
from tests.core.jose import CLAIMS, HOUR_MS, NOW_S, PROJECT, claiming, token, without
from tests.core.mistaken import Mistaken, as_profile, one


def people() -> Iterator[Mistaken]:
    for name in ("externalId", "user_id", "userId", "uid", "id", "_id", "customer_id", "username"):
        claims = {**without("external_id"), name: "42"}
        yield one(
            f"id called {name}", token(claims), "id_misspelled", "id_missing", f"this token has {name}", "external_id"
        )
    yield one(
        "id a number under another name",
        token({**without("external_id"), "id": 42}),
        "id_misspelled",
        "id_missing",
        "this token has id",
        "in quotes",
    )
    yield one("id a number", claiming(external_id=42), "id_is_number", "id_not_text", "external_id is a number", '"42"')
    yield one(
        "no id",
        token({"iat": NOW_S, "exp": NOW_S + 60}),
        "id_missing",
        "id_missing",
        "no claim names".capitalize(),
        "external_id",
    )
    yield one("id empty", claiming(external_id=""), "id_length", "id_length", "external_id is empty", "fill it in")
    yield one("id too long", claiming(external_id="x" * 300), "id_length", "id_length", "300 characters", "at most 255")
    yield one(
        "id with a space behind",
        claiming(external_id="42 "),
        "id_white_space",
        "id_white_space",
        "ends with white space",
        "trim",
    )
    yield one(
        "id with a joiner",
        claiming(external_id="4\u200b2"),
        "id_unsafe",
        "id_unsafe",
        "ZERO WIDTH SPACE",
        "your database",
    )
    yield one("two ids", claiming(sub="u-2"), "ids_differ", "ids_differ", "external_id and sub", "only one")
    for name in ("plain", "deskpro", "livechat"):
        made = saying(name, exp=NOW_S + 300, iat=NOW_S)
        yield one(
            f"looks like {name}",
            made,
            "another_profile",
            "id_missing",
            f"looks like a {name} token",
            f"--profile {name}",
            profile=as_profile("tiledesk"),
        )
    yield one(
        "canonical for plain",
        token(),
        "another_profile",
        "id_missing",
        "looks like a canonical token|reads plain",
        "--profile canonical",
        profile=as_profile("plain"),
    )
    yield one(
        "canonical for deskpro",
        token(),
        "another_profile",
        "another_profile",
        "looks like a canonical token|reads deskpro",
        "--profile canonical",
        profile=as_profile("deskpro"),
    )
    yield one(
        "sub for deskpro",
        saying("deskpro", sub="u-1"),
        "another_profile",
        "another_profile",
        "has sub|reads deskpro",
        "leave sub out",
        profile=as_profile("deskpro"),
    )
    mail = "ada@example.com"
    yield one(
        "email a text",
        saying("plain", email=mail),
        "email_is_text",
        "table_expected",
        "email is a text",
        "isVerified",
        profile=as_profile("plain"),
    )
    yield one(
        "email an object",
        claiming(email={"email": mail, "isVerified": True}),
        "email_is_object",
        "text_expected",
        "email is an object",
        "name@host",
    )
    yield one(
        "isVerified outside",
        saying("plain", email={"email": mail}, isVerified=True),
        "isverified_outside",
        "claim_missing",
        "beside the email object",
        "inside",
        profile=as_profile("plain"),
    )
    yield one(
        "isVerified missing",
        saying("plain", email={"email": mail}),
        "isverified_missing",
        "claim_missing",
        "isVerified is missing",
        "true when",
        profile=as_profile("plain"),
    )
    yield one(
        "isVerified a text",
        saying("plain", email={"email": mail, "isVerified": "true"}),
        "boolean_as_text",
        "boolean_expected",
        "email.isVerified is a text",
        "without quotes",
        profile=as_profile("plain"),
    )
    yield one(
        "fullName missing",
        saying("plain", "fullName"),
        "claim_missing",
        "claim_missing",
        "fullName is missing",
        "fill it in",
        profile=as_profile("plain"),
    )
    yield one(
        "name for fullName",
        saying("plain", "fullName", name="Ada"),
        "misspelled",
        "claim_missing",
        "reads fullName|has name",
        "call the claim fullName",
        profile=as_profile("plain"),
    )
    yield one("name a number", claiming(name=5), "text_expected", "text_expected", "name is a number", "in quotes")
    yield one(
        "email with a name",
        claiming(email="Ada <ada@example.com>"),
        "email_shape",
        "email_shape",
        "email is no address",
        "display name",
    )
    yield one(
        "aud of another project",
        claiming(aud="prj_other"),
        "aud_other_project",
        "another_project",
        "aud names prj_other",
        PROJECT,
    )
    newer = as_profile("tiledesk")
    yield one(
        "aud without projects",
        saying("tiledesk newer", aud="https://x.example"),
        "aud_without_project",
        "another_project",
        "does not end in /projects/",
        f"/projects/{PROJECT}",
        profile=newer,
    )
    yield one(
        "aud of another project's address",
        saying("tiledesk newer", aud="https://x.example/projects/abc"),
        "aud_other_project",
        "another_project",
        "project abc",
        f"/projects/{PROJECT}",
        profile=newer,
    )
    yield one(
        "_id without the project",
        saying("tiledesk newer", _id="u-1"),
        "id_without_project",
        "another_project",
        "project's id and an underscore",
        f'"{PROJECT}_"',
        profile=newer,
    )
    yield one(
        "sub of another kind",
        saying("tiledesk newer", sub="u-1"),
        "sub_not_external",
        "claim_value",
        "sub is u-1",
        "userexternal",
        profile=newer,
    )
    yield one("a person too big", claiming(name="x" * 4_090), "person_too_big", "person_too_big", "4 KiB", "admin API")
    yield one("too big", claiming(x="x" * 7_000), "size", "size", "8,192", "what names the person")
    yield one("jti a number", claiming(jti=5), "jti_shape", "jti_shape", "jti is no text", "UUID")
    yield one(
        "too many names",
        token({**CLAIMS, **{f"x{n}": n for n in range(60)}}),
        "too_many_names",
        "too_many_names",
        "64 names",
        "what the profile reads",
    )


def warned() -> Iterator[Mistaken]:
    """Good tokens in which something should be mended."""
    yield one("role", claiming(role="admin"), "rights", "", "role asks for rights", "leave it out")
    yield one(
        "placeholder",
        claiming(name="#{customerName}"),
        "placeholder",
        "",
        "name still holds a placeholder",
        "fill it in",
    )
    yield one(
        "sample's id",
        saying("plain", externalId="your_id"),
        "placeholder",
        "",
        "externalId still holds",
        "fill it in",
        profile=as_profile("plain"),
    )
    yield one("APP_KEY", claiming(external_id="APP_KEY"), "placeholder", "", "external_id still holds", "fill it in")
    yield one(
        "a password",
        claiming(userPassword="hunter2"),
        "readable_secret",
        "",
        "userPassword seems to hold a secret",
        "can read it",
    )
    yield one("Cyrillic a", claiming(external_id="p\u0430ypal"), "look_alike", "", "look alike", "your database")
    yield one("decomposed", claiming(external_id="Zoe\u0308"), "not_normalised", "", "composed form", "NFC")
    yield one(
        "shortname",
        saying("plain", "shortName", shortname="Ada"),
        "misspelled",
        "",
        "shortname is not read",
        "call it shortName",
        profile=as_profile("plain"),
    )
    yield one(
        "fullName for name",
        token({**without("name"), "fullName": "Ada"}),
        "misspelled",
        "",
        "fullName is not read by canonical",
        "call it name",
    )
    yield one(
        "first_name for name",
        token({**without("name"), "first_name": "Ada", "last_name": "Lovelace"}),
        "misspelled",
        "",
        "first_name is not read by canonical",
        "call it name",
    )
    yield one(
        "organization_id for organization",
        claiming(organization_id="engines"),
        "misspelled",
        "",
        "organization_id is not read",
        "call it organization",
    )
    yield one(
        "kid in the payload",
        token({**CLAIMS, "kid": "k_main"}, kid=None),
        "kid_in_payload",
        "",
        "among the claims",
        "into the header",
    )
    yield one("retiring key", token(kid="k_retiring"), "retiring_key", "", "k_retiring is retiring", "new secret")
    yield one(
        "no exp", saying("deskpro"), "exp_missing", "", "exp is missing", "add exp", profile=as_profile("deskpro")
    )
    yield one(
        "groups of everybody",
        saying("deskpro", usergroup_ids=["1", "3"], iat=NOW_S, exp=NOW_S + HOUR_MS // 1000),
        "reserved_group",
        "",
        "groups 1 or 2",
        "your own",
        profile=as_profile("deskpro"),
    )
    yield one("ends at once", claiming(exp=NOW_S + 5), "ends_soon", "", "ends in 5 seconds", "when the page asks")
