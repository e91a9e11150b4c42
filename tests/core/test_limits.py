"""A bucket gives its burst at once and its rate in the long run, whatever the clock does."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatgateway.core.limits import Bucket, Rate
from chatgateway.types import UnixMs

NOW = 1_795_249_707_000


def take(bucket: Bucket, at: int) -> int:
    return bucket.take(UnixMs(NOW + at))


class TestRate:
    @pytest.mark.parametrize(("per_s", "burst"), [(0, 1), (-1, 1), (math.inf, 1), (math.nan, 1), (1, 0)])
    def test_of_nothing_is_refused(self, per_s: float, burst: int) -> None:
        with pytest.raises(ValueError, match="a rate is above 0"):
            Rate(per_s, burst)


class TestBucket:
    def test_gives_the_burst_at_once_then_says_how_long_to_wait(self) -> None:
        bucket = Bucket(Rate(per_s=10, burst=3))
        assert [take(bucket, 0) for _ in range(5)] == [0, 0, 0, 100, 100]

    def test_gives_again_exactly_when_it_said(self) -> None:
        bucket = Bucket(Rate(per_s=10, burst=1))
        assert [take(bucket, at) for at in (0, 99, 100, 150, 200)] == [0, 1, 0, 50, 0]

    def test_of_one_in_two_seconds(self) -> None:
        bucket = Bucket(Rate(per_s=0.5, burst=1))
        assert [take(bucket, at) for at in (0, 1, 2_000)] == [0, 1_999, 0]

    def test_left_alone_holds_no_more_than_its_burst(self) -> None:
        bucket = Bucket(Rate(per_s=10, burst=2))
        take(bucket, 0)
        assert [take(bucket, 10**9) for _ in range(3)] == [0, 0, 100]

    def test_survives_a_clock_that_was_set_back(self) -> None:
        bucket = Bucket(Rate(per_s=10, burst=2))
        take(bucket, 3_600_000)
        assert take(bucket, 0) <= 100

    def test_tells_its_rate_when_printed(self) -> None:
        assert repr(Bucket(Rate(per_s=0.5, burst=1))) == "Bucket(0.5/s, burst 1)"

    @given(
        st.floats(0.1, 1_000),
        st.integers(1, 50),
        st.lists(st.integers(0, 5_000), min_size=1, max_size=60),
    )
    def test_never_gives_more_than_burst_plus_rate_in_any_stretch(
        self, per_s: float, burst: int, steps: list[int]
    ) -> None:
        bucket, at, given_at = Bucket(Rate(per_s, burst)), 0, list[int]()
        for step in steps:
            at += step
            if take(bucket, at) == 0:
                given_at.append(at)
        for first, begin in enumerate(given_at):
            for last in range(first, len(given_at)):
                stretch_s = (given_at[last] - begin) / 1000
                # A float of this size is exact to a quarter of a microsecond.
                assert last - first + 1 <= burst + stretch_s * per_s + 0.01

    @given(st.floats(0.1, 1_000), st.integers(1, 50), st.integers(0, 60))
    def test_waiting_as_told_is_enough(self, per_s: float, burst: int, hasty: int) -> None:
        bucket = Bucket(Rate(per_s, burst))
        for _ in range(hasty):
            take(bucket, 0)
        wait = take(bucket, 0)
        assert wait == 0 or take(bucket, wait) <= 1
