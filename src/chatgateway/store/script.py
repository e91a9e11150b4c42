"""A Lua script: a file with a ``#!lua`` shebang, known to the server by its digest.

The server may forget scripts at any time (a restart, a failover, SCRIPT FLUSH); a forgotten script did not run, so it
is loaded and asked again without anybody noticing. The hot path does the same in ``multiplex.py``.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any, final

from redis.asyncio import Redis

from chatgateway.store.replies import ScriptUnknown, translated

Argument = str | bytes | int
"""What may be sent. Integers travel as decimal text."""

FORGETS_MAX = 3
"""A server that forgets a script this often in a row is being flushed on purpose."""


@final
class Script:
    """One file of ``store/scripts``, loaded once per process."""

    __slots__ = ("name", "sha", "source", "writes")

    def __new__(cls, name: str) -> Script:
        return _loaded(name)

    def __repr__(self) -> str:
        return f"Script({self.name!r})"

    async def load(self, redis: Redis) -> None:
        """Make the server know the script, ahead of a pipeline that calls it by its ``sha``."""
        with translated():
            await redis.execute_command("SCRIPT", "LOAD", self.source)  # pyright: ignore[reportUnknownMemberType]

    async def run(self, redis: Redis, keys: Sequence[str | bytes], args: Sequence[Argument] = ()) -> Any:
        """Return the script's reply through redis-py. Raises StoreError, see ``replies``."""
        for attempt in range(FORGETS_MAX):
            try:
                with translated():
                    return await redis.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            except ScriptUnknown:
                if attempt == FORGETS_MAX - 1:
                    raise
                await self.load(redis)
        raise AssertionError("unreachable")


@functools.cache
def _loaded(name: str) -> Script:
    script = object.__new__(Script)
    script.name = name
    script.source = (resources.files("chatgateway.store") / "scripts" / f"{name}.lua").read_bytes()
    if not script.source.startswith(b"#!lua"):
        raise ValueError(f"script {name} lacks its #!lua line")
    # As the server sees it: a script whose first line says no-writes is refused when it tries.
    script.writes = b"no-writes" not in script.source.partition(b"\n")[0]
    # SHA-1 is the server's name for a script, not a protection.
    script.sha = hashlib.sha1(script.source, usedforsecurity=False).hexdigest()
    return script
