"""Decides what the arrays of tables may say together, and what [[routes]], [[accounts]] and [[keys]] do each.

Every table is read to its end whatever is wrong: a refused value is reported and a harmless one stands in.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct

from .. import identities, units
from ..model import Account, Key, Model, Plan, Prompt, Provider, Route, Secret, Tag, Upstream
from ..refusals import DIALECTS
from ..scopes import scope
from ..settings import CONNECTION_FIELDS, TOKEN
from .ai_routes import expanded, refuse_meaningless, refuse_unreached
from .environment import headers
from .fields import (
    Fields,
    Report,
    array_of_tables,
    dotted,
    duration,
    existing,
    one_of,
    parse_account_name,
    parse_amount,
    parse_boolean,
    parse_expires_s,
    parse_host,
    parse_key,
    parse_label,
    parse_path,
    parse_period,
    parse_slug,
)
from .manual import ACCOUNTS, KEYS, ROUTES
from .models import read_models
from .plans import read_plans
from .prices import Library
from .prompts import read_prompts
from .providers import Offer, parse_pattern, read_providers
from .tags import given_to_tags, read_tags
from .toml_lines import Path
from .upstreams import read_upstream

ARRAYS = ("upstreams", "routes", "accounts", "keys", "plans", "providers", "models", "tags", "prompts")

_METHOD = re.compile(r"[A-Z][A-Z0-9_-]{0,31}")
_HTTP_AGAIN = re.compile(r"(?:h2c?|h3|https?|tls)(?:/.*)?")


def _method(value: Any) -> str:
    if isinstance(value, str) and _METHOD.fullmatch(value) and value != "CONNECT":
        return value
    raise ValueError("must be a method in upper case, like GET, and not CONNECT")


class Tables(Struct, frozen=True):
    """What the arrays of tables hold."""

    upstreams: tuple[Upstream, ...]
    routes: tuple[Route, ...]
    accounts: tuple[Account, ...]
    keys: tuple[Key, ...]
    plans: tuple[Plan, ...]
    providers: tuple[Provider, ...]
    models: tuple[Model, ...]
    tags: tuple[Tag, ...] = ()
    prompts: tuple[Prompt, ...] = ()


def read_tables(
    document: Mapping[str, Any], report: Report, environ: Mapping[str, str], accounts_elsewhere: bool
) -> Tables:
    """The arrays of tables of a document, problems going to `report`.

    With `accounts_elsewhere` a file that is not read here has accounts: a key's account is not looked up.
    """
    tables = {name: array_of_tables(document, name, report) for name in ARRAYS}
    upstreams = tuple(read_upstream(report, index, raw) for index, raw in enumerate(tables["upstreams"]))
    upstream_names = _names(report, "upstreams", tables["upstreams"])
    library = Library()
    offers = read_providers(report, tables["providers"], environ, library)
    _names(report, "providers", tables["providers"])
    _refuse_same_upstreams(report, offers, upstream_names)
    models = read_models(report, tables["models"], offers, library)
    _names(report, "models", tables["models"])
    _names(report, "routes", tables["routes"])
    read = [_route(report, index, raw, upstream_names, environ) for index, raw in enumerate(tables["routes"])]
    routes = expanded(report, read, models)
    prompts, called = read_prompts(report, tables["prompts"], models)
    _refuse_same_routes(report, called, {route.name for route in read})
    _refuse_overlaps(report, [*_placed("routes", routes), *_placed("prompts", called)])
    routes += called
    refuse_unreached(report, models, routes)
    named = (*read, *(route for _, route in called))
    plans = read_plans(report, tables["plans"], {route.name: route for route in named if route.name})
    plan_names = _names(report, "plans", tables["plans"])
    accounts = tuple(_account(report, index, raw, plan_names) for index, raw in enumerate(tables["accounts"]))
    account_names = _names(report, "accounts", tables["accounts"])
    keys = tuple(
        _key(report, index, raw, None if accounts_elsewhere else account_names)
        for index, raw in enumerate(tables["keys"])
    )
    _refuse_twins(report, keys)
    tags = read_tags(report, tables["tags"], None if accounts_elsewhere else account_names)
    if not report.problems:
        _refuse_costs_without_hold(report, read, plans)
    upstreams += tuple(offer.upstream for offer in offers.values())
    providers = tuple(offer.provider for offer in offers.values())
    served = tuple(route for _, route in routes)
    return Tables(upstreams, served, accounts, keys, plans, providers, models, tags, prompts)


def _names(report: Report, array: str, tables: list[Any]) -> frozenset[str]:
    """All names written in an array, each refused where it is there a second time."""
    first: dict[str, Path] = {}
    for index, raw in enumerate(tables):
        name = raw.get("name") if isinstance(raw, dict) else None
        if isinstance(name, str):
            path: Path = (array, index, "name")
            if name in first:
                report.refuse(path, f"is already taken at {report.locate(first[name])}", name)
            first.setdefault(name, path)
    return frozenset(first)


_CHARGING = (
    "price", "rate", "burst", "charge", "cost_header", "units_header", "unit_price", "idempotency", "minute_price",
    "mib_price",
)  # fmt: skip
_WINDOW_MAX_MS = 7 * 86_400_000


def _route(report: Report, index: int, raw: Any, upstreams: frozenset[str], environ: Mapping[str, str]) -> Route:
    path: Path = ("routes", index)
    fields = Fields(report, path, raw, ROUTES.names)
    to_models = "models" in fields.raw
    upstream = fields.take if to_models else fields.require
    route = Route(
        name=fields.require("name", parse_slug, ""),
        path=fields.require("path", parse_path, ""),
        hosts=fields.each("hosts", parse_host),
        methods=fields.each("methods", _method),
        upstream=upstream("upstream", existing("upstream", upstreams), ""),
        models=fields.each("models", parse_pattern),
        auth=fields.take("auth", one_of("key", "none"), "key"),
        price_nanos=fields.take("price", units.parse_money_nanos, 0),
        rate=fields.rate(),
        dialect=fields.take("dialect", one_of(*DIALECTS), "problem"),
        forward_key=fields.take("forward_key", parse_boolean, False),
        preserve_host=fields.take("preserve_host", parse_boolean, False),
        set_headers=headers(fields, "set_headers", environ),
        charge=fields.take("charge", one_of("served", "2xx", "always"), "served"),
        cost_header=fields.take("cost_header", _answer_header, ""),
        units_header=fields.take("units_header", _answer_header, ""),
        unit_price_nanos=fields.take("unit_price", parse_amount, 0),
        idempotency_window_ms=fields.take("idempotency", duration(1_000, _WINDOW_MAX_MS, zero=True), 0),
        upgrades=fields.each("upgrades", _protocol) if "upgrades" in fields.raw else ("websocket",),
        minute_price_nanos=fields.take("minute_price", parse_amount, 0),
        mib_price_nanos=fields.take("mib_price", parse_amount, 0),
    )
    if to_models:
        refuse_meaningless(fields)
        if fields.raw["models"] == []:
            report.refuse((*path, "models"), "must name a model, or * for all of them")
        return route
    _refuse_two_costs(fields)
    for name in ("minute_price", "mib_price"):
        if name in fields.raw and not route.upgrades:
            report.refuse((*path, name), "is of a tunnel, and upgrades names no protocol", fields.raw[name])
    if route.auth == "none":
        for name in _CHARGING:
            if name in fields.raw and not (name == "price" and route.price_nanos == 0):
                rule = 'a route with auth "none" knows no caller to charge or limit'
                report.refuse((*path, name), rule, fields.raw[name])
    return route


def _protocol(value: Any) -> str:
    """A protocol of Upgrade. What carries HTTP again would carry requests past the gateway, and TLS hides them."""
    if isinstance(value, str) and all(map(TOKEN.fullmatch, value.split("/", 1))):
        name = value.lower()
        if not _HTTP_AGAIN.fullmatch(name):
            return name
    raise ValueError('must be the name of a protocol like "websocket", but for HTTP and TLS: no h2c')


def _answer_header(value: Any) -> str:
    if isinstance(value, str) and TOKEN.fullmatch(value) and value.lower() not in CONNECTION_FIELDS:
        return value.lower()
    raise ValueError('must be the name of an end-to-end header of the upstream\'s answer, like "x-cost"')


def _refuse_two_costs(fields: Fields) -> None:
    """A cost is said as money by one header, or as a number of units at a price each by another."""
    raw, report, path = fields.raw, fields.report, fields.path
    if "units_header" in raw and "cost_header" in raw:
        report.refuse((*path, "units_header"), "an upstream names the cost or the units, and cost_header is there too")
    elif "units_header" in raw and "unit_price" not in raw:
        report.refuse((*path, "units_header"), "needs a unit_price", raw["units_header"])
    if "unit_price" in raw and "units_header" not in raw:
        report.refuse((*path, "unit_price"), "needs a units_header, which says how many units", raw["unit_price"])


def _refuse_costs_without_hold(report: Report, routes: Sequence[Route], plans: tuple[Plan, ...]) -> None:
    """What the upstream's answer says is charged up to the price, so without one it could only be nothing."""
    priced = {name for plan in plans for name, price in plan.prices if price}
    for index, route in enumerate(routes):
        name = "cost_header" if route.cost_header else "units_header"
        value = getattr(route, name)
        if value and not route.price_nanos and route.name not in priced:
            rule = "needs a price: it is held before the call, and the most that is charged"
            report.refuse(("routes", index, name), rule, value)


def _refuse_same_upstreams(report: Report, offers: Mapping[str, Offer], upstreams: frozenset[str]) -> None:
    """A provider makes an upstream of its name."""
    for name, offer in offers.items():
        if name in upstreams:
            rule = "is the name of one of [[upstreams]] already, and a provider makes one of its own"
            report.refuse((*offer.path, "name"), rule, name)


def _refuse_same_routes(report: Report, called: Sequence[tuple[int, Route]], names: Collection[str]) -> None:
    """A prompt is a route of its name."""
    for index, name in {index: route.name for index, route in reversed(called)}.items():
        if name and name in names:
            report.refuse(("prompts", index, "name"), "is the name of one of [[routes]] already", name)


def _placed(array: str, routes: Sequence[tuple[int, Route]]) -> list[tuple[Path, Route]]:
    return [((array, index), route) for index, route in routes]


def _refuse_overlaps(report: Report, routes: Sequence[tuple[Path, Route]]) -> None:
    """Refuse a route of which some request would match an earlier one equally well."""
    by_place: dict[tuple[str, str], list[tuple[Path, Route]]] = {}
    for place, route in routes:
        if not route.path:
            continue
        rivals = [rival for host in route.hosts or ("",) for rival in by_place.get((host, route.path), [])]
        for rival, other in rivals:
            if not route.methods or not other.methods or set(route.methods) & set(other.methods):
                where = report.locate((*rival, "path"))
                rule = f"{dotted(rival)} at {where} has the same host and path and overlapping methods"
                report.refuse((*place, "path"), rule, route.path)
                break
        for host in route.hosts or ("",):
            by_place.setdefault((host, route.path), []).append((place, route))


def _account(report: Report, index: int, raw: Any, plans: frozenset[str]) -> Account:
    fields = Fields(report, ("accounts", index), raw, ACCOUNTS.names)
    account = Account(
        name=fields.require("name", parse_account_name, ""),
        balance_nanos=fields.take("balance", units.parse_money_nanos, 0),
        credit_nanos=fields.take("credit", units.parse_money_nanos, 0),
        plan=fields.take("plan", existing("plan", plans), ""),
        expires_s=fields.take("expires", parse_expires_s, 0),
        suspended=fields.take("suspended", parse_boolean, False),
        **given_to_tags(fields),
    )
    try:
        check_account(account)
    except ValueError as error:
        report.refuse(("accounts", index, "credit"), str(error), fields.raw["credit"])
    return account


def check_account(account: Account) -> Account:
    """What may be spent at once is compared in one signed 64-bit word."""
    if account.balance_nanos + account.credit_nanos > units.MONEY_MAX_NANOS:
        raise ValueError(f"balance and credit together must be at most {units.MONEY_MAX_UNITS}")
    return account


def _key(report: Report, index: int, raw: Any, accounts: frozenset[str] | None) -> Key:
    fields = Fields(report, ("keys", index), raw, KEYS.names)

    def declared(value: Any) -> str:
        if accounts is None or not isinstance(value, str) or value in accounts:
            return parse_account_name(value)
        raise ValueError("no account has this name")

    if "budget_period" in fields.raw and "budget" not in fields.raw:
        report.refuse((*fields.path, "budget_period"), "needs a budget", fields.raw["budget_period"])
    key = fields.take("key", parse_key, "", secret=True)
    certificate = fields.take("certificate", identities.of_text, "")
    if "certificate" in fields.raw and "key" in fields.raw:
        report.refuse((*fields.path, "certificate"), "is a key by itself, and key is there too")
    elif fields.is_table and "certificate" not in fields.raw and "key" not in fields.raw:
        report.refuse((*fields.path, "key"), "is missing")
    return Key(
        account=fields.require("account", declared, ""),
        key=Secret(key or certificate),
        name=fields.take("name", parse_label, ""),
        rate=fields.rate(),
        expires_s=fields.take("expires", parse_expires_s, 0),
        revoked=fields.take("revoked", parse_boolean, False),
        budget_nanos=fields.take("budget", parse_amount, 0),
        budget_period=fields.take("budget_period", parse_period, ""),
        token_rate=fields.token_rate(),
        models=_scope(fields),
    )


def _scope(fields: Fields) -> tuple[str, ...]:
    """What a key may ask for."""
    raw = fields.raw.get("models")
    models = fields.each("models", parse_pattern)
    if not isinstance(raw, list) or len(models) < len(raw):
        return ()  # nothing is said, or something has been refused
    try:
        return scope(models)
    except ValueError as error:
        fields.report.refuse((*fields.path, "models"), str(error))
        return ()


def _refuse_twins(report: Report, keys: tuple[Key, ...]) -> None:
    first: dict[str, int] = {}
    for index, key in enumerate(keys):
        text = key.key.reveal()
        if text and first.setdefault(text, index) != index:
            field = "certificate" if text.startswith(identities.MARK) else "key"
            where = report.locate(("keys", first[text], field))
            report.refuse(("keys", index, field), f"is the same as keys[{first[text]}].{field} at {where}")
