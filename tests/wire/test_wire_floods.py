"""Clients that send as little as they can, as late as they may: each is cut in time, a good one beside them served."""

from __future__ import annotations

import time

import pytest

from .client import Client
from .configs import IDENTITY
from .conftest import NewHost
from .framing import request
from .oracle import Oracle, Talk
from .rig import Gateway, Host
from .test_wire_reconfigure import config

SERVER = 'body_timeout = "500ms"\nbody_min_rate = 1000\nidle_timeout = "600ms"\nhead_timeout = "400ms"'


@pytest.fixture
def host(terms: Gateway, oracle: Oracle, new_host: NewHost) -> Host:  # noqa: ARG001
    return new_host(config(oracle.port, server=SERVER))


def stalled(talk: Talk) -> None:
    talk.gone()


def trickle(client: Client, piece: bytes, pause_s: float = 0.1, within_s: float = 4.0) -> float:
    """Send pieces until something comes back; after how long it did."""
    start = time.monotonic()
    while client.is_silent(pause_s):
        assert time.monotonic() - start < within_s, "it goes on for ever"
        client.send(piece)
    return time.monotonic() - start


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
def test_a_body_slower_than_the_least_rate_is_refused_though_it_never_pauses(
    terms: Gateway, host: Host, oracle: Oracle, chunked: bool
) -> None:
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 100000"
    with oracle.script(stalled) as name, host.connect() as client:
        client.send(request(f"POST /v1/{name} HTTP/1.1".encode(), framing))
        took = trickle(client, b"1\r\na\r\n" if chunked else b"a")
        answer = client.read()
        assert (answer.status, answer.closes) == (408, True)
        assert b'"code":"request_timeout"' in answer.body
        assert took > 0.5
    terms.captured("rich")  # nothing stays held


def test_a_body_as_fast_as_the_least_rate_may_take_its_time(host: Host) -> None:
    size = 4_000
    with host.connect() as client:
        client.send(request(b"POST /v1/x HTTP/1.1", b"Content-Length: %d" % size))
        for _ in range(size // 200):
            client.send(bytes(200))
            assert client.is_silent(0.06) or client.buffer.startswith(b"HTTP/1.1 200")
        assert client.read().status == 200


def test_time_in_which_the_upstream_takes_nothing_is_not_the_client_s(host: Host, oracle: Oracle) -> None:
    """Its own deadline counts then; the client's begins anew where it stood."""
    size = 12_000_000

    def script(talk: Talk) -> None:
        time.sleep(1.2)
        talk.read_body()
        talk.answer()

    with oracle.script(script) as name, host.connect() as client:
        client.send(request(f"POST /v1/{name} HTTP/1.1".encode(), b"Content-Length: %d" % size, body=bytes(size)))
        assert client.read().status == 200


def test_a_refused_body_wins_no_time_by_coming_in_pieces(host: Host) -> None:
    with host.connect() as client:
        client.send(b"POST /v1/x HTTP/1.1\r\nHost: wire\r\nContent-Length: 9999\r\n\r\n")
        assert client.read().status == 401
        assert trickle(client, b"abc") > 0.3
        assert client.read().status == 408
        assert client.is_ended()


def test_empty_lines_win_no_time(host: Host) -> None:
    with host.connect() as client:
        assert trickle(client, b"\r\n") > 0.4
        assert client.is_ended()
    with host.connect() as client:
        client.send(request(b"GET /v1/x HTTP/1.1") + b"\r")
        assert client.read().status == 200
        assert not client.is_silent(3)  # a lone CR is waited for like an idle connection
        assert client.read().status == 408


def test_a_flood_of_slow_ones_leaves_a_good_client_alone(host: Host) -> None:
    """Heads and bodies that do not end, by the hundred, beside calls that are answered as ever."""
    slow = []
    for number in range(200):
        client = host.connect()
        client.send(b"GET /v1/x HTTP/1.1\r\nX-Slow: " if number % 2 else b"POST /v1/x HTTP/1.1\r\n" + IDENTITY
                    + b"Content-Length: 1000\r\n\r\na")  # fmt: skip
        slow.append(client)
    with host.connect() as good:
        for _ in range(100):
            good.send(request(b"GET /v1/x HTTP/1.1"))
            assert good.read().status == 200
    for client in slow:
        with client:
            assert client.read().status == 408
            assert client.is_ended()
