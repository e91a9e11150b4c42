"""One external id is one person, however many sign in at once, and signed claims win field by field."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import pytest

from chatgateway.core.token import Verified
from chatgateway.errors import IdentityConflict
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.identities import Identifier, Identities
from chatgateway.types import ExternalId, KeyId, ProjectId, UnixMs, UserId

PROJECT, OTHER = ProjectId("prj_1"), ProjectId("prj_2")


@pytest.fixture
async def store(fresh_store: str) -> AsyncIterator[Store]:
    store = await Store.open(fresh_store)
    yield store
    await store.close()


@pytest.fixture
def people(store: Store) -> Identities:
    return Identities(store)


def claims(external_id: str, name: str = "", email: str = "", *, email_verified: bool = False) -> Verified:
    return Verified(KeyId("key_1"), ExternalId(external_id), name, email, email_verified, UnixMs(1), UnixMs(2))


class TestFirstSignIn:
    async def test_of_200_at_once_makes_one_person(self, store: Store, people: Identities) -> None:
        signing_in = [
            people.find_or_create(PROJECT, claims("42", "Anna"), UserId(f"usr_{number}")) for number in range(200)
        ]
        assert len({person.user for person in await asyncio.gather(*signing_in)}) == 1
        assert len(await people.list_people(PROJECT)) == 1

    async def test_takes_the_proposed_id(self, people: Identities) -> None:
        person = await people.find_or_create(PROJECT, claims("42", "Anna", "a@x.example"), UserId("usr_1"))
        assert person == await people.get(PROJECT, UserId("usr_1"))
        assert (person.external_id, person.name, person.email) == ("42", "Anna", "a@x.example")
        assert person.signed == ("email", "external_id", "name")
        assert person.created_at == person.updated_at > 0

    async def test_in_another_project_makes_another_person(self, people: Identities) -> None:
        one = await people.find_or_create(PROJECT, claims("42"), UserId("usr_1"))
        two = await people.find_or_create(OTHER, claims("42"), UserId("usr_2"))
        assert (one.user, two.user) == ("usr_1", "usr_2")

    @pytest.mark.parametrize("external_id", ["a}:{b", "*", "{ctl}", "usr_1", "x:y", "é", "E\u0301"])
    async def test_takes_every_id_as_it_is(self, store: Store, people: Identities, external_id: str) -> None:
        await people.find_or_create(PROJECT, claims("plain"), UserId("usr_0"))
        person = await people.find_or_create(PROJECT, claims(external_id), UserId("usr_9"))
        assert (person.user, person.external_id) == ("usr_9", external_id)
        names = [name async for name in store.redis.scan_iter(match="cg:*:id:*")]
        assert all(name.split(b":")[-1].isalnum() for name in names)

    async def test_that_died_half_way_is_finished_by_the_next(self, store: Store, people: Identities) -> None:
        await people.identify(PROJECT, [Identifier("external_id", "42")], UserId("usr_1"))
        assert await people.get(PROJECT, UserId("usr_1")) is None
        person = await people.find_or_create(PROJECT, claims("42", "Anna"), UserId("usr_2"))
        assert (person.user, person.name) == ("usr_1", "Anna")
        assert await people.find_by_external_id(PROJECT, ExternalId("42")) == person


class TestLaterSignIn:
    async def test_updates_what_is_said_and_keeps_the_rest(self, people: Identities) -> None:
        await people.find_or_create(PROJECT, claims("42", "Anna", "a@x.example"), UserId("usr_1"))
        person = await people.find_or_create(PROJECT, claims("42", "Anna Bell"), UserId("usr_2"))
        assert (person.user, person.name, person.email) == ("usr_1", "Anna Bell", "a@x.example")

    async def test_that_says_nothing_new_writes_nothing(self, store: Store, people: Identities) -> None:
        first = await people.find_or_create(PROJECT, claims("42", "Anna"), UserId("usr_1"))
        assert await people.find_or_create(PROJECT, claims("42", "Anna"), UserId("usr_2")) == first
        assert await store.redis.hget(schema.person(PROJECT, first.user), "revision") == b"1"

    async def test_of_many_at_once_loses_no_field(self, people: Identities) -> None:
        await people.find_or_create(PROJECT, claims("42"), UserId("usr_1"))
        await asyncio.gather(
            *(people.find_or_create(PROJECT, claims("42", name="Anna"), UserId("x")) for _ in range(10)),
            *(people.find_or_create(PROJECT, claims("42", email="a@x.example"), UserId("x")) for _ in range(10)),
            people.set_blocked(PROJECT, UserId("usr_1"), True),
        )
        person = await people.get(PROJECT, UserId("usr_1"))
        assert person is not None
        assert (person.name, person.email, person.blocked) == ("Anna", "a@x.example", True)


class TestEmailProof:
    async def test_comes_with_a_verified_claim(self, people: Identities) -> None:
        person = await people.find_or_create(
            PROJECT, claims("42", email="a@x.example", email_verified=True), UserId("usr_1")
        )
        assert person.email_proved

    async def test_does_not_pass_to_another_address(self, people: Identities) -> None:
        await people.find_or_create(PROJECT, claims("42", email="a@x.example", email_verified=True), UserId("usr_1"))
        same = await people.find_or_create(PROJECT, claims("42", email="a@x.example"), UserId("x"))
        other = await people.find_or_create(PROJECT, claims("42", email="b@x.example"), UserId("x"))
        assert (same.email_proved, other.email_proved) == (True, False)


class TestSeveralIdentifiers:
    ids = (Identifier("external_id", "42"), Identifier("email", "a@x.example"))

    async def test_of_nobody_become_one_person(self, people: Identities) -> None:
        assert await people.identify(PROJECT, self.ids, UserId("usr_1")) == "usr_1"
        for identifier in self.ids:
            assert await people.identify(PROJECT, [identifier], UserId("usr_2")) == "usr_1"

    async def test_one_known_one_unknown_are_the_known_person(self, people: Identities) -> None:
        await people.identify(PROJECT, self.ids[1:], UserId("usr_1"))
        assert await people.identify(PROJECT, self.ids, UserId("usr_2")) == "usr_1"
        assert await people.identify(PROJECT, self.ids[:1], UserId("usr_3")) == "usr_1"

    async def test_of_two_people_are_refused_and_nobody_is_changed(self, store: Store, people: Identities) -> None:
        await people.identify(PROJECT, self.ids[:1], UserId("usr_1"))
        await people.identify(PROJECT, self.ids[1:], UserId("usr_2"))
        names = sorted([name async for name in store.redis.scan_iter(match="cg:*:id:*")])
        held = await asyncio.gather(*(store.redis.get(name) for name in names))
        with pytest.raises(IdentityConflict):
            await people.identify(PROJECT, [Identifier("alias", "anna"), *self.ids], UserId("usr_3"))
        assert sorted([name async for name in store.redis.scan_iter(match="cg:*:id:*")]) == names
        assert await asyncio.gather(*(store.redis.get(name) for name in names)) == held

    async def test_of_another_kind_with_the_same_text_are_another_person(self, people: Identities) -> None:
        await people.identify(PROJECT, [Identifier("external_id", "42")], UserId("usr_1"))
        assert await people.identify(PROJECT, [Identifier("alias", "42")], UserId("usr_2")) == "usr_2"


class TestPeople:
    async def test_are_listed_last_updated_first(self, store: Store, people: Identities) -> None:
        for number in range(5):
            await people.find_or_create(PROJECT, claims(f"{number}"), UserId(f"usr_{number}"))
        for number in (3, 1):
            user = UserId(f"usr_{number}")
            at = 4_000_000_000_000 - number
            await store.redis.zadd(schema.people(schema.partition_of_user(PROJECT, user), PROJECT), {user: at})
        assert [person.user for person in await people.list_people(PROJECT, limit=2)] == ["usr_1", "usr_3"]
        assert len(await people.list_people(PROJECT)) == 5
        assert await people.list_people(OTHER) == []

    async def test_who_are_unknown_are_nobody(self, people: Identities) -> None:
        assert await people.get(PROJECT, UserId("usr_9")) is None
        assert await people.find_by_external_id(PROJECT, ExternalId("42")) is None

    async def test_can_be_blocked_and_unblocked(self, people: Identities) -> None:
        person = await people.find_or_create(PROJECT, claims("42", "Anna"), UserId("usr_1"))
        blocked = await people.set_blocked(PROJECT, person.user, True)
        assert blocked == dataclasses.replace(person, blocked=True, updated_at=blocked.updated_at)
        assert (await people.find_or_create(PROJECT, claims("42", "Anna B."), UserId("x"))).blocked
        assert not (await people.set_blocked(PROJECT, person.user, False)).blocked

    async def test_can_be_blocked_before_anything_is_known_of_them(self, people: Identities) -> None:
        await people.set_blocked(PROJECT, UserId("usr_anonymous"), True)
        (person,) = await people.list_people(PROJECT)
        assert (person.user, person.blocked) == ("usr_anonymous", True)
