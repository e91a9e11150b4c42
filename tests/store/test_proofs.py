"""Codes and counts: of many who ask or answer at once, each is counted and no more is allowed than may be."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from chatgateway.core.proof import LIFE_MS, PER_ADDRESS, PER_NETWORK, counted_as
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.proofs import Asked, Proofs
from chatgateway.types import ProjectId, UserId

SHOP, ADA = ProjectId("prj_shop"), UserId("usr_ada")
EMAIL, DIGEST = "ada@shop.example", b"\x00digest\xff"
SENT, SILENT = Asked("sent", 0), Asked("silent", 0)


@pytest.fixture
def proofs(store: Store) -> Proofs:
    return Proofs(store, per_hour_max=20)


async def ask(proofs: Proofs, user: str = ADA, email: str = EMAIL, network: str = "", digest: bytes = DIGEST) -> Asked:
    """Ask, each visitor from a network of their own unless told otherwise."""
    return await proofs.ask(SHOP, UserId(user), email, network or f"network of {user}", digest)


async def backdate(store: Store, to_whom: str, name: str, by_ms: int) -> None:
    """Make everything that was counted there older."""
    key = schema.sends(to_whom, name)
    instants: list[bytes] = await store.hot.ask(("LRANGE", key, 0, -1))
    for index, instant in enumerate(instants):
        await store.hot.ask("LSET", [key], [index, int(instant) - by_ms])


class TestAsk:
    async def test_remembers_a_code_for_as_long_as_it_holds(self, store: Store, proofs: Proofs) -> None:
        assert await ask(proofs) == SENT
        left_ms: Any = await store.hot.ask("PTTL", [schema.proof(SHOP, ADA)], [])
        assert 0 < left_ms <= LIFE_MS
        pending = await proofs.attempt(SHOP, ADA)
        assert pending is not None
        assert (pending.email, pending.digest, pending.tries) == (EMAIL, DIGEST, 1)

    async def test_again_replaces_the_code_and_its_tries(self, proofs: Proofs) -> None:
        await ask(proofs)
        for _ in range(3):
            await proofs.attempt(SHOP, ADA)
        await ask(proofs, email="other@shop.example", digest=b"2")
        pending = await proofs.attempt(SHOP, ADA)
        assert pending is not None
        assert (pending.email, pending.digest, pending.tries) == ("other@shop.example", b"2", 1)

    async def test_for_one_visitor_touches_no_other_visitor_and_no_other_project(self, proofs: Proofs) -> None:
        await ask(proofs)
        assert await proofs.attempt(SHOP, UserId("usr_bob")) is None
        assert await proofs.attempt(ProjectId("prj_bar"), ADA) is None

    async def test_of_a_network_that_had_its_share_is_refused_and_leaves_the_code_before(self, proofs: Proofs) -> None:
        for number in range(PER_NETWORK.max):
            assert await ask(proofs, email=f"a{number}@x.co", network="n", digest=b"%d" % number) == SENT
        outcome, wait_ms = await ask(proofs, email="new@x.co", network="n", digest=b"new")
        assert outcome == "network"
        assert PER_NETWORK.window_ms - 60_000 < wait_ms <= PER_NETWORK.window_ms
        pending = await proofs.attempt(SHOP, ADA)
        assert pending is not None
        assert pending.digest == b"2"

    async def test_holds_its_limit_in_any_window_not_only_in_those_that_begin_with_a_count(
        self, store: Store, proofs: Proofs
    ) -> None:
        await ask(proofs, email="a@x.co", network="n")
        await backdate(store, "network", "n", PER_NETWORK.window_ms - 60_000)
        await ask(proofs, email="b@x.co", network="n")
        await ask(proofs, email="c@x.co", network="n")
        assert (await ask(proofs, email="d@x.co", network="n")).wait_ms <= 60_000
        await backdate(store, "network", "n", 60_000)
        # The first one is out of the window, the later two are not: one more, not three.
        assert await ask(proofs, email="e@x.co", network="n") == SENT
        assert (await ask(proofs, email="f@x.co", network="n")).outcome == "network"

    async def test_for_an_address_that_had_its_share_remembers_what_no_answer_meets(self, proofs: Proofs) -> None:
        for number in range(PER_ADDRESS[0].max):
            assert await ask(proofs, user=f"usr_{number}", email=f"Ada+{number}@shop.example") == SENT
        assert await ask(proofs) == SILENT
        pending = await proofs.attempt(SHOP, ADA)
        assert pending is not None
        assert (pending.email, pending.digest) == (EMAIL, b"")

    async def test_for_one_address_is_sent_no_more_often_in_a_day_than_may_be(
        self, store: Store, proofs: Proofs
    ) -> None:
        short, day = PER_ADDRESS
        outcomes = []
        for number in range(day.max + 2):
            outcomes.append((await ask(proofs, user=f"usr_{number}")).outcome)
            await backdate(store, "address", counted_as(EMAIL), short.window_ms)
        assert outcomes == ["sent"] * day.max + ["silent"] * 2
        await backdate(store, "address", counted_as(EMAIL), day.window_ms)
        assert await ask(proofs, user="usr_tomorrow") == SENT

    async def test_has_a_ceiling_for_everybody_together(self, proofs: Proofs) -> None:
        for number in range(20):
            assert await ask(proofs, user=f"usr_{number}", email=f"a{number}@x.co") == SENT
        outcome, wait_ms = await ask(proofs, user="usr_late", email="late@x.co")
        assert outcome == "everybody"
        assert wait_ms > 3_500_000
        assert await proofs.attempt(SHOP, UserId("usr_late")) is None

    async def test_at_once_is_sent_no_more_often_than_one_after_the_other(self, proofs: Proofs) -> None:
        asked = await asyncio.gather(*(ask(proofs, email=f"a{number}@x.co", network="n") for number in range(12)))
        assert sorted(one.outcome for one in asked) == ["network"] * 9 + ["sent"] * 3
        asked = await asyncio.gather(*(ask(proofs, user=f"usr_{number}", email="b@x.co") for number in range(12)))
        assert sorted(one.outcome for one in asked) == ["sent"] * 3 + ["silent"] * 9

    async def test_leaves_nothing_behind_for_ever(self, store: Store, proofs: Proofs) -> None:
        await ask(proofs)
        names = [schema.sends("network", f"network of {ADA}"), schema.sends("everybody", "")]
        for key in (schema.proof(SHOP, ADA), schema.sends("address", counted_as(EMAIL)), *names):
            left_ms: Any = await store.hot.ask("PTTL", [key], [])
            assert 0 < left_ms <= 24 * 3_600_000, key

    async def test_shows_no_address_in_the_names_of_its_keys(self, store: Store, proofs: Proofs) -> None:
        await ask(proofs, user="usr_{x}*", email="ada@shop.example")
        names: list[bytes] = await store.hot.ask("KEYS", [], ["*"])
        assert not [name for name in names if b"ada" in name or b"usr_" in name]


class TestAttempt:
    async def test_at_once_counts_each_answer(self, proofs: Proofs) -> None:
        await ask(proofs)
        answers = await asyncio.gather(*(proofs.attempt(SHOP, ADA) for _ in range(20)))
        assert sorted(answer.tries for answer in answers if answer) == list(range(1, 21))

    async def test_without_a_code_counts_nothing(self, store: Store, proofs: Proofs) -> None:
        assert await proofs.attempt(SHOP, ADA) is None
        assert await store.hot.ask("EXISTS", [schema.proof(SHOP, ADA)], []) == 0

    async def test_after_its_life_finds_nothing(self, store: Store, proofs: Proofs) -> None:
        await ask(proofs)
        soon = int(time.time() * 1000) + 1
        await store.hot.ask("PEXPIREAT", [schema.proof(SHOP, ADA)], [soon])
        while await store.now() <= soon:
            await asyncio.sleep(0)
        assert await proofs.attempt(SHOP, ADA) is None


class TestUse:
    async def test_is_granted_to_one_of_many(self, proofs: Proofs) -> None:
        await ask(proofs)
        pending = await proofs.attempt(SHOP, ADA)
        assert pending is not None
        used = await asyncio.gather(*(proofs.use(SHOP, ADA, pending) for _ in range(10)))
        assert sorted(used) == [False] * 9 + [True]
        assert await proofs.attempt(SHOP, ADA) is None

    async def test_leaves_a_newer_code_alone(self, proofs: Proofs) -> None:
        await ask(proofs)
        pending = await proofs.attempt(SHOP, ADA)
        assert pending is not None
        await ask(proofs, digest=b"newer")
        assert not await proofs.use(SHOP, ADA, pending)
        assert await proofs.attempt(SHOP, ADA) is not None
