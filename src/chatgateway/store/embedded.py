"""Own the embedded Valkey: one server per data directory, started, joined, restarted and stopped by whoever is there.

Two locks decide everything, and both vanish by themselves when a process dies:

    store.lock   exclusive, inherited by the server child; the gateway closes its own copy
                     free                 start a server
                     held, answering      join it (a neighbour's, or the orphan of a crashed gateway)
                     held, refusing       wait: a rewrite child may hold it for seconds; then DataDirectoryInUse
    users.lock   shared by every gateway on the directory; who gets it exclusively was the last, and stops the store

Nobody supervises *a child*: every gateway holds a connection to the store, and when it ends all try the first lock
again, so exactly one of them restarts the store whoever had started it. ``store.lock`` holds the socket's path, since
a joiner's runtime directory may be another one.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import enum
import hashlib
import math
import os
import re
import stat
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from chatgateway.errors import DataDirectoryInUse, StoreError, StoreRefused, StoreUnavailable
from chatgateway.store.valkey import CONFIG, config_text, send, spawn_server

if sys.platform != "win32":
    import fcntl

RESTART_AFTER_S = (0.0, 1.0, 2.0, 4.0, 5.0)
"""Delay before each restart in a row; the last one repeats. A store that had run steadily is restarted at once."""

STEADY_S = 10.0
"""A store that ran this long is healthy again."""

REFUSING_MAX_S = 60.0
"""How long a held but silent directory is waited for: a rewrite child that outlives its server holds the lock."""

SOCKET_PATH_MAX_BYTES = 107
"""``sun_path`` of unix(7), less the terminating zero."""

_STOP_MAX_S = 30.0
_LOOK_AGAIN_S = 0.02
_LOG_PREFIX = re.compile(rb"^\d+:[A-Z] \d+ \w+ \d+ [\d:.]+ [.\-*#] ")


class _Answer(enum.Enum):
    READY = enum.auto()
    LOADING = enum.auto()
    REFUSED = enum.auto()


class EmbeddedStore:
    """The store of one data directory, as one gateway sees it."""

    def __init__(self, data: Path, *, die_with_parent: bool, on_health: Callable[[str | None], None]) -> None:
        """Use ``EmbeddedStore.start``."""
        self.health: str | None = None
        """What is wrong, in one sentence, or None. Meant for the operator."""
        self._die_with_parent = die_with_parent
        self._on_health = on_health
        self._directory = data / "store"
        self._store_lock = self._directory / "store.lock"
        self._users_lock = self._directory / "users.lock"
        self._socket: Path | None = None
        self._user: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._log: int | None = None
        self._said: collections.deque[bytes] = collections.deque(maxlen=2)
        self._supervisor: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"EmbeddedStore({str(self._directory)!r}, health={self.health!r})"

    @property
    def url(self) -> str:
        """``unix://`` and the socket's path, percent-encoded."""
        assert self._socket is not None
        return "unix://" + urllib.parse.quote(str(self._socket))

    @classmethod
    async def start(
        cls,
        data: Path,
        die_with_parent: bool = False,
        *,
        refusing_max_s: float = REFUSING_MAX_S,
        on_health: Callable[[str | None], None] = lambda _: None,
    ) -> EmbeddedStore:
        """Start the store of ``data``, or join the running one; return when it answers.

        ``on_health`` hears every change of ``health``. Raises DataDirectoryInUse when somebody else holds the
        directory, StoreUnavailable when the server does not start, StoreRefused when there is no server to run.
        """
        if sys.platform == "win32":
            raise StoreRefused("There is no embedded store for Windows: give --store-url, or run under WSL.")
        data = Path(os.path.abspath(data))  # noqa: ASYNC240, PTH100
        store = cls(data, die_with_parent=die_with_parent, on_health=on_health)
        make_private_directory(data)
        make_private_directory(store._directory)
        try:
            # Before looking at the store: whoever is just stopping it holds this lock until it is gone.
            store._user = await _take_soon(store._users_lock, fcntl.LOCK_SH, refusing_max_s)
            await store._start_or_join(refusing_max_s)
        except BaseException:
            await store._leave()
            raise
        store._supervisor = asyncio.create_task(store._supervise(), name="embedded store")
        return store

    async def stop(self) -> None:
        """Leave; stop the store when nobody else uses it. Everything acknowledged is on disk either way."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None
        await self._leave()

    async def _leave(self) -> None:
        if self._user is None:
            return
        # Give up the shared lock, then ask for it alone. Of several who leave at once the last to give up gets it;
        # a newcomer is either in before (we get nothing) or waits until the store is gone and starts it anew.
        os.close(self._user)
        self._user = None
        alone = _take(self._users_lock, fcntl.LOCK_EX)
        if alone is not None:
            try:
                await self._shut_down()
            finally:
                os.close(alone)
        self._forget_child()

    # --- start or join

    async def _start_or_join(self, refusing_max_s: float) -> None:
        loop = asyncio.get_running_loop()
        refusing_since = loop.time()
        spawned = False
        while True:
            lock = _take(self._store_lock, fcntl.LOCK_EX)
            if lock is not None and spawned:  # our child let go of it: it is gone
                os.close(lock)
                raise StoreUnavailable(f"The embedded store does not start: {await self._died()}")
            if lock is not None:
                self._spawn(lock)
                spawned = True
            answer = await self._ask()
            if answer is _Answer.READY:
                return
            if answer is _Answer.LOADING:
                refusing_since = loop.time()
            elif loop.time() - refusing_since > refusing_max_s:
                raise DataDirectoryInUse(
                    f"The data directory {self._directory.parent} is in use by a process that does not answer; "
                    "stop it, or give another --data."
                )
            await asyncio.sleep(_LOOK_AGAIN_S)

    def _spawn(self, lock: int) -> None:
        """Start the server that will hold ``lock``; our own copy is closed, so that the lock lives as long as it."""
        self._forget_child()
        reading, writing = os.pipe()
        # A gateway that is stopped or gone must not be able to stall the store by not reading its log.
        os.set_blocking(writing, False)
        os.set_blocking(reading, False)
        self._log = reading
        self._said.clear()
        try:
            self._socket = _socket_path(self._directory, _recorded(self._store_lock))
            os.ftruncate(lock, 0)
            os.pwrite(lock, os.fsencode(self._socket), 0)
            config = config_text(
                {**CONFIG, "dir": self._directory, "unixsocket": self._socket, "unixsocketperm": "700"}
            )
            self._child = spawn_server(config, inherit=(lock,), output=writing, die_with_parent=self._die_with_parent)
        finally:
            os.close(writing)
            os.close(lock)
        asyncio.get_running_loop().add_reader(reading, self._listen)

    async def _ask(self) -> _Answer:
        """Ask the server behind the recorded socket for a sign of life."""
        socket = _recorded(self._store_lock)
        if socket is None:
            return _Answer.REFUSED
        reply = await send(socket, b"PING", 1.0)
        if reply.startswith((b"+PONG", b"-LOADING")):
            self._socket = socket
        if reply.startswith(b"+PONG"):
            return _Answer.READY
        return _Answer.LOADING if reply.startswith(b"-LOADING") else _Answer.REFUSED

    # --- supervise

    async def _supervise(self) -> None:
        failures = 0
        while True:
            try:
                async with asyncio.timeout(STEADY_S if failures else None):
                    await self._until_gone()
            except TimeoutError:
                failures = 0
                self._report(None)
                continue
            up = False
            while not up:
                pause = RESTART_AFTER_S[min(failures, len(RESTART_AFTER_S) - 1)]
                failures += 1
                if failures > 1:
                    self._report(
                        f"The embedded store stopped {failures} times in a row "
                        f"and is restarted in {pause:g} s: {self._last_words()}"
                    )
                await asyncio.sleep(pause)
                with contextlib.suppress(StoreError, OSError):
                    await self._start_or_join(math.inf)
                    up = True

    async def _until_gone(self) -> None:
        """Hold a connection to the store until the store lets go of it."""
        assert self._socket is not None
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_unix_connection(str(self._socket))
            try:
                await reader.read()
            finally:
                writer.close()

    def _report(self, health: str | None) -> None:
        if health != self.health:
            self.health = health
            self._on_health(health)

    async def _shut_down(self) -> None:
        if self._socket is None:  # we never got in
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + _STOP_MAX_S
        # Its lock, not its socket, says that it is gone: it may still be writing, or not be listening yet.
        while (lock := _take(self._store_lock, fcntl.LOCK_EX)) is None and loop.time() < until:
            # With fsync at every write nothing is left to save: a full disk is no reason to refuse.
            await send(self._socket, b"SHUTDOWN NOW FORCE", _STOP_MAX_S)
            await asyncio.sleep(_LOOK_AGAIN_S)
        if lock is not None:
            os.close(lock)
            if self._child is not None:
                await asyncio.to_thread(self._child.wait)

    # --- the child

    def _listen(self) -> None:
        assert self._log is not None
        try:
            text = os.read(self._log, 65_536)
        except BlockingIOError:
            return
        if not text:
            asyncio.get_running_loop().remove_reader(self._log)
        self._said.extend(line for line in text.splitlines() if line.strip())

    async def _died(self) -> str:
        assert self._child is not None
        await asyncio.to_thread(self._child.wait)
        said = self._last_words()
        self._forget_child()
        return said

    def _last_words(self) -> str:
        if self._log is not None:
            self._listen()
        said = b" ".join(_LOG_PREFIX.sub(b"", line) for line in self._said).decode(errors="replace")
        return said or "its last words are not known here."

    def _forget_child(self) -> None:
        if self._log is not None:
            asyncio.get_running_loop().remove_reader(self._log)
            os.close(self._log)
            self._log = None
        if self._child is not None and self._child.poll() is None:
            # Others still use it; it is theirs now, and init's when we are gone. Only the object must not complain.
            self._child.returncode = 0
        self._child = None


def make_private_directory(path: Path) -> None:
    """Make ``path`` a directory that only we may enter. Raises StoreRefused when it belongs to somebody else."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise StoreRefused(f"{path} must be a directory of the user that runs the gateway.")
    if stat.S_IMODE(found.st_mode) & 0o077:
        path.chmod(0o700)


def _socket_path(directory: Path, recorded: Path | None) -> Path:
    """Beside the data when the path is short enough, else in the runtime directory.

    A recorded place that still exists stays: other gateways are connected, and will reconnect, to it.
    """
    beside = directory / "store.sock"
    if len(os.fsencode(beside)) <= SOCKET_PATH_MAX_BYTES:
        return beside
    if recorded is not None and recorded != beside and recorded.parent.is_dir():
        place = recorded.parent
    else:
        runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
        digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
        place = runtime / f"chatgateway-{os.geteuid()}-{digest}"
    make_private_directory(place)
    socket = place / "store.sock"
    if len(os.fsencode(socket)) > SOCKET_PATH_MAX_BYTES:
        raise StoreRefused(f"The path of the store's socket is too long: {socket}; set XDG_RUNTIME_DIR to a short one.")
    return socket


def _recorded(store_lock: Path) -> Path | None:
    with contextlib.suppress(OSError):
        text = store_lock.read_bytes()
        return Path(os.fsdecode(text)) if text else None
    return None


def _take(path: Path, kind: int) -> int | None:
    """Return a descriptor that holds the lock, or None when somebody else does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


async def _take_soon(path: Path, kind: int, max_s: float) -> int:
    loop = asyncio.get_running_loop()
    until = loop.time() + max_s
    while True:
        descriptor = _take(path, kind)
        if descriptor is not None:
            return descriptor
        if loop.time() > until:
            raise DataDirectoryInUse(f"The data directory {path.parent.parent} is in use: {path.name} stays locked.")
        await asyncio.sleep(_LOOK_AGAIN_S)
