"""Decides what `fastgw serve --upstream URL …`, or --provider NAME, means: the tables that a file would have for it."""

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
    RouteFlag("provider", "NAME", "Or serve the models of this provider, e.g. openai, with the key in its variable, "
                                  "e.g. OPENAI_API_KEY; repeat for more.", separator=","),
    RouteFlag("model", "NAME", "Only this model of theirs, e.g. gpt-4o-mini or 'gpt-4o*'; repeat for more.",
              separator=","),
    RouteFlag("path", "PATH", "Only paths under this prefix; others get 404. [default: /, or /v1/ for models]"),
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
    ("routes", 0, "models"): "model",
    ("routes", 0, "price"): "price",
    ("routes", 0, "rate"): "rate",
    ("routes", 0, "burst"): "burst",
    ("routes", 0, "auth"): "no_auth",
    ("routes", 0, "dialect"): "dialect",
    ("routes", 0, "set_headers"): "set_header",
    ("accounts", 0, "balance"): "balance",
}


ROOTS = ("upstream", "provider")  # one of them is what the others describe
_OF_UPSTREAMS = ("no_auth", "dialect", "set_header")


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
    where = root(given).where
    problems = []
    if "provider" in given:
        problems += [Problem(given[name].where, f"has no meaning together with {where}") for name in _OF_UPSTREAMS
                     if name in given]  # fmt: skip
        if "balance" not in given and not has_accounts_file:
            problems.append(Problem(where, "needs --balance AMOUNT, or no call could ever be paid"))
    elif "model" in given:
        problems.append(Problem(given["model"].where, "describes the models of --provider NAME, which is missing"))
    if "no_auth" in given:
        problems += [
            Problem(given[name].where, "has no meaning together with --no-auth")
            for name in ("key", "balance")
            if name in given
        ]
    elif "key" not in given and not has_keys_file:
        rule = "nobody could call: add --key KEY (or FASTGW_KEY), or --keys-file FILE, or --no-auth to let everyone in"
        problems.append(Problem(where, rule))
    if (
        "provider" not in given
        and "price" in given
        and "balance" not in given
        and "no_auth" not in given
        and not has_accounts_file
    ):
        try:
            is_free = units.parse_money_nanos(given["price"].value) == 0
        except ValueError:
            is_free = True  # refused as a price
        if not is_free:
            price = given["price"].value
            rule = f'routes[0].price = "{price}": needs --balance AMOUNT, or no call could ever be paid'
            problems.append(Problem(given["price"].where, rule))
    return problems


def root(given: Mapping[str, Given]) -> Given:
    """What the others describe."""
    return next(given[name] for name in ROOTS if name in given)


def document(given: Mapping[str, Given], problems: list[Problem]) -> dict[str, Any]:
    """The document that a file would have held: one upstream, or providers, a route and account, and the keys."""
    tables: dict[str, Any]
    if "provider" in given:
        models = given["model"].value if "model" in given else ("*",)
        route: dict[str, Any] = {"name": NAME, "path": "/v1/", "models": list(models)}
        tables = {"providers": [{"name": name} for name in given["provider"].value], "routes": [route]}
    else:
        route = {"name": NAME, "path": "/", "upstream": NAME}
        upstream = {"name": NAME, "targets": [given["upstream"].value]}
        tables = {"upstreams": [upstream], "routes": [route]}
    route |= {name: given[name].value for name in ("path", "price", "rate", "dialect") if name in given}
    if "burst" in given:
        burst = given["burst"].value
        number = units.integer_in(burst) if isinstance(burst, str) else None
        route["burst"] = burst if number is None else number
    if "set_header" in given:
        route["set_headers"] = _headers(given["set_header"], problems)
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
        name = "key" if path[0] == "keys" else _ORIGIN.get(path[:3], "")
        return (given[name] if name in given else root(given)).where

    return locate
