"""Decides what a checked configuration consists of: immutable values with the unit in the name."""

import hmac

from msgspec import Struct

from .settings import Server


class Secret:
    """A string that never shows itself: `repr`, `str` and format give a placeholder, `reveal()` the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)


class Rate(Struct, frozen=True):
    """A token bucket: `count` requests per `period_ns` nanoseconds, at most `burst` at once."""

    count: int
    period_ns: int
    burst: int


class Target(Struct, frozen=True):
    """One server of an upstream; `host` has no brackets, `authority` is for Host (RFC 9112 §3.2)."""

    host: str
    port: int
    authority: str


class Upstream(Struct, frozen=True):
    name: str
    targets: tuple[Target, ...]


class Route(Struct, frozen=True):
    """A path prefix, of any host and method where these are empty, and what a call to it needs and costs.

    `price_nanos` is per call, where the account's plan names no other. `rate` is per key. `auth` is "key" or "none",
    `dialect` "problem" or "openai". `set_headers` has lower-case names and values with the environment already put in.

    `charge` says which calls are charged: "served" (the upstream answered below 500), "2xx", or "always" (it was sent
    to an upstream). `cost_header` names the field of the upstream's answer that holds the cost as decimal money,
    `units_header` the one that holds a number of units of `unit_price_nanos` each; "" for neither, never both. The
    price is then the hold, and the most that is charged. `idempotency_window_ms` is how long an Idempotency-Key
    is remembered, 0 for not at all.
    """

    name: str
    path: str
    hosts: tuple[str, ...]
    methods: tuple[str, ...]
    upstream: str
    auth: str
    price_nanos: int
    rate: Rate | None
    dialect: str
    forward_key: bool
    preserve_host: bool
    set_headers: tuple[tuple[str, str], ...]
    charge: str = "served"
    cost_header: str = ""
    units_header: str = ""
    unit_price_nanos: int = 0
    idempotency_window_ms: int = 0

    def __repr__(self) -> str:
        # The values of set_headers are credentials of providers.
        shown = ", ".join(f"{f}={getattr(self, f)!r}" for f in self.__struct_fields__ if f != "set_headers")
        return f"Route({shown}, set_headers={tuple(name for name, _ in self.set_headers)!r})"


class Account(Struct, frozen=True):
    """Who pays: a prepaid balance and a credit line, in nanos.

    `plan` is a plan's name or "". `expires_s` is when the subscription ends, Unix time in seconds, 0 for never.
    """

    name: str
    balance_nanos: int
    credit_nanos: int
    plan: str = ""
    expires_s: int = 0
    suspended: bool = False


class Key(Struct, frozen=True):
    """What a caller presents. `expires_s` is Unix time in seconds, 0 for never; `name` a label or "".

    `budget_nanos` is the most it may spend of its account, 0 for no such limit: once where `budget_period` is "", or
    in every calendar "day" or "month" of the time zone of the account's plan.
    """

    account: str
    key: Secret
    name: str
    rate: Rate | None
    expires_s: int
    revoked: bool
    budget_nanos: int = 0
    budget_period: str = ""


class Plan(Struct, frozen=True):
    """What accounts have in common: prices, a rate for the account as a whole, quotas and an allowance.

    `day_quota` and `month_quota` are calls in a calendar day and month of `timezone` (a name of the IANA database),
    0 for no limit. `allowance_nanos` is given at the start of every month and what is left of it taken at the end.
    `prices` has the price in nanos of a call by route name, for the routes that cost another than the route says.
    """

    name: str
    rate: Rate | None = None
    day_quota: int = 0
    month_quota: int = 0
    timezone: str = "UTC"
    allowance_nanos: int = 0
    prices: tuple[tuple[str, int], ...] = ()


class Config(Struct, frozen=True):
    server: Server
    upstreams: tuple[Upstream, ...]
    routes: tuple[Route, ...]
    accounts: tuple[Account, ...]
    keys: tuple[Key, ...]
    plans: tuple[Plan, ...] = ()


class Problem(Struct, frozen=True):
    """One thing wrong: `where` is "fastgw.toml:12", "--workers" or "FASTGW_WORKERS"."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class ConfigError(Exception):
    """The configuration is refused; `problems` holds everything found wrong, never empty."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems
