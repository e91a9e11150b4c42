"""A store is checked before it is used, and founded when it is empty."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from chatgateway.errors import SettingsError, StoreError, StoreRefused, StoreUnavailable
from chatgateway.store import client, schema
from chatgateway.store.client import Store
from chatgateway.types import NodeId


class TestFounding:
    async def test_writes_the_schema_and_every_fence(self, store: Store) -> None:
        record = await store.redis.hgetall(schema.SCHEMA)
        assert record[b"version"] == str(schema.SCHEMA_VERSION).encode()
        assert record[b"store"].decode() == store.id
        assert abs(int(record[b"created_at"]) - time.time() * 1000) < 60_000
        fences = [await store.redis.get(schema.fence(partition)) for partition in range(schema.PARTITIONS)]
        assert fences == [b"0"] * schema.PARTITIONS

    async def test_happens_once_however_many_start(self, fresh_store: str) -> None:
        stores = await asyncio.gather(*(Store.open(fresh_store) for _ in range(4)))
        assert len({store.id for store in stores}) == 1
        await asyncio.gather(*(store.close() for store in stores))

    async def test_beside_a_faster_neighbour_lowers_no_fence(
        self, fresh_store: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def meanwhile(self: Store) -> None:
            await self.redis.set(schema.fence(7), 41)

        monkeypatch.setattr(Store, "_refuse_remains", meanwhile)
        opened = await Store.open(fresh_store)
        assert await opened.redis.get(schema.fence(7)) == b"41"
        await opened.close()

    async def test_leaves_fences_that_were_raised_alone(self, store: Store) -> None:
        await store.redis.set(schema.fence(7), 41)
        again = await Store.open(store.url)
        assert await again.redis.get(schema.fence(7)) == b"41"
        assert again.id == store.id
        await again.close()

    @pytest.mark.parametrize("remains", [schema.fence(7), schema.LOG, schema.VERSION])
    async def test_is_refused_over_the_remains_of_another(self, store: Store, remains: str) -> None:
        await store.redis.delete(schema.SCHEMA)
        await store.redis.set(remains, 5)
        with pytest.raises(StoreRefused, match="lost its schema"):
            await Store.open(store.url)

    async def test_of_a_newer_schema_is_refused(self, store: Store) -> None:
        await store.redis.hset(schema.SCHEMA, "version", schema.SCHEMA_VERSION + 1)
        with pytest.raises(StoreRefused, match="schema version"):
            await Store.open(store.url)


class TestCheck:
    async def test_knows_topology_and_verb(self, request: pytest.FixtureRequest, store: Store) -> None:
        clustered = request.node.callspec.params["fresh_store"] == "cluster"
        assert store.clustered is clustered
        assert store.publish_verb == ("SPUBLISH" if clustered else "PUBLISH")
        assert store.server.startswith("valkey 9.")
        assert store.durability == "disk"
        assert store.warnings == ()

    async def test_refuses_a_store_that_evicts_also_later(self, server: Callable[..., str]) -> None:
        url = server(maxmemory_policy="allkeys-lru")
        with pytest.raises(StoreRefused, match="CONFIG SET maxmemory-policy noeviction"):
            await Store.open(url)
        opened = await Store.open(server())
        await opened.redis.config_set("maxmemory-policy", "volatile-ttl")
        with pytest.raises(StoreRefused, match="volatile-ttl"):
            await opened.check()
        await opened.close()

    async def test_refuses_a_replica(self, server: Callable[..., str]) -> None:
        port = server().rpartition(":")[2]
        with pytest.raises(StoreRefused, match="replica"):
            await Store.open(server(replicaof=f"127.0.0.1 {port}"))

    async def test_refuses_a_cluster_without_all_slots(self, server: Callable[..., str], free_port: int) -> None:
        with pytest.raises((StoreRefused), match="cluster"):
            await Store.open(server(cluster_enabled="yes", cluster_port=str(free_port)))

    @pytest.mark.parametrize(
        ("info", "served"),
        [
            ({"valkey_version": "7.2.0", "redis_version": "7.2.4"}, True),
            ({"redis_version": "7.0.15"}, True),
            ({"redis_version": "6.2.14"}, False),
            ({"valkey_version": "7.1.9", "redis_version": "7.2.4"}, False),
            ({"redis_version": "10.0"}, True),
        ],
    )
    async def test_refuses_old_servers(self, store: Store, info: dict[str, str], served: bool) -> None:
        if served:
            store._check_server({**info, "role": "master"})
        else:
            with pytest.raises(StoreRefused, match=r"needed is Valkey 7\.2 or Redis 7\.0"):
                store._check_server({**info, "role": "master"})

    async def test_refuses_a_user_who_may_not(self, server: Callable[..., str]) -> None:
        url = server()
        opened = await Store.open(url)
        await opened.redis.execute_command("ACL", "SETUSER", "default", "-info")
        with pytest.raises(StoreRefused, match="may not do"):
            await opened.check()
        await opened.close()

    async def test_without_config_promises_only_memory(self, server: Callable[..., str]) -> None:
        opened = await Store.open(server())
        await opened.redis.execute_command("ACL", "SETUSER", "default", "-config")
        await opened.check()
        assert opened.durability == "memory"
        await opened.close()

    async def test_warns_of_what_a_power_loss_takes(self, server: Callable[..., str]) -> None:
        everysec = await Store.open(server(appendfsync="everysec"))
        nothing = await Store.open(server(appendonly="no"))
        assert everysec.durability == nothing.durability == "memory"
        assert "power loss" in everysec.warnings[0]
        assert "restart" in nothing.warnings[0]
        await everysec.close()
        await nothing.close()

    async def test_warns_of_a_skewed_clock(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        real = time.time
        monkeypatch.setattr(client.time, "time", lambda: real() - 90)
        await store.check()
        monkeypatch.undo()
        assert "clock" in store.warnings[0]

    @pytest.mark.parametrize("grade", ["disk", "replica", "replica+disk"])
    async def test_refuses_to_promise_more_than_the_store_gives(self, server: Callable[..., str], grade: Any) -> None:
        with pytest.raises(StoreRefused, match=f"Durability {grade}".replace("+", r"\+")):
            await Store.open(server(appendfsync="everysec"), durability=grade)

    async def test_of_an_unreachable_store_says_so_in_a_sentence(self, free_port: int) -> None:
        with pytest.raises(StoreUnavailable, match=r"^The store at 127\.0\.0\.1:\d+ cannot be reached: "):
            await Store.open(f"redis://:secret@127.0.0.1:{free_port}")

    @pytest.mark.parametrize("url", ["http://x", "redis://h/notanumber", "unix://", "redis://h:port"])
    async def test_of_a_malformed_url_does_not_quote_it(self, url: str) -> None:
        with pytest.raises(SettingsError, match=r"^store_url: ") as refused:
            await Store.open(url)
        assert "notanumber" not in str(refused.value)


class TestRedis:
    async def test_raises_our_errors_alone_and_in_a_pipeline(self, store: Store) -> None:
        await store.redis.set("text", "x")
        with pytest.raises(StoreError, match="WRONGTYPE"):
            await store.redis.lpush("text", 1)
        async with store.redis.pipeline(transaction=False) as pipeline:
            pipeline.lpush("text", 1)
            with pytest.raises(StoreError, match="WRONGTYPE"):
                await pipeline.execute()

    async def test_never_repeats_a_write(self, proxy: Any) -> None:
        opened = await Store.open(proxy.url)
        await opened.redis.ping()
        proxy.answering.clear()
        writing = asyncio.create_task(opened.redis.incr("n"))
        while not any(b"INCR" in data for data in proxy.asked):
            await asyncio.sleep(0)
        await proxy.cut()
        proxy.answering.set()
        with pytest.raises(StoreUnavailable):
            await writing
        assert sum(data.count(b"INCR") for data in proxy.asked) == 1
        await opened.close()

    async def test_waits_for_a_free_connection_instead_of_failing(self, store: Store) -> None:
        assert await asyncio.gather(*(store.redis.ping() for _ in range(200))) == [True] * 200


async def test_the_stores_time_is_ours_in_milliseconds(store: Store) -> None:
    assert abs(await store.now() - time.time() * 1000) < 60_000


async def test_a_node_hears_what_it_publishes(store: Store) -> None:
    subscriber = await store.open_subscriber(NodeId("nod_1"))
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    await subscriber.subscribe(schema.DOORBELL, heard.put_nowait)
    await store.hot.ask((store.publish_verb, schema.DOORBELL, "12"))
    assert await heard.get() == b"12"
    await subscriber.close()


async def test_shows_no_password_when_printed(server: Callable[..., str]) -> None:
    opened = await Store.open(server(password="hunter2"))
    assert "hunter2" not in repr(opened)
    assert "127.0.0.1" in repr(opened)
    await opened.close()
