"""Decides the configurations that the tests share: one that is generous, one with every limit small, one with every
deadline short, one with every way to charge."""

PRICE = 1_000_000  # nanos of a call to /v1/

KEY = "sk-wire-rich-0001"
IDENTITY = f"Host: wire\r\nAuthorization: Bearer {KEY}\r\n".encode()

_ACCOUNTS = """
[[accounts]]
name = "rich"
balance = "1000000"
[[keys]]
account = "rich"
key = "sk-wire-rich-0001"
[[keys]]
account = "rich"
key = "sk-wire-rich-0002"
[[keys]]
account = "rich"
key = "sk-wire-revoked-1"
revoked = true
[[keys]]
account = "rich"
key = "sk-wire-expired-1"
expires = 2020-01-01T00:00:00Z
[[keys]]
account = "rich"
key = "sk-wire-limited-1"
rate = "2/m"
burst = 1
[[keys]]
account = "rich"
key = "sk-wire-limited-2"
[[accounts]]
name = "poor"
balance = "0.0009"
[[keys]]
account = "poor"
key = "sk-wire-poor-0001"
[[accounts]]
name = "once"
balance = "0.0019"
[[keys]]
account = "once"
key = "sk-wire-once-0001"
[[accounts]]
name = "lean"
balance = "0.0019"
[[keys]]
account = "lean"
key = "sk-wire-lean-0001"
"""

_CERTIFICATES = """
[[keys]]
account = "rich"
certificate = "caller.wire.example"
[[keys]]
account = "poor"
certificate = "spiffe://wire.example/poor"
[[keys]]
account = "rich"
certificate = "robot@wire.example"
revoked = true
"""

_PLANS = """
[[plans]]
name = "cheap"
prices = {{ api = "0.0004", chat = "0.0004", limited = "0.0003" }}
[[plans]]
name = "paced"
rate = "3/m"
burst = 2
[[plans]]
name = "daily"
requests_per_day = 2
timezone = "Pacific/Auckland"
[[plans]]
name = "monthly"
requests_per_month = 1
[[accounts]]
name = "cheap"
balance = "0.0009"
plan = "cheap"
[[keys]]
account = "cheap"
key = "sk-wire-cheap-0001"
[[accounts]]
name = "paced"
balance = "1"
plan = "paced"
[[keys]]
account = "paced"
key = "sk-wire-paced-0001"
[[keys]]
account = "paced"
key = "sk-wire-paced-0002"
[[accounts]]
name = "daily"
balance = "1"
plan = "daily"
[[keys]]
account = "daily"
key = "sk-wire-daily-0001"
[[accounts]]
name = "monthly"
balance = "1"
plan = "monthly"
[[keys]]
account = "monthly"
key = "sk-wire-monthly-01"
[[accounts]]
name = "suspended"
balance = "1"
suspended = true
[[keys]]
account = "suspended"
key = "sk-wire-suspended1"
[[accounts]]
name = "lapsed"
balance = "1"
expires = 2020-02-29T12:00:00Z
[[keys]]
account = "lapsed"
key = "sk-wire-lapsed-001"
[[accounts]]
name = "budgeted"
balance = "1"
[[keys]]
account = "budgeted"
key = "sk-wire-budgeted-1"
budget = "0.0019"
budget_period = "day"
[[keys]]
account = "budgeted"
key = "sk-wire-budgeted-2"
budget = "0.0009"
[[keys]]
account = "budgeted"
key = "sk-wire-budgeted-3"
budget = "0.0019"
"""

_BASIC = """
[[upstreams]]
name = "oracle"
targets = ["http://127.0.0.1:{oracle}"]
[[routes]]
name = "api"
path = "/v1/"
upstream = "oracle"
price = "0.001"
"""

_WIDE = """
[server]
key_header = "x-wire-key"
realm = "wire"
body_max = "1TiB"
docs_url = "https://docs.example/errors"
top_up_url = "https://pay.example/"
[[upstreams]]
name = "refusing"
targets = ["http://127.0.0.1:{refusing}"]
[[routes]]
name = "chat"
path = "/openai/"
upstream = "oracle"
price = "0.001"
dialect = "openai"
[[routes]]
name = "limited"
path = "/limited/"
upstream = "oracle"
rate = "3/m"
burst = 2
[[routes]]
name = "open"
path = "/open/"
upstream = "oracle"
auth = "none"
[[routes]]
name = "injected"
path = "/injected/"
upstream = "oracle"
set_headers = {{ Authorization = "Bearer provider-credential", X-Team = "blue" }}
[[routes]]
name = "forwarded"
path = "/forwarded/"
upstream = "oracle"
forward_key = true
preserve_host = true
[[routes]]
name = "dead"
path = "/dead/"
upstream = "refusing"
price = "0.001"
[[routes]]
name = "by-host"
path = "/place/"
hosts = ["a.example", "b.example"]
upstream = "oracle"
set_headers = {{ X-Route = "by-host" }}
[[routes]]
name = "by-path"
path = "/place/"
upstream = "oracle"
methods = ["GET", "POST"]
set_headers = {{ X-Route = "by-path" }}
[[routes]]
name = "deeper"
path = "/place/deep"
upstream = "oracle"
methods = ["GET"]
set_headers = {{ X-Route = "deeper" }}
"""

_SMALL = """
[server]
url_max = "256B"
head_max = "1KiB"
headers_max = 8
body_max = "1KiB"
connections_max = 8
upstream_connections_max = 2
"""

_SHORT = """
[server]
head_timeout = "200ms"
body_timeout = "300ms"
body_min_rate = 0
idle_timeout = "300ms"
write_timeout = "900ms"
connect_timeout = "200ms"
first_byte_timeout = "300ms"
stream_timeout = "200ms"
total_timeout = "1000ms"
upstream_idle_timeout = "300ms"
[[upstreams]]
name = "blackhole"
targets = ["http://127.0.0.1:{blackhole}"]
[[routes]]
name = "hole"
path = "/hole/"
upstream = "blackhole"
price = "0.001"
"""

_TERMS = """
[server]
hold_timeout = "1s"
[[upstreams]]
name = "refusing"
targets = ["http://127.0.0.1:{refusing}"]
[[routes]]
name = "succeeded"
path = "/succeeded/"
upstream = "oracle"
price = "0.001"
charge = "2xx"
[[routes]]
name = "always"
path = "/always/"
upstream = "oracle"
price = "0.001"
charge = "always"
[[routes]]
name = "always-dead"
path = "/always-dead/"
upstream = "refusing"
price = "0.001"
charge = "always"
[[routes]]
name = "costed"
path = "/costed/"
upstream = "oracle"
price = "0.001"
cost_header = "X-Cost"
[[routes]]
name = "metered"
path = "/metered/"
upstream = "oracle"
price = "0.001"
units_header = "X-Tokens"
unit_price = "0.000000003"
[[routes]]
name = "free"
path = "/free/"
upstream = "oracle"
[[routes]]
name = "once"
path = "/once/"
upstream = "oracle"
price = "0.001"
idempotency = "24h"
[[routes]]
name = "once-too"
path = "/once-too/"
upstream = "oracle"
price = "0.001"
idempotency = "24h"
[[routes]]
name = "once-always"
path = "/once-always/"
upstream = "oracle"
price = "0.001"
charge = "always"
idempotency = "24h"
[[routes]]
name = "once-briefly"
path = "/once-briefly/"
upstream = "oracle"
price = "0.001"
idempotency = "1s"
[[routes]]
name = "once-free"
path = "/once-free/"
upstream = "oracle"
idempotency = "24h"
"""


def wide(oracle: int, refusing: int) -> str:
    """Default limits but for bodies, every kind of route and of plan."""
    return (_WIDE + _BASIC + _ACCOUNTS + _PLANS).format(oracle=oracle, refusing=refusing)


def small(oracle: int) -> str:
    """Every limit of size and number at, or near, the smallest there is."""
    return (_SMALL + _BASIC + _ACCOUNTS).format(oracle=oracle)


def short(oracle: int, blackhole: int) -> str:
    """Every deadline below two seconds."""
    return (_SHORT + _BASIC + _ACCOUNTS).format(oracle=oracle, blackhole=blackhole)


def terms(oracle: int, refusing: int) -> str:
    """Every way to charge for a call, and little time to hold money."""
    return (_TERMS + _BASIC + _ACCOUNTS + _CERTIFICATES).format(oracle=oracle, refusing=refusing)
