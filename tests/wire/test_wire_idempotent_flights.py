"""A call with an Idempotency-Key while it is in flight, and after an end that was not the usual one: it is made by one
worker, for one client, until it is charged or may be tried again."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from . import configs
from .client import Answer
from .configs import PRICE
from .conftest import NewHost
from .keyed import arrived, ask, call, code, counting, new_key, replayed, stuck
from .oracle import Oracle, Talk
from .rig import Gateway, eventually

# While it is in flight


def test_a_repetition_of_a_call_in_flight_is_a_409_and_holds_nothing(
    terms: Gateway, oracle: Oracle, new_host: NewHost
) -> None:
    host = new_host(configs.terms(oracle.port, 9))
    go, key = threading.Event(), new_key()
    before = terms.captured("rich")
    with oracle.script(stuck(go, counting())) as name, terms.connect() as first:
        first.send(call(f"once/{name}", key))
        assert arrived(oracle, name)
        for place in (terms, host):
            for body in (b"hello", b"other"):
                with place.connect() as client:
                    answer = ask(client, call(f"once/{name}", key, body))
                    assert (answer.status, code(answer)) == (409, "idempotency_in_flight")
                    assert answer.one("retry-after") == "1"
                    assert ask(client, call("v1/x", key)).status == 200  # its connection is in step
        assert terms.account("rich")["held"] == PRICE
        go.set()
        body = first.read().body
        with terms.connect() as client:
            assert ask(client, call(f"once/{name}", key)).body == body
    assert terms.captured("rich") == before + 5 * PRICE


def test_of_many_that_come_at_once_one_is_made(terms: Gateway, oracle: Oracle, new_host: NewHost) -> None:
    host = new_host(configs.terms(oracle.port, 9))
    before, keys = terms.captured("rich"), [new_key() for _ in range(40)]

    def send(worker: int) -> list[Answer]:
        with (terms, host)[worker % 2].connect() as client:
            return [ask(client, call(f"once/{name}", key)) for key in keys]

    with oracle.script(counting()) as name, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    for of_key in zip(*answers, strict=True):
        made = {answer.body for answer in of_key if answer.status == 201}
        assert len(made) == 1
        assert sum(answer.status == 201 and not replayed(answer) for answer in of_key) == 1
        assert {answer.status for answer in of_key} <= {201, 409}
    assert len(oracle.named(name)) == len(keys)
    assert terms.captured("rich") == before + len(keys) * PRICE


# What is not charged may be tried again


def test_a_call_that_is_not_charged_frees_its_key(terms: Gateway, oracle: Oracle) -> None:
    before, key = terms.captured("rich"), new_key()
    statuses = [500, 503, 0, 200, 500]

    def script(talk: Talk) -> None:
        talk.read_body()
        status = statuses.pop(0)
        if status:
            talk.answer(status)
        else:
            talk.reset()

    with oracle.script(script) as name, terms.connect() as client:
        assert [ask(client, call(f"once/{name}", key)).status for _ in range(5)] == [500, 503, 502, 200, 200]
    assert len(oracle.named(name)) == 4
    assert terms.captured("rich") == before + PRICE


def test_a_call_that_is_charged_without_an_answer_is_not_made_again(terms: Gateway, oracle: Oracle) -> None:
    before, key = terms.captured("rich"), new_key()

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.reset()

    with oracle.script(script) as name, terms.connect() as client:
        assert ask(client, call(f"once-always/{name}", key)).status == 502
        answer = ask(client, call(f"once-always/{name}", key))
    assert (answer.status, code(answer)) == (409, "idempotency_no_answer")
    assert len(oracle.named(name)) == 1
    assert terms.captured("rich") == before + PRICE


def test_who_cannot_pay_for_another_call_still_gets_the_answer_of_the_one_that_is_paid(
    terms: Gateway, oracle: Oracle
) -> None:
    go, key, poor = threading.Event(), new_key(), "sk-wire-lean-0001"  # its balance is for one call
    before = terms.captured("lean")
    with oracle.script(stuck(go, counting())) as name, terms.connect() as client, terms.connect() as other:
        client.send(call(f"once/{name}", key, caller=poor))
        assert arrived(oracle, name)
        assert code(ask(other, call(f"once/{name}", key, caller=poor))) == "idempotency_in_flight"
        assert code(ask(other, call(f"once/{name}", new_key(), caller=poor))) == "balance_held"
        go.set()
        body = client.read().body
        again = ask(other, call(f"once/{name}", key, caller=poor))
        assert (again.body, replayed(again)) == (body, True)
        assert ask(other, call(f"once/{name}", key, b"other", caller=poor)).status == 422
        assert code(ask(other, call(f"once/{name}", new_key(), caller=poor))) == "insufficient_balance"
        assert code(ask(other, call(f"once/{name}", b'"', caller=poor))) == "insufficient_balance"
        assert code(ask(other, call(f"v1/{name}", key, caller=poor))) == "insufficient_balance"
        assert terms.account("lean")["committed"] == before + PRICE
    assert terms.captured("lean") == before + PRICE


def test_a_free_call_is_made_once_too(terms: Gateway, oracle: Oracle) -> None:
    key = new_key()
    with oracle.script(counting()) as name, terms.connect() as client:
        assert [ask(client, call(f"once-free/{name}", key)).body for _ in range(2)] == [b"1:hello"] * 2


# A client that has gone


@pytest.mark.parametrize("begun", [False, True], ids=["before-the-answer", "during-the-answer"])
def test_the_answer_waits_for_a_client_that_lost_its_connection(terms: Gateway, oracle: Oracle, begun: bool) -> None:
    go, key = threading.Event(), new_key()
    before = terms.captured("rich")

    def script(talk: Talk) -> None:
        talk.read_body()
        head, body = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha", b"lf"
        if begun:
            talk.send(head)
        assert go.wait(10)
        talk.send(body if begun else head + body)

    with oracle.script(script) as name:
        client = terms.connect()
        client.send(call(f"once/{name}", key))
        assert arrived(oracle, name)
        if begun:
            client.until(b"ha")
        client.reset()
        with terms.connect() as client:
            assert eventually(lambda: terms.segment.worker(0)["clients"] == 1)
            assert ask(client, call(f"once/{name}", key)).status == 409
            go.set()
            assert eventually(lambda: ask(client, call(f"once/{name}", key)).body == b"half")
    assert len(oracle.named(name)) == 1
    assert terms.captured("rich") == before + PRICE


def test_an_answer_too_large_to_keep_does_not_go_on_without_its_client(terms: Gateway, oracle: Oracle) -> None:
    key, gone = new_key(), threading.Event()
    before = terms.captured("rich")

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\nx")
        assert go.wait(10)
        talk.send(bytes(100_000))
        assert talk.gone()
        gone.set()

    go = threading.Event()
    with oracle.script(script) as name:
        client = terms.connect()
        client.send(call(f"once/{name}", key))
        client.until(b"\r\n\r\nx")
        client.reset()
        go.set()
        assert gone.wait(5)
    assert terms.captured("rich") == before + PRICE
    with terms.connect() as client:
        assert code(ask(client, call(f"once/{name}", key))) == "idempotency_no_answer"


def test_a_request_that_was_cut_frees_its_key(terms: Gateway, oracle: Oracle) -> None:
    key = new_key()
    with terms.connect() as client:
        client.send(call("once/x", key)[:-1])
        assert eventually(lambda: bool(oracle.arrivals))
        client.reset()
    oracle.errors.clear()
    with terms.connect() as client:
        assert eventually(lambda: ask(client, call("once/x", key)).status == 200)


def test_a_repetition_that_trickles_holds_money_no_longer(terms: Gateway) -> None:
    key = new_key()
    with terms.connect() as client:
        assert ask(client, call("once/x", key, bytes(1000))).status == 200
        client.send(call("once/x", key, bytes(1000))[:-900])
        while client.is_silent(0.1):
            client.send(b"\0")
        assert client.read().status == 408
    assert eventually(lambda: terms.account("rich")["held"] == 0)


# Workers that are killed


def test_a_killed_worker_s_calls_may_be_made_again_and_its_answers_are_still_there(
    terms: Gateway, oracle: Oracle, new_host: NewHost
) -> None:
    host = new_host(configs.terms(oracle.port, 9), 2)
    before, done, flying = terms.captured("rich"), new_key(), new_key()
    with oracle.script(counting()) as name, oracle.script(stuck(threading.Event(), counting())) as stall:
        with host.connect() as client, host.connect() as other:
            assert ask(client, call(f"once/{name}", done)).status == 201
            other.send(call(f"once/{stall}/{name}", flying))
            assert arrived(oracle, stall)
            host.kill()
        with terms.connect() as client:
            assert ask(client, call(f"once/{name}", done)).body == b"1:hello"
            assert ask(client, call(f"once/{stall}/{name}", flying)).status == 409
            terms.segment.recover(2)
            again = new_host(configs.terms(oracle.port, 9), 2)
            with again.connect() as there:
                assert ask(there, call(f"once/{name}", done)).body == b"1:hello"
            assert ask(client, call(f"once/{name}", flying)).body == b"2:hello"
    oracle.errors.clear()
    assert terms.captured("rich") == before + 2 * PRICE
