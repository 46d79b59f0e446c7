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

    `price_nanos` is per call. `rate` is per key. `auth` is "key" or "none", `dialect` "problem" or "openai".
    `set_headers` has lower-case names and values with the environment already put in.
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

    def __repr__(self) -> str:
        # The values of set_headers are credentials of providers.
        shown = ", ".join(f"{f}={getattr(self, f)!r}" for f in self.__struct_fields__ if f != "set_headers")
        return f"Route({shown}, set_headers={tuple(name for name, _ in self.set_headers)!r})"


class Account(Struct, frozen=True):
    """Who pays: a prepaid balance and a credit line, in nanos."""

    name: str
    balance_nanos: int
    credit_nanos: int


class Key(Struct, frozen=True):
    """What a caller presents. `expires_s` is Unix time in seconds, 0 for never; `name` a label or ""."""

    account: str
    key: Secret
    name: str
    rate: Rate | None
    expires_s: int
    revoked: bool


class Config(Struct, frozen=True):
    server: Server
    upstreams: tuple[Upstream, ...]
    routes: tuple[Route, ...]
    accounts: tuple[Account, ...]
    keys: tuple[Key, ...]


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
