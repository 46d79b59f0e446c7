"""Decides the integers that keep a limit exact: what a rate and a burst are in the units of its bucket."""

import math

YEAR_NS = 366 * 86_400 * 1_000_000_000
SCALE_MAX = 64  # units per nanosecond: 64-bit units then last nine years


def limit_units(count: int, period_ns: int, burst: int) -> tuple[int, int, int, int]:
    """(interval, tolerance, scale, window_s) of a limit of `count` calls per `period_ns` with `burst` at once.

    The interval is exact when count / gcd(count, period_ns) ≤ 64, else longer by less than 1/64 ns.
    Raises ValueError when the limit cannot be kept: not positive, or an empty bucket fills in more than a year.
    """
    if count < 1 or period_ns < 1 or burst < 1:
        raise ValueError("count, period and burst must be positive")
    if burst * period_ns > count * YEAR_NS:
        raise ValueError("an empty bucket must fill within a year: lower the burst or raise the rate")
    common = math.gcd(count, period_ns)
    scale = min(count // common, SCALE_MAX)
    interval = -(-period_ns * scale // count)
    return interval, (burst - 1) * interval, scale, -(-burst * period_ns // (count * 1_000_000_000))
