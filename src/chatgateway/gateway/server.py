"""How the process listens, and how it stops: signals are ours, nobody is dropped by surprise, and the status is honest.

uvicorn answers SIGTERM by closing every socket with 1012 and then raises the signal again. Here the first signal starts
a drain (``on_drain``), which closes sockets as it sees fit; only when it is done does uvicorn stop, and finds nobody. A
second signal cuts the drain short and waits for nobody, but the application still ends in order. Both end with status
0, because being told to stop is no failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib.util
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import uvicorn

from chatgateway.errors import SettingsError
from chatgateway.gateway.http import HttpSocket
from chatgateway.gateway.upgrade import UpgradeSocket
from chatgateway.gateway.wire import Wire

BACKLOG = 2_048
"""Connections the kernel holds until we accept them: a node's sockets come back all at once after a deploy."""

STOPPING_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class CannotListen(SettingsError):
    """The address cannot be listened on. ``str(error)`` says why and what to do; the exit status is 3."""

    exit_code = 3


class PortInUse(CannotListen):
    """Somebody else listens there already."""


class WireConfig(uvicorn.Config):
    """uvicorn's configuration, which is all that it hands to a connection, with our wire on it."""

    wire: Wire


def build_config(
    app: Any,
    *,
    wire: Wire,
    host: str,
    port: int,
    message_max_bytes: int,
    shutdown_s: int = 10,
    trusted_proxies: tuple[str, ...] = (),
    keep_alive_s: int = 5,
) -> WireConfig:
    """Return uvicorn's configuration for our wire.

    ``shutdown_s`` is for what is still running after the drain. ``trusted_proxies`` are the addresses whose
    X-Forwarded-For is believed; from anybody else it is ignored.
    """
    config = WireConfig(
        app,
        host=host,
        port=port,
        loop="uvloop" if importlib.util.find_spec("uvloop") else "asyncio",
        http=HttpSocket,
        ws=UpgradeSocket,
        ws_max_size=message_max_bytes,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        ws_ping_timeout=None,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=list(trusted_proxies),
        backlog=BACKLOG,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=shutdown_s,
        interface="asgi3",
    )
    config.wire = wire
    return config


async def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to ``host`` and ``port``; port 0 takes a free one.

    Raises PortInUse or CannotListen, with a sentence for the operator.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise CannotListen(f"{host} is not an address of this machine; check the host setting") from error
    # "localhost" is two addresses; browsers and probes that know only one of them know the older one.
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host in ("", "::") else 1)
        listening.bind(address)
        # Now, and not when serving starts: two processes may bind the same port, but only one may listen.
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise _cannot_listen(host, port, error) from error
    except BaseException:
        listening.close()
        raise
    return listening


def _cannot_listen(host: str, port: int, error: OSError) -> CannotListen:
    match error.errno:
        case errno.EADDRINUSE:
            return PortInUse(f"port {port} on {host} is in use; stop the other process or choose another port")
        case errno.EACCES:
            return CannotListen(f"no permission to listen on port {port}; choose one above 1023")
        case errno.EADDRNOTAVAIL:
            return CannotListen(f"{host} is not an address of this machine; check the host setting")
        case _:
            return CannotListen(f"cannot listen on {host} port {port}: {error.strerror}")


class Server(uvicorn.Server):
    """uvicorn's server with our signals and our end.

    ``on_drain`` may be given or overridden. It is awaited once, after the first signal or ``drain()``, while the server
    still accepts and answers (``/readyz`` says no meanwhile, if the drain makes it).
    """

    config: WireConfig

    def __init__(self, config: WireConfig, on_drain: Callable[[], Awaitable[None]] | None = None) -> None:
        super().__init__(config)
        self._on_drain = on_drain
        self._listening: socket.socket | None = None
        self._draining: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that is really listened on, also when 0 was asked for. Raises RuntimeError before ``bind``."""
        if self._listening is None:
            raise RuntimeError("the server is not bound yet")
        return int(self._listening.getsockname()[1])

    @property
    def draining(self) -> bool:
        """Whether it was told to stop."""
        return self._draining is not None

    async def bind(self) -> int:
        """Take the port before anything else starts, and return it. Raises PortInUse or CannotListen."""
        if self._listening is None:
            self._listening = await bind(self.config.host, self.config.port)
        return self.port

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until drained.

        Raises PortInUse or CannotListen before the application starts; SystemExit(3) when it fails to start.
        """
        if sockets is None:
            await self.bind()
            assert self._listening is not None
            sockets = [self._listening]
        loop = asyncio.get_running_loop()
        owned = self._take_signals(loop)
        try:
            await super().serve(sockets)
        finally:
            for number in owned:
                loop.remove_signal_handler(number)
            if self._draining is not None:
                self._draining.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._draining
            self.config.wire.wheel.stop()
            for listening in sockets:
                listening.close()

    async def on_drain(self) -> None:
        """Close what is open, with whatever code is right. The default does what was given to the constructor."""
        if self._on_drain is not None:
            await self._on_drain()

    def drain(self) -> None:
        """Begin to stop; a second call stops at once."""
        if self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self._drain(), name="drain")
        else:
            self.force_exit = True
            self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, wait for what still runs, and let the application end, also when we are in a hurry."""
        await super().shutdown(sockets)
        if self.force_exit:
            # uvicorn leaves this out; but an embedded store that is not told to stop has to recover at the next start.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.lifespan.shutdown(), self.config.timeout_graceful_shutdown)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals to ``serve``: uvicorn would raise them again at the end, and the status would be 143."""
        yield

    async def _drain(self) -> None:
        try:
            await self.on_drain()
        finally:
            self.should_exit = True

    def _take_signals(self, loop: asyncio.AbstractEventLoop) -> list[signal.Signals]:
        if threading.current_thread() is not threading.main_thread():
            return []
        for number in STOPPING_SIGNALS:
            loop.add_signal_handler(number, self.drain)
        return list(STOPPING_SIGNALS)
