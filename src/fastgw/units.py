"""Decides how durations, sizes, rates and amounts of money are written, and turns them into integers.

Every parser takes what a TOML value, a flag or an environment variable holds and raises `ValueError` with the
sentence that tells a person what to write instead.
"""

import re
from decimal import Decimal
from functools import lru_cache

NANOS_PER_UNIT = 1_000_000_000
MONEY_MAX_UNITS = 9_000_000_000  # in nanos this still fits a signed 64-bit word
MONEY_MAX_NANOS = MONEY_MAX_UNITS * NANOS_PER_UNIT
BURST_MAX = 1_000_000_000
# A bucket is a time in one 64-bit word of nanoseconds; a year leaves it room for finer fractions.
REFILL_MAX_NS = 366 * 86_400 * 1_000_000_000

_DURATION = re.compile(r"([0-9]{1,15})(ms|s|m|h|d)?")
_DURATION_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_UP_TO_HOURS_MS = {name: scale for name, scale in _DURATION_MS.items() if name != "d"}
_SIZE = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB|TiB)?")
_SIZE_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_RATE = re.compile(r"([0-9]{1,15})/(s|m|h|d)")
_RATE_NS = {"s": 10**9, "m": 60 * 10**9, "h": 3_600 * 10**9, "d": 86_400 * 10**9}
_RATE_UNIT = {period_ns: unit for unit, period_ns in _RATE_NS.items()}
_MONEY = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?")
_INTEGER = re.compile(r"[0-9]{1,18}")
_SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}

_MONEY_RULE = 'must be an amount in the currency\'s unit, a decimal string like "0.001"'
DURATION_FORM = 'written like "500ms", "30s", "2m", "1h" or "7d", a bare integer is seconds'
SIZE_FORM = 'written like "8KiB", "64MiB" or "1GiB", a bare integer is bytes'


def integer_in(text: str) -> int | None:
    """The value of a string of decimal digits, None for any other text."""
    return int(text) if _INTEGER.fullmatch(text) else None


def switch_in(text: str) -> bool | None:
    """What a flag or a variable says by on, true, yes or 1, and their opposites; None for any other text."""
    return _SWITCH.get(text.lower())


def parse_duration_ms(value: object) -> int:
    """A duration in milliseconds; a bare integer, or a string of digits, is in seconds."""
    return _scaled(value, _DURATION, _DURATION_MS, 1_000, f"must be a duration, {DURATION_FORM}")


def parse_size_bytes(value: object) -> int:
    """A size in bytes; a bare integer, or a string of digits, is in bytes; the units are powers of 1024."""
    return _scaled(value, _SIZE, _SIZE_BYTES, 1, f"must be a size, {SIZE_FORM}")


def _scaled(value: object, form: re.Pattern[str], units: dict[str, int], bare: int, rule: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value * bare
    if isinstance(value, str) and (match := form.fullmatch(value)):
        return int(match[1]) * (units[match[2]] if match[2] else bare)
    raise ValueError(rule)


def format_duration(ms: int) -> str:
    """Milliseconds in the largest unit that holds them exactly: 75000 → "75s", 120000 → "2m", 0 → "0".

    Days are for more than one: what lasts a day is "24h".
    """
    return _in_largest_unit(ms, _DURATION_MS if ms > _DURATION_MS["d"] else _UP_TO_HOURS_MS)


def format_size(size: int) -> str:
    """Bytes in the largest unit that holds them exactly: 8192 → "8KiB", 1000 → "1000B", 0 → "0"."""
    return _in_largest_unit(size, _SIZE_BYTES)


def _in_largest_unit(value: int, units: dict[str, int]) -> str:
    if value == 0:
        return "0"
    name, scale = max(((n, s) for n, s in units.items() if value % s == 0), key=lambda unit: unit[1])
    return f"{value // scale}{name}"


@lru_cache(maxsize=4096)
def _parse_rate_text(text: str) -> tuple[int, int] | None:
    match = _RATE.fullmatch(text)
    if match is None:
        return None
    count, period_ns = int(match[1]), _RATE_NS[match[2]]
    return (count, period_ns) if 1 <= count <= period_ns else None


def parse_rate(value: object) -> tuple[int, int]:
    """A rate "100/s" as (count, nanoseconds of the period), at most one per nanosecond."""
    parsed = _parse_rate_text(value) if isinstance(value, str) else None
    if parsed is None:
        raise ValueError('must be a whole number ≥ 1 of requests per s, m, h or d, written like "100/s" or "5000/h"')
    return parsed


def format_rate(count: int, period_ns: int) -> str:
    """A rate as it is written: (100, 1_000_000_000) → "100/s"."""
    return f"{count}/{_RATE_UNIT[period_ns]}"


def parse_burst(value: object) -> int:
    """A burst in requests, 1 to 1,000,000,000."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= BURST_MAX:
        return value
    raise ValueError(f"must be an integer from 1 to {BURST_MAX}")


def check_refill(count: int, period_ns: int, burst: int) -> None:
    """Refuse a bucket so deep that its arrival time could leave a 64-bit word of nanoseconds."""
    if burst * period_ns > REFILL_MAX_NS * count:
        most = min(BURST_MAX, REFILL_MAX_NS * count // period_ns)
        raise ValueError(f"a burst must refill within 366 days, at this rate at most {most}")


def parse_money_nanos(value: object) -> int:
    """An amount ≥ 0 in nanos (1e-9 of the currency's unit), from a decimal string or an integer of units.

    Binary floating point is refused rather than rounded: 0.1 has no exact value there.
    """
    if isinstance(value, float):
        raise ValueError(f'a bare decimal is a float and not exact; write it as a string: "{_plain(value)}"')
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(_MONEY_RULE)
    if isinstance(value, int):
        return _in_range(value < 0, value > MONEY_MAX_UNITS, value * NANOS_PER_UNIT)
    digits = value.removeprefix("-")
    if not _MONEY.fullmatch(digits):
        raise ValueError(_MONEY_RULE)
    if len(digits.partition(".")[2]) > 9:
        raise ValueError("must have at most 9 decimals (1 nano is the smallest amount)")
    amount = Decimal(digits)
    return _in_range(value != digits, amount > MONEY_MAX_UNITS, int(amount.scaleb(9)))


def _in_range(is_negative: bool, is_too_much: bool, nanos: int) -> int:
    if is_negative:
        raise ValueError("must not be negative")
    if is_too_much:
        raise ValueError(f"must be at most {MONEY_MAX_UNITS}")
    return nanos


def _plain(value: float) -> str:
    """A float without exponent where it can be: the user wrote 0.001, not 1e-03."""
    return format(Decimal(repr(value)), "f")


def format_money(nanos: int) -> str:
    """Nanos as a decimal string with no trailing zeros: 1_000_000 → "0.001", -1_500_000_000 → "-1.5"."""
    units, rest = divmod(abs(nanos), NANOS_PER_UNIT)
    return "-" * (nanos < 0) + f"{units}.{rest:09d}".rstrip("0").rstrip(".")
