"""``chatgateway token``: one sentence about a token, and samples that the gateway takes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from tests.cli.conftest import Command, Ran


@pytest.fixture(scope="module")
def shop(command: Command) -> dict[str, str]:
    """A project with its first secret, and two apps that read tokens in different ways."""
    made: dict[str, str] = command("project", "create", "Doctor's", "--json").json
    for profile in ("canonical", "plain"):
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

    def test_says_that_a_line_end_was_left_out(self, explain: Any, shop: dict[str, str]) -> None:
        """Files end in one, and the gateway takes no token with it."""
        note = "The input ended with a line break"
        for end, said in (("", False), ("\n", True), ("\r\n", True)):
            ran = explain(signed(shop) + end)
            assert (ran.status, note.lower() in ran.out.lower()) == (0, said)

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

    def test_an_unknown_app_is_a_failure(self, command: Command) -> None:
        assert command("token", "explain", "app_nobody", stdin="x").status == 1


def explain_nothing(command: Command, shop: dict[str, str], pasted: str) -> str:
    ran = command("token", "explain", shop["canonical"], stdin=pasted)
    assert ran.status == 1
    assert "\x1b" not in ran.out
    return ran.out


class TestMint:
    def test_makes_a_sample_in_another_vendors_shape(
        self, command: Command, shop: dict[str, str], explain: Any
    ) -> None:
        made = command("token", "mint", shop["canonical"], "u-1", "--profile", "plain", "--json").json
        assert made["profile"] == "plain"
        assert explain(made["token"], profile="plain").status == 0

    def test_refuses_what_no_gateway_would_take(self, command: Command, shop: dict[str, str]) -> None:
        long = command("token", "mint", shop["canonical"], "u-1", "--profile", "tiledesk", "--minutes", "60")
        assert (long.status, long.out) == (1, "")
        assert "10 minutes that tiledesk allows" in long.err
