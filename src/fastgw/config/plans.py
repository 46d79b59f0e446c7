"""Decides what [[plans]] may say: prices by route, a rate of the account, quotas, an allowance, a time zone."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from .. import units
from ..model import Plan, Route
from .fields import Fields, Report, existing, parse_slug, parse_table
from .manual import PLANS

PLANS_MAX = 1024  # names that the segment has room for
QUOTA_MAX = 1_000_000_000_000


def read_plans(report: Report, tables: list[Any], routes: Mapping[str, Route]) -> tuple[Plan, ...]:
    """The plans of a document; `routes` has those by name that are to be charged for, or refused in words."""
    if len(tables) > PLANS_MAX:
        report.refuse(("plans",), f"there are {len(tables)} plans, at most {PLANS_MAX} are possible")
    return tuple(_plan(report, index, raw, routes) for index, raw in enumerate(tables))


def _plan(report: Report, index: int, raw: Any, routes: Mapping[str, Route]) -> Plan:
    fields = Fields(report, ("plans", index), raw, PLANS.names)
    return Plan(
        name=fields.require("name", parse_slug, ""),
        rate=fields.rate(),
        day_quota=fields.take("requests_per_day", parse_quota, 0),
        month_quota=fields.take("requests_per_month", parse_quota, 0),
        token_rate=fields.token_rate(),
        day_tokens=fields.take("tokens_per_day", parse_quota, 0),
        month_tokens=fields.take("tokens_per_month", parse_quota, 0),
        timezone=fields.take("timezone", parse_timezone, "UTC"),
        allowance_nanos=fields.take("allowance", units.parse_money_nanos, 0),
        prices=_prices(fields, routes),
    )


def _prices(fields: Fields, routes: Mapping[str, Route]) -> tuple[tuple[str, int], ...]:
    path = (*fields.path, "prices")
    find = existing("route", routes.keys())
    found: dict[str, int] = {}
    raw: dict[str, Any] = fields.take("prices", parse_table, {})
    for name, price in raw.items():
        try:
            find(name)
            if routes[name].auth == "none":
                raise ValueError('the route has auth "none" and knows no caller to charge')
            found[name] = units.parse_money_nanos(price)
        except ValueError as error:
            fields.report.refuse((*path, name), str(error), price)
    return tuple(found.items())


def parse_quota(value: object) -> int:
    """Calls or tokens in a window, at least 1: who may not call at all has a suspended account."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= QUOTA_MAX:
        return value
    raise ValueError(f"must be an integer from 1 to {QUOTA_MAX}; leave it out for no quota")


def parse_timezone(value: object) -> str:
    """A name of the IANA time zone database that this machine, or the package tzdata, knows."""
    try:
        if isinstance(value, str):
            return ZoneInfo(value).key
    except (LookupError, ValueError, OSError):  # not there; not a name; a directory
        pass
    close = get_close_matches(str(value)[:64], _zones(), n=1)
    advice = f"did you mean {close[0]}?" if close else 'like "Europe/Madrid" or "UTC"'
    raise ValueError(f"must be a time zone of the IANA database, {advice}")


@cache
def _zones() -> list[str]:
    return sorted(available_timezones())
