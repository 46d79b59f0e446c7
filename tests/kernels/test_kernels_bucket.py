"""A limit decides as an exact bucket of fractions would: never more than burst + rate·w in any window w, never less."""

from collections.abc import Iterator
from fractions import Fraction
from math import ceil

import _kernels
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fastgw._segment import Segment
from fastgw.limits import SCALE_MAX, YEAR_NS, limit_units

PERIODS = (1, 1_000, 10**9, 60 * 10**9, 3600 * 10**9, 86_400 * 10**9, 7, 999_999_937)
COUNTS = st.integers(1, 64) | st.integers(1, 100_000)
START = st.integers(0, 3 * YEAR_NS)  # how long the segment has been there


class Model:
    """A bucket of `burst` tokens, filled at `rate` per nanosecond without rounding."""

    def __init__(self, rate: Fraction, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self.tokens, self.at = Fraction(burst), 0

    def _fill(self, now: int) -> Fraction:
        return min(Fraction(self.burst), self.tokens + (now - self.at) * self.rate)

    def wait(self, now: int) -> int:
        return max(0, ceil((1 - self._fill(now)) / self.rate))

    def remaining(self, now: int) -> int:
        return int(self._fill(now))

    def take(self, now: int) -> int:
        if wait := self.wait(now):
            return wait
        self.tokens, self.at = self._fill(now) - 1, now
        return 0


@st.composite
def limits(draw: st.DrawFn, exact: bool) -> tuple[int, int, int]:
    """(count, period_ns, burst) that can be kept; `exact` when the interval is a whole number of units."""
    count, period, burst = draw(COUNTS), draw(st.sampled_from(PERIODS)), draw(st.integers(1, 40))
    assume(burst * period <= count * YEAR_NS)
    if exact:
        assume(Fraction(count, period).numerator <= SCALE_MAX)
    return count, period, burst


@st.composite
def arrivals(draw: st.DrawFn, interval: Fraction) -> list[int]:
    """Times that bring out the edges: bursts, gaps of about one interval, gaps of many."""
    step = st.one_of(
        st.just(0),
        st.integers(0, 3),
        st.integers(-2, 2).map(lambda d: max(0, int(interval) + d)),
        st.integers(0, 3 * ceil(interval)),
        st.integers(0, 100 * ceil(interval)),
    )
    now = draw(START)
    return [now := now + gap for gap in draw(st.lists(step, min_size=1, max_size=80))]


def make(count: int, period: int, burst: int) -> _kernels.Bucket:
    interval, tolerance, scale, _ = limit_units(count, period, burst)
    return _kernels.Bucket(interval, tolerance, scale, burst)


def worst_window(stamps: list[int], rate: Fraction, burst: int) -> Fraction:
    """By how much the fullest window is over (+) or under (−) what it may admit.

    The number of calls from the i-th to the j-th is j - i + 1, so the worst i for each j is that of the highest
    rate·t - i.
    """
    highest = stamps[0] * rate
    worst = Fraction(1 - burst)
    for number, stamp in enumerate(stamps):
        highest = max(highest, stamp * rate - number)
        worst = max(worst, number + 1 - burst - stamp * rate + highest)
    return worst


@given(st.data(), limits(exact=True))
def test_every_decision_wait_and_remainder_is_the_models(data: st.DataObject, limit: tuple[int, int, int]) -> None:
    count, period, burst = limit
    bucket, model = make(*limit), Model(Fraction(count, period), burst)
    for now in data.draw(arrivals(Fraction(period, count))):
        assert bucket.remaining(now) == model.remaining(now)
        assert bucket.wait(now) == model.wait(now)
        assert bucket.take(now) == model.take(now)


@given(st.data(), limits(exact=False))
def test_no_window_admits_more_than_its_burst_and_rate(data: st.DataObject, limit: tuple[int, int, int]) -> None:
    count, period, burst = limit
    bucket = make(*limit)
    times = data.draw(arrivals(Fraction(period, count)))
    stamps = [now for now in times if bucket.take(now) == 0]
    assert stamps
    assert worst_window(stamps, Fraction(count, period), burst) <= 0


@given(st.data(), limits(exact=True))
def test_a_client_whose_every_window_conforms_is_never_refused(
    data: st.DataObject, limit: tuple[int, int, int]
) -> None:
    count, period, burst = limit
    rate = Fraction(count, period)
    bucket = make(*limit)
    kept: list[int] = []
    for now in data.draw(arrivals(1 / rate)):
        if worst_window([*kept, now], rate, burst) <= 0:
            kept.append(now)
            assert bucket.take(now) == 0


@given(limits(exact=True), START, st.integers(1, 300))
def test_a_client_that_is_as_fast_as_its_rate_allows_is_never_refused(
    limit: tuple[int, int, int], start: int, calls: int
) -> None:
    count, period, _ = limit
    bucket = make(*limit)
    for number in range(calls):
        assert bucket.take(start + number * ceil(Fraction(period, count))) == 0


@given(limits(exact=False), START, st.integers(1, 300))
def test_a_rate_of_no_whole_interval_is_late_by_less_than_a_64th_of_a_nanosecond_a_call(
    limit: tuple[int, int, int], start: int, calls: int
) -> None:
    count, period, burst = limit
    interval, tolerance, scale, _ = limit_units(*limit)
    assert 0 <= Fraction(interval, scale) - Fraction(period, count) < Fraction(1, SCALE_MAX)
    assert tolerance == (burst - 1) * interval
    bucket = make(*limit)
    for number in range(calls):
        assert bucket.take(start + number * ceil(Fraction(period, count) + Fraction(1, SCALE_MAX))) == 0


@given(st.data(), limits(exact=False))
def test_the_wait_is_exact_to_the_nanosecond(data: st.DataObject, limit: tuple[int, int, int]) -> None:
    count, period, _ = limit
    bucket = make(*limit)
    for now in data.draw(arrivals(Fraction(period, count))):
        if wait := bucket.take(now):
            assert bucket.wait(now + wait) == 0
            assert bucket.wait(now + wait - 1) == 1


@given(st.data(), limits(exact=False))
def test_a_refused_call_leaves_no_trace(data: st.DataObject, limit: tuple[int, int, int]) -> None:
    count, period, _ = limit
    bucket = make(*limit)
    for now in data.draw(arrivals(Fraction(period, count))):
        before = bucket.tat
        if bucket.take(now):
            assert bucket.tat == before


@given(st.data(), limits(exact=True))
def test_a_call_given_back_at_once_leaves_no_trace(data: st.DataObject, limit: tuple[int, int, int]) -> None:
    count, period, burst = limit
    bucket, model = make(*limit), Model(Fraction(count, period), burst)
    for now, back in zip(
        data.draw(arrivals(Fraction(period, count))), data.draw(st.lists(st.booleans(), min_size=80)), strict=False
    ):
        before = bucket.tat
        if back:
            if bucket.take(now) == 0:
                assert bucket.undo(*bucket.last())
                assert bucket.tat == before
        else:
            assert bucket.take(now) == model.take(now)


def test_a_call_is_not_given_back_once_somebody_else_has_taken_one() -> None:
    bucket = make(1, 10**9, 5)
    assert bucket.take(10) == 0
    first = bucket.last()
    assert bucket.take(20) == 0
    word = bucket.tat
    assert not bucket.undo(*first)
    assert bucket.tat == word


@pytest.mark.parametrize("burst", [1, 7])
def test_a_full_bucket_gives_its_burst_at_once_and_then_one_an_interval(burst: int) -> None:
    bucket = make(3, 10**9, burst)
    assert [bucket.take(5 * 10**9) for _ in range(burst)] == [0] * burst
    assert bucket.remaining(5 * 10**9) == 0
    assert bucket.take(5 * 10**9) == ceil(Fraction(10**9, 3))
    assert bucket.take(5 * 10**9 + ceil(Fraction(10**9, 3))) == 0


def test_the_units_last_for_years_at_the_finest_scale() -> None:
    bucket = make(61, 7, 1)
    late = 8 * YEAR_NS
    assert bucket.take(late) == 0
    assert bucket.take(late) == 1
    assert bucket.take(late + 1) == 0


def refused_limits() -> Iterator[tuple[int, int, int]]:
    yield from ((0, 1, 1), (1, 0, 1), (1, 1, 0), (-1, 1, 1))
    yield 1, YEAR_NS, 2
    yield 1, YEAR_NS + 1, 1


@pytest.mark.parametrize("limit", list(refused_limits()))
def test_a_limit_that_cannot_be_kept_is_refused(limit: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"positive|within a year"):
        limit_units(*limit)


def test_the_window_is_the_time_in_which_an_empty_bucket_fills_in_whole_seconds() -> None:
    assert limit_units(100, 10**9, 200)[3] == 2
    assert limit_units(100, 10**9, 201)[3] == 3
    assert limit_units(1000, 60 * 10**9, 1)[3] == 1


def test_equal_limits_of_keys_share_a_number(segment: Segment) -> None:
    first = segment.limit(10, 10**9, 5)
    assert first == 1
    assert segment.limit(600, 60 * 10**9, 5) == first
    assert segment.limit(10, 10**9, 6) == 2
    assert Segment.open(segment.path).limit(10, 10**9, 6) == 2
    assert _kernels.limit_at(segment, 2) == (10**8, 5 * 10**8, 1, 6, 1)


def test_a_burst_beyond_32_bits_is_refused(segment: Segment) -> None:
    with pytest.raises(ValueError, match="32 bits"):
        segment.limit(10**9, 1, 2**32)
