"""The client's own tests run in node: nothing of the product needs it, so where it is missing they are skipped."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NODE_OLDEST = 20


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: the tests of the browser's client were not run")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(re.sub(r"^v(\d+).*", r"\1", version.strip())) < NODE_OLDEST:
        pytest.skip(f"node {version.strip()} is too old: the tests of the browser's client were not run")
    return node


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
