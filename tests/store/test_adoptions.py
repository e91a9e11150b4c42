"""An adoption: one winner, a stranger dead before the account sees the chat, and steps that any node finishes."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from tests.store.talking import PROJECT, Talk

from chatgateway.core import adoption as rules
from chatgateway.core.adoption import Receipt
from chatgateway.core.conversation import Head, new_conversation_id
from chatgateway.errors import (
    AdoptionRefused,
    ConversationUnknown,
    Stale,
    StoreUnavailable,
    Withdrawn,
)
from chatgateway.store import schema
from chatgateway.store.adoptions import Adoptions, Told
from chatgateway.store.client import Store
from chatgateway.store.control import Control
from chatgateway.store.conversations import Acting, Appended, agent_channel
from chatgateway.store.nodes import Nodes, Report
from chatgateway.store.privacy import Privacy
from chatgateway.types import ConversationId, KeyId, NodeId, SessionId, UnixMs, UserId, Version

LATER = UnixMs(2**52)


def person(name: str, session: str = "", kid: str = "k1") -> Acting:
    return Acting(
        UserId(f"usr_{name}"), "visitor", SessionId(session or f"ses_{name}"), UnixMs(2**50), PROJECT, KeyId(kid),
        Version(0),
    )  # fmt: skip


ADA, BOB, STRANGER = person("ada"), person("bob"), person("stranger")


@dataclass
class Chat(Talk):
    """A chat that a stranger began."""

    stranger: Acting = STRANGER

    @classmethod
    async def of(cls, store: Store, name: str = "stranger", ref: str = "first") -> Chat:
        stranger = Acting(UserId(f"usr_{name}"), "visitor", SessionId(f"ses_{name}"), UnixMs(1_000), PROJECT, None,
                          Version(0))  # fmt: skip
        partition = schema.partition_of_user(PROJECT, stranger.user)
        chat = cls(store, new_conversation_id(partition, PROJECT, stranger.user, ref), stranger=stranger)
        begun = await chat.say("hello", stranger, act="begin")
        assert isinstance(begun, Appended)
        return chat

    @property
    def partition(self) -> int:
        return schema.partition_of_user(PROJECT, self.stranger.user)

    @property
    def earlier(self) -> UserId:
        return self.stranger.user

    async def claim(self, acting: Acting = ADA) -> Any:
        """Somebody signs in during it."""
        return await self.act("signed_in", acting, self.earlier)

    async def say_much(self, acting: Acting) -> None:
        """More than the window of an author's refs holds, all of them later."""
        refs = [await self.ref(ahead_ms=60_000) for _ in range(130)]
        await self.append([self.entry(ref, "much", acting) for ref in refs], acting)

    async def readable_by(self, acting: Acting) -> bool:
        page = await self.open(acting)
        return not isinstance(page, Exception)

    async def kinds(self) -> list[tuple[str, str]]:
        return [(one.get("kind", "text"), one["from"]["user"]) for one in await self.log()]


@pytest.fixture
def adoptions(store: Store) -> Adoptions:
    return Adoptions(store)


@pytest.fixture
async def chat(store: Store) -> Chat:
    return await Chat.of(store)


async def adopted(adoptions: Adoptions, chat: Chat, acting: Acting = ADA) -> Receipt:
    return await adoptions.finish(await adoptions.commit(acting, chat.earlier))


async def hints(chat: Chat, acting: Acting = ADA) -> list[bytes]:
    """What the account's list names, its own or not."""
    return await chat.store.redis.zrange(schema.person(PROJECT, acting.user, "c"), 0, -1)


async def refusal(attempt: Any) -> str:
    with pytest.raises(AdoptionRefused) as caught:
        await attempt
    return caught.value.detail


class TestLooking:
    async def test_says_what_adopting_would_keep_and_commits_nothing(self, adoptions: Adoptions, chat: Chat) -> None:
        assert await adoptions.look(ADA, chat.earlier) == (chat.conversation,)
        assert await adoptions.get(PROJECT, chat.earlier) is None
        assert await chat.readable_by(chat.stranger)
        assert not await chat.readable_by(ADA)

    async def test_keeps_everybody_out_but_who_signed_in_first(self, adoptions: Adoptions, chat: Chat) -> None:
        await adoptions.look(ADA, chat.earlier)
        assert await refusal(adoptions.look(BOB, chat.earlier)) == "taken"
        assert await refusal(adoptions.commit(BOB, chat.earlier)) == "taken"
        assert await adoptions.look(ADA._replace(session=SessionId("ses_2")), chat.earlier) == (chat.conversation,)

    async def test_is_forgotten_with_the_credentials_fitness(self, adoptions: Adoptions, chat: Chat) -> None:
        await adoptions.look(ADA, chat.earlier)
        key = schema.adoption(chat.partition, PROJECT, chat.earlier)
        assert 0 < await chat.store.redis.pttl(key) <= rules.AGE_MAX_MS

    async def test_finds_nothing_of_somebody_who_began_nothing(self, adoptions: Adoptions) -> None:
        assert await refusal(adoptions.look(ADA, UserId("usr_silent"))) == "nothing"


class TestTheCommit:
    async def test_kills_the_stranger_before_anybody_else_sees_the_chat(self, adoptions: Adoptions, chat: Chat) -> None:
        receipt = await adoptions.commit(ADA, chat.earlier)
        assert (receipt.account, receipt.session, receipt.kid) == (ADA.user, ADA.session, "k1")
        assert (receipt.state, receipt.conversations) == ("committed", (chat.conversation,))
        assert isinstance(await chat.say("me again", chat.stranger), Withdrawn)
        assert isinstance(await chat.open(chat.stranger), Withdrawn)
        assert isinstance(await (await Chat.of(chat.store, "other")).say("x", chat.stranger), Exception)
        assert not await chat.readable_by(ADA)
        # For longer than a credential of theirs can live.
        marks = schema.withdrawn(chat.partition, PROJECT, chat.earlier)
        receipt_key = schema.adoption(chat.partition, PROJECT, chat.earlier)
        for key in (marks, receipt_key):
            assert await chat.store.redis.pttl(key) > rules.REMEMBERED_MS - 60_000

    async def test_asked_again_gives_the_same_receipt(self, adoptions: Adoptions, chat: Chat) -> None:
        receipt = await adoptions.commit(ADA, chat.earlier)
        other_tab = ADA._replace(session=SessionId("ses_2"))
        assert await adoptions.commit(other_tab, chat.earlier) == receipt
        finished = await adoptions.finish(receipt)
        assert await adoptions.commit(ADA, chat.earlier) == await adoptions.look(ADA, chat.earlier) == finished

    async def test_is_refused_to_the_second_account(self, adoptions: Adoptions, chat: Chat) -> None:
        await adoptions.commit(ADA, chat.earlier)
        assert await refusal(adoptions.commit(BOB, chat.earlier)) == "taken"

    async def test_is_refused_when_somebody_else_signed_in_during_one_of_the_chats(
        self, adoptions: Adoptions, chat: Chat
    ) -> None:
        second = await Chat.of(chat.store, ref="second")
        await second.claim(BOB)
        assert await refusal(adoptions.commit(ADA, chat.earlier)) == "taken"

    async def test_is_refused_when_nobody_said_anything_lately(self, adoptions: Adoptions, chat: Chat) -> None:
        await chat.store.redis.hset(chat.key("m"), "said_at", str(await chat.store.now() - rules.ACTIVE_MS - 1_000))
        await chat.claim()
        await chat.act("assigned", subject="agt_a")
        assert await refusal(adoptions.commit(ADA, chat.earlier)) == "inactive"
        await chat.say("an agent asks", acting=person("agent")._replace(side="agent"))
        assert isinstance(await adoptions.commit(ADA, chat.earlier), Receipt)

    async def test_is_refused_once_the_stranger_signed_out(self, adoptions: Adoptions, chat: Chat) -> None:
        control = Control(chat.store)
        await control.mark_person(PROJECT, chat.earlier, [chat.partition], "*", str(await chat.store.now()))
        assert await refusal(adoptions.commit(ADA, chat.earlier)) == "signed_out"

    @pytest.mark.parametrize(
        ("field", "value", "why"),
        [("*", str(2**51), "signed_out"), ("blocked", "1", "blocked"), ("erased", "1", "erased"),
         (ADA.session, "session_signed_out", "session_signed_out")],
    )  # fmt: skip
    async def test_is_refused_to_who_is_not_trusted_any_more(
        self, adoptions: Adoptions, chat: Chat, field: str, value: str, why: str
    ) -> None:
        await Control(chat.store).mark_person(PROJECT, ADA.user, [chat.partition], field, value)
        with pytest.raises(Withdrawn, match=why):
            await adoptions.commit(ADA, chat.earlier)
        assert await chat.readable_by(chat.stranger)

    async def test_behind_the_fence_is_stale(self, adoptions: Adoptions, chat: Chat) -> None:
        await Control(chat.store).raise_fences(Version(5), [chat.partition])
        with pytest.raises(Stale):
            await adoptions.commit(ADA, chat.earlier)
        await adoptions.commit(ADA._replace(version=Version(5)), chat.earlier)

    async def test_takes_nothing_along_that_was_begun_since_the_account_signed_in(
        self, adoptions: Adoptions, chat: Chat, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever planted the credential holds it too, and may write until the commit."""
        hint, begun = adoptions._hint, list[Chat]()

        async def slow(*arguments: Any) -> None:
            await hint(*arguments)
            if not begun:
                await asyncio.sleep(0.002)  # instants are whole milliseconds
                begun.append(await Chat.of(chat.store, ref="second"))

        monkeypatch.setattr(adoptions, "_hint", slow)
        receipt = await adoptions.commit(ADA, chat.earlier)
        assert begun
        assert receipt.conversations == (chat.conversation,)
        assert await chat.conversations.of_person(PROJECT, ADA.user) == [chat.conversation]

    async def test_that_is_refused_at_the_last_moment_leaves_nothing_in_the_accounts_list(
        self, adoptions: Adoptions, chat: Chat, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The list has room for so many: what is not the account's would push out what is."""
        hint, control = adoptions._hint, Control(chat.store)

        async def outrun(*arguments: Any) -> None:
            await hint(*arguments)
            assert await hints(chat) == [chat.conversation.encode()]
            await control.mark_person(PROJECT, chat.earlier, [chat.partition], "*", str(await chat.store.now()))

        monkeypatch.setattr(adoptions, "_hint", outrun)
        assert await refusal(adoptions.commit(ADA, chat.earlier)) == "signed_out"
        assert await hints(chat) == []

    async def test_keeps_as_many_as_a_list_shows(
        self, adoptions: Adoptions, chat: Chat, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rules, "CONVERSATIONS_MAX", 2)
        for number in range(3):
            await Chat.of(chat.store, ref=f"more {number}")
        assert len((await adoptions.commit(ADA, chat.earlier)).conversations) == 2


class TestFinishing:
    async def test_gives_the_chat_to_all_sessions_of_the_account(self, adoptions: Adoptions, chat: Chat) -> None:
        await chat.claim()
        before = await chat.log()
        receipt = await adopted(adoptions, chat)
        assert receipt.state == "finished"
        for session in ("ses_ada", "ses_phone"):
            assert await chat.readable_by(ADA._replace(session=SessionId(session)))
        head: Head = await chat.head()
        assert (head.visitor, head.pending, head.holders) == (ADA.user, None, frozenset())
        log = await chat.log()
        assert log[: len(before)] == before
        assert [(one["kind"], one["from"]["user"], one["subject"]) for one in log[len(before) :]] == [
            ("adopted", ADA.user, chat.earlier)
        ]
        assert (await adoptions.under_way(LATER), await adoptions.of_person(PROJECT, ADA.user)) == ([], [receipt])

    async def test_says_which_key_vouched(self, adoptions: Adoptions, chat: Chat) -> None:
        await adopted(adoptions, chat)
        assert (await chat.conversations.entries(chat.conversation))[-1][1] == "k1"
        vouched = schema.vouched(chat.partition, PROJECT, KeyId("k1"))
        assert await chat.store.redis.zscore(vouched, chat.conversation) is not None

    async def test_leaves_the_account_what_the_stranger_had_read(self, adoptions: Adoptions, chat: Chat) -> None:
        await chat.say("answer", acting=person("agent")._replace(side="agent"))
        await chat.read(2, chat.stranger)
        await adopted(adoptions, chat)
        head: Head = await chat.head()
        assert (head.unread(ADA.user), head.reads[ADA.user]) == (0, 2)

    async def test_leaves_a_resolved_chat_resolved(self, adoptions: Adoptions, chat: Chat) -> None:
        await chat.act("resolved")
        await adopted(adoptions, chat)
        assert (await chat.head()).state == "resolved"

    async def test_is_announced_to_agents_and_to_the_persons_sockets(
        self, adoptions: Adoptions, chat: Chat, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heard: list[tuple[str, bytes]] = []
        conversations: Any = adoptions._conversations
        monkeypatch.setattr(conversations, "publish", lambda channel, frame: heard.append((channel, frame)))
        receipt = await adoptions.commit(ADA, chat.earlier)
        await adoptions.finish(receipt, "somebody")
        (agents, badge), (everybody, told) = heard
        assert (agents, everybody) == (agent_channel(chat.conversation), schema.TOLD)
        assert json.loads(badge)["user"] == ADA.user
        assert "confirmed" not in json.loads(badge)
        known = msgspec.json.decode(told, type=Told)
        assert (known.user, known.asker) == (ADA.user, "somebody")
        assert json.loads(bytes(known.frame))["receipt"] == receipt.id

    async def test_waits_until_every_node_has_let_the_stranger_go(
        self, adoptions: Adoptions, chat: Chat, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        control: Any = adoptions._control
        barrier = control.barrier
        monkeypatch.setattr(control, "barrier", lambda entry: barrier(entry, timeout_s=0.05))
        await Nodes(chat.store).renew(NodeId("deaf"), 60_000, Report())
        receipt = await adoptions.commit(ADA, chat.earlier)
        with pytest.raises(StoreUnavailable):
            await adoptions.finish(receipt)
        assert not await chat.readable_by(ADA)
        assert await adoptions.under_way(LATER) == [receipt]
        await Nodes(chat.store).renew(NodeId("deaf"), 60_000, Report(applied=9))
        assert (await adoptions.finish(receipt)).state == "finished"

    async def test_lets_nobody_else_sign_in_during_it_once_it_is_committed(
        self, adoptions: Adoptions, chat: Chat
    ) -> None:
        """Whoever showed the credential an instant before the commit must not hold the chat after it."""
        receipt = await adoptions.commit(ADA, chat.earlier)
        assert isinstance(await chat.claim(BOB), ConversationUnknown)
        await adoptions.finish(receipt)
        assert isinstance(await chat.claim(BOB), ConversationUnknown)
        assert await chat.readable_by(ADA)

    @pytest.mark.parametrize("field", ["*", "blocked", ADA.session])
    async def test_is_done_whatever_became_of_the_session_that_adopted(
        self, adoptions: Adoptions, chat: Chat, field: str
    ) -> None:
        receipt = await adoptions.commit(ADA, chat.earlier)
        control = Control(chat.store)
        await control.mark_person(PROJECT, ADA.user, [chat.partition], field, str(2**51))
        await control.raise_fences(Version(9), [chat.partition])
        assert (await adoptions.finish(receipt)).state == "finished"
        assert (await chat.head()).visitor == ADA.user

    async def test_works_however_much_was_said_since(self, adoptions: Adoptions, chat: Chat) -> None:
        """The account's window of refs is full of later ones: the divider is not a message that could be forgotten."""
        await chat.claim()
        receipt = await adoptions.commit(ADA, chat.earlier)
        await chat.say_much(ADA)
        await adoptions.finish(receipt)
        assert await chat.readable_by(ADA._replace(session=SessionId("ses_phone")))
        before = await chat.log()
        await adoptions.finish(receipt)
        assert await chat.log() == before

    async def test_works_though_the_account_guessed_the_dividers_ref(self, adoptions: Adoptions, chat: Chat) -> None:
        await chat.claim()
        receipt = await adoptions.commit(ADA, chat.earlier)
        assert isinstance(await chat.say("guessed", ADA, receipt.divider_ref(chat.conversation, "adopted")), Appended)
        await adoptions.finish(receipt)
        head: Head = await chat.head()
        assert (head.visitor, head.pending) == (ADA.user, None)
        assert [kind for kind, _ in await chat.kinds()] == ["text", "text", "text", "adopted"]


class TestANodeThatDies:
    async def test_between_any_two_steps_leaves_what_another_finishes(self, store: Store) -> None:
        for stop, name in enumerate(["a", "b", "c", "d", "e", "f"]):
            chat, second = await Chat.of(store, name), await Chat.of(store, name, "second")
            await chat.claim()
            dying, other = Adoptions(store), Adoptions(store)
            receipt = await dying.commit(ADA, chat.earlier)
            steps = dying.steps(receipt)
            assert len(steps) == 5
            for step in steps[:stop]:
                await step()
            assert [one.earlier for one in await other.under_way(LATER)] == ([] if stop > 4 else [chat.earlier])
            assert (await other.finish(await other._required(PROJECT, chat.earlier))).state == "finished"
            # The dying one was only asleep.
            await dying.finish(receipt)
            for one in (chat, second):
                assert [kind for kind, _ in await one.kinds()].count("adopted") == 1
                assert await one.readable_by(ADA)
            assert await other.under_way(LATER) == []

    async def test_while_undoing_leaves_what_another_finishes(self, store: Store) -> None:
        for stop, name in enumerate(["a", "b", "c", "d", "e"]):
            chat = await Chat.of(store, name)
            await chat.claim()
            dying, other = Adoptions(store), Adoptions(store)
            await adopted(dying, chat)

            async def dies(receipt: Receipt, _: str = "", dying: Adoptions = dying, stop: int = stop) -> Receipt:
                steps = dying.steps(receipt)
                assert len(steps) == 4
                for step in steps[:stop]:
                    await step()
                return receipt

            dying.finish = dies  # type: ignore[method-assign]
            await dying.undo(PROJECT, chat.earlier, "root@host")
            left = await other.under_way(LATER)
            assert len(left) == (0 if stop > 3 else 1)
            for receipt in left:
                assert (await other.finish(receipt)).state == "undone"
            assert [kind for kind, _ in await chat.kinds()] == ["text", "text", "adopted", "unadopted"]

    async def test_and_wakes_after_it_was_undone_changes_nothing(self, adoptions: Adoptions, chat: Chat) -> None:
        await chat.claim()
        asleep = await adoptions.commit(ADA, chat.earlier)
        await adoptions.finish(asleep)
        undone = await adoptions.undo(PROJECT, asleep.id, "root@host")
        assert undone.state == "undone"
        # No ref of the dividers is remembered any more: what keeps them from being written again is the receipt.
        await chat.say_much(ADA)
        log = await chat.log()
        for step in adoptions.steps(asleep):
            await step()
        assert await chat.log() == log
        assert await adoptions.get(PROJECT, asleep.id) == undone
        assert (await chat.head()).pending == ADA.user

    async def test_and_wakes_while_it_is_undone_does_not_call_that_finished(
        self, adoptions: Adoptions, chat: Chat, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asleep = await adoptions.commit(ADA, chat.earlier)
        await adoptions.finish(asleep)

        async def dies(receipt: Receipt, _: str = "") -> Receipt:
            return receipt

        monkeypatch.setattr(adoptions, "finish", dies)
        undoing = await adoptions.undo(PROJECT, asleep.id, "root@host")
        for step in adoptions.steps(asleep):
            await step()
        assert await adoptions.under_way(LATER) == [undoing]


class TestGivingBack:
    async def test_restores_who_held_it_and_loses_no_message(self, adoptions: Adoptions, chat: Chat) -> None:
        await chat.claim()
        await chat.claim(ADA._replace(session=SessionId("ses_tab")))
        before: Head = await chat.head()
        receipt = await adopted(adoptions, chat)
        phone = ADA._replace(session=SessionId("ses_phone"))
        await chat.say("meanwhile", phone)
        log = await chat.log()
        undone = await adoptions.undo(PROJECT, receipt.id, ADA.user, acting=phone)
        assert (undone.state, undone.undone_by) == ("undone", ADA.user)
        head: Head = await chat.head()
        assert (head.visitor, head.pending, head.holders) == (before.visitor, before.pending, before.holders)
        assert await chat.readable_by(ADA)
        assert not await chat.readable_by(phone)
        after = await chat.log()
        assert after[: len(log)] == log
        assert [(one["kind"], one["from"]["role"]) for one in after[len(log) :]] == [("unadopted", "visitor")]
        assert await adoptions.of_person(PROJECT, ADA.user) == []

    async def test_leaves_what_nobody_had_claimed_to_the_session_that_adopted(
        self, adoptions: Adoptions, chat: Chat
    ) -> None:
        receipt = await adopted(adoptions, chat)
        await adoptions.undo(PROJECT, receipt.id, "root@host")
        head: Head = await chat.head()
        assert (head.pending, head.holders) == (ADA.user, {ADA.session})

    async def test_leaves_the_stranger_dead_and_the_chat_unadoptable(self, adoptions: Adoptions, chat: Chat) -> None:
        receipt = await adopted(adoptions, chat)
        await adoptions.undo(PROJECT, receipt.id, "root@host")
        assert isinstance(await chat.say("me again", chat.stranger), Withdrawn)
        for acting in (ADA, BOB):
            assert await refusal(adoptions.commit(acting, chat.earlier)) in ("undone", "taken")
        assert await refusal(adoptions.look(ADA, chat.earlier)) == "undone"

    async def test_twice_is_once(self, adoptions: Adoptions, chat: Chat) -> None:
        receipt = await adopted(adoptions, chat)
        undone = await asyncio.gather(*(adoptions.undo(PROJECT, receipt.id, f"root@host{n}") for n in range(4)))
        assert len({(one.undone_at, one.undone_by) for one in undone}) == 1
        again = await adoptions.undo(PROJECT, receipt.id, "root@later")
        assert (again.undone_at, again.undone_by) == (undone[0].undone_at, undone[0].undone_by)
        assert [kind for kind, _ in await chat.kinds()].count("unadopted") == 1

    async def test_finishes_first_what_was_left_behind(self, adoptions: Adoptions, chat: Chat) -> None:
        receipt = await adoptions.commit(ADA, chat.earlier)
        assert (await adoptions.undo(PROJECT, receipt.id, "root@host")).state == "undone"
        assert [kind for kind, _ in await chat.kinds()] == ["text", "adopted", "unadopted"]

    async def test_leaves_nothing_in_the_accounts_list(self, adoptions: Adoptions, chat: Chat) -> None:
        own = await Chat.of(chat.store, "ada", "own")
        receipt = await adopted(adoptions, chat)
        assert set(await hints(chat)) == {own.conversation.encode(), chat.conversation.encode()}
        await adoptions.undo(PROJECT, receipt.id, "root@host")
        assert await hints(chat) == [own.conversation.encode()]

    async def test_works_though_the_account_guessed_the_dividers_ref(
        self, adoptions: Adoptions, chat: Chat, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The ref can be computed by whoever knows the receipt: words under it must not pass for the divider."""
        receipt = await adopted(adoptions, chat)
        divide = adoptions._divide

        async def outrun(receipt: Receipt, conversation: ConversationId, act: Any) -> None:
            for attempt in range(2):
                await chat.say("guessed", ADA, receipt.divider_ref(conversation, act, attempt))
            await divide(receipt, conversation, act)

        monkeypatch.setattr(adoptions, "_divide", outrun)
        assert (await adoptions.undo(PROJECT, receipt.id, "root@host")).state == "undone"
        head: Head = await chat.head()
        assert (head.visitor, head.pending) == (chat.earlier, ADA.user)
        assert not await chat.readable_by(ADA._replace(session=SessionId("ses_phone")))
        assert [kind for kind, _ in await chat.kinds()] == ["text", "adopted", "text", "text", "unadopted"]

    async def test_is_the_accounts_own_for_a_day_and_an_operators_for_longer(
        self, adoptions: Adoptions, chat: Chat
    ) -> None:
        receipt = await adopted(adoptions, chat)
        assert await refusal(adoptions.undo(PROJECT, receipt.id, BOB.user, acting=BOB)) == "not_yours"
        assert await refusal(adoptions.undo(PROJECT, "adp_other", "root@host")) == "unknown"
        key = schema.adoption(chat.partition, PROJECT, chat.earlier)
        await chat.store.redis.hset(key, "at", str(receipt.at - rules.UNDO_MS - 60_000))
        assert await refusal(adoptions.undo(PROJECT, receipt.id, ADA.user, acting=ADA)) == "too_late"
        assert (await adoptions.undo(PROJECT, receipt.id, "root@host")).state == "undone"

    @pytest.mark.parametrize("field", ["*", "blocked", "erased", ADA.session])
    async def test_is_refused_to_a_session_that_is_dead(self, adoptions: Adoptions, chat: Chat, field: str) -> None:
        receipt = await adopted(adoptions, chat)
        await Control(chat.store).mark_person(PROJECT, ADA.user, [chat.partition], field, str(2**51))
        with pytest.raises(Withdrawn):
            await adoptions.undo(PROJECT, receipt.id, ADA.user, acting=ADA)
        assert (await adoptions.get(PROJECT, receipt.id)) == receipt


class TestWhoeverIsErased:
    async def test_before_the_commit_adopts_nothing(self, adoptions: Adoptions, chat: Chat) -> None:
        await Control(chat.store).mark_person(PROJECT, ADA.user, [chat.partition], "erased", "1", ttl_ms=0)
        with pytest.raises(Withdrawn, match="erased"):
            await adoptions.commit(ADA, chat.earlier)

    async def test_is_listed_nowhere_any_more(self, adoptions: Adoptions, chat: Chat) -> None:
        own = schema.partition_of_user(PROJECT, ADA.user)
        await Control(chat.store).mark_person(PROJECT, ADA.user, [own], "erased", "1", ttl_ms=0)
        with pytest.raises(Withdrawn, match="erased"):
            await adoptions.commit(ADA, chat.earlier)
        assert await chat.conversations.of_person(PROJECT, ADA.user) == []
        assert await chat.readable_by(chat.stranger)

    @pytest.mark.parametrize("claimed", [False, True])
    async def test_takes_the_chat_along_wherever_the_adoption_stood(self, store: Store, claimed: bool) -> None:
        """Erased before, between any two steps and after; finished by a node that had not heard of it."""
        control, privacy = Control(store), Privacy(store)
        for stop in range(5):
            chat, adoptions, ada = await Chat.of(store, f"s{stop}"), Adoptions(store), person(f"ada{stop}")
            if claimed:
                await chat.claim(ada)
            receipt = await adoptions.commit(ada, chat.earlier)
            steps = adoptions.steps(receipt)
            for step in steps[:stop]:
                await step()
            erasing = asyncio.create_task(privacy.erase_person(PROJECT, ada.user))
            finished = await adoptions.finish(receipt)
            assert (await erasing).conversations == 1
            # Whoever comes by later finds nothing to finish and brings nothing back.
            if not finished.is_finished or stop < len(steps):
                await adoptions.finish(receipt)
            assert await store.redis.exists(chat.key("m"), chat.key("s")) == 0
            assert await adoptions.under_way(LATER) == []
            assert await chat.conversations.of_person(PROJECT, ada.user) == []
            assert isinstance(await chat.say("me again", chat.stranger), Exception)
            assert isinstance(await chat.open(ada._replace(session=SessionId("ses_phone"))), Exception)
        assert await control.versions() >= (Version(1), Version(1))

    async def test_between_commit_and_finish_leaves_a_receipt_of_nothing(
        self, adoptions: Adoptions, chat: Chat
    ) -> None:
        receipt = await adoptions.commit(ADA, chat.earlier)
        await Control(chat.store).mark_person(PROJECT, ADA.user, [chat.partition], "erased", "1", ttl_ms=0)
        assert (await adoptions.finish(receipt)).state == "abandoned"
        assert [kind for kind, _ in await chat.kinds()] == ["text"]
        assert await adoptions.under_way(LATER) == []
        assert await refusal(adoptions.undo(PROJECT, receipt.id, "root@host")) == "unknown"
        assert (await Privacy(chat.store).erase_person(PROJECT, ADA.user)).conversations == 1

    async def test_as_the_stranger_leaves_nothing_under_way(self, adoptions: Adoptions, chat: Chat) -> None:
        receipt = await adoptions.commit(ADA, chat.earlier)
        await Privacy(chat.store).erase_person(PROJECT, chat.earlier)
        assert await chat.store.redis.zcard(schema.adoptions(chat.partition)) == 1
        assert await adoptions.under_way(LATER) == []
        assert await chat.store.redis.zcard(schema.adoptions(chat.partition)) == 0
        assert (await adoptions.finish(receipt)).state == "abandoned"
        assert await refusal(adoptions.commit(ADA, chat.earlier)) == "signed_out"
        assert (await chat.head()).visitor == ADA.user  # it was decided, and nothing of the stranger is left in it
        assert [one.get("text", "") for one in await chat.log()] == [""]

    async def test_whose_chat_is_gone_already_leaves_nothing_behind(self, adoptions: Adoptions, chat: Chat) -> None:
        receipt = await adoptions.commit(ADA, chat.earlier)
        await chat.store.redis.delete(chat.key("m"), chat.key("s"))
        await adoptions.finish(receipt)
        assert await chat.store.redis.exists(chat.key("m"), chat.key("s")) == 0


SCHEDULES = sorted(set(itertools.permutations("aaarr")))
"""Every way in which an adoption (look, list, commit) and a regenerate (entry committed, fences raised) interleave."""


@pytest.mark.parametrize("schedule", SCHEDULES, ids="".join)
async def test_an_adoption_and_a_regenerate_end_in_one_of_two_worlds(store: Store, schedule: tuple[str, ...]) -> None:
    """Either it was committed before the fence rose, and is finished, or nothing has happened at all."""
    chat, adoptions, control = await Chat.of(store), Adoptions(store), Control(store)
    await chat.claim()
    entry = await control.write(control.entry("key", PROJECT, "k1", "regenerated", UnixMs(1)))

    async def look() -> None:
        await adoptions.look(ADA, chat.earlier)

    async def name() -> None:
        await adoptions._hint(ADA, [chat.conversation])

    async def commit() -> None:
        await adoptions._ask(ADA, chat.earlier, [chat.conversation])

    async def commit_entry() -> None:
        await control._wait()

    async def raise_fences() -> None:
        await control.finish(entry)

    adopting, regenerating = [look, name, commit], [commit_entry, raise_fences]
    refused = False
    for step in schedule:
        if step == "r":
            await regenerating.pop(0)()
        elif not refused:
            try:
                await adopting.pop(0)()
            except Stale:
                refused = True
    receipt = await adoptions.get(PROJECT, chat.earlier)
    assert (receipt is None) == refused
    if receipt is not None:
        await adoptions.finish(receipt)
    phone = ADA._replace(session=SessionId("ses_phone"), version=entry.version)
    assert await chat.readable_by(phone) == (not refused)
    assert isinstance(await chat.open(chat.stranger._replace(version=entry.version)), Exception) == (not refused) or (
        (await chat.head()).pending == ADA.user
    )


async def test_a_thousand_races_of_two_accounts_have_one_winner_each(store: Store) -> None:
    async def race(number: int) -> None:
        chat = await Chat.of(store, f"s{number}")
        nodes = [Adoptions(store), Adoptions(store)]
        rivals = [person("ada", f"ses_a{number}"), person("bob", f"ses_b{number}")]
        if number % 2:
            rivals.reverse()
        if number % 3 == 0:
            await chat.claim(rivals[number % 2])
        outcomes = await asyncio.gather(
            *(node.commit(rival, chat.earlier) for node, rival in zip(nodes, rivals, strict=True)),
            return_exceptions=True,
        )
        won = [one for one in outcomes if isinstance(one, Receipt)]
        assert len(won) == 1, outcomes
        lost = [one for one in outcomes if not isinstance(one, Receipt)]
        assert isinstance(lost[0], AdoptionRefused)
        await asyncio.gather(*(node.finish(won[0]) for node in nodes))
        winner = next(rival for rival in rivals if rival.user == won[0].account)
        loser = next(rival for rival in rivals if rival is not winner)
        assert [kind for kind, _ in await chat.kinds()].count("adopted") == 1
        assert await chat.readable_by(winner._replace(session=SessionId("ses_phone")))
        assert not await chat.readable_by(loser)
        assert not await chat.readable_by(chat.stranger)

    for start in range(0, 1_000, 50):
        await asyncio.gather(*(race(number) for number in range(start, start + 50)))
    assert await Adoptions(store).under_way(LATER) == []


async def test_many_tabs_of_one_account_adopt_once(store: Store) -> None:
    chat = await Chat.of(store)
    tabs = [ADA._replace(session=SessionId(f"ses_{n}")) for n in range(20)]
    receipts = await asyncio.gather(*(adopted(Adoptions(store), chat, tab) for tab in tabs))
    assert len({one.session for one in receipts}) == 1
    assert [kind for kind, _ in await chat.kinds()] == ["text", "adopted"]


async def test_what_is_not_adoption_cannot_be_done_under_its_name(store: Store) -> None:
    """The acts that ask neither fence nor marks do nothing but what a commit decided."""
    chat = await Chat.of(store)
    await chat.claim()
    log = await chat.log()
    for act in ("adopted", "unadopted"):
        for acting in (ADA, BOB, chat.stranger):
            for subject in (chat.earlier, ADA.user, UserId("usr_nobody")):
                entry = chat.entry(await chat.ref(), "", acting, is_text=False)
                reply = await chat.append([entry], acting, act=act, subject=subject)
                assert isinstance(reply, ConversationUnknown)
    await adopted(Adoptions(store), chat)
    log = await chat.log()
    assert isinstance(await chat.act("unadopted", ADA, chat.earlier), Appended)
    assert (await chat.head()).visitor == ADA.user
    unknown = ConversationId(chat.conversation[:-4] + "0000")
    other = Chat(store, unknown, stranger=chat.stranger)
    assert isinstance(await other.act("adopted", ADA, chat.earlier), ConversationUnknown)
    assert await chat.log() == log
    assert not await chat.readable_by(BOB)
