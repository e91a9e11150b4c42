"""Each promise of the store is shown twice, on a standalone server and on a one-node cluster.

A standalone server does not refuse scripts that reach across slots; a cluster does.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
import time
import urllib.parse
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import redis

from chatgateway.store.connection import parse_url
from chatgateway.store.valkey import CONFIG, config_text, spawn_server


@pytest.fixture(name="free_port")
def _free_port() -> int:
    return free_port()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def running_server(directory: Path, password: str = "", **config: str) -> Iterator[str]:
    """A server of its own on a loopback port, told ``config``; yields its url."""
    port = free_port()
    more = {name.replace("_", "-"): text for name, text in config.items()}
    if password:
        more["requirepass"] = f'"{password}"'
    plain = {**CONFIG, "bind": "127.0.0.1", "port": str(port), **more}
    with (directory / "log").open("wb") as log:
        child = spawn_server(config_text({**plain, "dir": directory}), output=log.fileno(), die_with_parent=True)
    try:
        credentials = f":{urllib.parse.quote(password, safe='')}@" if password else ""
        url = f"redis://{credentials}127.0.0.1:{port}"
        with redis.Redis.from_url(url) as client:
            until = time.monotonic() + 10
            while True:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    assert child.poll() is None and time.monotonic() < until, (directory / "log").read_text()
                    time.sleep(0.01)
        yield url
    finally:
        child.kill()
        child.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts servers of their own, told their configuration; returns the url of each."""
    with contextlib.ExitStack() as servers:

        def start(password: str = "", **config: str) -> str:
            directory = Path(tempfile.mkdtemp(dir=tmp_path))
            return servers.enter_context(running_server(directory, password, **config))

        yield start


@pytest.fixture(scope="session")
def one_node_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    bus = str(free_port())
    with running_server(tmp_path_factory.mktemp("cluster"), cluster_enabled="yes", cluster_port=bus) as url:
        with redis.Redis.from_url(url) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
            until = time.monotonic() + 10
            while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
                assert time.monotonic() < until
                time.sleep(0.01)
        yield url


@pytest.fixture(params=["standalone", "cluster"])
def fresh_store(request: pytest.FixtureRequest) -> str:
    """The url of an empty store, once of each topology."""
    url = request.getfixturevalue("store_url" if request.param == "standalone" else "one_node_cluster")
    with redis.Redis.from_url(url) as client:
        client.flushall()
        client.script_flush()
    return url


class Proxy:
    """A real socket before the store at ``target``, which can stall, be cut, or slip in a command of its own."""

    def __init__(self, target: str) -> None:
        self._target = parse_url(target)
        self._server: asyncio.Server | None = None
        self._pairs: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = {}
        self.answering = asyncio.Event()
        self.answering.set()
        self.asked: list[bytes] = []
        """What clients sent, one entry per read."""
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Proxy:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen (again, on the same port)."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuse new connections and cut those that are."""
        self._server.close()
        await self.cut()

    async def cut(self) -> None:
        tasks = list(self._pairs)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def inject(self, command: bytes) -> None:
        """Say something to the store in the name of every client."""
        for _, upstream in self._pairs.values():
            upstream.write(command + b"\r\n")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if self._target.path:
            from_store, to_store = await asyncio.open_unix_connection(self._target.path)
        else:
            from_store, to_store = await asyncio.open_connection(self._target.host, self._target.port)
        self._pairs[task] = (writer, to_store)
        answers = asyncio.create_task(self._answers(from_store, writer))
        try:
            while data := await reader.read(65_536):
                self.asked.append(data)
                to_store.write(data)
        except (asyncio.CancelledError, ConnectionError):
            pass
        finally:
            del self._pairs[task]
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
            for end in (writer, to_store):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _answers(self, from_store: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await from_store.read(65_536):
            await self.answering.wait()
            writer.write(data)
        writer.close()


@pytest.fixture
async def proxy(fresh_store: str) -> AsyncIterator[Proxy]:
    """Stands before an empty store; its ``url`` is the store's as far as the tested are concerned."""
    async with Proxy(fresh_store) as opened:
        yield opened
