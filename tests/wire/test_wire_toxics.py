"""A bad way to the upstream: client, upstream and books tell the same story of every call, wherever it was cut.

U1, U2, U4 and U5 of the faults that a proxy must bear, swept over every byte of an answer by a proxy that makes them.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from .client import Client, TruncatedError
from .conftest import NewHost
from .faults import FaultProxy, Faults
from .framing import request
from .oracle import Oracle, Script, Talk
from .rig import RECORD_BYTES, STATUS, Gateway, eventually

PRICE = 1_000_000  # nanos
CUT = 0  # what a client counts that saw an answer cut

LENGTH = b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 12\r\n\r\nhello, world"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nX-T: u\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + LENGTH
CLOSE = b"HTTP/1.1 200 OK\r\n\r\nhello, world"
ANSWERS = {"length": LENGTH, "chunks": CHUNKS, "interim": INTERIM, "close": CLOSE}


def config(port: int, server: str = "") -> str:
    return (
        f'[server]\n{server}\n[[upstreams]]\nname = "far"\ntargets = ["http://127.0.0.1:{port}"]\nejection = false\n'
        '[[routes]]\nname = "api"\npath = "/v1/"\nupstream = "far"\nprice = "0.001"\n'
        '[[routes]]\nname = "sent"\npath = "/sent/"\nupstream = "far"\nprice = "0.001"\ncharge = "always"\n'
        '[[accounts]]\nname = "rich"\nbalance = "1"\n[[keys]]\naccount = "rich"\nkey = "sk-wire-rich-0001"\n'
    )


@pytest.fixture
def proxy(oracle: Oracle) -> Iterator[FaultProxy]:
    with FaultProxy(oracle.port) as between:
        yield between


class Books:
    """What client, upstream and segment have counted, from when it is made."""

    def __init__(self, gateway: Gateway, oracle: Oracle, slot: int = 1) -> None:
        self.gateway, self.oracle, self.slot = gateway, oracle, slot
        self.first = gateway.segment.journal_written(slot)
        self.captured = gateway.captured("rich")
        self.seen: list[int] = []  # the status of each call by its client

    def call(self, client: Client, name: str, method: str = "POST", path: str = "v1") -> bytes:
        """One call; the body of its answer."""
        fields = [b"Content-Length: 3"] if method == "POST" else []
        body = b"abc" if fields else b""
        client.send(request(f"{method} /{path}/{name} HTTP/1.1".encode(), *fields, body=body))
        try:
            answer = client.read(method)
        except TruncatedError as cut:
            self.seen.append(CUT)
            return cut.body
        self.seen.append(answer.status)
        if answer.status in (502, 504):
            sent = b'"upstream_failed"' in answer.body or b'"upstream_timeout"' in answer.body
            assert answer.all("x-should-retry") == (["false"] if sent else [])
        return answer.body

    def balance(self, name: str, charged: int, arrived: int | None = None) -> None:
        """Every call is settled, so many are charged, and each arrived once, or `arrived` of them did."""
        assert self.gateway.captured("rich") == self.captured + charged * PRICE
        assert len(self.oracle.named(name)) == (len(self.seen) if arrived is None else arrived)
        data, _, lost = self.gateway.segment.journal(self.slot, self.first)
        statuses = [int.from_bytes(data[at:][STATUS], "little") for at in range(0, len(data), RECORD_BYTES)]
        assert lost == 0
        assert [status if status >= 500 else 200 for status in statuses] == [status or 200 for status in self.seen]


def answering(data: bytes) -> Script:
    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(data)
        talk.keep = data != CLOSE

    return script


@pytest.mark.parametrize("data", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_in_two_parts_is_one_answer_wherever_it_is_cut(
    terms: Gateway, new_host: NewHost, oracle: Oracle, proxy: FaultProxy, data: bytes
) -> None:
    books = Books(terms, oracle)
    with oracle.script(answering(data)) as name, new_host(config(proxy.port)).connect() as client:
        for at in range(1, len(data)):
            with proxy.set(Faults(split_at=at)):
                assert books.call(client, name) == b"hello, world"
        with proxy.set(Faults(slice_bytes=1, pause_s=0.0005)):
            assert books.call(client, name) == b"hello, world"
        books.balance(name, len(data))
    assert set(books.seen) == {200}
    assert proxy.connections == (1 if data != CLOSE else len(data))


@pytest.mark.parametrize("end", ["reset_at", "end_at"])
@pytest.mark.parametrize("data", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_that_is_cut_at_any_byte_never_looks_whole(
    terms: Gateway, new_host: NewHost, oracle: Oracle, proxy: FaultProxy, data: bytes, end: str
) -> None:
    """Before its head is whole it is a 502 that must not be repeated; after that a cut one, and free; but for one that
    has no other end than that of its connection, which a FIN makes whole."""
    head = data.rindex(b"\r\n\r\n", 0, len(data) - 4) + 4 if data is not CHUNKS else data.index(b"\r\n\r\n") + 4
    books = Books(terms, oracle)
    host = new_host(config(proxy.port))
    whole = 0
    with oracle.script(answering(data)) as name:
        for at in range(len(data)):
            with proxy.set(Faults(**{end: at})), host.connect() as client:
                body = books.call(client, name)
            if at < head:
                assert books.seen[-1] == 502, at
            elif data == CLOSE and end == "end_at":
                assert (books.seen[-1], body) == (200, data[head:at])
                whole += 1
            else:
                assert books.seen[-1] == CUT, at
                assert b"hello, world".startswith(body)
        books.balance(name, whole)


def test_a_call_that_was_sent_arrives_once_and_says_that_it_must_not_be_repeated(
    terms: Gateway, new_host: NewHost, oracle: Oracle, proxy: FaultProxy
) -> None:
    """On new connections and on kept ones; where all that is sent is charged, so is this."""
    books = Books(terms, oracle)
    with oracle.script(answering(LENGTH)) as name, new_host(config(proxy.port)).connect() as client:
        for turn in range(20):
            if turn % 2:
                books.call(client, name)
            with proxy.set(Faults(reset_at=0)):
                books.call(client, name, path="sent")
            assert books.seen[-1] == 502
        books.balance(name, 20 + 10)


def test_who_cannot_be_reached_costs_nothing_by_any_rule(
    terms: Gateway, new_host: NewHost, oracle: Oracle, proxy: FaultProxy
) -> None:
    books = Books(terms, oracle)
    host = new_host(config(proxy.port, 'connect_timeout = "300ms"'))
    with oracle.script(answering(LENGTH)) as name, host.connect() as client:
        for path in ("v1", "sent"):
            with proxy.refusing():
                body = books.call(client, name, path=path)
                assert b'"code":"upstream_unreachable"' in body
            with proxy.silent():
                began = time.monotonic()
                body = books.call(client, name, path=path)
                assert b'"code":"upstream_connect_timeout"' in body
                assert 0.2 < time.monotonic() - began < 2
        books.call(client, name)
        assert books.seen == [502, 504, 502, 504, 200]
        books.balance(name, 1, arrived=1)


@pytest.mark.slow
@pytest.mark.parametrize("data", [LENGTH, CHUNKS, CLOSE], ids=["length", "chunks", "close"])
def test_an_answer_that_stalls_is_ended_and_settled(
    terms: Gateway, new_host: NewHost, oracle: Oracle, proxy: FaultProxy, data: bytes
) -> None:
    """Before the head, inside it, behind it, inside the body."""
    deadlines = 'first_byte_timeout = "100ms"\nstream_timeout = "100ms"'
    host = new_host(config(proxy.port, deadlines))
    head = data.index(b"\r\n\r\n") + 4
    books = Books(terms, oracle)
    with oracle.script(answering(data)) as name:
        for at, status in ((0, 504), (9, 504), (head, CUT), (head + 4, CUT)):
            with proxy.set(Faults(stall_at=at)), host.connect() as client:
                books.call(client, name)
                assert books.seen[-1] == status, at
        books.balance(name, 0)


@pytest.mark.slow
def test_a_slow_way_changes_nothing_but_the_time(
    terms: Gateway, new_host: NewHost, oracle: Oracle, proxy: FaultProxy
) -> None:
    """Latency, jitter, a narrow band, small parts, and an end that is late."""
    books = Books(terms, oracle)
    large = bytes(range(256)) * 256
    toxics = [
        Faults(latency_s=0.1, jitter_s=0.1),
        Faults(bytes_per_s=400_000),
        Faults(slice_bytes=997, pause_s=0.001),
        Faults(close_s=0.2),
    ]
    with oracle.script(lambda talk: talk.answer(200, large, "Connection: close")) as name:
        host = new_host(config(proxy.port))
        for faults in toxics:
            with proxy.set(faults), host.connect() as client:
                began = time.monotonic()
                assert books.call(client, name, "GET") == large
                assert time.monotonic() - began < 5
        books.balance(name, len(toxics))


def upstreams(gateway: Gateway, slot: int = 1) -> int:
    return int(gateway.segment.worker(slot)["upstreams"])


def test_a_target_never_sees_more_connections_than_it_may(
    terms: Gateway, new_host: NewHost, oracle: Oracle, proxy: FaultProxy
) -> None:
    host = new_host(config(proxy.port, "upstream_connections_max = 3"))
    with oracle.script(answering(LENGTH)) as name, proxy.set(Faults(latency_s=0.05)):

        def calls(_: int) -> int:
            books = Books(terms, oracle)
            with host.connect() as client:
                for _ in range(2):
                    books.call(client, name)
            return len(books.seen)

        with ThreadPoolExecutor(12) as beside:
            assert sum(beside.map(calls, range(12))) == 24
        assert proxy.connections <= 3


def keeping(said: bytes) -> Script:
    return lambda talk: talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + said + b"\r\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("said", "kept_s"),
    [
        (b"", 4),
        (b"Keep-Alive: timeout=2\r\n", 1),
        (b"Keep-Alive: max=100, Timeout=2\r\n", 1),
        (b"Keep-Alive: timeout=1\r\n", 0),
        (b"Keep-Alive: timeout=60\r\n", 4),
        (b"Keep-Alive: timeout=soon\r\n", 4),
    ],
)
def test_a_connection_is_kept_a_second_less_than_the_target_says(
    terms: Gateway, new_host: NewHost, oracle: Oracle, said: bytes, kept_s: int
) -> None:
    host = new_host(config(oracle.port))
    none = upstreams(terms)  # others that had this slot may have been killed
    with oracle.script(keeping(said)) as name, host.connect() as client:
        client.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
        assert client.read().status == 200
        assert eventually(lambda: upstreams(terms) == none, 0.2 if kept_s else 3) == (kept_s == 0)
        if kept_s < 4:
            assert eventually(lambda: upstreams(terms) == none, 3)


def test_the_connection_that_was_used_last_is_used_next(new_host: NewHost, oracle: Oracle) -> None:
    """So that those that are not needed are left to end."""
    together = threading.Barrier(4)

    def script(talk: Talk) -> None:
        together.wait(10)
        talk.answer()

    host = new_host(config(oracle.port))
    with oracle.script(script) as name, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(host.connect()) for _ in range(4)]
        for client in clients:
            client.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
        for client in clients:
            assert client.read().status == 200
        for _ in range(10):
            client.send(request(b"GET /v1/next HTTP/1.1"))
            assert client.read().status == 200
    assert len({arrival.connection for arrival in oracle.named("next")}) == 1


IDLE_S = 0.006


@pytest.mark.slow
def test_idle_connections_that_end_as_they_are_used_fail_no_GET_and_double_no_POST(
    terms: Gateway, new_host: NewHost, oracle: Oracle
) -> None:
    """U3: the target closes what is idle after a few milliseconds, and requests come up to 2 ms before and after."""

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.answer()
        talk.socket.settimeout(IDLE_S)
        try:
            talk.buffer += talk.socket.recv(65536)
        except TimeoutError:
            talk.close()
        talk.socket.settimeout(None)
        if not talk.buffer:
            talk.close()

    host = new_host(config(oracle.port))
    before = terms.captured("rich")
    ends = time.monotonic() + 4
    seed = random.randrange(1 << 30)

    def calls(number: int, name: str) -> list[tuple[str, int]]:
        dice = random.Random(seed + number)
        seen: list[tuple[str, int]] = []
        with host.connect() as client:
            while time.monotonic() < ends:
                method = dice.choice(("GET", "POST"))
                target = f"{name}/{method}-{number}-{len(seen)}-"
                fields = [b"Content-Length: 1"] if method == "POST" else []
                client.send(request(f"{method} /v1/{target} HTTP/1.1".encode(), *fields, body=b"a"[: len(fields)]))
                seen.append((target, client.read().status))
                time.sleep(IDLE_S + dice.uniform(-0.002, 0.002))
        return seen

    with oracle.script(script) as name, ThreadPoolExecutor(8) as beside:
        seen = [call for part in beside.map(calls, range(8), [name] * 8) for call in part]
        arrived = Counter(arrival.target.removeprefix("/v1/") for arrival in oracle.named(name))
    assert len(seen) > 1_000, f"seed {seed}"
    assert {status for target, status in seen if "/GET" in target} == {200}, f"seed {seed}"
    assert {status for target, status in seen if "/POST" in target} <= {200, 502}, f"seed {seed}"
    for target, status in seen:
        if "/POST" in target:
            assert arrived[target] <= 1, f"seed {seed}"
            assert status != 200 or arrived[target] == 1, f"seed {seed}"
    assert terms.captured("rich") == before + sum(status == 200 for _, status in seen) * PRICE
