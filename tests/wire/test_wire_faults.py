"""An upstream that fails: what the client sees, what it pays, and that no call is made twice that may not be."""

from __future__ import annotations

import threading

import pytest

from .client import Client, TruncatedError
from .configs import PRICE
from .framing import request
from .oracle import Oracle, Script, Talk
from .rig import Gateway, eventually


def post(name: str) -> bytes:
    return request(f"POST /v1/{name} HTTP/1.1".encode(), b"Content-Length: 3", body=b"abc")


def get(name: str, version: str = "1.1") -> bytes:
    return request(f"GET /v1/{name} HTTP/{version}".encode())


def test_an_upstream_that_refuses_connections_is_a_502_that_may_be_tried_again(
    gateway: Gateway, client: Client
) -> None:
    before = gateway.captured("rich")
    for method in (b"GET", b"POST"):
        client.send(request(method + b" /dead/x HTTP/1.1", b"Content-Length: 0"))
        answer = client.read()
        assert (answer.status, answer.one("retry-after"), answer.all("x-should-retry")) == (502, "1", [])
        assert b'"code":"upstream_unreachable"' in answer.body
        assert b'"retryable":true' in answer.body
    assert gateway.captured("rich") == before


def test_a_POST_that_may_have_been_served_is_not_repeated(gateway: Gateway, client: Client, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        talk.read_body()
        talk.reset()

    before = gateway.captured("rich")
    with oracle.script(script) as name:
        client.send(post(name))
        answer = client.read()
    assert (answer.status, answer.one("x-should-retry"), answer.all("retry-after")) == (502, "false", [])
    assert b'"retryable":false' in answer.body
    assert len(oracle.named(name)) == 1
    assert gateway.captured("rich") == before


def test_a_GET_that_is_never_answered_is_repeated_twice(client: Client, oracle: Oracle) -> None:
    with oracle.script(lambda talk: talk.reset()) as name:
        client.send(get(name))
        answer = client.read()
    assert (answer.status, answer.one("x-should-retry")) == (502, "false")
    assert 3 <= len(oracle.named(name)) <= 4  # once more, if the first went out on a kept-alive connection


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "PATCH"])
def test_a_kept_alive_connection_that_ends_as_it_is_used(client: Client, oracle: Oracle, method: str, end: str) -> None:
    """What may be repeated (RFC 9110 §9.2.2) is, once, on a new connection; what may not is a 502."""
    first = threading.Event()

    def script(talk: Talk) -> None:
        if first.is_set():
            talk.answer()
            return
        first.set()
        getattr(talk, end)()

    warm_up(client, oracle)
    with oracle.script(script) as name:
        client.send(request(f"{method} /v1/{name} HTTP/1.1".encode()))
        answer = client.read(method)
    repeatable = method in ("GET", "HEAD", "PUT")
    assert answer.status == (200 if repeatable else 502)
    assert len(oracle.named(name)) == (2 if repeatable else 1)


def warm_up(client: Client, oracle: Oracle) -> None:
    """Leave a connection to the upstream in the pool."""
    client.send(get("warm-up"))
    assert client.read().status == 200
    oracle.arrivals.clear()


def test_a_connection_that_ended_while_idle_is_not_used(gateway: Gateway, client: Client, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        talk.answer()
        talk.close()

    def upstreams() -> int:
        return int(gateway.segment.worker(0)["upstreams"])

    with oracle.script(script) as name:
        while upstreams():  # end those that are there
            client.send(get(name))
            assert client.read().status == 200
            eventually(lambda: upstreams() == 0, 0.05)
        for _ in range(50):
            client.send(get(name))
            assert client.read().status == 200
            assert eventually(lambda: upstreams() == 0)
            client.send(post("after"))
            assert client.read().status == 200


def test_idle_connections_that_end_at_any_moment_cost_no_GET_and_double_no_POST(
    gateway: Gateway, client: Client, oracle: Oracle
) -> None:
    """The upstream closes right behind each answer, as the next request comes."""

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.answer()
        talk.close()

    before = gateway.captured("rich")
    served = 0
    with oracle.script(script) as name:
        for number in range(300):
            client.send(get(f"{name}/get-{number}"))
            assert client.read().status == 200
            client.send(post(f"{name}/post-{number}"))
            status = client.read().status
            assert status in (200, 502)
            served += 1 + (status == 200)
    for number in range(300):
        assert sum(arrival.target.endswith(f"/post-{number}") for arrival in oracle.arrivals) <= 1
    assert gateway.captured("rich") == before + served * PRICE


CUTS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "inside a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
    "before the last line": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
}


def cutting(data: bytes, end: str, ready: threading.Event) -> Script:
    def script(talk: Talk) -> None:
        talk.send(data)
        assert ready.wait(5)
        getattr(talk, end)()

    return script


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("data", CUTS.values(), ids=CUTS.keys())
def test_a_body_that_is_cut_never_looks_whole(
    gateway: Gateway, client: Client, oracle: Oracle, data: bytes, end: str, version: str
) -> None:
    ready = threading.Event()
    with oracle.script(cutting(data, end, ready)) as name:
        client.send(get(name, version))
        assert not client.is_silent(5)
        ready.set()
        with pytest.raises(TruncatedError):
            client.read()
    assert len(oracle.named(name)) == 1
    gateway.captured("rich")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_body_that_ends_with_its_connection_and_is_reset_never_looks_whole(
    client: Client, oracle: Oracle, version: str
) -> None:
    ready = threading.Event()
    with oracle.script(cutting(b"HTTP/1.1 200 OK\r\n\r\nabc", "reset", ready)) as name:
        client.send(get(name, version))
        assert not client.is_silent(5)
        ready.set()
        with pytest.raises(TruncatedError):
            client.read()


def test_what_came_before_the_cut_arrives(client: Client, oracle: Oracle) -> None:
    ready = threading.Event()
    ready.set()
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" + b"x" * 100_000
    with oracle.script(cutting(data, "close", ready)) as name:
        client.send(get(name))
        with pytest.raises(TruncatedError) as cut:
            client.read()
    assert cut.value.body == b"x" * 100_000


@pytest.mark.parametrize("status", [500, 502, 503, 599])
def test_an_upstream_s_own_failure_is_passed_on_and_free(
    gateway: Gateway, client: Client, oracle: Oracle, status: int
) -> None:
    before = gateway.captured("rich")
    with oracle.script(lambda talk: talk.answer(status, b"my own words", "Retry-After: 7")) as name:
        client.send(get(name))
        answer = client.read()
    assert (answer.status, answer.body, answer.one("retry-after")) == (status, b"my own words", "7")
    assert gateway.captured("rich") == before


@pytest.mark.parametrize("status", [200, 201, 302, 400, 404, 429])
def test_an_upstream_s_answer_below_500_is_passed_on_and_charged(
    gateway: Gateway, client: Client, oracle: Oracle, status: int
) -> None:
    before = gateway.captured("rich")
    with oracle.script(lambda talk: talk.answer(status, b"my own words")) as name:
        client.send(get(name))
        answer = client.read()
    assert (answer.status, answer.body) == (status, b"my own words")
    assert gateway.captured("rich") == before + PRICE
