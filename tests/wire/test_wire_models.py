"""A call to a model: what is asked of its provider, what its caller gets, and what it costs."""

from __future__ import annotations

import json

from .modelling import CALL, INPUT, OUTPUT, Stand, ask, body, stream, told, tokens_of, whole


def test_a_call_is_made_and_charged_what_the_provider_has_counted(models: Stand) -> None:
    account = models.account()
    with models.serving(main=whole(7, 20)), models.connect() as client, models.row() as rows:
        client.send(ask(account, body()))
        answer = client.read()
    assert (answer.status, json.loads(answer.body)["usage"]["total_tokens"]) == (200, 27)
    cost = CALL + 7 * INPUT + 20 * OUTPUT
    assert account.captured() == cost == rows[0].cost


def test_a_stream_is_passed_on_and_charged_before_its_last_event(models: Stand) -> None:
    account = models.account()
    with models.serving(main=stream(10)), models.connect() as client:
        client.send(ask(account, body(stream=True)))
        answer = client.read()
    assert (answer.status, tokens_of(answer)) == (200, 10)
    assert told(answer)["out"] == "10"
    assert account.captured() == CALL + 7 * INPUT + 10 * OUTPUT
