"""However frames, store answers, withdrawals and timers are shuffled, a session keeps its word.

The machine is the world around one session: it says frames, holds the orders that it was given, and answers them in any
order. Its model is three counts: what was said, what was answered, and which orders are open.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chatgateway.close_codes import CloseCode
from chatgateway.core import effects as fx
from chatgateway.core.conversation import new_conversation_id, new_ref, ref_ms
from chatgateway.core.identity import Agent, Anonymous, Authenticated, Identity
from chatgateway.core.session import EXPIRY_GRACE_MS, Session, SessionRules, State
from chatgateway.errors import ConversationUnknown, KeyRevoked, Malformed, OutcomeUnknown, PeerError, StoreUnavailable
from chatgateway.protocol import frames as f
from chatgateway.types import AgentId, KeyId, Position, ProjectId, SessionId, UnixMs, UserId

START_AT = UnixMs(1_795_249_707_000)
PROJECT = ProjectId("prj_machine")
RULES = SessionRules(text_max_bytes=64, in_flight_max=6)
CONVERSATIONS = [new_conversation_id(part, PROJECT, UserId("usr_0"), "r") for part in range(3)]
FAULTS: list[Exception] = [ConversationUnknown(), StoreUnavailable("away"), RuntimeError("a mistake of ours")]

Binding = fx.Identify | fx.SignIn | fx.SignOff
Asked = (
    fx.Follow
    | fx.MarkRead
    | fx.FetchHistory
    | fx.ListConversations
    | fx.KeepChat
    | fx.GiveChatBack
    | fx.ProveEmail
    | fx.ListInbox
    | fx.WriteNote
    | fx.SetAway
    | fx.KeepContext
)


@dataclass
class Order:
    """A command other than an append that the store has not answered."""

    asked: Asked
    identity: Identity

    @property
    def ref(self) -> str:
        return self.asked.inbox.ref if isinstance(self.asked, fx.ListInbox) else self.asked.ref


class SessionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = START_AT
        self.session = Session(RULES, self.now)
        self.numbers = 0
        self.said: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.last: f.ClientFrame | None = None
        self.binding: Binding | None = None
        self.asked: list[Order] = []
        self.flying: dict[str, tuple[fx.Append, Identity]] = {}
        self.spoken: dict[str, list[str]] = {}
        """Per conversation: refs that were said and neither sent off nor refused, in the order they were said."""
        self.landing: list[str] = []
        """Refs of the append that is being answered: those come first, then what waited."""
        self.following: set[str] = set()
        self.typed_at = -RULES.typing_every_ms
        self.typing_told = 0
        self.left: set[str] = set()
        self.over = False

    # The session's side

    def hear(self, event: fx.Event) -> list[fx.Effect]:
        identity, was_over = self.session.identity, self.over
        effects = self.session.handle(event, self.now)
        assert not (was_over and effects), "nothing after the end"
        # A session becomes somebody else when it is bound, and never by itself.
        assert isinstance(event, fx.Bound) or self.session.identity == identity
        for effect in effects:
            assert not self.over, "nothing after the end"
            self.carry_out(effect, event)
        return effects

    def carry_out(self, effect: fx.Effect, because: fx.Event) -> None:
        match effect:
            case fx.Say(frame):
                self.hear_answer(str(getattr(frame, "ref", "")), frame)
            case fx.Identify() | fx.SignIn() | fx.SignOff():
                assert self.binding is None
                # An answer that belongs to the identity before is never shown to the one after.
                assert not self.asked
                assert not self.flying
                if isinstance(effect, fx.SignIn):
                    assert effect.must_be == (self.user if isinstance(self.session.identity, Authenticated) else None)
                self.binding = effect
            case fx.Append(conversation, entries, act):
                assert conversation not in self.flying, "one append at a time"
                refs = [entry.ref for entry in entries]
                if act == "begin":
                    assert conversation == new_conversation_id(0, PROJECT, self.user, *refs)
                    self.spoken[conversation] = refs + self.spoken.get(conversation, [])
                assert len(set(refs)) == len(refs), "the store tells refs from those it holds, not from each other"
                assert self.spoken[conversation][: len(refs)] == refs, "in the order in which they were said"
                del self.spoken[conversation][: len(refs)]
                assert all(f'"user":"{self.user}"'.encode() in entry.tail for entry in entries)
                self.flying[conversation] = (effect, self.identity)
            case fx.Follow(conversation):
                self.following.add(conversation)
                self.asked.append(Order(effect, self.identity))
            case fx.Unfollow(conversation):
                assert isinstance(because, fx.Bound) or conversation in self.left
                self.following.discard(conversation)
            case fx.TellTyping(conversation, on):
                assert conversation in self.following
                if on:
                    assert self.now - self.typed_at >= RULES.typing_every_ms
                    self.typed_at = self.now
                self.typing_told = 1 if on else self.typing_told - 1
                assert self.typing_told >= 0, "nobody stops typing twice"
            case fx.End():
                self.over = True
            case _:
                self.asked.append(Order(effect, self.identity))

    def hear_answer(self, ref: str, frame: f.ServerFrame) -> None:
        if self.session.identity is None:
            assert isinstance(frame, f.Error), "strangers are told nothing"
        if not ref or ref in CONVERSATIONS:
            return
        self.answered[ref] += 1
        assert self.answered[ref] <= self.said[ref], "answered twice"
        if ref in self.landing:
            self.landing.remove(ref)
        elif isinstance(frame, f.Error):
            for refs in self.spoken.values():
                if ref in refs:
                    refs.reverse()
                    refs.remove(ref)
                    refs.reverse()

    # What is said

    @property
    def identity(self) -> Identity:
        assert self.session.identity is not None
        return self.session.identity

    @property
    def user(self) -> UserId:
        return self.identity.user

    def ref(self) -> str:
        self.numbers += 1
        return new_ref(self.now, self.numbers.to_bytes(10, "big"))

    def say(self, frame: f.ClientFrame) -> None:
        if isinstance(frame, (f.Send, f.Start)):
            self.last = frame
        if isinstance(frame, f.Leave):
            self.left.add(frame.conversation)
        if frame.ref and not isinstance(frame, (f.Typing, f.Heartbeat)):
            self.said[frame.ref] += 1
        match frame:
            case f.Send() | f.Assign() | f.Resolve() | f.Reopen() if ref_ms(frame.ref) is not None:
                self.spoken.setdefault(frame.conversation, []).append(frame.ref)
            case _:
                pass
        self.hear(fx.Received(frame))

    @initialize(
        resumed=st.sets(st.sampled_from(CONVERSATIONS)),
        kind=st.sampled_from(["anonymous", "signed", "signed", "agent", "nobody yet"]),
    )
    def it_says_hello(self, resumed: set[str], kind: str) -> None:
        self.say(f.Hello(ref=self.ref(), resume=dict.fromkeys(sorted(resumed), (1, 1, "0badc0de"))))
        if kind != "nobody yet":
            self.it_is_bound(kind, 60_000)

    @rule(
        conversation=st.sampled_from(CONVERSATIONS),
        text=st.sampled_from(["hi", "é" * 32, "é" * 33]),
        ref=st.sampled_from(["fresh", "fresh", "fresh", "7", ""]),
    )
    def it_writes(self, conversation: str, text: str, ref: str) -> None:
        self.say(f.Send(ref=self.ref() if ref == "fresh" else ref, conversation=conversation, text=text))

    @rule(usable=st.booleans())
    def it_begins(self, usable: bool) -> None:
        self.say(f.Start(ref=self.ref() if usable else "8", text="hi"))

    @precondition(lambda self: self.last is not None)
    @rule(times=st.integers(1, 2))
    def it_says_the_same_again(self, times: int) -> None:
        assert self.last is not None
        for _ in range(times):
            self.say(self.last)

    @rule(
        kind=st.sampled_from([f.Open, f.Open, f.Leave, f.Resolve, f.Assign]),
        conversation=st.sampled_from(CONVERSATIONS),
    )
    def it_names_a_conversation(
        self, kind: type[f.Open] | type[f.Leave] | type[f.Resolve] | type[f.Assign], conversation: str
    ) -> None:
        self.say(kind(ref=self.ref(), conversation=conversation))

    @rule(conversation=st.sampled_from(CONVERSATIONS), on=st.booleans())
    def it_types(self, conversation: str, on: bool) -> None:
        self.say(f.Typing(conversation=conversation, on=on))

    @rule(which=st.integers(0, 7), with_ref=st.booleans())
    def it_asks(self, which: int, with_ref: bool) -> None:
        ref = self.ref() if with_ref else ""
        conversation = CONVERSATIONS[0]
        frames: list[f.ClientFrame] = [
            f.Open(ref=ref, conversation=conversation),
            f.Read(ref=ref, conversation=conversation, seq=1),
            f.History(ref=ref, conversation=conversation, before=(1, 1, "0badc0de")),
            f.Conversations(ref=ref),
            f.Context(ref=ref, page="/"),
            f.Inbox(ref=ref, project=PROJECT),
            f.Note(ref=ref, conversation=conversation, text="n"),
            f.Adopt(ref=ref),
        ]
        self.say(frames[which])

    @rule()
    def it_signs_in(self) -> None:
        self.say(f.Authenticate(ref=self.ref(), token="t"))

    @rule(everywhere=st.booleans())
    def it_signs_out(self, everywhere: bool) -> None:
        self.say(f.SignOut(ref=self.ref(), everywhere=everywhere))

    @rule()
    def it_misspeaks(self) -> None:
        self.hear(fx.Misspoken(Malformed()))

    # What the store answers

    @precondition(lambda self: self.binding is not None)
    @rule(kind=st.sampled_from(["anonymous", "signed", "agent"]), life_ms=st.sampled_from([60_000, 3_600_000]))
    def it_is_bound(self, kind: str, life_ms: int) -> None:
        order, self.binding = self.binding, None
        assert order is not None
        until = UnixMs(self.now + life_ms)
        self.numbers += 1
        user, kid = UserId(f"usr_{self.numbers}"), KeyId("k_1")
        identity: Identity = Anonymous(user, until)
        match order:
            case fx.Identify(hello):
                ref = hello.ref
                if kind == "agent":
                    identity = Agent(user, AgentId(user), "Maria", frozenset({PROJECT}), until)
                elif kind == "signed":
                    identity = Authenticated(user, kid, until)
            case fx.SignIn(authenticate, must_be):
                ref = authenticate.ref
                identity = Authenticated(must_be or user, kid, until)
            case fx.SignOff(ref):
                pass
        session = SessionId(f"ses_{self.numbers}")
        effects = self.hear(fx.Bound(ref, identity, session, PROJECT, 0, "cgv_t", self.now))
        if not self.over:
            said = next(effect.frame for effect in effects if isinstance(effect, fx.Say))
            assert isinstance(said, (f.Welcome, f.Identity))
            assert said.identity == identity.assurance
        if isinstance(order, fx.SignOff) and not self.over:
            ordered = {effect.conversation for effect in effects if isinstance(effect, fx.Follow)}
            assert self.following <= ordered, "whoever is new follows nothing of the one before"

    @precondition(lambda self: self.binding is not None)
    @rule(error=st.sampled_from([KeyRevoked(), *FAULTS]))
    def it_is_not_bound(self, error: Exception) -> None:
        order, self.binding = self.binding, None
        first, following = self.session.identity is None and not self.over, set(self.following)
        ref = ""
        match order:
            case fx.Identify(frame) | fx.SignIn(frame):
                ref = frame.ref
            case fx.SignOff(ref):
                pass
            case None:
                raise AssertionError
        effects = self.hear(fx.BindRefused(ref, error))
        left = {effect.conversation for effect in effects if isinstance(effect, fx.Unfollow)}
        if first:
            assert self.over, "a refused hello ends"
        else:
            assert following - left <= self.following, "a refusal changes nothing, but what waited is done"

    @precondition(lambda self: self.asked)
    @rule(which=st.integers(0, 5), fault=st.none() | st.sampled_from(FAULTS))
    def a_command_is_answered(self, which: int, fault: Exception | None) -> None:
        order = self.asked.pop(which % len(self.asked))
        self.belongs_to_whom_it_is_shown(order.identity)
        unfollowed = order.asked.conversation if isinstance(order.asked, fx.Follow) else ""
        if fault is None:
            self.hear(fx.Answered(order.ref))
        else:
            if unfollowed:
                self.following.discard(unfollowed)
            self.hear(fx.Failed(order.ref, fault, unfollowed))

    @precondition(lambda self: self.flying)
    @rule(which=st.integers(0, 2), forgotten=st.booleans())
    def an_append_is_stored(self, which: int, forgotten: bool) -> None:
        append = self.landed(which)
        answers: list[tuple[Position, bool] | PeerError] = [
            (Position(self.now, number, "0badc0de"), False) for number, _ in enumerate(append.entries)
        ]
        if forgotten:
            answers[0] = OutcomeUnknown()
        self.hear(fx.Stored(append.conversation, tuple(answers)))

    @precondition(lambda self: self.flying)
    @rule(which=st.integers(0, 2), fault=st.sampled_from(FAULTS))
    def an_append_fails(self, which: int, fault: Exception) -> None:
        self.hear(fx.NotStored(self.landed(which).conversation, fault))

    def landed(self, which: int) -> fx.Append:
        conversation = sorted(self.flying)[which % len(self.flying)]
        append, identity = self.flying.pop(conversation)
        self.landing = [entry.ref for entry in append.entries]
        self.belongs_to_whom_it_is_shown(identity)
        return append

    def belongs_to_whom_it_is_shown(self, identity: Identity) -> None:
        assert self.over or identity == self.identity

    # What the gateway and the clock do

    @rule(conversation=st.sampled_from(CONVERSATIONS))
    def a_conversation_is_withdrawn(self, conversation: str) -> None:
        self.following.discard(conversation)
        self.hear(fx.Unfollowed(conversation, ConversationUnknown()))

    @rule(
        code=st.sampled_from([CloseCode.KEY_REVOKED, CloseCode.USER_REVOKED, CloseCode.SIGNED_OUT]),
        sure=st.integers(0, 9),
    )
    def trust_is_withdrawn(self, code: CloseCode, sure: int) -> None:
        if sure:
            return  # rarely: what comes after it is nothing
        assert self.over or self.hear(fx.TrustWithdrawn(code, 7)) == [fx.End(code, 7)]

    @rule(ms=st.sampled_from([1, 400, 2_000, 2_000, 12_000]))
    def time_passes(self, ms: int) -> None:
        self.now = UnixMs(self.now + ms)
        self.wakes()

    @rule()
    def the_peer_is_alive_until_it_is_time(self) -> None:
        self.say(f.Heartbeat())
        if not self.over:
            self.now = UnixMs(max(self.now, min(self.session.wake_at, self.now + 3_600_000)))
            self.wakes()

    def wakes(self) -> None:
        due = self.now >= self.session.wake_at
        effects = self.hear(fx.Woke())
        assert due or not effects, "a session wakes for nothing but its wishes"
        assert self.over or self.session.wake_at > self.now, "and never at the same instant again"

    # What always holds

    @invariant()
    def trust_that_has_expired_is_not_gone_on_with(self) -> None:
        if self.session.identity is not None and not self.over:
            assert self.now < self.session.identity.expires_at + EXPIRY_GRACE_MS

    @invariant()
    def every_command_is_answered_once_nothing_is_open_any_more(self) -> None:
        idle = self.binding is None and not self.asked and not self.flying
        if idle and self.session.state is State.OPEN:
            assert self.answered == self.said
            assert self.session.outstanding == 0

    @invariant()
    def what_is_unanswered_is_counted(self) -> None:
        if not self.over:
            flying = sum(len(append.entries) for append, _ in self.flying.values())
            assert self.session.outstanding >= len(self.asked) + flying
            held = sum(self.said.values()) - sum(self.answered.values())
            assert held <= RULES.in_flight_max + 1

    @invariant()
    def it_is_over_exactly_when_it_is_closed(self) -> None:
        assert self.over == (self.session.state is State.CLOSED)

    @invariant()
    def it_tells_the_truth_about_itself(self) -> None:
        assert self.session.state.value in repr(self.session)


SessionMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestSession = SessionMachine.TestCase
