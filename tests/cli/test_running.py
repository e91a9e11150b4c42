"""``serve`` and ``demo`` as processes: they start, are operated from beside, and leave."""

from __future__ import annotations

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cli.conftest import Command


@contextmanager
def running(command: Command, *arguments: str, cwd: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run the command beside the test; it must have left by the end, or is killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "chatgateway", *arguments],
        env=command.environ,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def listening_port(process: subprocess.Popen[str]) -> int:
    """Return the port that a gateway says it listens on."""
    assert process.stderr is not None
    for line in process.stderr:
        said = json.loads(line)
        if said["event"] == "gateway.listening":
            return int(said["port"])
    raise AssertionError("the gateway ended without listening")


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


class TestServe:
    def test_is_seen_by_the_commands_beside_it_and_leaves_on_sigterm(self, command: Command) -> None:
        made = command("project", "create", "Served", "--json").json
        with running(command, "serve", "--port", "0") as first, running(command, "serve", "--port", "0") as second:
            ports = {listening_port(first), listening_port(second)}
            assert len(ports) == 2
            for port in ports:
                assert urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz").status == 200
            done = command("key", "regenerate", made["project"], "--yes", "--json").json
            assert done["nodes"] == "2 of 2 nodes confirmed, 0 sessions ended"
            for process in (first, second):
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=30) == 0

    def test_on_a_port_that_is_taken_says_so_with_status_3(self, command: Command) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            ran = command("serve", "--port", str(taken.getsockname()[1]))
        assert ran.status == 3
        assert ran.err.startswith("chatgateway: port ")
        assert ran.err.count("\n") == 1

    def test_without_its_store_ends_with_status_4(self, command: Command, tmp_path: Path) -> None:
        key = tmp_path / "key"
        key.write_text("cgm_" + "A" * 43)
        url = f"unix://{tmp_path}/nobody.sock"
        ran = command("serve", "--port", "0", "--store-url", url, "--master-key-file", str(key))
        assert ran.status == 4
        assert ran.err.count("\n") == 1


class TestDemo:
    @pytest.fixture
    def alone(self, tmp_path: Path) -> Command:
        return Command(tmp_path, tmp_path / "unused")

    def test_shows_everything_and_goes_on_where_it_was(self, alone: Command, tmp_path: Path) -> None:
        gateway, site = free_ports(2)
        flags = ("demo", "--port", str(gateway), "--site-port", str(site))
        projects: set[str] = set()
        for _ in range(2):
            with running(alone, *flags, cwd=tmp_path) as demo:
                assert demo.stdout is not None
                lines = [demo.stdout.readline() for _ in range(10)]
                shown = "".join(lines)
                assert str(tmp_path / ".demo") in lines[1]
                assert f"http://localhost:{site}/" in shown
                assert re.search(rf"http://127\.0\.0\.1:{gateway}/agent#login=cgl_\w+", shown)
                page = urllib.request.urlopen(f"http://localhost:{site}/").read().decode()
                assert f"http://127.0.0.1:{gateway}/widget.js" in page
                secret = tmp_path / ".demo" / "demo-site.secret"
                before = secret.read_text()
                copied = [*shlex.split(lines[-1]), "--yes"]
                done = subprocess.run(
                    copied, cwd=tmp_path, env=alone.environ, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, done.stderr
                assert "1 of 1 nodes confirmed" in done.stdout
                assert secret.read_text() != before
                assert secret.read_text().strip() not in done.stdout
                projects.add(copied[copied.index("regenerate") + 1])
                demo.send_signal(signal.SIGTERM)
                assert demo.wait(timeout=30) == 0
        assert len(projects) == 1

    def test_without_its_site_leaves_with_status_3(self, alone: Command, tmp_path: Path) -> None:
        (gateway,) = free_ports(1)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            ran = alone("demo", "--port", str(gateway), "--site-port", port, "--data", str(tmp_path / "d"))
        assert ran.status == 3
