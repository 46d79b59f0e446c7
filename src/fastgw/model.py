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
    """One entry of an upstream's targets; `host` has no brackets, `authority` is for Host (RFC 9112 §3.2).

    `tls` says that it is spoken to in HTTPS. `socket` is the path of a Unix socket, and `host` then empty. With `srv`,
    `host` names SRV records (RFC 2782) and each of them is a server; with `expand`, each address of `host` is one.
    """

    host: str
    port: int
    authority: str
    weight: int = 1
    tls: bool = False
    socket: str = ""
    srv: bool = False
    expand: bool = False


class Ejection(Struct, frozen=True):
    """When a target is passed over because calls to it fail: after `failures` in a row, for `duration_ms`, each time
    in a row longer, up to `duration_max_ms`; never more than `share_percent` of the targets at once, nor the last."""

    failures: int = 5
    duration_ms: int = 10_000
    duration_max_ms: int = 300_000
    share_percent: int = 50


class HealthCheck(Struct, frozen=True):
    """A GET of `path` every `interval_ms`; a target is down after `unhealthy_after` answers in a row that are not below
    400, or that take longer than `timeout_ms`, and up again after `healthy_after` good ones."""

    path: str
    interval_ms: int = 5_000
    timeout_ms: int = 2_000
    unhealthy_after: int = 3
    healthy_after: int = 2


class UpstreamTls(Struct, frozen=True):
    """How HTTPS targets are verified: by the CAs of the file `ca`, or of the system; `server_name` stands for the
    target's own in SNI and in the certificate. `certificate` and `key` are files of the gateway's own. `stamp` tells
    one state of the files from another."""

    ca: str = ""
    certificate: str = ""
    key: str = ""
    server_name: str = ""
    verify: bool = True
    stamp: str = ""


class Upstream(Struct, frozen=True):
    """A named group of servers, and how calls are spread over them.

    `balance` is "round_robin", "least_connections", "latency" or "hash", the last by `hash_by`: "key", or the name of
    a request's header in lower case. `connections_max` and `requests_max` hold for one target and all workers together,
    0 for no limit; calls beyond wait, at most `pending_max` in each worker, each at most `pending_timeout_ms`.

    A call is tried `retries_max` more times, at another target if there is one: where nothing has been sent, and, if
    its method is idempotent, on what `retry_on` names: "reset", "timeout", or the status "502", "503" or "504".
    What may have been sent is repeated at most for `retry_budget_percent` of the calls, beside a few a second.
    """

    name: str
    targets: tuple[Target, ...]
    targets_file: str = ""
    balance: str = "round_robin"
    hash_by: str = "key"
    slow_start_ms: int = 0
    connections_max: int = 0
    requests_max: int = 0
    pending_max: int = 1_024
    pending_timeout_ms: int = 1_000
    retries_max: int = 2
    retry_budget_percent: int = 20
    retry_on: tuple[str, ...] = ("reset",)
    ejection: Ejection | None = Ejection()
    health: HealthCheck | None = None
    tls: UpstreamTls = UpstreamTls()

    @property
    def hash_field(self) -> bytes:
        """The field of a request that `hash_by` names, b"" for its key."""
        return b"" if self.hash_by == "key" else self.hash_by.encode()


class Price(Struct, frozen=True):
    """What a model costs, in nanos: for 1,000,000 tokens of each kind (see `_usage.Usage`) or characters, for each
    image, search and second, and for the call itself. Where the input is longer than `above_tokens`, `above` holds for
    all of it."""

    input: int = 0
    cached: int = 0
    written: int = 0
    written_long: int = 0
    audio_in: int = 0
    image_in: int = 0
    output: int = 0
    reasoning: int = 0
    audio_out: int = 0
    image_out: int = 0
    characters: int = 0
    image: int = 0
    search: int = 0
    second: int = 0
    request: int = 0
    above_tokens: int = 0
    above: "Price | None" = None


class Provider(Struct, frozen=True):
    """Who serves models: an upstream of the same name, and how it is spoken to.

    `dialect` is "openai", "anthropic", "gemini" or "bedrock"; `base_path` stands before the path of every endpoint.
    Each of `keys` goes into the header `key_header` behind `key_scheme` ("Bearer " or nothing), or signs requests where
    `region` is said (AWS, SigV4: "ID:SECRET" or "ID:SECRET:TOKEN"); with none, nothing is sent. `keys_file` is where
    keys were read from, or "". `operations` are the endpoints that it has beyond chat. `rate` and `token_rate` are what
    the provider allows each key, and are kept ahead of time. `stream_usage` says that it takes `stream_options`,
    `max_tokens_field` what it calls the bound of a chat completion.
    """

    name: str
    dialect: str
    base_path: str
    keys: tuple[Secret, ...]
    key_header: str = "authorization"
    key_scheme: str = "Bearer "
    region: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    operations: tuple[str, ...] = ()
    stream_usage: bool = True
    max_tokens_field: str = "max_completion_tokens"
    rate: Rate | None = None
    token_rate: Rate | None = None
    keys_file: str = ""

    def __repr__(self) -> str:
        # The values of headers may be credentials.
        shown = ", ".join(f"{f}={getattr(self, f)!r}" for f in self.__struct_fields__ if f != "headers")
        return f"Provider({shown}, headers={tuple(name for name, _ in self.headers)!r})"


class Candidate(Struct, frozen=True):
    """A model of a provider that may serve a call; those of a lower `rank` are asked first, within it by `weight`."""

    provider: str
    model: str
    price: Price
    rank: int = 0
    weight: int = 1


class Model(Struct, frozen=True):
    """What callers ask for by `name`, and who may serve it.

    `max_tokens` is what a call may generate that does not say how much, and is told the provider. A call may say more,
    up to `limit_tokens`, 0 for no such limit. A streamed answer holds money for all it may generate, or, with
    `hold_step` > 0, for so many tokens ahead. With `shrink`, a call that is not streamed and that the balance does not
    cover is told to generate less. `fallback_on` names what makes another candidate be asked: "connect", "timeout",
    "401", "429", "5xx". One that is not `listed` is a longer name of another.
    """

    name: str
    candidates: tuple[Candidate, ...]
    max_tokens: int = 4096
    limit_tokens: int = 0
    hold_step: int = 0
    shrink: bool = False
    fallback_on: tuple[str, ...] = ("connect", "401", "429", "5xx")
    listed: bool = True


class Prompt(Struct, frozen=True):
    """A version of a prompt, which is called at `path`@`version`, and at `path` too where it is the `current` one.

    `messages` (an array), `parameters`, `inputs` and `output` (objects) are JSON: the messages of a chat completion
    with variables in them, its other members, the JSON Schema of a call's body, and that of its answer, "" for text. A
    call costs its price and, unless they are `included`, what the tokens cost. One that is not `listed` is not in the
    OpenAPI document.
    """

    name: str
    version: str
    path: str
    model: str
    messages: str
    inputs: str
    output: str = ""
    parameters: str = "{}"
    description: str = ""
    hosts: tuple[str, ...] = ()
    price_nanos: int = 0
    included: bool = False
    rate: Rate | None = None
    current: bool = True
    listed: bool = True

    @property
    def own_path(self) -> str:
        return f"{self.path}@{self.version}"

    @property
    def whole_name(self) -> str:
        return f"{self.name}@{self.version}"


class Route(Struct, frozen=True):
    """A path prefix, of any host and method where these are empty, and what a call to it needs and costs.

    `price_nanos` is per call, where the account's plan names no other. `rate` is per key. `auth` is "key" or "none",
    `dialect` one of refusals.DIALECTS. `set_headers` has lower-case names and values with the environment already put
    in.

    `charge` says which calls are charged: "served" (the upstream answered below 500), "2xx", or "always" (it was sent
    to an upstream). `cost_header` names the field of the upstream's answer that holds the cost as decimal money,
    `units_header` the one that holds a number of units of `unit_price_nanos` each; "" for neither, never both. The
    price is then the hold, and the most that is charged. `idempotency_window_ms` is how long an Idempotency-Key
    is remembered, 0 for not at all.

    `upgrades` are the protocols, in lower case, that a connection may go over to (RFC 9110 §7.8). Such a tunnel costs
    `minute_price_nanos` for each minute begun and `mib_price_nanos` for 2**20 bytes of both directions together, beside
    its price, which is then what the connection costs.

    A route with `models` has no upstream: it speaks the dialects of language models, and leads to these ("*": to all).
    With `prompt` it is that of a prompt's version, by its `whole_name`, or, where that is "*", of the document that
    describes all of them.
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
    upgrades: tuple[str, ...] = ("websocket",)
    minute_price_nanos: int = 0
    mib_price_nanos: int = 0
    models: tuple[str, ...] = ()
    prompt: str = ""

    def __repr__(self) -> str:
        # The values of set_headers are credentials of providers.
        shown = ", ".join(f"{f}={getattr(self, f)!r}" for f in self.__struct_fields__ if f != "set_headers")
        return f"Route({shown}, set_headers={tuple(name for name, _ in self.set_headers)!r})"


TAGS_MAX = 1_000  # of an account that does not say how many


class Account(Struct, frozen=True):
    """Who pays: a prepaid balance and a credit line, in nanos.

    `plan` is a plan's name or "". `expires_s` is when the subscription ends, Unix time in seconds, 0 for never. A tag
    that is not known yet is made at its first use, with `tag_budget_nanos` in each `tag_budget_period`, as long as the
    account has no more than `tags_max`; where that budget is 0 it is refused.
    """

    name: str
    balance_nanos: int
    credit_nanos: int
    plan: str = ""
    expires_s: int = 0
    suspended: bool = False
    tag_budget_nanos: int = 0
    tag_budget_period: str = ""
    tags_max: int = TAGS_MAX


class Tag(Struct, frozen=True):
    """What calls of an account may be counted by (X-Fastgw-Tag), with a budget as a key's, 0 for none."""

    account: str
    name: str
    budget_nanos: int = 0
    budget_period: str = ""
    expires_s: int = 0


class Key(Struct, frozen=True):
    """What a caller presents. `expires_s` is Unix time in seconds, 0 for never; `name` a label or "".

    `budget_nanos` is the most it may spend of its account, 0 for no such limit: once where `budget_period` is "", or
    in every calendar "day" or "month" of the time zone of the account's plan. `token_rate` limits it
    in tokens of models. `models` are names, and patterns of names, of those that it may ask for, () for all.
    """

    account: str
    key: Secret
    name: str
    rate: Rate | None
    expires_s: int
    revoked: bool
    budget_nanos: int = 0
    budget_period: str = ""
    token_rate: Rate | None = None
    models: tuple[str, ...] = ()


class Plan(Struct, frozen=True):
    """What accounts have in common: prices, a rate for the account as a whole, quotas and an allowance.

    `day_quota` and `month_quota` are calls in a calendar day and month of `timezone` (a name of the IANA database),
    0 for no limit. `allowance_nanos` is given at the start of every month and what is left of it taken at the end.
    `prices` has the price in nanos of a call by route name, for the routes that cost another than the route says.
    `token_rate`, `day_tokens` and `month_tokens` are the same as rate and quotas, in tokens of models.
    """

    name: str
    rate: Rate | None = None
    day_quota: int = 0
    month_quota: int = 0
    timezone: str = "UTC"
    allowance_nanos: int = 0
    prices: tuple[tuple[str, int], ...] = ()
    token_rate: Rate | None = None
    day_tokens: int = 0
    month_tokens: int = 0


class Listener(Struct, frozen=True):
    """Where clients connect, and how: `address` is as `addresses.parse_door` writes it.

    With `proxy_protocol` every connection begins with a PROXY header, versions 1 and 2. `client_certificates` is "off",
    "optional" or "required", and needs `tls`.
    """

    address: str
    tls: bool = False
    proxy_protocol: bool = False
    client_certificates: str = "off"


class Certificate(Struct, frozen=True):
    """PEM files of a certificate with its chain, and of its key.

    The rest is what was read there: chain and key together, the names that it is for (RFC 6125), in lower case, and
    from when and until when it holds, Unix time in seconds.
    """

    certificate: str
    key: str
    pem: Secret = Secret("")
    names: tuple[str, ...] = ()
    begins_s: int = 0
    ends_s: int = 0


class Config(Struct, frozen=True):
    """All of it; `listeners` has that of `server.listen_address` first, unless that is off. `client_ca` is what the
    file of that name holds."""

    server: Server
    upstreams: tuple[Upstream, ...]
    routes: tuple[Route, ...]
    accounts: tuple[Account, ...]
    keys: tuple[Key, ...]
    plans: tuple[Plan, ...] = ()
    listeners: tuple[Listener, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    client_ca: str = ""
    providers: tuple[Provider, ...] = ()
    models: tuple[Model, ...] = ()
    tags: tuple[Tag, ...] = ()
    prompts: tuple[Prompt, ...] = ()


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
