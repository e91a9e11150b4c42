"""Session rows: written only while trust lasts, by the store's clock, and kept 90 days."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from tests.store.talking import PARTITION, PROJECT, VISITOR, Talk

from chatgateway.errors import Conflict, Stale, Withdrawn
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.control import Control
from chatgateway.store.sessions import KEPT_MS, SessionRow, Sessions, address_block, closed, here
from chatgateway.types import NodeId, ProjectId, SessionId, UnixMs, UserId, Version

USER, SESSION = VISITOR.user, SessionId("ses_1")
ROW = SessionRow(
    project=PROJECT, user=USER, app="app_1", kid="key_1", assurance="signed", origin="https://shop.example",
    address_block="192.0.2.0/24", page="https://shop.example/?q=%22}", client="widget/1.0", node="nod_1",
)  # fmt: skip


@pytest.fixture
def sessions(store: Store) -> Sessions:
    return Sessions(store)


async def bind(sessions: Sessions, session: SessionId = SESSION, row: SessionRow = ROW, version: int = 0) -> UnixMs:
    """Bind, and return when trust was established."""
    return UnixMs((await sessions.bind(session, row, Version(version), await sessions._store.now())).signed_at)


class TestBind:
    async def test_records_the_session_by_the_stores_clock(self, store: Store, sessions: Sessions) -> None:
        before = await store.now()
        signed_at = await bind(sessions)
        row = await sessions.get(PROJECT, USER, SESSION)
        assert before <= signed_at <= await store.now()
        assert row == msgspec.structs.replace(ROW, bound_at=signed_at, signed_at=signed_at)

    async def test_again_keeps_the_instant_at_which_trust_was_established(self, sessions: Sessions) -> None:
        first = await bind(sessions)
        again = await bind(sessions, row=msgspec.structs.replace(ROW, signed_at=first - 500))
        row = await sessions.get(PROJECT, USER, SESSION)
        assert again == first - 500
        assert row is not None
        assert (row.signed_at, row.bound_at >= first) == (first - 500, True)

    async def test_made_from_a_row_that_was_refreshed_since_by_another_key_changes_nothing(
        self, sessions: Sessions
    ) -> None:
        now = await sessions._store.now()
        read = await sessions.bind(SESSION, ROW, Version(0), now)
        await asyncio.sleep(0.002)  # the store's clock counts in milliseconds
        refreshed = await sessions.bind(SESSION, msgspec.structs.replace(ROW, kid="key_2"), Version(0), now)
        with pytest.raises(Conflict):
            await sessions.bind(SESSION, msgspec.structs.replace(read, bound_at=0), Version(0), now, read.bound_at)
        assert await sessions.get(PROJECT, USER, SESSION) == refreshed
        again = msgspec.structs.replace(refreshed, bound_at=0, page="/next")
        await sessions.bind(SESSION, again, Version(0), now, refreshed.bound_at)
        row = await sessions.get(PROJECT, USER, SESSION)
        assert row is not None
        assert (row.kid, row.page) == ("key_2", "/next")

    async def test_below_the_fence_is_stale_and_writes_nothing(self, store: Store, sessions: Sessions) -> None:
        await store.redis.set(schema.fence(PARTITION), 4)
        with pytest.raises(Stale) as refused:
            await bind(sessions, version=3)
        assert refused.value.fence == 4
        assert await sessions.of_person(PROJECT, USER) == {}

    async def test_without_a_fence_is_stale(self, store: Store, sessions: Sessions) -> None:
        await store.redis.delete(schema.fence(PARTITION))
        with pytest.raises(Stale) as refused:
            await bind(sessions)
        assert refused.value.fence is None

    async def test_that_carries_more_raises_the_fence(self, store: Store, sessions: Sessions) -> None:
        await bind(sessions, version=6)
        assert await store.redis.get(schema.fence(PARTITION)) == b"6"
        await bind(sessions, SessionId("ses_2"), version=6)
        assert await store.redis.get(schema.fence(PARTITION)) == b"6"

    async def test_at_or_before_the_instant_of_signing_out_is_refused(self, store: Store, sessions: Sessions) -> None:
        await Control(store).mark_person(PROJECT, USER, [PARTITION], "*", "5000")
        with pytest.raises(Withdrawn, match="signed_out"):
            await bind(sessions, row=msgspec.structs.replace(ROW, signed_at=5_000))
        assert await bind(sessions, row=msgspec.structs.replace(ROW, signed_at=5_001)) == 5_001

    async def test_in_the_very_millisecond_of_signing_out_is_refused(self, store: Store, sessions: Sessions) -> None:
        """A fresh session is bound now: only one that is bound strictly later than the mark lives."""
        ahead = await store.now() + 60_000
        await Control(store).mark_person(PROJECT, USER, [PARTITION], "*", str(ahead))
        with pytest.raises(Withdrawn):
            await bind(sessions)

    async def test_of_a_blocked_person_is_refused_however_fresh(self, store: Store, sessions: Sessions) -> None:
        await Control(store).mark_person(PROJECT, USER, [PARTITION], "blocked", "1")
        with pytest.raises(Withdrawn, match="blocked"):
            await bind(sessions)

    async def test_of_a_session_that_was_ended_is_refused_and_others_are_not(
        self, store: Store, sessions: Sessions
    ) -> None:
        await Control(store).mark_person(PROJECT, USER, [PARTITION], SESSION, "session_signed_out")
        with pytest.raises(Withdrawn, match="session_signed_out"):
            await bind(sessions)
        await bind(sessions, SessionId("ses_2"))

    async def test_of_a_row_that_was_bound_already_only_looks(self, store: Store, sessions: Sessions) -> None:
        """An exchange over HTTP must neither hide the session's socket nor bring back what it read a while ago."""
        await bind(sessions)
        held = await sessions.get(PROJECT, USER, SESSION)
        assert held is not None
        known = msgspec.structs.replace(held, bound_at=held.bound_at - 5, kid="key_0")
        assert await sessions.bind(SESSION, known, Version(0), await store.now()) == known
        assert await sessions.get(PROJECT, USER, SESSION) == held
        await store.redis.set(schema.fence(PARTITION), 5)
        with pytest.raises(Stale):
            await sessions.bind(SESSION, known, Version(4), await store.now())
        await Control(store).mark_person(PROJECT, USER, [PARTITION], SESSION, "session_signed_out")
        with pytest.raises(Withdrawn):
            await sessions.bind(SESSION, known, Version(5), await store.now())

    async def test_drops_rows_of_more_than_90_days_and_no_others(self, store: Store, sessions: Sessions) -> None:
        now = await store.now()
        for name, age in (("ses_old", KEPT_MS + 60_000), ("ses_kept", KEPT_MS - 60_000)):
            row = msgspec.json.encode(msgspec.structs.replace(ROW, bound_at=now - age, signed_at=1))
            await store.redis.hset(schema.person(PROJECT, USER, "x"), name, row)
            await store.redis.zadd(schema.person(PROJECT, USER, "xs"), {name: now - age})
        await bind(sessions)
        assert set(await sessions.of_person(PROJECT, USER)) == {"ses_kept", SESSION}


class TestRows:
    async def test_of_a_person_are_theirs_alone(self, sessions: Sessions) -> None:
        await bind(sessions)
        await bind(sessions, SessionId("ses_2"), msgspec.structs.replace(ROW, project="prj_2"))
        assert set(await sessions.of_person(PROJECT, USER)) == {SESSION}
        assert await sessions.get(PROJECT, USER, SessionId("ses_2")) is None
        assert set(await sessions.of_project(ProjectId("prj_2"))) == {"ses_2"}

    async def test_of_a_project_are_found_in_every_partition(self, sessions: Sessions) -> None:
        for n in range(30):
            await bind(sessions, SessionId(f"ses_{n}"), msgspec.structs.replace(ROW, user=f"usr_{n}"))
        await bind(sessions, SessionId("ses_x"), msgspec.structs.replace(ROW, project="prj_10"))
        found = await sessions.of_project(PROJECT)
        assert set(found) == {f"ses_{n}" for n in range(30)}

    async def test_say_when_and_why_a_socket_closed(self, sessions: Sessions) -> None:
        await bind(sessions)
        row = await sessions.get(PROJECT, USER, SESSION)
        assert row is not None
        noted = asyncio.get_running_loop().create_future()
        sessions.keep(SESSION, closed(row, UnixMs(77), 4301), noted.set_result)
        await noted
        after = await sessions.get(PROJECT, USER, SESSION)
        assert after == msgspec.structs.replace(row, node="", closed_at=77, close_code=4301)
        assert here(after, NodeId("nod_2")) == msgspec.structs.replace(row, node="nod_2")

    async def test_keep_the_last_word_of_whoever_bound_last(self, sessions: Sessions) -> None:
        await bind(sessions)
        row = await sessions.get(PROJECT, USER, SESSION)
        assert row is not None
        for known, written in ((row.bound_at - 1, 0), (row.bound_at, 1)):
            noted = asyncio.get_running_loop().create_future()
            account = closed(msgspec.structs.replace(row, bound_at=known), UnixMs(77), 4301)
            sessions.keep(SESSION, account, noted.set_result)
            assert await noted == written
        noted = asyncio.get_running_loop().create_future()
        sessions.keep(SessionId("ses_gone"), row, noted.set_result)
        assert await noted == 0
        assert set(await sessions.of_person(PROJECT, USER)) == {SESSION}

    async def test_hold_no_field_but_those_that_were_given(self, store: Store, sessions: Sessions) -> None:
        await bind(sessions)
        raw = json.loads(await store.redis.hget(schema.person(PROJECT, USER, "x"), SESSION))
        assert set(raw) == {name for name in ROW.__struct_fields__ if getattr(ROW, name)} | {"bound_at", "signed_at"}


class TestPartitionsOfAPerson:
    async def test_are_their_own_and_those_of_the_conversations_that_they_joined(
        self, store: Store, sessions: Sessions
    ) -> None:
        await Talk(store).begin()
        assert await sessions.partitions(PROJECT, USER) == {PARTITION}

    async def test_include_that_of_the_visitor_they_were_before(self, sessions: Sessions) -> None:
        earlier = UserId("usr_earlier")
        await bind(sessions, row=msgspec.structs.replace(ROW, earlier=earlier))
        theirs = schema.partition_of_user(PROJECT, earlier)
        assert theirs != PARTITION
        assert await sessions.partitions(PROJECT, USER) == {PARTITION, theirs}


async def test_marks_of_a_person_are_those_of_their_own_partition(store: Store, sessions: Sessions) -> None:
    assert await sessions.marks(PROJECT, USER) == {}
    await Control(store).mark_person(PROJECT, USER, [PARTITION, 3], "blocked", "9")
    await Control(store).mark_person(PROJECT, USER, [3], "*", "9")
    assert await sessions.marks(PROJECT, USER) == {"blocked": "9"}


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("testclient", ""),
        ("", ""),
    ],
)
def test_an_address_is_kept_as_its_network(address: str, block: str) -> None:
    assert address_block(address) == block
