"""A conversation's log: each thing said once, in one order, by those who may, and announced as it is stored."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.store.talking import (
    AGENT,
    CONVERSATION,
    KID,
    NODE,
    OTHER_PROJECT,
    PARTITION,
    PROJECT,
    VISITOR,
    Talk,
    answer,
    chained,
    texts,
)

from chatgateway.core.conversation import new_ref
from chatgateway.errors import ConversationUnknown, FrameRejected, OutcomeUnknown, RefAhead, Stale, Withdrawn
from chatgateway.store import schema
from chatgateway.store.client import Store
from chatgateway.store.control import Control
from chatgateway.store.conversations import (
    PAGE_BYTES,
    Appended,
    agent_channel,
    event_channel,
    require_conversation,
)
from chatgateway.types import START, ConversationId, KeyId, NodeId, Position, SessionId, UnixMs, UserId, Version

NEIGHBOUR = next(
    user
    for user in (UserId(f"usr_{n}") for n in itertools.count())
    if schema.partition_of_user(PROJECT, user) == PARTITION
)
OTHER_VISITOR = VISITOR._replace(user=NEIGHBOUR, session=SessionId("ses_other"))


@pytest.fixture
def talk(store: Store) -> Talk:
    return Talk(store)


@pytest.fixture
async def second(store: Store) -> AsyncIterator[Talk]:
    """The same conversation over another connection to the same store."""
    other = await Store.open(store.url)
    yield Talk(other)
    await other.close()


class TestPositions:
    async def test_are_dense_and_chained_by_links_that_anybody_can_recompute(self, talk: Talk) -> None:
        said = [await talk.begin()] + [await talk.say(f"text {n}") for n in range(5)]
        said.append(await talk.say("agent", AGENT))
        log = await talk.log()
        assert chained(log)
        assert [(one["at"], one["seq"], one["link"]) for one in log] == [tuple(one.position) for one in said]

    async def test_are_dense_when_many_nodes_say_much_at_once(self, talk: Talk, second: Talk) -> None:
        await talk.begin()
        speaking = [where.say(f"{n}") for n in range(20) for where in (talk, second)]
        said = await asyncio.gather(*speaking)
        assert sorted(one.position.seq for one in said) == list(range(2, 42))
        assert chained(await talk.log())

    async def test_of_one_call_are_in_the_order_of_its_entries(self, talk: Talk) -> None:
        await talk.begin()
        refs = [await talk.ref() for _ in range(3)]
        reply = await talk.append([talk.entry(ref, ref) for ref in refs])
        assert [one.position.seq for one in reply] == [2, 3, 4]
        assert [one["ref"] for one in await talk.log()][1:] == refs

    async def test_never_go_back_when_the_stores_clock_is_behind(self, talk: Talk) -> None:
        await talk.begin()
        future = await talk.store.now() + 3_600_000
        await talk.store.redis.hset(talk.key("m"), "at", future)
        first, then = await talk.say(), await talk.say()
        assert (first.position.at, then.position.at) == (future, future)
        assert (first.position.seq, then.position.seq) == (2, 3)

    async def test_carry_the_stores_time(self, talk: Talk) -> None:
        before = await talk.store.now()
        said = await talk.begin()
        assert before <= said.position.at <= await talk.store.now()


class TestRef:
    async def test_that_comes_on_two_connections_at_once_is_stored_once(self, talk: Talk, second: Talk) -> None:
        await talk.begin()
        for _ in range(10):
            ref = await talk.ref()
            one, two = await asyncio.gather(talk.say("same", ref=ref), second.say("same", ref=ref))
            assert one.position == two.position
            assert sorted([one.repeated, two.repeated]) == [False, True]
        assert len(await talk.log()) == 11

    async def test_that_comes_twice_in_one_call_is_stored_once(self, talk: Talk) -> None:
        await talk.begin()
        entry = talk.entry(await talk.ref())
        one, two = await talk.append([entry, entry])
        assert one.position == two.position
        assert (await talk.say(ref=entry.ref)).position == one.position
        assert len(await talk.log()) == 2

    async def test_repeated_beside_a_new_one_stores_the_new_one_alone(self, talk: Talk) -> None:
        first = await talk.begin()
        known = (await talk.log())[0]["ref"]
        repeated, fresh = await talk.append([talk.entry(known), talk.entry(await talk.ref())])
        assert repeated == Appended(first.position, True)
        assert (fresh.position.seq, fresh.repeated) == (2, False)

    async def test_repeated_touches_the_conversation_so_that_a_replica_has_something_to_confirm(
        self, talk: Talk
    ) -> None:
        await talk.begin()
        ref = await talk.ref()
        await talk.say(ref=ref)
        assert not await talk.store.redis.hexists(talk.key("m"), "touched")
        await talk.say(ref=ref)
        assert await talk.store.redis.hexists(talk.key("m"), "touched")

    async def test_of_another_author_is_another_message(self, talk: Talk) -> None:
        await talk.begin()
        ref = await talk.ref()
        assert (await talk.say(ref=ref)).position.seq == 2
        assert (await talk.say(acting=AGENT, ref=ref)).position.seq == 3

    async def test_ahead_of_the_store_by_more_than_two_minutes_is_refused(self, talk: Talk) -> None:
        await talk.begin()
        assert isinstance(await talk.say(ref=await talk.ref(110_000)), Appended)
        assert isinstance(await talk.say(ref=await talk.ref(130_000)), RefAhead)
        assert len(await talk.log()) == 2

    @pytest.mark.parametrize("ref", ["", "r1", str(uuid.uuid4()), "018F4C50-0000-7000-8000-000000000000"])
    async def test_that_is_no_uuid_of_version_7_reaches_no_store(self, talk: Talk, ref: str) -> None:
        entry = talk.entry(await talk.ref())._replace(ref=ref)
        assert isinstance(await talk.append([entry]), FrameRejected)


class TestWindowOfRefs:
    async def filled(self, talk: Talk, extra: int = 0) -> list[str]:
        """Say as much as is remembered, and ``extra`` more, in the order of the refs; return the refs."""
        await talk.begin()
        base = UnixMs(await talk.store.now() - 60_000)
        refs = [new_ref(UnixMs(base + n), bytes([n % 256]) * 10) for n in range(128 + extra)]
        await talk.store.redis.delete(talk.key(f"i:{VISITOR.user}"))  # the one that began it
        for start in range(0, len(refs), 16):
            await talk.append([talk.entry(ref) for ref in refs[start : start + 16]])
        return refs

    async def test_holds_the_128_greatest(self, talk: Talk) -> None:
        refs = await self.filled(talk, extra=7)
        held = await talk.store.redis.zrange(talk.key(f"i:{VISITOR.user}"), 0, -1)
        assert [member.decode().split("/")[0] for member in held] == refs[7:]

    async def test_answers_what_fell_out_with_unknown_outcome_and_stores_it_never_again(self, talk: Talk) -> None:
        refs = await self.filled(talk, extra=1)
        stored = len(await talk.log())
        assert isinstance(await talk.say(ref=refs[0]), OutcomeUnknown)
        assert (await talk.say(ref=refs[1])).repeated
        assert len(await talk.log()) == stored

    async def test_takes_a_fresh_ref_that_is_older_than_some_but_not_than_all(self, talk: Talk) -> None:
        refs = await self.filled(talk)
        between = new_ref(UnixMs(int(refs[64].replace("-", "")[:12], 16)), b"\xff" * 10)
        assert between not in refs
        said = await talk.say(ref=between)
        assert not said.repeated
        assert (await talk.say(ref=between)).position == said.position

    async def test_orders_refs_of_one_instant_by_their_text(self, talk: Talk) -> None:
        refs = await self.filled(talk)
        instant = UnixMs(int(refs[0].replace("-", "")[:12], 16))
        assert isinstance(await talk.say(ref=new_ref(instant, b"\x00" * 9 + b"\x00")), Appended)  # refs[0] itself
        await talk.say()  # pushes refs[0] out
        assert isinstance(await talk.say(ref=refs[0]), OutcomeUnknown)
        smallest = int(refs[1].replace("-", "")[:12], 16)
        assert isinstance(await talk.say(ref=new_ref(UnixMs(smallest), b"\x00" * 10)), OutcomeUnknown)
        assert isinstance(await talk.say(ref=new_ref(UnixMs(smallest), b"\xff" * 10)), Appended)

    async def test_that_is_not_full_stores_however_old_a_ref_is(self, talk: Talk) -> None:
        await talk.begin()
        assert isinstance(await talk.say(ref=new_ref(UnixMs(1), b"x" * 10)), Appended)


async def every_script(talk: Talk, acting: Any) -> list[Any]:
    """What the scripts that run on behalf of a session answer; ``bind`` is in test_sessions."""
    return [
        await talk.say(acting=acting),
        await talk.open(acting),
        await talk.read(1, acting),
    ]


class TestFence:
    async def test_that_is_missing_refuses_everything_as_stale(self, talk: Talk) -> None:
        await talk.begin()
        await talk.store.redis.delete(schema.fence(PARTITION))
        answers = [*await every_script(talk, VISITOR), await talk.note()]
        assert [(type(one), one.fence) for one in answers] == [(Stale, None)] * 4
        assert len(await talk.log()) == 1

    async def test_that_is_higher_refuses_everything_as_stale_and_says_how_high(self, talk: Talk) -> None:
        await talk.begin()
        await talk.store.redis.set(schema.fence(PARTITION), 7)
        answers = [*await every_script(talk, VISITOR._replace(version=Version(6))), await talk.note()]
        assert [(type(one), one.fence) for one in answers] == [(Stale, 7)] * 4
        assert len(await talk.log()) == 1

    @pytest.mark.parametrize("script", ["append", "open", "read", "note"])
    async def test_is_raised_by_whoever_carries_more_and_never_lowered(self, talk: Talk, script: str) -> None:
        await talk.begin()
        calls = {"append": talk.say, "open": talk.open, "note": talk.note}
        acting = (AGENT if script == "note" else VISITOR)._replace(version=Version(9))
        for version in (9, 9):
            acting = acting._replace(version=Version(version))
            reply = await (talk.read(1, acting) if script == "read" else calls[script](acting=acting))
            assert not isinstance(reply, Exception)
            assert await talk.store.redis.get(schema.fence(PARTITION)) == b"9"

    async def test_does_not_bind_the_node_that_reads_for_its_own_hub(self, talk: Talk) -> None:
        await talk.begin()
        await talk.store.redis.set(schema.fence(PARTITION), 7)
        assert texts(await talk.open(NODE)) == ["hello"]

    async def test_still_answers_a_repeat_with_what_was_stored(self, talk: Talk) -> None:
        """What was accepted before trust ended was accepted; its author may learn where."""
        await talk.begin()
        ref = await talk.ref()
        said = await talk.say(ref=ref)
        await talk.store.redis.set(schema.fence(PARTITION), 7)
        assert (await talk.say(ref=ref)).position == said.position


class TestMark:
    async def mark(self, talk: Talk, field: str, value: str, user: UserId = VISITOR.user) -> None:
        await Control(talk.store).mark_person(PROJECT, user, [PARTITION], field, value)

    async def test_of_signing_out_ends_sessions_up_to_its_instant(self, talk: Talk) -> None:
        await talk.begin()
        await self.mark(talk, "*", "1000")
        for answered in await every_script(talk, VISITOR):
            assert (type(answered), answered.mark) == (Withdrawn, "signed_out")

    async def test_of_signing_out_spares_sessions_after_its_instant(self, talk: Talk) -> None:
        await talk.begin()
        await self.mark(talk, "*", "999")
        vouched = VISITOR._replace(kid=KeyId("key_1"))
        assert not [one for one in await every_script(talk, vouched) if isinstance(one, Exception)]

    async def test_of_signing_out_ends_a_stranger_whenever_the_credential_was_minted(self, talk: Talk) -> None:
        """What was minted in that very moment is theirs too, and they are nobody any more."""
        await talk.begin()
        await self.mark(talk, "*", "1")
        assert isinstance(await talk.say(), Withdrawn)

    async def test_never_moves_back(self, talk: Talk) -> None:
        await talk.begin()
        await self.mark(talk, "*", "1000")
        await self.mark(talk, "*", "10")
        assert isinstance(await talk.say(), Withdrawn)

    async def test_of_blocking_ends_every_session_whenever_it_began(self, talk: Talk) -> None:
        await talk.begin()
        await self.mark(talk, "blocked", "5")
        later = VISITOR._replace(signed_at=UnixMs(2**50), session=SessionId("ses_later"))
        for answered in await every_script(talk, later):
            assert (type(answered), answered.mark) == (Withdrawn, "blocked")

    async def test_of_one_session_spares_the_persons_others(self, talk: Talk) -> None:
        await talk.begin()
        await self.mark(talk, "ses_v", "session_signed_out")
        for answered in await every_script(talk, VISITOR):
            assert (type(answered), answered.mark) == (Withdrawn, "session_signed_out")
        assert isinstance(await talk.say(acting=VISITOR._replace(session=SessionId("ses_2"))), Appended)

    async def test_of_another_person_changes_nothing(self, talk: Talk) -> None:
        await talk.begin()
        await self.mark(talk, "blocked", "5", UserId("usr_other"))
        assert isinstance(await talk.say(), Appended)

    async def test_that_was_taken_back_lets_the_person_in_again(self, talk: Talk) -> None:
        await talk.begin()
        await self.mark(talk, "blocked", "5")
        await Control(talk.store).unmark_person(PROJECT, VISITOR.user, [PARTITION], "blocked")
        assert isinstance(await talk.say(), Appended)

    async def test_outlives_every_credential_and_a_block_outlives_that(self, talk: Talk) -> None:
        key = schema.withdrawn(PARTITION, PROJECT, VISITOR.user)
        await self.mark(talk, "*", "5")
        assert await talk.store.redis.pttl(key) > 179 * 86_400_000
        await self.mark(talk, "blocked", "5")
        assert await talk.store.redis.pttl(key) == -1
        await self.mark(talk, "*", "6")
        assert await talk.store.redis.pttl(key) == -1


class TestMembership:
    async def test_of_a_conversation_that_was_never_begun_is_nobodys(self, talk: Talk) -> None:
        for answered in [*await every_script(talk, VISITOR), await talk.note()]:
            assert isinstance(answered, ConversationUnknown)
        assert not await talk.store.redis.exists(talk.key("m"), talk.key("s"), talk.key("n"))

    async def test_is_refused_to_another_visitor(self, talk: Talk) -> None:
        await talk.begin()
        for answered in await every_script(talk, OTHER_VISITOR):
            assert isinstance(answered, ConversationUnknown)
        assert isinstance(await talk.begin(acting=OTHER_VISITOR), ConversationUnknown)

    @pytest.mark.parametrize("acting", [VISITOR, AGENT], ids=["visitor", "agent"])
    async def test_is_refused_to_another_project_even_for_the_same_name(self, talk: Talk, acting: Any) -> None:
        await talk.begin()
        stranger = acting._replace(project=OTHER_PROJECT)
        for answered in [*await every_script(talk, stranger), await talk.note(acting=stranger)]:
            assert isinstance(answered, ConversationUnknown)
        assert len(await talk.log()) == 1

    async def test_of_agents_of_the_project_is_given(self, talk: Talk) -> None:
        await talk.begin()
        assert not [one for one in await every_script(talk, AGENT) if isinstance(one, Exception)]

    async def test_is_remembered_in_the_persons_list(self, talk: Talk) -> None:
        await talk.begin()
        assert await talk.conversations.of_person(PROJECT, VISITOR.user) == [CONVERSATION]
        assert await talk.conversations.of_person(OTHER_PROJECT, VISITOR.user) == []


SIGNED = VISITOR._replace(user=UserId("usr_signed"), session=SessionId("ses_s"), kid=KID)


class TestSignedInDuringTheChat:
    async def test_leaves_the_chat_to_that_session_alone(self, talk: Talk) -> None:
        await talk.begin()
        assert isinstance(await talk.act("signed_in", SIGNED, VISITOR.user), Appended)
        assert isinstance(await talk.say(acting=SIGNED), Appended)
        assert texts(await talk.open(SIGNED))[0] == "hello"
        elsewhere = SIGNED._replace(session=SessionId("ses_elsewhere"))
        for acting in (VISITOR, elsewhere, OTHER_VISITOR):
            for answered in await every_script(talk, acting):
                assert isinstance(answered, ConversationUnknown)

    async def test_is_shown_to_agents_as_pending(self, talk: Talk) -> None:
        await talk.begin()
        await talk.act("signed_in", SIGNED, VISITOR.user)
        head = await talk.head()
        assert (head.holders, head.pending, head.visitor) == ({"ses_s"}, "usr_signed", VISITOR.user)
        assert isinstance(await talk.say(acting=AGENT), Appended)

    async def test_is_refused_to_whoever_comes_second(self, talk: Talk) -> None:
        await talk.begin()
        await talk.act("signed_in", SIGNED, VISITOR.user)
        second = SIGNED._replace(user=UserId("usr_second"), session=SessionId("ses_second"))
        assert isinstance(await talk.act("signed_in", second, VISITOR.user), ConversationUnknown)

    async def test_again_by_the_same_person_moves_the_hold_and_says_nothing_twice(self, talk: Talk) -> None:
        await talk.begin()
        first = await talk.act("signed_in", SIGNED, VISITOR.user)
        again = SIGNED._replace(session=SessionId("ses_again"))
        repeated = await talk.act("signed_in", again, VISITOR.user)
        assert (repeated.position, repeated.repeated) == (first.position, True)
        assert isinstance(await talk.say(acting=again), Appended)
        assert len(await talk.log()) == 3

    async def test_as_somebody_who_was_never_this_visitor_is_refused(self, talk: Talk) -> None:
        await talk.begin()
        assert isinstance(await talk.act("signed_in", SIGNED, UserId("usr_other")), ConversationUnknown)


class TestNotes:
    async def test_are_never_in_the_log_and_leave_no_gap(self, talk: Talk) -> None:
        await talk.begin()
        at, seq, repeated = await talk.note("he seems upset")
        assert (seq, repeated) == (1, 0)
        assert at <= await talk.store.now()
        await talk.say()
        log = await talk.log()
        assert chained(log)
        assert len(log) == 2
        assert "upset" not in json.dumps(log)
        assert texts(await talk.open()) == ["hello", "hi"]

    async def test_are_numbered_by_themselves_and_read_in_order(self, talk: Talk) -> None:
        await talk.begin()
        for n in range(3):
            await talk.note(f"note {n}")
        notes = [json.loads(note) for note in await answer(lambda done: talk.conversations.notes(CONVERSATION, done))]
        assert [(note["type"], note["seq"], note["text"]) for note in notes] == [
            ("note", n + 1, f"note {n}") for n in range(3)
        ]

    async def test_are_stored_once_per_ref(self, talk: Talk) -> None:
        await talk.begin()
        ref = await talk.ref()
        at, seq, repeated = await talk.note(ref=ref)
        assert (repeated, await talk.note(ref=ref)) == (0, [at, seq, 1])
        assert await talk.store.redis.xlen(talk.key("n")) == 1

    async def test_older_than_what_is_remembered_have_an_unknown_outcome(self, talk: Talk) -> None:
        await talk.begin()
        base = await talk.store.now() - 60_000
        refs = [new_ref(UnixMs(base + n), b"x" * 10) for n in range(129)]
        await asyncio.gather(*(talk.note(ref=ref) for ref in refs))
        assert isinstance(await talk.note(ref=refs[0]), OutcomeUnknown)
        assert isinstance(await talk.note(ref=await talk.ref(130_000)), RefAhead)
        assert await talk.store.redis.xlen(talk.key("n")) == 129

    async def test_are_announced_to_agents_only(self, talk: Talk, second: Talk) -> None:
        await talk.begin()
        subscriber = await talk.store.open_subscriber(NodeId("nod_1"))
        heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        try:
            await subscriber.subscribe(event_channel(CONVERSATION), lambda e: heard.put_nowait(("all", e)))
            await subscriber.subscribe(agent_channel(CONVERSATION), lambda e: heard.put_nowait(("agents", e)))
            await talk.note("psst")
            await talk.say("loud")
            where, first = await heard.get()
            assert (where, json.loads(first)["text"]) == ("agents", "psst")
            where, then = await heard.get()
            assert (where, json.loads(then)["text"]) == ("all", "loud")
        finally:
            await subscriber.close()


class TestPublication:
    async def test_is_byte_for_byte_what_was_stored(self, talk: Talk) -> None:
        subscriber = await talk.store.open_subscriber(NodeId("nod_1"))
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        hints: asyncio.Queue[bytes] = asyncio.Queue()
        try:
            await subscriber.subscribe(event_channel(CONVERSATION), heard.put_nowait)
            await subscriber.subscribe(schema.inbox_hints(PARTITION, PROJECT), hints.put_nowait)
            await talk.begin('quotes "and" \\ ünïcödé 🎈')
            await talk.say()
            published = [await heard.get(), await heard.get()]
            assert published == [event for event, _ in await talk.conversations.entries(CONVERSATION)]
            assert json.loads(published[0])["text"] == 'quotes "and" \\ ünïcödé 🎈'
            assert [await hints.get(), await hints.get()] == [CONVERSATION.encode()] * 2
        finally:
            await subscriber.close()

    async def test_is_not_repeated_for_a_repeat(self, talk: Talk) -> None:
        subscriber = await talk.store.open_subscriber(NodeId("nod_1"))
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        try:
            await talk.begin()
            await subscriber.subscribe(event_channel(CONVERSATION), heard.put_nowait)
            ref = await talk.ref()
            await talk.say("once", ref=ref)
            await talk.say("once", ref=ref)
            await talk.say("after")
            assert [json.loads(await heard.get())["text"] for _ in range(2)] == ["once", "after"]
        finally:
            await subscriber.close()

    async def test_never_names_the_key_that_vouched(self, talk: Talk) -> None:
        await talk.begin(acting=VISITOR._replace(kid=KID))
        [(event, kid)] = await talk.conversations.entries(CONVERSATION)
        assert kid == KID
        assert KID.encode() not in event


async def filled(talk: Talk, count: int = 9) -> list[Position]:
    """Say "hello", "1", "2" …; return every position."""
    return [(await talk.begin()).position] + [(await talk.say(str(n))).position for n in range(1, count)]


class TestOpen:
    async def test_of_a_cursor_that_is_present_replays_what_came_after(self, talk: Talk) -> None:
        at = await filled(talk)
        page = await talk.open(cursor=at[4])
        assert (page.status, page.more, texts(page)) == ("gapless", False, ["5", "6", "7", "8"])
        assert page.head.top == at[8]

    async def test_of_the_top_replays_nothing_even_when_all_of_it_was_moved_away(self, talk: Talk) -> None:
        at = await filled(talk)
        await talk.store.redis.xtrim(talk.key("s"), maxlen=0)
        page = await talk.open(cursor=at[8])
        assert (page.status, page.entries) == ("gapless", [])

    async def test_from_the_start_replays_everything(self, talk: Talk) -> None:
        await filled(talk, 3)
        page = await talk.open(cursor=START)
        assert (page.status, texts(page)) == ("gapless", ["hello", "1", "2"])

    async def test_of_a_cursor_older_than_what_is_kept_says_trimmed_and_gives_the_tail(self, talk: Talk) -> None:
        at = await filled(talk)
        await talk.store.redis.xtrim(talk.key("s"), maxlen=3, approximate=False)
        for cursor in (START, at[0], at[4]):
            page = await talk.open(cursor=cursor)
            assert (page.status, texts(page)) == ("trimmed", ["6", "7", "8"])

    async def test_of_a_cursor_below_a_log_that_was_moved_away_whole_says_trimmed(self, talk: Talk) -> None:
        at = await filled(talk)
        await talk.store.redis.xtrim(talk.key("s"), maxlen=0)
        page = await talk.open(cursor=at[4])
        assert (page.status, page.entries) == ("trimmed", [])

    async def test_of_a_cursor_with_another_link_says_diverged_though_at_and_seq_agree(self, talk: Talk) -> None:
        at = await filled(talk)
        for cursor in (at[4], at[8]):
            page = await talk.open(cursor=cursor._replace(link="deadbeef"))
            assert (page.status, len(page.entries)) == ("diverged", 9)

    async def test_of_a_cursor_above_the_top_says_diverged(self, talk: Talk) -> None:
        at = await filled(talk)
        page = await talk.open(cursor=Position(UnixMs(at[8].at + 5), 12, "deadbeef"))
        assert page.status == "diverged"

    async def test_is_not_fooled_by_a_text_that_looks_like_a_link(self, talk: Talk) -> None:
        await talk.begin()
        said = await talk.say('"link":"deadbeef"')
        await talk.say()
        page = await talk.open(cursor=said.position._replace(link="deadbeef"))
        assert page.status == "diverged"

    async def test_of_the_tail_gives_the_last_ones_oldest_first_and_says_that_there_are_more(self, talk: Talk) -> None:
        await filled(talk)
        page = await talk.open(limit=3)
        assert (page.status, page.more, texts(page)) == ("tail", True, ["6", "7", "8"])
        page = await talk.open(limit=9)
        assert (page.more, len(page.entries)) == (False, 9)

    async def test_before_a_position_pages_back_to_the_beginning(self, talk: Talk) -> None:
        at = await filled(talk)
        page = await talk.open(what="before", cursor=at[6], limit=4)
        assert (page.more, texts(page)) == (True, ["2", "3", "4", "5"])
        page = await talk.open(what="before", cursor=at[2], limit=4)
        assert (page.more, texts(page)) == (False, ["hello", "1"])

    async def test_of_the_head_gives_no_entries(self, talk: Talk) -> None:
        at = await filled(talk, 2)
        page = await talk.open(what="head")
        assert (page.status, page.entries, page.head.top) == ("head", [], at[1])

    async def test_gives_pages_that_end_at_128_kib_and_lead_on_without_a_gap(self, talk: Talk) -> None:
        await talk.begin()
        for n in range(20):
            await talk.say(chr(ord("a") + n) * 16_000)
        said: list[str] = []
        cursor, pages = START, 0
        while True:
            page = await talk.open(cursor=cursor, limit=500)
            assert sum(len(entry) for entry in page.entries) <= PAGE_BYTES
            said += texts(page)
            last = json.loads(page.entries[-1])
            cursor, pages = Position(last["at"], last["seq"], last["link"]), pages + 1
            if not page.more:
                break
        assert [text[0] for text in said] == list("habcdefghijklmnopqrst")
        assert pages == 3

    async def test_of_the_tail_keeps_to_128_kib_by_leaving_out_the_oldest(self, talk: Talk) -> None:
        await talk.begin()
        for n in range(10):
            await talk.say(str(n) * 16_000)
        page = await talk.open()
        assert page.more
        assert sum(len(entry) for entry in page.entries) <= PAGE_BYTES
        assert texts(page)[-1][0] == "9"

    async def test_gives_one_entry_however_large_it_is(self, talk: Talk) -> None:
        await talk.begin()
        await talk.say("x" * (PAGE_BYTES + 1))
        assert [text[:1] for text in texts(await talk.open())] == ["x"]


class TestReadMark:
    async def test_moves_forward_only(self, talk: Talk) -> None:
        await filled(talk, 5)
        assert [await talk.read(seq) for seq in (3, 3, 2, 4)] == [1, 0, 0, 1]
        assert (await talk.head()).reads[VISITOR.user] == 4

    async def test_ends_at_the_top(self, talk: Talk) -> None:
        await filled(talk, 3)
        assert await talk.read(2**40) == 1
        assert (await talk.head()).reads[VISITOR.user] == 3

    async def test_is_announced_when_it_moved_and_only_then(self, talk: Talk) -> None:
        await filled(talk, 3)
        subscriber = await talk.store.open_subscriber(NodeId("nod_1"))
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        try:
            await subscriber.subscribe(event_channel(CONVERSATION), heard.put_nowait)
            for seq in (2, 1, 3):
                await talk.read(seq, mark=b'{"type":"read","seq":%d}' % seq)
            assert [json.loads(await heard.get())["seq"] for _ in range(2)] == [2, 3]
        finally:
            await subscriber.close()

    async def test_is_announced_as_it_was_stored_and_not_as_it_was_claimed(self, talk: Talk) -> None:
        await filled(talk, 3)
        subscriber = await talk.store.open_subscriber(NodeId("nod_1"))
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        try:
            await subscriber.subscribe(event_channel(CONVERSATION), heard.put_nowait)
            await talk.read(2**40, mark=b'{"type":"read","seq":%d,"user":"usr_v"}' % (2**40))
            assert json.loads(await heard.get()) == {"type": "read", "seq": 3, "user": "usr_v"}
        finally:
            await subscriber.close()


class TestUnread:
    async def test_counts_the_other_sides_texts(self, talk: Talk) -> None:
        await filled(talk, 3)
        for _ in range(2):
            await talk.say(acting=AGENT)
        await talk.act("assigned", subject="agt_a")
        head = await talk.head()
        assert (head.unread(VISITOR.user), head.unread_by_agents) == (2, 3)

    async def test_goes_down_by_what_was_read(self, talk: Talk) -> None:
        await talk.begin()
        for _ in range(2):
            await talk.say(acting=AGENT)  # seq 2, 3
        await talk.say()  # seq 4
        await talk.say(acting=AGENT)  # seq 5
        await talk.read(3)
        assert (await talk.head()).unread(VISITOR.user) == 1
        await talk.read(5)
        assert (await talk.head()).unread(VISITOR.user) == 0

    async def test_of_agents_is_shared_by_all_of_them_and_marks_are_their_own(self, talk: Talk) -> None:
        await filled(talk, 4)
        colleague = AGENT._replace(user=UserId("agt_b"), session=SessionId("ses_b"))
        assert await talk.read(3, AGENT) == 1
        assert await talk.read(2, colleague) == 1
        head = await talk.head()
        assert head.unread_by_agents == 1
        assert (head.reads["agt_a"], head.reads["agt_b"]) == (3, 2)
        await talk.read(4, colleague)
        assert (await talk.head()).unread_by_agents == 0

    async def test_is_not_forgotten_when_the_marked_entry_was_moved_away(self, talk: Talk) -> None:
        await talk.begin()
        for _ in range(6):
            await talk.say(acting=AGENT)
        await talk.store.redis.xtrim(talk.key("s"), maxlen=2, approximate=False)
        await talk.read(3)
        assert (await talk.head()).unread(VISITOR.user) == 6
        await talk.read(6)
        assert (await talk.head()).unread(VISITOR.user) == 1

    async def test_is_not_guessed_far_below_the_top(self, talk: Talk) -> None:
        await talk.begin()
        for _ in range(32):
            await talk.append([talk.entry(await talk.ref(), "x", AGENT) for _ in range(16)], AGENT)
        assert await talk.read(2) == 0
        assert (await talk.head()).unread(VISITOR.user) == 512


class TestId:
    @pytest.mark.parametrize(
        "text", ["", "cnv_", "cnv_00", f"cnv_{'g' * 22}", f"cnv_{'A' * 22}", f"xxx_{'0' * 22}", f"cnv_{'0' * 23}"]
    )
    def test_that_is_none_is_an_unknown_conversation(self, text: str) -> None:
        with pytest.raises(ConversationUnknown):
            require_conversation(text)

    def test_is_taken_as_it_is(self) -> None:
        assert require_conversation(CONVERSATION) == CONVERSATION


async def test_the_top_and_last_entry_of_nothing_are_the_start(talk: Talk) -> None:
    nothing = ConversationId(f"cnv_{'0' * 22}")
    assert await answer(lambda done: talk.conversations.top(nothing, done)) == START
    assert await answer(lambda done: talk.conversations.last_entry(nothing, done)) == b""
    assert await answer(lambda done: talk.conversations.head(nothing, done)) is None
    position = (await talk.begin("only")).position
    assert await answer(lambda done: talk.conversations.top(CONVERSATION, done)) == position
    assert b'"only"' in await answer(lambda done: talk.conversations.last_entry(CONVERSATION, done))
