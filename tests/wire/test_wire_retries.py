"""What is made once more, and where: never what may do its work twice, and always for one hold and one capture."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from ports import free_port

from .conftest import NewHost
from .framing import request
from .oracle import Talk
from .rig import Gateway, Host, eventually
from .spread import PRICE, call, config, counts, oracles, scripted, seen

IDEMPOTENT = 'idempotency = "1h"'


@pytest.mark.parametrize("balance", ["round_robin", "least_connections", "latency", "hash"])
def test_what_was_never_sent_goes_elsewhere_whatever_its_method(
    terms: Gateway, new_host: NewHost, balance: str
) -> None:
    before = terms.captured("rich")
    with oracles(1) as [server]:
        dead = free_port()
        host = new_host(config([dead, server.port], f'balance = "{balance}"'))
        with host.connect() as client:
            for number in range(20):
                body = b"%d" % number
                answer = call(client, f"p{number}-", "POST", body=body)
                assert (answer.status, answer.body) == (200, body)
        assert [len(server.named(f"p{number}-")) for number in range(20)] == [1] * 20
        assert {arrival.one("host") for arrival in server.arrivals} == {f"127.0.0.1:{server.port}"}
        assert terms.captured("rich") == before + 20 * PRICE
        if balance != "hash":
            assert seen(terms, dead)["failures"] >= 1


def test_a_body_that_comes_while_no_connection_is_there_goes_along(new_host: NewHost) -> None:
    with oracles(1) as [server]:
        host = new_host(config([free_port(), server.port]))
        for _ in range(2):  # one of them begins at the dead one
            with host.connect() as client:
                head = request(b"PUT /v1/parts HTTP/1.1", b"Transfer-Encoding: chunked")
                client.send(head + b"3\r\nabc\r\n4\r\nde")
                client.send(b"fg\r\n0\r\n\r\n")
                answer = client.read()
                assert (answer.status, answer.body) == (200, b"abcdefg")


def test_the_client_s_host_is_kept_where_the_route_says_so(new_host: NewHost) -> None:
    with oracles(1) as [server]:
        host = new_host(config([free_port(), server.port], route="preserve_host = true"))
        with host.connect() as client:
            assert [call(client).status for _ in range(4)] == [200] * 4
        assert {arrival.one("host") for arrival in server.arrivals} == {"wire"}


def test_what_may_have_been_served_is_repeated_elsewhere_only_if_that_is_harmless(
    terms: Gateway, new_host: NewHost
) -> None:
    before = terms.captured("rich")
    with oracles(2) as servers:
        host = new_host(config([server.port for server in servers]))
        with scripted(servers[:1], "lost", lambda talk: talk.reset()), host.connect() as client:
            assert [call(client, "lost").status for _ in range(6)] == [200] * 6
            posts = [call(client, f"lost/{number}", "POST", body=b"x") for number in range(6)]
        arrived = [[len(server.named(f"lost/{number}")) for server in servers] for number in range(6)]
        assert all(sum(pair) == 1 for pair in arrived), arrived
        for post, (lost, _) in zip(posts, arrived, strict=True):
            assert (post.status, post.all("x-should-retry")) == ((502, ["false"]) if lost else (200, []))
        assert terms.captured("rich") == before + (6 + sum(post.status == 200 for post in posts)) * PRICE


def test_answers_that_say_try_another_are_heeded_where_the_configuration_says_so(new_host: NewHost) -> None:
    def busy(talk: Talk) -> None:
        talk.read_body()
        talk.answer(503, b"busy")

    def early(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        busy(talk)

    with oracles(2) as servers:
        ports: list[int | str] = [server.port for server in servers]
        host = new_host(config(ports, 'retry_on = ["503"]\nejection = false'))
        with scripted(servers[:1], "busy", busy), scripted(servers[:1], "early", early), host.connect() as client:
            assert {call(client, "busy").status for _ in range(6)} == {200}
            assert {call(client, "busy", "POST", body=b"x").status for _ in range(6)} == {200, 503}
            assert {call(client, "early").status for _ in range(6)} == {200, 503}  # something was passed on
            host.reconfigure(config(ports, "ejection = false"))
            assert {call(client, "busy").status for _ in range(6)} == {200, 503}


def test_a_server_that_says_nothing_is_given_up_for_another_where_that_is_wanted(new_host: NewHost) -> None:
    def mute(talk: Talk) -> None:
        talk.gone()

    with oracles(2) as servers:
        ports: list[int | str] = [server.port for server in servers]
        host = new_host(config(ports, 'retry_on = ["timeout"]', 'first_byte_timeout = "200ms"'))
        with scripted(servers[:1], "mute", mute), host.connect() as client:
            assert [call(client, "mute").status for _ in range(2)] == [200] * 2
            assert sorted(call(client, "mute", "POST", body=b"x").status for _ in range(2)) == [200, 504]


def test_retries_end_at_their_number_and_at_their_budget(terms: Gateway, new_host: NewHost) -> None:
    with oracles(2) as servers:
        ports: list[int | str] = [server.port for server in servers]
        for retries, arrivals in ((0, 1), (1, 2), (3, 4)):
            host = new_host(config(ports, f"retries = {retries}\nejection = false"))
            with scripted(servers, f"never{retries}", lambda talk: talk.reset()), host.connect() as client:
                assert call(client, f"never{retries}").status == 502
            assert sum(len(server.named(f"never{retries}")) for server in servers) == arrivals
            host.kill()
        host = new_host(config(ports, "retries = 10\nretry_budget = 0\nejection = false"))
        with scripted(servers, "always", lambda talk: talk.reset()), host.connect() as client:
            started = time.monotonic()
            assert {call(client, "always").status for _ in range(100)} == {502}
            spent = time.monotonic() - started
        repeated = sum(len(server.named("always")) for server in servers) - 100
        assert 100 <= repeated <= 100 + 5 * (spent + 1)
        assert sum(seen(terms, server.port)["retries"] for server in servers) >= repeated


def test_a_call_with_an_idempotency_key_goes_elsewhere_and_is_still_made_once(
    terms: Gateway, new_host: NewHost
) -> None:
    before = terms.captured("rich")
    with oracles(1) as [server]:
        host = new_host(config([free_port(), server.port], route=IDEMPOTENT))
        with host.connect() as client:
            for number in range(4):
                fields = (b"Idempotency-Key: spread-%d-%d" % (server.port, number),)
                first = call(client, f"once{number}", "POST", *fields, body=b"abc")
                again = call(client, f"once{number}", "POST", *fields, body=b"abc")
                assert (first.status, again.status, again.one("idempotency-replayed")) == (200, 200, "true")
        assert len(server.arrivals) == 4
    assert terms.captured("rich") == before + 4 * PRICE


def test_the_race_for_an_idle_connection_that_ends_costs_no_GET_and_doubles_no_POST(new_host: NewHost) -> None:
    """The server ends each connection some time after its answer; the next request comes within 2 ms of that."""
    clients, each = (20, 5_000) if "FASTGW_LONG" in os.environ else (1, 160)
    idle_s = 0.004
    lengths = {"GET": (), "POST": (b"Content-Length: 0",)}
    asked: Counter[socket.socket] = Counter()
    failed: Counter[str] = Counter()

    def end(connection: socket.socket, requests: int) -> None:
        if asked[connection] == requests:  # it is idle, as far as the server knows
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def script(talk: Talk) -> None:
        asked[talk.socket] += 1
        talk.read_body()
        talk.answer()
        threading.Timer(idle_s, end, (talk.socket, asked[talk.socket])).start()

    def ask(host: Host, first: int) -> None:
        with host.connect() as client:
            for number in range(first, first + each):
                method = "GET" if number % 2 else "POST"
                client.send(request(f"{method} /open/race/{number} HTTP/1.1".encode(), *lengths[method]))
                status = client.read(method).status
                assert status == 200 or (method == "POST" and status == 502), (method, status)
                failed[method] += status != 200
                time.sleep(idle_s - 0.002 + 0.004 * (number % 40) / 40)

    with oracles(1) as [server]:
        host = new_host(config([server.port]))
        with scripted([server], "race", script), ThreadPoolExecutor(clients) as pool:
            for done in [pool.submit(ask, host, number * each) for number in range(clients)]:
                done.result()
        print(f"{clients * each} calls, {len(asked)} connections; 502: {failed}")
        arrivals = [arrival.target for arrival in server.arrivals if arrival.method == "POST"]
        assert len(arrivals) == len(set(arrivals))


def test_charging_always_is_once_however_often_it_is_sent(terms: Gateway, new_host: NewHost) -> None:
    before = terms.captured("rich")
    with oracles(2) as servers:
        host = new_host(config([server.port for server in servers], route='charge = "always"'))
        with scripted(servers, "fails", lambda talk: talk.reset()), host.connect() as client:
            assert call(client, "fails").status == 502
        assert sum(counts(servers)) == 3
        assert eventually(lambda: terms.captured("rich") == before + PRICE)
