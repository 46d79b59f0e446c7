"""Who is asked for a call to a model when the first one cannot serve it, with which key, and who is left in peace."""

from __future__ import annotations

import json
import time

import msgspec
import pytest

from fastgw.model import Config

from .modelling import CALL, INPUT, OUTPUT, STREAM, Stand, ask, body, chunk, config, event, stream, tokens_of, whole
from .oracle import Script, Talk
from .rig import eventually


def refusing(status: int, kind: str = "server_error", *fields: str, code: str = "") -> Script:
    """A script that answers with an error of OpenAI's form."""

    def script(talk: Talk) -> None:
        talk.read_body()
        error = {"error": {"message": "no", "type": kind, "code": code or None, "param": None}}
        talk.answer(status, json.dumps(error).encode(), "Content-Type: application/json", *fields)

    return script


def resets(talk: Talk) -> None:
    talk.read_body()
    talk.reset()


def cut_early(talk: Talk) -> None:
    talk.read_body()
    talk.send(STREAM)
    time.sleep(0.05)
    talk.reset()


def fails_early(talk: Talk) -> None:
    talk.read_body()
    talk.send(STREAM + chunk(b'data: {"error": {"message": "overloaded", "type": "server_error"}}\n\n') + b"0\r\n\r\n")


@pytest.fixture(autouse=True)
def rested(models: Stand) -> None:
    """No key of a provider rests because of another test."""
    models.later(700_000)


@pytest.mark.parametrize(
    ("failing", "model"),
    [
        (refusing(500), "either"), (refusing(503), "either"), (refusing(529), "either"), (refusing(302), "either"),
        (refusing(429, "rate_limit_exceeded"), "either"), (refusing(401, "authentication_error"), "either"),
        (refusing(403, "permission_error"), "either"), (resets, "either"), (None, "dead-first"),
        (refusing(429, "rate_limit_exceeded"), "only-busy"), (refusing(500), "dearer"),
    ],
)  # fmt: skip
def test_another_is_asked_where_the_first_cannot(models: Stand, failing: Script | None, model: str) -> None:
    account = models.account()
    scripts = {"spare": whole(7, 20)} | ({"main": failing} if failing else {})
    with models.serving(**scripts), models.connect() as client, models.row() as rows:
        client.send(ask(account, body(model)))
        answer = client.read()
        [spare] = models.oracle.named("spare")
    served = "spare-dear" if model == "dearer" else "spare-1"
    assert (answer.status, answer.one("x-fastgw-model")) == (200, f"spare/{served}")
    assert spare.one("authorization") == "Bearer pk-spare-0"
    assert json.loads(spare.body)["model"] == served
    times = 2 if model == "dearer" else 1
    assert account.captured() == CALL + times * (7 * INPUT + 20 * OUTPUT) == rows[0].cost


@pytest.mark.parametrize("failing", [cut_early, fails_early, refusing(500)])
def test_a_stream_of_which_nothing_was_passed_on_is_asked_of_another(models: Stand, failing: Script) -> None:
    account = models.account()
    with models.serving(main=failing, spare=stream(4)), models.connect() as client:
        client.send(ask(account, body("either", stream=True)))
        answer = client.read()
    assert (tokens_of(answer), answer.one("x-fastgw-model")) == (4, "spare/spare-1")
    assert account.captured() == CALL + 7 * INPUT + 4 * OUTPUT


@pytest.mark.parametrize("falls_back", [True, False])
def test_another_is_asked_where_the_first_is_silent_for_too_long(models: Stand, falls_back: bool) -> None:
    account, left = models.account(), list[bool]()

    def silent(talk: Talk) -> None:
        talk.read_body()
        left.append(talk.gone())

    models.host.reconfigure(timely(models, 200))
    try:
        with models.serving(main=silent, spare=whole(7, 20)), models.connect() as client:
            client.send(ask(account, body("either" if falls_back else "only-busy")))
            answer = client.read()
            assert eventually(lambda: left == [True])
            assert len(models.oracle.named("spare")) == falls_back
    finally:
        models.host.reconfigure(config(models.oracle.port, models.dead))
    assert answer.status == (200 if falls_back else 504)
    assert account.captured() == (CALL + 7 * INPUT + 20 * OUTPUT if falls_back else 0)


def timely(models: Stand, first_byte_ms: int) -> Config:
    """The configuration, where a provider must answer within that time."""
    base = config(models.oracle.port, models.dead)
    server = msgspec.structs.replace(base.server, first_byte_timeout_ms=first_byte_ms)
    return msgspec.structs.replace(base, server=server)


def test_a_stream_of_which_something_was_passed_on_is_not(models: Stand) -> None:
    account = models.account()

    def cuts(talk: Talk) -> None:
        talk.read_body()
        talk.send(STREAM + chunk(event()))
        time.sleep(0.05)
        talk.reset()

    with models.serving(main=cuts, spare=stream(4)), models.connect() as client:
        client.send(ask(account, body("either", stream=True)))
        answer = client.read()
        assert models.oracle.named("spare") == []
    assert b"upstream_failed" in answer.body


@pytest.mark.parametrize(
    ("failing", "model", "status", "code"),
    [
        (refusing(500, code="boom"), "plain", 500, "boom"),
        (refusing(500, code="boom"), "only-busy", 500, "boom"),
        (refusing(400, "invalid_request_error", code="bad"), "either", 400, "bad"),
        (refusing(422, "invalid_request_error", code="bad"), "either", 422, "bad"),
        (refusing(404, "invalid_request_error", code="gone"), "either", 404, "gone"),
        (refusing(401, "authentication_error"), "plain", 502, "provider_refused"),
        (refusing(403, "permission_error"), "plain", 502, "provider_refused"),
        (refusing(402, "insufficient_quota"), "plain", 502, "provider_refused"),
        (refusing(429, "insufficient_quota", code="insufficient_quota"), "plain", 502, "provider_refused"),
        (refusing(429, "rate_limit_exceeded", "Retry-After: 7", code="slow"), "plain", 429, "slow"),
        (resets, "plain", 502, "upstream_failed"),
        (None, "dead", 502, "upstream_unreachable"),
    ],
)
def test_an_error_that_nobody_else_mends_is_the_caller_s_or_ours(
    models: Stand, failing: Script | None, model: str, status: int, code: str
) -> None:
    account = models.account()
    with models.serving(**({"main": failing} if failing else {})), models.connect() as client:
        client.send(ask(account, body(model)))
        answer = client.read()
        assert models.oracle.named("spare") == []
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (status, code)
    if status == 429:
        assert answer.one("retry-after") == "7"
    assert account.captured() == 0


def test_each_try_has_a_key_of_its_own_and_one_that_is_refused_is_not_used_again(models: Stand) -> None:
    account = models.account()

    def knows_one(talk: Talk) -> None:
        known = talk.arrival.one("authorization") == "Bearer pk-many-2"
        (whole(7, 20) if known else refusing(401, "authentication_error"))(talk)

    with models.serving(many=knows_one), models.connect() as client:
        for _ in range(4):
            client.send(ask(account, body("keyed")))
            assert client.read().status == 200
        keys = [arrival.one("authorization")[-1] for arrival in models.oracle.named("many")]
    assert (keys.count("0"), keys.count("1"), keys.count("2")) == (1, 1, 4)
    assert account.captured() == 4 * (CALL + 7 * INPUT + 20 * OUTPUT)


def test_a_key_rests_for_as_long_as_its_provider_asks(models: Stand) -> None:
    account = models.account()
    with models.connect() as client:
        with models.serving(main=refusing(429, "rate_limit_exceeded", "Retry-After: 30")):
            client.send(ask(account, body()))
            assert client.read().one("retry-after") == "30"
        with models.serving(main=whole(7, 20)):
            client.send(ask(account, body()))
            answer = client.read()
            assert answer.status == 429
            assert 28 <= int(answer.one("retry-after")) <= 30
            assert len(models.oracle.named("main")) == 1  # it was not asked
        with models.serving(spare=whole(7, 20)):
            client.send(ask(account, body("either")))
            assert client.read().status == 200
        with models.serving(main=whole(7, 20)):
            models.later(31_000)
            client.send(ask(account, body()))
            assert client.read().status == 200


def test_a_dearer_one_is_asked_only_for_money_that_is_held(models: Stand) -> None:
    account = models.account(120, 64)
    with models.serving(main=refusing(500), spare=whole(7, 20)), models.connect() as client:
        client.send(ask(account, body("dearer")))
        answer = client.read()
        assert models.oracle.named("spare") == []
    assert answer.status == 500
    assert account.captured() == 0


def test_a_kept_connection_that_has_ended_is_replaced(models: Stand) -> None:
    account = models.account()
    seen = []

    def once(talk: Talk) -> None:
        seen.append(1)
        if len(seen) == 2:
            talk.reset()
            return
        whole(7, 20)(talk)

    with models.serving(main=once), models.connect() as client:
        for _ in range(2):
            client.send(ask(account, body()))
            assert client.read().status == 200
    assert eventually(lambda: account.held == 0)
    assert len(seen) == 3
