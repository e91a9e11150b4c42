"""However publications are lost, doubled or delayed, everybody who listens hears each thing once and in order.

The store is real; the publications are carried by hand, so that a test chooses which of them arrive, and when.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from chatgateway.core import effects as fx
from chatgateway.core.adoption import Receipt
from chatgateway.core.conversation import new_conversation_id, new_ref
from chatgateway.core.identity import Agent, Anonymous
from chatgateway.core.rotation import Grounds
from chatgateway.errors import ChatGatewayError, ConversationUnknown, StoreUnavailable
from chatgateway.gateway.fanout import IDLE_MS, LOOK_EVERY_MS, Fanout
from chatgateway.gateway.hub import LOOK_EVERY_S, LOOKS_S
from chatgateway.gateway.outbox import Event
from chatgateway.protocol import codec
from chatgateway.protocol import frames as f
from chatgateway.store import schema
from chatgateway.store.adoptions import Adoptions
from chatgateway.store.client import Store
from chatgateway.store.conversations import Acting, Conversations, Entry, agent_channel, event_channel
from chatgateway.types import (
    AgentId,
    ConversationId,
    NodeId,
    Position,
    ProjectId,
    SessionId,
    UnixMs,
    UserId,
    Version,
)

PROJECT, USER, FAR = ProjectId("prj_1"), UserId("usr_1"), UnixMs(2**50)
CONVERSATION = new_conversation_id(schema.partition_of_user(PROJECT, USER), PROJECT, USER, "first")
LOG = schema.conversation(CONVERSATION, "s")
VISITOR = Acting(USER, "visitor", SessionId("ses_1"), UnixMs(1), PROJECT, None, Version(0))
SIGNED = VISITOR._replace(user=UserId("usr_signed"), session=SessionId("ses_signed"))
PHONE = SIGNED._replace(session=SessionId("ses_phone"))


class Air:
    """The subscriber: what is published reaches a listener when a test carries it there."""

    def __init__(self) -> None:
        self.listeners: dict[str, Callable[[bytes], None]] = {}
        self.confirming = asyncio.Event()
        self.confirming.set()

    async def subscribe(self, channel: str, on_event: Callable[[bytes], None]) -> None:
        assert channel not in self.listeners, "one listener per channel"
        self.listeners[channel] = on_event
        try:
            await self.confirming.wait()
        except BaseException:
            del self.listeners[channel]
            raise

    def unsubscribe(self, channel: str) -> None:
        self.listeners.pop(channel, None)

    def carry(self, *events: bytes, channel: str = "") -> None:
        for event in events:
            self.listeners[channel or event_channel(CONVERSATION)](event)


class Wheel:
    """Deadlines that fire when a test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], None]]] = []

    def schedule(self, after_ms: float, callback: Callable[[], None]) -> None:
        self.waiting.append((after_ms, callback))

    def fire(self, after_ms: float) -> None:
        """Fire what was scheduled with this delay."""
        due = [callback for ms, callback in self.waiting if ms == after_ms]
        self.waiting = [(ms, callback) for ms, callback in self.waiting if ms != after_ms]
        for callback in due:
            callback()


class Listener:
    """A connection, and everything that it was shown."""

    def __init__(self, identity: Any, acting: Acting) -> None:
        self.session = SimpleNamespace(identity=identity)
        self.acting = acting
        self.grounds = Grounds(acting.session, acting.user, PROJECT, UnixMs(1))
        self.user = acting.user
        self.followed: dict[ConversationId, Any] = {}
        self.wanted: dict[ConversationId, Any] = {}
        self.closed = False
        self.shown: list[Any] = []
        """Texts, ["reset", …] for a reset, and the types of other frames."""
        self.heard: list[Any] = []

    def project_of(self, _: ConversationId) -> ProjectId:
        return PROJECT

    def hear(self, event: Any) -> None:
        self.heard.append(event)

    def say(self, frame: Any) -> None:
        self._show(codec.encode(frame))

    def deliver(self, event: Event, *, hint: bool = False) -> bool:
        self._show(event.payload)
        return True

    def _show(self, payload: bytes) -> None:
        frame = json.loads(payload)
        match frame["type"]:
            case "message":
                self.shown.append(frame.get("text", ""))
            case "replay":
                self.shown += [one.get("text", "") for one in frame["messages"]]
            case "reset":
                self.shown.append([frame["why"], *(one.get("text", "") for one in frame["messages"])])
            case "conversation":
                pass
            case other:
                self.shown.append(f"<{other}>")


class World:
    """A fanout over a real store, with everything else held still."""

    def __init__(self, store: Store, subscriber: Any = None) -> None:
        self.store = store
        self.conversations = Conversations(store)
        self.air, self.wheel = Air(), Wheel()
        self.node = SimpleNamespace(may_act=True, trust=SimpleNamespace(applied=Version(0)))
        self.at = 1_000.0
        self.said: list[bytes] = []
        self.before_answer: Callable[[], None] = lambda: None
        parts: Any = SimpleNamespace(
            wheel=self.wheel,
            node=self.node,
            conversations=self.conversations,
            errands=SimpleNamespace(ask=self._ask),
            desk=SimpleNamespace(card=self._card, visitor_came=lambda *_: None),
        )
        self.fanout = Fanout(parts, subscriber or self.air)
        self.fanout.loop_time = lambda: self.at  # type: ignore[method-assign]

    async def _ask(self, connection: Any, project: ProjectId, conversation: ConversationId, ask: Any) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        ask(connection.acting, future.set_result)
        reply = await future
        if isinstance(reply, ChatGatewayError):
            raise reply
        before, self.before_answer = self.before_answer, lambda: None
        before()
        return reply

    async def _card(self, head: Any) -> f.VisitorCard:
        return f.VisitorCard(user=head.visitor, assurance="anonymous")

    async def write(self, text: str, acting: Acting = VISITOR, act: Any = "text", subject: str = "") -> bytes:
        """Append, and return what was published; nobody is told."""
        ref = new_ref(UnixMs(await self.store.now()), os.urandom(10))
        kind: Any = {"begin": "text"}.get(act, act)
        author = f.Author(user=acting.user, role="visitor", assurance="anonymous")
        frame = f.Message(
            seq=0, at=0, link="", prev="", conversation=CONVERSATION, ref=ref, author=author, kind=kind, text=text,
            subject=acting.user if act == "signed_in" else "",
        )  # fmt: skip
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.conversations.append(
            acting, CONVERSATION, [Entry(ref, codec.event_tail(frame))], future.set_result, act=act, subject=subject
        )
        reply = await future
        assert isinstance(reply, list), reply
        return (await self.conversations.entries(CONVERSATION))[-1][0]

    async def say(self, text: str, **how: Any) -> None:
        """Append, and carry the publication."""
        self.air.carry(await self.write(text, **how))

    def visitor(self, acting: Acting = VISITOR) -> Any:
        return Listener(Anonymous(acting.user, FAR), acting)

    def agent(self) -> Any:
        acting = VISITOR._replace(user=UserId("agt_1"), side="agent", session=SessionId("ses_a"))
        return Listener(Agent(acting.user, AgentId("agt_1"), "Ann", frozenset({PROJECT}), FAR), acting)

    async def follow(self, listener: Any, cursor: Position | None = None) -> Any:
        order = fx.Follow(CONVERSATION, cursor, "1")
        listener.wanted[CONVERSATION] = order
        await self.fanout.follow(listener, order)
        await self.settle()
        return listener

    async def settle(self) -> None:
        """Return when the store owes no answer. Replies come in order, and a check may ask once more."""
        for _ in range(4):
            await self.store.hot.ask("PING")

    @property
    def hub(self) -> Any:
        return self.fanout._hubs[CONVERSATION]

    async def look(self, after_s: float) -> None:
        self.at += after_s
        self.wheel.fire(LOOK_EVERY_MS)
        await self.settle()


@pytest.fixture
async def world(store: Store) -> World:
    opened = World(store)
    await opened.write("hello", act="begin")
    return opened


def position(event: bytes) -> Position:
    head = codec.decode_head(event)
    return Position(UnixMs(head.at), head.seq, head.link)


class TestListener:
    async def test_is_shown_the_tail_and_then_what_is_said(self, world: World) -> None:
        one = await world.follow(world.visitor())
        await world.say("a")
        await world.say("b")
        assert one.shown == [["opened", "hello"], "a", "b"]

    async def test_with_a_cursor_is_shown_only_what_came_after(self, world: World) -> None:
        cursor = position(await world.write("seen"))
        await world.write("missed")
        one = await world.follow(world.visitor(), cursor)
        await world.say("live")
        assert one.shown == ["missed", "live"]

    async def test_with_a_long_absence_is_brought_up_page_by_page(self, world: World) -> None:
        cursor = position(await world.write("seen"))
        for n in range(12):
            await world.write(f"{n}" + "x" * 16_000)
        one = await world.follow(world.visitor(), cursor)
        assert [text.rstrip("x") for text in one.shown] == [str(n) for n in range(12)]

    async def test_misses_nothing_that_is_said_between_the_reading_and_the_joining(self, world: World) -> None:
        first = await world.follow(world.visitor())
        event = await world.write("before")
        second = world.visitor()
        world.before_answer = lambda: world.air.carry(event)
        await world.follow(second)
        assert first.shown == [["opened", "hello"], "before"]
        assert second.shown == [["opened", "hello", "before"]]

    async def test_is_brought_level_from_what_the_hub_remembers(self, world: World) -> None:
        await world.follow(world.visitor())
        second = world.visitor()
        started = asyncio.Event()
        going_on = asyncio.Event()
        ask = world.fanout._parts.errands.ask

        async def slow(*arguments: Any) -> Any:
            page = await ask(*arguments)
            started.set()
            await going_on.wait()
            return page

        world.fanout._parts.errands.ask = slow  # type: ignore[method-assign]
        joining = asyncio.create_task(world.follow(second))
        await started.wait()
        await world.say("while joining")
        going_on.set()
        await joining
        await world.say("after")
        assert second.shown == [["opened", "hello"], "while joining", "after"]

    async def test_who_read_more_than_the_hub_heard_is_told_nothing_twice(self, world: World) -> None:
        first = await world.follow(world.visitor())
        late = await world.write("late")
        second = await world.follow(world.visitor())
        world.air.carry(late)
        await world.say("next")
        assert first.shown == [["opened", "hello"], "late", "next"]
        assert second.shown == [["opened", "hello", "late"], "next"]

    async def test_who_stands_on_another_branch_reads_again(self, world: World) -> None:
        await world.follow(world.visitor())
        await world.say("a")
        first, top = (position(event) for event, _ in await world.conversations.entries(CONVERSATION))
        stranded = world.visitor()
        for elsewhere in (first._replace(link="deadbeef"), top._replace(link="deadbeef")):
            assert not world.hub.admit(stranded, elsewhere)
        assert stranded.shown == []
        assert world.hub.admit(stranded, first)
        assert stranded.shown == ["a"]

    async def test_of_somebody_elses_conversation_is_refused_and_not_kept(self, world: World) -> None:
        stranger = world.visitor(VISITOR._replace(user=UserId("usr_x"), session=SessionId("ses_x")))
        with pytest.raises(ConversationUnknown):
            await world.follow(stranger)
        assert stranger.followed == {}
        assert stranger.shown == []

    async def test_on_a_node_without_a_lease_is_refused(self, world: World) -> None:
        world.node.may_act = False
        with pytest.raises(StoreUnavailable):
            await world.follow(world.visitor())


class TestRewriting:
    """Somebody was erased: what they said is gone from the log, at the same positions, or the log itself is."""

    REWRITTEN = b'{"type":"rewritten"}'

    async def test_shows_everyone_what_the_log_says_now(self, world: World) -> None:
        one, agent = await world.follow(world.visitor()), await world.follow(world.agent())
        await world.say("a canary")
        rows = await world.store.redis.xrange(LOG)
        await world.store.redis.delete(LOG)
        for name, fields in rows:
            rewritten = {**fields, b"e": fields[b"e"].replace(b"a canary", b"-")}
            await world.store.redis.xadd(LOG, rewritten, id=name)
        world.air.carry(self.REWRITTEN)
        await world.settle()
        await world.write("lost")
        await world.say("after")
        await world.settle()
        assert one.shown == [["opened", "hello"], "a canary", ["opened", "hello", "-"], "lost", "after"]
        assert agent.shown[-3:] == [["opened", "hello", "-"], "lost", "after"]

    async def test_is_tried_again_when_the_store_does_not_answer(self, world: World) -> None:
        one = await world.follow(world.visitor())
        read, asked = world.conversations.open, 0

        def fails(*arguments: Any, **options: Any) -> None:
            nonlocal asked
            asked += 1
            if asked == 1:
                arguments[2](StoreUnavailable("a moment"))
            else:
                read(*arguments, **options)

        world.conversations.open = fails  # type: ignore[method-assign]
        world.air.carry(self.REWRITTEN)
        world.wheel.fire(1_000)
        await world.settle()
        assert one.shown[1:] == [["opened", "hello"]]

    async def test_of_all_of_it_tells_everyone_that_it_is_gone(self, world: World) -> None:
        listeners = [await world.follow(world.visitor()), await world.follow(world.agent())]
        await world.store.redis.delete(schema.conversation(CONVERSATION, "m"), LOG)
        world.air.carry(self.REWRITTEN)
        await world.settle()
        for listener in listeners:
            (told,) = [one for one in listener.heard if isinstance(one, fx.Unfollowed)]
            assert isinstance(told.error, ConversationUnknown)
            assert listener.followed == {}


class TestPublication:
    async def test_that_comes_twice_is_shown_once(self, world: World) -> None:
        one = await world.follow(world.visitor())
        event = await world.write("a")
        world.air.carry(event, event)
        await world.say("b")
        world.air.carry(event)
        await world.settle()
        assert one.shown[1:] == ["a", "b"]

    async def test_that_was_lost_is_repaired_by_the_next(self, world: World) -> None:
        one = await world.follow(world.visitor())
        await world.write("lost")
        await world.write("lost too")
        await world.say("heard")
        await world.settle()
        assert one.shown[1:] == ["lost", "lost too", "heard"]

    async def test_that_was_lost_with_many_others_is_repaired_page_by_page(self, world: World) -> None:
        one = await world.follow(world.visitor())
        for n in range(20):
            await world.write(f"{n}" + "x" * 16_000)
        await world.say("heard")
        await world.settle()
        assert [text.rstrip("x") for text in one.shown[1:]] == [*(str(n) for n in range(20)), "heard"]

    async def test_that_comes_out_of_order_is_shown_in_order(self, world: World) -> None:
        one = await world.follow(world.visitor())
        events = [await world.write(str(n)) for n in range(4)]
        world.air.carry(*reversed(events))
        await world.settle()
        assert one.shown[1:] == ["0", "1", "2", "3"]

    async def test_that_comes_while_a_gap_is_repaired_waits_its_turn(self, world: World) -> None:
        one = await world.follow(world.visitor())
        await world.write("lost")
        second = await world.write("second")
        world.air.carry(second)  # starts the repair
        assert world.hub.checking
        third = await world.write("third")
        world.air.carry(third)
        await world.settle()
        await world.say("fourth")
        assert one.shown[1:] == ["lost", "second", "third", "fourth"]

    async def test_of_what_is_not_stored_is_passed_on_as_it_is(self, world: World) -> None:
        one = await world.follow(world.visitor())
        world.air.carry(b'{"type":"typing","conversation":"%s"}' % CONVERSATION.encode())
        assert one.shown[1:] == ["<typing>"]

    async def test_that_makes_no_sense_harms_nobody(self, world: World) -> None:
        one = await world.follow(world.visitor())
        world.air.carry(b"\xff", b"[]", b"{}"[:1])
        await world.say("a")
        assert one.shown[1:] == ["a"]

    async def test_that_was_the_last_and_is_lost_is_found_by_looking_at_the_top(self, world: World) -> None:
        one = await world.follow(world.visitor())
        await world.write("lost")
        await world.look(LOOKS_S[0] - 0.1)
        assert one.shown[-1] == ["opened", "hello"]
        await world.look(0.1)
        assert one.shown[-1] == "lost"

    async def test_is_looked_for_at_2_10_and_30_seconds_and_then_each_minute(self, world: World) -> None:
        await world.follow(world.visitor())
        looks: list[float] = []
        start = world.at
        top = world.conversations.top

        def watched(*arguments: Any) -> None:
            looks.append(world.at - start)
            top(*arguments)

        world.conversations.top = watched  # type: ignore[method-assign]
        for _ in range(160):
            await world.look(1)
        assert looks == [2, 10, 30, 30 + LOOK_EVERY_S, 30 + 2 * LOOK_EVERY_S]


class TestDivergence:
    async def rewritten(self, world: World, count: int) -> list[bytes]:
        """A failover lost the log; others wrote ``count`` entries under the same numbers."""
        await world.store.redis.delete(
            schema.conversation(CONVERSATION, "m"), schema.conversation(CONVERSATION, "s"),
            schema.conversation(CONVERSATION, f"i:{USER}"),
        )  # fmt: skip
        events = [await world.write("other 1", act="begin")]
        return events + [await world.write(f"other {n}") for n in range(2, count + 1)]

    async def test_shows_everybody_the_authoritative_tail(self, world: World) -> None:
        one, two = await world.follow(world.visitor()), await world.follow(world.visitor())
        await world.say("mine")
        events = await self.rewritten(world, 3)
        world.air.carry(events[-1])
        await world.settle()
        reset = ["diverged", "other 1", "other 2", "other 3"]
        assert (one.shown[-1], two.shown[-1]) == (reset, reset)
        await world.say("on")
        assert one.shown[-1] == two.shown[-1] == "on"

    async def test_is_found_at_the_top_though_its_number_is_the_same(self, world: World) -> None:
        one = await world.follow(world.visitor())
        await world.say("mine")
        await self.rewritten(world, 2)
        await world.look(2)
        assert one.shown[-1] == ["diverged", "other 1", "other 2"]

    async def test_shows_nothing_of_the_other_branch_before_the_reset(self, world: World) -> None:
        one = await world.follow(world.visitor())
        await world.say("mine")
        events = await self.rewritten(world, 3)
        world.air.carry(events[2])  # its number would be next
        assert one.shown[-1] == "mine"
        await world.settle()
        assert one.shown[-1][0] == "diverged"

    async def test_that_moved_all_away_tells_everybody_that_it_is_gone(self, world: World) -> None:
        one = await world.follow(world.visitor())
        await world.store.redis.delete(schema.conversation(CONVERSATION, "m"), schema.conversation(CONVERSATION, "s"))
        await world.look(2)
        [gone] = [event for event in one.heard if isinstance(event, fx.Unfollowed)]
        assert isinstance(gone.error, ConversationUnknown)
        assert one.followed == {}

    async def test_into_a_chat_that_somebody_signed_in_to_shows_strangers_nothing_of_it(self, world: World) -> None:
        one = await world.follow(world.visitor())
        await self.rewritten(world, 1)
        await world.write("", acting=SIGNED, act="signed_in", subject=USER)
        secret = await world.write("secret", acting=SIGNED)
        world.air.carry(secret)
        await world.settle()
        assert "secret" not in json.dumps(one.shown)
        assert one.followed == {}


class TestRenewedSubscription:
    async def test_makes_the_hub_look_for_what_was_published_meanwhile(self, world: World) -> None:
        one = await world.follow(world.visitor())
        await world.write("deaf")
        world.fanout.restored([event_channel(CONVERSATION)])
        assert world.hub.suspect or world.hub.checking
        await world.settle()
        assert one.shown[-1] == "deaf"
        assert not world.hub.suspect
        await world.say("hears again")
        assert one.shown[-1] == "hears again"

    async def test_while_the_hub_reads_makes_it_read_once_more(self, world: World) -> None:
        """What was read may be older than the renewed subscription."""
        one = await world.follow(world.visitor())
        reads = world.fanout.read_after
        asked: list[Any] = []

        def held(hub: Any, at: Position, done: Any) -> None:
            asked.append(lambda: reads(hub, at, done))

        world.fanout.read_after = held  # type: ignore[method-assign]
        page: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        world.hub.check()
        reads(world.hub, world.hub.position, page.set_result)  # read before …
        old = await page
        await world.write("lost between")  # … and what is said between is heard by nobody
        world.fanout.restored([event_channel(CONVERSATION)])
        world.fanout.read_after = reads  # type: ignore[method-assign]
        world.hub._checked(old)
        await world.settle()
        assert one.shown[-1] == "lost between"

    async def test_while_the_first_listener_reads_is_not_forgotten(self, world: World) -> None:
        one = world.visitor()
        world.before_answer = lambda: world.fanout.restored([event_channel(CONVERSATION)])
        await world.follow(one)
        assert not world.hub.suspect
        await world.say("heard at once")
        assert one.shown[-1] == "heard at once"

    async def test_is_checked_again_when_the_store_did_not_answer(self, world: World) -> None:
        one = await world.follow(world.visitor())
        reads = world.fanout.read_after
        world.fanout.read_after = lambda hub, at, done: done(StoreUnavailable("gone"))  # type: ignore[method-assign]
        event = await world.write("missed")
        world.fanout.restored([])
        assert world.hub.suspect
        world.air.carry(event)
        assert one.shown[-1] == ["opened", "hello"]
        world.fanout.read_after = reads  # type: ignore[method-assign]
        world.wheel.fire(1_000)
        await world.settle()
        assert one.shown[1:] == ["missed"]


class TestWithoutALease:
    async def test_nothing_is_shown_and_all_of_it_when_it_is_back(self, world: World) -> None:
        one = await world.follow(world.visitor())
        world.node.may_act = False
        world.air.carry(b'{"type":"typing","conversation":"%s"}' % CONVERSATION.encode())
        await world.say("a")
        await world.say("b")
        await world.settle()
        assert one.shown == [["opened", "hello"]]
        world.node.may_act = True
        world.fanout.suspect_all()
        await world.settle()
        assert one.shown[1:] == ["a", "b"]

    async def test_what_was_read_before_it_ended_is_not_shown_after(self, world: World) -> None:
        one = await world.follow(world.visitor())
        await world.write("lost")
        world.air.carry(await world.write("heard"))  # the repair is on its way
        world.node.may_act = False
        await world.settle()
        assert one.shown == [["opened", "hello"]]
        world.node.may_act = True
        world.fanout.suspect_all()
        await world.settle()
        assert one.shown[1:] == ["lost", "heard"]

    async def test_a_suspect_hub_is_checked_by_the_next_look_at_the_latest(self, world: World) -> None:
        one = await world.follow(world.visitor())
        world.hub.suspect = True
        await world.look(2)
        await world.say("a")
        assert one.shown[-1] == "a"


class TestAgentsOnly:
    async def test_notes_are_shown_to_agents_and_never_to_the_visitor(self, world: World) -> None:
        visitor, agent = await world.follow(world.visitor()), await world.follow(world.agent())
        note = b'{"type":"note","seq":1,"at":1,"conversation":"%s","text":"psst"}' % CONVERSATION.encode()
        world.air.carry(note, channel=agent_channel(CONVERSATION))
        assert agent.shown[-1] == "<note>"
        assert visitor.shown == [["opened", "hello"]]

    async def test_their_channel_is_heard_only_while_one_of_them_listens(self, world: World) -> None:
        await world.follow(world.visitor())
        assert agent_channel(CONVERSATION) not in world.air.listeners
        agents = [await world.follow(world.agent()) for _ in range(2)]
        for agent in agents:
            assert agent_channel(CONVERSATION) in world.air.listeners
            world.hub.leave(agent)
        assert agent_channel(CONVERSATION) not in world.air.listeners


class TestSignedIn:
    async def test_leaves_the_chat_to_the_one_who_signed_in_and_to_agents(self, world: World) -> None:
        stranger, agent = await world.follow(world.visitor()), await world.follow(world.agent())
        await world.say("", acting=SIGNED, act="signed_in", subject=USER)
        await world.say("secret", acting=SIGNED)
        assert "secret" not in stranger.shown
        assert agent.shown[-1] == "secret"
        assert stranger.followed == {}

    async def test_is_not_slipped_past_by_who_was_just_joining(self, world: World) -> None:
        await world.follow(world.agent())
        events = [await world.write("", acting=SIGNED, act="signed_in", subject=USER)]
        events.append(await world.write("secret", acting=SIGNED))
        stranger = world.visitor()
        # As if it had read before: admitted, it would be shown what the hub remembers.
        world.air.carry(*events)
        first = position((await world.conversations.entries(CONVERSATION))[0][0])
        assert not world.hub.admit(stranger, first)
        assert stranger.shown == []


class TestAdopted:
    """The chat changes hands twice: to the account, and back to the sessions that held it."""

    async def adopt(self, world: World) -> Receipt:
        adoptions = Adoptions(world.store)
        receipt = await adoptions.finish(await adoptions.commit(SIGNED, USER))
        world.air.carry((await world.conversations.entries(CONVERSATION))[-1][0])
        await world.settle()
        return receipt

    async def test_leaves_the_chat_to_the_account_and_to_agents(self, world: World) -> None:
        stranger, agent = await world.follow(world.visitor()), await world.follow(world.agent())
        await self.adopt(world)
        phone = await world.follow(world.visitor(PHONE))
        await world.say("secret", acting=PHONE)
        assert "secret" not in stranger.shown
        assert (stranger.followed, isinstance(stranger.heard[-1], fx.Unfollowed)) == ({}, True)
        assert (agent.shown[-1], phone.shown[-1]) == ("secret", "secret")

    async def test_is_not_followed_on_by_who_signed_in_as_somebody_else_at_that_moment(self, world: World) -> None:
        """Their socket is no stranger's any more when the divider comes, and nobody of the chat's either."""
        other = await world.follow(world.visitor())
        other.grounds = Grounds(SessionId("ses_other"), UserId("usr_other"), PROJECT, UnixMs(1))
        await self.adopt(world)
        assert other.followed == {}

    async def test_and_given_back_is_taken_from_the_accounts_other_sessions(self, world: World) -> None:
        agent = await world.follow(world.agent())
        receipt = await self.adopt(world)
        held, phone = await world.follow(world.visitor(SIGNED)), await world.follow(world.visitor(PHONE))
        await Adoptions(world.store).undo(PROJECT, receipt.id, "root@host")
        divider = (await world.conversations.entries(CONVERSATION))[-1][0]
        secret = await world.write("secret", acting=SIGNED)
        # What comes while the hub asks who may still read waits for the answer.
        world.air.carry(divider, secret)
        await world.settle()
        assert (agent.shown[-1], held.shown[-1]) == ("secret", "secret")
        assert "secret" not in phone.shown
        assert (phone.followed, isinstance(phone.heard[-1], fx.Unfollowed)) == ({}, True)

    async def test_and_given_back_is_not_slipped_past_by_who_was_just_joining(self, world: World) -> None:
        await world.follow(world.agent())
        receipt = await self.adopt(world)
        top = position((await world.conversations.entries(CONVERSATION))[-1][0])
        await Adoptions(world.store).undo(PROJECT, receipt.id, "root@host")
        world.air.carry((await world.conversations.entries(CONVERSATION))[-1][0])
        await world.settle()
        assert not world.hub.admit(world.visitor(PHONE), top)


class TestIdleHub:
    async def test_is_kept_a_while_and_then_closed(self, world: World) -> None:
        one = await world.follow(world.visitor())
        world.hub.leave(one)
        assert event_channel(CONVERSATION) in world.air.listeners
        world.wheel.fire(IDLE_MS)
        assert (world.air.listeners, len(world.fanout)) == ({}, 0)

    async def test_is_kept_when_somebody_came_back(self, world: World) -> None:
        one = await world.follow(world.visitor())
        world.hub.leave(one)
        two = await world.follow(world.visitor())
        world.wheel.fire(IDLE_MS)
        await world.say("a")
        assert two.shown[-1] == "a"

    async def test_is_not_closed_under_somebody_who_is_joining(self, world: World) -> None:
        one = await world.follow(world.visitor())
        world.hub.leave(one)
        two = world.visitor()
        world.before_answer = lambda: world.wheel.fire(IDLE_MS)
        await world.follow(two)
        await world.say("a")
        assert two.shown[-1] == "a"


class TestOpening:
    async def test_by_many_at_once_subscribes_once(self, world: World) -> None:
        world.air.confirming.clear()
        some = [world.visitor() for _ in range(5)]
        following = [asyncio.create_task(world.follow(one)) for one in some]
        await asyncio.sleep(0)
        world.air.confirming.set()
        await asyncio.gather(*following)
        await world.say("a")
        assert [one.shown for one in some] == [[["opened", "hello"], "a"]] * 5

    async def test_reads_only_after_the_subscription_is_confirmed(self, world: World) -> None:
        world.air.confirming.clear()
        one = world.visitor()
        following = asyncio.create_task(world.follow(one))
        await asyncio.sleep(0)
        await world.write("said before the confirmation")
        assert one.shown == []
        world.air.confirming.set()
        await following
        assert one.shown == [["opened", "hello", "said before the confirmation"]]

    async def test_that_was_given_up_leaves_room_for_the_next(self, world: World) -> None:
        world.air.confirming.clear()
        following = asyncio.create_task(world.follow(world.visitor()))
        await asyncio.sleep(0)
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
        world.air.confirming.set()
        one = await world.follow(world.visitor())
        await world.say("a")
        assert one.shown[-1] == "a"


@pytest.fixture
async def real(store: Store) -> AsyncIterator[World]:
    subscriber = await store.open_subscriber(NodeId("nod_1"))
    opened = World(store, subscriber)
    await opened.write("hello", act="begin")
    yield opened
    await subscriber.close()


async def test_what_the_script_publishes_is_what_the_hub_hands_on(real: World) -> None:
    one = await real.follow(real.visitor())
    shown = asyncio.Event()
    deliver = one.deliver

    def delivered(event: Event, *, hint: bool = False) -> bool:
        shown.set()
        return deliver(event, hint=hint)

    one.deliver = delivered
    await real.write("published")
    await shown.wait()
    assert one.shown == [["opened", "hello"], "published"]
