"""dev.py installs when it must, runs everything, and never lets a test be left out unseen."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


class Recorder:
    """Takes the place of ``run``: notes the commands, and fails those that hold ``failing``."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.failing = "nothing"

    def __call__(self, command: list[str | Path]) -> bool:
        self.commands.append(" ".join(map(str, command)))
        return self.failing not in self.commands[-1]


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """dev.py in an empty clone of its own."""
    found = importlib.util.spec_from_file_location("dev", ROOT / "dev.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name, value in {
        "ROOT": tmp_path,
        "VENV": tmp_path / ".venv",
        "BIN": tmp_path / ".venv" / "bin",
        "STAMP": tmp_path / ".venv" / "installed.txt",
    }.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(module, "may_apt", lambda: False)
    monkeypatch.setattr(module, "works", lambda _command: True)
    monkeypatch.delenv("CI", raising=False)
    return module


@pytest.fixture
def ran(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(dev, "run", recorder)
    return recorder


class TestInstall:
    def test_makes_the_environment_and_installs_once(self, dev: ModuleType, ran: Recorder) -> None:
        assert dev.install("demo")
        assert ran.commands[0].startswith(f"{sys.executable} -m venv")
        assert ran.commands[1].endswith("-e .")
        ran.commands.clear()
        assert dev.install("demo")
        assert ran.commands == []

    def test_adds_what_tests_need_and_then_has_what_the_demo_needs(self, dev: ModuleType, ran: Recorder) -> None:
        assert dev.install("demo")
        assert dev.install("test")
        assert ran.commands[-1].endswith("-e .[test]")
        before = len(ran.commands)
        assert dev.install("demo")
        assert len(ran.commands) == before

    def test_installs_again_when_the_project_file_changed(self, dev: ModuleType, ran: Recorder) -> None:
        assert dev.install("test")
        (dev.ROOT / "pyproject.toml").write_text("[project]\nname = 'x'\n")
        ran.commands.clear()
        assert dev.install("demo")
        assert ran.commands[-1].endswith("-e .[test]"), "what was there for the tests stays"

    def test_that_failed_is_tried_again(self, dev: ModuleType, ran: Recorder) -> None:
        ran.failing = "pip install"
        assert not dev.install("demo")
        ran.failing = "nothing"
        assert dev.install("demo")

    def test_without_venv_says_in_one_line_what_is_missing(
        self, dev: ModuleType, ran: Recorder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(dev, "works", lambda _command: False)
        assert not dev.install("demo")
        assert "apt-get install python3-venv" in capsys.readouterr().err
        assert ran.commands == []

    def test_without_venv_as_root_on_debian_brings_it(
        self, dev: ModuleType, ran: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = iter([False, True])
        monkeypatch.setattr(dev, "works", lambda _command: next(answers))
        monkeypatch.setattr(dev, "may_apt", lambda: True)
        monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
        assert dev.install("demo")
        assert any(command.endswith("install -y --no-install-recommends python3-venv") for command in ran.commands)


class TestTests:
    def test_in_a_browser_are_a_run_of_their_own(
        self, dev: ModuleType, ran: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dev.shutil, "which", lambda name: f"/usr/bin/{name}")
        assert all(passed for _, passed in dev.tests())
        assert [command.partition("pytest ")[2] for command in ran.commands] == [
            "-m not browser",
            "-m browser tests/web",
        ]

    def test_without_a_browser_are_left_out_aloud(
        self, dev: ModuleType, ran: Recorder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(dev.shutil, "which", lambda _name: None)
        assert dev.verdict(dev.tests()) == 0
        assert "NOT RUN" in capsys.readouterr().out
        assert len(ran.commands) == 1

    def test_without_a_browser_fail_where_nobody_looks(
        self, dev: ModuleType, ran: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dev.shutil, "which", lambda _name: None)
        monkeypatch.setenv("CI", "true")
        assert dev.verdict(dev.tests()) == 1

    def test_as_root_on_debian_bring_a_browser_and_php(
        self, dev: ModuleType, ran: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dev.shutil, "which", lambda _name: None)
        monkeypatch.setattr(dev, "may_apt", lambda: True)
        dev.tests()
        brought = [command.rpartition(" ")[2] for command in ran.commands if " install " in command]
        assert brought == ["php-cli", "chromium"]
        assert ran.commands.index(next(one for one in ran.commands if "php-cli" in one)) < ran.commands.index(
            next(one for one in ran.commands if "not browser" in one)
        )

    def test_all_run_although_one_failed(
        self, dev: ModuleType, ran: Recorder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ran.failing = "ruff check"
        ran.commands.clear()
        steps = dev.checks()
        assert len(ran.commands) == len(steps) == 3
        assert dev.verdict(steps) == 1
        assert "failed: ruff check" in capsys.readouterr().err
