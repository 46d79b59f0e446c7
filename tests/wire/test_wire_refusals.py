"""What a refusal says: its status, its code, how to go on, in the dialect of its route (RFC 9457, RFC 9110 §10.2.3 and
§11.6.1, draft-ietf-httpapi-ratelimit-headers)."""

from __future__ import annotations

import json
import re
import threading
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from .client import Answer, Client
from .configs import KEY
from .oracle import Oracle, Talk
from .rig import Gateway

DOCS = "https://docs.example/errors"
TOP_UP = "https://pay.example/"


def call(client: Client, path: str, key: str = "", method: str = "GET") -> Answer:
    line = f"x-api-key: {key}\r\n" if key else ""
    client.send(f"{method} {path} HTTP/1.1\r\nHost: wire\r\n{line}\r\n".encode())
    return client.read(method)


def assert_problem(answer: Answer, code: str, retryable: bool = False) -> dict[str, Any]:
    assert answer.one("content-type") == "application/problem+json"
    problem: dict[str, Any] = json.loads(answer.body)
    assert (problem["status"], problem["code"], problem["retryable"]) == (answer.status, code, retryable)
    assert problem["type"] == problem["docs_url"] == f"{DOCS}#{code}"
    assert problem["title"]
    assert problem["detail"].endswith(".")
    return problem


def assert_openai(answer: Answer, code: str, kind: str) -> dict[str, Any]:
    assert answer.one("content-type") == "application/json"
    document: dict[str, Any] = json.loads(answer.body)
    error: dict[str, Any] = document["error"]
    assert list(document) == ["error"]
    assert (error["code"], error["type"], error["param"], error["docs_url"]) == (code, kind, None, f"{DOCS}#{code}")
    assert error["message"].endswith(".")
    return error


KEYS = {"": "missing_key", "sk-wire-nobody-1": "unknown_key", "sk-wire-revoked-1": "revoked_key",
        "sk-wire-expired-1": "expired_key"}  # fmt: skip


@pytest.mark.parametrize(("key", "code"), KEYS.items(), ids=KEYS.values())
def test_a_401_says_how_to_authenticate(client: Client, key: str, code: str) -> None:
    plain, openai = call(client, "/v1/x", key), call(client, "/openai/x", key)
    assert (plain.status, openai.status) == (401, 401)
    assert_problem(plain, code)
    assert_openai(openai, code, "authentication_error")
    wanted = 'Bearer realm="wire"' + (', error="invalid_token"' if key else "")
    assert (plain.all("www-authenticate"), openai.all("www-authenticate")) == ([wanted], [wanted])


def test_a_402_says_where_to_pay(client: Client) -> None:
    plain, openai = call(client, "/v1/x", "sk-wire-poor-0001"), call(client, "/openai/x", "sk-wire-poor-0001")
    assert (plain.status, openai.status) == (402, 402)
    problem = assert_problem(plain, "insufficient_balance")
    error = assert_openai(openai, "insufficient_balance", "insufficient_quota")
    for said in (problem, error):
        assert (said["top_up_url"], said["price"], said["available"]) == (TOP_UP, "0.001", "0.0009")
    assert plain.all("retry-after") == []


def test_a_402_for_money_that_is_only_held_says_when_to_come_again(gateway: Gateway, oracle: Oracle) -> None:
    arrived, done = threading.Event(), threading.Event()

    def script(talk: Talk) -> None:
        arrived.set()
        assert done.wait(10)
        talk.answer(500)  # free, so that the account stays as it was

    with oracle.script(script) as name, gateway.connect() as first, gateway.connect() as second:
        first.send(f"GET /v1/{name} HTTP/1.1\r\nHost: wire\r\nx-api-key: sk-wire-once-0001\r\n\r\n".encode())
        assert arrived.wait(10)
        plain, openai = call(second, "/v1/x", "sk-wire-once-0001"), call(second, "/openai/x", "sk-wire-once-0001")
        done.set()
        assert first.read().status == 500
    assert (plain.status, plain.one("retry-after")) == (402, "1")
    assert (openai.status, openai.one("retry-after")) == (402, "1")
    assert_problem(plain, "balance_held", retryable=True)
    assert_openai(openai, "balance_held", "insufficient_quota")


POLICY = re.compile(r'"([^"]+)";q=([0-9]+);w=([0-9]+)')
LIMIT = re.compile(r'"([^"]+)";r=([0-9]+);t=([0-9]+)')


def assert_limited(answer: Answer, name: str, quota: int, window_s: int) -> None:
    policy, limit = POLICY.fullmatch(answer.one("ratelimit-policy")), LIMIT.fullmatch(answer.one("ratelimit"))
    assert policy is not None
    assert limit is not None
    assert (policy[1], int(policy[2]), int(policy[3])) == (name, quota, window_s)
    assert (limit[1], int(limit[2])) == (name, 0)
    assert 1 <= int(limit[3]) <= window_s
    assert answer.one("retry-after") == limit[3]


def test_a_429_says_which_limit_and_when_to_come_again(client: Client, oracle: Oracle) -> None:
    statuses = [call(client, "/limited/x", "sk-wire-limited-2").status for _ in range(2)]
    answer = call(client, "/limited/x", "sk-wire-limited-2")
    assert (statuses, answer.status) == ([200, 200], 429)
    assert_problem(answer, "rate_limited", retryable=True)
    assert_limited(answer, "limited", 2, 40)  # 2 calls, refilled at 3 a minute
    assert len(oracle.arrivals) == 2


def test_a_429_of_the_key_s_own_limit_says_so(client: Client) -> None:
    assert call(client, "/openai/x", "sk-wire-limited-1").status == 200
    answer = call(client, "/openai/x", "sk-wire-limited-1")
    assert answer.status == 429
    assert_openai(answer, "rate_limited", "rate_limit_exceeded")
    assert_limited(answer, "key", 1, 30)


def test_a_refusal_that_is_no_429_says_nothing_of_limits(client: Client) -> None:
    answer = call(client, "/v1/x", "sk-wire-poor-0001")
    assert answer.all("ratelimit") + answer.all("ratelimit-policy") == []


REFUSALS = {
    "400": ("GET", "/v1/..", KEY, 400, "bad_request"),
    "401": ("GET", "/v1/x", "", 401, "missing_key"),
    "402": ("GET", "/v1/x", "sk-wire-poor-0001", 402, "insufficient_balance"),
    "404": ("GET", "/nowhere", KEY, 404, "no_route"),
    "501": ("TRACE", "/v1/x", KEY, 501, "not_implemented"),
    "502": ("GET", "/dead/x", KEY, 502, "upstream_unreachable"),
}


@pytest.mark.parametrize(("method", "path", "key", "status", "code"), REFUSALS.values(), ids=REFUSALS.keys())
def test_every_refusal_is_dated_has_an_id_and_keeps_the_connection(
    client: Client, method: str, path: str, key: str, status: int, code: str
) -> None:
    answers = [call(client, path, key, method) for _ in range(2)]
    for answer in answers:
        assert answer.status == status
        assert answer.reason
        assert_problem(answer, code, retryable=status == 502)
        parsedate_to_datetime(answer.one("date"))
        assert re.fullmatch("[0-9a-f]{32}", answer.one("x-request-id"))
        assert answer.all("connection") == []
    assert answers[0].one("x-request-id") != answers[1].one("x-request-id")
    assert call(client, "/v1/x", KEY).status == 200


def test_a_refused_HEAD_has_no_body_but_its_length(client: Client) -> None:
    head, get = call(client, "/v1/x", method="HEAD"), call(client, "/v1/x")
    assert (head.status, head.body) == (401, b"")
    assert head.one("content-length") == get.one("content-length") == str(len(get.body))
    dead = call(client, "/dead/x", KEY, "HEAD")
    assert (dead.status, dead.body) == (502, b"")
    assert call(client, "/v1/x", KEY).status == 200


def test_a_refused_HTTP_1_0_client_is_refused_alike(client: Client) -> None:
    client.send(b"GET /v1/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert client.read().all("connection") == ["keep-alive"]
    client.send(b"GET /v1/x HTTP/1.0\r\n\r\n")
    assert client.read().closes
    assert client.is_ended()
