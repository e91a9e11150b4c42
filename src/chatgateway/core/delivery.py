"""Deliver every entry of a conversation once and in order, over a lossy PUB/SUB.

The log in the store is the truth; a publication is only a hint that it grew. With the last position (la, ls, ll):

    seq == ls + 1 and prev == ll                    hand it on
    seq <= ls and the same link is known there      seen already, drop it
    anything else                                   show nothing: probe the own position and read after it

What was read goes through the same rule. Nothing weaker holds: after a failover that lost a tail, equal (at, seq) can
name two different messages, and a replicated epoch skipped messages while resume looked successful.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from chatgateway.types import Position

REMEMBERED = 128
"""Links kept per conversation to recognise duplicates; publications arrive late by far less."""


class Verdict(Enum):
    HAND_ON = "hand on"
    DROP = "drop"
    CHECK = "check"


class Delivery:
    """Where one hub (or one reader) is in one conversation."""

    __slots__ = ("_first", "_links", "position")

    def __init__(self, position: Position) -> None:
        self.position = position
        self._links: deque[str] = deque([position.link], maxlen=REMEMBERED)
        self._first = position.seq

    def __repr__(self) -> str:
        return f"Delivery({self.position.seq}, {self.position.link})"

    def knows(self, seq: int, link: str) -> bool:
        """Was this very entry handed on, within what is remembered?"""
        index = seq - self._first
        return 0 <= index < len(self._links) and self._links[index] == link

    def judge(self, event: Position, prev: str) -> Verdict:
        """Say what to do with an entry that arrived; nothing changes."""
        last = self.position
        if event.seq == last.seq + 1 and prev == last.link:
            return Verdict.HAND_ON
        if event.seq <= last.seq and self.knows(event.seq, event.link):
            return Verdict.DROP
        return Verdict.CHECK

    def advance(self, event: Position) -> None:
        """The entry at ``event`` was handed on."""
        if len(self._links) == REMEMBERED:
            self._first += 1
        self._links.append(event.link)
        self.position = event
