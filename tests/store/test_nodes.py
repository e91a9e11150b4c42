"""Leases: who lives by the store's clock, and what each renewal tells."""

from __future__ import annotations

import msgspec
import pytest

from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.control import Control
from chatgateway.store.nodes import FORGET_MS, Nodes, Report
from chatgateway.types import NodeId, ProjectId, UnixMs

ONE, TWO = NodeId("host-1"), NodeId("host-2")


@pytest.fixture
def nodes(store: Store) -> Nodes:
    return Nodes(store)


class TestRenewal:
    async def test_says_until_when_by_the_stores_clock(self, store: Store, nodes: Nodes) -> None:
        before = await store.now()
        renewal = await nodes.renew(ONE, 3_000, Report(applied=0, host="h", pid=7))
        assert before <= renewal.now <= await store.now()
        [lease] = renewal.leases
        assert (lease.node, lease.until, lease.host, lease.pid) == (ONE, renewal.now + 3_000, "h", 7)

    async def test_says_who_else_lives_and_what_they_report(self, nodes: Nodes) -> None:
        report = Report(applied=4, sessions=9, ended={"e1": 3}, agents={"prj_1": ["Ann", 'Bo "B"']})
        await nodes.renew(ONE, 3_000, report)
        renewal = await nodes.renew(TWO, 3_000, Report())
        others = {lease.node: lease for lease in renewal.leases}
        assert set(others) == {ONE, TWO}
        seen = {name: getattr(others[ONE], name) for name in Report.__struct_fields__}
        assert seen == msgspec.structs.asdict(report)

    async def test_says_what_was_committed_and_which_entry_stands_at_the_applied_version(
        self, store: Store, nodes: Nodes
    ) -> None:
        control = Control(store)
        first = await control.write(control.entry("key", ProjectId("prj_1"), "key_1", "revoked", UnixMs(1)))
        await control.finish(first)
        second = await control.write(control.entry("key", ProjectId("prj_1"), "key_2", "revoked", UnixMs(1)))
        renewal = await nodes.renew(ONE, 3_000, Report(applied=1))
        assert (renewal.committed, renewal.reserved) == (first.version, second.version) == (1, 2)
        assert renewal.entry_at_applied == first.entry
        assert (await nodes.renew(ONE, 3_000, Report(applied=9))).entry_at_applied == ""
        assert (await nodes.renew(ONE, 3_000, Report(applied=0))).entry_at_applied == ""

    async def test_keeps_an_expired_lease_in_sight_for_a_while(self, store: Store, nodes: Nodes) -> None:
        await nodes.renew(ONE, 1, Report())
        await store.redis.hset(schema.NODES, ONE, await lease(store, until=-5_000))
        renewal = await nodes.renew(TWO, 3_000, Report())
        assert {each.node: each.until > renewal.now for each in renewal.leases} == {ONE: False, TWO: True}

    async def test_forgets_who_is_dead_for_long(self, store: Store, nodes: Nodes) -> None:
        await store.redis.hset(schema.NODES, ONE, await lease(store, until=-FORGET_MS - 1_000))
        renewal = await nodes.renew(TWO, 3_000, Report())
        assert [each.node for each in renewal.leases] == [TWO]
        assert not await store.redis.hexists(schema.NODES, ONE)


async def lease(store: Store, until: int) -> bytes:
    """A lease that ends ``until`` ms from now."""
    report = msgspec.json.encode(Report())[1:]
    return f'{{"until":{await store.now() + until},'.encode() + report


async def test_a_lease_that_is_given_back_is_nobodys(nodes: Nodes) -> None:
    await nodes.renew(ONE, 3_000, Report())
    renewal = await nodes.renew(ONE, 0, Report())
    assert renewal.leases == ()
    assert (await nodes.live())[0] == ()


async def test_the_living_are_told_with_the_stores_time(store: Store, nodes: Nodes) -> None:
    await nodes.renew(ONE, 3_000, Report(sessions=2))
    [one], now = await nodes.live()
    assert (one.node, one.sessions, now < one.until <= now + 3_000) == (ONE, 2, True)
