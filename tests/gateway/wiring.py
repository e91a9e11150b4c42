"""A small application on our wire, on a loop and thread of its own, and a client that speaks in bytes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import queue
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from chatgateway.gateway.server import Server, build_config
from chatgateway.gateway.websocket import LIVE_EXTENSION, LiveSocket
from chatgateway.gateway.wire import Wire

TEXT, BINARY, CONT, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
PATIENCE_S = 20


class Recorder:
    """A listener that remembers. Every socket's events are in the order in which they came."""

    def __init__(self, live: LiveSocket, heard: queue.Queue[Any]) -> None:
        self.live = live
        self.heard = heard

    def on_text(self, data: bytes) -> None:
        assert type(data) is bytes
        if data == b"raise":
            raise ValueError("a bug in the listener")
        if data == b"echo":
            self.live.send_text(data)
        self.heard.put(("text", data))

    def on_writable(self) -> None:
        self.heard.put(("writable", None))

    def on_closed(self, code: int) -> None:
        self.heard.put(("closed", code))


class RawClient:
    """A peer that may do everything wrong."""

    def __init__(self, port: int, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE_S)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self.received = b""

    def upgrade_request(self, path: str, headers: str = "") -> bytes:
        key = base64.b64encode(b"0123456789abcdef").decode()
        return (
            f"GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
        ).encode()

    def upgrade(self, path: str = "/live", then: bytes = b"") -> RawClient:
        self.send(self.upgrade_request(path) + then)
        assert self.head().startswith(b"HTTP/1.1 101 ")
        return self

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_frame(self, opcode: int, payload: bytes = b"", fin: bool = True) -> None:
        self.send(masked(opcode, payload, fin))

    def head(self) -> bytes:
        while b"\r\n\r\n" not in self.received:
            more = self.socket.recv(65_536)
            assert more, f"ended before a head: {self.received!r}"
            self.received += more
        head, self.received = self.received.split(b"\r\n\r\n", 1)
        return head

    def _exactly(self, size: int) -> bytes:
        while len(self.received) < size:
            more = self.socket.recv(65_536)
            if not more:
                raise EOFError
            self.received += more
        taken, self.received = self.received[:size], self.received[size:]
        return taken

    def frame(self) -> tuple[int, bytes]:
        first, size = self._exactly(2)
        assert first & 0x80, "the gateway does not fragment"
        assert not size & 0x80, "a server does not mask"
        if size == 126:
            (size,) = struct.unpack("!H", self._exactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._exactly(8))
        return first & 0x0F, self._exactly(size)

    def close_frame(self) -> tuple[int, str]:
        """The next close frame, whatever comes before it."""
        while True:
            opcode, payload = self.frame()
            if opcode == CLOSE:
                return (struct.unpack("!H", payload[:2])[0] if payload else 1005), payload[2:].decode()

    def rest(self) -> bytes:
        """Everything until the peer ends."""
        while more := self.socket.recv(65_536):
            self.received += more
        return self.received

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()


def masked(opcode: int, payload: bytes = b"", fin: bool = True) -> bytes:
    """A client's frame."""
    mask = b"\x01\x02\x03\x04"
    first = opcode | (0x80 if fin else 0)
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, 0xFE, size)
    else:
        head = struct.pack("!BBQ", first, 0xFF, size)
    body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return head + mask + body


class WireServer:
    """The application, the server it runs on, and what its listeners heard."""

    def __init__(self, loop_factory: Callable[[], asyncio.AbstractEventLoop], wire: Wire) -> None:
        self.wire = wire
        self.heard: queue.Queue[Any] = queue.Queue()
        self.lives: queue.Queue[LiveSocket] = queue.Queue()
        self.mistakes: list[dict[str, Any]] = []
        self.uploads: queue.Queue[bytes] = queue.Queue()
        self.may_hand_over = threading.Event()
        self._clients: list[RawClient] = []
        self._ready = threading.Event()
        self._loop_factory = loop_factory
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)

    def _app(self) -> Starlette:
        async def live(websocket: WebSocket) -> None:
            await websocket.accept()
            self._hand_over(websocket)

        async def late(websocket: WebSocket) -> None:
            await websocket.accept()
            await asyncio.to_thread(self.may_hand_over.wait, PATIENCE_S)
            self._hand_over(websocket)

        async def echo(websocket: WebSocket) -> None:
            await websocket.accept()
            async for text in websocket.iter_text():
                await websocket.send_text(text)

        async def refuse(websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.close(4403, "forbidden")

        async def read_first(websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.receive_text()
            try:
                self._hand_over(websocket)
            except RuntimeError as error:
                await websocket.send_text(str(error))

        async def fail(websocket: WebSocket) -> None:
            await websocket.accept()
            raise ValueError("a bug in the endpoint")

        async def never(websocket: WebSocket) -> None:
            await websocket.receive()
            await asyncio.to_thread(self.may_hand_over.wait, PATIENCE_S)

        async def hello(request: Request) -> PlainTextResponse:
            return PlainTextResponse("hello")

        async def upload(request: Request) -> PlainTextResponse:
            self.uploads.put(await request.body())
            return PlainTextResponse("taken")

        async def large(request: Request) -> PlainTextResponse:
            return PlainTextResponse("x" * 20_000_000)

        @contextlib.asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            yield

        sockets = {
            "/live": live,
            "/late": late,
            "/echo": echo,
            "/refuse": refuse,
            "/read-first": read_first,
            "/fail": fail,
            "/never": never,
        }
        return Starlette(
            routes=[
                Route("/", hello),
                Route("/upload", upload, methods=["POST"]),
                Route("/large", large),
                *(WebSocketRoute(path, endpoint) for path, endpoint in sockets.items()),
            ],
            lifespan=lifespan,
        )

    def _hand_over(self, websocket: WebSocket) -> None:
        live: LiveSocket = websocket.scope["extensions"][LIVE_EXTENSION]
        live.hand_over(Recorder(live, self.heard))
        self.lives.put(live)

    def _run(self) -> None:
        async def main() -> None:
            self.loop = asyncio.get_running_loop()
            self.loop.set_exception_handler(lambda loop, context: self.mistakes.append(context))
            config = build_config(
                self._app(),
                wire=self.wire,
                host="127.0.0.1",
                port=0,
                message_max_bytes=65_536,
                shutdown_s=2,
                trusted_proxies=("127.0.0.1",),
            )
            self.server = Server(config)
            self.port = await self.server.bind()
            serving = asyncio.create_task(self.server.serve())
            while not self.server.started and not serving.done():
                await asyncio.sleep(0.001)
            self._ready.set()
            await serving

        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            runner.run(main())

    def client(self, receive_buffer: int | None = None) -> RawClient:
        client = RawClient(self.port, receive_buffer)
        self._clients.append(client)
        return client

    def live(self, receive_buffer: int | None = None) -> tuple[RawClient, LiveSocket]:
        """A peer whose socket was handed over, and that socket."""
        client = self.client(receive_buffer).upgrade()
        return client, self.lives.get(timeout=PATIENCE_S)

    def next(self) -> tuple[str, Any]:
        """What a listener heard next."""
        return self.heard.get(timeout=PATIENCE_S)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call on the loop's thread and return what it returned."""

        async def call() -> Any:
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(PATIENCE_S)

    def forget(self) -> None:
        """Let every client go, and begin anew for the next test."""
        self.may_hand_over.set()
        for client in self._clients:
            client.close()
        self._clients.clear()
        while self.call(lambda: len(self.server.server_state.connections) + len(self.server.server_state.tasks)):
            pass
        self.may_hand_over = threading.Event()
        self.heard, self.lives, self.uploads, self.mistakes = queue.Queue(), queue.Queue(), queue.Queue(), []

    def stop(self) -> None:
        self.may_hand_over.set()
        for client in self._clients:
            client.close()
        self.loop.call_soon_threadsafe(self.server.drain)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
