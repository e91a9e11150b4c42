"""The control log: nothing withdrawn is missed, half done or undone, and repeating is harmless."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import redis
from tests.store.talking import AGENT, CONVERSATION, PARTITION, PROJECT, VISITOR, Talk

from chatgateway.core.rotation import ControlEntry
from chatgateway.errors import Conflict, Stale, StoreUnavailable
from chatgateway.store import control as control_module
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.control import Barrier, Control
from chatgateway.store.nodes import Nodes, Report
from chatgateway.types import NodeId, ProjectId, UnixMs, Version

ONE, TWO = NodeId("host-1"), NodeId("host-2")


@pytest.fixture
def control(store: Store) -> Control:
    return Control(store)


def key_entry(control: Control, kid: str = "key_1") -> ControlEntry:
    return control.entry("key", PROJECT, kid, "revoked", UnixMs(5))


async def fences(store: Store) -> set[int]:
    """The different fences of all partitions; -1 stands for a missing one."""
    async with store.redis.pipeline(transaction=False) as pipeline:
        for partition in range(schema.PARTITIONS):
            pipeline.get(schema.fence(partition))
        return {int(fence) if fence is not None else -1 for fence in await pipeline.execute()}


class TestWrite:
    async def test_gives_the_next_version_and_commits_nothing(self, control: Control) -> None:
        first, second = await control.write(key_entry(control)), await control.write(key_entry(control))
        assert (first.version, second.version) == (1, 2)
        assert await control.versions() == (0, 2)

    async def test_again_gives_the_same_version(self, control: Control) -> None:
        entry = key_entry(control)
        written = [await control.write(entry) for _ in range(3)]
        assert {each.version for each in written} == {1}
        assert await control.read(Version(0), Version(9)) == [written[0]]

    async def test_above_a_version_leaves_a_gap(self, control: Control) -> None:
        assert (await control.write(key_entry(control), above=Version(40))).version == 41
        assert (await control.write(key_entry(control))).version == 42

    async def test_is_read_back_as_it_was_said(self, control: Control) -> None:
        entries = [
            control.entry("person", ProjectId("prj_2"), "usr_ü", "blocked", UnixMs(77)),
            control.entry("agent", ProjectId(""), "agt_1", "removed", UnixMs(78)),
        ]
        written = [await control.write(entry) for entry in entries]
        assert await control.read(Version(0), Version(2)) == written
        assert await control.read(Version(1), Version(2)) == written[1:]
        assert await control.read(Version(2), Version(2)) == []


class TestFinish:
    async def test_commits_and_raises_every_fence(self, store: Store, control: Control) -> None:
        written = await control.write(key_entry(control))
        assert await fences(store) == {0}
        await control.finish(written)
        assert await control.versions() == (1, 1)
        assert await fences(store) == {1}

    @pytest.mark.parametrize("kind", ["person", "session"])
    async def test_of_a_persons_entry_leaves_the_fences_alone(self, store: Store, control: Control, kind: Any) -> None:
        await control.finish(await control.write(control.entry(kind, PROJECT, "usr_1", "signed_out", UnixMs(5))))
        assert await control.versions() == (1, 1)
        assert await fences(store) == {0}

    @pytest.mark.parametrize("kind", ["key", "agent", "project"])
    async def test_of_everybody_elses_entry_raises_them(self, store: Store, control: Control, kind: Any) -> None:
        await control.finish(await control.write(control.entry(kind, PROJECT, "x", "revoked", UnixMs(5))))
        assert await fences(store) == {1}

    async def test_again_is_harmless(self, store: Store, control: Control) -> None:
        first, second = await control.write(key_entry(control)), await control.write(key_entry(control))
        for entry in (second, first, second):
            await control.finish(entry)
            assert await control.versions() == (2, 2)
            assert await fences(store) == {2}

    async def test_raises_fences_that_are_missing(self, store: Store, control: Control) -> None:
        await store.redis.delete(schema.fence(7))
        await control.finish(await control.write(key_entry(control)))
        assert await fences(store) == {1}

    async def test_without_the_entry_commits_nothing(self, store: Store, control: Control) -> None:
        written = await control.write(key_entry(control))
        await store.redis.delete(schema.LOG)
        with pytest.raises(Conflict):
            await control.finish(written)
        assert await control.versions() == (0, 1)
        assert await fences(store) == {0}

    async def test_with_anothers_entry_in_its_place_commits_nothing(self, store: Store, control: Control) -> None:
        """A failover lost ours, and somebody else was given the same version."""
        written = await control.write(key_entry(control))
        await store.redis.delete(schema.LOG, schema.VERSION)
        other = await control.write(key_entry(control, "key_2"))
        assert other.version == written.version
        with pytest.raises(Conflict):
            await control.finish(written)
        assert await control.versions() == (0, 1)

    async def test_does_not_return_when_the_entry_was_lost_meanwhile(
        self, store: Store, control: Control, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def lose(*_: Any) -> None:
            await store.redis.delete(schema.LOG)

        monkeypatch.setattr(control, "raise_fences", lose)
        with pytest.raises(Conflict, match="repeat the command"):
            await control.finish(await control.write(key_entry(control)))

    async def test_rings_the_doorbell(self, store: Store, control: Control) -> None:
        subscriber = await store.open_subscriber(ONE)
        rung: asyncio.Queue[bytes] = asyncio.Queue()
        try:
            await subscriber.subscribe(schema.DOORBELL, rung.put_nowait)
            await control.finish(await control.write(key_entry(control)))
            assert await rung.get() == b"1"
        finally:
            await subscriber.close()

    async def test_makes_every_earlier_judgement_stale_at_once(self, store: Store, control: Control) -> None:
        talk = Talk(store)
        await talk.begin()
        await control.finish(await control.write(key_entry(control)))
        for acting in (VISITOR, AGENT):
            assert isinstance(await talk.say(acting=acting), Stale)
            assert isinstance(await talk.open(acting), Stale)
        assert len(await talk.conversations.entries(CONVERSATION)) == 1
        assert not isinstance(await talk.say(acting=VISITOR._replace(version=Version(1))), Exception)


class TestRaisedFences:
    async def test_never_fall(self, store: Store, control: Control) -> None:
        await control.raise_fences(Version(5), [3])
        await control.raise_fences(Version(4), [3, 4])
        assert await store.redis.mget(schema.fence(3)) == [b"5"]
        assert await store.redis.mget(schema.fence(4)) == [b"4"]
        assert await store.redis.mget(schema.fence(5)) == [b"0"]


class TestBarrier:
    async def withdrawn(self, control: Control) -> ControlEntry:
        written = await control.write(key_entry(control))
        await control.finish(written)
        return written

    async def test_counts_who_applied_and_the_sessions_they_ended(self, store: Store, control: Control) -> None:
        entry, nodes = await self.withdrawn(control), Nodes(store)
        await nodes.renew(ONE, 60_000, Report(applied=1, ended={entry.entry: 3, "other": 50}))
        await nodes.renew(TWO, 60_000, Report(applied=2, ended={entry.entry: 4}))
        barrier = await control.barrier(entry, timeout_s=0)
        assert (set(barrier.confirmed), barrier.silent, barrier.ended) == ({ONE, TWO}, (), 7)
        assert barrier.complete
        assert str(barrier) == "2 of 2 nodes confirmed, 7 sessions ended"

    async def test_names_a_living_node_that_does_not_confirm(self, store: Store, control: Control) -> None:
        entry, nodes = await self.withdrawn(control), Nodes(store)
        await nodes.renew(ONE, 60_000, Report(applied=1))
        await nodes.renew(TWO, 60_000, Report(applied=0))
        barrier = await control.barrier(entry, timeout_s=0)
        assert (barrier.confirmed, barrier.silent, barrier.complete) == ((ONE,), (TWO,), False)

    async def test_counts_an_expired_lease_as_fenced(self, store: Store, control: Control) -> None:
        entry, nodes = await self.withdrawn(control), Nodes(store)
        await nodes.renew(ONE, 60_000, Report(applied=1))
        late = b'{"until":1,' + b'"applied":0}'
        await store.redis.hset(schema.NODES, TWO, late)
        assert (await control.barrier(entry, timeout_s=0)).complete

    async def test_ends_as_soon_as_the_last_one_confirms(self, store: Store, control: Control) -> None:
        entry, nodes = await self.withdrawn(control), Nodes(store)
        await nodes.renew(ONE, 600_000, Report(applied=0))
        seen: list[Barrier] = []
        confirming: list[asyncio.Task[Any]] = []

        def look(barrier: Barrier) -> None:
            if not seen:
                confirming.append(asyncio.create_task(nodes.renew(ONE, 600_000, Report(applied=1))))
            seen.append(barrier)

        barrier = await control.barrier(entry, timeout_s=60, progress=look)
        assert barrier.complete
        assert [each.complete for each in (seen[0], seen[-1])] == [False, True]

    async def test_of_no_nodes_is_complete(self, control: Control) -> None:
        barrier = await control.withdraw(await control.write(key_entry(control)), timeout_s=0)
        assert (barrier.complete, barrier.confirmed) == (True, ())


@pytest.fixture
async def replicated(server: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """A store with one replica in step; yields the store and the replica's process."""
    monkeypatch.setattr(control_module, "_WAIT_MS", 300)
    primary = server(**{"repl-diskless-sync-delay": "0"})
    host, port = primary.removeprefix("redis://").split(":")
    replica = server(replicaof=f"{host} {port}")
    store = await Store.open(primary)
    with redis.Redis.from_url(replica) as client:
        process = client.info("server")["process_id"]
    while not (await store.redis.info("replication")).get("connected_slaves"):
        await asyncio.sleep(0.01)
    # In step: it acknowledges a write of ours.
    async with store.redis.client() as connection:
        await connection.set("in-step", 1)
        assert await connection.wait(1, 10_000) == 1
    yield store, process
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGCONT)
    await store.close()


class TestReplica:
    async def test_that_acknowledges_lets_the_verb_return(self, replicated: Any) -> None:
        store, _ = replicated
        control = Control(store)
        await control.finish(await control.write(key_entry(control)))
        assert await fences(store) == {1}

    async def test_that_is_stopped_fails_the_verb_before_anything_is_committed(self, replicated: Any) -> None:
        store, process = replicated
        control = Control(store)
        written = await control.write(key_entry(control))
        os.kill(process, signal.SIGSTOP)
        with pytest.raises(StoreUnavailable, match="repeating the command is harmless"):
            await control.finish(written)
        assert await control.versions() == (0, 1)
        assert await fences(store) == {0}

    async def test_that_comes_back_lets_the_repeated_verb_succeed(self, replicated: Any) -> None:
        store, process = replicated
        control = Control(store)
        written = await control.write(key_entry(control))
        os.kill(process, signal.SIGSTOP)
        with pytest.raises(StoreUnavailable):
            await control.finish(written)
        os.kill(process, signal.SIGCONT)
        async with store.redis.client() as connection:
            await connection.set("in-step", 2)
            assert await connection.wait(1, 10_000) == 1
        await control.finish(await control.write(written))
        assert (await control.versions(), await fences(store)) == ((1, 1), {1})

    async def test_that_stops_before_the_fences_reach_it_fails_the_verb(
        self, replicated: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, process = replicated
        control = Control(store)
        raise_fences = control.raise_fences

        async def stopped_before(*arguments: Any) -> None:
            async with store.redis.client() as connection:  # it has everything so far, the commit too
                await connection.set("in-step", 3)
                assert await connection.wait(1, 10_000) == 1
            os.kill(process, signal.SIGSTOP)
            await raise_fences(*arguments)

        monkeypatch.setattr(control, "raise_fences", stopped_before)
        with pytest.raises(StoreUnavailable, match="replica"):
            await control.finish(await control.write(key_entry(control)))

    async def test_that_is_stopped_fails_the_marking_of_a_person(self, replicated: Any) -> None:
        store, process = replicated
        os.kill(process, signal.SIGSTOP)
        with pytest.raises(StoreUnavailable, match="replica"):
            await Control(store).mark_person(PROJECT, VISITOR.user, [PARTITION], "*", "5")


async def test_a_person_is_marked_in_each_partition_that_was_named(store: Store, control: Control) -> None:
    await control.mark_person(PROJECT, VISITOR.user, [1, 2, 2], "*", "5")
    marks = [await store.redis.hgetall(schema.withdrawn(n, PROJECT, VISITOR.user)) for n in (0, 1, 2)]
    assert marks == [{}, {b"*": b"5"}, {b"*": b"5"}]
