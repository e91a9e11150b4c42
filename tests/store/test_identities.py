"""What names people, however many sign in at once; what is said of them, and by whom.

Names that begin with a letter and a number are rows of the vendors' behaviours, at the distance of the store.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from chatgateway.core.person import Description, Identifier, Person
from chatgateway.errors import IdentityConflict, Stale
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.identities import Identities
from chatgateway.store.script import Script
from chatgateway.types import ExternalId, KeyId, ProjectId, UnixMs, UserId, Version

PROJECT, OTHER = ProjectId("prj_1"), ProjectId("prj_2")
EXTERNAL, EMAIL, ADDRESS = (
    Identifier("external_id", "42"), Identifier("email", "a@x.example"), Identifier("deskpro_email", "a@x.example"),
)  # fmt: skip


@pytest.fixture
async def store(fresh_store: str) -> AsyncIterator[Store]:
    store = await Store.open(fresh_store)
    yield store
    await store.close()


@pytest.fixture
def people(store: Store) -> Identities:
    return Identities(store)


async def found(
    people: Identities,
    *names: Identifier | str,
    proposed: str = "usr_new",
    project: ProjectId = PROJECT,
    version: Version | None = None,
    **said: Any,
) -> Person:
    """Sign somebody in. A text is an external id."""
    identifiers = [Identifier("external_id", name) if isinstance(name, str) else name for name in names]
    return await people.find_or_create(project, identifiers, Description(**said), UserId(proposed), version)


async def dump(store: Store) -> dict[bytes, bytes]:
    """Every key and what it holds, but for when it expires."""
    names = sorted([name async for name in store.redis.scan_iter(match="cg:*", count=1000)])
    return {name: await store.redis.dump(name) for name in names}


class TestFirstSignIn:
    async def test_of_200_at_once_makes_one_person(self, people: Identities) -> None:
        signing_in = [found(people, "42", proposed=f"usr_{number}", name="Anna") for number in range(200)]
        assert len({person.user for person in await asyncio.gather(*signing_in)}) == 1
        assert len(await people.list_people(PROJECT)) == 1

    async def test_of_200_at_once_by_different_identifiers_of_one_person_makes_one_person(
        self, store: Store, people: Identities
    ) -> None:
        dice = random.Random(42)
        sets = [(EXTERNAL, *dice.sample((EMAIL, ADDRESS), dice.randrange(3))) for _ in range(200)]
        signing_in = [found(people, *names, proposed=f"usr_{number}") for number, names in enumerate(sets)]
        (user,) = {person.user for person in await asyncio.gather(*signing_in)}
        (person,) = await people.list_people(PROJECT)
        assert (person.user, set(person.identifiers)) == (user, {EXTERNAL, EMAIL, ADDRESS})
        assert await pointed_at(store) == {user}
        hashes = [name async for name in store.redis.scan_iter(match="cg:*:u:prj_1:*", count=1000)]
        assert hashes == [schema.person(PROJECT, user).encode()]  # nothing is left of the other 199 proposals

    async def test_takes_the_proposed_id(self, people: Identities) -> None:
        person = await found(people, "42", proposed="usr_1", name="Anna", email="a@x.example")
        assert person == await people.get(PROJECT, UserId("usr_1"))
        assert (person.external_id, person.name, person.email) == ("42", "Anna", "a@x.example")
        assert person.signed == ("email", "external_id", "name")
        assert person.created_at == person.updated_at > 0

    async def test_never_makes_somebody_of_who_is_somebody(self, people: Identities) -> None:
        await found(people, "42", proposed="usr_1")
        await people.prove_email(PROJECT, UserId("usr_2"), "b@x.example")
        for proposed in ("usr_1", "usr_2"):
            assert (await found(people, f"of {proposed}", proposed=proposed)).user not in ("usr_1", "usr_2")

    async def test_in_another_project_makes_another_person(self, people: Identities) -> None:
        one = await found(people, "42", proposed="usr_1")
        two = await found(people, "42", proposed="usr_2", project=OTHER)
        assert (one.user, two.user) == ("usr_1", "usr_2")

    @pytest.mark.parametrize("external_id", ["a}:{b", "*", "{ctl}", "usr_1", "x:y", "é", "E\u0301"])
    async def test_takes_every_id_as_it_is(self, store: Store, people: Identities, external_id: str) -> None:
        await found(people, "plain", proposed="usr_0")
        person = await found(people, external_id, proposed="usr_9")
        assert (person.user, person.external_id) == ("usr_9", external_id)
        assert (await people.find_by_external_id(PROJECT, ExternalId(external_id))) == person
        names = [name async for name in store.redis.scan_iter(match="cg:*:id:*")]
        assert len(names) == 2
        assert all(len(name.rpartition(b":")[2]) == 40 for name in names)

    async def test_that_died_half_way_is_finished_by_the_next(self, store: Store, people: Identities) -> None:
        """It had reserved one of two identifiers for a user who was never recorded."""
        await reserve(store, EMAIL, "usr_dead")
        person = await found(people, EXTERNAL, EMAIL, proposed="usr_1")
        assert (person.user, person.identifiers) == ("usr_1", (EXTERNAL, EMAIL))
        assert await pointed_at(store) == {"usr_1"}

    async def test_that_was_only_slow_begins_anew_when_another_took_its_place(
        self, store: Store, people: Identities, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Taken for dead, it must not make a person whom no identifier names."""
        slow: Any = Identities(store)
        reached, gate, write = asyncio.Event(), asyncio.Event(), slow._records.write

        async def held(*arguments: Any) -> Any:
            reached.set()
            await gate.wait()
            return await write(*arguments)

        monkeypatch.setattr(slow._records, "write", held)
        late = asyncio.create_task(found(slow, "42", proposed="usr_slow", language="de"))
        await reached.wait()
        assert (await found(people, "42", proposed="usr_1", name="Anna")).user == "usr_1"
        gate.set()
        person = await late
        assert (person.user, person.name, person.language) == ("usr_1", "Anna", "de")
        assert [one.user for one in await people.list_people(PROJECT)] == ["usr_1"]

    async def test_takes_over_what_named_who_is_gone(self, store: Store, people: Identities) -> None:
        """Erased, and the identifier still points at a user who stood for them."""
        await store.redis.hset(schema.person(PROJECT, UserId("usr_gone")), "erased", 5)
        await store.redis.hset(schema.person(PROJECT, UserId("usr_stand_in")), "moved", "usr_gone")
        await reserve(store, EXTERNAL, "usr_gone")
        await reserve(store, EMAIL, "usr_stand_in")
        assert (await found(people, EXTERNAL, EMAIL, proposed="usr_1")).user == "usr_1"


async def reserve(store: Store, identifier: Identifier, user: str) -> None:
    digest = schema.identifier_digest(*identifier)
    await store.redis.set(schema.identifier(PROJECT, digest), user)


async def pointed_at(store: Store) -> set[str]:
    names = [name async for name in store.redis.scan_iter(match="cg:*:id:*", count=1000)]
    return {(await store.redis.get(name)).decode() for name in names}


class TestSignInAgain:
    async def test_A5_updates_what_is_said_and_keeps_the_rest(self, people: Identities) -> None:
        await found(people, "42", proposed="usr_1", name="Anna", email="a@x.example")
        person = await found(people, "42", proposed="usr_2", name="Anna B.")
        assert (person.user, person.name, person.email) == ("usr_1", "Anna B.", "a@x.example")

    async def test_that_says_nothing_new_writes_nothing(self, store: Store, people: Identities) -> None:
        await found(people, EXTERNAL, EMAIL, name="Anna")
        before = await dump(store)
        await found(people, EMAIL, EXTERNAL, name="Anna")
        assert await dump(store) == before

    async def test_of_many_at_once_loses_no_field(self, people: Identities) -> None:
        await found(people, "42", proposed="usr_1")
        await asyncio.gather(
            *(found(people, "42", name="Anna") for _ in range(10)),
            *(found(people, "42", email="a@x.example") for _ in range(10)),
            people.set_blocked(PROJECT, UserId("usr_1"), True),
        )
        person = await people.get(PROJECT, UserId("usr_1"))
        assert person is not None
        assert (person.name, person.email, person.blocked) == ("Anna", "a@x.example", True)

    async def test_reads_records_from_before_there_were_identifiers(self, store: Store, people: Identities) -> None:
        user = UserId("usr_old")
        old = {"user": user, "external_id": "42", "name": "Anna", "signed": ["external_id", "name"], "created_at": 5}
        await store.redis.hset(schema.person(PROJECT, user), mapping={"revision": 3, "value": msgspec.json.encode(old)})
        await reserve(store, EXTERNAL, user)
        person = await found(people, EXTERNAL, EMAIL)
        assert (person.user, person.name, person.created_at) == (user, "Anna", 5)
        assert person.identifiers == (EXTERNAL, EMAIL)


class TestSeveralIdentifiers:
    async def test_of_nobody_become_one_person(self, people: Identities) -> None:
        person = await found(people, EXTERNAL, EMAIL, proposed="usr_1")
        assert (person.user, person.identifiers) == ("usr_1", (EXTERNAL, EMAIL))
        for identifier in (EXTERNAL, EMAIL):
            assert await people.find(PROJECT, identifier) == person

    async def test_D4_one_known_one_unknown_are_the_known_person(self, store: Store, people: Identities) -> None:
        await found(people, EMAIL, proposed="usr_1", name="Anna")
        assert (await found(people, EXTERNAL, EMAIL, proposed="usr_2", name="Anna B.")).user == "usr_1"
        hashes = [name async for name in store.redis.scan_iter(match="cg:*:u:prj_1:*", count=1000)]
        assert hashes == [schema.person(PROJECT, UserId("usr_1")).encode()]
        assert await pointed_at(store) == {"usr_1"}
        person = await found(people, EXTERNAL, proposed="usr_3")
        assert (person.user, person.name, person.identifiers) == ("usr_1", "Anna B.", (EMAIL, EXTERNAL))

    async def test_A6_D10_of_two_people_are_refused_and_nobody_is_changed(
        self, store: Store, people: Identities
    ) -> None:
        await found(people, EXTERNAL, proposed="usr_1", name="Anna")
        await found(people, EMAIL, proposed="usr_2", name="Bob")
        before = await dump(store)
        with pytest.raises(IdentityConflict):
            await found(people, ADDRESS, EXTERNAL, EMAIL, proposed="usr_3", name="Mallory")
        assert await dump(store) == before

    async def test_that_turn_out_to_be_two_people_leave_no_trace(
        self, store: Store, people: Identities, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another signs in with the last identifier when all but it are reserved already."""
        await found(people, EXTERNAL, proposed="usr_1")
        careless: Any = Identities(store)
        point, names = careless._identifiers._point, []

        async def interrupted(one: Any, user: str, version: Any) -> bool:
            names.append(one.key)
            if len(names) == 2:
                other = next(some for some in (EMAIL, ADDRESS) if key_of(some) == one.key)
                await found(people, other, proposed="usr_2")
            return await point(one, user, version)

        monkeypatch.setattr(careless._identifiers, "_point", interrupted)
        with pytest.raises(IdentityConflict):
            await found(careless, EXTERNAL, EMAIL, ADDRESS, proposed="usr_3", name="Mallory")
        assert await pointed_at(store) == {"usr_1", "usr_2"}
        assert {(one.user, len(one.identifiers), one.name) for one in await people.list_people(PROJECT)} == {
            ("usr_1", 1, ""),
            ("usr_2", 1, ""),
        }

    async def test_of_another_kind_with_the_same_text_are_another_person(self, people: Identities) -> None:
        assert (await found(people, EMAIL, proposed="usr_1")).user == "usr_1"
        assert (await found(people, ADDRESS, proposed="usr_2")).user == "usr_2"

    async def test_must_be_at_least_one(self, people: Identities) -> None:
        with pytest.raises(ValueError, match="at least one"):
            await found(people)


def key_of(identifier: Identifier) -> str:
    return schema.identifier(PROJECT, schema.identifier_digest(*identifier))


class TestVersion:
    """What a token verified before a fence rose says afterwards changes nobody."""

    @pytest.mark.parametrize("where", ["identifier", "person"])
    async def test_behind_the_fence_changes_nobody(self, store: Store, people: Identities, where: str) -> None:
        (partition,) = {
            "identifier": {schema.partition_of_identifier(PROJECT, schema.identifier_digest(*EXTERNAL))},
            "person": {schema.partition_of_user(PROJECT, UserId("usr_1"))},
        }[where]
        await raise_fence(store, partition, 5)
        before = await dump(store)
        with pytest.raises(Stale) as refused:
            await found(people, EXTERNAL, EMAIL, proposed="usr_1", version=Version(4), name="Mallory")
        assert (refused.value.fence, refused.value.partition) == (5, partition)
        assert await dump(store) == before
        assert (await found(people, EXTERNAL, EMAIL, proposed="usr_1", version=Version(5))).user == "usr_1"

    async def test_behind_the_fence_of_a_known_person_gives_them_nothing(
        self, store: Store, people: Identities
    ) -> None:
        await found(people, EXTERNAL, proposed="usr_1")
        await raise_fence(store, schema.partition_of_user(PROJECT, UserId("usr_1")), 5)
        with pytest.raises(Stale):
            await found(people, EXTERNAL, proposed="usr_2", version=Version(4), name="Mallory")
        person = await people.get(PROJECT, UserId("usr_1"))
        assert person is not None
        assert person.name == ""

    async def test_behind_the_fence_of_the_proposed_user_gives_a_known_person_no_identifier(
        self, store: Store, people: Identities
    ) -> None:
        """Reserved before the verb returned, decided after it."""
        await found(people, EXTERNAL, proposed="usr_1")
        await raise_fence(store, schema.partition_of_user(PROJECT, UserId("usr_2")), 5)
        before = await dump(store)
        with pytest.raises(Stale):
            await found(people, EXTERNAL, EMAIL, proposed="usr_2", version=Version(4))
        assert await dump(store) == before

    @pytest.mark.parametrize("where", ["identifier", "person", "proposed"])
    async def test_where_the_fence_is_missing_is_refused(self, store: Store, people: Identities, where: str) -> None:
        await found(people, EXTERNAL, proposed="usr_1")
        partition = {
            "identifier": schema.partition_of_identifier(PROJECT, schema.identifier_digest(*EMAIL)),
            "person": schema.partition_of_user(PROJECT, UserId("usr_1")),
            "proposed": schema.partition_of_user(PROJECT, UserId("usr_2")),
        }[where]
        await store.redis.delete(schema.fence(partition))
        with pytest.raises(Stale) as refused:
            await found(people, EXTERNAL, EMAIL, proposed="usr_2", version=Version(4))
        assert (refused.value.fence, refused.value.partition) == (None, partition)


async def raise_fence(store: Store, partition: int, version: int) -> None:
    await store.hot.ask(Script("fence"), [schema.fence(partition)], [version])


class TestUpsert:
    async def test_D14_gives_the_id_that_a_small_token_may_name_later(self, people: Identities) -> None:
        person, created = await people.upsert(PROJECT, [EXTERNAL], Description(name="Anna"), UserId("usr_1"))
        assert (person.user, person.name, created) == ("usr_1", "Anna", True)
        token = await found(people, Identifier("deskpro_id", "usr_1"), proposed="usr_2")
        assert token == person

    async def test_repeated_changes_nothing(self, store: Store, people: Identities) -> None:
        person, _ = await people.upsert(PROJECT, [EXTERNAL], Description(name="Anna"), UserId("usr_1"))
        before = await dump(store)
        again = await people.upsert(PROJECT, [EXTERNAL], Description(name="Anna"), UserId("usr_2"))
        assert again == (person, False)
        assert await dump(store) == before

    async def test_locks_what_it_says(self, people: Identities) -> None:
        await people.upsert(PROJECT, [EXTERNAL], Description(name="Anna"), UserId("usr_1"))
        edited = await people.edit(PROJECT, UserId("usr_1"), Description(name="Mallory", organization="o2"))
        assert (edited.person.name, edited.person.organization, edited.locked) == ("Anna", "o2", ("name",))

    async def test_D5_D15_an_unknown_id_makes_somebody_new_and_never_an_anonymous_visitor(
        self, people: Identities
    ) -> None:
        await people.prove_email(PROJECT, UserId("usr_anonymous"), "a@x.example")
        person = await found(people, Identifier("deskpro_id", "usr_anonymous"), proposed="usr_1", name="Anna")
        assert (person.user, person.email) == ("usr_1", "")


class TestForgetting:
    async def test_an_identifier_lets_it_name_another(self, people: Identities) -> None:
        await found(people, EXTERNAL, EMAIL, proposed="usr_1")
        person = await people.forget_identifier(PROJECT, UserId("usr_1"), EMAIL)
        assert person.identifiers == (EXTERNAL,)
        assert await people.find(PROJECT, EMAIL) is None
        assert (await found(people, EMAIL, proposed="usr_2")).user == "usr_2"
        assert await people.forget_identifier(PROJECT, UserId("usr_1"), EMAIL) == person
        assert (await found(people, EMAIL, proposed="usr_3")).user == "usr_2"

    async def test_resolves_a_conflict(self, people: Identities) -> None:
        await found(people, EXTERNAL, proposed="usr_1")
        await found(people, EMAIL, proposed="usr_2")
        await people.forget_identifier(PROJECT, UserId("usr_2"), EMAIL)
        assert (await found(people, EXTERNAL, EMAIL, proposed="usr_3")).user == "usr_1"


class TestOthers:
    async def test_who_are_unknown_are_nobody(self, people: Identities) -> None:
        assert await people.get(PROJECT, UserId("usr_9")) is None
        assert await people.find_by_external_id(PROJECT, ExternalId("42")) is None
        assert await people.identify(PROJECT, [EXTERNAL], UserId("usr_1")) == "usr_1"
        assert await people.find(PROJECT, EXTERNAL) is None

    async def test_can_be_blocked_and_unblocked(self, people: Identities) -> None:
        person = await found(people, "42", name="Anna")
        blocked = await people.set_blocked(PROJECT, person.user, True)
        assert blocked == dataclasses.replace(person, blocked=True, updated_at=blocked.updated_at)
        assert (await found(people, "42", name="Anna B.")).blocked
        assert not (await people.set_blocked(PROJECT, person.user, False)).blocked

    async def test_can_be_blocked_before_anything_is_known_of_them(self, people: Identities) -> None:
        await people.set_blocked(PROJECT, UserId("usr_anonymous"), True)
        (person,) = await people.list_people(PROJECT)
        assert (person.user, person.blocked, person.vouched) == ("usr_anonymous", True, False)

    async def test_T14_are_the_same_person_in_every_browser_when_the_id_is_given(self, people: Identities) -> None:
        assert {(await found(people, "42", proposed=f"usr_{browser}")).user for browser in range(3)} == {"usr_0"}

    async def test_P10_are_told_apart_by_the_external_id_alone(self, people: Identities) -> None:
        one = await found(people, "42", proposed="usr_1", name="Anna", email="a@x.example")
        two = await found(people, "43", proposed="usr_2", name="Anna", email="a@x.example")
        assert one.user != two.user


class TestOneTimeToken:
    async def test_is_taken_once_however_many_try(self, people: Identities) -> None:
        until = UnixMs(4_000_000_000_000)
        taken = await asyncio.gather(*(people.spend(PROJECT, KeyId("k1"), "jti-1", until) for _ in range(20)))
        assert sorted(taken) == [False] * 19 + [True]
        assert await people.spend(PROJECT, KeyId("k2"), "jti-1", until)
        assert await people.spend(OTHER, KeyId("k1"), "jti-1", until)
