"""Another configuration while calls are in flight: the new one for what begins, the old one for what has begun, and
every connection stays."""

from __future__ import annotations

import threading

import pytest

from .client import Client
from .configs import IDENTITY
from .conftest import NewHost
from .framing import request
from .oracle import Oracle, Talk
from .rig import Gateway, eventually

OLD, NEW = 1_000_000, 3_000_000  # nanos


def config(port: int, price: str = "0.001", more: str = "", server: str = "", route: str = "") -> str:
    """One upstream at `port`, one priced route "api" to it; `more` tables, settings and keys of the route."""
    return (
        f'[server]\n{server}\n[[upstreams]]\nname = "oracle"\ntargets = ["http://127.0.0.1:{port}"]\n{more}'
        f'[[routes]]\nname = "api"\npath = "/v1/"\nupstream = "oracle"\nprice = "{price}"\n{route}\n'
        '[[accounts]]\nname = "rich"\nbalance = "1"\n[[keys]]\naccount = "rich"\nkey = "sk-wire-rich-0001"\n'
    )


def get(client: Client, name: str = "x", prefix: str = "v1") -> int:
    """The status of one call."""
    client.send(request(f"GET /{prefix}/{name} HTTP/1.1".encode()))
    return client.read().status


def test_a_price_counts_for_the_calls_that_begin_after_it(terms: Gateway, oracle: Oracle, new_host: NewHost) -> None:
    go = threading.Event()

    def script(talk: Talk) -> None:
        talk.read_body()
        assert go.wait(10)
        talk.answer(200, b"ok", "X-Cost: 0.002")

    host = new_host(config(oracle.port))
    before = terms.captured("rich")
    with oracle.script(script) as name, host.connect() as first, host.connect() as second:
        first.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
        oracle.wait_for(name)
        host.reconfigure(config(oracle.port, "0.003", route='cost_header = "X-Cost"'))
        second.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
        oracle.wait_for(name, 2)
        assert terms.account("rich")["held"] == OLD + NEW
        go.set()
        assert first.read().all("x-cost") == ["0.002"]  # a field like any other when this call began
        assert second.read().all("x-cost") == []
        assert terms.captured("rich") == before + OLD + 2_000_000


def test_a_call_in_flight_ends_though_its_route_and_its_upstream_are_gone(
    terms: Gateway, oracle: Oracle, new_host: NewHost
) -> None:
    go = threading.Event()

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        assert go.wait(10)
        talk.send(b"cd")

    host = new_host(config(oracle.port))
    before = terms.captured("rich")
    other = config(oracle.port).replace("oracle", "other").replace('"api"', '"later"').replace("/v1/", "/v2/")
    with oracle.script(script) as name, host.connect() as client:
        client.send(request(f"POST /v1/{name} HTTP/1.1".encode(), b"Content-Length: 4", body=b"he"))
        assert eventually(lambda: bool(oracle.named(name)))
        host.reconfigure(other)
        client.send(b"re")
        assert client.until(b"\r\n\r\nab")
        go.set()
        assert client.exactly(2) == b"cd"
        assert [get(client), get(client, prefix="v2")] == [404, 200]
    assert terms.captured("rich") == before + 2 * OLD


def test_a_route_is_there_as_long_as_it_is_configured_on_the_same_connection(oracle: Oracle, new_host: NewHost) -> None:
    more = '[[routes]]\nname = "extra"\npath = "/extra/"\nupstream = "oracle"\n'
    host = new_host(config(oracle.port))
    with host.connect() as client:
        for _ in range(3):
            assert get(client, prefix="extra") == 404
            host.reconfigure(config(oracle.port, more=more))
            assert get(client, prefix="extra") == 200
            host.reconfigure(config(oracle.port))


def test_connections_to_an_upstream_that_has_not_changed_stay(oracle: Oracle, new_host: NewHost) -> None:
    more = '[[upstreams]]\nname = "more"\ntargets = ["http://127.0.0.1:9"]\n'
    host = new_host(config(oracle.port))
    with host.connect() as client:
        assert get(client) == 200
        host.reconfigure(config(oracle.port, "0.002", more=more, server='upstream_idle_timeout = "3s"'))
        assert get(client) == 200
    assert oracle.arrivals[0].connection == oracle.arrivals[1].connection


def test_connections_to_a_target_that_is_gone_are_closed_once_they_are_idle(oracle: Oracle, new_host: NewHost) -> None:
    go, gone = threading.Event(), threading.Event()

    def idle(talk: Talk) -> None:
        talk.answer(200)
        assert talk.gone()
        gone.set()

    def busy(talk: Talk) -> None:
        assert go.wait(10)
        talk.answer(200)
        assert talk.gone()
        gone.set()

    other = Oracle()
    host = new_host(config(oracle.port))
    with oracle.script(idle) as idling, oracle.script(busy) as working, host.connect() as one, host.connect() as two:
        two.send(request(f"GET /v1/{working} HTTP/1.1".encode()))
        assert eventually(lambda: bool(oracle.named(working)))
        assert get(one, idling) == 200
        host.reconfigure(config(other.port))
        assert gone.wait(2)
        gone.clear()
        assert get(one, "x") == 200
        assert [arrival.target for arrival in other.arrivals] == ["/v1/x"]
        go.set()
        assert two.read().status == 200
        assert gone.wait(2)
    other.close()


def test_limits_of_size_and_time_count_from_the_next_request_on(oracle: Oracle, new_host: NewHost) -> None:
    go = threading.Event()

    def script(talk: Talk) -> None:
        talk.read_body()
        go.wait(1)
        talk.answer(200)

    post = request(b"POST /v1/x HTTP/1.1", b"Content-Length: 2000", body=bytes(2000))
    host = new_host(config(oracle.port))
    with oracle.script(script) as name, host.connect() as first, host.connect() as second:
        first.send(request(f"POST /v1/{name} HTTP/1.1".encode(), b"Content-Length: 2000", body=bytes(1000)))
        assert eventually(lambda: bool(oracle.named(name)))
        host.reconfigure(config(oracle.port, server='body_max = "1KiB"\nfirst_byte_timeout = "100ms"'))
        first.send(bytes(1000))
        second.send(post)
        assert second.read().status == 413
        second.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
        assert second.read().status == 504
        assert first.read().status == 200  # it began with more time, and room for more
        host.reconfigure(config(oracle.port))
        first.send(post)
        assert first.read().status == 200


def test_what_a_refusal_says_changes_too(oracle: Oracle, new_host: NewHost) -> None:
    host = new_host(config(oracle.port, server='realm = "one"'))
    with host.connect() as client:
        for realm in ("one", "two"):
            host.reconfigure(config(oracle.port, server=f'realm = "{realm}"'))
            client.send(b"GET /v1/x HTTP/1.1\r\nHost: w\r\n\r\n")
            assert client.read().one("www-authenticate") == f'Bearer realm="{realm}"'


def test_one_that_cannot_be_served_changes_nothing(oracle: Oracle, new_host: NewHost) -> None:
    host = new_host(config(oracle.port))
    with host.connect() as client:
        host.reconfigure("[[routes]]\n", "refused ConfigError")
        assert get(client) == 200


@pytest.mark.parametrize("reuse", [True, False], ids=["kept-alive", "new-connections"])
def test_no_call_fails_or_costs_something_else_while_configurations_change(
    terms: Gateway, oracle: Oracle, new_host: NewHost, reuse: bool
) -> None:
    host = new_host(config(oracle.port))
    before = terms.captured("rich")
    stop = threading.Event()
    done: list[int] = []
    failed: list[object] = []

    def caller() -> None:
        calls = 0
        client = host.connect()
        while not stop.is_set():
            if not reuse:
                client.socket.close()
                client = host.connect()
            client.send(b"POST /v1/x HTTP/1.1\r\n" + IDENTITY + b"Content-Length: 2\r\n\r\nab")
            answer = client.read()
            if (answer.status, answer.body) != (200, b"ab") or (reuse and answer.closes):
                failed.append(answer)
            calls += 1
        client.socket.close()
        done.append(calls)

    callers = [threading.Thread(target=caller) for _ in range(4)]
    for thread in callers:
        thread.start()
    other = Oracle()
    for turn in range(30):
        host.reconfigure(config((oracle, other)[turn % 2].port, ("0.001", "0.003")[turn % 3 % 2]))
    stop.set()
    for thread in callers:
        thread.join()
    other.close()
    spent = terms.captured("rich") - before
    assert failed == []
    assert min(done) > 0
    assert (spent - sum(done) * OLD) % (NEW - OLD) == 0
    assert sum(done) * OLD < spent < sum(done) * NEW
    assert other.violations() == []
