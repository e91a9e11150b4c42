"""A person gets all that is held of them and nothing of anybody else, and can be forgotten for ever.

Everything that can be said of somebody carries a canary of theirs: a text that is looked for in the whole store.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.store.canaries import ADA, BOB, NOBODY, STRANGER, World
from tests.store.talking import AGENT, KID, OTHER_PROJECT, PROJECT, Talk, answer, chained

from chatgateway.core.conversation import new_conversation_id
from chatgateway.core.person import Description, Identifier
from chatgateway.errors import ConversationUnknown, IdentityErased, StoreUnavailable, Withdrawn
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.conversations import Acting
from chatgateway.store.identities import Identities
from chatgateway.store.inbox import Inbox
from chatgateway.store.people import People
from chatgateway.store.privacy import DATA_MAP, Erased
from chatgateway.store.script import Script
from chatgateway.store.sessions import SessionRow
from chatgateway.types import AgentId, ConversationId, SessionId, UnixMs, UserId, Version


@pytest.fixture
async def store(fresh_store: str) -> AsyncIterator[Store]:
    store = await Store.open(fresh_store)
    yield store
    await store.close()


@pytest.fixture
async def world(store: Store) -> World:
    return await World(store).build()


def documented() -> list[str]:
    keys, _, _ = (schema.__doc__ or "").partition("Channels")
    return re.findall(r"^    (cg:\S+)", keys, re.MULTILINE)


def kind_of(key: str) -> str:
    """The documented kind of a key in the store."""

    def matcher(kind: str) -> str:
        pattern = re.escape(kind).replace(r"\{T\}", r"\{(?!ctl)\w+\}")
        return re.sub("VIEW", ".+", re.sub("CONV|AUTHOR|PROJECT|USER|DIGEST|KID|REQUEST", "[^:]+", pattern))

    return next((kind for kind in documented() if re.fullmatch(matcher(kind), key)), f"undocumented: {key}")


class TestDataMap:
    def test_knows_every_kind_of_key(self) -> None:
        assert sorted(DATA_MAP) == sorted(documented())

    async def test_is_covered_by_the_world_of_these_tests(self, world: World) -> None:
        """Whoever adds a kind of key about people adds a canary of it here."""
        kinds = {kind_of(key.decode()) async for key in world.store.redis.scan_iter(match="*", count=1000)}
        assert kinds <= set(DATA_MAP)
        about = {kind for kind, handling in DATA_MAP.items() if handling not in ("ids", "nobody")}
        assert about <= kinds


class TestExport:
    async def test_holds_everything_of_its_owner(self, world: World) -> None:
        for user in (ADA, BOB, STRANGER):
            export = json.dumps(await world.privacy.export_person(PROJECT, user))
            missing = [canary for canary in world.canaries[user] if canary not in export]
            assert missing == []

    async def test_holds_nothing_of_anybody_else(self, world: World) -> None:
        for user in (ADA, BOB, STRANGER):
            export = json.dumps(await world.privacy.export_person(PROJECT, user))
            others = [canary for other in (ADA, BOB, STRANGER) if other != user for canary in world.canaries[other]]
            assert [canary for canary in others if canary in export] == []
            # Who else was named by a token that named two people.
            assert world.ids(NOBODY)[0].text not in export

    async def test_of_another_project_is_empty(self, world: World) -> None:
        export = await world.privacy.export_person(OTHER_PROJECT, ADA)
        assert export["person"] is None
        assert not any(export[part] for part in ("identifiers", "sessions", "marks", "conversations", "reports"))

    async def test_names_the_key_that_vouched(self, world: World) -> None:
        export = await world.privacy.export_person(PROJECT, ADA)
        own, held = export["conversations"]
        assert [message.get("kid") for message in own["messages"]] == [KID, None, None]
        assert (own["visitor"], held["visitor"], len(held["messages"])) == (True, False, 2)

    async def test_of_a_chat_that_was_adopted_holds_what_was_said_before(self, world: World) -> None:
        """Kept after signing in, the words of the stranger are Ada's."""
        meta = world.chats[STRANGER].key("m")
        await world.store.redis.hset(meta, mapping={"visitor": ADA, "adopted": STRANGER})
        export = json.dumps(await world.privacy.export_person(PROJECT, ADA))
        assert f"canary{STRANGER}first" in export

    async def test_changes_nothing(self, world: World) -> None:
        before = await world.everything()
        await world.privacy.export_person(PROJECT, ADA)
        assert sorted(before.splitlines()) == sorted((await world.everything()).splitlines())


class TestErase:
    async def test_leaves_nothing_but_ids(self, world: World) -> None:
        await world.privacy.erase_person(PROJECT, ADA)
        left = await world.everything()
        assert [canary for canary in world.canaries[ADA] if canary in left] == []
        kinds = {kind_of(line.split("'")[1]) for line in left.splitlines() if ADA in line}
        assert {DATA_MAP[kind] for kind in kinds} <= {"person", "ids"}
        hashes = {key for key in kinds if DATA_MAP[key] == "person"}
        assert hashes == {"cg:{T}:u:PROJECT:USER", "cg:{T}:w:PROJECT:USER"}

    async def test_keeps_everything_of_everybody_else(self, world: World) -> None:
        await world.privacy.erase_person(PROJECT, ADA)
        for user in (BOB, STRANGER):
            export = json.dumps(await world.privacy.export_person(PROJECT, user))
            assert [canary for canary in world.canaries[user] if canary not in export] == []
        assert await world.identities.find(PROJECT, world.ids(BOB)[0]) is not None

    async def test_says_what_there_was(self, world: World) -> None:
        erased = await world.privacy.erase_person(PROJECT, ADA)
        assert erased == Erased(erased.at, conversations=1, rewritten=1, identifiers=4, sessions=1, lines=2)
        assert await world.privacy.erase_person(PROJECT, ADA) == Erased(erased.at)

    async def test_takes_the_person_out_of_every_list(self, world: World) -> None:
        await world.privacy.erase_person(PROJECT, ADA)
        people, _ = await People(world.store).page(PROJECT)
        assert {person.user for person in people} == {BOB, STRANGER}
        assert await People(world.store).search(PROJECT, "canaryusr_ada") == []
        inbox = Inbox(world.store)
        for view in ("all", "mine"):
            listed, _ = await inbox.page(PROJECT, view, None, 10, AgentId("agt_a"))
            assert set(listed) == {world.conversation_of(BOB), world.conversation_of(STRANGER)}
        vouched = schema.vouched(schema.partition_of_user(PROJECT, ADA), PROJECT, KID)
        assert await world.store.redis.zrange(vouched, 0, -1) == []

    async def test_rewrites_what_they_wrote_in_others_chats(self, world: World) -> None:
        talk = world.chats[STRANGER]
        before = await talk.log()
        await world.privacy.erase_person(PROJECT, ADA)
        after = await talk.log()
        places = [
            [{name: one[name] for name in ("seq", "at", "link", "prev", "ref")} for one in log]
            for log in (before, after)
        ]
        assert places[0] == places[1]
        assert chained(after)
        assert after[:3] == before[:3]
        assert [one["from"] for one in after[3:]] == [
            {"user": "erased", "role": "visitor", "assurance": "anonymous"}
        ] * 2
        assert [one.get("text", "") for one in after[3:]] == ["", ""]
        ids = [name for name, _ in await world.store.redis.xrange(talk.key("s"))]
        assert ids == [f"{one['at']}-{one['seq']}".encode() for one in after]

    async def test_takes_them_out_of_what_others_did_about_them(self, world: World) -> None:
        talk = world.chats[STRANGER]
        divider = {**(await talk.log())[1], "kind": "adopted", "subject": ADA}
        await world.store.redis.xadd(talk.key("s"), {"e": json.dumps(divider)}, id="9000000000000-9")
        await world.privacy.erase_person(PROJECT, ADA)
        assert (await talk.log())[-1] == {**divider, "subject": "erased"}

    async def test_looks_again_until_nothing_is_found(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A sign-in was between two of its calls when the tombstone was set."""
        privacy: Any = world.privacy
        disown, late = privacy._disown, Identifier("email", "late@x.example")

        async def overtaken(*arguments: Any) -> None:
            await point(world.store, late, ADA)
            await disown(*arguments)

        monkeypatch.setattr(privacy, "_disown", overtaken)
        assert (await privacy.erase_person(PROJECT, ADA)).identifiers == 5
        assert (await world.store.redis.get(schema.identifier(PROJECT, schema.identifier_digest(*late)))) is None

    async def test_keeps_what_is_appended_meanwhile(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        privacy: Any = world.privacy
        read, talk = privacy._log, world.chats[STRANGER]

        async def slowly(conversation: ConversationId) -> Any:
            log = await read(conversation)
            if conversation == talk.conversation:
                await talk.say("an agent, meanwhile", AGENT)
            return log

        monkeypatch.setattr(privacy, "_log", slowly)
        await privacy.erase_person(PROJECT, ADA)
        log = await talk.log()
        assert log[-1]["text"] == "an agent, meanwhile"
        assert chained(log)

    async def test_spares_the_same_user_of_another_project(self, world: World) -> None:
        other = await world.identities.find_or_create(
            OTHER_PROJECT, [Identifier("external_id", "42")], Description(name="Anna"), ADA
        )
        await world.privacy.erase_person(PROJECT, ADA)
        assert await world.identities.get(OTHER_PROJECT, ADA) == other

    async def test_finds_identifiers_that_the_record_does_not_know(self, world: World) -> None:
        """A sign-in died between the identifier and the record, or between the two steps of an identifier."""
        stray, stood = Identifier("email", "stray@x.example"), Identifier("email", "stood@x.example")
        await point(world.store, stray, ADA)
        await point(world.store, stood, "usr_stand_in")
        await world.store.redis.hset(schema.person(PROJECT, UserId("usr_stand_in")), "moved", ADA)
        assert (await world.identities.find(PROJECT, stood)) is not None
        erased = await world.privacy.erase_person(PROJECT, ADA)
        assert erased.identifiers == 6
        assert "usr_stand_in" not in await world.everything()


async def point(store: Store, identifier: Identifier, user: str) -> None:
    await store.redis.set(schema.identifier(PROJECT, schema.identifier_digest(*identifier)), user)


class TestErased:
    """Nothing brings them back: not what was under way, not who comes later."""

    async def test_write_and_read_nothing_any_more(self, world: World) -> None:
        await world.privacy.withdraw_person(PROJECT, ADA)
        acting = world.acting(ADA)
        fresh = Talk(world.store, new_chat())
        replies = [await fresh.begin("hi", acting)]
        for talk in (world.chats[ADA], world.chats[STRANGER], fresh):
            replies += [await talk.say("hi", acting), await talk.open(acting), await talk.read(9, acting)]
        for reply in replies:
            assert isinstance(reply, Withdrawn), reply
            assert reply.mark == "erased"
        with pytest.raises(Withdrawn, match="erased"):
            row = SessionRow(project=PROJECT, user=ADA)
            await world.sessions.bind(SessionId("ses_new"), row, Version(0), await world.store.now())

    async def test_are_recorded_by_nothing_that_was_under_way(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slow: Any = Identities(world.store)
        reached, gate, write = asyncio.Event(), asyncio.Event(), slow._records.write

        async def held(*arguments: Any) -> Any:
            reached.set()
            await gate.wait()
            return await write(*arguments)

        monkeypatch.setattr(slow._records, "write", held)
        fresh = Identifier("email", "fresh@x.example")
        late = asyncio.create_task(
            slow.find_or_create(PROJECT, [world.ids(ADA)[0], fresh], Description(name="Ada"), UserId("usr_x"))
        )
        await reached.wait()
        await world.privacy.erase_person(PROJECT, ADA)
        gate.set()
        with pytest.raises(IdentityErased):
            await late
        for edit in (
            world.identities.edit(PROJECT, ADA, Description(language="de")),
            world.identities.set_blocked(PROJECT, ADA, True),
            world.identities.prove_email(PROJECT, ADA, "a@x.example"),
        ):
            with pytest.raises(IdentityErased):
                await edit
        assert await world.privacy.erase_person(PROJECT, ADA) == Erased(await erased_at(world))

    async def test_are_not_recorded_for_the_first_time(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """An anonymous visitor who proves an address at that moment."""
        slow: Any = Identities(world.store)
        read = slow._records.read

        async def outdated(*arguments: Any) -> Any:
            record = await read(*arguments)
            await world.privacy.withdraw_person(PROJECT, NOBODY)
            return record

        monkeypatch.setattr(slow._records, "read", outdated)
        with pytest.raises(IdentityErased):
            await slow.prove_email(PROJECT, NOBODY, "a@x.example")
        assert await world.store.redis.hkeys(schema.person(PROJECT, NOBODY)) == [b"erased"]

    async def test_are_somebody_new_when_they_sign_in_again(self, world: World) -> None:
        await world.privacy.erase_person(PROJECT, ADA)
        person = await world.identities.find_or_create(PROJECT, world.ids(ADA)[:1], Description(), UserId("usr_new"))
        assert (person.user, person.name, person.fields) == ("usr_new", "", {})
        assert await world.sessions.of_person(PROJECT, person.user) == {}

    async def test_leave_a_conversation_to_which_nobody_can_write(self, world: World) -> None:
        await world.privacy.erase_person(PROJECT, ADA)
        agent = Acting(UserId("agt_a"), "agent", SessionId("ses_a"), UnixMs(1_000), PROJECT, None, Version(0))
        talk = world.chats[ADA]
        for reply in (
            await talk.say("hello?", agent), await talk.note("hello?", agent), await talk.read(1, agent),
            await talk.open(agent), await talk.act("resolved", agent),
        ):  # fmt: skip
            assert isinstance(reply, ConversationUnknown)
        assert await answer(lambda done: talk.conversations.head(talk.conversation, done)) is None

    async def test_stay_so_when_they_are_signed_out_afterwards(self, world: World) -> None:
        at = await world.privacy.withdraw_person(PROJECT, ADA)
        key = schema.withdrawn(schema.partition_of_user(PROJECT, ADA), PROJECT, ADA)
        await world.store.hot.ask(Script("withdraw"), [key], ["*", "5", 1_000])
        assert await world.store.redis.pttl(key) == -1
        assert await world.privacy.withdraw_person(PROJECT, ADA) == at


def new_chat() -> ConversationId:
    return new_conversation_id(schema.partition_of_user(PROJECT, ADA), PROJECT, ADA, "another")


async def erased_at(world: World) -> UnixMs:
    return UnixMs(int(await world.store.redis.hget(schema.person(PROJECT, ADA), "erased")))


async def test_an_erasure_that_is_cut_off_again_and_again_is_finished_by_the_next(world: World) -> None:
    """Each attempt gets one write further than the one before, and finds what that one left."""
    store, attempts = world.store, 0
    ask = store.hot.ask
    reading = {"SCAN", "GET", "HGET", "HMGET", "HGETALL", "XRANGE", "TIME", "ZRANGE", "HLEN", "INFO"}
    while True:
        left = attempts

        async def cut(what: Any, *rest: Any) -> Any:
            nonlocal left
            word = what if isinstance(what, Script) else what[0] if isinstance(what, tuple) else what
            if word not in reading:
                left -= 1
                if left < 0:
                    raise StoreUnavailable("cut")
            return await ask(what, *rest)

        store.hot.ask = cut  # type: ignore[method-assign]
        try:
            await world.privacy.erase_person(PROJECT, ADA)
            break
        except StoreUnavailable:
            attempts += 1
        finally:
            store.hot.ask = ask  # type: ignore[method-assign]
        assert (await world.identities.get(PROJECT, ADA) is None) is (attempts > 1)
    assert attempts > 10
    text = await world.everything()
    assert [canary for canary in world.canaries[ADA] if canary in text] == []
    assert await world.privacy.erase_person(PROJECT, ADA) == Erased(await erased_at(world))
