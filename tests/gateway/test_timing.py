"""The wheel on a loop whose clock the test turns."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Any

import pytest

from chatgateway.gateway.timing import TimingWheel


class HandTurnedLoop:
    """As much of a loop as a wheel needs. Time passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.timers: list[asyncio.TimerHandle] = []
        self.set = 0
        self.mistakes: list[dict[str, Any]] = []

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, (), self)  # type: ignore[arg-type]
        heapq.heappush(self.timers, handle)
        self.set += 1
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.mistakes.append(context)

    def pending(self) -> int:
        return sum(not timer.cancelled() for timer in self.timers)

    def until(self, seconds: float) -> None:
        """Let time pass as a busy loop would see it: every timer runs when it is due."""
        end = self.now + seconds
        while self.timers and self.timers[0].when() <= end:
            handle = heapq.heappop(self.timers)
            self.now = max(self.now, handle.when())
            if not handle.cancelled():
                handle._run()
        self.now = end

    def stall(self, seconds: float) -> None:
        """Let time pass while nothing runs, as under SIGSTOP."""
        self.now += seconds


@pytest.fixture
def loop() -> HandTurnedLoop:
    return HandTurnedLoop()


@pytest.fixture
def wheel(loop: HandTurnedLoop) -> TimingWheel:
    return TimingWheel(loop, tick_ms=100)  # type: ignore[arg-type]


@pytest.mark.parametrize("after_ms", [0, 1, 99, 100, 101, 250, 5_000])
@pytest.mark.parametrize("idle_s", [0, 0.05, 0.1, 7.77])
def test_fires_never_early_and_at_most_a_tick_late(
    loop: HandTurnedLoop, wheel: TimingWheel, after_ms: int, idle_s: float
) -> None:
    wheel.schedule(0, lambda: None).cancel()
    loop.until(idle_s)
    start = loop.now
    fired: list[float] = []
    wheel.schedule(after_ms, lambda: fired.append(loop.now))
    loop.until(10)
    assert len(fired) == 1
    assert after_ms / 1000 - 1e-6 <= fired[0] - start <= (after_ms + 100) / 1000 + 1e-6


def test_fires_in_the_order_of_the_deadlines(loop: HandTurnedLoop, wheel: TimingWheel) -> None:
    fired: list[int] = []
    for after_ms in (300, 100, 200, 100):
        wheel.schedule(after_ms, lambda after_ms=after_ms: fired.append(after_ms))
    loop.until(1)
    assert fired == [100, 100, 200, 300]


def test_after_a_stall_fires_all_that_is_due_in_order_and_then_keeps_step(
    loop: HandTurnedLoop, wheel: TimingWheel
) -> None:
    fired: list[str] = []
    for after_ms in (200, 100, 60_000):
        wheel.schedule(after_ms, lambda after_ms=after_ms: fired.append(str(after_ms)))
    loop.stall(30.04)
    loop.until(0)
    assert fired == ["100", "200"]
    assert loop.timers[0].when() == pytest.approx(1_030.1), "the origin's ticks, not the stall's"
    loop.until(30)
    assert fired[2:] == ["60000"]


def test_does_not_drift_when_every_timer_is_late(loop: HandTurnedLoop, wheel: TimingWheel) -> None:
    fired: list[float] = []

    def late() -> None:
        fired.append(loop.now)
        loop.stall(0.03)

    for number in range(100):
        wheel.schedule(number * 100 + 50, late)
    loop.until(30)
    assert fired == pytest.approx([1_000.1 + number / 10 for number in range(100)]), "in step, each as if the first"


def test_what_a_callback_schedules_comes_in_a_later_tick(loop: HandTurnedLoop, wheel: TimingWheel) -> None:
    fired: list[str] = []

    def first() -> None:
        fired.append("first")
        wheel.schedule(0, lambda: fired.append("second"))

    wheel.schedule(100, first)
    wheel.schedule(100, lambda: fired.append("beside"))
    loop.until(1)
    assert fired == ["first", "beside", "second"]


class TestCancel:
    def test_keeps_it_from_firing_and_lets_the_callback_go(self, loop: HandTurnedLoop, wheel: TimingWheel) -> None:
        fired: list[int] = []
        deadline = wheel.schedule(100, lambda: fired.append(1))
        deadline.cancel()
        deadline.cancel()
        assert wheel.pending == 0
        assert not deadline.pending
        loop.until(1)
        assert fired == []

    def test_by_a_callback_of_the_same_tick_is_in_time(self, loop: HandTurnedLoop, wheel: TimingWheel) -> None:
        fired: list[int] = []
        wheel.schedule(100, lambda: later.cancel())
        later = wheel.schedule(100, lambda: fired.append(1))
        loop.until(1)
        assert fired == []

    def test_after_firing_is_harmless(self, loop: HandTurnedLoop, wheel: TimingWheel) -> None:
        deadline = wheel.schedule(100, lambda: None)
        loop.until(1)
        deadline.cancel()
        assert not deadline.pending


def test_a_callback_that_fails_costs_the_others_nothing(loop: HandTurnedLoop, wheel: TimingWheel) -> None:
    fired: list[int] = []
    wheel.schedule(100, lambda: 1 // 0)
    wheel.schedule(100, lambda: fired.append(1))
    wheel.schedule(200, lambda: fired.append(2))
    loop.until(1)
    assert fired == [1, 2]
    assert [type(mistake["exception"]) for mistake in loop.mistakes] == [ZeroDivisionError]


def test_needs_one_timer_for_any_number_and_none_when_idle(loop: HandTurnedLoop, wheel: TimingWheel) -> None:
    for _ in range(10_000):
        wheel.schedule(100, lambda: None)
    assert loop.pending() == 1
    loop.until(1)
    assert loop.pending() == 0
    assert loop.set == 1
    wheel.schedule(100, lambda: None)
    assert loop.pending() == 1


def test_after_idling_does_not_make_up_for_the_ticks_it_slept_through(loop: HandTurnedLoop, wheel: TimingWheel) -> None:
    wheel.schedule(100, lambda: None)
    loop.until(7.77)
    wheel.schedule(100, lambda: None)
    assert [timer.when() > loop.now for timer in loop.timers] == [True]


def test_sets_one_timer_when_a_callback_schedules_too(loop: HandTurnedLoop, wheel: TimingWheel) -> None:
    wheel.schedule(100, lambda: wheel.schedule(100, lambda: None) and None)
    loop.until(0.15)
    assert loop.pending() == 1


def test_stopped_forgets_everything_and_takes_nothing_more(loop: HandTurnedLoop, wheel: TimingWheel) -> None:
    fired: list[int] = []
    wheel.schedule(100, lambda: fired.append(1))
    wheel.stop()
    assert not wheel.schedule(100, lambda: fired.append(2)).pending
    loop.until(1)
    assert (fired, loop.pending(), wheel.pending) == ([], 0, 0)
    assert repr(wheel) == "<TimingWheel 100 ms, stopped>"


def test_stopped_by_a_callback_fires_nothing_more(loop: HandTurnedLoop, wheel: TimingWheel) -> None:
    fired: list[int] = []
    wheel.schedule(100, wheel.stop)
    wheel.schedule(100, lambda: fired.append(1))
    wheel.schedule(200, lambda: fired.append(2))
    loop.until(1)
    assert (fired, loop.pending()) == ([], 0)


async def test_without_a_loop_takes_the_one_that_runs() -> None:
    wheel = TimingWheel(tick_ms=1)
    fired = asyncio.Event()
    wheel.schedule(1, fired.set)
    async with asyncio.timeout(20):
        await fired.wait()
    wheel.stop()


def test_a_tick_is_at_least_a_millisecond() -> None:
    with pytest.raises(ValueError, match="at least"):
        TimingWheel(tick_ms=0)
