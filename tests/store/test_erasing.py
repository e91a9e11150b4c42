"""Erasing beside others: who signed in during somebody's chat, who comes while it runs, who watches.

What a whole erasure leaves is test_privacy.py's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.store.canaries import ADA, BOB, STRANGER, World
from tests.store.talking import AGENT, PROJECT, chained

from chatgateway.core.person import Description, Identifier
from chatgateway.errors import ConversationUnknown, IdentityErased, StoreUnavailable, Withdrawn
from chatgateway.store import schema, walk
from chatgateway.store.client import Store
from chatgateway.store.conversations import Conversations, event_channel
from chatgateway.store.identifiers import Identifiers
from chatgateway.store.identities import Identities
from chatgateway.store.privacy import Erased, Privacy
from chatgateway.types import AgentId, NodeId, SessionId, UserId

NEW = UserId("usr_new")


@pytest.fixture
async def store(fresh_store: str) -> AsyncIterator[Store]:
    store = await Store.open(fresh_store)
    yield store
    await store.close()


@pytest.fixture
async def world(store: Store) -> World:
    return await World(store).build()


async def adopted(world: World, state: str) -> None:
    """Ada keeps the stranger's chat, as far as ``state``."""
    talk = world.chats[STRANGER]
    fields = {"state": state, "account": ADA, "session": "ses_ada", "conversations": talk.conversation}
    await world.store.redis.hset(schema.person(PROJECT, STRANGER, "a"), mapping=fields)
    if state == "finished":
        await world.store.redis.hset(talk.key("m"), mapping={"visitor": ADA, "adopted": STRANGER})
        await world.store.redis.hdel(talk.key("m"), "pending", "holders")


def once(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, meanwhile: Any) -> None:
    """Let ``meanwhile`` happen after the first answer of ``owner.name``."""
    real, done = getattr(owner, name), False

    async def slowly(*arguments: Any) -> Any:
        nonlocal done
        answer = await real(*arguments)
        if not done:
            done = True
            await meanwhile()
        return answer

    monkeypatch.setattr(owner, name, slowly)


class TestChatOfTwo:
    async def test_without_the_account_is_held_for_nobody(self, world: World) -> None:
        """What agents told the account is not for whoever holds the credential with which the chat was begun."""
        talk = world.chats[STRANGER]
        await talk.say("for Ada alone", AGENT)
        await world.privacy.erase_person(PROJECT, ADA)
        stranger, other = world.acting(STRANGER), world.acting(BOB)
        for reply in (
            await talk.open(stranger), await talk.say("me again", stranger), await talk.read(2, stranger),
            await talk.open(other), await talk.act("signed_in", other, STRANGER),
        ):  # fmt: skip
            assert isinstance(reply, ConversationUnknown), reply
        assert (await talk.say("anybody?", AGENT)).position.seq == 7
        assert chained(await talk.log())

    async def test_without_who_began_it_keeps_the_accounts_words(self, world: World) -> None:
        talk = world.chats[STRANGER]
        erased = await world.privacy.erase_person(PROJECT, STRANGER)
        assert (erased.conversations, erased.rewritten) == (0, 1)
        said = [one.get("text", "") for one in await talk.log()]
        assert said[-1] == f"canary{ADA}held"
        assert said[0] == ""
        assert (await talk.open(world.acting(ADA))).head.visitor == "erased"
        assert talk.conversation in await Conversations(world.store).of_person(PROJECT, ADA)
        kept = [canary for canary in world.canaries[ADA] if canary not in await world.everything()]
        assert kept == []

    @pytest.mark.parametrize("order", [(ADA, STRANGER), (STRANGER, ADA)])
    async def test_is_deleted_when_both_are_gone(self, world: World, order: tuple[UserId, UserId]) -> None:
        talk = world.chats[STRANGER]
        for user in order:
            await world.privacy.erase_person(PROJECT, user)
        assert await talk.head() is None
        assert await talk.log() == []

    async def test_is_deleted_when_both_go_at_once(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each found the other in it."""
        other = Privacy(world.store)

        async def meanwhile() -> None:
            await other.erase_person(PROJECT, ADA)

        privacy: Any = world.privacy
        monkeypatch.setattr(privacy, "_list_for", nothing)
        once(monkeypatch, privacy, "_log", meanwhile)
        await privacy.erase_person(PROJECT, STRANGER)
        assert await world.chats[STRANGER].head() is None

    @pytest.mark.parametrize("marked", [True, False])
    async def test_that_was_decided_to_be_the_accounts_becomes_so(self, world: World, marked: bool) -> None:
        """Nobody can finish the adoption once its receipt is gone; a chat begun after the sign-in bears no mark."""
        await adopted(world, "committed")
        if not marked:
            await world.store.redis.hdel(world.chats[STRANGER].key("m"), "pending", "holders")
        await world.privacy.erase_person(PROJECT, STRANGER)
        elsewhere = world.acting(ADA)._replace(session=SessionId("ses_phone"))
        page = await world.chats[STRANGER].open(elsewhere)
        assert (page.head.visitor, page.head.pending) == (ADA, None)


async def nothing(*_: Any) -> None:
    """In the place of a step."""


class TestAdoptedSelf:
    @pytest.mark.parametrize("state", ["committed", "finished"])
    async def test_is_erased_with_the_account(self, world: World, state: str) -> None:
        await adopted(world, state)
        erased = await world.privacy.erase_person(PROJECT, ADA)
        left = await world.everything()
        assert [one for user in (ADA, STRANGER) for one in world.canaries[user] if one in left] == []
        assert erased == Erased(erased.at, conversations=2, rewritten=0, identifiers=8, sessions=2, lines=4)
        assert isinstance(await world.chats[STRANGER].begin("back", world.acting(STRANGER)), Withdrawn)

    @pytest.mark.parametrize("state", ["undone", ""])
    async def test_is_somebody_else_without_a_receipt(self, world: World, state: str) -> None:
        """A visitor who was only shown, or given back, may have been planted."""
        if state:
            await adopted(world, state)
        await world.privacy.erase_person(PROJECT, ADA)
        assert await world.identities.get(PROJECT, STRANGER) is not None

    async def test_is_exported_with_the_account(self, world: World) -> None:
        await adopted(world, "finished")
        export = await world.privacy.export_person(PROJECT, ADA)
        (earlier,) = export["earlier"]
        assert f"canary{STRANGER}email" in json.dumps(earlier["person"])


class TestExport:
    async def test_holds_what_agents_said_to_whom(self, world: World) -> None:
        talk = world.chats[STRANGER]
        await talk.say("for Ada alone", AGENT)
        await talk.note("about Ada", AGENT)
        exports = [json.dumps(await world.privacy.export_person(PROJECT, user)) for user in (STRANGER, ADA)]
        assert [("for Ada alone" in one, "about Ada" in one) for one in exports] == [(False, False), (True, True)]


class TestWhoComesMeanwhile:
    async def test_with_the_same_id_is_spared(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        name = world.ids(ADA)[:1]

        async def meanwhile() -> None:
            await world.identities.find_or_create(PROJECT, name, Description(name="new"), NEW)

        once(monkeypatch, Privacy, "_erase_record", meanwhile)
        await world.privacy.erase_person(PROJECT, ADA)
        person = await world.identities.find(PROJECT, name[0])
        assert person is not None
        assert (person.user, person.name) == (NEW, "new")

    async def test_to_write_a_note_or_assign_is_refused(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A key that is made after the walk would be found by nobody again."""
        talk, late = world.chats[ADA], AgentId("agt_late")
        replies: list[Any] = []

        async def meanwhile() -> None:
            replies.append(await talk.note("too late", AGENT))
            replies.append(await talk.act("assigned", AGENT, late))

        once(monkeypatch, walk, "parts", meanwhile)
        await world.privacy.erase_person(PROJECT, ADA)
        assert [type(reply) for reply in replies] == [ConversationUnknown, ConversationUnknown]
        assert talk.conversation not in await world.everything()


class TestInterrupted:
    async def test_is_found_by_the_same_name_until_the_record_is_gone(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        identifiers, name = Identifiers(world.store), world.ids(ADA)[0]
        assert await identifiers.unfinished(PROJECT, name) is None

        async def cut(*_: Any) -> None:
            raise StoreUnavailable("cut")

        with monkeypatch.context() as patch, pytest.raises(StoreUnavailable):
            patch.setattr(Identifiers, "let_go", cut)
            await world.privacy.erase_person(PROJECT, ADA)
        assert await world.store.redis.hkeys(schema.person(PROJECT, ADA)) == [b"erased"]
        assert await identifiers.unfinished(PROJECT, name) == ADA
        await world.privacy.erase_person(PROJECT, ADA)
        assert await identifiers.unfinished(PROJECT, name) is None

    async def test_is_found_by_what_a_stand_in_was_named(self, world: World) -> None:
        name = Identifier("external_id", "stood")
        await world.store.redis.set(schema.identifier(PROJECT, schema.identifier_digest(*name)), "usr_stand_in")
        await world.store.redis.hset(schema.person(PROJECT, UserId("usr_stand_in")), "moved", ADA)
        await world.privacy.withdraw_person(PROJECT, ADA)
        assert await Identifiers(world.store).unfinished(PROJECT, name) == ADA

    async def test_leaves_a_chat_that_was_closed_to_the_next(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def cut(*_: Any) -> Any:
            raise StoreUnavailable("cut")

        with monkeypatch.context() as patch, pytest.raises(StoreUnavailable):
            patch.setattr(walk, "parts", cut)
            await world.privacy.erase_person(PROJECT, ADA)
        assert isinstance(await world.chats[ADA].open(AGENT), ConversationUnknown)
        assert (await world.privacy.erase_person(PROJECT, ADA)).conversations == 1


@pytest.mark.parametrize("chat", [ADA, STRANGER])
async def test_whoever_shows_the_chat_is_told(world: World, chat: UserId) -> None:
    """One is deleted, in the other words are taken out: both are announced, to hubs and to lists."""
    conversation = world.chats[chat].conversation
    hints = schema.inbox_hints(schema.partition_of_conversation(conversation), PROJECT)
    heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
    subscriber = await world.store.open_subscriber(NodeId("nod_1"))
    try:
        await subscriber.subscribe(event_channel(conversation), lambda told: heard.put_nowait(("chat", told)))
        await subscriber.subscribe(hints, lambda told: heard.put_nowait(("list", told)))
        await world.privacy.erase_person(PROJECT, ADA)
        async with asyncio.timeout(5):
            told = [await heard.get(), await heard.get()]
        assert told == [("chat", b'{"type":"rewritten"}'), ("list", conversation.encode())]
    finally:
        await subscriber.close()


@pytest.mark.parametrize("again", [False, True])
async def test_an_upsert_under_way_brings_nobody_back(
    world: World, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """Between its two steps: who comes later with the same id is not given the id of who is gone."""
    identities: Any = Identities(world.store)
    name = Identifier("external_id", "carol")

    async def meanwhile() -> None:
        person = await world.identities.find(PROJECT, name)
        assert person is not None
        await world.privacy.erase_person(PROJECT, person.user)
        if again:
            await world.identities.find_or_create(PROJECT, [name], Description(), NEW)

    once(monkeypatch, identities, "_found", meanwhile)
    with pytest.raises(IdentityErased):
        await identities.upsert(PROJECT, [name], Description(name="Carol"), UserId("usr_carol"))
    now = await world.identities.find(PROJECT, name)
    assert (now and (now.user, now.identifiers)) == ((NEW, (name,)) if again else None)
    assert await world.identities.find(PROJECT, Identifier("deskpro_id", "usr_carol")) is None
    points = await world.store.redis.get(schema.identifier(PROJECT, schema.identifier_digest(*name)))
    assert points == (NEW.encode() if again else None)
    people = {person.user for person in await world.identities.list_people(PROJECT)}
    assert people == {ADA, BOB, STRANGER} | ({NEW} if again else set())
