"""Everything that can take too long has a deadline: a head, a body, the pause between requests, the connection to the
upstream, its first byte, the pauses of its answer, a client that does not read, and the call as a whole."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from .client import Client, TruncatedError
from .configs import PRICE
from .conftest import NewHost
from .framing import request
from .oracle import Oracle, Talk
from .rig import Gateway, eventually

GET = b"GET /v1/x HTTP/1.1"
CHUNKED = b"Transfer-Encoding: chunked"


@contextmanager
def takes(least_s: float, most_s: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert least_s <= time.monotonic() - start <= most_s


@contextmanager
def free_of_charge(gateway: Gateway) -> Iterator[None]:
    before = gateway.captured("rich")
    yield
    assert gateway.captured("rich") == before


def stalled(talk: Talk) -> None:
    talk.gone()


def test_a_head_that_does_not_end_is_refused(short: Gateway) -> None:
    with short.connect() as client, takes(0.15, 3):
        client.send(GET + b"\r\nHost: w")
        answer = client.read()
        assert (answer.status, answer.closes) == (408, True)
        assert client.is_ended()


def test_a_head_that_trickles_has_no_longer(short: Gateway) -> None:
    with short.connect() as client, takes(0.15, 3):
        client.send(GET + b"\r\n")
        while client.is_silent(0.05):
            client.send(b"X-A: b\r\n")
        assert client.read().status == 408


def test_a_head_behind_an_answer_has_its_own_time(short: Gateway) -> None:
    with short.connect() as client, takes(0.15, 3):
        client.send(request(GET) + GET)
        assert client.read().status == 200
        assert client.read().status == 408


def test_a_connection_without_a_request_is_closed(short: Gateway) -> None:
    with short.connect() as client, takes(0.25, 3):
        assert client.is_ended()
    with short.connect() as client:
        client.send(request(GET))
        assert client.read().status == 200
        with takes(0.25, 3):
            assert client.is_ended()


def test_a_request_that_a_plane_had_no_turn_to_read_in_time_is_served(new_host: NewHost, oracle: Oracle) -> None:
    host = new_host(
        f'[server]\nidle_timeout = "200ms"\n[[upstreams]]\nname = "o"\ntargets = ["http://127.0.0.1:{oracle.port}"]\n'
        '[[routes]]\nname = "api"\npath = "/v1/"\nupstream = "o"\n'
    )
    with host.connect() as client:
        for _ in range(3):
            host.process.send_signal(signal.SIGSTOP)
            client.send(request(GET))
            time.sleep(0.5)
            host.process.send_signal(signal.SIGCONT)
            assert client.read().status == 200


@pytest.mark.parametrize("fields", [b"Content-Length: 9", CHUNKED], ids=["length", "chunks"])
def test_a_body_that_pauses_is_refused(short: Gateway, oracle: Oracle, fields: bytes) -> None:
    with oracle.script(stalled) as name, short.connect() as client, free_of_charge(short), takes(0.15, 3):
        client.send(request(f"POST /v1/{name} HTTP/1.1".encode(), fields, body=b"3\r\nabc\r\n"))
        answer = client.read()
        assert (answer.status, answer.closes) == (408, True)
        assert client.is_ended()


def test_a_refused_body_that_pauses_ends_the_connection(short: Gateway) -> None:
    with short.connect() as client, takes(0.15, 3):
        client.send(b"POST /v1/x HTTP/1.1\r\nHost: wire\r\nContent-Length: 9\r\n\r\nabc")
        assert client.read().status == 401
        assert client.read().status == 408
        assert client.is_ended()


def test_an_upstream_that_accepts_no_connection_is_a_504(short: Gateway) -> None:
    with short.connect() as client, free_of_charge(short):
        for method in (b"GET", b"POST"):
            with takes(0.15, 3):
                client.send(request(method + b" /hole/x HTTP/1.1"))
                answer = client.read()
            assert (answer.status, answer.one("retry-after"), answer.closes) == (504, "1", False)
            assert b'"code":"upstream_connect_timeout"' in answer.body
            assert answer.all("x-should-retry") == []


def test_a_connection_that_is_given_up_before_it_was_tried_is_a_504(new_host: NewHost, oracle: Oracle) -> None:
    """Its time to connect is over in the turn in which the request is read, of a plane that had none for long."""
    host = new_host(
        f'[server]\nconnect_timeout = "200ms"\n[[upstreams]]\nname = "o"\ntargets = ["http://127.0.0.1:{oracle.port}"]\n'
        '[[routes]]\nname = "api"\npath = "/v1/"\nupstream = "o"\n'
    )
    with host.connect() as client:
        host.tell("~1000")
        client.send(request(GET))
        answer = client.read()
        assert (answer.status, b"upstream_connect_timeout" in answer.body) == (504, True)
        client.send(request(GET))
        assert client.read().status == 200
    assert eventually(lambda: host.gateway.segment.worker(1)["clients"] == 0)
    assert host.gateway.segment.worker(1)["exchanges"] == 0


def test_an_upstream_that_does_not_answer_is_a_504(short: Gateway, oracle: Oracle) -> None:
    with oracle.script(stalled) as name, short.connect() as client, free_of_charge(short):
        for body in (b"", b"abc"):
            with takes(0.15, 3):
                length = b"Content-Length: %d" % len(body)
                client.send(request(f"POST /v1/{name} HTTP/1.1".encode(), length, body=body))
                answer = client.read()
            assert (answer.status, answer.one("x-should-retry"), answer.closes) == (504, "false", False)
            assert b'"code":"upstream_timeout"' in answer.body
    assert len(oracle.arrivals) == 2


def test_an_upstream_that_stops_inside_its_head_is_a_504(short: Gateway, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 200 OK\r\nContent-")
        talk.gone()

    with oracle.script(script) as name, short.connect() as client, free_of_charge(short), takes(0.15, 3):
        client.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
        assert client.read().status == 504


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("framing", ["Content-Length: 9", "Transfer-Encoding: chunked", "X-A: b"])
def test_an_upstream_that_stops_inside_its_body_is_seen_to(
    short: Gateway, oracle: Oracle, framing: str, version: str
) -> None:
    gone = threading.Event()

    def script(talk: Talk) -> None:
        talk.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n3\r\nabc\r\n".encode())
        assert talk.gone()
        gone.set()

    with oracle.script(script) as name, short.connect() as client, takes(0.15, 3):
        client.send(request(f"GET /v1/{name} HTTP/{version}".encode()))
        with pytest.raises(TruncatedError):
            client.read()
        assert gone.wait(5)
    short.captured("rich")  # nothing stays held


def test_a_client_that_does_not_read_is_cut_off(short: Gateway, oracle: Oracle) -> None:
    gone = threading.Event()

    def script(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
        try:
            while True:
                talk.send(bytes(65536))
        except OSError:
            gone.set()
        talk.close()

    with oracle.script(script) as name, short.connect(receive_buffer=4096) as client, takes(0.8, 4):
        client.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
        assert gone.wait(10)
        with pytest.raises(TruncatedError):
            client.read()
    short.captured("rich")


def test_a_client_s_slowness_is_not_the_upstream_s(short: Gateway, oracle: Oracle) -> None:
    """A pause shorter than the client's deadline but long enough for the upstream's costs nobody the answer."""
    size = 12_000_000

    def script(talk: Talk) -> None:
        talk.answer(200, bytes(size))

    with oracle.script(script) as name, short.connect(receive_buffer=4096) as client:
        client.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
        client.until(b"\r\n\r\n")
        time.sleep(0.6)
        assert len(client.exactly(size)) == size


def test_an_upstream_that_does_not_read_is_a_504(short: Gateway, oracle: Oracle) -> None:
    blocked = threading.Event()

    def script(talk: Talk) -> None:
        blocked.wait(10)
        talk.close()

    def send(client: Client) -> None:
        with suppress(OSError):  # the connection ends under it
            client.send(bytes(30_000_000))

    with oracle.script(script) as name, short.connect() as client, free_of_charge(short), takes(0.15, 4):
        client.socket.settimeout(8)
        client.send(request(f"POST /v1/{name} HTTP/1.1".encode(), b"Content-Length: 60000000"))
        threading.Thread(target=send, args=(client,), daemon=True).start()
        answer = client.read()
        assert (answer.status, answer.closes) == (504, True)
        blocked.set()


def test_a_call_as_a_whole_has_a_deadline(short: Gateway, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                talk.send(b"1\r\na\r\n")
                time.sleep(0.1)
        except OSError:
            talk.close()

    with oracle.script(script) as name, short.connect() as client, takes(0.9, 4):
        client.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
        with pytest.raises(TruncatedError):
            client.read()
    short.captured("rich")


def test_a_call_whose_body_trickles_has_no_longer(short: Gateway, oracle: Oracle) -> None:
    with oracle.script(stalled) as name, short.connect() as client, free_of_charge(short), takes(0.9, 4):
        client.send(request(f"POST /v1/{name} HTTP/1.1".encode(), b"Content-Length: 1000"))
        while client.is_silent(0.05):
            client.send(b"a")
        assert client.read().status == 504


def test_a_connection_to_the_upstream_that_is_not_used_is_closed(short: Gateway, oracle: Oracle) -> None:
    gone = threading.Event()

    def script(talk: Talk) -> None:
        talk.answer()
        assert talk.gone()
        gone.set()

    before = short.captured("rich")
    with oracle.script(script) as name, short.connect() as client:
        client.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
        assert client.read().status == 200
        with takes(0.2, 3):
            assert gone.wait(5)
    assert short.captured("rich") == before + PRICE
