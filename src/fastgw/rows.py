"""Decides what compiled code reads of the configuration: routes and plans as rows of plain values."""

from collections.abc import Sequence
from typing import NamedTuple

from . import refusals
from ._routes import RouteTable
from ._segment import Segment
from .model import Candidate, Config, Plan, Rate, Route

MODEL_BYTES = 127  # of kernels/layout.pxd's model_name_t, but for the zero at its end

# Bits by kernels/head.pxd's method_t.
METHODS = {
    "GET": 1, "HEAD": 2, "POST": 3, "PUT": 4, "DELETE": 5, "PATCH": 6, "OPTIONS": 7,
}  # fmt: skip


class RouteRow(NamedTuple):
    """A route as `fastgw._routes.RouteTable` reads it; `slot` is its place in the segment.

    `plan_prices` has the price in nanos by plan slot, for plans that have one of their own.
    """

    name: bytes
    slot: int
    path: bytes
    hosts: tuple[bytes, ...]
    methods: int
    price_nanos: int
    rate: Rate | None
    needs_key: bool
    forward_key: bool
    preserve_host: bool
    dialect: int
    set_lines: bytes
    drop: tuple[bytes, ...]
    plan_prices: dict[int, int]


class PlanRow(NamedTuple):
    """A plan: its place in the segment (1 or more), its rate for each account, its quotas in calls (0: none), and the
    same in tokens."""

    slot: int
    rate: Rate | None
    day_quota: int
    month_quota: int
    token_rate: Rate | None = None
    day_tokens: int = 0
    month_tokens: int = 0


def method_mask(methods: Sequence[str]) -> int:
    """One bit a method, 0 for any; whoever takes GET takes HEAD (RFC 9110 §9.3.2)."""
    mask = sum(1 << METHODS[method] for method in set(methods))
    return mask | 1 << METHODS["HEAD"] if mask >> METHODS["GET"] & 1 else mask


def route_row(route: Route, slot: int, plan_prices: dict[int, int]) -> RouteRow:
    return RouteRow(
        name=route.name.encode(),
        slot=slot,
        path=route.path.encode(),
        hosts=tuple(host.encode() for host in route.hosts),
        methods=method_mask(route.methods),
        price_nanos=route.price_nanos,
        rate=route.rate,
        needs_key=route.auth == "key",
        forward_key=route.forward_key,
        preserve_host=route.preserve_host,
        dialect=refusals.DIALECTS.index(route.dialect),
        set_lines="".join(f"{name}: {value}\r\n" for name, value in route.set_headers).encode("latin-1"),
        drop=tuple(name.encode() for name, _ in route.set_headers),
        plan_prices=plan_prices,
    )


def plan_row(plan: Plan, slot: int) -> PlanRow:
    calls = (plan.rate, plan.day_quota, plan.month_quota)
    return PlanRow(slot, *calls, plan.token_rate, plan.day_tokens, plan.month_tokens)


def served_name(candidate: Candidate) -> str:
    """What a served model is called in metrics and the call log: "provider/model", what has room of it."""
    return f"{candidate.provider}/{candidate.model}".encode()[:MODEL_BYTES].decode(errors="ignore")


def claim_numbers(segment: Segment, config: Config) -> None:
    """Give every route its slot, and every model that may serve its number, as far as they have none. By the one writer
    of the segment's tables. Raises SegmentError: no room."""
    for route in config.routes:
        segment.route_slot(route.name)
    for model in config.models:
        for candidate in model.candidates:
            segment.model_number(served_name(candidate))


def build_rows(segment: Segment, config: Config) -> tuple[list[RouteRow], list[PlanRow]]:
    """The routes in the order of the configuration, and the plans.

    Their names must be in the segment already. Raises KeyError for one that is not.
    """
    routes = {name: slot for slot, name in enumerate(segment.routes())}
    plans = {name: slot for slot, name in enumerate(segment.plans(), 1)}
    prices: dict[str, dict[int, int]] = {}
    for plan in config.plans:
        for name, price_nanos in plan.prices:
            prices.setdefault(name, {})[plans[plan.name]] = price_nanos
    return (
        [route_row(route, routes[route.name], prices.get(route.name, {})) for route in config.routes],
        [plan_row(plan, plans[plan.name]) for plan in config.plans],
    )


def quoting_table(segment: Segment, config: Config) -> RouteTable:
    """A table for quotes alone, of the routes in the order of the configuration."""
    return RouteTable(segment, 0, *build_rows(segment, config))
