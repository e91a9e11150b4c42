"""Whom a rule would have refused, and which tokens named two people: the latest first, never in anybody's way."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.store.conftest import Proxy

from chatgateway.core.person import Identifier
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.reports import KEPT_MAX, ConflictReport, Report, Reports
from chatgateway.types import AppId, ProjectId

PROJECT, OTHER, APP = ProjectId("prj_1"), ProjectId("prj_2"), AppId("app_1")
TWO = (Identifier("external_id", "42"), Identifier("email", "a@x.example"))


@pytest.fixture
async def store(fresh_store: str) -> AsyncIterator[Store]:
    store = await Store.open(fresh_store)
    yield store
    await store.close()


@pytest.fixture
def reports(store: Store) -> Reports:
    return Reports(store)


class TestReports:
    async def test_are_told_the_latest_first(self, store: Store, reports: Reports) -> None:
        then = await store.now()
        reports.note(PROJECT, APP, "policy", origin="https://x.example", user="usr_1", detail="no token")
        reports.note(PROJECT, APP, "require_expiry")
        latest = await reports.latest(PROJECT)
        assert [report.rule for report in latest] == ["require_expiry", "policy"]
        assert latest[1] == Report(
            app=APP, rule="policy", origin="https://x.example", user="usr_1", detail="no token", at=latest[1].at
        )
        assert then <= latest[1].at <= await store.now()

    async def test_of_another_project_are_another_list(self, reports: Reports) -> None:
        reports.note(PROJECT, APP, "policy")
        assert await reports.latest(OTHER) == []
        assert await reports.conflicts(PROJECT) == []

    async def test_are_as_many_as_asked_for(self, reports: Reports) -> None:
        for number in range(5):
            reports.note(PROJECT, APP, f"rule {number}")
        assert [report.rule for report in await reports.latest(PROJECT, limit=2)] == ["rule 4", "rule 3"]

    async def test_forget_the_oldest(self, store: Store, reports: Reports) -> None:
        for number in range(KEPT_MAX + 400):
            reports.note(PROJECT, APP, f"{number}")
        latest = await reports.latest(PROJECT, limit=10_000)
        assert latest[0].rule == f"{KEPT_MAX + 399}"
        # The server trims by whole nodes of the stream: a little more than asked for may be left.
        assert KEPT_MAX <= len(latest) < KEPT_MAX + 400
        assert await store.redis.xlen(schema.reports(PROJECT)) == len(latest)


class TestConflicts:
    async def test_name_the_identifiers(self, reports: Reports) -> None:
        reports.conflict(PROJECT, APP, TWO)
        (conflict,) = await reports.conflicts(PROJECT)
        assert conflict == ConflictReport(app=APP, identifiers=TWO, at=conflict.at)
        assert await reports.latest(PROJECT) == []


async def test_a_line_that_cannot_be_written_is_a_line_less(proxy: Proxy) -> None:
    store = await Store.open(proxy.url)
    try:
        reports = Reports(store)
        await proxy.close()
        reports.note(PROJECT, APP, "lost")
        reports.conflict(PROJECT, APP, TWO)
        await proxy.open()
        while not store.hot.connected:
            await store.hot.ask("PING")
        assert len(await reports.latest(PROJECT)) <= 1
    finally:
        await store.close()
