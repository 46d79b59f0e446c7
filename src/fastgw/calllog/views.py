"""Decides what the call log shows: a call, a row of usage, its own state, and what may be asked for."""

from typing import Literal

from msgspec import Struct

GROUPS = ("account", "key", "route", "code", "model", "tag")
Interval = Literal["", "minute", "hour", "day"]


class Call(Struct, frozen=True, gc=False):
    """One finished call, in the order of the log's columns.

    `position` is the row's number in the log, the cursor of whoever follows; `time` is when the request's first byte
    came, RFC 3339 in UTC. `verdict` is "admitted" or the refusal's code; `cost_nanos` was charged. Stages in
    microseconds since `time`. Of flags, bit 0 says charged, bit 1 that the gateway has estimated the tokens. `model` is
    the one that served, "provider/model", `tag` what X-Fastgw-Tag named; `tokens_cached` are of those in,
    `tokens_reasoning` of those out.
    """

    position: int
    time: str
    request_id: str
    account: str
    key_id: str
    route: str
    target: str
    model: str
    tag: str
    method: str
    path: str
    status: int
    verdict: str
    cost_nanos: int
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    tokens_reasoning: int
    bytes_in: int
    bytes_out: int
    decided_us: int
    first_byte_us: int
    total_us: int
    address: str
    flags: int


class CallFilter(Struct, frozen=True):
    """Which calls; what is empty or 0 asks for nothing. Times are Unix nanoseconds, `since` included, `until` not."""

    since_ns: int = 0
    until_ns: int = 0
    account: str = ""
    key_id: str = ""
    route: str = ""
    code: str = ""
    model: str = ""
    tag: str = ""
    status: int = 0
    path_prefix: str = ""
    request_id: str = ""
    cost_min_nanos: int = 0


class Usage(Struct, frozen=True):
    """Calls of one account, key, route, code, model or tag, begun in the interval from `start` on.

    `name` is whose they are, with commas between the names of several GROUPS, which hold none; "" when not grouped.

    `start` is RFC 3339 in UTC, "" without intervals. Latencies are of the whole call, in microseconds, estimated by a
    t-digest.
    """

    name: str
    start: str
    calls: int
    charged: int
    estimated: int
    cost_nanos: int
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    tokens_reasoning: int
    bytes_in: int
    bytes_out: int
    p50_us: int
    p99_us: int


class LogState(Struct, frozen=True):
    """How the log is doing.

    `rows` it has ever had; `waiting` of them are not in Parquet yet; `depth` records wait in the journals.
    `dropped_rows` were overwritten before they could be read, with their cost. `lag_ms` is how long ago the journals
    were last read to their end. `bytes` and `files` are on disk now. `interruptions`: see `spool.Progress`.
    `lines_dropped` are access lines that nobody took. `error` is what keeps it from writing now, or "".
    """

    rows: int
    waiting: int
    depth: int
    dropped_rows: int
    dropped_cost_nanos: int
    lag_ms: int
    bytes: int
    files: int
    interruptions: int
    lines_dropped: int
    error: str


class LogSettings(Struct, frozen=True):
    """`keep_ms` and `max_bytes` bound what is kept (0: no bound); `access_log` is a file, "-" (stdout) or "" (off)."""

    keep_ms: int = 30 * 86_400_000
    max_bytes: int = 10 << 30
    access_log: str = ""
