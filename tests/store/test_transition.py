"""A record, its control-log entry and its audit entry change together, once, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chatgateway.core.rotation import ControlEntry
from chatgateway.errors import AdminRejected, Conflict, NameTaken, StoreUnavailable
from chatgateway.store import schema
from chatgateway.store.admins import Admins
from chatgateway.store.audit import Audit
from chatgateway.store.client import Store
from chatgateway.store.script import Script
from chatgateway.store.sealing import MasterKey, Sealer
from chatgateway.store.transition import NameClaim, RecordPlace, read_record, read_records, transition
from chatgateway.types import ProjectId, UnixMs, Version

PLACE = RecordPlace(schema.PROJECTS, "prj_1:")


@pytest.fixture
async def store(fresh_store: str) -> AsyncIterator[Store]:
    store = await Store.open(fresh_store)
    yield store
    await store.close()


@pytest.fixture
def audit(store: Store) -> Audit:
    return Audit(store, Sealer((MasterKey(b"m" * 32),)))


def control(entry: str) -> ControlEntry:
    return ControlEntry(entry, "key", ProjectId("prj_1"), "key_1", "regenerated", UnixMs(1_795_000_000_000))


class TestRecord:
    async def test_grows_by_one_revision_with_each_change(self, store: Store) -> None:
        assert (await transition(store, PLACE, value=b"one")).revision == 1
        assert (await transition(store, PLACE, expected=1, value=b"two")).revision == 2
        assert await read_record(store, PLACE) == (2, b"two")

    async def test_that_changed_since_it_was_read_is_not_overwritten(self, store: Store) -> None:
        await transition(store, PLACE, value=b"one")
        with pytest.raises(Conflict):
            await transition(store, PLACE, value=b"other", control=control("e1"))
        assert await read_record(store, PLACE) == (1, b"one")
        assert await store.redis.xlen(schema.LOG) == 0

    async def test_is_written_by_one_of_many_at_once(self, store: Store) -> None:
        writers = [transition(store, PLACE, value=b"%d" % number) for number in range(20)]
        outcomes = await asyncio.gather(*writers, return_exceptions=True)
        assert sum(not isinstance(outcome, Conflict) for outcome in outcomes) == 1

    async def test_is_listed_by_its_id_until_it_is_removed(self, store: Store) -> None:
        await transition(store, PLACE, value=b"one", claim=NameClaim("first", "prj_1"))
        await transition(store, RecordPlace(schema.PROJECTS, "prj_2:"), value=b"two")
        assert await read_records(store, schema.PROJECTS) == {"prj_1": b"one", "prj_2": b"two"}
        await transition(store, PLACE, expected=1, claim=NameClaim("first", "prj_1"))
        assert await store.redis.hkeys(schema.PROJECTS) == [b"prj_2:revision", b"prj_2:value"]

    async def test_cannot_take_anothers_name(self, store: Store) -> None:
        await transition(store, PLACE, value=b"one", claim=NameClaim("maria", "prj_1"))
        with pytest.raises(NameTaken, match="maria"):
            await transition(
                store, RecordPlace(schema.PROJECTS, "prj_2:"), value=b"two", claim=NameClaim("maria", "prj_2")
            )
        await transition(store, PLACE, expected=1, value=b"more", claim=NameClaim("maria", "prj_1"))


class TestControlEntry:
    async def test_has_the_next_version_and_is_not_committed(self, store: Store) -> None:
        first = await transition(store, None, control=control("e1"))
        second = await transition(store, PLACE, value=b"one", control=control("e2"))
        assert first.control is not None
        assert second.control is not None
        assert (first.control.version, second.control.version) == (Version(1), Version(2))
        assert await store.redis.hget(schema.VERSION, "committed") is None

    async def test_says_whose_trust_is_withdrawn_and_why(self, store: Store) -> None:
        await transition(store, None, control=control("e1"))
        ((identifier, fields),) = await store.redis.xrange(schema.LOG)
        assert identifier == b"1-0"
        assert fields == {
            b"entry": b"e1",
            b"kind": b"key",
            b"project": b"prj_1",
            b"subject": b"key_1",
            b"why": b"regenerated",
            b"at": b"1795000000000",
        }


class TestRepeat:
    async def test_by_a_store_that_executes_twice_changes_nothing_and_answers_the_same(
        self, store: Store, audit: Audit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replies: list[Any] = []
        run = Script.run

        async def twice(self: Script, *args: Any) -> Any:
            replies.append(await run(self, *args))
            # Somebody else comes in between: the repeat must still answer as the first time.
            if len(replies) == 1:
                await store.redis.hset(schema.PROJECTS, "prj_1:revision", 7)
            replies.append(await run(self, *args))
            return replies[-1]

        monkeypatch.setattr(Script, "run", twice)
        async with audit.recorded("root", "key regenerate", "key_1", project="prj_1") as recording:
            applied = await transition(store, PLACE, value=b"one", control=control("e1"), intent=recording)
        assert replies[0] == replies[1] == [b"OK", b"1", b"1"]
        assert applied.revision == 1
        assert await store.redis.xlen(schema.LOG) == 1
        assert [entry.step for entry in await audit.entries("prj_1")] == ["intent", "result"]

    async def test_after_a_lost_answer_finds_what_the_first_call_did(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lost = ["the first answer"]
        run = Script.run

        async def losing(self: Script, *args: Any) -> Any:
            reply = await run(self, *args)
            if lost:
                raise StoreUnavailable(lost.pop())
            return reply

        monkeypatch.setattr(Script, "run", losing)
        assert (await transition(store, PLACE, value=b"one", control=control("e1"))).revision == 1
        assert await store.redis.xlen(schema.LOG) == 1

    async def test_is_remembered_for_a_while_only(self, store: Store) -> None:
        await transition(store, PLACE, value=b"one")
        (key,) = [key async for key in store.redis.scan_iter(match="cg:{ctl}:req:*")]
        assert 0 < await store.redis.ttl(key) <= 3600


class TestOnTheWordOfAnAdminToken:
    """A verb is judged when it begins, in the script that writes it: between the two nothing can be revoked."""

    async def test_that_was_revoked_nothing_is_written(self, store: Store, audit: Audit) -> None:
        admins = Admins(store)
        admin, _ = await admins.create("Stolen")
        await admins.revoke(admin.id)
        with pytest.raises(AdminRejected):
            async with audit.recorded("stolen", "key add", "k1", project="prj_1", admin=admin.id) as recording:
                await transition(store, PLACE, value=b"one", control=control("e1"), intent=recording)
        assert await read_record(store, PLACE) == (0, b"")
        assert await store.redis.xlen(schema.LOG) == 0
        assert await audit.entries("prj_1") == []

    async def test_that_was_revoked_a_verb_fails_for_the_reason_that_it_has(self, store: Store, audit: Audit) -> None:
        """That its failure cannot be written down is not why it failed."""
        admins = Admins(store)
        admin, _ = await admins.create("Stolen")
        await admins.revoke(admin.id)
        with pytest.raises(Conflict):
            async with audit.recorded("stolen", "key add", "k1", project="prj_1", admin=admin.id):
                raise Conflict("before it began")

    async def test_that_was_never_made_nothing_is_written(self, store: Store, audit: Audit) -> None:
        with pytest.raises(AdminRejected):
            async with audit.recorded("nobody", "key add", "k1", project="prj_1", admin="adm_nobody") as recording:
                await recording.begin()
        assert await audit.entries("prj_1") == []

    async def test_that_is_good_a_verb_is_carried_out(self, store: Store, audit: Audit) -> None:
        admins = Admins(store)
        admin, _ = await admins.create('a name with "revoked_at":1 in it')
        await admins.revoke((await admins.create("Another"))[0].id)
        async with audit.recorded("good", "key add", "k1", project="prj_1", admin=admin.id) as recording:
            await transition(store, PLACE, value=b"one", intent=recording)
        assert await read_record(store, PLACE) == (1, b"one")

    async def test_that_is_revoked_meanwhile_what_has_begun_ends(self, store: Store, audit: Audit) -> None:
        """A verb of which half was done is worse than one that was done."""
        admins = Admins(store)
        admin, _ = await admins.create("Server")
        async with audit.recorded("server", "user block", "usr_1", project="prj_1", admin=admin.id) as recording:
            await recording.begin()
            await admins.revoke(admin.id)
            await transition(store, PLACE, value=b"one", control=control("e1"), intent=recording)
        assert await read_record(store, PLACE) == (1, b"one")
        assert [(entry.step, entry.result) for entry in await audit.entries("prj_1")] == [
            ("intent", ""), ("result", "done"),
        ]  # fmt: skip
