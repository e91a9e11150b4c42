"""Gateways as an operator runs them: the real command, one process each, several on one data directory."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

COMMAND = Path(sys.executable).with_name("chatgateway")
PATIENCE_S = 20.0
"""No wait of a test is longer than this."""


def is_running(pid: int) -> bool:
    """Say whether the process still runs; one that ended may await its parent for ever where init reaps nobody."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


@dataclass
class Place:
    """One machine's directories: a home, and the data that its gateways share."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict[str, str])
    """Settings that differ from the defaults, as CHATGATEWAY_… variables."""

    @property
    def data(self) -> Path:
        return self.home / "data"

    def environment(self, **more: str) -> dict[str, str]:
        """Return what a command is started with: nothing of the tester's own settings."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("CHATGATEWAY_", "XDG_"))}
        own = {
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.home / "state"),
            "CHATGATEWAY_DATA": str(self.data),
            "CHATGATEWAY_LOG_FORMAT": "json",
        }
        return clean | own | self.environ | more

    @property
    def store_pid(self) -> int:
        """The process of the embedded store that runs on the data now."""
        socket = (self.data / "store/store.lock").read_text()
        at_once = Retry(NoBackoff(), retries=0)
        with redis.Redis(unix_socket_path=socket, socket_timeout=5, retry=at_once) as client:
            return int(client.info("server")["process_id"])

    def running_store(self) -> int | None:
        """The same, or None when nothing answers there."""
        try:
            return self.store_pid
        except (OSError, redis.ConnectionError):
            return None

    async def another_store(self, before: int) -> int:
        """Return the store's process once it is another one than ``before``."""
        async with asyncio.timeout(PATIENCE_S):
            while (found := self.running_store()) in (None, before):
                await asyncio.sleep(0.02)
        assert found is not None
        return found


class Gateway:
    """One ``chatgateway serve``. Always ended by ``stop`` or ``kill``."""

    def __init__(self, place: Place, process: Process, log: Path) -> None:
        self.place = place
        self.log = log
        self.lines: list[dict[str, Any]] = []
        self.port = 0
        self._process = process
        self._changed = asyncio.Condition()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, place: Place, **settings: str) -> Gateway:
        """Start a gateway on a free port and return it once it listens. ``settings`` are environment variables."""
        log = place.home / f"gateway-{len(list(place.home.glob('gateway-*')))}.log"
        process = await asyncio.create_subprocess_exec(
            COMMAND, "serve", "--port", "0", stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE,
            env=place.environment(**settings), start_new_session=True,
        )  # fmt: skip
        gateway = cls(place, process, log)
        try:
            line = await gateway.says("gateway.listening")
        except BaseException:
            await gateway.kill()
            raise
        gateway.port = line["port"]
        return gateway

    def __repr__(self) -> str:
        return f"Gateway(port={self.port}, pid={self.pid}, status={self.status})"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        return self._process.returncode

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def says(self, event: str, where: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """Return the first line of the log with this event, waiting for it."""
        checked = 0

        def found() -> dict[str, Any] | None:
            nonlocal checked
            for line in self.lines[checked:]:
                if line.get("event") == event and where(line):
                    return line
            checked = len(self.lines)
            return None

        async with asyncio.timeout(PATIENCE_S), self._changed:
            while (line := found()) is None:
                if self._listening.done():
                    raise AssertionError(f"{self} ended without saying {event}: {self.log.read_text()[-2000:]}")
                await self._changed.wait()
        return line

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def stop(self) -> int:
        """Ask it to stop, and return its exit status."""
        if self.status is None:
            self.signal(signal.SIGTERM)
        return await self._ended()

    async def kill(self) -> None:
        """kill -9: no goodbye, no clean-up."""
        if self.status is None:
            self._process.kill()
        await self._ended()

    async def _ended(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            status = await self._process.wait()
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        return status

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        with self.log.open("ab", buffering=0) as file:
            try:
                while raw := await self._process.stderr.readline():
                    file.write(raw)
                    line = json.loads(raw) if raw.startswith(b"{") else {"event": "", "text": raw.decode()}
                    async with self._changed:
                        self.lines.append(line)
                        self._changed.notify_all()
            finally:
                async with self._changed:
                    self._changed.notify_all()
