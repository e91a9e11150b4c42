"""The store as the gateway has it: checked before use, founded when empty, one hot connection and one pool.

``hot`` carries what happens per message; ``redis`` (redis-py) carries everything else. Neither repeats a command by
itself, and what either raises is a StoreError.

At start and each minute, refused in one sentence: a server that is too old, a replica, a cluster of several primaries,
a policy that evicts (eviction silently deletes conversations), a schema that a newer version wrote.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import defaultdict
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from chatgateway.errors import SettingsError, StoreError, StoreRefused
from chatgateway.store import schema
from chatgateway.store.connection import parse_url
from chatgateway.store.multiplex import Confirmation, Multiplex
from chatgateway.store.replies import translated
from chatgateway.store.script import Script
from chatgateway.store.subscriber import OnChannels, Subscriber
from chatgateway.types import Durability, NodeId, UnixMs

POOL_MAX = 16
POOL_WAIT_S = 5.0
ANSWER_MAX_S = 5.0
CONFIRM_MAX_MS = 2_000
SKEW_MAX_MS = 1_000
"""Time comes from the store; a skewed gateway only mints and judges tokens wrongly by as much."""

_OLDEST = {"valkey": (7, 2), "redis": (7, 0)}
_FOUND = Script("found")


class Store:
    """One Valkey or Redis. Belongs to the loop that opened it."""

    def __init__(self, url: str, redis: Redis, hot: Multiplex, asked: Durability | None) -> None:
        """Use ``Store.open``."""
        self.url = url
        self.redis = redis
        """redis-py in RESP2 shapes, bytes in and out; raises StoreError."""
        self.hot = hot
        self.id = ""
        """Made when the store was founded; a copied or replaced store is told by it."""
        self.server = ""
        self.clustered = False
        self.durability: Durability = "memory"
        self.warnings: tuple[str, ...] = ()
        """What an operator should hear: sentences."""
        self.turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """One per audit chain: within this process its writers queue, and only those of other processes are races."""
        self._asked: Durability | None = asked

    def __repr__(self) -> str:
        return f"Store({parse_url(self.url)}, {self.server}, id={self.id!r}, durability={self.durability!r})"

    @classmethod
    async def open(cls, url: str, *, durability: Durability | None = None) -> Store:
        """Connect, check and, when the store is empty, found it.

        ``durability`` is the grade to promise; None takes ``disk`` or ``memory``, whichever the server is set up for.
        Raises StoreUnavailable, StoreRefused, SettingsError.
        """
        try:
            parse_url(url)
        except ValueError as error:
            raise SettingsError(f"store_url: {error}") from None
        hot = await Multiplex.open(url, confirmation=_confirmation(durability))
        store = cls(url, _redis(url), hot, durability)
        try:
            await store.check()
            await store._found()
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Let go of all connections; whoever waits hears StoreUnavailable."""
        await self.hot.close()
        await self.redis.aclose()

    @property
    def publish_verb(self) -> str:
        return "SPUBLISH" if self.clustered else "PUBLISH"

    async def now(self) -> UnixMs:
        """The store's time: what positions, marks and leases are measured in."""
        seconds, micros = await self.hot.ask("TIME")
        return UnixMs(int(seconds) * 1000 + int(micros) // 1000)

    async def open_subscriber(
        self, node: NodeId, *, on_lost: OnChannels = lambda _: None, on_restored: OnChannels = lambda _: None
    ) -> Subscriber:
        """Return the node's subscriptions to this store, probing itself. Raises StoreUnavailable."""
        return await Subscriber.open(
            self.url,
            self.hot,
            sharded=self.clustered,
            probe_channel=schema.probe(node),
            on_lost=on_lost,
            on_restored=on_restored,
        )

    # --- checks

    async def check(self) -> None:
        """Look again whether the store is fit for use; sets ``durability`` and ``warnings``. Once a minute.

        Raises StoreRefused with what to do, StoreUnavailable.
        """
        try:
            info = _parsed(await self.hot.ask("INFO"))
            self._check_server(info)
            await self._check_topology(info)
            config = await self._config("appendfsync", "min-replicas-to-write")
        except StoreError as error:
            if str(error).startswith(("NOPERM", "NOAUTH")):
                raise StoreRefused(f"The store's user may not do what the gateway needs: {error}") from error
            raise
        if info.get("maxmemory_policy") != "noeviction":
            raise StoreRefused(
                f"The store evicts keys (maxmemory-policy {info.get('maxmemory_policy')}), which silently deletes "
                "conversations; set it with: CONFIG SET maxmemory-policy noeviction"
            )
        on_disk = info.get("aof_enabled") == "1"
        always = on_disk and config.get("appendfsync") == "always"
        self.durability = self._grade(always, config)
        warnings: list[str] = []
        if not on_disk:
            warnings.append("The store keeps nothing on disk (appendonly no): a restart of it loses every message.")
        elif not always and self.durability == "memory":
            warnings.append("The store's appendfsync is not always: a power loss loses the last second.")
        skew = await self.now() - int(time.time() * 1000)
        if abs(skew) > SKEW_MAX_MS:
            warnings.append(f"The store's clock differs from ours by {skew} ms; run NTP on both.")
        self.warnings = tuple(warnings)

    def _check_server(self, info: dict[str, str]) -> None:
        # Valkey calls itself redis_version 7.2.4 too, for old clients.
        name = "valkey" if "valkey_version" in info else "redis"
        version = info.get(f"{name}_version", "0")
        self.server = f"{name} {version}"
        if tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) < _OLDEST[name]:
            raise StoreRefused(f"The store is {self.server}; needed is Valkey 7.2 or Redis 7.0, or newer.")
        if info.get("role") != "master":
            raise StoreRefused("The store is a replica; give the url of its primary.")

    async def _check_topology(self, info: dict[str, str]) -> None:
        self.clustered = info.get("cluster_enabled") == "1"
        if not self.clustered:
            return
        cluster = _parsed(await self.hot.ask("CLUSTER", ["INFO"]))
        if int(cluster.get("cluster_size", "0")) != 1 or cluster.get("cluster_slots_assigned") != "16384":
            raise StoreRefused(
                "The store is a cluster of several primaries, or one without all slots, which this version does not "
                "support; use a single primary, or a cluster of one."
            )

    async def _config(self, *names: str) -> dict[str, str]:
        """Managed stores forbid CONFIG; what is not known is not promised."""
        config: dict[str, str] = {}
        for name in names:
            with contextlib.suppress(StoreError):
                reply: list[bytes] = await self.hot.ask("CONFIG", ["GET", name])
                config |= {name: reply[1].decode()} if len(reply) == 2 else {}
        return config

    def _grade(self, always: bool, config: dict[str, str]) -> Durability:
        asked = self._asked
        if asked is None:
            return "disk" if always else "memory"
        if asked == "disk" and not always:
            raise StoreRefused("Durability disk needs a store with appendonly yes and appendfsync always.")
        if _confirmation(asked) and config.get("min-replicas-to-write", "0") == "0":
            raise StoreRefused(f"Durability {asked} needs a store with min-replicas-to-write 1.")
        return asked

    # --- the schema

    async def _found(self) -> None:
        """Read the schema record; write it, after all fences, when the store is empty."""
        record = await self._schema()
        if not record:
            await self._refuse_remains()
            async with self.redis.pipeline(transaction=False) as pipeline:
                for partition in range(schema.PARTITIONS):
                    pipeline.set(schema.fence(partition), 0, nx=True)
                await pipeline.execute()
            store_id = f"sto_{secrets.token_hex(8)}"
            await _FOUND.run(self.redis, [schema.SCHEMA], [schema.SCHEMA_VERSION, store_id, await self.now()])
            record = await self._schema()
        version = int(record.get("version", "0"))
        if version != schema.SCHEMA_VERSION:
            raise StoreRefused(
                f"The store has schema version {version}, this gateway knows {schema.SCHEMA_VERSION}; "
                "run the version of chatgateway that wrote it, or a newer one."
            )
        self.id = record["store"]

    async def _schema(self) -> dict[str, str]:
        flat: list[bytes] = await self.hot.ask("HGETALL", [schema.SCHEMA])
        words = [word.decode(errors="replace") for word in flat]
        return dict(zip(words[::2], words[1::2], strict=True))

    async def _refuse_remains(self) -> None:
        """A missing record means refuse, never "nothing was revoked": raised fences or a log are not an empty store."""
        async with self.redis.pipeline(transaction=False) as pipeline:
            for partition in range(schema.PARTITIONS):
                pipeline.get(schema.fence(partition))
            pipeline.exists(schema.VERSION)
            pipeline.exists(schema.LOG)
            *fences, version, log = await pipeline.execute()
        if version or log or any(fence not in {None, b"0"} for fence in fences):
            raise StoreRefused("The store holds chatgateway's data but lost its schema record; restore a backup.")


def _confirmation(durability: Durability | None) -> Confirmation | None:
    if durability in {"replica", "replica+disk"}:
        return Confirmation(on_disk=durability == "replica+disk", replicas=1, max_ms=CONFIRM_MAX_MS)
    return None


def _parsed(info: bytes) -> dict[str, str]:
    """INFO's ``name:value`` lines."""
    lines = (line.partition(":") for line in info.decode().splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in lines}


# --- redis-py, tamed: its defaults repeat writes, raise at 100 connections, and speak RESP3


class _Pipeline(Pipeline):
    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        with translated():
            return await super().execute(raise_on_error)


class _Redis(Redis):
    async def execute_command(self, *args: Any, **options: Any) -> Any:
        with translated():
            return await super().execute_command(*args, **options)  # pyright: ignore

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


def _redis(url: str) -> Redis:
    options: dict[str, Any] = {
        "protocol": 2,
        "legacy_responses": True,
        "socket_timeout": ANSWER_MAX_S,
        "socket_connect_timeout": ANSWER_MAX_S,
        "retry": Retry(NoBackoff(), 0),
    }
    if not url.startswith("unix:"):
        options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    pool = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType]
        url, max_connections=POOL_MAX, timeout=POOL_WAIT_S, decode_responses=False, **options
    )
    return _Redis.from_pool(pool)  # owns the pool, and closes it
