"""How the process listens and stops: real processes, real signals, real ports."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from tests.gateway.wiring import CLOSE, RawClient, WireServer

from chatgateway.gateway.server import CannotListen, PortInUse, Server, _cannot_listen, bind, build_config
from chatgateway.gateway.wire import Wire

PROGRAM = """
import asyncio, sys, contextlib
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from chatgateway.close_codes import CloseCode
from chatgateway.gateway.server import Server, build_config
from chatgateway.gateway.websocket import LIVE_EXTENSION
from chatgateway.gateway.wire import Wire

lives = []

class Listener:
    def on_text(self, data): pass
    def on_writable(self): pass
    def on_closed(self, code): print("closed", code, flush=True)

async def live(websocket):
    await websocket.accept()
    live = websocket.scope["extensions"][LIVE_EXTENSION]
    live.hand_over(Listener())
    lives.append(live)

@contextlib.asynccontextmanager
async def lifespan(app):
    if MODE == "fails-to-start":
        raise ValueError("no store")
    yield
    print("lifespan over", flush=True)

async def on_drain():
    print("draining", flush=True)
    for live in lives:
        live.close(CloseCode.DRAINING)
    if MODE == "drain-hangs":
        await asyncio.Event().wait()
    if MODE == "drain-fails":
        raise ValueError("a bug in the drain")
    while server.server_state.connections:
        await asyncio.sleep(0.01)

MODE = sys.argv[1]
app = Starlette(routes=[WebSocketRoute("/live", live)], lifespan=lifespan)
config = build_config(app, wire=Wire(), host="127.0.0.1", port=0, message_max_bytes=65536, shutdown_s=1)
server = Server(config, on_drain)

async def main():
    await server.bind()
    print(server.port, flush=True)
    await server.serve()
    print("after serving", flush=True)

import uvloop
with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
    runner.run(main())
"""


class Program:
    """The server as a process of its own."""

    def __init__(self, mode: str) -> None:
        self.clients: list[RawClient] = []
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), mode],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = int(self.line() or 0)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def live(self) -> RawClient:
        self.clients.append(RawClient(self.port))
        return self.clients[-1].upgrade()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    started: list[Program] = []
    yield started
    for program in started:
        for client in program.clients:
            client.close()
        program.process.kill()
        program.process.communicate()


@pytest.fixture
def run(programs: list[Program]) -> Any:
    def run(mode: str) -> Program:
        program = Program(mode)
        programs.append(program)
        return program

    return run


class TestSignal:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_drains_with_our_code_and_ends_with_status_0(self, run: Any, number: int) -> None:
        program = run("drains")
        clients = [program.live() for _ in range(3)]
        program.signal(number)
        for client in clients:
            assert client.close_frame() == (4200, "draining"), "and not uvicorn's 1012"
            client.send_frame(CLOSE, struct.pack("!H", 4200))
            client.close()
        status, out, err = program.end()
        assert (status, out.split("\n")[:-1]) == (
            0,
            ["draining", "closed 4200", "closed 4200", "closed 4200", "lifespan over", "after serving"],
        )
        assert "Traceback" not in err

    def test_twice_cuts_the_drain_short(self, run: Any) -> None:
        program = run("drain-hangs")
        client = program.live()
        program.signal(signal.SIGTERM)
        assert client.close_frame() == (4200, "draining")
        program.signal(signal.SIGTERM)
        status, out, err = program.end()
        assert status == 0
        assert out.split("\n")[-3:-1] == ["lifespan over", "after serving"]
        assert "Traceback" not in err
        client.close()

    def test_whose_drain_fails_still_ends_and_says_so(self, run: Any) -> None:
        program = run("drain-fails")
        client = program.live()
        program.signal(signal.SIGTERM)
        client.close_frame()
        client.close()
        status, _, err = program.end()
        assert status == 1
        assert "a bug in the drain" in err


def test_uvicorn_takes_no_signal() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with Server(build_config(None, wire=Wire(), host="127.0.0.1", port=0, message_max_bytes=1)).capture_signals():
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_an_application_that_does_not_start_ends_with_status_3(run: Any) -> None:
    program = run("fails-to-start")
    status, out, _ = program.end()
    assert (status, out) == (3, "")


class TestBind:
    async def test_to_port_0_tells_the_real_port(self) -> None:
        server = Server(build_config(None, wire=Wire(), host="127.0.0.1", port=0, message_max_bytes=1))
        with pytest.raises(RuntimeError, match="not bound"):
            _ = server.port
        port = await server.bind()
        assert port == server.port == await server.bind() != 0
        server._listening.close()  # type: ignore[union-attr]

    async def test_to_a_port_in_use_says_which(self) -> None:
        first = await bind("127.0.0.1", 0)
        port = first.getsockname()[1]
        with pytest.raises(PortInUse, match=f"port {port} on 127.0.0.1 is in use"):
            await bind("127.0.0.1", port)
        first.close()

    @pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "999.1.1.1"])
    async def test_to_an_address_of_somebody_else_says_so(self, host: str) -> None:
        with pytest.raises(CannotListen, match="is not an address of this machine"):
            await bind(host, 0)

    def test_without_permission_says_so(self) -> None:
        refused = _cannot_listen("127.0.0.1", 80, PermissionError(errno.EACCES, "Permission denied"))
        assert str(refused) == "no permission to listen on port 80; choose one above 1023"

    async def test_to_a_name_of_two_addresses_takes_the_older_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def both(host: str, port: int, **hints: int) -> list[Any]:
            return [
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            ]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
        listening = await bind("localhost", 0)
        assert listening.getsockname()[0] == "127.0.0.1"
        listening.close()

    async def test_before_serving_fails_before_the_application_starts(self) -> None:
        taken = await bind("127.0.0.1", 0)
        port = taken.getsockname()[1]
        server = Server(build_config(None, wire=Wire(), host="127.0.0.1", port=port, message_max_bytes=1))
        with pytest.raises(PortInUse):
            await server.serve()
        assert not server.started
        taken.close()


def test_drained_twice_in_a_row_ends_with_whom_it_finds_told_1012(start_wire: Any) -> None:
    wired: WireServer = start_wire()
    client, _ = wired.live()
    wired.call(wired.server.drain)
    assert client.close_frame()[0] == 1012
    client.close()


def test_the_configuration_is_ours() -> None:
    config = build_config(None, wire=Wire(), host="127.0.0.1", port=0, message_max_bytes=1_000)
    assert config.ws_max_size == 1_000
    assert config.ws_per_message_deflate is False
    assert config.ws_ping_interval is None
    assert config.timeout_graceful_shutdown == 10
    assert (config.access_log, config.server_header, config.proxy_headers) == (False, False, False)
    assert asyncio.iscoroutinefunction(Server.on_drain)
