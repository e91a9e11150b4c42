"""How much faster than redis-py's pool is the hot path? Run it alone: ``python tests/benchmarks/store_client.py``.

One small script with a write is called by 1, 16 and 256 callers in turn, through redis-py's blocking pool (as it comes:
one connection per caller in flight) and through ``Multiplex``, interleaved; medians. Goals: 4x at 256, 1.8x at 16,
never slower at 1.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from redis.asyncio import BlockingConnectionPool, Redis

from chatgateway.store.connection import parse_url
from chatgateway.store.embedded import EmbeddedStore
from chatgateway.store.multiplex import Multiplex

SOURCE = b"redis.call('XADD', KEYS[1], '*', 'e', ARGV[1]) redis.call('PUBLISH', KEYS[2], ARGV[1]) return {1, 2, 0}"
EVENT = b"x" * 180
ROUNDS = 5
CALLS = {1: 1_500, 16: 6_000, 256: 12_000}

Run = Callable[[int, int], Awaitable[None]]


async def timed(run: Run, callers: int) -> tuple[float, float]:
    """Return calls per second of wall time, and microseconds of our CPU per call."""
    calls = CALLS[callers]
    cpu, wall = time.process_time(), time.perf_counter()
    await run(callers, calls // callers)
    took = time.perf_counter() - wall
    return calls / took, (time.process_time() - cpu) / calls * 1e6


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        embedded = await EmbeddedStore.start(Path(directory), die_with_parent=True)
        hot = await Multiplex.open(embedded.url)
        redis = Redis.from_pool(BlockingConnectionPool.from_url(embedded.url, max_connections=256))
        await redis.config_set("appendfsync", os.environ.get("APPENDFSYNC", "no"))
        sha = (await redis.script_load(SOURCE.decode())).encode()

        async def through_pool(callers: int, each: int) -> None:
            async def caller(number: int) -> None:
                for _ in range(each):
                    await redis.evalsha(sha, 2, f"s{number}", "c", EVENT)

            await asyncio.gather(*(caller(number) for number in range(callers)))

        async def through_multiplex(callers: int, each: int) -> None:
            """As the gateway does it: a callback starts the next call; nobody has a task."""
            finished = asyncio.get_running_loop().create_future()
            left = [each * callers]

            def caller(key: str) -> None:
                todo = [each]

                def done(reply: object) -> None:
                    assert reply == [1, 2, 0]
                    todo[0] -= 1
                    left[0] -= 1
                    if todo[0]:
                        hot.call(("EVALSHA", sha, 2), (key, "c"), (EVENT,), done)
                    elif not left[0]:
                        finished.set_result(None)

                hot.call(("EVALSHA", sha, 2), (key, "c"), (EVENT,), done)

            for number in range(callers):
                caller(f"s{number}")
            await finished

        async def through_ask(callers: int, each: int) -> None:
            async def caller(number: int) -> None:
                for _ in range(each):
                    await hot.ask(("EVALSHA", sha, 2), (f"s{number}", "c"), (EVENT,))

            await asyncio.gather(*(caller(number) for number in range(callers)))

        print(f"{parse_url(embedded.url)}, {ROUNDS} rounds; calls/s (CPU µs per call)")
        for callers in CALLS:
            runs: dict[str, Run] = {"pool": through_pool, "multiplex": through_multiplex, "ask": through_ask}
            figures: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
            for _ in range(ROUNDS):
                for name, run in runs.items():
                    figures[name].append(await timed(run, callers))
            rate = {name: statistics.median(one for one, _ in many) for name, many in figures.items()}
            cpu = {name: statistics.median(one for _, one in many) for name, many in figures.items()}
            shown = "  ".join(
                f"{name} {rate[name]:8,.0f} ({cpu[name]:5.1f}) {rate[name] / rate['pool']:4.1f}x" for name in runs
            )
            print(f"{callers:4} callers: {shown}")
        await hot.close()
        await redis.aclose()
        await embedded.stop()


if __name__ == "__main__":
    uvloop.run(main())
