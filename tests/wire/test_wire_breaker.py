"""Limits over all workers, the queue before them, and servers that are passed over while they fail."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from fastgw._targets import forget_worker

from .client import Client
from .conftest import NewHost
from .framing import request
from .oracle import Talk
from .rig import Gateway, Host, eventually
from .spread import PRICE, at_once, call, config, counts, oracles, scripted, seen

LIMITED = "requests_max = 3"
PATIENT = 'pending_timeout = "10s"'


class Counting:
    """A script that takes a while, and knows how many calls it had at once."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.now = 0
        self.most = 0
        self.lock = threading.Lock()

    def __call__(self, talk: Talk) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        talk.read_body()
        time.sleep(self.takes_s)
        with self.lock:
            self.now -= 1
        talk.answer()


def from_both(hosts: list[Host], many: int, name: str, each: int = 1) -> list[int]:
    """The statuses of calls made by so many clients of each host, one after the other."""

    def one(host: Host) -> list[int]:
        with host.connect() as client:
            return [call(client, name).status for _ in range(each)]

    with ThreadPoolExecutor(many * len(hosts)) as pool:
        return [status for statuses in pool.map(one, hosts * many) for status in statuses]


def test_calls_at_once_are_limited_over_all_workers_exactly_and_the_others_wait(
    terms: Gateway, new_host: NewHost
) -> None:
    before = terms.captured("rich")
    counting = Counting(0.005)
    with oracles(1) as [server], scripted([server], "slow", counting):
        hosts = [new_host(config([server.port], f"{LIMITED}\n{PATIENT}"), slot) for slot in (1, 2)]
        assert from_both(hosts, 8, "slow", 10) == [200] * 160
        assert counting.most == 3
        assert eventually(
            lambda: (seen(terms, server.port)["in_flight"], seen(terms, server.port)["waiting"]) == (0, 0)
        )
        assert seen(terms, server.port)["calls"] == 160
    assert terms.captured("rich") == before + 160 * PRICE


def test_connections_are_limited_over_all_workers_and_handed_on(terms: Gateway, new_host: NewHost) -> None:
    counting = Counting(0.005)
    with oracles(1) as [server], scripted([server], "slow", counting):
        hosts = [new_host(config([server.port], f"connections_max = 2\n{PATIENT}"), slot) for slot in (1, 2)]
        assert from_both(hosts[:1], 4, "slow", 5) == [200] * 20
        assert from_both(hosts[1:], 4, "slow", 5) == [200] * 20  # those of the first lie idle
        assert from_both(hosts, 4, "slow", 5) == [200] * 40
        assert counting.most <= 2
        assert seen(terms, server.port)["open"] <= 2


def test_the_queue_is_bounded_in_length_and_time_and_who_goes_away_leaves_it(terms: Gateway, new_host: NewHost) -> None:
    go = threading.Event()

    def script(talk: Talk) -> None:
        talk.read_body()
        assert go.wait(10)
        talk.answer()

    def ask(client: Client, name: str) -> None:
        client.send(request(f"POST /v1/{name} HTTP/1.1".encode(), b"Content-Length: 1", body=b"x"))

    before = terms.captured("rich")
    with oracles(1) as [server], scripted([server], "held", script):
        host = new_host(config([server.port], 'requests_max = 1\npending_max = 2\npending_timeout = "600ms"'))
        with host.connect() as first, host.connect() as second, host.connect() as third, host.connect() as fourth:
            ask(first, "held")
            assert eventually(lambda: len(server.named("held")) == 1)
            started = time.monotonic()
            ask(second, "second")
            ask(third, "third")
            assert eventually(lambda: seen(terms, server.port)["waiting"] == 2)
            answer = call(fourth, "fourth", "POST", body=b"x")
            assert (answer.status, answer.one("retry-after")) == (503, "1")
            assert b'"code":"overloaded"' in answer.body
            second.reset()
            assert eventually(lambda: seen(terms, server.port)["waiting"] == 1)
            assert third.read().status == 503
            assert 0.55 < time.monotonic() - started < 5
            assert terms.account("rich")["held"] == PRICE
            ask(fourth, "fourth")
            assert fourth.is_silent(0.1)
            go.set()
            assert (first.read().status, fourth.read().status) == (200, 200)
        assert [arrival.target for arrival in server.arrivals] == ["/v1/held", "/v1/fourth"]
    assert terms.captured("rich") == before + 2 * PRICE


def test_what_a_killed_worker_had_in_flight_makes_room_once_that_is_known(terms: Gateway, new_host: NewHost) -> None:
    def held(talk: Talk) -> None:
        talk.gone()

    with oracles(1) as [server], scripted([server], "held", held):
        text = config([server.port], 'requests_max = 1\npending_timeout = "5s"')
        doomed, other = new_host(text, 1), new_host(text, 2)
        with doomed.connect() as first, other.connect() as second:
            first.send(request(b"GET /v1/held HTTP/1.1"))
            assert eventually(lambda: len(server.named("held")) == 1)
            doomed.kill()
            second.send(request(b"GET /v1/free HTTP/1.1"))
            assert second.is_silent(0.1)
            forget_worker(terms.segment, 1)
            assert second.read().status == 200
    terms.segment.recover(1)


def test_a_server_that_fails_again_and_again_is_passed_over_and_comes_back_by_one_trial_at_a_time(
    terms: Gateway, new_host: NewHost
) -> None:
    counting = Counting(0.03)
    broken = threading.Event()
    broken.set()

    def script(talk: Talk) -> None:
        if broken.is_set():
            talk.read_body()
            talk.answer(503)
        else:
            counting(talk)

    with oracles(2) as servers, scripted(servers[:1], "some", script):
        sick = servers[0]
        ejection = 'ejection = { failures = 3, duration = "300ms", share = 50 }\nslow_start = "10s"'
        host = new_host(config([server.port for server in servers], ejection))
        with host.connect() as client:
            statuses = [call(client, "some").status for _ in range(30)]
            assert statuses.count(503) == 3
            assert counts([sick]) == [3]
            row = seen(terms, sick.port)
            assert (row["ejected"], row["ejections"], row["failures"]) == (1, 1, 3)
            time.sleep(0.6)
            assert [call(client, "some").status for _ in range(10)].count(503) == 1  # the trial failed
            assert seen(terms, sick.port)["ejections"] == 2
            broken.clear()
            time.sleep(1.1)
        answers = at_once(host, 8, "some")
        assert [answer.status for answer in answers] == [200] * 8
        assert counting.most == 1
        with host.connect() as client:
            before = len(sick.arrivals)
            assert {call(client, "some").status for _ in range(44)} == {200}
            assert 2 <= len(sick.arrivals) - before <= 10  # a tenth of its weight, at first


def test_no_call_waits_or_is_refused_only_because_its_server_has_not_been_spoken_to_yet(
    terms: Gateway, new_host: NewHost, blackhole: int
) -> None:
    host = new_host(config([blackhole], "pending_max = 0", 'connect_timeout = "500ms"'))
    clients = [host.connect() for _ in range(200)]
    for client in clients:
        client.send(b"GET /open/x HTTP/1.1\r\nHost: wire\r\n\r\n")
    assert eventually(lambda: seen(terms, blackhole)["open"] == 200)
    assert {client.read().status for client in clients} == {504}
    for client in clients:
        client.socket.close()


def test_the_last_server_is_never_passed_over_and_is_not_buried_when_it_returns(
    terms: Gateway, new_host: NewHost, blackhole: int
) -> None:
    host = new_host(config([blackhole], PATIENT, 'connect_timeout = "300ms"'))
    before = seen(terms, blackhole)["failures"]
    assert {answer.status for answer in at_once(host, 4)} == {504}
    clients = [host.connect() for _ in range(12)]
    for client in clients:
        client.send(request(b"GET /v1/x HTTP/1.1"))
    most = 0
    deadline = time.monotonic() + 0.2
    while time.monotonic() < deadline:
        most = max(most, seen(terms, blackhole)["open"])
    assert most == 4
    assert {client.read().status for client in clients} == {504}
    for client in clients:
        client.socket.close()
    assert eventually(lambda: seen(terms, blackhole)["in_flight"] == 0)
    row = seen(terms, blackhole)
    assert (row["ejections"], row["open"], row["waiting"]) == (0, 0, 0)
    assert row["failures"] == before + 16


def test_calls_that_belong_together_go_to_one_server_whatever_the_worker(new_host: NewHost) -> None:
    with oracles(3) as servers:
        ports: list[int | str] = [server.port for server in servers]
        hosts = [new_host(config(ports, 'balance = "hash"\nhash_by = "x-session"'), slot) for slot in (1, 2)]
        for host in hosts:
            with host.connect() as client:
                for session in range(12):
                    for _ in range(2):
                        assert call(client, f"s{session}", "GET", b"X-Session: %d" % session).status == 200
        homes = [
            [sum(a.target == f"/v1/s{session}" for a in server.arrivals) for server in servers] for session in range(12)
        ]
        assert all(sorted(home) == [0, 0, 4] for home in homes), homes
        assert len({tuple(home) for home in homes}) > 1
        for host in hosts:
            host.reconfigure(config(ports, 'balance = "hash"'))
            with host.connect() as client:
                assert [call(client, "by-key").status for _ in range(4)] == [200] * 4
                client.send(b"GET /open/by-address HTTP/1.1\r\nHost: wire\r\n\r\n")
                assert client.read().status == 200
        for name, many in (("by-key", 8), ("by-address", 2)):
            assert sorted(len(server.named(name)) for server in servers) == [0, 0, many]


def test_slow_servers_get_less_where_latency_counts_and_busy_ones_where_calls_do(new_host: NewHost) -> None:
    def slow(talk: Talk) -> None:
        talk.read_body()
        time.sleep(0.03)
        talk.answer()

    with oracles(2) as servers, scripted(servers[:1], "work", slow):
        ports: list[int | str] = [server.port for server in servers]
        for balance in ("latency", "least_connections"):
            host = new_host(config(ports, f'balance = "{balance}"'))
            assert from_both([host], 4, "work", 15) == [200] * 60
            first, second = counts(servers)
            assert first < second / 2, (balance, first, second)
            for server in servers:
                server.arrivals.clear()
            host.kill()
