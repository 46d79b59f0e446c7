"""Bodies on their way to the upstream: as they come, asked for when a client wants to be asked, and not waited for when
the answer is there first."""

from __future__ import annotations

import threading

import pytest

from .client import Client
from .configs import PRICE
from .framing import request
from .oracle import Oracle, Talk
from .rig import Gateway, eventually

CHUNKED = b"Transfer-Encoding: chunked"


def post(name: str, *fields: bytes, body: bytes = b"") -> bytes:
    return request(f"POST /v1/{name} HTTP/1.1".encode(), *fields, body=body)


@pytest.mark.parametrize("size", [1, 65535, 65536, 262144, 3_000_000])
def test_a_body_of_any_size_goes_and_comes_whole(client: Client, oracle: Oracle, size: int) -> None:
    body = bytes(i % 251 for i in range(size))
    client.send(post("size", b"Content-Length: %d" % size, body=body))
    assert client.read().body == body
    client.send(post("size", CHUNKED, body=b"%x\r\n%b\r\n0\r\n\r\n" % (size, body)))
    assert client.read().body == body
    assert [len(arrival.body) for arrival in oracle.arrivals] == [size, size]


def test_a_body_is_passed_on_as_it_comes(client: Client, oracle: Oracle) -> None:
    came: list[bytes] = []

    def script(talk: Talk) -> None:
        while sum(map(len, came)) < 6:
            came.append(talk.more())
        talk.answer(200, b"".join(came))

    with oracle.script(script) as name:
        client.send(post(name, b"Content-Length: 6"))
        for part in (b"ab", b"cd", b"ef"):
            before = sum(map(len, came))
            client.send(part)
            assert eventually(lambda before=before: sum(map(len, came)) == before + 2)  # type: ignore[misc]
        assert client.read().body == b"abcdef"


def test_chunks_are_passed_on_as_they_come(client: Client, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        for _ in range(2):
            assert talk.more() == b"2\r\nab\r\n"
            taken.release()
        talk.read_body()
        talk.answer()

    taken = threading.Semaphore(0)
    with oracle.script(script) as name:
        client.send(post(name, CHUNKED))
        for _ in range(2):
            client.send(b"2\r\nab\r\n")
            assert taken.acquire(timeout=5)
        client.send(b"0\r\n\r\n")
        assert client.read().status == 200


def test_a_chunk_goes_on_before_it_has_ended(client: Client, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        while b"abc" not in talk.arrival.raw:
            talk.arrival.raw += talk.socket.recv(100)
        seen.set()
        talk.gone()

    seen = threading.Event()
    with oracle.script(script) as name:
        client.send(post(name, CHUNKED, body=b"ffff\r\nabc"))
        assert seen.wait(5)


# Expect: 100-continue (RFC 9110 §10.1.1)


def test_a_client_that_asks_is_told_to_go_on(client: Client, oracle: Oracle) -> None:
    for fields, body in (((b"Content-Length: 3",), b"abc"), ((CHUNKED,), b"3\r\nabc\r\n0\r\n\r\n")):
        client.send(post("expect", b"Expect: 100-Continue", *fields))
        interim = client.read_next()
        assert (interim.status, interim.fields) == (100, [])
        client.send(body)
        assert client.read_next().body == b"abc"
    assert [arrival.all("expect") for arrival in oracle.arrivals] == [[], []]


def test_a_client_that_does_not_wait_is_not_told(client: Client) -> None:
    client.send(post("expect", b"Expect: 100-continue", b"Content-Length: 3", body=b"abc"))
    assert client.read_next().status == 200
    client.send(post("expect", b"Expect: 100-continue", b"Content-Length: 0"))
    assert client.read_next().status == 200


@pytest.mark.parametrize("fields", [(b"Content-Length: 3",), (CHUNKED,)], ids=["length", "chunks"])
def test_a_refusal_comes_before_the_body_is_asked_for(
    gateway: Gateway, oracle: Oracle, fields: tuple[bytes, ...]
) -> None:
    poor = b"POST /v1/x HTTP/1.1\r\nHost: wire\r\nx-api-key: sk-wire-poor-0001\r\n"
    with gateway.connect() as client:
        client.send(poor + b"Expect: 100-continue\r\n" + b"\r\n".join(fields) + b"\r\n\r\n")
        answer = client.read_next()
        assert (answer.status, answer.closes) == (
            402,
            True,
        )  # the body that follows or does not cannot be told from a request
        assert client.is_ended()
    assert oracle.arrivals == []


def test_another_expectation_is_refused(client: Client, oracle: Oracle) -> None:
    client.send(post("expect", b"Expect: 200-ok", b"Content-Length: 0"))
    assert client.read().status == 417
    assert oracle.arrivals == []


def test_an_interim_100_of_the_upstream_is_not_passed_on_twice(client: Client, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        talk.answer(200, talk.read_body())

    with oracle.script(script) as name:
        client.send(post(name, b"Expect: 100-continue", b"Content-Length: 3"))
        assert client.read_next().status == 100
        client.send(b"abc")
        assert client.read_next().body == b"abc"


# Refused bodies


def test_a_small_body_of_a_refused_request_is_skipped(gateway: Gateway, oracle: Oracle) -> None:
    poor = b"POST /v1/x HTTP/1.1\r\nHost: wire\r\nx-api-key: sk-wire-poor-0001\r\nContent-Length: 40\r\n\r\n"
    for by_byte in (False, True):
        with gateway.connect() as client:
            client.send(poor + b"GET /v1/smuggled HTTP/1.1\r\nHost: smuggle\r\n"[:40], by_byte)
            client.send(request(b"GET /v1/next HTTP/1.1"), by_byte)
            assert [client.read().status, client.read().status] == [402, 200]
    assert [arrival.target for arrival in oracle.arrivals] == ["/v1/next"] * 2


@pytest.mark.parametrize("fields", [b"Content-Length: 1000000", CHUNKED], ids=["long", "chunks"])
def test_a_long_body_of_a_refused_request_ends_the_connection(gateway: Gateway, fields: bytes) -> None:
    with gateway.connect() as client:
        client.send(b"POST /v1/x HTTP/1.1\r\nHost: wire\r\nx-api-key: sk-wire-poor-0001\r\n" + fields + b"\r\n\r\n")
        client.send(b"f4240\r\n" + b"x" * 1_000_000)
        answer = client.read()
        assert (answer.status, answer.closes) == (402, True)
        assert client.is_ended()


# Early answers


@pytest.mark.parametrize("status", [200, 413])
def test_an_answer_that_comes_before_the_body_has_ended_arrives(gateway: Gateway, oracle: Oracle, status: int) -> None:
    def script(talk: Talk) -> None:
        talk.answer(status, b"early")
        talk.gone()

    before = gateway.captured("rich")
    with oracle.script(script) as name, gateway.connect() as client:
        client.send(post(name, b"Content-Length: 500000", body=b"x" * 1000))
        answer = client.read()
        assert (answer.status, answer.body, answer.closes) == (status, b"early", True)
        client.send(b"x" * 499_000)
        assert client.is_ended()
    assert gateway.captured("rich") == before + PRICE


def test_an_answer_may_stream_while_the_body_still_comes(gateway: Gateway, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        left = 6
        while left:
            part = talk.more()
            talk.send(part)
            left -= len(part)

    with oracle.script(script) as name, gateway.connect() as client:
        client.send(post(name, b"Content-Length: 6", body=b"ab"))
        answer = client.until(b"\r\n\r\n")
        for part, next_part in ((b"ab", b"cd"), (b"cd", b"ef"), (b"ef", b"")):
            assert client.exactly(2) == part
            client.send(next_part)
        assert b"Content-Length: 6\r\n" in answer


def test_an_answer_and_an_end_before_the_body_has_ended_arrive(gateway: Gateway, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        talk.answer(401, b"no")
        talk.reset()

    with oracle.script(script) as name, gateway.connect() as client:
        client.send(post(name, CHUNKED, body=b"3\r\nabc\r\n"))
        assert client.read().status == 401


# Clients that go away


def test_a_client_that_has_said_all_still_gets_its_answers(gateway: Gateway, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        body = talk.read_body()
        assert talk.gone(0.1) is False  # time in which the half-close has long arrived
        talk.keep = True
        talk.answer(200, body)

    with oracle.script(script) as name, gateway.connect() as client:
        client.send(post(name, b"Content-Length: 3", body=b"abc") + request(b"GET /v1/x HTTP/1.1"))
        client.half_close()
        assert [client.read().body, client.read().status] == [b"abc", 200]
        assert client.is_ended()


def test_refusals_reach_a_client_that_has_said_all(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.send(b"GET /v1/x HTTP/1.1\r\nHost: wire\r\n\r\n" * 3)
        client.half_close()
        assert [client.read().status for _ in range(3)] == [401] * 3
        assert client.is_ended()


def test_a_client_that_ends_inside_its_body_ends_the_call_for_free(gateway: Gateway, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        assert talk.gone()
        gone.set()

    before = gateway.captured("rich")
    for fields, body in (((b"Content-Length: 10",), b"abc"), ((CHUNKED,), b"3\r\nabc\r\n")):
        gone = threading.Event()
        with oracle.script(script) as name, gateway.connect() as client:
            client.send(post(name, *fields, body=body))
            assert eventually(lambda name=name: len(oracle.named(name)) == 1)  # type: ignore[misc]
            client.half_close()
            assert gone.wait(5)
    assert gateway.captured("rich") == before


def test_a_client_that_is_gone_before_the_answer_ends_the_call_for_free(gateway: Gateway, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        talk.read_body()
        arrived.set()
        assert talk.gone()
        gone.set()

    before = gateway.captured("rich")
    arrived, gone = threading.Event(), threading.Event()
    with oracle.script(script) as name, gateway.connect() as client:
        client.send(post(name, b"Content-Length: 3", body=b"abc"))
        assert arrived.wait(5)
        assert gateway.account("rich")["held"] == PRICE
        client.reset()
        assert gone.wait(5)
    assert gateway.captured("rich") == before


@pytest.mark.slow
def test_a_client_that_has_closed_is_told_from_one_that_has_said_all(gateway: Gateway, oracle: Oracle) -> None:
    """Both look the same to the gateway, until it says something: only the one that is gone answers with a reset."""

    def script(talk: Talk) -> None:
        talk.read_body()
        arrived.release()
        if talk.gone(wait_s):
            gone.set()
        else:
            talk.answer(200, b"late")

    before = gateway.captured("rich")
    arrived, gone, wait_s = threading.Semaphore(0), threading.Event(), 5.0
    with oracle.script(script) as name:
        with gateway.connect() as client:
            client.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
            assert arrived.acquire(timeout=5)
            client.socket.close()
            assert gone.wait(5)
        assert gateway.captured("rich") == before
        assert gateway.account("rich")["held"] == 0
        wait_s = 1.0
        with gateway.connect() as client:
            client.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
            client.half_close()
            assert client.read_next().status == 100
            assert client.read_next().body == b"late"
            assert client.is_ended()
        with gateway.connect() as client:
            client.send(request(f"GET /v1/{name} HTTP/1.0".encode(), b"Connection: close"))
            client.half_close()
            assert client.read_next().body == b"late"


def test_a_client_that_is_gone_inside_the_answer_ends_the_call_and_pays(gateway: Gateway, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(2000):
                talk.send(b"1\r\na\r\n")
                assert not gone.wait(0.005)
        except OSError:
            gone.set()
        talk.close()

    before = gateway.captured("rich")
    gone = threading.Event()
    with oracle.script(script) as name, gateway.connect() as client:
        client.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
        assert not client.is_silent(5)
        client.socket.close()
        assert gone.wait(5)
    assert gateway.captured("rich") == before + PRICE


def test_an_upstream_that_ends_inside_the_body_is_a_502(gateway: Gateway, oracle: Oracle) -> None:
    before = gateway.captured("rich")
    with oracle.script(lambda talk: talk.close()) as name, gateway.connect() as client:
        client.send(post(name, b"Content-Length: 10", body=b"abc"))
        answer = client.read()
        assert (answer.status, answer.closes) == (502, True)
        client.send(b"defghij")
        assert client.is_ended()
    assert gateway.captured("rich") == before
