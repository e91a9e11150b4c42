"""The people that a project knows, as an operator types: brought in, found, corrected, given their data, forgotten."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Command

ADA: dict[str, Any] = {
    "external_id": "ada",
    "name": "Ada Lovelace",
    "email": "ada@shop.example",
    "email_proved": True,
    "groups": ["7"],
    "fields": {"plan": "gold"},
}


@pytest.fixture(scope="module")
def project(command: Command) -> str:
    """A project with two people."""
    made: str = command("project", "create", "People shop", "--json").json["project"]
    ran = command("user", "import", made, "-", "--json", stdin=lines(ADA, {"external_id": "bob", "name": "Bob"}))
    answer = ran.json
    assert {name: answer[name] for name in ("created", "known", "failed", "lines")} == {
        "created": 2, "known": 0, "failed": 0, "lines": 2,
    }  # fmt: skip
    assert [(one["line"], one["external_id"]) for one in answer["people"]] == [(1, "ada"), (2, "bob")]
    assert all(one["user"].startswith("usr_") for one in answer["people"])
    return made


def lines(*people: object) -> str:
    return "".join(json.dumps(person) + "\n" for person in people)


class TestImport:
    def test_again_is_harmless_and_says_how_it_went(self, command: Command, project: str, tmp_path: Path) -> None:
        file = tmp_path / "people.jsonl"
        file.write_text(lines(ADA))
        ran = command("user", "import", project, str(file), "--json")
        assert (ran.json["created"], ran.json["known"], ran.json["errors"]) == (0, 1, [])
        assert "1 lines: 0 created, 1 known before, 0 failed" in ran.err

    def test_reports_bad_lines_by_number_and_fails_at_the_end(self, command: Command, project: str) -> None:
        bad = "not json\n" + lines({"external_id": "carol"}, {"external_id": 7}, {"external_id": "x", "role": "admin"})
        ran = command("user", "import", project, "-", "--json", stdin=bad)
        assert ran.status == 1
        assert json.loads(ran.out)["created"] == 1
        errors = json.loads(ran.out)["errors"]
        assert [one["line"] for one in errors] == [1, 3, 4]
        assert all(one["sentence"].endswith(".") for one in errors)
        reported = [line.partition(":")[0] for line in ran.err.splitlines() if line.startswith("line ")]
        assert reported == ["line 1", "line 3", "line 4"]
        assert command("user", "show", project, "carol").status == 0

    def test_without_a_project_or_a_file_is_a_mistake(self, command: Command, project: str) -> None:
        assert command("user", "import", "prj_none", "-").status == 1
        assert command("user", "import", project, "/no/such/file").status == 2


class TestShow:
    def test_says_all_that_is_known_and_what_is_locked(self, command: Command, project: str) -> None:
        shown = command("user", "show", project, "ada", "--json").json
        assert (shown["name"], shown["email"], shown["email_proved"]) == ("Ada Lovelace", "ada@shop.example", True)
        assert shown["own_groups"] == ["7"]
        assert (shown["groups"], shown["fields"]) == (["1", "2", "7"], {"plan": "gold"})
        assert {"name", "email", "groups"} <= set(shown["signed"])
        assert "external_id ada" in shown["identifiers"]


class TestSearch:
    @pytest.mark.parametrize("prefix", ["lovel", "ADA", "ada@shop"])
    def test_finds_by_the_beginning_of_a_word(self, command: Command, project: str, prefix: str) -> None:
        (row,) = command("user", "search", project, prefix, "--json").json
        assert row["external_id"] == "ada"

    def test_finds_nobody_by_the_middle_of_one(self, command: Command, project: str) -> None:
        assert command("user", "search", project, "ovelace", "--json").json == []


class TestEdit:
    def test_leaves_what_is_locked_and_says_so(self, command: Command, project: str) -> None:
        ran = command("user", "edit", project, "ada", "--name", "Eve", "--organization", "Engines", "--json")
        assert (ran.json["name"], ran.json["organization"], ran.json["locked"]) == ("Ada Lovelace", "Engines", ["name"])
        assert "name" in ran.err
        locked = command("user", "edit", project, "ada", "--name", "Eve")
        assert (locked.status, "vouches for it: name" in locked.err) == (1, True), "nothing was changed"


class TestExport:
    def test_is_one_document(self, command: Command, project: str) -> None:
        document = command("user", "export", project, "ada").json
        assert document["person"]["name"] == "Ada Lovelace"
        assert "bob" not in json.dumps(document)

    def test_goes_into_a_file_that_nobody_else_reads(self, command: Command, project: str, tmp_path: Path) -> None:
        file = tmp_path / "ada.json"
        ran = command("user", "export", project, "ada", "--file", str(file), "--json")
        assert ran.json["file"] == str(file)
        assert "Lovelace" not in ran.out
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(file.read_text())["person"]["external_id"] == "ada"

    def test_of_nobody_leaves_no_file(self, command: Command, project: str, tmp_path: Path) -> None:
        file = tmp_path / "nobody.json"
        assert command("user", "export", project, "nobody", "--file", str(file)).status == 1
        assert list(tmp_path.iterdir()) == []


class TestErase:
    def test_asks_and_then_forgets(self, command: Command, project: str) -> None:
        command("user", "import", project, "-", stdin=lines({"external_id": "dora", "name": "Dora"}))
        user = command("user", "show", project, "dora", "--json").json["user"]
        unasked = command("user", "erase", project, "dora")
        assert unasked.status == 2
        assert "--yes" in unasked.err
        for verb in ("erase", "block"):
            rehearsed = command("user", verb, project, "dora", "--dry-run")
            assert rehearsed.status == 0
            assert "0 connected sessions would end" in rehearsed.err
        assert command("user", "show", project, "dora", "--json").json["blocked"] is False
        ran = command("user", "erase", project, "dora", "--yes", "--json")
        assert (ran.json["user"], ran.json["nodes_silent"]) == (user, [])
        assert "for ever" in ran.err
        assert command("user", "show", project, "dora").status == 1
        assert command("user", "search", project, "dora", "--json").json == []
        assert command("user", "erase", project, user, "--yes").status == 0, "repeating is harmless"
        assert "dora" not in command("audit", "list", project, "--json").out.lower()
        assert command("user", "erase", project, "nobody", "--yes").status == 1


class TestIdentifiers:
    def test_are_let_go_one_by_one(self, command: Command, project: str) -> None:
        command("user", "import", project, "-", stdin=lines({"external_id": "fay"}))
        user = command("user", "show", project, "fay", "--json").json["user"]
        ran = command("user", "forget-identifier", project, user, "external_id", "fay", "--json")
        assert "external_id fay" not in ran.json["identifiers"]
        assert command("user", "show", project, "fay").status == 1
        assert command("user", "forget-identifier", project, user, "nickname", "fay").status == 2

    def test_in_conflict_are_listed(self, command: Command, project: str) -> None:
        assert command("user", "conflicts", project, "--json").json == []

    def test_of_an_adoption_that_never_was_are_refused(self, command: Command, project: str) -> None:
        ran = command("user", "unadopt", project, "usr_" + "0" * 20)
        assert ran.status == 1
        assert ran.err.count("\n") == 1


class TestProjectAndApp:
    def test_are_set(self, command: Command, project: str) -> None:
        assert command("project", "set", project, "--identify-by-email", "--json").json["identify_by_email"] is True
        assert command("project", "set", project, "--name", " ").status == 1
        app = command("app", "create", project, "Site", "--policy-reported", "signed", "--json")
        assert "no page may embed it yet" in app.err
        app = app.json
        assert (app["policy"], app["policy_reported"], app["adoption"]) == ("anyone", "signed", "ask")
        ran = command("app", "set", app["app"], "--adoption", "carry_over", "--one-time-tokens", "--json")
        assert (ran.json["adoption"], ran.json["one_time_tokens"]) == ("carry_over", True)
        assert "adopts unasked" in ran.err
        silent = command(
            "app", "set", app["app"], "--origin", "https://shop.example", "--adoption", "never",
            "--policy-reported", "none", "--require-expiry", "report", "--json",
        )  # fmt: skip
        assert (silent.json["policy_reported"], silent.json["require_expiry"]) == ("", "report")
        assert silent.err == ""
        asking = command("app", "set", app["app"], "--policy", "email", "--remove-origin", "https://other.example")
        assert "no mail server is set here" in asking.err
        assert "https://other.example was not on the list" in asking.err
        assert command("app", "set", app["app"], "--policy-reported", "anyone").status == 2
        assert command("app", "report", app["app"], "--json").json == []
        assert command("app", "report", project).status == 0
        assert command("app", "report", "app_none").status == 1


class TestAdmin:
    def test_life(self, command: Command, project: str, tmp_path: Path) -> None:
        file = tmp_path / "token"
        made = command("admin", "create", "server", "--project", project, "--secret-file", str(file), "--json").json
        token = file.read_text().strip()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert token.startswith("cga_")
        assert (made["projects"], made["ends_with"]) == ([project], token[-4:])
        shown = command("admin", "create", "console", "--json").json
        assert shown["token"].startswith("cga_")
        assert shown["projects"] == "all"
        listed = command("admin", "list", "--json")
        assert {row["admin"] for row in listed.json} == {made["admin"], shown["admin"]}
        assert token not in listed.out
        assert "nothing was changed" in command("admin", "revoke", made["admin"], "--dry-run").err
        assert shown["token"] not in listed.out
        assert command("admin", "revoke", made["admin"]).status == 2, "it asks, and there is no terminal"
        done = command("admin", "revoke", made["admin"], "--yes", "--json").json
        assert done["nodes"] == "0 of 0 nodes confirmed, 0 sessions ended"
        assert command("admin", "revoke", made["admin"], "--yes").status == 0, "repeating is harmless"
        everywhere = command("admin", "revoke", shown["admin"], "--yes", "--json").json
        assert everywhere["revoked_at"]
        assert all(row["revoked_at"] for row in command("admin", "list", "--json").json)
        assert "admin revoke" in command("audit", "list", project).out
        assert "admin revoke" in command("audit", "list").out

    def test_is_not_made_for_an_unknown_project_or_to_go_nowhere(self, command: Command) -> None:
        before = command("admin", "list").out
        assert command("admin", "create", "x", "--project", "prj_none", "--json").status == 1
        assert command("admin", "create", "x").status == 2
        assert command("admin", "revoke", "adm_none", "--yes").status == 1
        assert command("admin", "list").out == before
