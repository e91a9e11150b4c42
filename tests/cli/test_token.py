"""``chatgateway token``: one sentence about a token, and samples that the gateway takes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from tests.cli.conftest import Command, Ran

from chatgateway.cli.opened import opened
from chatgateway.core.person import Description, Identifier
from chatgateway.core.profiles import PROFILES
from chatgateway.types import KeyId, ProjectId, UnixMs, UserId


@pytest.fixture(scope="module")
def shop(command: Command) -> dict[str, str]:
    """A project with its first secret, and an app for each profile."""
    made: dict[str, str] = command("project", "create", "Doctor's", "--json").json
    for profile in PROFILES:
        made[profile] = command("app", "create", made["project"], profile, "--profile", profile, "--json").json["app"]
    return made


@pytest.fixture
def explain(command: Command, shop: dict[str, str]) -> Any:
    def run(token: str, *more: str, profile: str = "canonical") -> Ran:
        return command("token", "explain", shop[profile], *more, stdin=token)

    return run


def signed(shop: dict[str, str], secret: str | None = None, **claims: Any) -> str:
    now = int(time.time())
    said = {"external_id": "u-1", "iat": now, "exp": now + 300} | claims
    return jwt.encode(said, secret or shop["secret"], algorithm="HS256")


class TestExplain:
    def test_takes_a_good_token_from_standard_input(self, explain: Any, shop: dict[str, str]) -> None:
        ran = explain(signed(shop) + "\n")
        assert ran.status == 0, ran.err
        first = ran.out.splitlines()[0]
        assert first == f"OK  The token is good: external_id u-1, signed with {shop['kid']} (HS256, active)."
        assert "life" in ran.out

    def test_takes_it_from_a_file(self, command: Command, shop: dict[str, str], tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.write_text(signed(shop) + "\r\n")
        assert command("token", "explain", shop["canonical"], "--file", str(file)).status == 0
        assert command("token", "explain", shop["canonical"], "--file", str(tmp_path / "none")).status == 2

    def test_says_in_one_sentence_what_is_wrong_and_what_to_do(self, explain: Any, shop: dict[str, str]) -> None:
        ran = explain(signed(shop, shop["secret"].removeprefix("cgs_live_")))
        assert ran.status == 1
        assert ran.out.startswith(f"BAD  It is signed with a part of the secret {shop['kid']}: copy all of it")

    def test_speaks_to_programs(self, explain: Any, shop: dict[str, str]) -> None:
        ran = explain(f'"{signed(shop, role="admin")}"', "--json")
        assert ran.status == 1
        said = json.loads(ran.out)
        assert (said["verdict"], said["mistake"], said["reason"]) == ("bad", "quoted", "base64")
        assert [one["mistake"] for one in said["also"]] == ["rights"]
        assert said["facts"]["role_like"] == ["role"]

    def test_prints_neither_token_nor_secret(self, explain: Any, shop: dict[str, str]) -> None:
        made = signed(shop, external_id=shop["secret"])
        for pasted in (made, shop["secret"], f"Bearer {made}"):
            for more in ((), ("--json",)):
                ran = explain(pasted, *more)
                assert shop["secret"] not in ran.out + ran.err
                assert not any(run in ran.out + ran.err for run in made.split("."))

    def test_never_takes_a_token_as_an_argument(self, command: Command, shop: dict[str, str]) -> None:
        made = signed(shop)
        for arguments in ((shop["canonical"], made), (made,), (shop["canonical"], "JWT", made)):
            ran = command("token", "explain", *arguments)
            assert ran.status == 2
            assert "never an argument" in ran.err
            assert made not in ran.out + ran.err

    def test_what_is_no_text_is_explained_all_the_same(self, command: Command, shop: dict[str, str]) -> None:
        assert explain_nothing(command, shop, "").startswith("BAD  There is nothing here")
        assert explain_nothing(command, shop, "<html>\x1b[31m").startswith("BAD  This is a web page")

    def test_knows_a_key_that_was_revoked(self, command: Command, shop: dict[str, str], explain: Any) -> None:
        gone = command("key", "add", shop["project"], "--name", "gone", "--json").json
        token = signed(shop, gone["secret"])
        assert explain(token).status == 0
        assert command("key", "revoke", shop["project"], gone["kid"], "--yes").status == 0
        said = json.loads(explain(token, "--json").out)
        assert (said["reason"], said["mistake"]) == ("key_revoked", "dead_key")
        assert "second" in said["sentence"]
        assert gone["kid"] in said["sentence"]

    def test_knows_the_key_of_another_project(self, command: Command, explain: Any, shop: dict[str, str]) -> None:
        other = command("project", "create", "Bookshop", "--json").json
        said = json.loads(explain(signed(shop, other["secret"]), "--json").out)
        assert said["mistake"] == "another_projects_key"
        assert f"Bookshop ({other['project']})" in said["sentence"]

    def test_an_unknown_app_is_a_failure(self, command: Command) -> None:
        assert command("token", "explain", "app_nobody", stdin="x").status == 1

    def test_names_two_people_whom_one_token_names(self, command: Command, shop: dict[str, str], explain: Any) -> None:
        async def two(project: ProjectId) -> None:
            async with opened(command.settings) as at:
                for kind, text, user in (("deskpro_id", "7", "usr_1"), ("deskpro_email", "a@b.example", "usr_2")):
                    named = (Identifier(kind, text),)  # type: ignore[arg-type]
                    await at.identities.find_or_create(project, named, Description(), UserId(user))

        import asyncio

        asyncio.run(two(ProjectId(shop["project"])))
        said = json.loads(explain(signed(shop, deskpro_id="7", email="A@b.example"), "--json", profile="deskpro").out)
        assert (said["verdict"], said["reason"]) == ("bad", "identity_conflict")
        assert "usr_1 and usr_2" in said["sentence"]
        assert explain(signed(shop, deskpro_id="7"), profile="deskpro").status == 0

    def test_tells_that_a_token_was_used_and_uses_none(
        self, command: Command, shop: dict[str, str], explain: Any
    ) -> None:
        app = command("app", "create", shop["project"], "Once", "--one-time-tokens", "--json").json["app"]
        once = signed(shop, jti="fresh")

        def asked() -> Any:
            return json.loads(command("token", "explain", app, "--json", stdin=once).out)

        assert asked()["verdict"] == "ok"
        assert asked()["verdict"] == "ok"

        async def spend() -> None:
            async with opened(command.settings) as at:
                later = UnixMs(await at.store.now() + 60_000)
                assert await at.identities.spend(ProjectId(shop["project"]), KeyId(shop["kid"]), "fresh", later)

        import asyncio

        asyncio.run(spend())
        assert asked()["reason"] == "used_before"
        without = json.loads(command("token", "explain", app, "--json", stdin=signed(shop)).out)
        assert without["reason"] == "jti_missing"


def explain_nothing(command: Command, shop: dict[str, str], pasted: str) -> str:
    ran = command("token", "explain", shop["canonical"], stdin=pasted)
    assert ran.status == 1
    assert "\x1b" not in ran.out
    return ran.out


class TestMint:
    @pytest.mark.parametrize("profile", PROFILES)
    def test_makes_a_sample_in_each_vendors_shape(
        self, profile: str, command: Command, shop: dict[str, str], explain: Any
    ) -> None:
        made = command("token", "mint", shop[profile], "u-1", "--name", "Ada Lovelace", "--json").json
        assert made["profile"] == profile
        said = json.loads(explain(made["token"], "--json", profile=profile).out)
        assert (said["verdict"], said["facts"]["looks_like"]) == ("ok", profile)
        other = command("token", "mint", shop["canonical"], "u-1", "--profile", profile).out.strip()
        assert explain(other, profile=profile).status == 0

    def test_refuses_what_no_gateway_would_take(self, command: Command, shop: dict[str, str]) -> None:
        long = command("token", "mint", shop["tiledesk"], "u-1", "--minutes", "60")
        assert long.status == 1
        assert "10 minutes that tiledesk allows" in long.err
        assert command("token", "mint", shop["canonical"], " u-1").status == 1
        assert "usr" not in command("token", "mint", shop["canonical"], "u-1", "--kid", "key_nobody").out

    def test_for_an_app_that_takes_each_once_has_an_id_of_its_own(self, command: Command, shop: dict[str, str]) -> None:
        app = command("app", "create", shop["project"], "Once more", "--one-time-tokens", "--json").json["app"]
        ids = {
            jwt.decode(command("token", "mint", app, "u-1").out.strip(), options={"verify_signature": False})["jti"]
            for _ in range(2)
        }
        assert len(ids) == 2
