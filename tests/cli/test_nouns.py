"""What an operator types, on a real store that runs already."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import jwt
import pytest
from tests.cli.conftest import Command

from chatgateway.cli.opened import opened
from chatgateway.core.keyring import is_secret
from chatgateway.store.nodes import Nodes, Report
from chatgateway.types import NodeId


@pytest.fixture(scope="module")
def shop(command: Command) -> dict[str, str]:
    """A project with its first secret, and an app."""
    made = command("project", "create", "Shop", "--json").json
    app = command("app", "create", made["project"], "Site", "--origin", "https://shop.example", "--json").json
    return made | {"app": app["app"]}


class TestProject:
    def test_comes_with_one_secret_that_is_shown_once(self, command: Command, shop: dict[str, str]) -> None:
        assert is_secret(shop["secret"])
        shown = command("project", "show", shop["project"], "--json")
        assert shown.json["apps"] == [shop["app"]]
        assert shop["kid"] in shown.json["keys"]
        listed = command("key", "list", shop["project"], "--json")
        assert shop["secret"] not in shown.out + listed.out
        assert listed.json[-1]["ends_with"] == shop["secret"][-4:]

    def test_S6_is_listed_one_a_line_where_there_is_no_terminal(self, command: Command, shop: dict[str, str]) -> None:
        lines = command("project", "list").out.splitlines()
        assert [line.split("\t")[:3] for line in lines if shop["project"] in line] == [[shop["project"], "Shop", "no"]]

    def test_marked_as_test_has_secrets_that_say_so(self, command: Command, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        ran = command("project", "create", "Try", "--test", "--secret-file", str(file))
        assert ran.status == 0, ran.err
        assert "cgs_" not in ran.out
        assert file.read_text().startswith("cgs_test_")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_is_not_made_when_its_secret_could_go_nowhere(self, command: Command, tmp_path: Path) -> None:
        before = command("project", "list").out
        silent = command("project", "create", "Nowhere")
        broken = command("project", "create", "Nowhere", "--secret-file", str(tmp_path / "no" / "such"))
        assert (silent.status, broken.status) == (2, 2)
        assert "--secret-file" in silent.err
        assert command("project", "list").out == before


class TestApp:
    def test_origins_are_added_and_removed(self, command: Command, shop: dict[str, str]) -> None:
        added = command("app", "set", shop["app"], "--origin", "https://WWW.shop.example:443", "--json").json
        assert added["origins"] == ["https://shop.example", "https://www.shop.example"]
        ran = command(
            "app", "set", shop["app"], "--remove-origin", "https://www.shop.example", "--policy", "signed", "--json"
        )
        assert (ran.json["origins"], ran.json["policy"]) == (["https://shop.example"], "signed")

    def test_what_is_no_origin_is_a_mistake_of_usage(self, command: Command, shop: dict[str, str]) -> None:
        ran = command("app", "set", shop["app"], "--origin", "https://shop.example/path")
        assert ran.status == 2
        assert command("app", "set", "app_nobody", "--name", "x").status == 1


class TestToken:
    def test_is_signed_by_the_newest_secret(self, command: Command, shop: dict[str, str]) -> None:
        token = command("token", "mint", shop["app"], "u-1", "--name", "Ada").out.strip()
        claims = jwt.decode(token, shop["secret"], algorithms=["HS256"])
        assert (claims["external_id"], claims["name"]) == ("u-1", "Ada")
        assert claims["exp"] - claims["iat"] == 300
        assert jwt.get_unverified_header(token)["kid"] == shop["kid"]
        assert "token mint" in command("audit", "list", shop["project"]).out


class TestRegenerate:
    def test_replaces_one_secret_and_writes_the_new_one_where_it_is_wanted(
        self, command: Command, tmp_path: Path
    ) -> None:
        file = tmp_path / "secret"
        made = command("project", "create", "Night", "--secret-file", str(file), "--json").json
        project, old = made["project"], file.read_text()
        other = command("key", "add", project, "--name", "other", "--json").json
        unclear = command("key", "regenerate", project, "--yes", "--json")
        assert unclear.status == 2
        assert made["kid"] in unclear.err
        assert command("key", "regenerate", project, made["kid"], "--dry-run", "--json").json == []
        done = command("key", "regenerate", project, made["kid"], "--yes", "--secret-file", str(file), "--json").json
        assert done["sessions_ended"] == 0
        assert done["nodes"] == "0 of 0 nodes confirmed, 0 sessions ended"
        assert "secret" not in done
        assert file.read_text() != old
        states = {row["kid"]: row["state"] for row in command("key", "list", project, "--json").json}
        assert states == {done["kid"]: "active", other["kid"]: "active", made["kid"]: "revoked"}
        entries = command("audit", "list", project, "--json").json
        ours = [(entry["step"], entry["result"]) for entry in entries if entry["verb"] == "key regenerate"]
        assert ours == [("intent", ""), ("result", done["nodes"])]
        again = command("key", "revoke", project, made["kid"], "--yes", "--json")
        assert again.status == 0, "repeating is harmless"
        assert command("audit", "verify", "--json").status == 0

    def test_without_a_terminal_needs_yes(self, command: Command, shop: dict[str, str]) -> None:
        ran = command("key", "regenerate", shop["project"], "--json")
        assert ran.status == 2
        assert "--yes" in ran.err

    def test_S7_asks_on_a_terminal_and_takes_no_for_an_answer(self, command: Command, shop: dict[str, str]) -> None:
        before = command("key", "list", shop["project"]).out
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "chatgateway", "key", "regenerate", shop["project"]],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=command.environ,
        )
        os.close(theirs)
        shown = b""
        while b"Go on?" not in shown:
            shown += os.read(ours, 1024)
        os.write(ours, b"n\n")
        assert process.wait(timeout=30) == 1
        os.close(ours)
        assert b"0 connected sessions will end" in shown
        assert command("key", "list", shop["project"]).out == before

    async def test_is_a_failure_when_a_living_node_does_not_confirm(self, command: Command) -> None:
        made = command("project", "create", "Deaf", "--json").json
        async with opened(command.settings) as at:
            await Nodes(at.store).renew(NodeId("deaf-1"), 60_000, Report())
            ran = command("key", "regenerate", made["project"], "--yes", "--json")
            await Nodes(at.store).renew(NodeId("deaf-1"), 0, Report())
        assert ran.status == 1
        assert "deaf-1" in ran.err
        assert f"key revoke {made['project']} {made['kid']}" in ran.err
        assert '"secret": "cgs_live_' in ran.out, "the old one is dead, so the new one must be shown"


class TestAgent:
    def test_life(self, command: Command, shop: dict[str, str]) -> None:
        ran = command("agent", "add", "Maria", "--project", shop["project"], "--json", stdin="correct horse\n")
        assert ran.json["password"] is True
        assert command("agent", "add", "maria", "--project", shop["project"], stdin="correct horse\n").status == 1
        assert command("agent", "add", "Short", "--project", shop["project"], stdin="x\n").status == 1
        linked = command("agent", "add", "Lin", "--project", shop["project"], "--link", "--json").json
        assert linked["link"].startswith("http://127.0.0.1:8080/agent#login=cgl_")
        link = command("agent", "link", "Lin", "--json", CHATGATEWAY_PUBLIC_URL="https://chat.example").json["link"]
        assert link.startswith("https://chat.example/agent#login=cgl_")
        guessed = command("agent", "link", "Lin", "--json")
        assert "assumes that the gateway answers at http://127.0.0.1:8080" in guessed.err
        told = command("agent", "link", "Lin", "--json", "--public-url", "https://here.example/")
        assert told.json["link"].startswith("https://here.example/agent#login=cgl_")
        assert told.err == ""
        assert command("agent", "link", "Lin", "--public-url", "here.example").status == 2
        assert [row["name"] for row in command("agent", "list", shop["project"], "--json").json] == ["Lin", "Maria"]
        assert command("agent", "passwd", "Maria", "--yes", stdin="another horse\n").status == 0
        assert command("agent", "remove", "Maria", "--yes").status == 0
        assert command("agent", "remove", "Maria", "--yes").status == 1

    def test_of_an_unknown_project_is_refused(self, command: Command) -> None:
        ran = command("agent", "add", "Nobody", "--project", "prj_no", stdin="correct horse\n")
        assert ran.status == 1
        assert "prj_no" in ran.err


class TestAudit:
    def test_finds_what_was_altered(self, command: Command, shop: dict[str, str]) -> None:
        whole = command("audit", "verify", shop["project"], "--json").json
        assert whole[0]["verdict"] == "whole"
        head = whole[0]["head"]
        assert command("audit", "verify", shop["project"], "--head", head).status == 0
        cut = command("audit", "verify", shop["project"], "--head", f"{int(head.split(':')[0]) + 1}:00")
        assert cut.status == 1
        assert "cut" in cut.out
