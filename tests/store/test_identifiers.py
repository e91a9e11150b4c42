"""Whom identifiers may name beside those that are known: nobody gets a second id, and an address is no way to one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chatgateway.core.person import Description, Identifier, IdentifierKind, Person
from chatgateway.errors import IdentityConflict
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.identities import Identities
from chatgateway.types import ProjectId, UserId

PROJECT = ProjectId("prj_1")
ANNA, VISITOR = UserId("usr_" + "a" * 20), UserId("usr_" + "b" * 20)
EMAIL, ADDRESS = Identifier("email", "a@x.example"), Identifier("deskpro_email", "a@x.example")


@pytest.fixture
async def store(fresh_store: str) -> AsyncIterator[Store]:
    store = await Store.open(fresh_store)
    yield store
    await store.close()


@pytest.fixture
def people(store: Store) -> Identities:
    return Identities(store)


async def signed_in(people: Identities, *names: Identifier, proposed: str = "usr_new", name: str = "") -> Person:
    return await people.find_or_create(PROJECT, names, Description(name=name or None), UserId(proposed))


async def attach(store: Store, identifier: Identifier, user: UserId) -> None:
    """Leave what a sign-in leaves whose node dies before the person's record is written."""
    await store.redis.set(schema.identifier(PROJECT, schema.identifier_digest(*identifier)), user)


async def dump(store: Store) -> dict[bytes, bytes]:
    names = sorted([name async for name in store.redis.scan_iter(match="cg:*", count=1000)])
    return {name: await store.redis.dump(name) for name in names}


class TestUnknownIdWithAKnownAddress:
    @pytest.mark.parametrize(("kind", "address"), [("external_id", EMAIL), ("deskpro_id", ADDRESS)])
    async def test_of_who_has_another_id_is_a_conflict_and_leaves_no_trace(
        self, store: Store, people: Identities, kind: IdentifierKind, address: Identifier
    ) -> None:
        """An address moves on to somebody else: the project's server itself says that it is not the same person."""
        await signed_in(people, Identifier(kind, "1"), address, proposed=ANNA, name="Anna")
        before = await dump(store)
        with pytest.raises(IdentityConflict):
            await signed_in(people, Identifier(kind, "2"), address, name="Mallory")
        assert await dump(store) == before
        assert await people.find(PROJECT, Identifier(kind, "2")) is None

    async def test_of_who_has_another_id_is_seen_before_anything_points_at_them(
        self, people: Identities, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A node that died just then would leave the foreign id naming them."""
        await signed_in(people, Identifier("external_id", "1"), EMAIL, proposed=ANNA)
        dying: Any = Identities(store)

        async def dies(*_: Any) -> Person:
            raise asyncio.CancelledError

        monkeypatch.setattr(dying._records, "change", dies)
        with pytest.raises(IdentityConflict):
            await signed_in(dying, Identifier("external_id", "2"), EMAIL)
        assert await people.find(PROJECT, Identifier("external_id", "2")) is None

    async def test_of_who_was_upserted_is_a_conflict_too(self, people: Identities) -> None:
        """Their tokens may call them by our id alone; another id is somebody else's then."""
        await people.upsert(PROJECT, [Identifier("external_id", "1")], Description(name="Anna"), ANNA)
        await signed_in(people, Identifier("deskpro_id", ANNA), ADDRESS)
        with pytest.raises(IdentityConflict):
            await signed_in(people, Identifier("deskpro_id", "2"), ADDRESS, name="Mallory")
        person = await people.get(PROJECT, ANNA)
        assert person is not None
        assert person.name == "Anna"
        assert await people.find(PROJECT, Identifier("deskpro_id", "2")) is None

    async def test_of_who_gets_another_id_in_the_same_moment_names_nobody(
        self, people: Identities, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing spoke against it when it was attached; the other came first to the record."""
        first, second = Identifier("external_id", "1"), Identifier("external_id", "2")
        await signed_in(people, EMAIL, proposed=ANNA)
        late: Any = Identities(store)
        change = late._records.change

        async def overtaken(*arguments: Any) -> Person:
            await signed_in(people, first, EMAIL)
            return await change(*arguments)

        monkeypatch.setattr(late._records, "change", overtaken)
        with pytest.raises(IdentityConflict):
            await signed_in(late, second, EMAIL, name="Mallory")
        assert await people.find(PROJECT, second) is None
        person = await people.find(PROJECT, EMAIL)
        assert person is not None
        assert (person.user, person.names, person.name) == (ANNA, (EMAIL, first), "")

    async def test_of_who_has_only_another_address_is_theirs(self, people: Identities) -> None:
        """People change addresses: both go on naming them."""
        ident = Identifier("external_id", "1")
        await signed_in(people, ident, EMAIL, proposed=ANNA)
        moved = Identifier("email", "b@x.example")
        assert (await signed_in(people, ident, moved)).names == (ident, EMAIL, moved)


class TestUnlistedIdentifier:
    """It points at a person whose record does not know of it."""

    async def test_is_listed_by_the_next_sign_in(self, store: Store, people: Identities) -> None:
        ident, planted = Identifier("external_id", "1"), Identifier("external_id", "2")
        await signed_in(people, ident, EMAIL, proposed=ANNA)
        await attach(store, planted, ANNA)
        person = await signed_in(people, planted)
        assert (person.user, person.names) == (ANNA, (ident, EMAIL, planted))

    async def test_can_be_forgotten(self, store: Store, people: Identities) -> None:
        ident = Identifier("external_id", "1")
        await signed_in(people, ident, proposed=ANNA)
        await attach(store, EMAIL, ANNA)
        assert (await people.forget_identifier(PROJECT, ANNA, EMAIL)).names == (ident,)
        assert (await signed_in(people, EMAIL, proposed="usr_1")).user == "usr_1"


class TestOurOwnIdAsDeskproId:
    async def test_finds_a_person_whom_the_projects_server_named(self, people: Identities) -> None:
        await signed_in(people, Identifier("external_id", "1"), proposed=ANNA)
        assert (await signed_in(people, Identifier("deskpro_id", ANNA))).user == ANNA

    async def test_is_no_way_into_an_anonymous_visitors_record(self, people: Identities) -> None:
        """Their id is shown to many; nobody vouched that whoever is called so is they."""
        await people.prove_email(PROJECT, VISITOR, "v@x.example")
        person = await signed_in(people, Identifier("deskpro_id", VISITOR), proposed="usr_1")
        assert (person.user, person.email) == ("usr_1", "")
        stranger = await people.get(PROJECT, VISITOR)
        assert stranger is not None
        assert not stranger.vouched
