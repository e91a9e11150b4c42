"""Decide whether somebody has gone too fast, and for how long to wait.

GCRA, the generic cell rate algorithm (ITU-T I.371): one number per bucket, the instant at which it would be full
again if nobody took. No timer refills anything, so a bucket that is left alone costs nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from chatgateway.types import UnixMs


@dataclass(frozen=True, slots=True)
class Rate:
    """``per_s`` a second in the long run, ``burst`` at once."""

    per_s: float
    burst: int

    def __post_init__(self) -> None:
        if not (0 < self.per_s < math.inf and self.burst >= 1):
            raise ValueError(f"a rate is above 0 and a burst at least 1: {self.per_s} and {self.burst}")

    @property
    def interval_ms(self) -> float:
        """How long one take lasts."""
        return 1000 / self.per_s


class Bucket:
    """What one peer has left of a rate. Full at first."""

    __slots__ = ("_full_at", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._full_at = 0.0

    def take(self, now: UnixMs) -> int:
        """Take one: return 0, or the milliseconds to wait and take nothing."""
        interval = self.rate.interval_ms
        # An empty bucket is full again after a whole burst, never later: a clock that was set back locks nobody out.
        full_at = min(max(self._full_at, now), now + self.rate.burst * interval)
        wait = full_at + interval - self.rate.burst * interval - now
        if wait > 0:
            self._full_at = full_at
            return math.ceil(wait)
        self._full_at = full_at + interval
        return 0

    def __repr__(self) -> str:
        return f"Bucket({self.rate.per_s:g}/s, burst {self.rate.burst})"
