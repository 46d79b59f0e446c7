"""A gate says who may call: one verdict a request, in a fixed order, and a refusal moves no bucket and no balance."""

import re
import time
from collections.abc import Callable
from typing import Any

import _kernels
import orjson
import pytest
from kernel_build import make_gate, money

from fastgw._call import Peer
from fastgw._core import Gate
from fastgw._segment import Segment, account_digest
from fastgw.control.metrics import SegmentCollector
from fastgw.model import Rate
from fastgw.refusals import DIALECTS, TABLE, Refusal

PEER = Peer("192.0.2.1", 4711)
ACTIVE, REVOKED = 1, 2
HOUR_NS = 3600 * 10**9
# Of the Anthropic API's error objects (its SDK's `shared.ErrorObject`), and 413's
ANTHROPIC_KINDS = {
    "invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error",
    "rate_limit_error", "timeout_error", "overloaded_error", "api_error", "request_too_large",
}  # fmt: skip
Decide = Callable[..., Refusal]


def request(path: str = "/v1/x", key: str | None = "sk", method: str = "POST", *lines: str) -> bytes:
    fields = ["Host: api.example.com", *lines, *([f"Authorization: Bearer {key}"] if key else [])]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *fields, "", ""]).encode()


def decide(gate: Gate, data: bytes) -> Refusal:
    assert gate.begin(data, 0, len(data)) == 0
    return Refusal(gate.decide(PEER))


@pytest.fixture
def accounts(segment: Segment) -> Segment:
    """acme has 100 nanos; its keys: sk, old (expired), gone (revoked), slow (one call an hour), new and late."""
    segment.add_account(account_digest("acme"), 100, 0)
    slow = segment.limit(1, HOUR_NS, 1)
    now = int(time.time())
    for name, limit, status, expires in (
        ("sk", 0, ACTIVE, 0), ("old", 0, ACTIVE, now - 1), ("gone", 0, REVOKED, 0), ("slow", slow, ACTIVE, 0),
        ("new", 0, ACTIVE, now + 3600), ("late", 0, ACTIVE, 253_402_300_799),
    ):  # fmt: skip
        segment.add_key(segment.digest(name.encode()), 0, limit, status, expires)
    return segment


def books(segment: Segment) -> Any:
    return segment.account(0), [_kernels.bucket_words(segment, 0, key) for key in range(segment.key_count)]


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (request(), Refusal.ADMITTED),
        (request(key="new"), Refusal.ADMITTED),
        (request(key="late"), Refusal.ADMITTED),
        (request("/v1/../x"), Refusal.BAD_REQUEST),
        (request("/v1/%2E%2e/x"), Refusal.BAD_REQUEST),
        (request(method="TRACE"), Refusal.NOT_IMPLEMENTED),
        (request("/v2"), Refusal.NO_ROUTE),
        (request("/v1x"), Refusal.NO_ROUTE),
        (request("/v1/x", "sk", "POST", "Expect: 200-maybe"), Refusal.EXPECTATION_FAILED),
        (request("/v1/x", "sk", "POST", "Content-Length: 1001"), Refusal.BODY_TOO_LARGE),
        (request(key=None), Refusal.MISSING_KEY),
        (request("/v1/x", None, "POST", "Authorization: Basic c2s="), Refusal.MISSING_KEY),
        (request(key="other"), Refusal.UNKNOWN_KEY),
        (request(key="sk "), Refusal.ADMITTED),
        (request(key="SK"), Refusal.UNKNOWN_KEY),
        (request("/v1/x", "sk", "POST", "X-Api-Key: other"), Refusal.AMBIGUOUS_KEY),
        (request("/v1/x", "sk", "POST", "X-Api-Key: sk"), Refusal.ADMITTED),
        (request(key="gone"), Refusal.REVOKED_KEY),
        (request(key="old"), Refusal.EXPIRED_KEY),
    ],
)
def test_each_request_has_its_verdict_and_a_refusal_changes_nothing(
    accounts: Segment, data: bytes, verdict: Refusal
) -> None:
    gate = make_gate(accounts, 0, {"path": b"/v1", "price_nanos": 7, "rate": Rate(1, HOUR_NS, 9)}, body_max=1000)
    before = books(accounts)
    assert decide(gate, data) == verdict
    if verdict is not Refusal.ADMITTED:
        assert books(accounts) == before
    else:
        gate.settle(gate.ticket(), 0, 200, False, -1, 0, 0, 1)


def test_an_account_pays_for_exactly_what_it_has(accounts: Segment) -> None:
    gate = make_gate(accounts, 0, {"price_nanos": 30})
    tickets = []
    for _ in range(3):
        assert decide(gate, request()) is Refusal.ADMITTED
        tickets.append(gate.ticket())
    assert decide(gate, request()) is Refusal.BALANCE_HELD
    gate.settle(tickets[0], 0, 200, False, -1, 0, 0, 1)
    assert decide(gate, request()) is Refusal.ADMITTED
    for ticket in (gate.ticket(), *tickets[1:]):
        assert ticket.held_nanos == 30
        gate.settle(ticket, 0, 200, True, -1, 0, 0, 1)
        gate.settle(ticket, 0, 200, True, -1, 0, 0, 1)  # only the first time counts
        assert ticket.settled
    assert decide(gate, request()) is Refusal.INSUFFICIENT_BALANCE
    assert money(accounts, 0) == {"granted": 100, "credit": 0, "committed": 90, "captured": 90, "held": 0}


def test_a_call_whose_client_went_away_is_void_and_counted_as_that(accounts: Segment) -> None:
    gate = make_gate(accounts, 0, {"price_nanos": 30})
    assert decide(gate, request()) is Refusal.ADMITTED
    gate.settle(gate.ticket(), Refusal.CLIENT_GONE, 0, False, -1, 0, 0, 1)
    assert accounts.account(0)["committed"] == 0
    counters = accounts.counters(0, 0)
    assert (counters[Refusal.CLIENT_GONE], counters[Refusal.ADMITTED]) == (1, 0)


def test_the_tighter_limit_decides_and_a_refusal_by_one_takes_nothing_from_the_other(accounts: Segment) -> None:
    gate = make_gate(accounts, 0, {"price_nanos": 1, "rate": Rate(1, HOUR_NS, 3)})
    assert decide(gate, request(key="slow")) is Refusal.ADMITTED
    before = books(accounts)
    assert decide(gate, request(key="slow")) is Refusal.RATE_LIMITED
    lines = gate.refuse(Refusal.RATE_LIMITED, False).decode()
    assert re.search(r"Retry-After: (3600|3599)\r\n", lines)
    assert 'RateLimit-Policy: "key";q=1;w=3600\r\n' in lines
    assert books(accounts) == before
    for _ in range(3):
        assert decide(gate, request()) is Refusal.ADMITTED
    before = books(accounts)
    assert decide(gate, request()) is Refusal.RATE_LIMITED
    assert re.search(r'RateLimit: "api";r=0;t=3600\r\n', gate.refuse(Refusal.RATE_LIMITED, False).decode())
    assert books(accounts) == before


def test_no_money_takes_no_call_from_the_limit(accounts: Segment) -> None:
    gate = make_gate(accounts, 0, {"price_nanos": 101, "rate": Rate(1, HOUR_NS, 3)})
    before = books(accounts)
    assert decide(gate, request()) is Refusal.INSUFFICIENT_BALANCE
    assert books(accounts) == before


def test_the_longest_path_of_the_most_exact_host_that_takes_the_method_is_the_route(accounts: Segment) -> None:
    rows: list[dict[str, Any]] = [
        {"name": b"all", "path": b"/", "needs_key": False},
        {"name": b"v1", "path": b"/v1", "needs_key": False},
        {"name": b"post", "path": b"/v1/chat", "methods": 1 << 3, "needs_key": False},
        {"name": b"host", "path": b"/v1", "hosts": (b"api.example.com",), "needs_key": False, "slot": 0},
    ]
    gate = make_gate(accounts, 0, *rows[:3])
    for path, method, index in (
        ("/", "GET", 0), ("/v1", "GET", 1), ("/v1x", "GET", 0), ("/v1/", "GET", 1), ("/v1/chat", "POST", 2),
        ("/v1/chat?x=/", "POST", 2), ("/v1/chat", "GET", 1), ("/v1/chatter", "POST", 1), ("/v1/chat/y", "POST", 2),
    ):  # fmt: skip
        assert decide(gate, request(path, None, method)) is Refusal.ADMITTED
        assert gate.route_index == index, (path, method)
    gate = make_gate(accounts, 0, *rows)
    assert decide(gate, request("/v1/chat", None, "POST")) is Refusal.ADMITTED
    assert gate.route_index == 3
    assert decide(gate, request("/other", None, "POST")) is Refusal.ADMITTED
    assert gate.route_index == 0


@pytest.mark.parametrize("refusal", list(TABLE))
@pytest.mark.parametrize("dialect", range(len(DIALECTS)), ids=DIALECTS)
def test_every_refusal_is_a_whole_answer_counted_and_recorded(
    accounts: Segment, refusal: Refusal, dialect: int
) -> None:
    gate = make_gate(accounts, 0, {"dialect": dialect, "price_nanos": 1})
    gate.tick(b"Date: Fri, 20 Nov 2026 00:00:00 GMT\r\n")
    assert decide(gate, request()) is Refusal.ADMITTED
    gate.settle(gate.ticket(), 0, 200, False, -1, 0, 0, 1)
    if refusal is Refusal.RATE_LIMITED:
        accounts.set_key(0, 0, 1, ACTIVE, 0)
        assert decide(gate, request()) is Refusal.ADMITTED
        assert decide(gate, request()) is Refusal.RATE_LIMITED
    answer = gate.refuse(refusal, True)
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:])
    row = TABLE[refusal]
    assert lines[0].startswith(f"HTTP/1.1 {row.status} ")
    assert fields["Content-Length"] == str(len(body))
    assert fields["Connection"] == "close"
    assert fields["Date"] == "Fri, 20 Nov 2026 00:00:00 GMT"
    assert re.fullmatch("[0-9a-f]{32}", fields["X-Request-Id"])
    assert ("WWW-Authenticate" in fields) == (row.status == 401)
    assert ("Retry-After" in fields) == (refusal is Refusal.RATE_LIMITED or bool(row.retry_after_s))
    document = orjson.loads(body)
    inner = document["error"] if dialect else document
    assert fields.get("Request-Id") == (fields["X-Request-Id"] if DIALECTS[dialect] == "anthropic" else None)
    assert inner["code"] == refusal.name.lower()
    assert list(inner)[len(inner) - len(row.numbers) :] == [number.name.lower() for number in row.numbers]
    if DIALECTS[dialect] == "anthropic":
        assert (document["type"], document["request_id"]) == ("error", fields["X-Request-Id"])
        assert list(document) == ["type", "error", "request_id"]
        assert inner["type"] in ANTHROPIC_KINDS
        assert (inner["message"], inner["retryable"]) == (row.detail, row.retryable)
    assert accounts.counters(0, 0)[refusal] == 1
    labels = {
        sample.labels["verdict"] for metric in SegmentCollector(accounts).collect()
        if metric.name == "fastgw_requests" for sample in metric.samples
    }  # fmt: skip
    assert refusal.name.lower() in labels


def test_refusals_are_the_errors_that_an_sdk_of_the_anthropic_api_knows(accounts: Segment) -> None:
    gate = make_gate(accounts, 0, {"dialect": DIALECTS.index("anthropic")})
    for refusal, status, kind in (
        (Refusal.UNKNOWN_KEY, 401, "authentication_error"),
        (Refusal.INSUFFICIENT_BALANCE, 402, "billing_error"),
        (Refusal.TOKEN_QUOTA_EXHAUSTED, 402, "billing_error"),
        (Refusal.TAG_BUDGET_EXHAUSTED, 402, "billing_error"),
        (Refusal.ACCOUNT_SUSPENDED, 403, "permission_error"),
        (Refusal.MODEL_NOT_FOUND, 404, "not_found_error"),
        (Refusal.INVALID_BODY, 400, "invalid_request_error"),
        (Refusal.UNSUPPORTED_PARAMETER, 400, "invalid_request_error"),
        (Refusal.TOO_MANY_TOKENS, 400, "invalid_request_error"),
        (Refusal.UNKNOWN_TAG, 400, "invalid_request_error"),
        (Refusal.BODY_TOO_LARGE, 413, "request_too_large"),
        (Refusal.TOKENS_LIMITED, 429, "rate_limit_error"),
        (Refusal.PROVIDER_REFUSED, 502, "api_error"),
        (Refusal.ANSWER_TOO_LARGE, 502, "api_error"),
        (Refusal.MODEL_UNAVAILABLE, 503, "overloaded_error"),
        (Refusal.UPSTREAM_TIMEOUT, 504, "timeout_error"),
    ):
        assert decide(gate, request()) is Refusal.ADMITTED
        head, _, body = gate.fail(gate.ticket(), refusal, False).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"\r\nContent-Type: application/json\r\n" in head
        assert orjson.loads(body)["error"]["type"] == kind


@pytest.mark.parametrize(
    ("refusal", "retry_after", "should_retry"),
    [
        (Refusal.BALANCE_HELD, "1", "true"),  # nor do they repeat a 402 that they should
        (Refusal.INSUFFICIENT_BALANCE, None, None),
        (Refusal.IDEMPOTENCY_KEY_INVALID, None, None),
        (Refusal.IDEMPOTENCY_IN_FLIGHT, "1", None),
        (Refusal.IDEMPOTENCY_NO_ANSWER, None, "false"),  # clients repeat a 409 unless they are told not to
        (Refusal.IDEMPOTENCY_MISMATCH, None, None),
    ],
)
def test_a_refused_call_is_told_whether_to_come_again(
    accounts: Segment, refusal: Refusal, retry_after: str | None, should_retry: str | None
) -> None:
    gate = make_gate(accounts, 0, {})
    assert decide(gate, request()) is Refusal.ADMITTED
    lines = gate.fail(gate.ticket(), refusal, False).partition(b"\r\n\r\n")[0].decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:])
    assert (fields.get("Retry-After"), fields.get("X-Should-Retry")) == (retry_after, should_retry)


def test_a_head_request_is_refused_without_a_body_but_with_its_length(accounts: Segment) -> None:
    gate = make_gate(accounts, 0, {})
    assert decide(gate, request("/", None, "HEAD")) is Refusal.MISSING_KEY
    answer = gate.refuse(Refusal.MISSING_KEY, False)
    assert answer.endswith(b"\r\n\r\n")
    assert re.search(rb"Content-Length: [1-9]", answer)
    assert b"Connection" not in answer


def test_the_length_of_a_body_with_numbers_is_that_of_every_length_that_it_has(accounts: Segment) -> None:
    for price in (101, 10**9, 123_456_789_012_345_678):
        gate = make_gate(accounts, 0, {"price_nanos": price})
        answers = []
        for method in ("GET", "HEAD"):
            assert decide(gate, request(method=method)) is Refusal.INSUFFICIENT_BALANCE
            answers.append(gate.refuse(Refusal.INSUFFICIENT_BALANCE, False).partition(b"\r\n\r\n"))
        (get, _, body), (head, _, nothing) = answers
        assert nothing == b""
        for lines in (get, head):
            assert lines.endswith(b"\r\nContent-Length: %d" % len(body))
        assert orjson.loads(body)["price"] == _kernels.money(price).decode()


def test_a_gate_of_named_hosts_can_be_thrown_away_by_the_collector(accounts: Segment) -> None:
    for _ in range(100):
        make_gate(accounts, 0, {"hosts": (b"a", b"b")}, {"path": b"/x"})
