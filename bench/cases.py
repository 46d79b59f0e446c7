"""Decides what is asked: the requests, the keys and the answers that every contender is measured with.

A *mode* is what the contender has to decide (402, 429, 401 or proxy), a *column* how the request looks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

MODES = ("402", "429", "401", "proxy")
COLUMNS = ("fresh", "repeated", "get")
HANDSHAKE = "handshake"  # a refusal for want of money on a connection of its own, after a full handshake

CONNECTIONS = 64
PATH = "/v1/chat/completions"
PRICE = "0.001"
PROBLEM_JSON = "application/problem+json"

UPSTREAM_BODY = (
    b'{"id":"cmpl-000000000001","object":"chat.completion","created":1760000000,"model":"m-1","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"Certainly."}}],"usage":{"total_tokens":42}}'
)
UPSTREAM_ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(UPSTREAM_BODY)
    + UPSTREAM_BODY
)

REQUEST_BODY = (
    b'{"model":"m-1.0","max_tokens":64,"temperature":0.25,"messages":[{"role":"user",'
    b'"content":"In one sentence: what is the difference between a hold and a capture in card payments?"}]}'
)

LIMITED_KEY = 9_999_991
UNKNOWN_KEY = 9_999_999


@dataclass(frozen=True)
class Refusal:
    """One refusal as a peer that is not fastgw sends it: as many header fields and about as many bytes."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def _problem(code: str, status: int, title: str, detail: str) -> bytes:
    return (
        f'{{"type":"https://docs.example.com/errors/{code}","title":"{title}","status":{status},'
        f'"code":"{code}","detail":"{detail}","top_up_url":"https://example.com/billing/top-up"}}'
    ).encode()


REFUSALS = {
    "402": Refusal(
        402,
        (),
        _problem("insufficient_balance", 402, "Payment Required", "The balance of this account is too low."),
    ),
    "429": Refusal(
        429,
        (
            ("Retry-After", "3600"),
            ("RateLimit", '"default";r=0;t=3600'),
            ("RateLimit-Policy", '"default";q=1;w=3600'),
        ),
        _problem("rate_limited", 429, "Too Many Requests", "This key has sent more than its limit admits."),
    ),
    "401": Refusal(
        401,
        (("WWW-Authenticate", "Bearer"),),
        _problem("unknown_key", 401, "Unauthorized", "The key of this request is not known here."),
    ),
}


def refusal_answer(mode: str) -> bytes:
    """The whole HTTP/1.1 answer that the bare responder sends for a refusal."""
    refusal = REFUSALS[mode]
    lines = [f"HTTP/1.1 {refusal.status} Refused", "Server: floor", "Date: Fri, 20 Nov 2026 00:00:00 GMT"]
    lines += [
        f"Content-Type: {PROBLEM_JSON}",
        f"Content-Length: {len(refusal.body)}",
        "Connection: keep-alive",
    ]
    lines += [f"{name}: {value}" for name, value in refusal.headers]
    return "\r\n".join([*lines, "", ""]).encode() + refusal.body


def status_of(mode: str) -> int:
    return {"proxy": 200, HANDSHAKE: 402}.get(mode) or int(mode)


def key_text(number: int) -> str:
    return f"sk-bench-{number:07d}"


def keys(population: int) -> Iterator[tuple[str, str]]:
    """Every loaded key as (key, kind). Even numbers have no money, odd ones have plenty; one more is
    rate-limited."""
    for number in range(population):
        yield key_text(number), "rich" if number % 2 else "empty"
    yield key_text(LIMITED_KEY), "limited"


@dataclass(frozen=True)
class Case:
    """One cell of the table. ``population`` is the number of keys loaded, ``spread`` whether random ones are
    used, ``secure`` whether it is asked over TLS."""

    mode: str
    column: str
    population: int = 10
    spread: bool = False
    secure: bool = False

    @property
    def scheme(self) -> str:
        return "https" if self.secure else "http"

    @property
    def name(self) -> str:
        scheme = "TLS " if self.secure else ""
        return f"{scheme}{self.mode} {self.column}" + (f" {self.population:,} keys" if self.spread else "")

    def key_range(self) -> tuple[int, int, int]:
        """First number, step and count of the keys that this case uses."""
        if self.mode == "429":
            return LIMITED_KEY, 1, 1
        if self.mode == "401":
            return UNKNOWN_KEY, 1, 1
        first = 1 if self.mode == "proxy" else 0
        return (first, 2, self.population // 2) if self.spread else (first, 2, 1)

    def template(self, port: int, run: int) -> bytes:
        """The request with its marks: ``{key}`` always, ``{trace}`` in the column ``fresh``.

        ``run`` is part of the trace id, so that no two runs send the same head in that column.
        """
        host = f"127.0.0.1:{port}"
        if self.column == "get":
            fields: tuple[str, ...] = (f"Host: {host}", "Authorization: Bearer sk-bench-{key}")
            return "\r\n".join([f"GET {PATH} HTTP/1.1", *fields, "", ""]).encode()
        number = "{trace}" if self.column == "fresh" else "0000001"
        fields = (
            f"Host: {host}",
            "User-Agent: example-client/2.31.0 (linux; x86_64) python/3.11.2",
            "Accept: application/json",
            "Accept-Encoding: gzip, deflate",
            "Accept-Language: en-GB,en;q=0.9",
            "Authorization: Bearer sk-bench-{key}",
            f"traceparent: 00-4bf92f3577b34da6{run & 0xFFFFFFFF:08x}0{number}-00f067aa0ba902b7-01",
            "tracestate: vendor=00f067aa0ba902b7",
            "Content-Type: application/json",
            f"Content-Length: {len(REQUEST_BODY)}",
            "Origin: https://app.example.com",
            "Referer: https://app.example.com/chat",
            "X-Client-Version: 2.31.0",
            "X-Client-Platform: linux-x86_64",
            "X-Session-Id: 7f9c24e8-3b12-4d6f-9a51-0c2e5f1d8b77",
            "Cache-Control: no-cache",
        )
        head = "\r\n".join([f"POST {PATH} HTTP/1.1", *fields, "", ""])
        return head.encode() + REQUEST_BODY

    def request(self, port: int, run: int) -> bytes:
        """One request with every mark filled in, as the probe sends it."""
        number = f"{self.key_range()[0]:07d}".encode()
        return self.template(port, run).replace(b"{key}", number).replace(b"{trace}", b"fffffff")
