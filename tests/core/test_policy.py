"""What an app demands before somebody reads or writes, and what opens once it is met: core/session.py's gate."""

from __future__ import annotations

import pytest

from chatgateway.core import effects as fx
from chatgateway.core.conversation import new_ref
from chatgateway.core.identity import Agent, Anonymous, Authenticated, Identity
from chatgateway.core.session import Session, SessionRules
from chatgateway.protocol import frames as f
from chatgateway.types import AgentId, KeyId, Policy, ProjectId, SessionId, UnixMs, UserId

NOW = UnixMs(1_795_249_707_000)
UNTIL = UnixMs(NOW + 3_600_000)
SHOP, CNV = ProjectId("prj_shop"), "cnv_00aa"
STRANGER = Anonymous(UserId("usr_anon"), UNTIL)
KNOWN = Anonymous(UserId("usr_anon"), UNTIL, "ada@shop.example")
ANA = Authenticated(UserId("usr_ana"), KeyId("k_1"), UNTIL)
MARIA = Agent(UserId("agt_1"), AgentId("agt_1"), "Maria", frozenset({SHOP}), UNTIL)
REF = new_ref(NOW, bytes(10))

READING_OR_WRITING: list[f.ClientFrame] = [
    f.Start(ref=REF, text="hi"),
    f.Send(ref=REF, conversation=CNV, text="hi"),
    f.Open(ref="r", conversation=CNV),
    f.Leave(ref="r", conversation=CNV),
    f.Read(ref="r", conversation=CNV, seq=1),
    f.History(ref="r", conversation=CNV, before=(1, 1, "00000000")),
    f.Conversations(ref="r"),
    f.Adopt(ref="r"),
    f.Unadopt(ref="r", receipt="rcp_1"),
    f.Inbox(ref="r", project=SHOP),
    f.Assign(ref=REF, conversation=CNV),
    f.Resolve(ref=REF, conversation=CNV),
    f.Reopen(ref=REF, conversation=CNV),
    f.Note(ref=REF, conversation=CNV, text="n"),
    f.Redact(ref="r", conversation=CNV, seq=1),
    f.Away(ref="r"),
    f.AskToVerify(ref="r", conversation=CNV),
]
LEADING_THERE: list[f.ClientFrame] = [
    f.ProveEmail(ref="r", email="ada@shop.example"),
    f.ProveEmail(ref="r", code="012345"),
    f.Context(ref="r", page="https://shop.example/"),
    f.Authenticate(ref="r", token="t"),
    f.SignOut(ref="r"),
]


def opened(identity: Identity, policy: Policy, resume: dict[str, f.Cursor] | None = None) -> Session:
    session = Session(SessionRules(), NOW)
    session.handle(fx.Received(f.Hello(ref="1", app="app_1", resume=resume or {})), NOW)
    session.handle(fx.Bound("1", identity, SessionId("ses_1"), SHOP, 0, "cgv_token", NOW, policy=policy), NOW)
    return session


def say(session: Session, frame: f.ClientFrame) -> list[fx.Effect]:
    return session.handle(fx.Received(frame), NOW)


def codes(effects: list[fx.Effect]) -> list[str]:
    return [one.frame.code for one in effects if isinstance(one, fx.Say) and isinstance(one.frame, f.Error)]


def name(frame: f.ClientFrame) -> str:
    return type(frame).__name__


class TestPolicyEmail:
    @pytest.mark.parametrize("frame", READING_OR_WRITING, ids=name)
    def test_keeps_a_stranger_from_reading_and_writing(self, frame: f.ClientFrame) -> None:
        effects = say(opened(STRANGER, "email"), frame)
        assert codes(effects) == ["email_required"]
        assert len(effects) == 1

    @pytest.mark.parametrize("frame", LEADING_THERE, ids=name)
    def test_leaves_open_what_leads_to_meeting_it(self, frame: f.ClientFrame) -> None:
        (effect,) = say(opened(STRANGER, "email"), frame)
        assert not isinstance(effect, fx.Say)

    def test_lets_nobody_type_or_resume_before(self) -> None:
        session = opened(STRANGER, "email", {CNV: (1, 1, "00000000")})
        assert say(session, f.Typing(conversation=CNV)) == []

    def test_resumes_nothing_for_a_stranger(self) -> None:
        session = Session(SessionRules(), NOW)
        session.handle(fx.Received(f.Hello(ref="1", app="app_1", resume={CNV: (1, 1, "00000000")})), NOW)
        bound = fx.Bound("1", STRANGER, SessionId("ses_1"), SHOP, 0, "cgv_token", NOW, policy="email")
        assert [type(effect) for effect in session.handle(bound, NOW)] == [fx.Say]

    @pytest.mark.parametrize("identity", [KNOWN, ANA, MARIA], ids=lambda one: one.assurance)
    def test_is_met_by_whoever_is_known_better(self, identity: Identity) -> None:
        assert "email_required" not in codes(say(opened(identity, "email"), f.Conversations(ref="r")))

    def test_is_met_from_the_proof_on(self) -> None:
        session = opened(STRANGER, "email")
        say(session, f.ProveEmail(ref="r", code="012345"))
        (answer,) = session.handle(fx.Proved("r", KNOWN), NOW)
        assert isinstance(answer, fx.Say)
        assert answer.frame == f.Identity(
            ref="r", session="ses_1", user="usr_anon", identity="email", email="ada@shop.example", email_proved=True,
            expires_at=UNTIL,
        )  # fmt: skip
        (append,) = say(session, f.Start(ref=REF, text="hi"))
        assert isinstance(append, fx.Append)
        assert b'"assurance":"email"' in append.entries[0].tail

    def test_holds_again_for_the_stranger_after_a_sign_out(self) -> None:
        session = opened(KNOWN, "email")
        say(session, f.SignOut(ref="out"))
        fresh = Anonymous(UserId("usr_fresh"), UNTIL)
        session.handle(fx.Bound("out", fresh, SessionId("ses_2"), SHOP, 0, "cgv_2", NOW, policy="email"), NOW)
        assert codes(say(session, f.Conversations(ref="r"))) == ["email_required"]


class TestPolicySigned:
    @pytest.mark.parametrize("identity", [STRANGER, KNOWN], ids=lambda one: one.assurance)
    def test_is_not_met_by_an_address(self, identity: Identity) -> None:
        assert codes(say(opened(identity, "signed"), f.Conversations(ref="r"))) == ["forbidden"]


class TestAProof:
    def test_waits_for_nobody_who_is_not_anonymous(self) -> None:
        for identity in (ANA, MARIA):
            session = opened(identity, "anyone")
            assert codes(say(session, f.ProveEmail(ref="r", email="ada@shop.example"))) == ["forbidden"]

    def test_must_be_answered_before_somebody_else_may_be_here(self) -> None:
        session = opened(STRANGER, "anyone")
        say(session, f.ProveEmail(ref="r", code="012345"))
        assert say(session, f.SignOut(ref="out")) == []
        effects = session.handle(fx.Proved("r", KNOWN), NOW)
        assert [type(effect) for effect in effects] == [fx.Say, fx.SignOff]

    def test_in_another_tab_answers_nothing_that_is_open_here(self) -> None:
        session = opened(STRANGER, "anyone", {CNV: (1, 1, "00000000")})
        say(session, f.ProveEmail(ref="", code="012345"))
        assert session.outstanding == 2
        (told,) = session.handle(fx.Proved(None, KNOWN), NOW)
        assert isinstance(told, fx.Say)
        assert session.outstanding == 2
        assert session.identity == KNOWN

    @pytest.mark.parametrize("identity", [ANA, Anonymous(UserId("usr_other"), UNTIL)], ids=lambda one: one.user)
    def test_in_another_tab_says_nothing_about_who_is_here_now(self, identity: Identity) -> None:
        session = opened(identity, "anyone")
        assert session.handle(fx.Proved(None, KNOWN), NOW) == []
        assert session.identity == identity
