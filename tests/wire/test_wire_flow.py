"""Much of it: pipelines, streams of events, and sides that are slower than the other, in bounded memory."""

from __future__ import annotations

import threading
import time

import pytest

from .client import Client
from .configs import IDENTITY, PRICE
from .framing import request
from .oracle import Oracle, Talk
from .rig import Gateway, eventually, kernel_buffer, more_than_buffered, stopped

MIB = 1 << 20
GROWTH_MAX = 8 * MIB


class Memory:
    """The most that the worker's memory has grown since, sampled while the block runs."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.growth = 0

    def __enter__(self) -> Memory:
        self.before = self.gateway.resident_bytes()
        self.running = True
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()
        return self

    def _sample(self) -> None:
        while self.running:
            self.growth = max(self.growth, self.gateway.resident_bytes() - self.before)
            time.sleep(0.005)

    def __exit__(self, *_: object) -> None:
        self.running = False
        self.thread.join()


def test_ten_thousand_pipelined_requests_are_answered_in_order(gateway: Gateway, oracle: Oracle) -> None:
    count = 10_000
    before = gateway.captured("rich")
    data = b"".join(b"GET /v1/%d HTTP/1.1\r\n%b\r\n" % (i, IDENTITY) for i in range(count))

    def script(talk: Talk) -> None:
        talk.answer(200, talk.arrival.target.encode())

    with gateway.connect() as client, Memory(gateway) as memory:
        oracle.scripts["v1"] = script
        try:
            sender = threading.Thread(target=client.send, args=(data,))
            sender.start()
            answered = [client.read().body for _ in range(count)]
            sender.join()
        finally:
            del oracle.scripts["v1"]
    assert answered == [b"/v1/%d" % i for i in range(count)]
    assert [arrival.target for arrival in oracle.arrivals] == [f"/v1/{i}" for i in range(count)]
    assert gateway.captured("rich") == before + count * PRICE
    assert memory.growth < GROWTH_MAX


def test_a_client_that_reads_nothing_stops_its_own_pipeline(gateway: Gateway) -> None:
    count = kernel_buffer("wmem") // 100  # an answer is longer than 200 bytes
    refused = b"GET /nowhere HTTP/1.1\r\nHost: wire\r\n\r\n"
    first = gateway.records_written()
    with gateway.connect(receive_buffer=8192) as client, Memory(gateway) as memory:
        sender = threading.Thread(target=client.send, args=(refused * count,))
        sender.start()
        assert eventually(lambda: gateway.records_written() > first)
        assert stopped(gateway.records_written) - first < count
        assert [client.read().status for _ in range(count)] == [404] * count
        sender.join()
    assert memory.growth < GROWTH_MAX


def test_a_slow_reader_that_has_said_all_gets_every_answer(gateway: Gateway) -> None:
    count = 1500  # answers beyond every buffer on the way; requests within what is read ahead
    with gateway.connect(receive_buffer=4096) as client:
        client.send(b"GET /nowhere HTTP/1.1\r\nHost: wire\r\n\r\n" * count * 8)
        client.half_close()
        time.sleep(0.1)
        assert [client.read().status for _ in range(count * 8)] == [404] * count * 8
        assert client.is_ended()


def test_events_pass_one_by_one(client: Client, oracle: Oracle) -> None:
    events = [b"data: %d\n\n" % i for i in range(40)]

    def script(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for event in events:
            talk.send(b"%x\r\n%b\r\n" % (len(event), event))
            assert read.acquire(timeout=5)  # the next is sent when this one has arrived
        talk.send(b"0\r\n\r\n")

    read = threading.Semaphore(0)
    start = time.monotonic()
    with oracle.script(script) as name:
        client.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
        client.until(b"\r\n\r\n")
        for event in events:
            line = client.until(b"\r\n")
            assert client.exactly(int(line, 16) + 2) == event + b"\r\n"
            read.release()
        assert client.until(b"0\r\n\r\n") == b"0\r\n\r\n"
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
def test_a_slow_reader_holds_the_upstream_back(gateway: Gateway, oracle: Oracle, framing: str) -> None:
    part = bytes(range(256)) * 256
    parts = more_than_buffered() // len(part)
    sent = 0
    head = {"length": f"Content-Length: {len(part) * parts}\r\n", "chunks": "Transfer-Encoding: chunked\r\n", "end": ""}

    def script(talk: Talk) -> None:
        nonlocal sent
        talk.send(f"HTTP/1.1 200 OK\r\n{head[framing]}\r\n".encode())
        for _ in range(parts):
            talk.send(b"10000\r\n" + part + b"\r\n" if framing == "chunks" else part)
            sent += len(part)
        if framing == "chunks":
            talk.send(b"0\r\n\r\n")
        talk.keep = framing != "end"

    with oracle.script(script) as name, gateway.connect(receive_buffer=65536) as client, Memory(gateway) as memory:
        client.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
        assert eventually(lambda: sent > 0)
        assert stopped(lambda: sent) < len(part) * parts
        assert client.read().body == part * parts
    assert memory.growth < GROWTH_MAX


def test_a_slow_upstream_holds_the_client_back(gateway: Gateway, oracle: Oracle) -> None:
    size = more_than_buffered() // MIB * MIB
    sent = 0

    def script(talk: Talk) -> None:
        assert go.wait(10)
        left = size
        while left:
            left -= len(talk.more())
            talk.arrival.raw = b""
        talk.answer(200, b"all")

    def send() -> None:
        nonlocal sent
        for _ in range(size // MIB):
            client.send(bytes(MIB))
            sent += MIB

    go = threading.Event()
    with oracle.script(script) as name, gateway.connect() as client, Memory(gateway) as memory:
        client.send(request(f"POST /v1/{name} HTTP/1.1".encode(), b"Content-Length: %d" % size))
        sender = threading.Thread(target=send)
        sender.start()
        assert eventually(lambda: sent > 0)
        assert stopped(lambda: sent) < size
        go.set()
        assert client.read().body == b"all"
        sender.join()
    assert memory.growth < GROWTH_MAX


def test_a_connection_that_was_held_back_serves_the_next_call(gateway: Gateway, oracle: Oracle) -> None:
    """The last part of an answer fills the client's buffer, so that the upstream is held back as it is given back."""
    body = b""

    def script(talk: Talk) -> None:
        talk.answer(200, body)

    with oracle.script(script) as name:
        for length in range(200_000, 4_000_000, 100_000):
            body = b"x" * length
            with gateway.connect(receive_buffer=4096) as slow:
                slow.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
                eventually(lambda: gateway.account("rich")["held"] == 0, 0.02)  # when it has all been taken
                with gateway.connect() as other:
                    other.socket.settimeout(2)
                    other.send(request(b"GET /v1/next HTTP/1.1"))
                    assert other.read().status == 200
                assert len(slow.read().body) == length


def test_what_came_ahead_of_a_half_close_is_answered_however_late(gateway: Gateway, oracle: Oracle) -> None:
    """The half-close comes while the answer before it lies in the gateway, whole but not yet taken by the client."""
    body = b""

    def script(talk: Talk) -> None:
        talk.answer(200, body)

    with oracle.script(script) as name:
        for length in range(200_000, 4_000_000, 100_000):
            body = b"x" * length
            oracle.arrivals.clear()
            with gateway.connect(receive_buffer=4096) as client:
                client.send(request(f"GET /v1/{name} HTTP/1.1".encode()) + request(b"GET /v1/after HTTP/1.1"))
                assert eventually(lambda: gateway.account("rich")["held"] > 0 or bool(oracle.named(name)))
                eventually(lambda: gateway.account("rich")["held"] == 0, 0.02)
                client.half_close()
                time.sleep(0.005)
                assert len(client.read().body) == length
                assert client.read().status == 200
                assert client.is_ended()
