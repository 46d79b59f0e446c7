"""What a call costs in the end: by the route's rule, at the upstream's own word, never more than was held, and never
held for longer than allowed."""

from __future__ import annotations

import time

import pytest

from .client import TruncatedError
from .configs import PRICE
from .framing import request
from .oracle import Oracle, Script, Talk
from .rig import Gateway, eventually


def answers(status: int, *fields: str) -> Script:
    """A script that reads the request and answers so."""

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.answer(status, b"ok", *fields)

    return script


def silent(talk: Talk) -> None:
    """A script that reads the request, and never answers."""
    talk.read_body()
    talk.gone()


def charged(gateway: Gateway, oracle: Oracle, route: str, script: Script) -> int:
    """Nanos that one call of the route costs whose upstream does that; its answer is read, or found cut."""
    before = gateway.captured("rich")
    with oracle.script(script) as name, gateway.connect() as client:
        client.send(request(f"POST /{route}/{name} HTTP/1.1".encode(), b"Content-Length: 2", body=b"ab"))
        try:
            client.read()
        except TruncatedError:
            assert route  # the answer was cut: what that costs is the question
    return gateway.captured("rich") - before


# By the route's rule


@pytest.mark.parametrize(
    ("route", "status", "price"),
    [
        ("v1", 200, PRICE), ("v1", 404, PRICE), ("v1", 499, PRICE), ("v1", 500, 0), ("v1", 503, 0),
        ("succeeded", 200, PRICE), ("succeeded", 299, PRICE), ("succeeded", 300, 0), ("succeeded", 404, 0),
        ("succeeded", 500, 0),
        ("always", 200, PRICE), ("always", 404, PRICE), ("always", 500, PRICE), ("always", 599, PRICE),
    ],
)  # fmt: skip
def test_an_answer_is_charged_by_the_rule(terms: Gateway, oracle: Oracle, route: str, status: int, price: int) -> None:
    assert charged(terms, oracle, route, answers(status)) == price


@pytest.mark.parametrize(("route", "price"), [("v1", 0), ("succeeded", 0), ("always", PRICE)])
def test_a_call_that_fails_behind_the_gateway_costs_only_where_all_that_is_sent_does(
    terms: Gateway, oracle: Oracle, route: str, price: int
) -> None:
    def resets(talk: Talk) -> None:
        talk.read_body()
        talk.reset()

    def cuts(talk: Talk) -> None:
        talk.read_body()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        talk.reset()

    assert charged(terms, oracle, route, resets) == price
    assert charged(terms, oracle, route, cuts) == price


def test_a_call_that_was_never_sent_costs_nothing_by_any_rule(terms: Gateway) -> None:
    before = terms.captured("rich")
    with terms.connect() as client:
        client.send(request(b"POST /always-dead/x HTTP/1.1", b"Content-Length: 0"))
        assert client.read().status == 502
    assert terms.captured("rich") == before


@pytest.mark.parametrize(("route", "price"), [("v1", 0), ("succeeded", 0), ("always", PRICE)])
def test_a_client_that_leaves_before_the_answer_pays_only_where_all_that_is_sent_does(
    terms: Gateway, oracle: Oracle, route: str, price: int
) -> None:
    before = terms.captured("rich")
    with oracle.script(silent) as name:
        client = terms.connect()
        client.send(request(f"POST /{route}/{name} HTTP/1.1".encode(), b"Content-Length: 0"))
        oracle.wait_for(name)
        start = time.monotonic()
        client.reset()
        assert terms.captured("rich") == before + price
        assert time.monotonic() - start < 0.9  # it was not the call's own deadline


@pytest.mark.parametrize(
    ("route", "status", "price"), [("v1", 200, PRICE), ("v1", 500, 0), ("succeeded", 404, 0), ("always", 500, PRICE)]
)
def test_a_client_that_leaves_during_the_answer_pays_as_for_all_of_it(
    terms: Gateway, oracle: Oracle, route: str, status: int, price: int
) -> None:
    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(b"HTTP/1.1 %d Whatever\r\nContent-Length: 10\r\n\r\nhalf" % status)
        assert talk.gone()

    before = terms.captured("rich")
    with oracle.script(script) as name:
        client = terms.connect()
        client.send(request(f"POST /{route}/{name} HTTP/1.1".encode(), b"Content-Length: 0"))
        client.until(b"half")
        client.reset()
        assert terms.captured("rich") == before + price


# At the upstream's own word


@pytest.mark.parametrize(
    ("route", "field", "cost"),
    [
        ("costed", "X-Cost: 0.000123456", 123_456),
        ("costed", "x-cost: 0", 0),
        ("costed", "X-COST: 4.2e-05", 42_000),
        ("costed", "X-Cost: 0.001", PRICE),
        ("metered", "X-Tokens: 1234", 3_702),
        ("metered", "x-tokens: 0", 0),
    ],
)
def test_the_answer_names_what_the_call_costs(
    terms: Gateway, oracle: Oracle, route: str, field: str, cost: int
) -> None:
    assert charged(terms, oracle, route, answers(200, field)) == cost


@pytest.mark.parametrize(
    ("route", "field"),
    [
        ("costed", "X-Cost: 0.001000001"), ("costed", "X-Cost: 99999999999999999999"), ("metered", "X-Tokens: 333334"),
        ("costed", "X-Other: 1"), ("costed", "X-Cost: -1"), ("costed", "X-Cost: 1,5"), ("costed", "X-Cost:"),
        ("costed", "X-Cost: 0.0001\r\nX-Cost: 0.0001"), ("metered", "X-Tokens: 1.5"), ("metered", "X-Cost: 0.0001"),
    ],
)  # fmt: skip
def test_more_than_was_held_or_nothing_that_is_understood_costs_what_was_held(
    terms: Gateway, oracle: Oracle, route: str, field: str
) -> None:
    assert charged(terms, oracle, route, answers(200, field)) == PRICE


def test_a_call_that_is_not_charged_costs_nothing_whatever_its_answer_says(terms: Gateway, oracle: Oracle) -> None:
    assert charged(terms, oracle, "costed", answers(500, "X-Cost: 0.0005")) == 0


def test_what_a_call_costs_is_not_the_client_s_to_see(terms: Gateway, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(b"HTTP/1.1 103 Early Hints\r\nX-Cost: 0.5\r\nLink: </x>\r\n\r\n")
        talk.answer(200, b"ok", "X-Cost: 0.0001", "X-Kept: 1")

    before = terms.captured("rich")
    with oracle.script(script) as name, terms.connect() as client:
        client.send(request(f"POST /costed/{name} HTTP/1.1".encode(), b"Content-Length: 0"))
        hints, answer = client.read_next(), client.read_next()
    assert (hints.status, hints.all("x-cost"), hints.one("link")) == (103, [], "</x>")
    assert (answer.status, answer.all("x-cost"), answer.one("x-kept")) == (200, [], "1")
    assert terms.captured("rich") == before + 100_000


def test_a_client_that_leaves_during_the_answer_pays_what_its_head_named(terms: Gateway, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(b"HTTP/1.1 200 OK\r\nX-Cost: 0.0002\r\nContent-Length: 10\r\n\r\nhalf")
        assert talk.gone()

    before = terms.captured("rich")
    with oracle.script(script) as name:
        client = terms.connect()
        client.send(request(f"POST /costed/{name} HTTP/1.1".encode(), b"Content-Length: 0"))
        client.until(b"half")
        client.reset()
        assert terms.captured("rich") == before + 200_000


# Never held for longer than allowed (hold_timeout is a second here)


def test_a_call_that_holds_money_for_too_long_is_a_504(terms: Gateway, oracle: Oracle) -> None:
    before = terms.captured("rich")
    with oracle.script(silent) as name, terms.connect() as client:
        start = time.monotonic()
        client.send(request(f"POST /v1/{name} HTTP/1.1".encode(), b"Content-Length: 0"))
        answer = client.read()
    assert (answer.status, answer.one("x-should-retry")) == (504, "false")
    assert 0.9 <= time.monotonic() - start <= 4
    assert terms.captured("rich") == before


def test_a_body_that_trickles_holds_money_no_longer(terms: Gateway, oracle: Oracle) -> None:
    before = terms.captured("rich")
    with terms.connect() as client:
        client.send(request(b"POST /v1/x HTTP/1.1", b"Content-Length: 1000"))
        while client.is_silent(0.1):
            client.send(b"x")
        answer = client.read()
    assert (answer.status, answer.closes) == (408, True)
    assert terms.captured("rich") == before
    oracle.errors.clear()


@pytest.mark.parametrize(("status", "price"), [(200, PRICE), (500, 0)])
def test_an_answer_that_streams_for_too_long_is_cut_and_charged(
    terms: Gateway, oracle: Oracle, status: int, price: int
) -> None:
    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(b"HTTP/1.1 %d OK\r\nTransfer-Encoding: chunked\r\n\r\n" % status)
        try:
            while True:
                talk.send(b"1\r\nx\r\n")
                time.sleep(0.05)
        except OSError:
            talk.close()

    start = time.monotonic()
    assert charged(terms, oracle, "v1", script) == price
    assert 0.9 <= time.monotonic() - start <= 4


def test_a_client_that_reads_slowly_holds_money_no_longer(terms: Gateway, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        try:
            while True:
                talk.send(bytes(65536))
        except OSError:
            talk.close()

    before = terms.account("rich")["captured"]
    with oracle.script(script) as name, terms.connect(receive_buffer=4096) as client:
        client.send(request(f"POST /v1/{name} HTTP/1.1".encode(), b"Content-Length: 0"))
        client.until(b"\r\n\r\n")
        assert eventually(lambda: terms.account("rich")["held"] == 0, 4)
        assert terms.account("rich")["captured"] == before + PRICE


def test_a_call_that_holds_no_money_has_all_the_time_it_needs(terms: Gateway, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        talk.read_body()
        time.sleep(1.5)
        talk.answer(200, b"late")

    with oracle.script(script) as name, terms.connect() as client:
        client.send(request(f"POST /free/{name} HTTP/1.1".encode(), b"Content-Length: 0"))
        assert client.read().body == b"late"
