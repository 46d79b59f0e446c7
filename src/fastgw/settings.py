"""Decides the settings of [server], in one table: name, unit, default, bounds, and if a reload may change it.

The same row makes the TOML key `head_timeout`, the flag `--head-timeout`, the variable `FASTGW_HEAD_TIMEOUT`
and the attribute `Server.head_timeout_ms`.
"""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from msgspec import Struct

from . import addresses, memory, units

Kind = Literal[
    "address",
    "name-server",
    "integer",
    "power-of-two",
    "duration",
    "size",
    "path",
    "file",
    "text",
    "url",
    "header-name",
    "networks",
    "switch",
]
Environ = Mapping[str, str]
Value = str | int | tuple[str, ...]
Default = Value | Callable[[Environ], Value]

# Fields of one connection (RFC 9110 §7.6.1) or of the framing, which no setting may name.
CONNECTION_FIELDS = frozenset(
    {
        "connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")  # RFC 9110 §5.6.2, bounded

_SECOND, _HOUR, _DAY = 1_000, 3_600_000, 86_400_000
_KIB, _MIB, _GIB, _TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
_RECORDS_MAX = 1 << 26
_NETWORKS_MAX = 256
_TEXT = re.compile(r"[ !#-\[\]-~]*")  # what a quoted-string holds without escapes, RFC 9110 §5.6.4
_URL = re.compile(r"[!#-;=?-\[\]_a-z~]+")  # printable ASCII that needs no escape in JSON, HTML or a header
_SUFFIX = {"address": "_address", "duration": "_ms", "size": "_bytes"}
_METAVAR = {
    "address": "ADDRESS",
    "name-server": "ADDRESS",
    "duration": "DURATION",
    "size": "SIZE",
    "url": "URL",
    "path": "DIR",
    "file": "FILE",
    "networks": "NETWORKS",
    "switch": "on|off",
}


class Setting(Struct, frozen=True):
    """One row.

    `low` and `high` are in the attribute's unit (for text: in characters); `zero` says what 0 means where 0
    is allowed besides them; `default_help` describes a default that depends on the machine.
    """

    name: str
    group: str
    kind: Kind
    default: Default
    low: int
    high: int
    reloadable: bool
    help: str
    zero: str = ""
    default_help: str = ""

    @property
    def attribute(self) -> str:
        return self.name + _SUFFIX.get(self.kind, "")

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "FASTGW_" + self.name.upper()

    @property
    def metavar(self) -> str:
        return _METAVAR.get(self.kind, "N" if self.is_number else "TEXT")

    @property
    def is_number(self) -> bool:
        return self.kind in ("integer", "power-of-two", "duration", "size")

    @property
    def bounds(self) -> str:
        """The range of a number in the user's units: "from 100ms to 24h, or 0 (off)"."""
        either = f", or 0 ({self.zero})" if self.zero else ""
        return f"from {self.show(self.low)} to {self.show(self.high)}{either}"

    @property
    def rule(self) -> str:
        """What is allowed, as the predicate of a sentence."""
        match self.kind:
            case "integer":
                return f"must be an integer {self.bounds}"
            case "power-of-two":
                return f"must be a power of two {self.bounds}"
            case "duration":
                return f"must be a duration {self.bounds}, {units.DURATION_FORM}"
            case "size":
                return f"must be a size {self.bounds}, {units.SIZE_FORM}"
            case "path":
                return "must be a path of 1 to 4096 characters"
            case "file":
                return "must be the path of a file, at most 4096 characters"
            case "text":
                return f'must be {self.low} to {self.high} printable ASCII characters without " and \\'
            case "url":
                return f'must be an http:// or https:// URL of at most {self.high} characters, or ""'
            case "header-name":
                return "must name an end-to-end header, not Authorization or x-api-key, which always count"
            case "address":
                return "must be an address"
            case "name-server":
                return 'must be an IP address, with a port where it is not 53, like "10.0.0.2" or "127.0.0.1:8600"'
            case "networks":
                return f"must be at most {self.high} networks, with commas between them, in a file an array"
            case "switch":
                return "must be on or off, in a file true or false"

    def from_text(self, text: str) -> object:
        """What TOML would hold where a flag or a variable holds `text`, which may still be refused."""
        if self.kind == "switch":
            switch = units.switch_in(text)
            return text if switch is None else switch
        if self.kind == "networks":
            return [part.strip() for part in text.split(",")]
        number = units.integer_in(text) if self.is_number else None
        return text if number is None else number

    def parse(self, value: object) -> Value:
        """The attribute's value from what TOML holds, or `from_text` gave; `ValueError` with the rule."""
        if self.kind == "switch":
            if isinstance(value, bool):
                return value
            raise ValueError(self.rule)
        if self.is_number:
            return self._parse_number(value)
        if self.kind == "address":
            return "" if value == "off" else addresses.join_listen(*addresses.split_listen(value))
        if self.kind == "name-server" and value != "":
            try:
                return addresses.join_listen(*addresses.split_name_server(value))
            except ValueError:
                raise ValueError(self.rule) from None
        if self.kind == "networks":
            if isinstance(value, list | tuple) and len(value) <= self.high:
                return tuple(dict.fromkeys(map(addresses.parse_network, value)))
            raise ValueError(self.rule)
        if isinstance(value, str) and self._accepts(value):
            return value.lower() if self.kind == "header-name" else value
        raise ValueError(self.rule)

    def _parse_number(self, value: object) -> int:
        try:
            number = _NUMBER[self.kind](value)
        except ValueError:
            raise ValueError(self.rule) from None
        if number == 0 and self.zero:
            return 0
        if not self.low <= number <= self.high or (self.kind == "power-of-two" and number & (number - 1)):
            raise ValueError(self.rule)
        return number

    def _accepts(self, text: str) -> bool:
        match self.kind:
            case "path" | "file":
                return (text != "" or self.kind == "file") and len(text) <= 4096 and text.isprintable()
            case "text":
                return self.low <= len(text) <= self.high and _TEXT.fullmatch(text) is not None
            case "name-server":
                return text == ""
            case "url":
                return text == "" or (len(text) <= self.high and _is_web_url(text))
            case _:
                taken = text.lower() in CONNECTION_FIELDS or text.lower() in ("authorization", "x-api-key")
                return text == "" or (TOKEN.fullmatch(text) is not None and not taken)

    def show(self, value: Value) -> str:
        """An attribute's value as the user writes it."""
        if isinstance(value, tuple):
            return ", ".join(value)
        match self.kind:
            case "duration":
                return units.format_duration(int(value))
            case "size":
                return units.format_size(int(value))
            case "switch":
                return "on" if value else "off"
            case "address":
                return str(value) or "off"
            case _:
                return str(value)

    def show_default(self) -> str:
        """The default for a help text, e.g. "10s"; "" where there is none."""
        if callable(self.default) or self.default_help:
            return self.default_help
        return self.show(self.default)

    def default_value(self, environ: Environ) -> Value:
        return self.default(environ) if callable(self.default) else self.default


def _parse_integer(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError


_NUMBER: dict[str, Callable[[object], int]] = {
    "integer": _parse_integer,
    "power-of-two": _parse_integer,
    "duration": units.parse_duration_ms,
    "size": units.parse_size_bytes,
}


def _is_web_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
        return is_web and _URL.fullmatch(text.lower()) is not None
    except ValueError:
        return False


def _default_workers(_: Environ) -> int:
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        available = os.cpu_count() or 1
    return min(max(available, 1), 64)


def _default_memory_max(_: Environ) -> int:
    return min(max(memory.available_bytes() * 3 // 4, 64 * _MIB), _TIB)


def _default_state_dir(environ: Environ) -> str:
    """The XDG Base Directory Specification, which has a relative XDG_STATE_HOME ignored."""
    if os.geteuid() == 0:
        return "/var/lib/fastgw"
    state_home = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state_home):
        state_home = os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".local", "state")
    return os.path.join(state_home, "fastgw")


def _timeout(name: str, default_ms: int, text: str, zero: str = "") -> Setting:
    return Setting(name, "Timeouts", "duration", default_ms, 100, 24 * _HOUR, True, text, zero)


SETTINGS: tuple[Setting, ...] = (
    Setting("listen", "Server", "address", "127.0.0.1:8080", 0, 0, False,
            "Where clients connect; \":8080\" is port 8080 on all interfaces. \"off\" where there are [[listeners]], "
            "unless it is said.", default_help="127.0.0.1:8080"),
    Setting("workers", "Server", "integer", _default_workers, 1, 64, True,
            "Processes that serve clients; more than the cores only costs.", default_help="one per core"),
    Setting("admin", "Server", "address", "127.0.0.1:8081", 0, 0, False,
            "Where the admin API, /livez, /readyz and /metrics answer; \"off\" for nowhere. Keep it private."),
    Setting("state_dir", "Server", "path", _default_state_dir, 0, 0, False,
            "Holds the ledger, the call log, the secrets and the lock of one instance; keep it and back it up.",
            default_help="/var/lib/fastgw for root, else ~/.local/state/fastgw"),
    Setting("segment_dir", "Server", "path", "/dev/shm", 0, 0, False,
            "Where the shared memory of the processes is a file; use memory-backed storage."),
    Setting("drain_timeout", "Server", "duration", 120 * _SECOND, 0, _HOUR, True,
            "How long SIGTERM waits for requests in flight before it cuts them."),
    Setting("watchdog_timeout", "Server", "duration", 10 * _SECOND, _SECOND, _HOUR, True,
            "How long a worker or the keeper may do nothing at all before it is killed and replaced.", zero="off"),
    Setting("memory_max", "Server", "size", _default_memory_max, 64 * _MIB, _TIB, True,
            "Memory that all workers together may take; short of it, they close idle connections, then refuse calls.",
            zero="no limit", default_help="three quarters of what the machine or its control group has"),
    Setting("keys_file", "Server", "file", "", 0, 0, True,
            "Further keys, one JSON object per line with the fields of [[keys]]."),
    Setting("accounts_file", "Server", "file", "", 0, 0, True,
            "Further accounts, one JSON object per line with the fields of [[accounts]]."),
    Setting("trusted_proxies", "Server", "networks", (), 0, _NETWORKS_MAX, True,
            "Networks of proxies whose word on a client's address counts: PROXY protocol and X-Forwarded-For; \"unix\" "
            "for those on Unix sockets."),
    Setting("tls_certificate", "Server", "file", "", 0, 0, True,
            "Makes `listen` HTTPS: a certificate and its chain (PEM), read again at every reload."),
    Setting("tls_key", "Server", "file", "", 0, 0, True,
            "The key of that certificate (PEM)."),
    Setting("client_ca", "Server", "file", "", 0, 0, True,
            "Certificates (PEM) of those who may issue certificates of clients."),
    Setting("watch", "Server", "switch", False, 0, 0, True,
            "Load the file, and those of keys, accounts and certificates, again whenever one of them changes."),

    Setting("url_max", "Requests", "size", 8 * _KIB, 256, 64 * _KIB, True,
            "Longest URL; a longer one gets 414."),
    Setting("head_max", "Requests", "size", 32 * _KIB, _KIB, 256 * _KIB, True,
            "Most bytes of all headers of a request together; more get 431."),
    Setting("headers_max", "Requests", "integer", 100, 8, 256, True,
            "Most headers of a request; more get 431."),
    Setting("body_max", "Requests", "size", 64 * _MIB, 1, _TIB, True,
            "Longest request body; a longer one gets 413.", zero="no limit"),
    Setting("body_min_rate", "Requests", "size", 512, 1, _GIB, True,
            "Fewest bytes a second of a body that takes longer than body_timeout; a slower one gets 408.", zero="off"),
    Setting("connections_max", "Requests", "integer", 20_000, 1, 1_000_000, True,
            "Client connections that one worker keeps open."),
    Setting("key_header", "Requests", "header-name", "", 0, 0, True,
            "A header that may carry the key, besides Authorization: Bearer and x-api-key."),

    _timeout("head_timeout", 10 * _SECOND, "Longest time from a request's first byte to its headers' end."),
    _timeout("body_timeout", 30 * _SECOND, "Longest pause inside a request body."),
    _timeout("idle_timeout", 75 * _SECOND, "How long a client connection is kept without a request."),
    _timeout("write_timeout", 60 * _SECOND, "Longest time that a client may read nothing of its answer."),
    _timeout("connect_timeout", 5 * _SECOND, "Longest time to connect to a target."),
    _timeout("first_byte_timeout", 600 * _SECOND, "Longest wait for the first byte of an upstream's answer."),
    _timeout("stream_timeout", 600 * _SECOND, "Longest pause inside an upstream's answer."),
    _timeout("total_timeout", 0, "Longest time for a whole call, answer included.", zero="off"),
    _timeout("tunnel_idle_timeout", _HOUR, "How long a WebSocket, or another upgraded connection, may be silent.",
             zero="off"),
    Setting("hold_timeout", "Timeouts", "duration", 15 * 60 * _SECOND, _SECOND, 24 * _HOUR, True,
            "Longest time that a call may hold money; it is ended then. Not for tunnels, which pay as they go."),
    _timeout("upstream_idle_timeout", 4 * _SECOND,
             "How long an unused connection to a target is kept; stay below the target's own limit."),

    Setting("upstream_connections_max", "Upstreams", "integer", 1_024, 1, 65_535, True,
            "Connections of one worker to one target."),
    Setting("resolver", "Upstreams", "name-server", "", 0, 0, True,
            "The name server that is asked for targets' names, like \"127.0.0.1:8600\".",
            default_help="those of /etc/resolv.conf"),

    Setting("keys_max", "Capacity", "integer", 1 << 20, 1, _RECORDS_MAX, False,
            "Keys there is room for; room that is not used costs no memory."),
    Setting("accounts_max", "Capacity", "integer", 1 << 20, 1, _RECORDS_MAX, False,
            "Accounts there is room for; room that is not used costs no memory."),
    Setting("routes_max", "Capacity", "integer", 256, 1, 4_096, False,
            "Different routes there is room for, those of earlier configurations included."),
    Setting("journal_records", "Capacity", "power-of-two", 16_384, 256, 1 << 22, False,
            "Finished calls that one worker can hold for the keeper to fetch."),

    Setting("call_log", "Call log", "switch", True, 0, 0, False,
            "Remember every call, for `fastgw logs`, `usage` and `audit`; in the state directory."),
    Setting("call_log_keep", "Call log", "duration", 30 * _DAY, _HOUR, 3_660 * _DAY, True,
            "How long calls are remembered one by one.", zero="for ever"),
    Setting("call_log_max", "Call log", "size", 10 * _GIB, 64 * _MIB, 1_024 * _TIB, True,
            "Most bytes of the call log; the oldest calls are forgotten first.", zero="no limit"),
    Setting("access_log", "Call log", "file", "", 0, 0, True,
            "Write a line of JSON for every call to this file; \"-\" is standard output."),

    Setting("realm", "Answers", "text", "fastgw", 1, 64, True,
            "The realm that a 401 names in WWW-Authenticate."),
    Setting("docs_url", "Answers", "url", "", 0, 512, True,
            "Where a refusal sends people who want to understand it."),
    Setting("top_up_url", "Answers", "url", "", 0, 512, True,
            "Where a 402 sends people who want to pay."),
)  # fmt: skip

BY_NAME: Mapping[str, Setting] = {row.name: row for row in SETTINGS}
GROUPS: tuple[str, ...] = tuple(dict.fromkeys(row.group for row in SETTINGS))


class Server(Struct, frozen=True, kw_only=True):
    """The effective value of every row, in the unit of the attribute's name; "" and 0 may mean off."""

    listen_address: str
    workers: int
    admin_address: str
    state_dir: str
    segment_dir: str
    drain_timeout_ms: int
    watchdog_timeout_ms: int
    memory_max_bytes: int
    keys_file: str
    accounts_file: str
    trusted_proxies: tuple[str, ...]
    tls_certificate: str
    tls_key: str
    client_ca: str
    watch: bool
    url_max_bytes: int
    head_max_bytes: int
    headers_max: int
    body_max_bytes: int
    body_min_rate_bytes: int
    connections_max: int
    key_header: str
    head_timeout_ms: int
    body_timeout_ms: int
    idle_timeout_ms: int
    write_timeout_ms: int
    connect_timeout_ms: int
    first_byte_timeout_ms: int
    stream_timeout_ms: int
    total_timeout_ms: int
    tunnel_idle_timeout_ms: int
    hold_timeout_ms: int
    upstream_idle_timeout_ms: int
    upstream_connections_max: int
    resolver: str
    keys_max: int
    accounts_max: int
    routes_max: int
    journal_records: int
    call_log: bool
    call_log_keep_ms: int
    call_log_max_bytes: int
    access_log: str
    realm: str
    docs_url: str
    top_up_url: str


def defaults(environ: Environ) -> Server:
    """A `Server` of nothing but defaults."""
    values: dict[str, Any] = {row.attribute: row.default_value(environ) for row in SETTINGS}
    return Server(**values)
