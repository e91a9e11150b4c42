"""When a chat that was begun anonymously may become an account's own, and what is remembered of it.

Merging by default is an account-takeover path: whoever plants a credential in somebody's browser would read on in that
person's account, or put words into it. So a chat is kept only by who shows, live and on one connection, both a fresh
anonymous credential of ours and a token of the project's server; it is kept once, by the first to do so; and the
anonymous identity is dead on every node before the account sees the chat. The steps, each of which any node can repeat:

    hint      the account's list names the conversations; may_read hides them until they are the account's
    commit    one compare-and-set on the anonymous identity, which marks it dead in its partition at the same moment
    end       a control entry: every socket of that identity goes, and every node has said so
    flip      conversation by conversation: visitor = the account, and a divider; no message changes author or assurance
    conclude  nothing is left to do

What only the store knows (first, active, never signed out, never somebody else's) is judged in adopt.lua, in the step
that commits. Undoing gives the conversations back as they were. The anonymous identity stays dead, and is never adopted
again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from chatgateway.core.conversation import new_ref
from chatgateway.core.credential import COOKIE_LIFE_MS, Credential
from chatgateway.core.project import AdoptionPolicy
from chatgateway.errors import AdoptionRefused
from chatgateway.types import ConversationId, KeyId, ProjectId, SessionId, UnixMs, UserId

AGE_MAX_MS = 24 * 3_600_000
"""An anonymous identity older than this belongs to a browser, not to a visit: anybody may have used it."""

ACTIVE_MS = 30 * 60_000
"""Somebody must have said something in it this recently: whoever signs in now was part of it."""

UNDO_MS = 24 * 3_600_000
"""How long the person may give it back by themselves. Operators may at any time."""

CONVERSATIONS_MAX = 100
"""The latest so many of an anonymous identity are kept: as many as a list shows."""

REMEMBERED_MS = max(400 * 24 * 3_600_000, COOKIE_LIFE_MS)
"""How long receipt and tombstone stay: as long as an anonymous credential can live (setting ``anonymous_days``, and the
cookie's two years)."""

State = Literal["committed", "finished", "undoing", "undone", "abandoned"]
"""``abandoned``: one of the two was erased before it was finished; an account takes the conversations along."""

Reason = Literal[
    "not_presented", "never", "another_project", "too_old", "inactive", "taken", "signed_out", "undone", "nothing",
    "unknown", "not_yours", "too_late",
]  # fmt: skip

_SENTENCES: dict[Reason, str] = {
    "not_presented": "The earlier chat's own credential must come with the token, live on this connection; sign in "
    "from the page that began the chat.",
    "never": "This app keeps chats from before and after signing in apart.",
    "another_project": "The earlier chat belongs to another project.",
    "too_old": "The earlier chat began more than 24 hours ago; start a new one.",
    "inactive": "Nothing was said in the earlier chat for 30 minutes; start a new one.",
    "taken": "Somebody else signed in during the earlier chat, or kept it.",
    "signed_out": "The visitor who began the earlier chat has signed out.",
    "undone": "The earlier chat was given back, and is not kept a second time.",
    "nothing": "There is no earlier chat to keep.",
    "unknown": "There is no such receipt.",
    "not_yours": "This receipt belongs to somebody else.",
    "too_late": "A kept chat can be given back for 24 hours; ask the operator.",
}

_RECEIPT, _USER = "adp_", "usr_"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is remembered of one adoption. There is one per anonymous identity, ever."""

    project: ProjectId
    earlier: UserId
    """The anonymous visitor who began the conversations."""
    account: UserId
    session: SessionId
    """The session that adopted; ``kid`` vouched for it."""
    kid: KeyId
    at: UnixMs
    conversations: tuple[ConversationId, ...]
    state: State = "committed"
    undone_at: UnixMs = UnixMs(0)
    undone_by: str = ""

    @property
    def id(self) -> str:
        """What a client hands in to undo it. No secret: the account is compared."""
        return receipt_id(self.earlier)

    @property
    def is_finished(self) -> bool:
        return self.state not in ("committed", "undoing")

    @property
    def entry(self) -> str:
        """Id of the control entry that ends the anonymous identity's sockets: the same, whoever writes it."""
        return _digest(self.id, "end", 8).hex()

    def divider_ref(self, conversation: ConversationId, act: Literal["adopted", "unadopted"], attempt: int = 0) -> str:
        """Return the ref of the divider in one conversation: the same, whoever writes it.

        ``attempt`` counts those that turned out to be used for something else.
        """
        at = self.at if act == "adopted" else self.undone_at
        return new_ref(at, _digest(f"{self.id}/{conversation}" + f"/{attempt}" * bool(attempt), act, 10))


def receipt_id(earlier: UserId) -> str:
    """Return the id of the one receipt that an anonymous identity can have."""
    return _RECEIPT + earlier.removeprefix(_USER)


def earlier_of(name: str) -> UserId:
    """Return the anonymous identity that a receipt, or its own id, names. Raises AdoptionRefused."""
    if name.startswith(_RECEIPT):
        return UserId(_USER + name.removeprefix(_RECEIPT))
    if name.startswith(_USER):
        return UserId(name)
    raise refused("unknown")


def refused(reason: Reason) -> AdoptionRefused:
    """Return the refusal that says which condition failed."""
    return AdoptionRefused(_SENTENCES[reason], detail=reason)


def require_presented(
    presented: Credential | None, project: ProjectId, policy: AdoptionPolicy, now: UnixMs
) -> Credential:
    """Return the anonymous credential that an adoption may rest on. Raises AdoptionRefused.

    ``presented`` came live, with the customer token, on the connection that asks; its MAC was verified then.
    """
    if policy == "never":
        raise refused("never")
    if presented is None or presented.kind != "anonymous":
        raise refused("not_presented")
    if presented.project != project:
        raise refused("another_project")
    if now - presented.born_at > AGE_MAX_MS:
        raise refused("too_old")
    return presented


def require_returnable(receipt: Receipt, account: UserId, now: UnixMs) -> None:
    """Let only the account itself give a chat back, within a day. Raises AdoptionRefused."""
    if receipt.account != account:
        raise refused("not_yours")
    if receipt.state in ("undoing", "undone"):
        return  # asked again: it is answered as the first time
    if receipt.state == "abandoned":
        raise refused("unknown")
    if now - receipt.at > UNDO_MS:
        raise refused("too_late")


def refusal_of(text: str) -> AdoptionRefused | None:
    """Return what a script's ``REFUSED reason`` means; None for any other error."""
    word, _, reason = text.partition(" ")
    for known in _SENTENCES:
        if word == "REFUSED" and reason == known:
            return refused(known)
    return None


def listed(conversations: Sequence[bytes]) -> tuple[ConversationId, ...]:
    """Return the conversations that a script names."""
    return tuple(ConversationId(one.decode()) for one in conversations)


def _digest(text: str, purpose: str, size: int) -> bytes:
    return hashlib.blake2b(f"{purpose}/{text}".encode(), digest_size=size).digest()
