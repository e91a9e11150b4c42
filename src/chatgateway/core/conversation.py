"""What a conversation's head says: who may see what of it, and how much of it is unread.

The head is the hash that the store's scripts keep beside the log. ``pending`` and ``holders`` are set when somebody
signs in during a chat that they began anonymously: until it is adopted, only sessions that showed both credentials (the
``holders``) read and write it as its visitor, and agents see that it is not yet confirmed as theirs (``pending``).
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from chatgateway.protocol.frames import ConversationState
from chatgateway.types import GENESIS_LINK, AgentId, ConversationId, Position, ProjectId, SessionId, UnixMs, UserId

AGENTS = "agents"
"""The reader whose mark counts what no agent has read yet."""

_REF = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")


def ref_ms(ref: str) -> UnixMs | None:
    """Return the instant in a lower-case UUIDv7's first 48 bits (RFC 9562 section 5.7); None for anything else."""
    match = _REF.match(ref)
    return UnixMs(int(match[1] + match[2], 16)) if match else None


@dataclass(frozen=True, slots=True)
class Head:
    """A conversation as the store last knew it."""

    conversation: ConversationId
    project: ProjectId
    visitor: UserId
    state: ConversationState
    top: Position
    assigned: AgentId = AgentId("")
    visitor_texts: int = 0
    agent_texts: int = 0
    holders: frozenset[SessionId] = frozenset()
    pending: UserId | None = None
    reads: Mapping[str, int] = field(default_factory=dict[str, int])
    """Reader → seq up to which they have read."""
    read_counts: Mapping[str, int] = field(default_factory=dict[str, int])
    """Reader → how many texts of the other side there were up to their mark."""

    @classmethod
    def of(cls, conversation: ConversationId, record: Mapping[bytes, bytes]) -> Head:
        """Return the head that the store's hash describes."""
        text = {key.decode(): value.decode() for key, value in record.items()}
        return cls(
            conversation=conversation,
            project=ProjectId(text.get("project", "")),
            visitor=UserId(text.get("visitor", "")),
            state="resolved" if text.get("state") == "resolved" else "open",
            top=Position(UnixMs(int(text.get("at", 0))), int(text.get("seq", 0)), text.get("link", GENESIS_LINK)),
            assigned=AgentId(text.get("assigned", "")),
            visitor_texts=int(text.get("nv", 0)),
            agent_texts=int(text.get("na", 0)),
            holders=frozenset(SessionId(session) for session in text.get("holders", "").split()),
            pending=UserId(text["pending"]) if "pending" in text else None,
            reads={
                key[3:]: int(value) for key, value in text.items() if key.startswith("rs:") and key != f"rs:{AGENTS}"
            },
            read_counts={key[3:]: int(value) for key, value in text.items() if key.startswith("rc:")},
        )

    def unread(self, reader: UserId) -> int:
        """Return how many texts of agents this visitor has not read."""
        return max(0, self.agent_texts - self.read_counts.get(reader, 0))

    @property
    def unread_by_agents(self) -> int:
        """How many texts of the visitor no agent has read."""
        return max(0, self.visitor_texts - self.read_counts.get(AGENTS, 0))

    def may_read(self, user: UserId, session: SessionId) -> bool:
        """Is this session one of its visitor?"""
        return session in self.holders if self.pending is not None else user == self.visitor

    @property
    def speaks(self) -> UserId:
        """Who acts as its visitor now: whoever signed in during it, else whoever began it."""
        return self.pending or self.visitor


def new_conversation_id(partition: int, project: ProjectId, user: UserId, ref: str) -> ConversationId:
    """Return the id of the conversation that ``user`` begins with ``ref``: the same ref begins the same one.

    The id carries the partition it lives in, so that nobody needs to look it up.
    """
    digest = hashlib.blake2b(f"{project}/{user}/{ref}".encode(), digest_size=10).hexdigest()
    return ConversationId(f"cnv_{partition:02x}{digest}")


def new_ref(now: UnixMs, entropy: bytes) -> str:
    """Return a UUIDv7 for ``now`` (RFC 9562 section 5.7) from 10 random bytes: what a client would mint."""
    number = now << 80 | int.from_bytes(entropy, "big")
    number = number & ~(0xF << 76) | 7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=number))
