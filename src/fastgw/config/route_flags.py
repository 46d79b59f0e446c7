"""Decides what `fastgw serve --upstream URL …` means: the tables that a file would have for that route."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from .. import units
from ..model import Problem
from .toml_lines import Path

NAME = "default"  # of the upstream, the route and the account


class RouteFlag(Struct, frozen=True):
    """One row: a flag of `serve` besides the settings; `separator` parts several values in one variable."""

    name: str
    metavar: str
    help: str
    separator: str = ""
    is_switch: bool = False

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "FASTGW_" + self.name.upper()


ROUTE_FLAGS: tuple[RouteFlag, ...] = (
    RouteFlag("upstream", "URL", "Forward to this server, e.g. http://127.0.0.1:9001."),
    RouteFlag("path", "PATH", "Only paths under this prefix; others get 404. [default: /]"),
    RouteFlag("price", "AMOUNT", "Price of a call, e.g. 0.001; needs --balance. [default: 0]"),
    RouteFlag("rate", "N/UNIT", "Calls of each key per s, m, h or d, e.g. 100/s. [default: no limit]"),
    RouteFlag("burst", "N", "Calls that a key may make at once. [default: the N of --rate]"),
    RouteFlag("key", "KEY", "A key that may call; repeat for more. Other users of this machine see it in ps: "
                            "better set FASTGW_KEY, with commas between several.", separator=","),
    RouteFlag("balance", "AMOUNT", "Prepaid money that the keys share. [default: 0]"),
    RouteFlag("no_auth", "", "Forward every call without asking for a key.", is_switch=True),
    RouteFlag("dialect", "NAME", "Form of refusals: problem (RFC 9457), openai or anthropic. [default: problem]"),
    RouteFlag("set_header", "'NAME: VALUE'", "Set a header on the upstream's request, ${VAR} from the "
                                             "environment; repeat for more.", separator="\n"),
)  # fmt: skip
_ORIGIN: Mapping[Path, str] = {
    ("routes", 0, "path"): "path",
    ("routes", 0, "price"): "price",
    ("routes", 0, "rate"): "rate",
    ("routes", 0, "burst"): "burst",
    ("routes", 0, "auth"): "no_auth",
    ("routes", 0, "dialect"): "dialect",
    ("routes", 0, "set_headers"): "set_header",
    ("accounts", 0, "balance"): "balance",
}


class Given(Struct, frozen=True):
    """One flag or variable as it was given: a string, several, or True for a switch."""

    value: Any
    where: str


def collect(flags: Mapping[str, object], environ: Mapping[str, str], problems: list[Problem]) -> dict[str, Given]:
    """What is given by flag or, failing that, by a variable that is not empty."""
    given: dict[str, Given] = {}
    for row in ROUTE_FLAGS:
        if row.name in flags:
            given[row.name] = Given(flags[row.name], row.flag)
        elif text := environ.get(row.variable):
            value: object = text
            if row.separator:
                value = tuple(part.strip() for part in text.split(row.separator) if part.strip())
            elif row.is_switch:
                value = units.switch_in(text)
            if value is None:
                problems.append(Problem(row.variable, "must be 1 or 0"))
            elif value is not False:
                given[row.name] = Given(value, row.variable)
    return given


def refuse_incomplete(given: Mapping[str, Given], has_keys_file: bool, has_accounts_file: bool) -> list[Problem]:
    """What is missing from, or at odds in, the flags of a route with an upstream."""
    problems = []
    if "no_auth" in given:
        problems += [
            Problem(given[name].where, "has no meaning together with --no-auth")
            for name in ("key", "balance")
            if name in given
        ]
    elif "key" not in given and not has_keys_file:
        rule = "nobody could call: add --key KEY (or FASTGW_KEY), or --keys-file FILE, or --no-auth to let everyone in"
        problems.append(Problem(given["upstream"].where, rule))
    if "price" in given and "balance" not in given and "no_auth" not in given and not has_accounts_file:
        try:
            is_free = units.parse_money_nanos(given["price"].value) == 0
        except ValueError:
            is_free = True  # refused as a price
        if not is_free:
            price = given["price"].value
            rule = f'routes[0].price = "{price}": needs --balance AMOUNT, or no call could ever be paid'
            problems.append(Problem(given["price"].where, rule))
    return problems


def document(given: Mapping[str, Given], problems: list[Problem]) -> dict[str, Any]:
    """The document that a file would have held: one upstream, route and account, and the keys."""
    route: dict[str, Any] = {"name": NAME, "path": "/", "upstream": NAME}
    route |= {name: given[name].value for name in ("path", "price", "rate", "dialect") if name in given}
    if "burst" in given:
        burst = given["burst"].value
        number = units.integer_in(burst) if isinstance(burst, str) else None
        route["burst"] = burst if number is None else number
    if "set_header" in given:
        route["set_headers"] = _headers(given["set_header"], problems)
    tables: dict[str, Any] = {
        "upstreams": [{"name": NAME, "targets": [given["upstream"].value]}],
        "routes": [route],
    }
    if "no_auth" in given:
        route["auth"] = "none"
        return tables
    account = {"name": NAME} | ({"balance": given["balance"].value} if "balance" in given else {})
    keys = given["key"].value if "key" in given else ()
    tables["accounts"] = [account]
    tables["keys"] = [{"account": NAME, "name": f"key-{n}", "key": key} for n, key in enumerate(keys, 1)]
    return tables


def _headers(given: Given, problems: list[Problem]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for text in given.value:
        name, colon, value = text.partition(":")
        name = name.strip()
        if not colon:
            problems.append(Problem(given.where, 'must be written "Name: value" (value not shown)'))
        elif name.lower() in (known.lower() for known in headers):
            problems.append(Problem(given.where, f"{name} is there twice; header names ignore case"))
        else:
            headers[name] = value.strip()
    return headers


def locator(given: Mapping[str, Given]) -> Callable[[Path], str]:
    """Which flag or variable a path of `document` came from."""

    def locate(path: Path) -> str:
        name = "key" if path[0] == "keys" else _ORIGIN.get(path[:3], "upstream")
        return given[name].where if name in given else given["upstream"].where

    return locate
