"""What an open session may ask for, how it is ordered, and how it is answered."""

from __future__ import annotations

import pytest

from chatgateway.core import effects as fx
from chatgateway.core.commands import FOLLOWED_MAX, Commands, refusal
from chatgateway.core.conversation import new_conversation_id, new_ref
from chatgateway.core.identity import Agent, Anonymous, Authenticated, Identity
from chatgateway.errors import (
    DurabilityTimeout,
    Forbidden,
    FrameRejected,
    OutcomeUnknown,
    PeerError,
    StoreUnavailable,
    TooBig,
)
from chatgateway.protocol import frames as f
from chatgateway.types import AgentId, KeyId, Position, ProjectId, UnixMs, UserId

NOW = UnixMs(1_795_249_707_000)
SHOP = ProjectId("prj_shop")
VISITOR = Anonymous(UserId("usr_1"), NOW)
ADA = Authenticated(UserId("usr_ada"), KeyId("k1"), NOW, "Ada")
MARIA = Agent(UserId("agt_1"), AgentId("agt_1"), "Maria", frozenset({SHOP}), NOW)
REFS = [new_ref(NOW, bytes([number] * 10)) for number in range(8)]
CNV = "cnv_00aa"


def order(commands: Commands, frame: f.ClientFrame, identity: Identity = VISITOR) -> list[fx.Effect]:
    return commands.order(frame, identity, SHOP)


def send(number: int, text: str = "hi") -> f.Send:
    return f.Send(ref=REFS[number], conversation=CNV, text=text)


def appended(effects: list[fx.Effect]) -> list[str]:
    return [entry.ref for effect in effects if isinstance(effect, fx.Append) for entry in effect.entries]


def said(effects: list[fx.Effect]) -> list[f.ServerFrame]:
    return [effect.frame for effect in effects if isinstance(effect, fx.Say)]


@pytest.fixture
def commands() -> Commands:
    made = Commands(text_max_bytes=64)
    made.partition = 7
    return made


class TestWriting:
    def test_goes_out_at_once_when_nothing_is_on_its_way(self, commands: Commands) -> None:
        assert appended(order(commands, send(0))) == [REFS[0]]
        assert commands.outstanding == 1

    def test_waits_for_what_is_on_its_way_and_then_goes_together(self, commands: Commands) -> None:
        order(commands, send(0))
        assert order(commands, send(1)) == order(commands, send(2)) == []
        effects = commands.stored(CNV, ((Position(NOW, 1, "77d0e1b3"), False),))
        assert said(effects) == [f.Ack(ref=REFS[0], at=NOW, seq=1, link="77d0e1b3", conversation=CNV)]
        assert appended(effects) == [REFS[1], REFS[2]]
        assert commands.outstanding == 2

    def test_to_another_conversation_does_not_wait(self, commands: Commands) -> None:
        order(commands, send(0))
        assert appended(order(commands, f.Send(ref=REFS[1], conversation="cnv_00bb", text="hi"))) == [REFS[1]]

    def test_of_one_ref_twice_never_goes_together(self, commands: Commands) -> None:
        """The store compares a ref with what it holds, not with its neighbours: it would store both."""
        for number in (0, 1, 1):
            order(commands, send(number))
        effects = commands.stored(CNV, ((Position(NOW, 1, "77d0e1b3"), False),))
        assert appended(effects) == [REFS[1]]
        again = commands.stored(CNV, ((Position(NOW, 2, "77d0e1b4"), False),))
        assert appended(again) == [REFS[1]]
        assert said(commands.stored(CNV, ((Position(NOW, 2, "77d0e1b4"), True),))) == [
            f.Ack(ref=REFS[1], at=NOW, seq=2, link="77d0e1b4", repeated=True, conversation=CNV)
        ]

    def test_of_texts_keeps_its_place_between_other_acts(self, commands: Commands) -> None:
        frames = [send(0), send(1), f.Resolve(ref=REFS[2], conversation=CNV), send(3)]
        effects = [effect for frame in frames for effect in order(commands, frame, MARIA)]
        while commands.outstanding:
            flying = effects[-1]
            assert isinstance(flying, fx.Append)
            effects += commands.stored(CNV, tuple((Position(NOW, 1, "77d0e1b3"), False) for _ in flying.entries))
        assert appended(effects) == REFS[:4]
        assert [effect.act for effect in effects if isinstance(effect, fx.Append)] == [
            "text",
            "text",
            "resolved",
            "text",
        ]

    def test_that_fails_is_said_and_what_waited_is_tried(self, commands: Commands) -> None:
        order(commands, send(0))
        order(commands, send(1))
        effects = commands.not_stored(CNV, StoreUnavailable("away"))
        assert said(effects) == [refusal(REFS[0], StoreUnavailable("away"))]
        assert appended(effects) == [REFS[1]]

    def test_is_answered_entry_by_entry(self, commands: Commands) -> None:
        for number in (0, 1, 2):
            order(commands, send(number))
        commands.stored(CNV, ((Position(NOW, 1, "77d0e1b3"), False),))
        answers = said(commands.stored(CNV, (OutcomeUnknown(), (Position(NOW, 2, "77d0e1b4"), False))))
        assert [type(answer) for answer in answers] == [f.Error, f.Ack]
        assert isinstance(answers[0], f.Error)
        assert (answers[0].ref, answers[0].code, answers[0].retry) == (REFS[1], "outcome_unknown", "no")
        assert commands.outstanding == 0

    def test_answers_that_nobody_waits_for_are_nothing(self, commands: Commands) -> None:
        assert commands.stored(CNV, ()) == commands.not_stored(CNV, StoreUnavailable("away")) == []

    @pytest.mark.parametrize("ref", ["", "1", "0192a1b2-c3d4-4e5f-8a9b-0c1d2e3f4a5b"])
    def test_with_an_unfit_ref_is_refused_alone(self, commands: Commands, ref: str) -> None:
        with pytest.raises(FrameRejected):
            order(commands, f.Send(ref=ref, conversation=CNV, text="hi"))
        assert commands.outstanding == 0

    @pytest.mark.parametrize("text", ["a" * 64, "é" * 32, "🍝" * 16])
    def test_up_to_the_limit_in_bytes_is_accepted(self, commands: Commands, text: str) -> None:
        assert appended(order(commands, send(0, text)))

    @pytest.mark.parametrize("text", ["a" * 65, "é" * 33, "🍝" * 17, "a" * 100_000])
    def test_beyond_it_is_refused(self, commands: Commands, text: str) -> None:
        for frame in (send(0, text), f.Start(ref=REFS[0], text=text)):
            with pytest.raises(TooBig):
                order(commands, frame)
        with pytest.raises(TooBig):
            order(commands, f.Note(ref=REFS[0], conversation=CNV, text=text), MARIA)


class TestStarting:
    def test_names_the_conversation_by_its_ref(self, commands: Commands) -> None:
        (effect,) = order(commands, f.Start(ref=REFS[0], text="hi"))
        assert isinstance(effect, fx.Append)
        assert (effect.conversation, effect.act) == (new_conversation_id(7, SHOP, VISITOR.user, REFS[0]), "begin")

    def test_is_for_visitors(self, commands: Commands) -> None:
        with pytest.raises(Forbidden):
            order(commands, f.Start(ref=REFS[0], text="hi"), MARIA)


class TestAsking:
    @pytest.mark.parametrize(
        "frame",
        [
            f.Inbox(project="prj_shop"),
            f.Assign(ref=REFS[0], conversation=CNV),
            f.Resolve(ref=REFS[0], conversation=CNV),
            f.Reopen(ref=REFS[0], conversation=CNV),
            f.Note(ref=REFS[0], conversation=CNV, text="n"),
            f.Away(),
        ],
        ids=lambda frame: type(frame).__name__,
    )
    def test_what_is_for_agents_is_refused_to_visitors(self, commands: Commands, frame: f.ClientFrame) -> None:
        with pytest.raises(Forbidden):
            order(commands, frame)
        assert order(commands, frame, MARIA)

    @pytest.mark.parametrize(
        "frame",
        [
            f.Redact(conversation=CNV, seq=1),
            f.AskToVerify(conversation=CNV),
        ],
        ids=lambda frame: type(frame).__name__,
    )
    def test_for_what_is_reserved_is_refused(self, commands: Commands, frame: f.ClientFrame) -> None:
        with pytest.raises(FrameRejected, match="reserved"):
            order(commands, frame, MARIA)

    def test_to_keep_an_earlier_chat_is_for_who_is_signed_in(self, commands: Commands) -> None:
        adopt, unadopt = f.Adopt(ref="1"), f.Unadopt(ref="2", receipt="adp_1")
        for identity in (VISITOR, MARIA):
            for frame in (adopt, unadopt):
                with pytest.raises(Forbidden):
                    order(commands, frame, identity)
        assert order(commands, adopt, ADA) == [fx.KeepChat("1")]
        assert order(commands, unadopt, ADA) == [fx.GiveChatBack("2", "adp_1")]
        assert commands.outstanding == 2

    def test_to_prove_an_address_is_for_who_is_not_and_names_one_thing(self, commands: Commands) -> None:
        for identity in (ADA, MARIA):
            with pytest.raises(Forbidden):
                order(commands, f.ProveEmail(ref="1", email="a@b.example"), identity)
        for frame in (f.ProveEmail(ref="1"), f.ProveEmail(ref="1", email="a@b.example", code="123456")):
            with pytest.raises(FrameRejected):
                order(commands, frame)
        assert commands.outstanding == 0
        asked = order(commands, f.ProveEmail(ref="1", email="a@b.example"))
        assert asked == [fx.ProveEmail("1", "a@b.example", "")]

    def test_is_outstanding_until_it_is_settled_even_under_one_ref(self, commands: Commands) -> None:
        for _ in range(2):
            order(commands, f.Conversations(ref="1"))
        commands.settle("2")
        assert commands.outstanding == 2
        commands.settle("1")
        assert commands.outstanding == 1
        commands.settle("1")
        assert commands.outstanding == 0

    def test_to_follow_more_than_a_connection_may_is_refused(self, commands: Commands) -> None:
        for number in range(FOLLOWED_MAX):
            order(commands, f.Open(conversation=f"cnv_{number}"))
        with pytest.raises(FrameRejected):
            order(commands, f.Open(conversation="cnv_more"))
        assert order(commands, f.Open(conversation="cnv_0")), "one that is followed may be read again"
        order(commands, f.Leave(conversation="cnv_0"))
        assert order(commands, f.Open(conversation="cnv_more"))

    def test_to_leave_is_answered_at_once(self, commands: Commands) -> None:
        order(commands, f.Open(conversation=CNV))
        assert order(commands, f.Leave(ref="1", conversation=CNV)) == [fx.Unfollow(CNV), fx.Say(f.Ack(ref="1"))]
        assert not commands.follows(CNV)

    def test_to_resume_is_outstanding_too(self, commands: Commands) -> None:
        cursor = Position(NOW, 1, "77d0e1b3")
        assert commands.resume({CNV: cursor}) == [fx.Follow(CNV, cursor, "")]
        assert commands.follows(CNV)
        assert commands.outstanding == 1


@pytest.mark.parametrize(
    ("error", "code", "retry"),
    [
        (PeerError("no", retry=7), "rejected", 7),
        (StoreUnavailable("redis://secret@host"), "store_unavailable", 1_000),
        # It may be stored: the same ref finds out.
        (DurabilityTimeout("a secret replica"), "durability_timeout", 1_000),
        (ValueError("a password"), "internal", "no"),
    ],
)
def test_a_refusal_says_whose_fault_it_is_and_nothing_of_our_insides(
    error: Exception, code: str, retry: str | int
) -> None:
    frame = refusal("1", error)
    assert (frame.ref, frame.code, frame.retry) == ("1", code, retry)
    assert "secret" not in frame.sentence
    assert "password" not in frame.sentence
