"""``serve`` and ``demo`` as processes: they start, are operated from beside, and leave."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Command
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from chatgateway.cli.opened import opened
from chatgateway.core.conversation import new_ref
from chatgateway.protocol.frames import SUBPROTOCOL
from chatgateway.types import UnixMs


@contextmanager
def running(command: Command, *arguments: str, cwd: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run the command beside the test; whatever happens, it and the store that it started are gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "chatgateway", *arguments],
        env=command.environ,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
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


class Chat:
    """A visitor's socket, as plain as can be."""

    def __init__(self, open_until: ExitStack, port: int, app: str, token: str) -> None:
        address = f"ws://127.0.0.1:{port}/v1/ws"
        self._socket = open_until.enter_context(connect(address, subprotocols=[Subprotocol(SUBPROTOCOL)], proxy=None))
        self.welcome: dict[str, Any] = {}
        self._say(type="hello", ref="1", app=app, token=token)
        self.welcome = self._hear("welcome", "goodbye")

    def start(self, text: str) -> str:
        """Begin a conversation and return its id."""
        ref = new_ref(UnixMs(self.welcome["now"]), secrets.token_bytes(10))
        self._say(type="start", ref=ref, text=text)
        conversation: str = self._hear("ack")["conversation"]
        return conversation

    def close_code(self) -> int | None:
        """Read until the gateway closes, and return its code."""
        try:
            while True:
                self._socket.recv(timeout=30)
        except ConnectionClosed:
            return self._socket.close_code

    def _say(self, **frame: object) -> None:
        self._socket.send(json.dumps(frame))

    def _hear(self, *kinds: str) -> dict[str, Any]:
        while True:
            said = json.loads(self._socket.recv(timeout=30))
            for frame in said if isinstance(said, list) else [said]:
                assert frame["type"] != "error", frame
                if frame["type"] in kinds:
                    return frame


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


class TestPeople:
    async def test_are_listed_read_ended_and_kept_out(self, command: Command) -> None:
        made = command("project", "create", "People", "--json").json
        project = made["project"]
        other = command("project", "create", "Other", "--json").json["project"]
        app = command("app", "create", project, "Site", "--absent-origin", "--json").json["app"]
        with running(command, "serve", "--port", "0") as process, ExitStack() as sockets:
            port = listening_port(process)

            def signed_in(person: str) -> Chat:
                return Chat(sockets, port, app, command("token", "mint", app, person, "--name", "Ada").out.strip())

            ada = signed_in("ada")
            conversation = ada.start("hello \x1b[2J there")
            session, user = ada.welcome["session"], ada.welcome["user"]
            listed = command("session", "list", project, "--json").json
            assert [(row["session"], row["user"], row["kid"]) for row in listed] == [(session, user, made["kid"])]
            assert command("user", "list", project, "--json").json[0]["external_id"] == "ada"
            shown = command("user", "show", project, "ada", "--json").json
            assert (shown["user"], shown["conversations"]) == (user, [conversation])
            for whose in (conversation, user, "ada"):
                said = command("history", project, whose, "--json").json
                assert [(row["assurance"], row["kid"]) for row in said if row["text"]] == [("signed", made["kid"])]
            assert "\x1b" not in command("history", project, "ada").out
            assert command("history", other, conversation).status == 1, "it is another project's"
            foretold = command("key", "regenerate", project, "--dry-run", "--json").json
            assert [row["session"] for row in foretold] == [session]
            ended = command("session", "end", project, session, "--yes", "--json").json
            assert ended["sessions_ended"] == 1
            assert ada.close_code() == 4302
            async with opened(command.settings) as at:
                assert session in await at.sessions.marks(project, user), "what it still sends is refused"
            again = signed_in("ada")
            blocked = command("user", "block", project, "ada", "--yes", "--json").json
            assert blocked["sessions_ended"] == 1
            assert again.close_code() == 4403
            assert signed_in("ada").close_code() == 4403
            assert command("user", "unblock", project, "ada").status == 0
            assert "session" in signed_in("ada").welcome
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
        assert command("session", "list", project, "--json").json == []
        assert command("audit", "verify", project).status == 0

    def test_that_nobody_knows_are_an_error(self, command: Command) -> None:
        project = command("project", "create", "Empty", "--json").json["project"]
        assert command("history", project, "cnv_" + "0" * 22).status == 1
        assert command("user", "show", project, "nobody").status == 1
        assert command("session", "end", project, "ses_nobody", "--yes").status == 1


class TestDemo:
    @pytest.fixture
    def alone(self, tmp_path: Path) -> Command:
        return Command(tmp_path, tmp_path / "unused")

    def test_shows_everything_and_goes_on_where_it_was(self, alone: Command, tmp_path: Path) -> None:
        gateway, site = free_ports(2)
        flags = ("demo", "--port", str(gateway), "--site-port", str(site))
        projects: set[str] = set()
        for stop in (signal.SIGTERM, signal.SIGINT):
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
                os.killpg(demo.pid, stop)  # a terminal tells the whole group of processes
                assert demo.wait(timeout=30) == 0
        assert len(projects) == 1

    def test_without_its_site_leaves_with_status_3(self, alone: Command, tmp_path: Path) -> None:
        (gateway,) = free_ports(1)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            ran = alone("demo", "--port", str(gateway), "--site-port", port, "--data", str(tmp_path / "d"))
        assert ran.status == 3
