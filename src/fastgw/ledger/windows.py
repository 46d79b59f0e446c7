"""Decides where a calendar window begins and ends in a time zone, across changes of the clocks."""

from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

PERIODS = ("day", "month")


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def window(period: str, zone: str, now_s: int) -> tuple[int, int]:
    """(start, end) in Unix seconds of the calendar day or month of `zone` that holds `now_s`; the end is outside.

    A window begins with the first instant of its first date: where midnight is skipped, when the clocks are changed;
    where it comes twice, the first time. Raises ValueError for another period, zoneinfo.ZoneInfoNotFoundError.
    """
    if period not in PERIODS:
        raise ValueError(f'a window is a "day" or a "month", not "{period}"')
    first = datetime.fromtimestamp(now_s, _zone(zone)).date()
    if period == "month":
        first = first.replace(day=1)
    following = _following(first, period)
    if now_s >= _start(following, zone):  # the clocks went back over midnight: the next date has begun once already
        first, following = following, _following(following, period)
    return _start(first, zone), _start(following, zone)


def _following(first: date, period: str) -> date:
    if period == "day":
        return first + timedelta(days=1)
    return (first + timedelta(days=32)).replace(day=1)


def _start(first: date, zone: str) -> int:
    return int(datetime(first.year, first.month, first.day, tzinfo=_zone(zone)).timestamp())
