"""Decides what [[upstreams]], [[routes]], [[accounts]] and [[keys]] may say, and makes the model of them.

Every table is read to its end whatever is wrong: a refused value is reported and a harmless one stands in.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from difflib import get_close_matches
from typing import Any, TypeVar

from .. import addresses, units
from ..model import Account, Key, Problem, Rate, Route, Secret, Target, Upstream
from ..settings import CONNECTION_FIELDS, TOKEN
from .toml_lines import Path

T = TypeVar("T")
Convert = Callable[[Any], T]
ARRAYS = ("upstreams", "routes", "accounts", "keys")

_SLUG = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@:+-]{0,62}")
_LABEL = re.compile(r"[ !#-\[\]-~]{1,63}")
_KEY = re.compile(r"[!#-&(-+\--~]{8,256}")
_METHOD = re.compile(r"[A-Z][A-Z0-9_-]{0,31}")
_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")  # RFC 3986 §3.3
_DOT_SEGMENT = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_FIELD_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")  # RFC 9110 §5.5, ASCII only
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class _HoldsSecretError(ValueError):
    """The refused value must not be shown."""


class Report:
    """Collects problems; `locate` turns a path of the document into "fastgw.toml:12" or "--price"."""

    def __init__(self, locate: Callable[[Path], str]) -> None:
        self.locate = locate
        self.problems: list[Problem] = []

    def refuse(self, path: Path, rule: str, value: object = None) -> None:
        """Add `where: path = value: rule`; without a value (a secret, or none there) `where: path: rule`."""
        shown = "" if value is None else f" = {show(value)}"
        self.problems.append(Problem(self.locate(path), f"{dotted(path)}{shown}: {rule}"))


def dotted(path: Path) -> str:
    """("routes", 0, "price") → "routes[0].price"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def show(value: object) -> str:
    """A value as TOML has it, cut at 80 characters; what tables and arrays hold is not shown."""
    match value:
        case dict():
            return "{…}"
        case list():
            return "[…]"
        case bool():
            return str(value).lower()
        case date() | time():
            return value.isoformat()
        case str():
            text = json.dumps(value)
        case _:
            text = str(value)
    return text if len(text) <= 80 else text[:79] + "…"


def unknown(name: str, allowed: Sequence[str]) -> str:
    """The rule that refuses a name nobody knows, with the likeliest one that was meant."""
    close = get_close_matches(name, allowed, n=1)
    return f"unknown, did you mean {close[0]}?" if close else f"unknown, allowed are {', '.join(allowed)}"


class Fields:
    """One table being read."""

    def __init__(self, report: Report, path: Path, raw: Any, allowed: Sequence[str]) -> None:
        self.report, self.path = report, path
        self.is_table = isinstance(raw, dict)
        self.raw: Mapping[str, Any] = raw if self.is_table else {}
        if not self.is_table:
            report.refuse(path, "must be a table")
        for name in self.raw:
            if name not in allowed:
                report.refuse((*path, name), unknown(name, allowed))

    def take(self, name: str, convert: Convert[T], stand_in: T, secret: bool = False) -> T:
        """The converted value of `name`, or `stand_in` where it is absent or refused."""
        if name not in self.raw:
            return stand_in
        found: T = self._convert((*self.path, name), self.raw[name], convert, stand_in, secret)
        return found

    def require(self, name: str, convert: Convert[T], stand_in: T, secret: bool = False) -> T:
        if name not in self.raw and self.is_table:
            self.report.refuse((*self.path, name), "is missing")
        return self.take(name, convert, stand_in, secret)

    def each(self, name: str, convert: Convert[T]) -> tuple[T, ...]:
        """The converted elements of an array without the refused ones; a repeated one is refused."""
        values = self.raw.get(name, [])
        if not isinstance(values, list):
            self.report.refuse((*self.path, name), "must be an array", values)
            return ()
        found: list[T] = []
        for index, value in enumerate(values):
            path = (*self.path, name, index)
            converted = self._convert(path, value, convert, None, secret=False)
            if converted is not None and converted in found:
                self.report.refuse(path, "is there twice", value)
            elif converted is not None:
                found.append(converted)
        return tuple(found)

    def _convert(self, path: Path, value: object, convert: Convert[T], stand_in: Any, secret: bool) -> Any:
        try:
            return convert(value)
        except ValueError as error:
            hidden = secret or isinstance(error, _HoldsSecretError)
            self.report.refuse(path, str(error), None if hidden else value)
            return stand_in

    def rate(self) -> Rate | None:
        """The bucket of `rate` and `burst`; where burst is not said it is what one period gives."""
        limit = self.take("rate", units.parse_rate, None)
        burst = self.take("burst", units.parse_burst, None)
        if "rate" not in self.raw and burst is not None:
            self.report.refuse((*self.path, "burst"), "needs a rate", burst)
        if limit is None:
            return None
        try:
            return bucket(limit, burst)
        except ValueError as error:
            which = "rate" if burst is None else "burst"
            self.report.refuse((*self.path, which), str(error), self.raw[which])
            return None


def bucket(limit: tuple[int, int], burst: int | None) -> Rate:
    """A `Rate` of (count, period_ns) and a burst, None for the count; too deep a one raises `ValueError`."""
    count, period_ns = limit
    rate = Rate(count, period_ns, min(count, units.BURST_MAX) if burst is None else burst)
    units.check_refill(rate.count, rate.period_ns, rate.burst)
    return rate


def _matching(form: re.Pattern[str], rule: str) -> Convert[str]:
    def convert(value: Any) -> str:
        if isinstance(value, str) and form.fullmatch(value):
            return value
        raise ValueError(rule)

    return convert


def _one_of(*choices: str) -> Convert[str]:
    def convert(value: Any) -> str:
        if value in choices:
            return str(value)
        raise ValueError("must be " + " or ".join(f'"{choice}"' for choice in choices))

    return convert


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("must be true or false")


def _table(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise ValueError('must be a table, like { authorization = "Bearer ${NAME}" }')


_slug = _matching(_SLUG, "must be 1 to 63 of a-z 0-9 _ . - and start with a letter or digit")
parse_account_name = _matching(_ACCOUNT, "must be 1 to 63 of A-Z a-z 0-9 _ . @ : + - and start with a letter or digit")
parse_label = _matching(_LABEL, 'must be 1 to 63 printable ASCII characters without " and \\')
parse_key = _matching(
    _KEY, "must be 8 to 256 printable ASCII characters without space, comma and quotes (value not shown)"
)


def _target(value: Any) -> Target:
    if isinstance(value, str) and "@" in value:
        raise _HoldsSecretError("must not hold credentials; send them with a route's set_headers")
    return Target(*addresses.split_target(value))


def _route_path(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError('must be a path that starts with "/"')
    if _DOT_SEGMENT.search(value) or "%2e" in value.lower():
        raise ValueError("must have no dot segments (/./ or /../) and no percent-encoded dots")
    if "//" in value:
        raise ValueError("must have no empty segments (//)")
    if not _PATH.fullmatch(value) or len(value) > 1024:
        raise ValueError("must be at most 1024 ASCII characters of a URL's path: no query, no fragment, no space")
    return value


def _route_host(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    host = addresses.parse_host(text)
    if host is None:
        raise ValueError('must be an exact host name without port, like "api.example.com"')
    return f"[{host}]" if text.startswith("[") else host


def _method(value: Any) -> str:
    if isinstance(value, str) and _METHOD.fullmatch(value) and value != "CONNECT":
        return value
    raise ValueError("must be a method in upper case, like GET, and not CONNECT")


def _expires_s(value: Any) -> int:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("must be a date and time with offset, without quotes, like 2027-01-31T00:00:00Z")
    return check_expires_s(value)


def check_expires_s(moment: datetime) -> int:
    """Unix seconds of a moment with offset, rounded down."""
    seconds = int(moment.timestamp())
    if seconds < 1:
        raise ValueError("must be later than 1970")
    return seconds


def read_tables(
    document: Mapping[str, Any], report: Report, environ: Mapping[str, str], accounts_elsewhere: bool
) -> tuple[tuple[Upstream, ...], tuple[Route, ...], tuple[Account, ...], tuple[Key, ...]]:
    """The four arrays of tables of a document, problems going to `report`.

    With `accounts_elsewhere` a file that is not read here has accounts: a key's account is not looked up.
    """
    tables = {name: _array(document, name, report) for name in ARRAYS}
    upstreams = tuple(_upstream(report, index, raw) for index, raw in enumerate(tables["upstreams"]))
    upstream_names = _names(report, "upstreams", tables["upstreams"])
    _names(report, "routes", tables["routes"])
    routes = tuple(_route(report, index, raw, upstream_names, environ) for index, raw in enumerate(tables["routes"]))
    _refuse_overlaps(report, routes)
    accounts = tuple(_account(report, index, raw) for index, raw in enumerate(tables["accounts"]))
    account_names = _names(report, "accounts", tables["accounts"])
    keys = tuple(
        _key(report, index, raw, None if accounts_elsewhere else account_names)
        for index, raw in enumerate(tables["keys"])
    )
    _refuse_twins(report, keys)
    return upstreams, routes, accounts, keys


def _array(document: Mapping[str, Any], name: str, report: Report) -> list[Any]:
    value = document.get(name, [])
    if isinstance(value, list):
        return value
    report.refuse((name,), f"must be an array of tables, written [[{name}]]")
    return []


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


def _upstream(report: Report, index: int, raw: Any) -> Upstream:
    fields = Fields(report, ("upstreams", index), raw, ("name", "targets"))
    name = fields.require("name", _slug, "")
    if fields.is_table and fields.raw.get("targets", []) == []:
        report.refuse(("upstreams", index, "targets"), 'needs at least one target, like ["http://127.0.0.1:9001"]')
    return Upstream(name, fields.each("targets", _target))


_ROUTE_FIELDS = (
    "name", "path", "hosts", "methods", "upstream", "auth", "price", "rate", "burst", "dialect",
    "forward_key", "preserve_host", "set_headers",
)  # fmt: skip


_KEY_FIELDS = ("account", "key", "name", "rate", "burst", "expires", "revoked")


def _route(report: Report, index: int, raw: Any, upstreams: frozenset[str], environ: Mapping[str, str]) -> Route:
    path: Path = ("routes", index)
    fields = Fields(report, path, raw, _ROUTE_FIELDS)

    def existing(value: Any) -> str:
        if isinstance(value, str) and value in upstreams:
            return value
        known = ", ".join(sorted(upstreams)) or "none"
        raise ValueError(f"no upstream has this name; there is {known}")

    route = Route(
        name=fields.require("name", _slug, ""),
        path=fields.require("path", _route_path, ""),
        hosts=fields.each("hosts", _route_host),
        methods=fields.each("methods", _method),
        upstream=fields.require("upstream", existing, ""),
        auth=fields.take("auth", _one_of("key", "none"), "key"),
        price_nanos=fields.take("price", units.parse_money_nanos, 0),
        rate=fields.rate(),
        dialect=fields.take("dialect", _one_of("problem", "openai"), "problem"),
        forward_key=fields.take("forward_key", _boolean, False),
        preserve_host=fields.take("preserve_host", _boolean, False),
        set_headers=_set_headers(fields, environ),
    )
    if route.auth == "none":
        for name in ("price", "rate", "burst"):
            if name in fields.raw and not (name == "price" and route.price_nanos == 0):
                rule = 'a route with auth "none" knows no caller to charge or limit'
                report.refuse((*path, name), rule, fields.raw[name])
    return route


def _set_headers(fields: Fields, environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    report, path = fields.report, (*fields.path, "set_headers")
    found: dict[str, str] = {}
    raw: dict[str, Any] = fields.take("set_headers", _table, {}, secret=True)
    for name, value in raw.items():
        lower = name.lower()
        if not TOKEN.fullmatch(name):
            report.refuse((*path, name), "must be a header name, an RFC 9110 token")
        elif lower in CONNECTION_FIELDS:
            report.refuse((*path, name), "belongs to the connection and is set by the gateway")
        elif lower in found:
            report.refuse((*path, name), "is there twice; header names ignore case")
        else:
            try:
                found[lower] = _expand(value, environ)
            except ValueError as error:
                report.refuse((*path, name), str(error))
    return tuple(found.items())


def _expand(value: Any, environ: Mapping[str, str]) -> str:
    """A header's value with every ${NAME} replaced from the environment; no message repeats the value."""
    if not isinstance(value, str):
        raise ValueError("must be a string")
    if "${" in _REFERENCE.sub("", value):
        raise ValueError("a reference to the environment is written ${NAME}")
    missing = [name for name in _REFERENCE.findall(value) if not environ.get(name)]
    if missing:
        raise ValueError(f"the environment has no {', '.join(dict.fromkeys(missing))}")
    expanded = _REFERENCE.sub(lambda match: environ[match[1]], value)
    if not _FIELD_VALUE.fullmatch(expanded) or len(expanded) > 4096:
        raise ValueError("must be 1 to 4096 printable ASCII characters, no space at either end (value not shown)")
    return expanded


def _refuse_overlaps(report: Report, routes: tuple[Route, ...]) -> None:
    """Refuse a route of which some request would match an earlier one equally well."""
    by_place: dict[tuple[str, str], list[int]] = {}
    for index, route in enumerate(routes):
        if not route.path:
            continue
        rivals = [i for host in route.hosts or ("",) for i in by_place.get((host, route.path), [])]
        for rival in rivals:
            other = routes[rival]
            if not route.methods or not other.methods or set(route.methods) & set(other.methods):
                where = report.locate(("routes", rival, "path"))
                rule = f"routes[{rival}] at {where} has the same host and path and overlapping methods"
                report.refuse(("routes", index, "path"), rule, route.path)
                break
        for host in route.hosts or ("",):
            by_place.setdefault((host, route.path), []).append(index)


def _account(report: Report, index: int, raw: Any) -> Account:
    fields = Fields(report, ("accounts", index), raw, ("name", "balance", "credit"))
    account = Account(
        name=fields.require("name", parse_account_name, ""),
        balance_nanos=fields.take("balance", units.parse_money_nanos, 0),
        credit_nanos=fields.take("credit", units.parse_money_nanos, 0),
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
    fields = Fields(report, ("keys", index), raw, _KEY_FIELDS)

    def existing(value: Any) -> str:
        if accounts is None or not isinstance(value, str) or value in accounts:
            return parse_account_name(value)
        raise ValueError("no account has this name")

    return Key(
        account=fields.require("account", existing, ""),
        key=Secret(fields.require("key", parse_key, "", secret=True)),
        name=fields.take("name", parse_label, ""),
        rate=fields.rate(),
        expires_s=fields.take("expires", _expires_s, 0),
        revoked=fields.take("revoked", _boolean, False),
    )


def _refuse_twins(report: Report, keys: tuple[Key, ...]) -> None:
    first: dict[str, int] = {}
    for index, key in enumerate(keys):
        text = key.key.reveal()
        if text and first.setdefault(text, index) != index:
            where = report.locate(("keys", first[text], "key"))
            report.refuse(("keys", index, "key"), f"is the same as keys[{first[text]}].key at {where}")
