"""An admin token is shown once, remembered by its digest only, and dead the moment it is revoked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from chatgateway.core.rotation import ControlEntry
from chatgateway.errors import AdminRejected, NotFound
from chatgateway.store import schema
from chatgateway.store.admins import USED_EVERY_MS, Admins
from chatgateway.store.client import Store
from chatgateway.types import AdminId, ProjectId, UnixMs, Version

SHOP, OTHER = ProjectId("prj_shop"), ProjectId("prj_other")


@pytest.fixture
async def store(fresh_store: str) -> AsyncIterator[Store]:
    store = await Store.open(fresh_store)
    yield store
    await store.close()


@pytest.fixture
def admins(store: Store) -> Admins:
    return Admins(store)


async def everything(store: Store) -> bytes:
    return b"".join([name + await store.redis.dump(name) async for name in store.redis.scan_iter()])


class TestToken:
    async def test_finds_its_record(self, admins: Admins) -> None:
        made, token = await admins.create(" Shop's server ", (SHOP, OTHER, SHOP))
        found = await admins.find(token)
        assert (found.id, found.name, found.projects) == (made.id, "Shop's server", (SHOP, OTHER))
        assert found.last_four == token[-4:]
        assert made.id.startswith("adm_")

    async def test_is_not_in_the_store(self, store: Store, admins: Admins) -> None:
        _, token = await admins.create("server")
        await admins.find(token)
        stored = await everything(store)
        assert token.encode() not in stored
        assert token[4:47].encode() not in stored

    async def test_is_another_each_time_under_the_same_name(self, admins: Admins) -> None:
        (one, first), (two, second) = [await admins.create("server") for _ in range(2)]
        assert one.id != two.id
        assert first != second

    @pytest.mark.parametrize("text", ["", "cga_", "cga_" + "0" * 43 + "_000000", "\ud800", "cgs_live_x", "eyJ.a.b"])
    async def test_that_nobody_made_is_rejected(self, admins: Admins, text: str) -> None:
        await admins.create("server")
        with pytest.raises(AdminRejected):
            await admins.find(text)

    async def test_with_a_good_checksum_that_nobody_made_is_rejected(self, store: Store, admins: Admins) -> None:
        _, token = await admins.create("server")
        await store.redis.delete(schema.ADMINS)
        with pytest.raises(AdminRejected):
            await admins.find(token)

    async def test_with_a_bad_name_is_not_made(self, admins: Admins) -> None:
        with pytest.raises(ValueError, match="name"):
            await admins.create(" ")
        assert await admins.list_admins() == []


class TestRevoked:
    async def test_is_rejected_and_its_bearer_is_told_why(self, admins: Admins) -> None:
        made, token = await admins.create("server")
        _, spared = await admins.create("server")
        await admins.revoke(made.id)
        with pytest.raises(AdminRejected) as rejected:
            await admins.find(token)
        assert "was revoked" in str(rejected.value)
        with pytest.raises(AdminRejected) as rejected:
            await admins.find(token[:-1] + ("a" if token[-1] != "a" else "b"))
        assert "revoked" not in str(rejected.value), "only who has the very token learns that it ever was one"
        assert await admins.find(spared)

    async def test_stays_on_the_list(self, admins: Admins) -> None:
        made, _ = await admins.create("server")
        ended = (await admins.revoke(made.id)).admin
        assert ended.revoked
        assert await admins.list_admins() == [ended]

    async def test_twice_keeps_its_first_end_and_writes_its_entry_again(self, store: Store, admins: Admins) -> None:
        made, _ = await admins.create("server", (SHOP,))
        ended = [
            await admins.revoke(
                made.id, control=ControlEntry(f"e{number}", "key", SHOP, made.kid, "revoked", UnixMs(number))
            )
            for number in (1, 2)
        ]
        assert ended[0].admin == ended[1].admin
        assert [one.control.version for one in ended if one.control] == [Version(1), Version(2)]
        assert await store.redis.xlen(schema.LOG) == 2

    async def test_by_several_at_once_is_revoked(self, admins: Admins) -> None:
        made, token = await admins.create("server")
        await asyncio.gather(*(admins.revoke(made.id) for _ in range(4)))
        with pytest.raises(AdminRejected):
            await admins.find(token)

    async def test_that_is_unknown_is_not_found(self, store: Store, admins: Admins) -> None:
        with pytest.raises(NotFound):
            await admins.revoke(AdminId("adm_none"))
        assert not await store.redis.exists(schema.ADMINS)


class TestLastUse:
    async def test_is_noted_once_a_minute_and_process(
        self, store: Store, admins: Admins, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, token = await admins.create("server")
        assert (await admins.get(made.id)).last_used_at is None
        await admins.find(token)
        first = (await admins.get(made.id)).last_used_at
        assert first is not None

        async def later(by_ms: int) -> UnixMs | None:
            async def now() -> UnixMs:
                return UnixMs(first + by_ms)

            monkeypatch.setattr(store, "now", now)
            await admins.find(token)
            return (await admins.list_admins())[0].last_used_at

        assert await later(USED_EVERY_MS - 1) == first
        assert await later(USED_EVERY_MS) == first + USED_EVERY_MS

    async def test_outlives_a_change_of_the_record(self, admins: Admins) -> None:
        made, token = await admins.create("server")
        await admins.find(token)
        used = (await admins.get(made.id)).last_used_at
        assert (await admins.revoke(made.id)).admin.last_used_at == used


class TestList:
    async def test_of_a_project_has_those_that_are_good_for_it(self, admins: Admins) -> None:
        everywhere, _ = await admins.create("all")
        shop, _ = await admins.create("shop", (SHOP,))
        other, _ = await admins.create("other", (OTHER,))
        assert {admin.id for admin in await admins.list_admins()} == {everywhere.id, shop.id, other.id}
        assert {admin.id for admin in await admins.list_admins(SHOP)} == {everywhere.id, shop.id}
