"""Money of calls to models: nothing is relayed that is not held for, what was used is charged, and no hold stays."""

from __future__ import annotations

import json
import threading
import time
from typing import NamedTuple

import pytest

from .client import Client
from .modelling import (
    CALL,
    DONE,
    INPUT,
    OUTPUT,
    STREAM,
    Stand,
    ask,
    body,
    chunk,
    event,
    stream,
    tokens_of,
    told,
    usage,
    whole,
)
from .oracle import Talk
from .rig import eventually
from .tunnelling import Account

INPUT_MOST = 64  # tokens that the input of these tests may be estimated at
STREAMS = 200


def endless(talk: Talk) -> None:
    """A script that streams tokens until nobody wants them any more, whatever it was asked for."""
    talk.read_body()
    talk.send(STREAM)
    go_on(talk)


def go_on(talk: Talk) -> None:
    for _ in range(3_000):
        talk.send(chunk(event()))


def read_stream(client: Client) -> bytes:
    answer = client.read()
    assert answer.status == 200
    return answer.body


def refusal(client: Client, data: bytes) -> tuple[int, str]:
    client.send(data)
    answer = client.read()
    return answer.status, json.loads(answer.body)["error"]["code"] if answer.status != 200 else ""


class Tight(NamedTuple):
    """An account with a budget of `nanos`, whose calls have `lines`; `code` is what refuses them."""

    account: Account
    meter: int
    nanos: int
    lines: tuple[str, ...]
    code: str


# Streams


def test_a_stream_ends_in_dialect_where_the_money_does(models: Stand) -> None:
    account = models.account(100, INPUT_MOST)
    with models.serving(main=endless), models.connect() as client:
        client.send(ask(account, body(stream=True)))
        data = read_stream(client)
        assert refusal(client, ask(account, body())) == (402, "insufficient_balance")  # the connection goes on
    assert 90 <= tokens_of(data) <= 100
    last = [json.loads(line[6:]) for line in data.split(b"\n") if line.startswith(b"data: {")][-1]
    assert last["error"]["code"] == "insufficient_balance"
    assert told(data)["out"] == str(tokens_of(data))
    assert models.segment.account(account.index)["granted"] - account.captured() >= 0


@pytest.fixture(params=["key", "tag"])
def tight(models: Stand, request: pytest.FixtureRequest) -> Tight:
    """An account that can pay for all, and a budget, of its key or a tag, that cannot: for 100 tokens."""
    account, nanos = models.account(), CALL + INPUT_MOST * INPUT + 100 * OUTPUT
    if request.param == "key":
        return Tight(account, account.budget(nanos), nanos, (), "budget_exhausted")
    return Tight(account, account.tag("run-17", nanos), nanos, ("X-Fastgw-Tag: run-17",), "tag_budget_exhausted")


def test_a_stream_ends_in_dialect_where_a_budget_does(models: Stand, tight: Tight) -> None:
    with models.serving(main=endless), models.connect() as client:
        client.send(ask(tight.account, body(stream=True), *tight.lines))
        data = read_stream(client)
        assert refusal(client, ask(tight.account, body(), *tight.lines)) == (402, tight.code)
        [arrival] = models.oracle.named("main")
    assert 90 <= tokens_of(data) <= 100
    assert 100 <= json.loads(arrival.body)["max_completion_tokens"] <= 120  # what the budget covers
    last = [json.loads(line[6:]) for line in data.split(b"\n") if line.startswith(b"data: {")][-1]
    assert last["error"]["code"] == tight.code
    assert tight.account.captured() == models.segment.account(tight.meter)["captured"] <= tight.nanos


def test_what_a_budget_covers_is_what_a_call_is_cut_down_to_and_charged_at_most(models: Stand, tight: Tight) -> None:
    with models.serving(main=whole(7, 150)), models.connect() as client:
        client.send(ask(tight.account, body("shrinking", max_tokens=500), *tight.lines))
        answer = client.read()
        assert answer.status == 200
    assert 99 <= int(answer.one("x-fastgw-max-tokens")) <= 110
    assert tight.account.captured() == models.segment.account(tight.meter)["captured"]
    assert tight.nanos - OUTPUT < tight.account.captured() <= tight.nanos  # more was used than was asked for


def test_a_stream_that_holds_all_it_may_generate_is_not_ended_by_an_estimate(models: Stand) -> None:
    account = models.account(1_000, INPUT_MOST)

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(STREAM)
        for _ in range(1_100):
            talk.send(chunk(event()))
        talk.send(chunk(usage(7, 1_000) + DONE) + b"0\r\n\r\n")

    with models.serving(main=script), models.connect() as client:
        client.send(ask(account, body(stream=True)))
        data = read_stream(client)
    assert tokens_of(data) == 1_100
    assert account.captured() == CALL + 7 * INPUT + 1_000 * OUTPUT


@pytest.mark.parametrize("count", [3, 200])
def test_a_stream_may_hold_only_some_tokens_ahead(models: Stand, count: int) -> None:
    account = models.account(1_000, INPUT_MOST)
    held = []

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(STREAM)
        for _ in range(count):
            talk.send(chunk(event()))
            held.append(account.held)
        talk.send(chunk(usage(7, count) + DONE) + b"0\r\n\r\n")

    with models.serving(main=script), models.connect() as client:
        client.send(ask(account, body("stepping", stream=True)))
        data = read_stream(client)
    assert tokens_of(data) == count
    assert held[0] <= CALL + INPUT_MOST * INPUT + 50 * OUTPUT
    assert max(held) <= CALL + INPUT_MOST * INPUT + (count + 51) * OUTPUT
    assert account.captured() == CALL + 7 * INPUT + count * OUTPUT


def test_streams_together_never_get_more_than_there_is_money_for(models: Stand) -> None:
    account = models.account(2_000, INPUT_MOST * STREAMS)
    got: list[int] = []
    statuses: list[int] = []
    below: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            found = models.segment.account(account.index)
            below.append(found["granted"] - found["captured"] - found["held"])

    def call(model: str) -> None:
        with models.connect() as client:
            client.send(ask(account, body(model, stream=True)))
            answer = client.read()
        statuses.append(answer.status)
        got.append(tokens_of(answer))

    watching = threading.Thread(target=watch)
    watching.start()
    with models.serving(main=endless):
        calls = [
            threading.Thread(target=call, args=("stepping" if n % 2 else "plain",), daemon=True) for n in range(STREAMS)
        ]
        for thread in calls:
            thread.start()
        for thread in calls:
            thread.join(30)
    over.set()
    watching.join()
    assert len(got) == STREAMS
    assert set(statuses) <= {200, 402}
    assert 1_000 < sum(got) <= (2_000 + STREAMS * INPUT_MOST * INPUT // OUTPUT) * 9 // 8
    assert min(below) >= 0
    assert account.captured() <= models.segment.account(account.index)["granted"]


def test_money_that_others_hold_is_worth_waiting_for(models: Stand) -> None:
    account = models.account(1_000, 2 * INPUT_MOST)
    steps = threading.Event()

    def waits(talk: Talk) -> None:
        talk.read_body()
        talk.send(STREAM + chunk(event()))
        steps.wait(10)
        talk.send(chunk(usage(7, 1) + DONE) + b"0\r\n\r\n")

    with models.serving(main=waits), models.connect() as first, models.connect() as second:
        first.send(ask(account, body(stream=True)))
        first.until(b"tok ")
        assert refusal(second, ask(account, body())) == (402, "balance_held")
        assert refusal(second, ask(account, body(max_tokens=5_000))) == (402, "insufficient_balance")
        assert refusal(second, ask(account, body(stream=True))) == (402, "balance_held")
        steps.set()
        first.until(b"0\r\n\r\n")
    assert account.captured() == CALL + 7 * INPUT + OUTPUT


# Calls that are not streamed


def test_a_call_holds_for_all_it_may_generate_or_is_refused(models: Stand) -> None:
    account = models.account(99, INPUT_MOST)
    with models.serving(main=whole(7, 20)), models.connect() as client:
        assert refusal(client, ask(account, body(max_tokens=200))) == (402, "insufficient_balance")
        assert models.oracle.named("main") == []
        assert refusal(client, ask(account, body(max_tokens=90))) == (200, "")
    assert account.captured() == CALL + 7 * INPUT + 20 * OUTPUT


def test_a_call_may_be_cut_down_to_what_there_is_money_for(models: Stand) -> None:
    account = models.account(99, INPUT_MOST)
    with models.serving(main=whole(7, 20)), models.connect() as client:
        client.send(ask(account, body("shrinking", max_tokens=500)))
        answer = client.read()
        [arrival] = models.oracle.named("main")
    most = int(answer.one("x-fastgw-max-tokens"))
    sent = json.loads(arrival.body)
    assert 99 <= most < 200
    assert sent["max_tokens"] == most
    assert account.captured() == CALL + 7 * INPUT + 20 * OUTPUT


def test_what_was_used_beyond_the_hold_is_charged_as_far_as_there_is_money_and_counted_beyond(models: Stand) -> None:
    rich, poor = models.account(), models.account(100, INPUT_MOST)
    before = models.uncovered("main/main-1")
    with models.serving(main=whole(7, 150)), models.connect() as client:
        for account in (rich, poor):
            client.send(ask(account, body(max_tokens=100)))
            assert client.read().status == 200
            assert models.uncovered("main/main-1") == before or account is poor
    cost = CALL + 7 * INPUT + 150 * OUTPUT
    assert rich.captured() == cost
    assert poor.captured() == models.segment.account(poor.index)["granted"]
    assert models.uncovered("main/main-1") - before == cost - poor.captured() > 0


def test_what_the_provider_does_not_tell_is_estimated(models: Stand) -> None:
    account = models.account()
    with models.serving(main=stream(10, told=False)), models.connect() as client:
        client.send(ask(account, body(stream=True)))
        data = read_stream(client)
    assert told(data)["out"] == "10"
    assert CALL + 10 * OUTPUT < account.captured() <= CALL + 10 * OUTPUT + INPUT_MOST * INPUT


def test_what_costs_nothing_is_not_held_for(models: Stand) -> None:
    account = models.account(0)
    with models.serving(main=stream(50)), models.connect() as client:
        client.send(ask(account, body("free", stream=True)))
        assert tokens_of(read_stream(client)) == 50
    assert account.captured() == CALL


def test_a_key_that_is_revoked_ends_its_streams_when_they_hold_more(models: Stand) -> None:
    account = models.account()

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(STREAM + chunk(event()))
        assert eventually(lambda: "gone" in said)
        go_on(talk)

    said: list[str] = []
    with models.serving(main=script), models.connect() as client:
        client.send(ask(account, body("stepping", stream=True)))
        client.until(b"tok ")
        models.segment.revoke_key(account.key_index)
        said.append("gone")
        data = client.until(b"0\r\n\r\n")
    assert b"revoked_key" in data
    assert tokens_of(data) <= 50


@pytest.mark.parametrize("cause", ["resets", "ends", "unchunked", "error"])
def test_a_stream_that_its_provider_does_not_end_is_ended_in_dialect_and_charged(models: Stand, cause: str) -> None:
    account = models.account()

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(STREAM)
        for _ in range(5):
            talk.send(chunk(event()))
        time.sleep(0.05)
        match cause:
            case "resets":
                talk.reset()
            case "ends":
                talk.send(b"0\r\n\r\n")
            case "unchunked":
                talk.send(b"nonsense\r\n")
            case "error":
                talk.send(chunk(b'data: {"error": {"message": "overloaded", "type": "server_error"}}\n\n'))
        talk.close()

    with models.serving(main=script), models.connect() as client, models.row() as rows:
        client.send(ask(account, body(stream=True)))
        data = read_stream(client)
    assert tokens_of(data) == 5
    assert b'"error"' in data
    assert rows[0].verdict.name == "UPSTREAM_FAILED"
    assert CALL + 5 * OUTPUT < account.captured() <= CALL + 5 * OUTPUT + INPUT_MOST * INPUT


def test_tokens_are_limited_as_they_are_used_and_not_as_they_are_asked_for(models: Stand) -> None:
    account = models.account()
    models.segment.set_key_tokens(account.key_index, models.segment.limit(600, 60 * 10**9, 600))
    with models.serving(main=whole(7, 20)), models.connect() as client:
        for _ in range(3):  # each may use 400 and more, and uses 27
            assert refusal(client, ask(account, body(max_tokens=400))) == (200, "")
        asked = ask(account, body(max_tokens=700))
        assert refusal(client, asked) == (400, "too_many_tokens")
    with models.serving(main=whole(7, 500)), models.connect() as client:
        assert refusal(client, ask(account, body(max_tokens=450)))[0] == 200
        asked = ask(account, body(max_tokens=300))
        assert refusal(client, asked) == (429, "tokens_limited")
