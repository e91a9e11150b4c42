"""What an open session may ask for, and what is unanswered.

Every command is answered once: by frames, an ``ack``, or an ``error``. Commands that write to a conversation go one
append at a time, so that a repeated append (stale, judged again) reorders nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from chatgateway.core import effects as fx
from chatgateway.core.conversation import new_conversation_id, ref_ms
from chatgateway.core.effects import Effect
from chatgateway.core.identity import Agent, Anonymous, Authenticated, Identity
from chatgateway.errors import DurabilityTimeout, Forbidden, FrameRejected, PeerError, Retry, StoreError, TooBig
from chatgateway.protocol import codec
from chatgateway.protocol import frames as f
from chatgateway.types import GENESIS_LINK, AgentId, Position, ProjectId, UnixMs

FOLLOWED_MAX = 64
"""Conversations that one connection may follow at once."""

_RESERVED = (f.Redact, f.AskToVerify)
_AGENTS_ONLY = (f.Inbox, f.Assign, f.Resolve, f.Reopen, f.Note, f.Away)


@dataclass(slots=True)
class Writes:
    """One conversation's appends: those on their way, and those that wait for them."""

    flying: tuple[fx.Write, ...] = ()
    waiting: deque[fx.Append] = field(default_factory=deque[fx.Append])


class Commands:
    """Orders on behalf of one session."""

    __slots__ = ("_asked", "_followed", "_text_max_bytes", "_writes", "partition")

    def __init__(self, text_max_bytes: int) -> None:
        self.partition = 0
        self._text_max_bytes = text_max_bytes
        self._writes: dict[str, Writes] = {}
        self._asked: dict[str, int] = {}
        self._followed: set[str] = set()

    @property
    def outstanding(self) -> int:
        """How many commands the store has not answered."""
        writes = sum(
            len(one.flying) + sum(len(append.entries) for append in one.waiting) for one in self._writes.values()
        )
        return writes + sum(self._asked.values())

    def follows(self, conversation: str) -> bool:
        return conversation in self._followed

    def leave_all(self) -> list[str]:
        """Forget what was followed, and return it."""
        left = sorted(self._followed)
        self._followed.clear()
        return left

    def settle(self, ref: str) -> None:
        """A command other than an append was answered."""
        held = self._asked.get(ref, 0)
        if held > 1:
            self._asked[ref] = held - 1
        else:
            self._asked.pop(ref, None)

    def order(self, frame: f.ClientFrame, identity: Identity, project: ProjectId) -> list[Effect]:
        """Return the effects of one command. Raises PeerError when it is refused without asking the store."""
        if isinstance(frame, _RESERVED):
            raise FrameRejected("This command is reserved and not available yet.")
        if isinstance(frame, _AGENTS_ONLY) and not isinstance(identity, Agent):
            raise Forbidden("Only agents may do this.")
        match frame:
            case f.Start(ref=ref, text=text):
                if isinstance(identity, Agent):
                    raise Forbidden("Agents answer conversations; visitors start them.")
                conversation = new_conversation_id(self.partition, project, identity.user, ref)
                return self._append(conversation, self._text(conversation, ref, text, identity), "begin")
            case f.Send(ref=ref, conversation=conversation, text=text):
                return self._append(conversation, self._text(conversation, ref, text, identity))
            case f.Assign(ref=ref, conversation=conversation, agent=agent):
                subject = AgentId(agent or "")
                return self._append(
                    conversation, _entry(conversation, ref, identity, "assigned", subject), "assigned", subject
                )
            case f.Resolve(ref=ref, conversation=conversation):
                return self._append(conversation, _entry(conversation, ref, identity, "resolved"), "resolved")
            case f.Reopen(ref=ref, conversation=conversation):
                return self._append(conversation, _entry(conversation, ref, identity, "reopened"), "reopened")
            case f.Adopt() | f.Unadopt() if not isinstance(identity, Authenticated):
                raise Forbidden("Only somebody who is signed in keeps, or gives back, an earlier chat.")
            case f.ProveEmail(email=email, code=code):
                if not isinstance(identity, Anonymous):
                    raise Forbidden("Only an anonymous visitor proves an address; yours is said by your token.")
                if bool(email) == bool(code):
                    raise FrameRejected("prove_email has either an email, to ask for a code, or the code.")
                return self._ask(frame)
            case _:
                return self._ask(frame)

    def _ask(self, frame: f.ClientFrame) -> list[Effect]:
        effect: Effect
        match frame:
            case f.Open(ref=ref, conversation=conversation, cursor=cursor):
                if conversation not in self._followed and len(self._followed) >= FOLLOWED_MAX:
                    raise FrameRejected(f"At most {FOLLOWED_MAX} conversations can be open at once; leave one first.")
                self._followed.add(conversation)
                effect = fx.Follow(conversation, _position(cursor), ref)
            case f.Leave(ref=ref, conversation=conversation):
                self._followed.discard(conversation)
                left: list[Effect] = [fx.Unfollow(conversation)]
                return [*left, fx.Say(f.Ack(ref=ref))] if ref else left
            case f.Read(ref=ref, conversation=conversation, seq=seq):
                effect = fx.MarkRead(ref, conversation, seq)
            case f.History(ref=ref, conversation=conversation, before=before, limit=limit):
                at, seq, link = before
                effect = fx.FetchHistory(ref, conversation, Position(UnixMs(at), seq, link), limit)
            case f.Conversations(ref=ref):
                effect = fx.ListConversations(ref)
            case f.Inbox(ref=ref):
                effect = fx.ListInbox(frame)
            case f.Note(ref=ref, conversation=conversation, text=text):
                self._check(text)
                effect = fx.WriteNote(ref, conversation, text)
            case f.Away(ref=ref, on=on):
                effect = fx.SetAway(ref, on)
            case f.Adopt(ref=ref):
                effect = fx.KeepChat(ref)
            case f.Unadopt(ref=ref, receipt=receipt):
                effect = fx.GiveChatBack(ref, receipt)
            case f.ProveEmail(ref=ref, email=email, code=code):
                effect = fx.ProveEmail(ref, email, code)
            case f.Context(ref=ref, page=page, facts=facts):
                effect = fx.KeepContext(ref, page, facts)
            case _:
                raise FrameRejected(f"{type(frame).__name__} is not a command.")
        self._asked[frame.ref] = self._asked.get(frame.ref, 0) + 1
        return [effect]

    def resume(self, cursors: dict[str, Position]) -> list[Effect]:
        """Follow again what was followed before the reconnect, each from where the client stands."""
        self._followed |= cursors.keys()
        if cursors:
            self._asked[""] = self._asked.get("", 0) + len(cursors)
        return [fx.Follow(conversation, cursor, "") for conversation, cursor in cursors.items()]

    def forget(self, conversation: str) -> None:
        """A conversation could not be followed, or may not be any more."""
        self._followed.discard(conversation)

    # Writing, one append per conversation at a time

    def _append(self, conversation: str, entry: fx.Write, act: str = "text", subject: str = "") -> list[Effect]:
        if ref_ms(entry.ref) is None:
            # Refused alone: in the store it would take its neighbours of the same append with it.
            raise FrameRejected("ref must be a lower-case UUIDv7 minted from now of welcome, or of GET /v1/me.")
        writes = self._writes.setdefault(conversation, Writes())
        append = fx.Append(conversation, (entry,), act, subject)
        if not writes.flying:
            writes.flying = append.entries
            return [append]
        last = writes.waiting[-1] if writes.waiting else None
        # The store compares a ref with what it holds, not with its neighbours of the same append.
        repeated = last is not None and any(write.ref == entry.ref for write in last.entries)
        if last is not None and last.act == act == "text" and not repeated:
            writes.waiting[-1] = fx.Append(conversation, (*last.entries, entry))
        else:
            writes.waiting.append(append)
        return []

    def stored(self, conversation: str, answers: tuple[tuple[Position, bool] | PeerError, ...]) -> list[Effect]:
        """The append on its way was answered: acknowledge, and send off what waited for it."""
        writes = self._writes.get(conversation)
        if writes is None:
            return []
        said: list[Effect] = []
        for write, answer in zip(writes.flying, answers, strict=True):
            if isinstance(answer, PeerError):
                said.append(fx.Say(f.Error(ref=write.ref, code=answer.code, sentence=str(answer), retry=answer.retry)))
            else:
                (at, seq, link), repeated = answer
                said.append(
                    fx.Say(
                        f.Ack(ref=write.ref, at=at, seq=seq, link=link, repeated=repeated, conversation=conversation)
                    )
                )
        return said + self._next(conversation, writes)

    def not_stored(self, conversation: str, error: Exception) -> list[Effect]:
        """The append on its way failed: say so for each of its entries; what waited is tried on its own."""
        writes = self._writes.get(conversation)
        if writes is None:
            return []
        said: list[Effect] = [fx.Say(refusal(write.ref, error)) for write in writes.flying]
        return said + self._next(conversation, writes)

    def _next(self, conversation: str, writes: Writes) -> list[Effect]:
        if not writes.waiting:
            del self._writes[conversation]
            return []
        append = writes.waiting.popleft()
        writes.flying = append.entries
        return [append]

    def _text(self, conversation: str, ref: str, text: str, identity: Identity) -> fx.Write:
        self._check(text)
        return _entry(conversation, ref, identity, "text", text=text)

    def _check(self, text: str) -> None:
        if len(text) * 4 > self._text_max_bytes and len(text.encode()) > self._text_max_bytes:
            raise TooBig(f"A message has at most {self._text_max_bytes} bytes.")


def _position(cursor: f.Cursor | None) -> Position | None:
    return Position(UnixMs(cursor[0]), cursor[1], cursor[2]) if cursor else None


def _entry(
    conversation: str, ref: str, identity: Identity, kind: f.MessageKind, subject: str = "", text: str = ""
) -> fx.Write:
    author = f.Author(user=identity.user, role=identity.role, assurance=identity.assurance, name=identity.name)
    message = f.Message(
        seq=0, at=0, link=GENESIS_LINK, prev=GENESIS_LINK, conversation=conversation, ref=ref, author=author,
        kind=kind, text=text, subject=subject,
    )  # fmt: skip
    return fx.Write(ref, codec.event_tail(message), kind == "text")


def refusal(ref: str, error: Exception) -> f.Error:
    """Return the error frame that answers ``ref``: the peer's own mistake in words, or that the store is away."""
    if isinstance(error, PeerError):
        retry: Retry = error.retry
        return f.Error(ref=ref, code=error.code, sentence=str(error), retry=retry)
    if isinstance(error, DurabilityTimeout):
        sentence = "The store's replicas did not confirm in time; send the same ref again."
        return f.Error(ref=ref, code="durability_timeout", sentence=sentence, retry=1_000)
    if isinstance(error, StoreError):
        sentence = "The store does not answer; send the same ref again to learn whether it was stored."
        return f.Error(ref=ref, code="store_unavailable", sentence=sentence, retry=1_000)
    return f.Error(ref=ref, code="internal", sentence="The gateway made a mistake; it is in its log.", retry="no")
