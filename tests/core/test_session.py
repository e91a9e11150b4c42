"""One connection's life, event by event. Every order of events is tests/machines/test_session.py's."""

from __future__ import annotations

import pytest

from chatgateway.close_codes import CloseCode
from chatgateway.core import effects as fx
from chatgateway.core.conversation import new_ref
from chatgateway.core.identity import Agent, Anonymous, Authenticated, Identity
from chatgateway.core.session import EXPIRY_GRACE_MS, NEVER, REFUSALS_MAX, Session, SessionRules, State, goodbye
from chatgateway.errors import ConversationUnknown, KeyRevoked, Malformed, StoreUnavailable, TokenRejected, TooBig
from chatgateway.protocol import frames as f
from chatgateway.types import AgentId, KeyId, Position, ProjectId, SessionId, UnixMs, UserId

NOW = UnixMs(1_795_249_707_000)
HOUR_MS = 3_600_000
RULES = SessionRules()
SHOP, CNV = ProjectId("prj_shop"), "cnv_00aa"
UNTIL = UnixMs(NOW + HOUR_MS)
STRANGER = Anonymous(UserId("usr_anon"), UNTIL)
ANA = Authenticated(UserId("usr_ana"), KeyId("k_1"), UNTIL, name="Ana")
MARIA = Agent(UserId("agt_1"), AgentId("agt_1"), "Maria", frozenset({SHOP, ProjectId("prj_bar")}), UNTIL)
HELLO = f.Hello(ref="1", app="app_1")
REF = new_ref(NOW, bytes(10))


def after(ms: int) -> UnixMs:
    return UnixMs(NOW + ms)


def bound(identity: Identity, ref: str = "1") -> fx.Bound:
    return fx.Bound(ref, identity, SessionId("ses_1"), SHOP, 0, "cgv_token", NOW, name=identity.name)


def opened(identity: Identity = ANA, hello: f.Hello = HELLO, rules: SessionRules = RULES) -> Session:
    session = Session(rules, NOW)
    session.handle(fx.Received(hello), NOW)
    session.handle(bound(identity), NOW)
    assert session.state is State.OPEN
    return session


def say(session: Session, frame: f.ClientFrame, now: UnixMs = NOW) -> list[fx.Effect]:
    return session.handle(fx.Received(frame), now)


def ended(effects: list[fx.Effect]) -> CloseCode | None:
    return effects[-1].code if effects and isinstance(effects[-1], fx.End) else None


def errors(effects: list[fx.Effect]) -> list[str]:
    return [one.frame.code for one in effects if isinstance(one, fx.Say) and isinstance(one.frame, f.Error)]


class TestHello:
    def test_asks_who_it_is(self) -> None:
        session = Session(RULES, NOW)
        assert say(session, HELLO) == [fx.Identify(HELLO)]
        assert session.state is State.BINDING

    def test_is_welcomed_with_what_a_client_must_know(self) -> None:
        session = Session(RULES, NOW)
        say(session, HELLO)
        (effect,) = session.handle(bound(ANA), NOW)
        assert isinstance(effect, fx.Say)
        welcome = effect.frame
        assert isinstance(welcome, f.Welcome)
        assert (welcome.ref, welcome.user, welcome.identity, welcome.role) == ("1", "usr_ana", "signed", "visitor")
        assert (welcome.expires_at, welcome.session_token) == (UNTIL, "cgv_token")
        assert welcome.limits == f.Limits(text_bytes=16_384, in_flight=16)

    def test_of_an_agent_is_answered_with_their_projects(self) -> None:
        session = Session(RULES, NOW)
        say(session, HELLO)
        (effect,) = session.handle(bound(MARIA), NOW)
        assert isinstance(effect, fx.Say)
        assert isinstance(effect.frame, f.Welcome)
        assert effect.frame.projects == ["prj_bar", "prj_shop"]

    def test_with_cursors_follows_again_from_there(self) -> None:
        session = Session(RULES, NOW)
        say(session, f.Hello(ref="1", resume={CNV: (NOW, 7, "77d0e1b3")}))
        effects = session.handle(bound(ANA), NOW)
        assert effects[1:] == [fx.Follow(CNV, Position(NOW, 7, "77d0e1b3"), "")]

    @pytest.mark.parametrize("frame", [f.Conversations(ref="1"), f.Authenticate(token="t"), f.Typing(conversation=CNV)])
    def test_must_be_the_first_frame(self, frame: f.ClientFrame) -> None:
        assert ended(say(Session(RULES, NOW), frame)) is CloseCode.MALFORMED

    def test_twice_closes(self) -> None:
        assert ended(say(opened(), HELLO)) is CloseCode.MALFORMED

    @pytest.mark.parametrize("error", [Malformed(), TooBig()])
    def test_that_is_no_frame_closes(self, error: Malformed | TooBig) -> None:
        assert ended(Session(RULES, NOW).handle(fx.Misspoken(error), NOW)) is error.close

    def test_after_the_deadline_closes(self) -> None:
        session = Session(RULES, NOW)
        assert session.wake_at == after(5_000)
        assert session.handle(fx.Woke(), after(4_999)) == []
        assert ended(session.handle(fx.Woke(), after(5_000))) is CloseCode.HELLO_TIMEOUT

    def test_in_time_may_wait_for_the_store_longer(self) -> None:
        session = Session(RULES, NOW)
        say(session, HELLO)
        assert session.handle(fx.Woke(), after(5_000)) == []
        assert session.wake_at == NEVER

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (KeyRevoked(), CloseCode.KEY_REVOKED),
            (TokenRejected(), CloseCode.TOKEN_REJECTED),
            (StoreUnavailable("away"), CloseCode.STORE_UNAVAILABLE),
            (ValueError("a mistake of ours"), CloseCode.INTERNAL),
        ],
    )
    def test_that_is_refused_closes_and_makes_nobody_anonymous(self, error: Exception, code: CloseCode) -> None:
        session = Session(RULES, NOW)
        say(session, HELLO)
        assert ended(session.handle(fx.BindRefused("1", error, 500), NOW)) is code
        assert session.identity is None


class TestSigningIn:
    def test_waits_until_everything_before_it_is_answered(self) -> None:
        session = opened(STRANGER)
        say(session, f.Conversations(ref="2"))
        authenticate = f.Authenticate(ref="3", token="t")
        assert say(session, authenticate) == say(session, f.Conversations(ref="4")) == []
        effects = session.handle(fx.Answered("2"), NOW)
        assert effects == [fx.Say(f.Ack(ref="2")), fx.SignIn(authenticate, None)]
        effects = session.handle(bound(ANA, "3"), NOW)
        assert effects[-1] == fx.ListConversations("4")
        assert session.identity == ANA

    def test_waits_for_what_is_resumed_too(self) -> None:
        session = opened(STRANGER, f.Hello(resume={CNV: (NOW, 7, "77d0e1b3")}))
        assert say(session, f.Authenticate(ref="2", token="t")) == []
        assert isinstance(session.handle(fx.Failed("", ConversationUnknown(), CNV), NOW)[-1], fx.SignIn)

    def test_again_must_stay_the_same_person(self) -> None:
        (effect,) = say(opened(ANA), f.Authenticate(ref="2", token="t"))
        assert isinstance(effect, fx.SignIn)
        assert effect.must_be == ANA.user

    def test_that_is_refused_changes_nothing(self) -> None:
        session = opened(ANA)
        say(session, f.Authenticate(ref="2", token="t"))
        (effect,) = session.handle(fx.BindRefused("2", KeyRevoked(), after_ms=30_000), NOW)
        assert isinstance(effect, fx.Say)
        assert isinstance(effect.frame, f.Error)
        assert (effect.frame.ref, effect.frame.code, effect.frame.retry) == ("2", "key_revoked", 30_000)
        assert (session.state, session.identity) == (State.OPEN, ANA)

    def test_is_not_how_an_agent_comes_in(self) -> None:
        assert errors(say(opened(MARIA), f.Authenticate(ref="2", token="t"))) == ["frame_rejected"]


class TestSigningOut:
    def test_leaves_everything_once_it_is_done(self) -> None:
        session = opened(ANA)
        say(session, f.Open(ref="2", conversation=CNV))
        session.handle(fx.Answered("2"), NOW)
        assert say(session, f.SignOut(ref="3", everywhere=True)) == [fx.SignOff("3", everywhere=True)]
        effects = session.handle(bound(STRANGER, "3"), NOW)
        assert effects[0] == fx.Unfollow(CNV)
        assert session.identity == STRANGER

    def test_that_is_refused_leaves_nothing(self) -> None:
        session = opened(ANA)
        say(session, f.Open(ref="2", conversation=CNV))
        session.handle(fx.Answered("2"), NOW)
        say(session, f.SignOut(ref="3"))
        assert errors(session.handle(fx.BindRefused("3", StoreUnavailable("away")), NOW)) == ["store_unavailable"]
        assert say(session, f.Typing(conversation=CNV)) == [fx.TellTyping(CNV, on=True)]
        assert session.identity == ANA


class TestTime:
    def test_A12_asks_for_a_fresh_token_at_four_fifths_of_a_life(self) -> None:
        session = opened(ANA, rules=SessionRules(heartbeat_ms=HOUR_MS * 2))
        assert session.wake_at == after(HOUR_MS * 4 // 5)
        (effect,) = session.handle(fx.Woke(), session.wake_at)
        assert effect == fx.Say(f.Identity(want="fresh_token", expires_at=UNTIL))
        assert session.wake_at == UNTIL + EXPIRY_GRACE_MS

    def test_ends_trust_after_a_grace_and_never_makes_anybody_anonymous(self) -> None:
        session = opened(ANA, rules=SessionRules(heartbeat_ms=HOUR_MS * 2))
        assert ended(session.handle(fx.Woke(), UnixMs(UNTIL + EXPIRY_GRACE_MS - 1))) is None
        assert ended(session.handle(fx.Woke(), UnixMs(UNTIL + EXPIRY_GRACE_MS))) is CloseCode.TOKEN_EXPIRED
        assert session.identity == ANA

    def test_of_a_refreshed_session_begins_anew(self) -> None:
        session = opened(ANA, rules=SessionRules(heartbeat_ms=HOUR_MS * 2))
        say(session, f.Authenticate(ref="2", token="t"))
        later = Authenticated(ANA.user, KeyId("k_1"), UnixMs(UNTIL + HOUR_MS))
        session.handle(bound(later, "2"), after(1_000))
        assert ended(session.handle(fx.Woke(), UnixMs(UNTIL + EXPIRY_GRACE_MS))) is None

    def test_limits_how_long_one_connection_lasts(self) -> None:
        forever = Anonymous(STRANGER.user, UnixMs(NOW + 180 * 86_400_000))
        session = opened(forever, rules=SessionRules(heartbeat_ms=HOUR_MS * 24))
        assert ended(session.handle(fx.Woke(), after(12 * HOUR_MS))) is CloseCode.REBALANCE

    def test_beats_and_ends_whoever_does_not_answer(self) -> None:
        session = opened()
        assert session.handle(fx.Woke(), after(25_000)) == [fx.Say(f.Beat(now=after(25_000)))]
        assert ended(session.handle(fx.Woke(), after(50_000))) is CloseCode.HEARTBEAT_LOST

    def test_goes_on_for_whoever_answers(self) -> None:
        session = opened()
        session.handle(fx.Woke(), after(25_000))
        assert say(session, f.Heartbeat(), after(25_100)) == []
        assert ended(session.handle(fx.Woke(), after(50_000))) is None


class TestLimits:
    def test_on_what_is_unanswered_hold(self) -> None:
        session = opened(rules=SessionRules(in_flight_max=2))
        say(session, f.Conversations(ref="2"))
        say(session, f.Conversations(ref="3"))
        assert errors(say(session, f.Conversations(ref="4"))) == ["rate_limited"]
        session.handle(fx.Answered("2"), NOW)
        assert say(session, f.Conversations(ref="5")) == [fx.ListConversations("5")]

    def test_on_the_rate_say_when_to_come_back(self) -> None:
        session = opened(rules=SessionRules(commands_per_s=10, commands_burst=1))
        say(session, f.Leave(ref="2", conversation=CNV))
        (effect,) = say(session, f.Leave(ref="3", conversation=CNV))
        assert isinstance(effect, fx.Say)
        assert isinstance(effect.frame, f.Error)
        assert (effect.frame.ref, effect.frame.retry) == ("3", 100)
        assert errors(say(session, f.Leave(ref="4", conversation=CNV), after(100))) == []

    def test_on_heartbeats_end_a_flood_of_them(self) -> None:
        session = opened()
        for _ in range(RULES.commands_burst + REFUSALS_MAX):
            assert say(session, f.Heartbeat()) == []
        assert ended(say(session, f.Heartbeat())) is CloseCode.ABUSIVE

    def test_forgive_whoever_slips_now_and_then_for_hours(self) -> None:
        session = opened()
        for slip in range(3 * REFUSALS_MAX):
            assert errors(session.handle(fx.Misspoken(Malformed()), after(slip * 60_000))) == ["malformed"]

    def test_end_whoever_never_heeds_them(self) -> None:
        session = opened()
        for _ in range(REFUSALS_MAX):
            assert errors(session.handle(fx.Misspoken(Malformed()), NOW)) == ["malformed"]
        assert ended(session.handle(fx.Misspoken(Malformed()), NOW)) is CloseCode.ABUSIVE

    def test_on_typing_let_one_through_in_two_seconds_and_its_end(self) -> None:
        session = opened()
        say(session, f.Open(conversation=CNV))
        told = [
            bool(say(session, f.Typing(conversation=CNV, on=on), after(ms)))
            for on, ms in [(True, 0), (True, 1), (False, 2), (False, 3), (True, 4), (False, 5), (True, 2_000)]
        ]
        assert told == [True, False, True, False, False, False, True]

    def test_on_typing_forbid_it_where_one_does_not_listen(self) -> None:
        assert say(opened(), f.Typing(conversation=CNV)) == []


class TestTheEnd:
    @pytest.mark.parametrize("event", [fx.TrustWithdrawn(CloseCode.KEY_REVOKED, 7), fx.Ended(CloseCode.DRAINING, 7)])
    def test_comes_with_a_code_and_a_delay(self, event: fx.TrustWithdrawn | fx.Ended) -> None:
        assert opened().handle(event, NOW) == [fx.End(event.code, 7)]

    def test_is_deaf(self) -> None:
        session = opened()
        say(session, f.Send(ref=REF, conversation=CNV, text="hi"))
        session.handle(fx.TrustWithdrawn(CloseCode.KEY_REVOKED, 0), NOW)
        assert session.handle(fx.Stored(CNV, ((Position(NOW, 1, "77d0e1b3"), False),)), NOW) == []
        assert say(session, f.Conversations(ref="2")) == session.handle(fx.Woke(), NEVER) == []
        assert session.wake_at == NEVER

    @pytest.mark.parametrize(
        ("code", "retry"),
        [
            (CloseCode.SLOW_CONSUMER, "resume"),
            (CloseCode.SESSION_UNKNOWN, "start_anew"),
            (CloseCode.DRAINING, "resume"),
            (CloseCode.KEY_REVOKED, "fresh_token"),
            (CloseCode.FORBIDDEN, "no"),
        ],
    )
    def test_is_said_before_it_comes(self, code: CloseCode, retry: str) -> None:
        frame = goodbye(fx.End(code, 7, "why"))
        assert (frame.code, frame.reason, frame.retry) == (code, code.name.lower(), retry)
        assert (frame.after_ms, frame.sentence) == (7, "why")

    @pytest.mark.parametrize("code", CloseCode)
    def test_has_words_for_every_code(self, code: CloseCode) -> None:
        assert goodbye(fx.End(code)).reason


def test_a_conversation_that_is_withdrawn_is_not_followed_and_answers_no_command() -> None:
    session = opened()
    say(session, f.Open(ref="2", conversation=CNV))
    assert errors(session.handle(fx.Unfollowed(CNV, ConversationUnknown()), NOW)) == ["conversation_unknown"]
    assert session.outstanding == 1
    assert say(session, f.Typing(conversation=CNV)) == []


def test_a_session_shows_its_state_when_printed() -> None:
    assert repr(Session(RULES, NOW)) == "Session(unbound, connecting, nobody)"
    assert repr(opened()) == "Session(ses_1, open, authenticated)"
