"""When deadlines fire: one loop timer for the whole process, whatever the number of sockets.

A hashed wheel without a rim: deadlines are rounded up to a tick and kept by the number of that tick, so that one of a
million costs no more to schedule or to cancel than one. Ticks are counted from a fixed origin, never from the last
firing: the wheel does not drift, and after a stall it fires all that is due, oldest first, and goes on in step.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

TICK_MS = 100
"""Deadlines here are seconds; a tenth of one is as exact as anybody needs, and ten wake-ups a second cost nothing."""


class Deadline:
    """Something that will happen, unless it is cancelled."""

    __slots__ = ("_callback", "_tick", "_wheel")

    def __init__(self, wheel: TimingWheel, tick: int, callback: Callable[[], None]) -> None:
        self._wheel = wheel
        self._tick = tick
        self._callback: Callable[[], None] | None = callback

    @property
    def pending(self) -> bool:
        """Whether it has neither fired nor been cancelled."""
        return self._callback is not None

    def cancel(self) -> None:
        """Do not fire. Harmless when it has fired or was cancelled before; the callback is let go at once."""
        if self._callback is not None:
            self._callback = None
            self._wheel.forget(self, self._tick)

    def fire(self) -> None:
        """Call back once; later calls do nothing."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class TimingWheel:
    """Deadlines of one process on one timer of its loop.

    Without ``loop`` it belongs to the loop that runs when the first deadline is scheduled, so that a wheel can be made
    before there is a loop. The timer is set only while something is due: an idle process is not woken.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None, tick_ms: int = TICK_MS) -> None:
        if tick_ms < 1:
            raise ValueError("a tick is at least 1 ms")
        self._loop = loop
        self._tick_ms = tick_ms
        self._origin_s: float | None = None
        self._done: int = 0
        """The last tick that was fired, or is being fired."""
        self._slots: dict[int, dict[Deadline, None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._firing = False
        self._stopped = False

    def __repr__(self) -> str:
        state = "stopped" if self._stopped else f"{self.pending} pending"
        return f"<TimingWheel {self._tick_ms} ms, {state}>"

    @property
    def pending(self) -> int:
        """How many deadlines neither fired nor were cancelled."""
        return sum(len(slot) for slot in self._slots.values())

    def schedule(self, after_ms: float, callback: Callable[[], None]) -> Deadline:
        """Call ``callback`` no earlier than ``after_ms`` from now and at most one tick later.

        On a stopped wheel the deadline comes back cancelled: whoever closes last need not know who closed first.
        """
        now_ms = self._now_ms()
        if self._timer is None and not self._firing:
            # Nothing is pending: the ticks that passed meanwhile are empty.
            self._done = max(self._done, int(now_ms / self._tick_ms))
        tick = max(math.ceil((now_ms + after_ms) / self._tick_ms), self._done + 1)
        deadline = Deadline(self, tick, callback)
        if self._stopped:
            deadline.cancel()
            return deadline
        self._slots.setdefault(tick, {})[deadline] = None
        if self._timer is None and not self._firing:
            self._arm()
        return deadline

    def stop(self) -> None:
        """Forget every deadline and fire nothing ever again."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        slots, self._slots = self._slots, {}
        for slot in slots.values():
            for deadline in tuple(slot):
                deadline.cancel()

    def forget(self, deadline: Deadline, tick: int) -> None:
        """Let go of a cancelled deadline. Called by the deadline itself."""
        slot = self._slots.get(tick)
        if slot is not None:
            slot.pop(deadline, None)
            if not slot:
                del self._slots[tick]

    def _now_ms(self) -> float:
        """Milliseconds since the wheel was first used, by the loop's monotonic clock."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        now_s = self._loop.time()
        if self._origin_s is None:
            self._origin_s = now_s
        return (now_s - self._origin_s) * 1000

    def _arm(self) -> None:
        assert self._loop is not None and self._origin_s is not None
        next_s = self._origin_s + (self._done + 1) * self._tick_ms / 1000
        self._timer = self._loop.call_at(next_s, self._turn)

    def _turn(self) -> None:
        self._timer = None
        # A loop may wake up a clock resolution early: the tick that the timer was set for is due in any case.
        due = max(int(self._now_ms() / self._tick_ms), self._done + 1)
        ticks = self._ticks_until(due)
        # First of all: what a callback schedules comes after everything that is due now.
        self._done = due
        self._firing = True
        for tick in ticks:
            self._fire(self._slots.pop(tick, {}))
        self._firing = False
        if self._slots and not self._stopped:
            self._arm()

    def _ticks_until(self, due: int) -> list[int]:
        """The ticks with deadlines up to ``due``, oldest first, at the lower of two prices."""
        if due - self._done <= len(self._slots):
            return [tick for tick in range(self._done + 1, due + 1) if tick in self._slots]
        return sorted(tick for tick in self._slots if tick <= due)

    def _fire(self, slot: dict[Deadline, None]) -> None:
        for deadline in tuple(slot):
            if self._stopped:
                return
            try:
                deadline.fire()
            except Exception as error:  # noqa: BLE001  one owner's mistake must not cost the others their deadline
                assert self._loop is not None
                self._loop.call_exception_handler(
                    {"message": "a deadline's callback failed", "exception": error, "timing_wheel": self}
                )
