"""The words of the product as types: an identifier of one kind is never taken for another."""

from __future__ import annotations

from typing import Literal, NamedTuple, NewType

UnixMs = NewType("UnixMs", int)
"""An instant: UNIX milliseconds, UTC, below 2^53."""

ProjectId = NewType("ProjectId", str)
AppId = NewType("AppId", str)
UserId = NewType("UserId", str)
SessionId = NewType("SessionId", str)
ConversationId = NewType("ConversationId", str)
AgentId = NewType("AgentId", str)
AdminId = NewType("AdminId", str)
"""An admin token's, by which people and the control log name it; never the token."""
NodeId = NewType("NodeId", str)
KeyId = NewType("KeyId", str)
ExternalId = NewType("ExternalId", str)
"""The name by which the project's own server knows a person."""

Version = NewType("Version", int)
"""A control-log version: how much withdrawn trust somebody has heard of. A partition's fence is one too."""

Assurance = Literal["anonymous", "email", "signed", "agent"]
"""How sure we were of the author when the message was accepted. Stored with the message, never changed."""

Role = Literal["visitor", "agent", "admin"]
"""``admin`` is an agent who may also change the project."""

Policy = Literal["anyone", "email", "signed"]
"""What an app demands of a visitor before connecting."""

Durability = Literal["disk", "memory", "replica", "replica+disk"]
"""What an acknowledgement means; see docs/protocol.md."""

GENESIS_LINK = "00000000"
"""The link before the first event of a conversation."""


class Position(NamedTuple):
    """Where one is in a conversation's log.

    ``link`` chains every event to all before it, so two logs that agree in a link agree in everything up to it:
    equal ``(at, seq)`` alone can name two different messages after a failover that lost a tail.
    """

    at: UnixMs
    seq: int
    link: str


START = Position(UnixMs(0), 0, GENESIS_LINK)
"""Before the first event."""
