"""People are listed, found by the beginning of a word, and linked by an address that they proved."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.store.talking import answer

from chatgateway.core.conversation import new_conversation_id, new_ref
from chatgateway.core.person import Description, Identifier, Person
from chatgateway.errors import Withdrawn
from chatgateway.protocol import codec
from chatgateway.protocol import frames as f
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.control import Control
from chatgateway.store.conversations import Acting, Conversations, Entry
from chatgateway.store.identities import Identities
from chatgateway.store.people import People
from chatgateway.store.sessions import SessionRow, Sessions
from chatgateway.types import ProjectId, SessionId, UnixMs, UserId, Version

PROJECT, OTHER = ProjectId("prj_1"), ProjectId("prj_2")


@pytest.fixture
async def store(fresh_store: str) -> AsyncIterator[Store]:
    store = await Store.open(fresh_store)
    yield store
    await store.close()


@pytest.fixture
def identities(store: Store) -> Identities:
    return Identities(store)


@pytest.fixture
def people(store: Store) -> People:
    return People(store)


async def known(identities: Identities, number: int, project: ProjectId = PROJECT, **said: Any) -> Person:
    names = [Identifier("external_id", f"id-{number}")]
    return await identities.find_or_create(project, names, Description(**said), UserId(f"usr_{number}"))


def users(found: list[Person]) -> list[str]:
    return [person.user for person in found]


class TestList:
    async def test_begins_with_who_was_updated_last(self, store: Store, identities: Identities, people: People) -> None:
        for number in range(5):
            await known(identities, number)
            await updated(store, number, 4_000 + number)
        listed, more = await people.page(PROJECT, limit=2)
        assert (users(listed), more) == (["usr_4", "usr_3"], True)
        assert await people.page(OTHER) == ([], False)
        assert users(await identities.list_people(PROJECT, limit=3)) == ["usr_4", "usr_3", "usr_2"]

    async def test_leads_on_without_a_gap_or_a_repeat(
        self, store: Store, identities: Identities, people: People
    ) -> None:
        for number in range(30):
            await known(identities, number)
            await updated(store, number, 4_000 + number // 4)
        seen: list[str] = []
        before, more = None, True
        while more:
            listed, more = await people.page(PROJECT, before, limit=3)
            seen += users(listed)
            before = UnixMs(4_000 + int(seen[-1][4:]) // 4)
        assert sorted(seen) == sorted(f"usr_{number}" for number in range(30))

    async def test_does_not_show_who_is_being_erased(
        self, store: Store, identities: Identities, people: People
    ) -> None:
        await known(identities, 1, name="Anna")
        await store.redis.hset(schema.person(PROJECT, UserId("usr_1")), "erased", 5)
        assert await people.page(PROJECT) == ([], False)
        assert await people.search(PROJECT, "anna") == []


async def updated(store: Store, number: int, at: int) -> None:
    user = UserId(f"usr_{number}")
    await store.redis.zadd(schema.people(schema.partition_of_user(PROJECT, user), PROJECT), {user: at})


class TestSearch:
    @pytest.mark.parametrize(
        "typed", ["zoë", "ZOE", "zo", "grun", "Grün-M", "mei", "zoe gru", "zoe@", "id-1", " zoe  "]
    )
    async def test_finds_by_the_beginning_of_a_word(self, identities: Identities, people: People, typed: str) -> None:
        await known(identities, 1, name="Zoë Grün-Meier", email="zoe@x.example")
        await known(identities, 2, name="Bob", email="bob@x.example")
        await known(identities, 3, project=OTHER, name="Zoë Grün-Meier", email="zoe@x.example")
        assert users(await people.search(PROJECT, typed)) == ["usr_1"]

    @pytest.mark.parametrize("typed", ["", " ", "oe", "grün zoltan", "x.example", "*", "w:zoe", "\xff"])
    async def test_finds_nothing_else(self, identities: Identities, people: People, typed: str) -> None:
        await known(identities, 1, name="Zoë Grün", email="zoe@x.example")
        assert await people.search(PROJECT, typed) == []

    async def test_shows_everybody_once_and_as_many_as_asked_for(self, identities: Identities, people: People) -> None:
        for number in range(40):
            await known(
                identities, number, name=f"Anna{number:02} Anna", short_name="anna", email=f"anna{number}@x.example"
            )
        assert sorted(users(await people.search(PROJECT, "anna"))) == sorted(f"usr_{number}" for number in range(40))
        assert len(await people.search(PROJECT, "ann", limit=7)) == 7
        assert users(await people.search(PROJECT, "anna anna17")) == ["usr_17"]

    async def test_finds_everybody_of_one_part(self, store: Store, people: People) -> None:
        """More words than a script reads at a time, most of them one person's."""
        key = schema.people_index(0, PROJECT)
        words = {f"w:a{number:03}\nusr_1": 0 for number in range(300)} | {"w:a999\nusr_2": 0, "w:b\nusr_3": 0}
        await store.redis.zadd(key, words)
        rows = await store.redis.zrange(key, 0, -1)
        assert len(rows) == 302
        read: list[Any] = []

        async def reading(_: Any, user: str) -> Any:
            read.append(user)
            return await records(PROJECT, UserId(user))

        records, people._records.read = people._records.read, reading
        assert await people.search(PROJECT, "a") == []
        assert read == ["usr_1", "usr_2"]

    async def test_forgets_what_somebody_is_no_longer_called(
        self, store: Store, identities: Identities, people: People
    ) -> None:
        await known(identities, 1, name="Anna", email="a@x.example", email_proved=True)
        await known(identities, 1, name="Bob", email="b@x.example")
        assert await people.search(PROJECT, "anna") == []
        assert await people.with_email(PROJECT, "a@x.example") == []
        assert users(await people.search(PROJECT, "bob")) == ["usr_1"]
        index = schema.people_index(schema.partition_of_user(PROJECT, UserId("usr_1")), PROJECT)
        assert await store.redis.zcard(index) == 3

    async def test_learns_what_was_recorded_before_there_was_an_index(
        self, store: Store, identities: Identities, people: People
    ) -> None:
        person = await known(identities, 1, name="Anna")
        await store.redis.hdel(schema.person(PROJECT, person.user), "index")
        await store.redis.delete(schema.people_index(schema.partition_of_user(PROJECT, person.user), PROJECT))
        assert await people.search(PROJECT, "anna") == []
        assert await known(identities, 1, name="Anna") == person
        assert users(await people.search(PROJECT, "anna")) == ["usr_1"]


class TestProvedAddress:
    async def test_links_people_without_making_them_one(self, identities: Identities, people: People) -> None:
        await known(identities, 1, email="Zoe@x.example", email_proved=True)
        await known(identities, 2, email="zoe@x.example")
        await known(identities, 3, email="zoe@x.example.org", email_proved=True)
        await identities.prove_email(PROJECT, UserId("usr_anonymous"), "zoe@X.example")
        found = await people.with_email(PROJECT, "zoe@x.example")
        assert users(found) == ["usr_1", "usr_anonymous"]
        assert await people.with_email(OTHER, "zoe@x.example") == []
        assert await people.with_email(PROJECT, "zoe") == []

    async def test_of_an_anonymous_visitor_names_nobody(self, identities: Identities) -> None:
        person = await identities.prove_email(PROJECT, UserId("usr_anonymous"), "zoe@x.example")
        assert (person.email, person.email_proved, person.vouched) == ("zoe@x.example", True, False)
        signed = await identities.find_or_create(
            PROJECT, [Identifier("email", "zoe@x.example")], Description(), UserId("usr_1")
        )
        assert signed.user == "usr_1"


class TestBlocked:
    """A block follows the person to every session and device."""

    async def test_finds_new_sessions_and_devices_closed(self, store: Store, identities: Identities) -> None:
        person = await known(identities, 1)
        await block(store, person.user)
        assert (await known(identities, 1, name="with a fresh token")).blocked
        with pytest.raises(Withdrawn, match="blocked"):
            await bound(store, person.user, "ses_new_device")

    async def test_cannot_be_outlived(self, store: Store, identities: Identities) -> None:
        person = await known(identities, 1)
        await block(store, person.user)
        partition = schema.partition_of_user(PROJECT, person.user)
        await Control(store).mark_person(PROJECT, person.user, [partition], "*", "5", ttl_ms=1_000)
        assert await store.redis.pttl(schema.withdrawn(partition, PROJECT, person.user)) == -1

    async def test_reaches_the_chat_that_was_begun_before_signing_in(
        self, store: Store, identities: Identities
    ) -> None:
        person, earlier = await known(identities, 1), UserId("usr_earlier")
        await bound(store, person.user, "ses_1", earlier=earlier)
        acting = Acting(
            person.user, "visitor", SessionId("ses_1"), UnixMs(9_000_000_000_000), PROJECT, None, Version(0)
        )
        conversation = new_conversation_id(schema.partition_of_user(PROJECT, earlier), PROJECT, earlier, "r")
        await block(store, person.user)
        reply = await said(store, acting, conversation)
        assert isinstance(reply, Withdrawn)
        assert reply.mark == "blocked"

    async def test_can_be_an_anonymous_visitor(self, store: Store) -> None:
        user = UserId("usr_anonymous")
        await bound(store, user, "ses_1")
        await block(store, user)
        with pytest.raises(Withdrawn, match="blocked"):
            await bound(store, user, "ses_2")


async def block(store: Store, user: UserId) -> None:
    """What the operator's verb does to the store."""
    partitions = await Sessions(store).partitions(PROJECT, user)
    await Control(store).mark_person(PROJECT, user, sorted(partitions), "blocked", str(await store.now()))
    await Identities(store).set_blocked(PROJECT, user, True)


async def bound(store: Store, user: UserId, session: str, earlier: str = "") -> SessionRow:
    row = SessionRow(project=PROJECT, user=user, earlier=earlier)
    return await Sessions(store).bind(SessionId(session), row, Version(0), await store.now())


async def said(store: Store, acting: Acting, conversation: Any) -> Any:
    ref = new_ref(await store.now(), b"0123456789")
    author = f.Author(user=acting.user, role="visitor", assurance="signed")
    frame = f.Message(conversation=conversation, seq=0, at=0, link="", prev="", ref=ref, author=author, text="hi")
    entry = Entry(ref, codec.event_tail(frame))
    return await answer(lambda done: Conversations(store).append(acting, conversation, [entry], done))
