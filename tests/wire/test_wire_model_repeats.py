"""A call to a model with an Idempotency-Key is paid once, and whoever asks again gets what it has answered."""

from __future__ import annotations

import itertools
import json
import threading

import pytest

from .client import Client
from .keyed import arrived, code, new_key, replayed, stuck
from .modelling import CALL, DONE, INPUT, OUTPUT, STREAM, Stand, ask, body, chunk, event, stream, tokens_of, told, usage
from .oracle import Script, Talk
from .rig import eventually
from .tunnelling import Account

PATH = "/once/chat/completions"


def counting(status: int = 200) -> Script:
    """A script whose answers all differ."""
    numbers = itertools.count(1)

    def script(talk: Talk) -> None:
        talk.read_body()
        said = {"choices": [{"index": 0, "message": {"role": "assistant", "content": f"answer {next(numbers)}"}}]}
        used = {"usage": {"prompt_tokens": 7, "completion_tokens": 20, "total_tokens": 27}}
        talk.answer(status, json.dumps(said | used).encode(), "Content-Type: application/json")

    return script


def call(account: Account, key: bytes, data: bytes, path: str = PATH) -> bytes:
    return ask(account, data, f"Idempotency-Key: {key.decode()}", path=path)


PRICE = CALL + 7 * INPUT + 20 * OUTPUT


def test_a_call_that_is_repeated_is_paid_once(models: Stand) -> None:
    account, key = models.account(), new_key()
    with models.serving(main=counting()), models.connect() as client:
        client.send(call(account, key, body()) * 3 + ask(account, body(), path=PATH))
        first, again, third, other = (client.read() for _ in range(4))
        client.send(call(account, key, body(temperature=1)) + call(account, key, body()))
        assert (client.read().status, client.read().body) == (422, first.body)
        assert len(models.oracle.named("main")) == 2
    assert b"answer 1" in first.body == again.body == third.body
    assert b"answer 2" in other.body
    assert [replayed(answer) for answer in (first, again, third, other)] == [False, True, True, False]
    for name in ("content-type", "x-fastgw-cost", "x-fastgw-model", "x-fastgw-tokens"):
        assert first.one(name) == again.one(name)
    assert account.captured() == 2 * PRICE


def test_a_stream_that_is_repeated_comes_at_once_and_is_paid_once(models: Stand) -> None:
    account, key = models.account(), new_key()
    with models.serving(main=stream(10)), models.connect() as client:
        client.send(call(account, key, body(stream=True)) * 2)
        first, again = client.read(), client.read()
        assert len(models.oracle.named("main")) == 1
    assert (first.body, first.one("content-type")) == (again.body, again.one("content-type"))
    assert (tokens_of(again), replayed(again), again.one("content-length")) == (10, True, str(len(again.body)))
    assert told(again)["out"] == "10"
    assert account.captured() == CALL + 7 * INPUT + 10 * OUTPUT


@pytest.mark.parametrize("streams", [False, True])
def test_a_repetition_meanwhile_is_told_so_and_who_has_no_money_left_gets_the_answer(
    models: Stand, streams: bool
) -> None:
    account, key, go = models.account(20, 64), new_key(), threading.Event()
    asked = call(account, key, body(max_tokens=20, stream=streams))
    script = stuck(go, stream(20) if streams else counting())
    with models.serving(main=script), models.connect() as client, models.connect() as other:
        client.send(asked)
        assert arrived(models.oracle, "main")
        other.send(asked)
        busy = other.read()
        assert (busy.status, code(busy)) == (409, "idempotency_in_flight")
        go.set()
        first = client.read()
        other.send(asked)
        again = other.read()
        other.send(call(account, new_key(), body()))
        assert code(other.read()) == "insufficient_balance"
    assert (again.body, replayed(again)) == (first.body, True)
    assert account.captured() == PRICE


@pytest.mark.parametrize("streams", [False, True])
def test_it_goes_on_without_its_client(models: Stand, streams: bool) -> None:
    account, key, go = models.account(), new_key(), threading.Event()
    asked = call(account, key, body(stream=streams))

    def slow(talk: Talk) -> None:
        talk.read_body()
        talk.send(STREAM + chunk(event()))
        go.wait(5)
        talk.send(chunk(event() + usage(7, 2) + DONE) + b"0\r\n\r\n")

    with models.serving(main=slow if streams else stuck(go, counting())), models.row() as rows:
        with models.connect() as client:
            client.send(asked)
            if streams:
                client.until(b"tok ")
            assert arrived(models.oracle, "main")
        assert eventually(lambda: models.gauges()[1] == 0)
        go.set()
    assert (rows[0].status, rows[0].verdict.name) == (499, "CLIENT_GONE")
    price = CALL + 7 * INPUT + (2 if streams else 20) * OUTPUT
    assert account.captured() == price == rows[0].cost
    with models.connect() as client:
        client.send(asked)
        again = client.read()
    assert replayed(again)
    assert tokens_of(again) == 2 if streams else b"answer 1" in again.body
    assert account.captured() == price


def test_what_is_not_charged_may_be_asked_again(models: Stand) -> None:
    account, key = models.account(), new_key()
    poor = models.account(0)

    def refused(client: Client, who: Account, data: bytes) -> int:
        client.send(call(who, key, data))
        return client.read().status

    def fails(talk: Talk) -> None:
        talk.read_body()
        talk.answer(500, b"{}", "Content-Type: application/json")

    with models.connect() as client:
        assert refused(client, account, b"{") == 400
        assert refused(client, account, body("none")) == 404
        assert refused(client, poor, body()) == 402
        with models.serving(main=fails):
            assert refused(client, account, body()) == 500
        with models.serving(main=counting()):
            assert [refused(client, account, body()) for _ in range(2)] == [200, 200]
        client.send(call(account, b'"', body()))
        assert code(client.read()) == "idempotency_key_invalid"
    assert (account.captured(), poor.captured()) == (PRICE, 0)


@pytest.mark.parametrize("alone", [False, True])
def test_what_is_too_long_to_be_kept_is_paid_once_all_the_same(models: Stand, alone: bool) -> None:
    account, key, go = models.account(10**6), new_key(), threading.Event()
    asked = call(account, key, body(stream=True))

    def long(talk: Talk) -> None:
        talk.read_body()
        talk.send(STREAM + chunk(event()))
        go.wait(5)
        for _ in range(10):
            talk.send(chunk(event("x" * 10_000)))
        talk.send(chunk(usage(7, 900) + DONE) + b"0\r\n\r\n")

    with models.serving(main=long), models.row() as rows, models.connect() as client:
        client.send(asked)
        client.until(b"tok ")
        if alone:
            client.socket.close()
            assert eventually(lambda: models.gauges()[1] == 0)
        go.set()
        if not alone:
            client.until(b"0\r\n\r\n")
    assert rows[0].cost == account.captured() > CALL + OUTPUT
    with models.connect() as client:
        client.send(asked)
        answer = client.read()
    assert (answer.status, code(answer)) == (409, "idempotency_no_answer")
    assert account.captured() == rows[0].cost
