"""One connection's life, without the connection.

    CONNECTING --hello--> BINDING --Bound--> OPEN --any end--> CLOSED
         |                  ^  |               |                  ^
         |                  |  +-- refused ----|------------------+
         |                  +-- authenticate, sign_out (a refused authenticate goes back to OPEN unchanged)
         +--- deadline, misspoken frame ----------------------------+

While BINDING, later commands wait in order; an identity is changed only when every answer of the store that belongs to
the one before has come, so none is ever shown to the one after it. Per conversation one append is unanswered; what is
said meanwhile goes together in the next, so a repeated append reorders nothing. A session is never silently anonymous
again: trust that ends, ends the connection with the code that says what to do.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

from chatgateway.close_codes import ClientAction, CloseCode
from chatgateway.core import effects as fx
from chatgateway.core.commands import Commands, refusal
from chatgateway.core.effects import Effect, Event
from chatgateway.core.identity import Agent, Anonymous, Authenticated, Identity, admitted
from chatgateway.core.limits import Bucket, Rate
from chatgateway.errors import EmailRequired, Forbidden, FrameRejected, PeerError, RateLimited, StoreError
from chatgateway.protocol import frames as f
from chatgateway.types import Durability, Policy, Position, ProjectId, SessionId, UnixMs

NEVER = UnixMs(2**53 - 1)
EXPIRY_GRACE_MS = 25_000
FRESH_TOKEN_AT = 0.8
"""Share of a session's life after which the page is asked for a fresh token."""

REFUSALS_MAX = 100
"""Commands over the limit at once before the connection is ended as abusive."""

REFUSALS_PER_S = 1.0
"""Slips that one may go on making: a burst of them is abuse, a clumsy client over twelve hours is not."""


class State(Enum):
    CONNECTING = "connecting"
    BINDING = "binding"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class SessionRules:
    """The limits that a session enforces; each is a setting."""

    hello_timeout_ms: int = 5_000
    hello_max_bytes: int = 16_384
    text_max_bytes: int = 16_384
    in_flight_max: int = 16
    commands_per_s: float = 10.0
    commands_burst: int = 30
    typing_every_ms: int = 2_000
    heartbeat_ms: int = 25_000
    heartbeat_missed_ms: int = 20_000
    session_max_age_ms: int = 12 * 3_600_000
    retry_min_ms: int = 500
    retry_max_ms: int = 20_000
    durability: Durability = "disk"


class Session:
    """The state of one connection. ``handle`` is the only way to change it."""

    __slots__ = (
        "_bucket", "_commands", "_deadline", "_patience", "_resume", "_rules", "_typed_at",
        "_typing_in", "_waiting", "_wanted_at", "born_at", "expires_at", "heard_at", "identity", "next_beat_at",
        "policy", "project", "session", "state",
    )  # fmt: skip

    def __init__(self, rules: SessionRules, now: UnixMs) -> None:
        self._rules = rules
        self.state = State.CONNECTING
        self.identity: Identity | None = None
        self.session = SessionId("")
        self.project = ProjectId("")
        self.policy: Policy = "anyone"
        self.born_at = now
        self.heard_at = now
        self.expires_at = NEVER
        self.next_beat_at = NEVER
        self._wanted_at = NEVER
        self._deadline = UnixMs(now + rules.hello_timeout_ms)
        self._bucket = Bucket(Rate(rules.commands_per_s, rules.commands_burst))
        self._typed_at = UnixMs(0)
        self._patience = Bucket(Rate(REFUSALS_PER_S, REFUSALS_MAX))
        self._typing_in = ""
        self._waiting: deque[f.ClientFrame] = deque()
        self._resume: dict[str, Position] = {}
        self._commands = Commands(rules.text_max_bytes)

    def __repr__(self) -> str:
        who = type(self.identity).__name__.lower() if self.identity else "nobody"
        return f"Session({self.session or 'unbound'}, {self.state.value}, {who})"

    @property
    def wake_at(self) -> UnixMs:
        """When the session wants to hear Woke next."""
        return min(self._deadline, self.next_beat_at, self._wanted_at)

    @property
    def outstanding(self) -> int:
        """How many commands the store has not answered."""
        return self._commands.outstanding

    def handle(self, event: Event, now: UnixMs) -> list[Effect]:
        """Take in one event and return what must be done, in order. A closed session ignores everything."""
        if self.state is State.CLOSED:
            return []
        match event:
            case fx.Received(frame):
                return self._received(frame, now)
            case fx.Misspoken(error, ref):
                self.heard_at = now
                return self._misspoken(error, ref)
            case fx.Bound():
                return self._bound(event, now)
            case fx.BindRefused(ref, error, after_ms):
                return self._bind_refused(ref, error, after_ms)
            case fx.Stored(conversation, answers):
                return self._commands.stored(conversation, answers) + self._pump()
            case fx.NotStored(conversation, error):
                return self._commands.not_stored(conversation, error) + self._pump()
            case fx.Answered(ref, answer, ack):
                self._commands.settle(ref)
                said: list[Effect] = [fx.Say(frame) for frame in answer]
                if ack and ref:
                    said.append(fx.Say(f.Ack(ref=ref)))
                return said + self._pump()
            case fx.Failed(ref, error, unfollowed):
                self._commands.settle(ref)
                self._commands.forget(unfollowed)
                return [fx.Say(refusal(ref or unfollowed, error)), *self._pump()]
            case fx.Proved(ref, identity):
                return self._proved(ref, identity)
            case fx.Unfollowed(conversation, error):
                self._commands.forget(conversation)
                return [fx.Say(refusal(conversation, error))]
            case fx.TrustWithdrawn(code, after_ms) | fx.Ended(code, after_ms):
                return self._end(code, after_ms)
            case fx.Woke():
                return self._woke(now)

    # What the peer says

    def _received(self, frame: f.ClientFrame, now: UnixMs) -> list[Effect]:
        self.heard_at = now
        if isinstance(frame, f.Heartbeat):
            # Cheap, but not free: at most as often as commands.
            return self._refused() if self._bucket.take(now) > 0 else []
        if self.state is State.CONNECTING:
            if not isinstance(frame, f.Hello):
                return self._end(CloseCode.MALFORMED, sentence="The first frame must be hello.")
            self.state = State.BINDING
            self._resume = {
                conversation: Position(UnixMs(at), seq, link) for conversation, (at, seq, link) in frame.resume.items()
            }
            return [fx.Identify(frame)]
        if isinstance(frame, f.Hello):
            return self._end(CloseCode.MALFORMED, sentence="hello was said already.")
        if isinstance(frame, f.Typing):
            return self._refused() if self._bucket.take(now) > 0 else self._typing(frame, now)
        if len(self._waiting) + self.outstanding >= self._rules.in_flight_max:
            return self._over_limit(
                frame, RateLimited("Too many commands are unanswered; wait for answers.", retry=500)
            )
        wait_ms = self._bucket.take(now)
        if wait_ms > 0:
            return self._over_limit(frame, RateLimited(retry=wait_ms))
        self._waiting.append(frame)
        return self._pump()

    def _over_limit(self, frame: f.ClientFrame, error: RateLimited) -> list[Effect]:
        return self._refused() or [fx.Say(refusal(frame.ref, error))]

    def _misspoken(self, error: PeerError, ref: str) -> list[Effect]:
        if self.state is State.CONNECTING:
            return self._end(error.close, sentence=str(error))
        return self._refused() or [fx.Say(refusal(ref, error))]

    def _refused(self) -> list[Effect]:
        """Count what was not let through; too much of it in a short time ends the connection."""
        return self._end(CloseCode.ABUSIVE) if self._patience.take(self.heard_at) > 0 else []

    def _typing(self, frame: f.Typing, now: UnixMs) -> list[Effect]:
        if self.state is not State.OPEN or self._waiting or not self._commands.follows(frame.conversation):
            return []
        if frame.on:
            if now - self._typed_at < self._rules.typing_every_ms:
                return []
            self._typed_at, self._typing_in = now, frame.conversation
        elif self._typing_in != frame.conversation:
            return []
        else:
            self._typing_in = ""
        return [fx.TellTyping(frame.conversation, frame.on)]

    def _pump(self) -> list[Effect]:
        """Carry out what waits, in order, as far as it may go now."""
        done: list[Effect] = []
        while self._waiting and self.state is State.OPEN:
            frame = self._waiting[0]
            if isinstance(frame, (f.Authenticate, f.SignOut)) and self.outstanding:
                break
            self._waiting.popleft()
            done += self._command(frame)
        return done

    def _command(self, frame: f.ClientFrame) -> list[Effect]:
        identity = self.identity
        assert identity is not None
        match frame:
            case f.Authenticate():
                if isinstance(identity, Agent):
                    return [fx.Say(refusal(frame.ref, FrameRejected("Agents sign in with a console ticket.")))]
                self.state = State.BINDING
                return [fx.SignIn(frame, identity.user if isinstance(identity, Authenticated) else None)]
            case f.SignOut():
                self.state = State.BINDING
                return [fx.SignOff(frame.ref, frame.everywhere)]
            case _:
                try:
                    self._require_admitted(frame, identity)
                    return self._commands.order(frame, identity, self.project)
                except PeerError as error:
                    return [fx.Say(refusal(frame.ref, error))]

    def _require_admitted(self, frame: f.ClientFrame, identity: Identity) -> None:
        """The app's policy gates reading and writing; what leads to meeting it stays open."""
        if not admitted(self.policy, identity.assurance) and not isinstance(frame, _TOWARDS_THE_POLICY):
            raise EmailRequired if self.policy == "email" else Forbidden

    # Who is speaking

    def _bound(self, bound: fx.Bound, now: UnixMs) -> list[Effect]:
        before, first = self.identity, self.identity is None
        self.state = State.OPEN
        self.identity, self.session, self.project = bound.identity, bound.session, bound.project
        self.policy = bound.policy
        self._commands.partition = bound.partition
        self.expires_at = bound.identity.expires_at
        self._deadline = UnixMs(min(self.expires_at + EXPIRY_GRACE_MS, self.born_at + self._rules.session_max_age_ms))
        self._wanted_at = NEVER
        if isinstance(bound.identity, Authenticated):
            self._wanted_at = UnixMs(now + int((self.expires_at - now) * FRESH_TOKEN_AT))
        if self.next_beat_at == NEVER:
            self.next_beat_at = UnixMs(now + self._rules.heartbeat_ms)
        frame = self._welcome(bound) if first else self._identified(bound)
        resume, self._resume = self._resume, {}
        # Who signs in keeps the chat on screen; anybody else starts with nothing of whoever was here before. Only now:
        # a sign-out that was refused leaves everything as it was.
        left = [] if self._goes_on(before, bound.identity) else self._commands.leave_all()
        unfollow: list[Effect] = [fx.Unfollow(conversation) for conversation in left]
        if not admitted(self.policy, bound.identity.assurance):
            resume = {}
        return [*unfollow, fx.Say(frame), *self._commands.resume(resume), *self._pump()]

    def _proved(self, ref: str | None, identity: Identity) -> list[Effect]:
        """The same visitor, more surely.

        In the tab that answered nobody else can be here: a change of identity waits for open commands. In another tab
        somebody may have signed in, or out, meanwhile: what a stranger proved is not theirs.
        """
        if ref is not None:
            self._commands.settle(ref)
        before = self.identity
        if not isinstance(before, Anonymous) or before.user != identity.user:
            return self._pump()
        self.identity = identity
        frame = f.Identity(
            ref=ref or "",
            session=self.session,
            user=identity.user,
            identity=identity.assurance,
            email=identity.email if isinstance(identity, Anonymous) else "",
            email_proved=True,
            expires_at=identity.expires_at,
        )
        return [fx.Say(frame), *self._pump()]

    @staticmethod
    def _goes_on(before: Identity | None, now: Identity) -> bool:
        """Does what was followed stay followed: for a new connection, a stranger who signs in, a person refreshed?"""
        if before is None or before.user == now.user:
            return True
        return isinstance(before, Anonymous) and isinstance(now, Authenticated)

    def _welcome(self, bound: fx.Bound) -> f.Welcome:
        rules, identity = self._rules, bound.identity
        return f.Welcome(
            ref=bound.ref,
            session=bound.session,
            user=identity.user,
            identity=identity.assurance,
            session_token=bound.session_token,
            now=bound.now,
            expires_at=identity.expires_at,
            heartbeat_ms=rules.heartbeat_ms,
            limits=f.Limits(text_bytes=rules.text_max_bytes, in_flight=rules.in_flight_max),
            durability=rules.durability,
            retry=f.ReconnectWindow(min_ms=rules.retry_min_ms, max_ms=rules.retry_max_ms),
            name=bound.name,
            role=identity.role,
            agents_present=bound.agents_present,
            projects=sorted(identity.projects) if isinstance(identity, Agent) else [],
            policy=bound.policy,
            adoptable=list(bound.adoptable),
        )

    def _identified(self, bound: fx.Bound) -> f.Identity:
        return f.Identity(
            ref=bound.ref,
            session=bound.session,
            user=bound.identity.user,
            identity=bound.identity.assurance,
            name=bound.name,
            email=bound.email,
            session_token=bound.session_token,
            expires_at=bound.identity.expires_at,
            adoptable=list(bound.adoptable),
            email_proved=bound.email_proved,
        )

    def _bind_refused(self, ref: str, error: Exception, after_ms: int) -> list[Effect]:
        """A refused hello closes; a refused authenticate changes nothing. A sign-out that failed must not go on."""
        if self.identity is None:
            if isinstance(error, PeerError):
                return self._end(error.close, after_ms, str(error))
            return self._end(CloseCode.STORE_UNAVAILABLE if isinstance(error, StoreError) else CloseCode.INTERNAL)
        self.state = State.OPEN
        frame = refusal(ref, error)
        if after_ms:
            frame = f.Error(ref=ref, code=frame.code, sentence=frame.sentence, retry=after_ms)
        return [fx.Say(frame), *self._pump()]

    # Time

    def _woke(self, now: UnixMs) -> list[Effect]:
        if now >= self._deadline:
            if self.state is State.CONNECTING:
                return self._end(CloseCode.HELLO_TIMEOUT)
            if now >= self.expires_at + EXPIRY_GRACE_MS:
                return self._end(CloseCode.TOKEN_EXPIRED)
            if self.identity is not None:
                return self._end(CloseCode.REBALANCE)
            self._deadline = NEVER
        done: list[Effect] = []
        if now >= self._wanted_at:
            self._wanted_at = NEVER
            done.append(fx.Say(f.Identity(want="fresh_token", expires_at=self.expires_at)))
        if now >= self.next_beat_at:
            if now - self.heard_at > self._rules.heartbeat_ms + self._rules.heartbeat_missed_ms:
                return self._end(CloseCode.HEARTBEAT_LOST)
            self.next_beat_at = UnixMs(now + self._rules.heartbeat_ms)
            done.append(fx.Say(f.Beat(now=now)))
        return done

    def _end(self, code: CloseCode, after_ms: int = 0, sentence: str = "") -> list[Effect]:
        self.state = State.CLOSED
        self._waiting.clear()
        self._deadline = self.next_beat_at = self._wanted_at = NEVER
        return [fx.End(code, after_ms, sentence)]


_TOWARDS_THE_POLICY = (f.ProveEmail, f.Context)
"""What a visitor may say before meeting the app's policy (besides authenticate and sign_out)."""

_GOODBYE: dict[ClientAction, f.GoodbyeRetry] = {
    ClientAction.BACK_OFF_AND_RESUME: "resume",
    ClientAction.BACK_OFF_AND_START_ANEW: "start_anew",
    ClientAction.RETURN_INSIDE_THE_WINDOW: "resume",
    ClientAction.FETCH_A_FRESH_TOKEN: "fresh_token",
    ClientAction.STOP: "no",
}


def goodbye(end: fx.End) -> f.Goodbye:
    """Return the frame that goes before a close."""
    retry = _GOODBYE[end.code.client_action]
    return f.Goodbye(code=end.code, reason=end.code.reason, retry=retry, after_ms=end.after_ms, sentence=end.sentence)
