"""Decides how money, moments and rates are written in the admin API: decimal strings, RFC 3339, "100/s"."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from msgspec import Meta

from .. import units
from ..model import Rate


def whole(form: str) -> str:
    """A pattern that this form matches to the end: Python's "$" alone would let a final newline pass."""
    return rf"^{form}$(?!\n)"


_UNITS = r"([0-9]{1,9}|[1-8][0-9]{9})(\.[0-9]{1,9})?"
_NOT_ZERO = r"(?=.*[1-9])"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

AMOUNT, POSITIVE, SIGNED = whole(_UNITS), whole(_NOT_ZERO + _UNITS), whole(f"-?{_NOT_ZERO}{_UNITS}")
AMOUNT_RULE = 'must be an amount with at most 9 decimals, below 9000000000, as a string like "0.001"'
RATE = whole("[1-9][0-9]{0,8}/[smhd]")

# Of requests.
Amount = Annotated[
    str, Meta(pattern=AMOUNT, description="Money ≥ 0, at most 9 decimals", examples=["25.00"])
]  # fmt: skip
PositiveAmount = Annotated[
    str, Meta(pattern=POSITIVE, description="Money > 0, at most 9 decimals", examples=["25.00"])
]  # fmt: skip
SignedAmount = Annotated[
    str, Meta(pattern=SIGNED, description="Money, not 0, at most 9 decimals", examples=["-1.50"])
]  # fmt: skip
Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339, with an offset")]
RateText = Annotated[
    str, Meta(pattern=RATE, description="Requests per s, m, h or d", examples=["100/s"])
]  # fmt: skip
Burst = Annotated[int, Meta(ge=1, le=units.BURST_MAX, description="Requests at once; by default one period's")]

# Of answers.
Money = Annotated[
    str,
    Meta(pattern=whole(r"-?[0-9]{1,10}(\.[0-9]{1,9})?"), description="Money: a decimal string, exact to the nano"),
]


def money(nanos: int) -> str:
    """Nanos as a decimal string: -1_500_000_000 → "-1.5"."""
    return units.format_money(nanos)


def nanos_of(amount: str) -> int:
    """The inverse of `money`. Raises ValueError with what is allowed."""
    digits = amount.removeprefix("-")
    nanos = units.parse_money_nanos(digits)
    return nanos if digits == amount else -nanos


def moment(seconds: int) -> datetime | None:
    """A Unix time in seconds, None for 0, which is never; one beyond the year 9999 is its end."""
    return _moment(seconds * 1_000_000) if seconds else None


def moment_of_ns(nanoseconds: int) -> datetime:
    """A Unix time in nanoseconds, to the microsecond."""
    return _moment(nanoseconds // 1_000)


def _moment(microseconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def seconds_of(when: datetime | None) -> int:
    """Unix seconds of a moment, rounded down, 0 for None. Raises ValueError for one before 1970."""
    if when is None:
        return 0
    seconds = (when - _EPOCH) // timedelta(seconds=1)
    if seconds < 1:
        raise ValueError("must be later than 1970")
    return seconds


def nanoseconds_of(when: datetime) -> int:
    """Unix time in nanoseconds of a moment, exactly."""
    return (when - _EPOCH) // timedelta(microseconds=1) * 1_000


def rate_text(rate: Rate) -> str:
    """The inverse of `rate_of`: a whole number of requests per second, minute, hour or day."""
    return units.format_rate(rate.count, rate.period_ns)


def rate_of(text: str, burst: int | None) -> Rate:
    """The bucket of a rate "100/s"; without a burst it has room for one period. Raises ValueError."""
    count, period_ns = units.parse_rate(text)
    rate = Rate(count, period_ns, min(count, units.BURST_MAX) if burst is None else burst)
    units.check_refill(rate.count, rate.period_ns, rate.burst)
    return rate
