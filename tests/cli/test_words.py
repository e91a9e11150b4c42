"""What the command answers without any store: help, settings, and what went wrong in one sentence."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.cli.conftest import Command

from chatgateway import cli
from chatgateway.cli import NOUNS, root
from chatgateway.errors import DataDirectoryInUse, StoreRefused, StoreUnavailable
from chatgateway.store.embedded import EmbeddedStore

HIDDEN = "hunter2-hunter2-hunter2"


@pytest.fixture
def alone(tmp_path: Path) -> Command:
    """The command where there is no store yet."""
    return Command(tmp_path, tmp_path / "data")


def commands(group: click.Group = root, path: tuple[str, ...] = ()) -> list[tuple[str, click.Command]]:
    context = click.Context(group)
    found: list[tuple[str, click.Command]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found.append((" ".join((*path, name)), command))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


class TestHelp:
    def test_loads_none_of_the_nouns_and_nothing_heavy(self) -> None:
        """The budget is 150 ms; what would break it is an import."""
        script = (
            "import sys; from chatgateway.cli import _run; _run(['--help']);"
            "print(*(name for name in ('redis', 'starlette', 'uvicorn', 'structlog', 'rich', 'jwt', 'asyncio',"
            " 'cryptography', 'chatgateway.cli.key') if name in sys.modules), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stderr.strip() == ""
        assert all(noun in done.stdout for noun in NOUNS)

    @pytest.mark.parametrize(("name", "command"), commands(), ids=[name for name, _ in commands()])
    def test_of_every_verb_says_something(self, name: str, command: click.Command) -> None:
        assert len(inspect.cleandoc(command.help or "")) > 30, name

    def test_of_what_ends_sessions_says_now(self) -> None:
        asks = {name: command for name, command in commands() if any(one.name == "yes" for one in command.params)}
        assert asks.keys() >= {"key regenerate", "key revoke", "session end", "user block", "user erase"}
        assert asks.keys() >= {"agent remove", "agent passwd", "admin revoke"}
        assert all("NOW" in (command.help or "") for command in asks.values())

    def test_what_is_read_can_be_read_by_programs(self) -> None:
        nouns = {noun for noun, command in commands() if isinstance(command, click.Group)} | {"serve", "demo"}
        for name, command in commands():
            if name not in nouns:
                assert any(one.name == "as_json" for one in command.params), name

    def test_an_unknown_word_is_a_mistake_of_usage(self, alone: Command) -> None:
        ran = alone("projcet", "list")
        assert ran.status == 2
        assert "projcet" in ran.err


class TestCheck:
    def test_prints_what_is_in_force_and_hides_secrets(self, alone: Command) -> None:
        ran = alone("check", "--port", "9000", "--json", CHATGATEWAY_MASTER_KEY=HIDDEN, CHATGATEWAY_HOST="::1")
        assert (ran.json["port"], ran.json["host"]) == (9000, "::1")
        assert ran.json["master_key"] == "(hidden)"
        assert HIDDEN not in ran.out + ran.err

    def test_names_an_unknown_setting(self, alone: Command) -> None:
        ran = alone("check", CHATGATEWAY_PROT="1")
        assert ran.status == 2
        assert ran.err.count("\n") == 1
        assert "CHATGATEWAY_PROT" in ran.err
        assert "CHATGATEWAY_PORT" in ran.err

    def test_never_takes_a_secret_as_an_argument(self, alone: Command) -> None:
        ran = alone("check", "--master-key", HIDDEN)
        assert ran.status == 2
        assert "--master-key-file" in ran.err

    def test_takes_a_secret_from_a_file(self, alone: Command, tmp_path: Path) -> None:
        (tmp_path / "key").write_text(HIDDEN)
        ran = alone("check", "--master-key-file", str(tmp_path / "key"), "--json")
        assert ran.json["master_key"] == "(hidden)"


class TestStatus:
    def test_of_an_unreachable_store_is_4(self, alone: Command, tmp_path: Path) -> None:
        key = "cgm_" + "A" * 43
        url = f"unix://{tmp_path}/nobody.sock"
        ran = alone("project", "list", "--store-url", url, CHATGATEWAY_MASTER_KEY=key)
        assert ran.status == 4
        assert ran.err.startswith("chatgateway: the store cannot be reached")
        assert ran.err.count("\n") == 1

    def test_of_a_wrong_master_key_is_3(self, command: Command) -> None:
        ran = command("project", "list", CHATGATEWAY_MASTER_KEY="cgm_" + "A" * 43)
        assert ran.status == 3
        assert "master key" in ran.err
        assert ran.err.count("\n") == 1

    @pytest.mark.parametrize(
        ("error", "status"), [(DataDirectoryInUse("held"), 5), (StoreRefused("old"), 3), (StoreUnavailable("down"), 4)]
    )
    def test_follows_from_the_error(
        self,
        error: Exception,
        status: int,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
    ) -> None:
        async def start(*_arguments: object, **_options: object) -> None:
            raise error

        monkeypatch.setattr(EmbeddedStore, "start", start)
        (tmp_path / "something").touch()
        with pytest.raises(SystemExit) as caught:
            cli.main(["project", "list", "--data", str(tmp_path)])
        assert caught.value.code == status
        assert str(error) in capsys.readouterr().err

    def test_of_a_place_without_data_is_3_and_founds_none(self, command: Command, tmp_path: Path) -> None:
        """A typing error in --data must not leave a store behind."""
        for arguments in (("project", "list"), ("key", "list", "prj_1"), ("key", "generate-pair", "prj_1")):
            ran = command(*arguments, "--data", str(tmp_path / "dtaa"))
            assert (ran.status, ran.out) == (3, "")
            assert f"no data at {tmp_path / 'dtaa'} (did you mean --data?)" in ran.err
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("noun", ["app", "agent", "admin", "audit"])
    def test_of_a_list_of_an_unknown_project_is_1(self, command: Command, noun: str) -> None:
        ran = command(noun, "list", "prj_nobody")
        assert (ran.status, ran.out) == (1, "")
        assert ran.err == f"chatgateway: There is no project prj_nobody, in {command.data}.\n"

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (("agent", "link", "Nobody"), "There is no agent 'Nobody', in "),
            (("admin", "revoke", "adm_nobody", "--yes"), "There is no admin token adm_nobody, in "),
            (("token", "explain", "app_nobody"), "There is no such app; check the id in data-app. (in "),
        ],
    )
    def test_of_an_unknown_name_comes_with_a_sentence(
        self, command: Command, arguments: tuple[str, ...], sentence: str
    ) -> None:
        ran = command(*arguments)
        assert ran.status == 1
        assert ran.err.startswith(f"chatgateway: {sentence}{command.data}")

    def test_of_what_does_not_exist_is_1(self, command: Command) -> None:
        ran = command("project", "show", "prj_nobody")
        assert (ran.status, ran.out) == (1, "")
        assert "prj_nobody" in ran.err

    def test_is_0_when_the_reader_has_enough(self, command: Command) -> None:
        pipe = subprocess.run(
            f"{sys.executable} -m chatgateway serve --help | head -1",
            shell=True,
            env=command.environ,
            capture_output=True,
            text=True,
            check=True,
        )
        assert pipe.stderr == ""


def test_the_version_is_the_packages() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "chatgateway", "--version"], capture_output=True, text=True, check=True
    )
    assert json.dumps(done.stdout.strip()) == '"chatgateway, version 0.1.0"'
