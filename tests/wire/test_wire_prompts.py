"""A call of a prompt: what its model is asked, what its caller gets, holds and pays, and what goes wrong."""

from __future__ import annotations

import json

from fastgw.ai.checking import Checker
from fastgw.ai.prompt_document import TEXT

from .client import Answer
from .modelling import CALL, INPUT, OUTPUT, STREAM, Stand, ask, chunk, event, stream, told, usage, whole
from .oracle import Script, Talk

FLAT = 300 * OUTPUT  # what a call costs whose tokens are part of its price
SUM, TITLE, INCLUDED = "/prompts/sum", "/prompts/title", "/prompts/flat"
EVENTS = "Accept: text/event-stream"


def inputs(**said: object) -> bytes:
    return json.dumps(said).encode()


def saying(text: str, finish: str = "stop") -> Script:
    """A script that answers with that, which has cost 7 tokens and 20."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    counted = {"prompt_tokens": 7, "completion_tokens": 20, "total_tokens": 27}
    answer = {"id": "c", "object": "chat.completion", "model": "main-1", "choices": [choice], "usage": counted}

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.answer(200, json.dumps(answer).encode(), "Content-Type: application/json")

    return script


def problem(answer: Answer, status: int, code: str) -> dict[str, object]:
    """What a problem says beside the usual."""
    said: dict[str, object] = json.loads(answer.body)
    assert (answer.status, answer.one("content-type")) == (status, "application/problem+json")
    assert (said["status"], said["code"]) == (status, code)
    return said


def test_inputs_become_a_call_to_the_model_and_its_answer_a_text(models: Stand) -> None:
    account = models.account()
    with models.serving(main=whole(7, 20)), models.connect() as client, models.row() as rows:
        client.send(ask(account, inputs(text='x"}]'), path=SUM))
        answer = client.read()
    assert (answer.status, answer.one("content-type")) == (200, "application/json")
    assert json.loads(answer.body) == {"text": "hello"}
    assert Checker(TEXT).wrong(json.loads(answer.body)) == []
    cost = CALL + 7 * INPUT + 20 * OUTPUT
    assert account.captured() == rows[0].cost == cost
    assert answer.one("x-fastgw-cost") == f"{cost / 1e9:.9f}".rstrip("0")
    assert answer.one("x-fastgw-tokens") == "in=7, out=20"
    [arrival] = models.oracle.named("main")
    sent = json.loads(arrival.body)
    assert sent["messages"] == [{"role": "user", "content": 'Sum: x"}]'}]
    assert (sent["model"], sent["temperature"], "stream" in sent) == ("main-1", 0.5, False)
    assert sent["max_tokens"] == 50


def test_a_version_is_called_by_its_name_and_nothing_lies_below(models: Stand) -> None:
    account = models.account()
    with models.serving(main=whole()), models.connect() as client:
        for path in (f"{SUM}@1", f"{SUM}@2", f"{SUM}?a=b"):
            client.send(ask(account, inputs(text="x"), path=path))
            assert client.read().status == 200
        for path, method in ((f"{SUM}/x", "POST"), (f"{SUM}@3", "POST"), (SUM, "GET")):
            client.send(ask(account, inputs(text="x"), path=path, method=method))
            problem(client.read(), 404, "no_route")
    said = [json.loads(arrival.body)["messages"][0]["content"] for arrival in models.oracle.named("main")]
    assert said == ["Sum: x", "Child: x", "Sum: x"]


def test_a_stream_comes_in_pieces_and_is_charged_as_others(models: Stand) -> None:
    account = models.account()
    with models.serving(main=stream(10)), models.connect() as client, models.row() as rows:
        client.send(ask(account, inputs(text="x"), EVENTS, path=SUM))
        answer = client.read()
    assert (answer.status, answer.one("content-type")) == (200, "text/event-stream")
    assert answer.body.count(b'data: {"text":"tok "}\n\n') == 10
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert told(answer)["out"] == "10"
    assert account.captured() == rows[0].cost == CALL + 7 * INPUT + 10 * OUTPUT


def test_thoughts_that_are_not_told_do_not_end_a_stream(models: Stand) -> None:
    account = models.account()
    thought = event(choices=[{"index": 0, "delta": {"reasoning_content": "hm"}, "finish_reason": None}])

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(STREAM)
        for _ in range(3):
            talk.send(chunk(thought))
        talk.send(chunk(event("a") + usage(7, 4) + b"data: [DONE]\n\n") + b"0\r\n\r\n")

    with models.serving(main=script), models.connect() as client:
        client.send(ask(account, inputs(text="x"), EVENTS, path=SUM))
        answer = client.read()
    assert answer.body.startswith(b'data: {"text":"a"}\n\n')
    assert account.captured() == CALL + 7 * INPUT + 4 * OUTPUT


def test_a_stream_ends_where_the_money_does(models: Stand) -> None:
    account = models.account(tokens=40, input_tokens=100)
    with models.serving(main=stream(50, told=False)), models.connect() as client:
        client.send(ask(account, inputs(text="x"), EVENTS, path=SUM))
        answer = client.read()
    assert answer.status == 200
    tail = answer.body.rpartition(b"event: error\ndata: ")[2]
    assert json.loads(tail)["code"] == "insufficient_balance"
    assert b"[DONE]" not in answer.body
    assert account.captured() <= CALL + 100 * INPUT + 40 * OUTPUT


def test_where_tokens_are_included_the_price_is_all_that_is_held(models: Stand) -> None:
    account = models.account(tokens=0)
    account.grant(FLAT)
    with models.serving(main=whole(7, 20)), models.connect() as client, models.row() as rows:
        client.send(ask(account, inputs(text="x" * 5_000), path=INCLUDED))
        answer = client.read()
    assert (answer.status, answer.one("x-fastgw-tokens")) == (200, "in=7, out=20")
    assert account.captured() == rows[0].cost == FLAT
    with models.connect() as client:
        client.send(ask(account, inputs(text="x"), path=INCLUDED))
        problem(client.read(), 402, "insufficient_balance")


def test_inputs_that_are_wrong_cost_nothing_and_reach_nobody(models: Stand) -> None:
    account = models.account()
    with models.connect() as client:
        client.send(ask(account, inputs(text=5, more=1), path=SUM))
        said = problem(client.read(), 400, "invalid_body")
        assert isinstance(said["errors"], list)
        assert [each["pointer"] for each in said["errors"]] == ["#/text", "#"]
        client.send(ask(account, b"{", path=SUM))
        problem(client.read(), 400, "invalid_body")
    assert account.captured() == 0
    assert models.oracle.named("main") == []


def test_an_answer_of_a_schema_is_the_object_or_a_charged_error(models: Stand) -> None:
    account = models.account()
    cost = CALL + 7 * INPUT + 20 * OUTPUT
    with models.serving(main=saying('{"title": "a"}')), models.connect() as client:
        client.send(ask(account, inputs(text="x"), path=TITLE))
        answer = client.read()
    assert (answer.status, answer.body) == (200, b'{"title":"a"}')
    [arrival] = models.oracle.named("main")
    assert json.loads(arrival.body)["response_format"]["json_schema"]["strict"] is True
    with models.serving(main=saying("so be it")), models.connect() as client, models.row() as rows:
        client.send(ask(account, inputs(text="x"), path=TITLE))
        answer = client.read()
    assert "is no JSON" in str(problem(answer, 502, "answer_invalid")["detail"])
    assert answer.one("x-should-retry") == "false"
    assert (rows[0].status, rows[0].verdict.name, rows[0].cost) == (502, "ANSWER_INVALID", cost)
    with models.serving(main=stream(2)), models.connect() as client, models.row() as rows:
        client.send(ask(account, inputs(text="x"), EVENTS, path=TITLE))
        answer = client.read()
    assert json.loads(answer.body.rpartition(b"event: error\ndata: ")[2])["code"] == "answer_invalid"
    assert (rows[0].status, rows[0].verdict.name) == (200, "ANSWER_INVALID")
    assert account.captured() == 2 * cost + CALL + 7 * INPUT + 2 * OUTPUT


def test_what_a_provider_refuses_is_a_problem_and_costs_nothing(models: Stand) -> None:
    account = models.account()
    error = json.dumps({"error": {"message": "too long", "type": "invalid_request_error", "code": "too_long"}}).encode()

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.answer(400, error, "Content-Type: application/json")

    with models.serving(main=script), models.connect() as client:
        client.send(ask(account, inputs(text="x"), path=SUM))
        assert problem(client.read(), 400, "too_long")["detail"] == "too long"
    assert account.captured() == 0


def test_anybody_may_read_what_prompts_there_are(models: Stand) -> None:
    with models.connect() as client, models.row() as rows:
        client.send(b"GET /prompts/openapi.json HTTP/1.1\r\nHost: wire\r\n\r\n")
        answer = client.read()
    assert (answer.status, answer.one("content-type")) == (200, "application/json")
    assert sorted(json.loads(answer.body)["paths"]) == [
        INCLUDED, f"{INCLUDED}@1", SUM, f"{SUM}@1", f"{SUM}@2", TITLE, f"{TITLE}@1",
    ]  # fmt: skip
    assert (rows[0].status, rows[0].cost) == (200, 0)
