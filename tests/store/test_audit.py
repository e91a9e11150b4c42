"""Every admin verb leaves one intent and one result, and whoever tampers with them in the store is found."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from chatgateway.core.audit import EMPTY
from chatgateway.errors import KeyUnknown
from chatgateway.store import schema
from chatgateway.store.audit import Audit
from chatgateway.store.client import Store
from chatgateway.store.sealing import MasterKey, Sealer
from chatgateway.store.transition import RecordPlace, transition
from chatgateway.types import KeyId

KEY, EARLIER = MasterKey(b"k" * 32), MasterKey(b"e" * 32)
CHAIN = schema.audit("prj_1")


@pytest.fixture
async def store(fresh_store: str) -> AsyncIterator[Store]:
    store = await Store.open(fresh_store)
    yield store
    await store.close()


@pytest.fixture
def audit(store: Store) -> Audit:
    return Audit(store, Sealer((KEY,)))


async def verbs(audit: Audit, count: int) -> None:
    for number in range(count):
        async with audit.recorded("root", "key revoke", f"key_{number}", project="prj_1"):
            pass


class TestRecordedVerb:
    async def test_leaves_an_intent_and_a_result(self, audit: Audit) -> None:
        async with audit.recorded("root@host", "key regenerate", "key_1", project="prj_1") as recording:
            recording.fingerprint = "0123456789abcdef"
            recording.result = "12 of 12 nodes confirmed"
        intent, result = await audit.entries("prj_1")
        assert (intent.step, intent.result) == ("intent", "")
        assert (result.step, result.result) == ("result", "12 of 12 nodes confirmed")
        for entry in (intent, result):
            assert (entry.actor, entry.verb, entry.target) == ("root@host", "key regenerate", "key_1")
            assert (entry.request, entry.fingerprint) == (recording.request, "0123456789abcdef")

    async def test_has_its_intent_chained_in_by_the_change_itself(self, store: Store, audit: Audit) -> None:
        async with audit.recorded("root", "project create", "prj_1", project="prj_1") as recording:
            assert await audit.entries("prj_1") == []
            await transition(store, RecordPlace(schema.PROJECTS, "prj_1:"), value=b"{}", intent=recording)
            assert [entry.step for entry in await audit.entries("prj_1")] == ["intent"]
        assert [entry.step for entry in await audit.entries("prj_1")] == ["intent", "result"]

    async def test_has_its_intent_before_the_deed_when_it_says_so(self, audit: Audit) -> None:
        async with audit.recorded("root", "session end", "ses_1", project="prj_1") as recording:
            await recording.begin()
            assert [entry.step for entry in await audit.entries("prj_1")] == ["intent"]

    async def test_that_fails_says_so_and_raises_on(self, audit: Audit) -> None:
        with pytest.raises(KeyUnknown):
            async with audit.recorded("root", "key revoke", "key_9", project="prj_1"):
                raise KeyUnknown(KeyId("key_9"))
        assert [entry.result for entry in await audit.entries("prj_1")] == ["", "failed: KeyUnknown"]

    async def test_of_one_project_is_not_in_anothers_chain(self, audit: Audit) -> None:
        await verbs(audit, 1)
        async with audit.recorded("root", "agent add", "Maria"):
            pass
        assert len(await audit.entries("prj_1")) == len(await audit.entries("")) == 2

    async def test_beside_others_at_the_same_time_finds_its_place(self, audit: Audit) -> None:
        await asyncio.gather(*(verbs(audit, 1) for _ in range(4)))
        assert [entry.seq for entry in await audit.entries("prj_1")] == list(range(1, 9))
        assert await audit.verify("prj_1") is None


class TestListing:
    async def test_gives_the_newest_so_many_oldest_first(self, audit: Audit) -> None:
        await verbs(audit, 3)
        assert [entry.seq for entry in await audit.entries("prj_1", limit=2)] == [5, 6]

    async def test_of_nothing_is_empty(self, audit: Audit) -> None:
        assert await audit.entries("prj_1") == []
        assert await audit.head("prj_1") == EMPTY
        assert await audit.verify("prj_1") is None


class TestTampering:
    @pytest.fixture(autouse=True)
    async def recorded(self, audit: Audit) -> None:
        await verbs(audit, 3)
        assert await audit.verify("prj_1") is None

    async def _rewrite(self, store: Store, rows: list[bytes]) -> None:
        await store.redis.delete(CHAIN)
        for position, row in enumerate(rows, 1):
            await store.redis.xadd(CHAIN, {"e": row}, id=f"{position}-0")

    async def _rows(self, store: Store) -> list[bytes]:
        return [fields[b"e"] for _, fields in await store.redis.xrange(CHAIN)]

    async def test_by_a_flip_is_found(self, store: Store, audit: Audit) -> None:
        rows = await self._rows(store)
        rows[2] = json.dumps(json.loads(rows[2]) | {"actor": "nobody"}).encode()
        await self._rewrite(store, rows)
        assert await audit.verify("prj_1") == (3, "altered")

    async def test_by_garbage_is_found(self, store: Store, audit: Audit) -> None:
        rows = await self._rows(store)
        rows[2] = b"gone"
        await self._rewrite(store, rows)
        assert await audit.verify("prj_1") == (3, "altered")

    async def test_by_deleting_is_found(self, store: Store, audit: Audit) -> None:
        await store.redis.xdel(CHAIN, "3-0")
        assert await audit.verify("prj_1") == (3, "out of place")

    async def test_by_inserting_is_found(self, store: Store, audit: Audit) -> None:
        rows = await self._rows(store)
        await self._rewrite(store, [*rows[:2], rows[1], *rows[2:]])
        assert await audit.verify("prj_1") == (3, "out of place")

    async def test_by_appending_without_the_key_is_found(self, store: Store) -> None:
        await verbs(Audit(store, Sealer((EARLIER,))), 1)
        assert await Audit(store, Sealer((KEY,))).verify("prj_1") == (7, "altered")

    async def test_by_reordering_is_found(self, store: Store, audit: Audit) -> None:
        rows = await self._rows(store)
        await self._rewrite(store, [rows[0], rows[2], rows[1], *rows[3:]])
        assert await audit.verify("prj_1") == (2, "out of place")

    async def test_by_cutting_is_found(self, store: Store, audit: Audit) -> None:
        await self._rewrite(store, (await self._rows(store))[:4])
        assert await audit.verify("prj_1") == (5, "cut")

    async def test_by_cutting_head_and_all_is_found_with_a_published_head(self, store: Store, audit: Audit) -> None:
        published = await audit.head("prj_1")
        await store.redis.delete(CHAIN, schema.audit_head("prj_1"))
        assert await audit.verify("prj_1") is None
        assert await audit.verify("prj_1", published) == (1, "cut")


async def test_a_chain_begun_under_an_earlier_master_key_still_verifies(store: Store) -> None:
    await verbs(Audit(store, Sealer((EARLIER,))), 1)
    audit = Audit(store, Sealer((KEY, EARLIER)))
    await verbs(audit, 1)
    assert await audit.verify("prj_1") is None
