"""One process among others: it applies what is withdrawn in one step, acts only on a lease, and unlearns nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chatgateway.close_codes import CloseCode
from chatgateway.core.effects import TrustWithdrawn
from chatgateway.core.rotation import ControlEntry, Grounds, Trust
from chatgateway.errors import Stale, StoreUnavailable
from chatgateway.gateway import node as node_module
from chatgateway.gateway.node import SLICE, Node
from chatgateway.gateway.roster import Roster
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.control import Control
from chatgateway.store.nodes import Nodes, Renewal, Report
from chatgateway.store.watermark import Watermark
from chatgateway.types import AgentId, KeyId, NodeId, ProjectId, SessionId, UnixMs, UserId, Version

PROJECT = ProjectId("prj_1")
KID = KeyId("key_1")
LEASE_S = 3.0
FOREVER_S = 600.0
"""A lease whose renewals come only when the doorbell asks for them: tests decide when."""


class Clock:
    """The monotonic clock as the node reads it; it stands still until a test moves it."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def monotonic(self) -> float:
        return self.at

    def time(self) -> float:
        return 1_795_000_000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    standing = Clock()
    monkeypatch.setattr(node_module, "time", standing)
    return standing


class Someone:
    """A connection as roster and node see it."""

    def __init__(self, roster: Roster, grounds: Grounds) -> None:
        self.grounds = grounds
        self.heard: list[Any] = []
        self.ended = asyncio.Event()
        me: Any = self
        roster.connections.add(me)
        self.group = roster.join(me, grounds)

    def rests_on_withdrawn(self, trust: Trust) -> CloseCode | None:
        return self.group.withdrawn or trust.judge(self.grounds)

    def hear(self, event: Any) -> None:
        self.heard.append(event)
        self.ended.set()


class Line(Nodes):
    """The node's way to its lease; a test can cut it, and see every answer."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.is_cut = False
        self.before: Any = lambda: None
        self.asked: asyncio.Queue[Renewal | None] = asyncio.Queue()

    async def renew(self, node: NodeId, lease_ms: int, report: Report) -> Renewal:
        if self.is_cut:
            self.asked.put_nowait(None)
            raise StoreUnavailable("cut")
        self.before()
        renewal = await super().renew(node, lease_ms, report)
        self.asked.put_nowait(renewal)
        return renewal


class World:
    """A store, its control log, and the nodes that were started in it."""

    def __init__(self, store: Store, directory: Path) -> None:
        self.store = store
        self.control = Control(store)
        self.directory = directory
        self.nodes: list[Node] = []
        self.reasserted: list[ControlEntry] = []

    async def node(self, *, lease_s: float = FOREVER_S, file: str | None = None, start: bool = True) -> Any:
        """A node with its roster and line, started unless ``start`` says otherwise."""

        async def reassert(entry: ControlEntry) -> None:
            self.reasserted.append(entry)

        roster, line = Roster(), Line(self.store)
        path = self.directory / file if file is not None else None
        node = Node(
            self.control, line, Watermark(path, self.store.id), roster,
            lease_s=lease_s, cut_off_s=10.0, reassert=reassert,
        )  # fmt: skip
        if start:
            await node.start()
        self.nodes.append(node)
        return SimpleNamespace(node=node, roster=roster, line=line)

    async def withdraw(self, kind: Any = "key", subject: str = KID, why: str = "revoked", at: int = 5) -> ControlEntry:
        """Write and finish an entry."""
        entry = await self.control.write(self.control.entry(kind, PROJECT, subject, why, UnixMs(at)))
        await self.control.finish(entry)
        return entry

    async def fences(self) -> set[int]:
        async with self.store.redis.pipeline(transaction=False) as pipeline:
            for partition in range(schema.PARTITIONS):
                pipeline.get(schema.fence(partition))
            return {int(fence or -1) for fence in await pipeline.execute()}


@pytest.fixture
async def world(store: Store, tmp_path: Path) -> AsyncIterator[World]:
    opened = World(store, tmp_path)
    yield opened
    for node in opened.nodes:
        await node.stop()


def signed(number: int, kid: KeyId = KID, judged: int = 0) -> Grounds:
    return Grounds(
        SessionId(f"ses_{number}"), UserId(f"usr_{number}"), PROJECT, UnixMs(10), kid, judged=Version(judged)
    )


async def caught_up(one: Any, entry: ControlEntry) -> None:
    await one.node.catch_up(Stale(entry.version), 0)


class TestApplying:
    async def test_sets_trust_mark_and_version_before_anybody_else_runs(self, world: World) -> None:
        one = await world.node()
        someone = Someone(one.roster, signed(1))
        seen: list[tuple[bool, bool, bool]] = []
        entry = await world.control.write(world.control.entry("key", PROJECT, KID, "revoked", UnixMs(5)))
        finishing = asyncio.create_task(world.control.finish(entry))
        following = asyncio.create_task(caught_up(one, entry))
        while not finishing.done() or not following.done():
            node = one.node
            seen.append(
                (node.trust.applied >= 1, KID in node.trust.revoked_keys(PROJECT), someone.group.withdrawn is not None)
            )
            await asyncio.sleep(0)
        await asyncio.gather(finishing, following)
        assert set(seen) | {(True, True, True)} == {(False, False, False), (True, True, True)}

    async def test_waits_for_the_commit(self, world: World) -> None:
        one = await world.node()
        someone = Someone(one.roster, signed(1))
        entry = await world.control.write(world.control.entry("key", PROJECT, KID, "revoked", UnixMs(5)))
        one.line.asked = asyncio.Queue()
        one.node.ring_doorbell()
        renewal = await one.line.asked.get()
        assert renewal.reserved == 1
        assert (one.node.trust.applied, someone.group.withdrawn) == (0, None)
        await world.control.finish(entry)
        await caught_up(one, entry)
        assert one.node.trust.applied == 1

    async def test_ends_those_who_rested_on_it_and_spares_the_others(self, world: World) -> None:
        one = await world.node()
        dead = [Someone(one.roster, signed(n)) for n in range(3)]
        other = Someone(one.roster, signed(7, KeyId("key_2")))
        visitor = Someone(one.roster, Grounds(SessionId("ses_8"), UserId("usr_8"), PROJECT, UnixMs(10)))
        await caught_up(one, await world.withdraw())
        for someone in dead:
            await someone.ended.wait()
            [heard] = someone.heard
            assert isinstance(heard, TrustWithdrawn)
            assert heard.code is CloseCode.KEY_REVOKED
        assert other.heard == visitor.heard == []

    async def test_ends_many_in_slices_with_a_delay_drawn_for_each(self, world: World) -> None:
        one = await world.node()
        dead = [Someone(one.roster, signed(n)) for n in range(2 * SLICE + 1)]
        await caught_up(one, await world.withdraw())
        for someone in dead:
            await someone.ended.wait()
        delays = {someone.heard[0].after_ms for someone in dead}
        assert len(delays) > SLICE
        assert all(0 <= delay < len(dead) * 1_000 for delay in delays)

    async def test_spares_who_came_to_rest_on_something_else_before_their_turn(self, world: World) -> None:
        one = await world.node()
        refreshed, dead = Someone(one.roster, signed(1)), Someone(one.roster, signed(2))
        judged: list[CloseCode | None] = [CloseCode.KEY_REVOKED, None]
        refreshed.rests_on_withdrawn = lambda _: judged.pop(0)  # type: ignore[method-assign]
        await caught_up(one, await world.withdraw())
        await dead.ended.wait()
        await asyncio.gather(*one.node._tasks)
        assert (judged, refreshed.heard) == ([], [])

    async def test_is_confirmed_to_the_verb_with_the_number_of_sessions(self, world: World) -> None:
        one, two = await world.node(), await world.node()
        for n in range(3):
            Someone(one.roster, signed(n))
        Someone(two.roster, signed(9))
        entry = await world.withdraw()
        one.node.ring_doorbell()
        two.node.ring_doorbell()
        barrier = await world.control.barrier(entry)
        assert (barrier.complete, barrier.ended) == (True, 4)
        assert set(barrier.confirmed) == {one.node.id, two.node.id}

    async def test_of_a_person_or_a_session_ends_those_and_raises_no_fence(self, world: World) -> None:
        one = await world.node()
        person, session, other = (Someone(one.roster, signed(n)) for n in range(3))
        await world.withdraw("person", "usr_0", "signed_out", at=10)
        await caught_up(one, await world.withdraw("session", "ses_1", "session_signed_out"))
        await person.ended.wait()
        await session.ended.wait()
        assert (person.heard[0].code, session.heard[0].code) == (CloseCode.USER_REVOKED, CloseCode.SIGNED_OUT)
        assert other.heard == []
        assert await world.fences() == {0}

    async def test_of_an_agent_ends_sessions_judged_before_and_spares_later_logins(self, world: World) -> None:
        one = await world.node()

        def agent(judged: int) -> Someone:
            session = SessionId(f"ses_{judged}")
            grounds = Grounds(
                session, UserId("agt_1"), ProjectId(""), UnixMs(1), agent=AgentId("agt_1"), judged=Version(judged)
            )
            return Someone(one.roster, grounds)

        before, after = agent(0), agent(1)
        await caught_up(one, await world.withdraw("agent", "agt_1", "password_changed"))
        await before.ended.wait()
        assert after.heard == []

    async def test_is_done_by_a_node_that_starts_later(self, world: World) -> None:
        await world.withdraw()
        one = await world.node()
        assert one.node.trust.applied == 1
        assert one.node.judge(signed(1)) is CloseCode.KEY_REVOKED
        assert one.node.may_act


class TestLease:
    async def test_lets_act_from_the_moment_of_its_request_and_no_longer(self, world: World, clock: Clock) -> None:
        one = await world.node(lease_s=LEASE_S, start=False)

        def slow() -> None:
            clock.at += 1.0  # the answer takes a second

        one.line.before = slow
        await one.node.start()
        assert one.node.may_act
        assert one.node.lease_left_s == 2.0
        clock.at += 1.99
        assert one.node.may_act
        clock.at += 0.02
        assert not one.node.may_act
        assert one.node.lease_left_s == 0.0

    async def test_that_is_over_is_noticed_without_any_timer(self, world: World, clock: Clock) -> None:
        """After SIGSTOP a process wakes up in the middle of anything; the clock alone decides."""
        one = await world.node()
        clock.at += FOREVER_S + 1
        assert not one.node.may_act

    async def test_comes_back_only_after_catching_up(self, world: World, clock: Clock) -> None:
        one = await world.node()
        someone = Someone(one.roster, signed(1))
        back: asyncio.Queue[tuple[Version, Any]] = asyncio.Queue()
        one.node.on_lease = lambda: back.put_nowait((one.node.trust.applied, someone.group.withdrawn))
        clock.at += FOREVER_S + 1
        await world.withdraw()
        assert not one.node.may_act
        one.node.ring_doorbell()
        assert await back.get() == (1, CloseCode.KEY_REVOKED)
        assert one.node.may_act

    async def test_that_ends_while_the_store_is_asked_is_announced_as_back(self, world: World, clock: Clock) -> None:
        one = await world.node()
        back: asyncio.Queue[None] = asyncio.Queue()
        one.node.on_lease = lambda: back.put_nowait(None)
        clock.at += FOREVER_S - 1

        def slow() -> None:
            clock.at += 2  # the old lease ends before the answer comes

        one.line.before = slow
        one.node.ring_doorbell()
        await back.get()
        assert one.node.may_act

    async def test_that_never_ended_is_not_announced(self, world: World, clock: Clock) -> None:
        one = await world.node()
        announced: list[None] = []
        one.node.on_lease = lambda: announced.append(None)
        await caught_up(one, await world.withdraw())
        assert announced == []

    async def test_cut_off_for_long_sends_everybody_away(self, world: World, clock: Clock) -> None:
        one = await world.node()
        gone = asyncio.Event()
        one.node.on_cut_off = gone.set
        one.line.is_cut, one.line.asked = True, asyncio.Queue()
        for _ in range(2):
            one.node.ring_doorbell()
            await one.line.asked.get()
            await asyncio.sleep(0)
            assert not gone.is_set()
            clock.at += 5.1
        one.node.ring_doorbell()
        await gone.wait()

    async def test_of_a_store_that_stands_still_ends_everybody_ten_seconds_after_the_last_one(
        self, world: World, clock: Clock
    ) -> None:
        """Nothing fails: the renewal just hangs. What counts is when the last one was answered."""
        one = await world.node()
        gone, asked = asyncio.Event(), asyncio.Event()
        one.node.on_cut_off = gone.set

        async def silent(*_: Any) -> Renewal:
            asked.set()
            clock.at += 0.2
            return await asyncio.Event().wait()  # type: ignore[return-value]

        one.line.renew = silent
        clock.at += 9.9
        one.node.ring_doorbell()
        await asked.wait()
        assert not gone.is_set()
        try:
            async with asyncio.timeout(5):
                await gone.wait()
        finally:
            del one.line.renew

    async def test_is_given_back_at_the_end(self, world: World) -> None:
        one = await world.node()
        assert len((await Nodes(world.store).live())[0]) == 1
        await one.node.stop()
        assert (await Nodes(world.store).live())[0] == ()

    async def test_follows_the_stores_clock(self, world: World) -> None:
        one = await world.node()
        assert abs(one.node.now() - await world.store.now()) < 1_000

    async def test_survives_a_watermark_that_cannot_be_written(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = await world.node(file="mark.json")
        someone = Someone(one.roster, signed(1))

        def full(*_: Any) -> None:
            raise OSError("no space left on device")

        monkeypatch.setattr(Watermark, "save", full)
        await caught_up(one, await world.withdraw())
        await someone.ended.wait()
        monkeypatch.undo()
        await caught_up(one, await world.withdraw(subject="key_2"))
        assert len(Watermark(world.directory / "mark.json", world.store.id).load()) == 2


class TestCatchingUp:
    async def test_returns_when_the_fence_is_explained(self, world: World) -> None:
        one = await world.node()
        entry = await world.withdraw()
        await one.node.catch_up(Stale(entry.version), 3)
        assert one.node.trust.applied == entry.version

    async def test_writes_a_missing_fence_at_what_is_applied_now(self, world: World) -> None:
        one = await world.node()
        await world.withdraw()
        await world.store.redis.delete(schema.fence(3))
        await one.node.catch_up(Stale(None), 3)
        assert one.node.trust.applied == 1
        assert await world.store.redis.get(schema.fence(3)) == b"1"

    async def test_refuses_a_fence_that_nobody_can_explain(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(node_module, "HEAL_S", 0.0)
        one = await world.node()
        with pytest.raises(StoreUnavailable, match="fence"):
            await one.node.catch_up(Stale(99), 3)


class TestAbandonedEntry:
    async def test_is_completed_by_another_node_once_it_is_not_fresh_any_more(self, world: World, clock: Clock) -> None:
        one = await world.node()
        entry = await world.control.write(world.control.entry("key", PROJECT, KID, "revoked", UnixMs(5)))
        one.line.asked = asyncio.Queue()
        one.node.ring_doorbell()
        await one.line.asked.get()
        assert await world.control.versions() == (0, 1)
        while one.node._behind is None:
            await asyncio.sleep(0)
        back = asyncio.Event()
        clock.at += FOREVER_S / 3  # seen twice, and still left to its verb
        one.line.before = back.set
        one.node.ring_doorbell()
        await back.wait()
        await one.line.asked.get()
        assert (one.node._tasks, await world.control.versions()) == (set(), (0, 1))
        clock.at += FOREVER_S * 2 / 3 + 1
        one.node.ring_doorbell()
        await caught_up(one, entry)
        assert one.node.judge(signed(1)) is CloseCode.KEY_REVOKED
        await asyncio.gather(*one.node._tasks)
        assert await world.fences() == {1}

    async def test_that_cannot_be_completed_costs_no_lease(
        self, world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = await world.node()
        tried, may_go_on = asyncio.Event(), asyncio.Event()

        async def never(_: ControlEntry) -> None:
            tried.set()
            await may_go_on.wait()
            raise StoreUnavailable("a replica did not acknowledge in time")

        monkeypatch.setattr(world.control, "finish", never)
        await world.control.write(world.control.entry("key", PROJECT, KID, "revoked", UnixMs(5)))
        one.node.ring_doorbell()
        while one.node._behind is None:
            await asyncio.sleep(0)
        clock.at += FOREVER_S * 2 / 3 + 1
        one.node.ring_doorbell()
        await tried.wait()
        before = one.node.lease_left_s
        clock.at += 1
        one.line.asked = asyncio.Queue()
        one.node.ring_doorbell()
        await one.line.asked.get()
        while one.node.lease_left_s != before:
            await asyncio.sleep(0)
        may_go_on.set()
        await asyncio.gather(*one.node._tasks)


class TestRewoundStore:
    async def test_is_refused_until_what_it_lacks_stands_in_it_again(self, world: World) -> None:
        one = await world.node()
        entry = await world.withdraw()
        await caught_up(one, entry)
        acting: list[bool] = []
        reassert = one.node._reassert

        async def watching(again: ControlEntry) -> None:
            acting.append(one.node.may_act)
            await reassert(again)

        one.node._reassert = watching
        await world.store.redis.delete(schema.LOG, schema.VERSION)
        back = asyncio.Event()
        one.node.on_lease = back.set
        one.node.ring_doorbell()
        await back.wait()
        assert acting == [False]
        [again] = await world.control.read(Version(0), Version(99))
        assert (again.entry, again.version > entry.version) == (entry.entry, True)
        assert one.node.trust.applied == again.version
        assert await world.fences() == {again.version}
        assert [each.entry for each in world.reasserted] == [entry.entry]

    async def test_is_repaired_whole_although_the_repair_was_interrupted(self, world: World) -> None:
        """What was restored with the store is put right before the entry counts as being there."""
        one = await world.node()
        await caught_up(one, await world.withdraw())
        tried: list[ControlEntry] = []
        reassert = one.node._reassert

        async def fails_once(again: ControlEntry) -> None:
            tried.append(again)
            if len(tried) == 1:
                raise StoreUnavailable("away")
            await reassert(again)

        one.node._reassert = fails_once
        await world.store.redis.delete(schema.LOG, schema.VERSION)
        back = asyncio.Event()
        one.node.on_lease = back.set
        one.line.asked = asyncio.Queue()
        one.node.ring_doorbell()
        await one.line.asked.get()
        while not tried:
            await asyncio.sleep(0)
        one.node.ring_doorbell()
        await back.wait()
        assert len({entry.entry for entry in tried}) == len(world.reasserted) == 1
        assert len(await world.control.read(Version(0), Version(99))) == 1

    async def test_restored_from_an_older_copy_gets_back_what_came_after_it_and_keeps_what_it_had(
        self, world: World
    ) -> None:
        one = await world.node()
        old = await world.withdraw()
        copy = {name: await world.store.redis.dump(name) for name in (schema.LOG, schema.VERSION)}
        lost = [await world.withdraw(subject="key_2"), await world.withdraw("person", "usr_1", "blocked")]
        await caught_up(one, lost[-1])
        for name, dump in copy.items():
            await world.store.redis.restore(name, 0, dump, replace=True)
        back = asyncio.Event()
        one.node.on_lease = back.set
        one.node.ring_doorbell()
        await back.wait()
        entries = await world.control.read(Version(0), Version(99))
        assert [each.entry for each in entries] == [old.entry, *(each.entry for each in lost)]
        assert entries[0] == old
        assert min(each.version for each in entries[1:]) > lost[-1].version
        assert await world.control.versions() == (entries[-1].version, entries[-1].version)

    async def test_with_another_history_at_the_same_version_is_noticed_by_its_ids(self, world: World) -> None:
        one = await world.node()
        entry = await world.withdraw()
        await caught_up(one, entry)
        await world.store.redis.delete(schema.LOG, schema.VERSION)
        other = await world.withdraw(subject="key_9")
        assert other.version == entry.version
        back = asyncio.Event()
        one.node.on_lease = back.set
        one.node.ring_doorbell()
        await back.wait()
        assert one.node.trust.revoked_keys(PROJECT) == {KID, "key_9"}
        assert {each.entry for each in await world.control.read(Version(0), Version(99))} == {
            entry.entry, other.entry
        }  # fmt: skip

    async def test_is_repaired_once_however_many_nodes_notice(self, world: World) -> None:
        some = [await world.node() for _ in range(3)]
        entry = await world.withdraw()
        for one in some:
            await caught_up(one, entry)
        await world.store.redis.delete(schema.LOG, schema.VERSION)
        backs = []
        for one in some:
            back = asyncio.Event()
            one.node.on_lease = back.set
            backs.append(back)
            one.node.ring_doorbell()
        for back in backs:
            await back.wait()
        assert [each.entry for each in await world.control.read(Version(0), Version(99))] == [entry.entry]

    async def test_is_noticed_by_a_fresh_process_that_has_the_watermark(self, world: World) -> None:
        one = await world.node(file="mark.json")
        entry = await world.withdraw()
        await caught_up(one, entry)
        await one.node.stop()
        await world.store.redis.delete(schema.LOG, schema.VERSION)
        restarted = await world.node(file="mark.json")
        assert restarted.node.may_act
        assert restarted.node.judge(signed(1)) is CloseCode.KEY_REVOKED
        [again] = await world.control.read(Version(0), Version(99))
        assert (again.entry, again.version > entry.version) == (entry.entry, True)
        assert await world.fences() == {again.version}

    async def test_is_not_claimed_by_a_process_whose_watermark_agrees(self, world: World) -> None:
        one = await world.node(file="mark.json")
        entry = await world.withdraw()
        await caught_up(one, entry)
        await one.node.stop()
        restarted = await world.node(file="mark.json")
        assert restarted.node.may_act
        assert await world.control.read(Version(0), Version(99)) == [entry]
        assert world.reasserted == []


class TestPresence:
    async def test_is_what_living_nodes_report(self, world: World) -> None:
        one, two = await world.node(), await world.node(start=False)
        two.node.active_agents = lambda: {PROJECT: ["Ann"]}
        await two.node.start()
        changed: asyncio.Queue[set[ProjectId]] = asyncio.Queue()
        one.node.on_presence = changed.put_nowait
        one.node.ring_doorbell()
        assert await changed.get() == {PROJECT}
        assert one.node.presence == {PROJECT: ("Ann",)}
        assert one.node.live_nodes == {one.node.id, two.node.id}

    async def test_ends_with_the_nodes_lease(self, world: World) -> None:
        one, two = await world.node(start=False), await world.node(start=False)
        two.node.active_agents = lambda: {PROJECT: ["Ann"]}
        await two.node.start()
        await one.node.start()
        assert one.node.presence == {PROJECT: ("Ann",)}
        lease = await world.store.redis.hget(schema.NODES, two.node.id)
        expired = b'{"until":1,' + lease.split(b",", 1)[1]
        changed: asyncio.Queue[set[ProjectId]] = asyncio.Queue()
        one.node.on_presence = changed.put_nowait
        late = str(await world.store.now() - 1_000).encode()
        await world.store.redis.hset(schema.NODES, two.node.id, expired.replace(b":1,", b":" + late + b",", 1))
        one.node.ring_doorbell()
        assert await changed.get() == {PROJECT}
        assert (one.node.presence, one.node.live_nodes) == ({}, {one.node.id})


async def test_a_process_is_never_taken_for_its_predecessor(world: World) -> None:
    assert len({(await world.node(start=False)).node.id for _ in range(10)}) == 10
