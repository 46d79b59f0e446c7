"""A call to a model: what is asked of its provider, what its caller gets, and what it costs."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from fastgw.dataplane.providers import Models, Scopes, Served
from fastgw.model import Model

from .client import Client
from .modelling import (
    CACHED,
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

PROVIDERS_OWN = (
    "x-ratelimit-remaining-requests: 12", "set-cookie: session=1", "openai-organization: ours", "x-request-id: req-9",
    "openai-processing-ms: 12", "anthropic-ratelimit-requests-limit: 5", "Connection: x-hop", "x-hop: 1",
)  # fmt: skip


def test_a_call_is_made_and_charged_what_the_provider_has_counted(models: Stand) -> None:
    account = models.account()
    with models.serving(main=whole(7, 20, 3)), models.connect() as client, models.row() as rows:
        client.send(ask(account, body()))
        answer = client.read()
    assert (answer.status, json.loads(answer.body)["usage"]["total_tokens"]) == (200, 27)
    cost = CALL + 4 * INPUT + 3 * CACHED + 20 * OUTPUT
    assert account.captured() == cost
    assert [(row.status, row.cost, int(row.verdict)) for row in rows] == [(200, cost, 0)]
    assert answer.one("x-fastgw-cost") == f"{cost / 1e9:.9f}".rstrip("0")
    assert answer.one("x-fastgw-tokens") == "in=7, out=20"
    assert answer.one("x-fastgw-model") == "main/main-1"
    assert answer.one("x-fastgw-balance") == f"{(CALL + 10**9 * OUTPUT - cost) / 1e9:.9f}".rstrip("0")


def test_a_stream_is_passed_on_and_charged_before_its_last_event(models: Stand) -> None:
    account = models.account()
    with models.serving(main=stream(10)), models.connect() as client, models.row() as rows:
        client.send(ask(account, body(stream=True)))
        answer = client.read()
    cost = CALL + 7 * INPUT + 10 * OUTPUT
    assert (answer.status, tokens_of(answer), answer.one("content-type")) == (200, 10, "text/event-stream")
    assert (told(answer)["in"], told(answer)["out"]) == ("7", "10")
    assert float(told(answer)["cost"]) == pytest.approx(cost / 1e9)
    assert answer.body.index(b": fastgw") < answer.body.index(b"[DONE]")
    assert account.captured() == rows[0].cost == cost


def test_a_portion_is_passed_on_as_it_comes_and_the_end_when_it_is_there(models: Stand) -> None:
    account = models.account()
    steps: list[str] = []

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(STREAM + chunk(event()))
        assert eventually(lambda: "first" in steps)
        talk.send(chunk(usage(7, 1) + DONE))
        assert eventually(lambda: account.held == 0)  # it is charged, though the body has not ended
        steps.append("charged")
        time.sleep(0.05)
        talk.send(b"0\r\n\r\n")

    with models.serving(main=script), models.connect() as client:
        client.send(ask(account, body(stream=True)))
        client.until(b"tok ")
        steps.append("first")
        client.until(b"[DONE]\n\n\r\n")
        assert client.until(b"0\r\n\r\n")
        assert steps == ["first", "charged"]
        client.send(ask(account, body(stream=True)))
        assert eventually(lambda: len(models.oracle.named("main")) == 2)
    assert len({arrival.connection for arrival in models.oracle.named("main")}) == 1  # which is used again


def test_the_provider_hears_what_it_must_and_nothing_of_the_caller(models: Stand) -> None:
    account = models.account()
    lines = ("Cookie: a=b", "User-Agent: theirs", "OpenAI-Beta: x=1", "OpenAI-Organization: theirs", "X-Mine: 1")
    with models.serving(main=whole()), models.connect() as client:
        client.send(ask(account, body(unknown={"kept": [1.0, 1e5]}, user="me"), *lines))
        assert client.read().status == 200
        [arrival] = models.oracle.named("main")
    assert (arrival.method, arrival.target) == ("POST", "/main/v1/chat/completions")
    assert arrival.one("authorization") == "Bearer pk-main-0"
    assert arrival.one("content-type") == "application/json"
    assert arrival.one("openai-beta") == "x=1"
    assert arrival.one("accept-encoding") == "identity"
    for name in ("cookie", "openai-organization", "x-mine", "x-forwarded-for", "via"):
        assert arrival.all(name) == []
    assert arrival.one("user-agent") == "fastgw"
    sent = json.loads(arrival.body)
    assert (sent["model"], sent["unknown"], sent["user"]) == ("main-1", {"kept": [1.0, 100000.0]}, "me")
    assert sent["max_completion_tokens" if "max_completion_tokens" in sent else "max_tokens"] == 1_000


@pytest.mark.parametrize("streams", [False, True])
def test_nothing_that_a_provider_says_of_itself_reaches_the_caller(models: Stand, streams: bool) -> None:
    account = models.account()

    def script(talk: Talk) -> None:
        lines = "".join(f"{line}\r\n" for line in PROVIDERS_OWN).encode()
        talk.send(b"HTTP/1.1 103 Early Hints\r\nset-cookie: early=1\r\n\r\n")
        if streams:
            talk.read_body()
            talk.send(STREAM.replace(b"\r\n\r\n", b"\r\n" + lines + b"\r\n") + chunk(event() + DONE) + b"0\r\n\r\n")
        else:
            whole(7, 20, 0, *PROVIDERS_OWN)(talk)

    with models.serving(main=script), models.connect() as client:
        client.send(ask(account, body(stream=streams)))
        answer = client.read_next()
    assert answer.status == 200
    assert not [name for name, _ in answer.fields if "ratelimit" in name or "cookie" in name or "openai" in name]
    assert answer.one("x-upstream-request-id") == "req-9"
    assert answer.one("x-request-id") != "req-9"
    assert answer.all("x-hop") == []


def test_a_body_may_come_in_any_way(models: Stand) -> None:
    account = models.account()
    data = body(user="x" * 3_000)
    head = ask(account, b"").removesuffix(b"\r\n")
    in_chunks = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(data[:100]) + chunk(data[100:]) + b"0\r\n\r\n"
    with models.serving(main=whole()), models.connect() as client:
        client.send(in_chunks)
        assert client.read().status == 200
        client.send(in_chunks, by_byte=True)
        assert client.read().status == 200
        client.send(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(data))
        assert client.read_next().status == 100
        client.send(data)
        assert client.read().status == 200
        client.send(ask(account, data) + ask(account, b"", path="/v1/models", method="GET") + ask(account, data))
        assert [client.read().status for _ in range(3)] == [200, 200, 200]
        bodies = {arrival.body for arrival in models.oracle.named("main")}
    assert len(bodies) == 1


def test_who_speaks_http_1_0_gets_a_stream_until_the_connection_closes(models: Stand) -> None:
    account = models.account()
    with models.serving(main=stream(5)), models.connect() as client:
        client.send(ask(account, body(stream=True)).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        client.until(b"\r\n\r\n")
        rest = b""
        while part := client.socket.recv(65536):
            rest += part
    data = client.buffer + rest
    assert (tokens_of(data), data[-14:]) == (5, DONE)


def test_models_are_listed_as_the_caller_reads_them(models: Stand) -> None:
    account = models.account()

    def get(client: Client, path: str, *lines: str, method: str = "GET") -> Any:
        client.send(ask(account, b"", *lines, path=path, method=method))
        answer = client.read(method)
        assert answer.status == 200
        return json.loads(answer.body) if answer.body else {}

    with models.connect() as client:
        listed = get(client, "/v1/models")
        assert {"plain", "either", "claude"} <= {model["id"] for model in listed["data"]}
        assert get(client, "/v1/models", "anthropic-version: 2023-06-01")["has_more"] is False
        assert get(client, "/v1/models/plain")["id"] == "plain"
        assert [model["id"] for model in get(client, "/few/models")["data"]] == ["plain"]
        assert get(client, "/v1/models", method="HEAD") == {}
    assert account.captured() == 0


@pytest.mark.parametrize(
    ("path", "data", "status", "code"),
    [
        ("/v1/chat/completions", body("none"), 404, "model_not_found"),
        ("/few/chat/completions", body("either"), 404, "model_not_found"),
        ("/v1/models/none", b"", 404, "model_not_found"),
        ("/v1/chat/completions", b"{", 400, "invalid_body"),
        ("/v1/chat/completions", b'{"model": 1}', 400, "invalid_body"),
        ("/v1/chat/completions", body("bounded", max_tokens=201), 400, "invalid_body"),
        ("/v1/chat/completions", body(service_tier="priority"), 400, "unsupported_parameter"),
        ("/v1/audio/transcriptions", body(), 400, "unsupported_parameter"),
        ("/v1/nothing", body(), 404, "no_route"),
    ],
)
def test_what_cannot_be_served_is_said_and_costs_nothing(
    models: Stand, path: str, data: bytes, status: int, code: str
) -> None:
    account = models.account()
    with models.connect() as client:
        with models.row() as rows:
            client.send(ask(account, data, path=path, method="POST" if data else "GET"))
            answer = client.read()
        client.send(ask(account, b"", path="/v1/models", method="GET"))
        assert client.read().status == 200
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (status, code)
    assert rows[0].verdict.name.lower() == code
    assert account.captured() == 0


def test_what_is_no_text_is_passed_as_it_comes(models: Stand) -> None:
    account = models.account()
    sound = bytes(range(256)) * 1_000

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.answer(200, sound, "Content-Type: audio/mpeg", "set-cookie: a=b")

    with models.serving(main=script), models.connect() as client:
        client.send(ask(account, json.dumps({"model": "plain", "input": "say it"}).encode(), path="/v1/audio/speech"))
        answer = client.read()
    assert (answer.status, answer.body, answer.one("content-type")) == (200, sound, "audio/mpeg")
    assert answer.all("set-cookie") == []
    assert account.captured() >= CALL


def test_what_is_no_model_of_text_is_charged_by_its_input(models: Stand) -> None:
    account = models.account()
    told_of = {"object": "list", "data": [], "model": "x", "usage": {"prompt_tokens": 9, "total_tokens": 9}}

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.answer(200, json.dumps(told_of).encode(), "Content-Type: application/json")

    with models.serving(main=script), models.connect() as client:
        client.send(ask(account, json.dumps({"model": "plain", "input": "x"}).encode(), path="/v1/embeddings"))
        assert client.read().status == 200
    assert account.captured() == CALL + 9 * INPUT


def test_a_body_that_is_too_large_is_refused_in_the_caller_s_dialect(models: Stand) -> None:
    account = models.account()
    head = ask(account, b"").removesuffix(b"\r\n") + b"Content-Length: 99999999999\r\n\r\n"
    with models.connect() as client:
        client.send(head)
        answer = client.read()
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (413, "body_too_large")


def test_where_nobody_pays_nothing_is_held_and_nothing_charged(models: Stand) -> None:
    account = models.account(0)
    with models.serving(main=stream(5)), models.connect() as client:
        client.send(ask(account, body(stream=True), path="/open/chat/completions"))
        assert tokens_of(client.read()) == 5
    assert account.captured() == 0


def test_a_caller_of_anthropic_s_dialect_reaches_either_kind_of_provider(models: Stand) -> None:
    account = models.account()
    asked = {"max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
    answer = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-1", "stop_reason": "end_turn",
        "stop_sequence": None, "content": [{"type": "text", "text": "hello"}],
        "usage": {"input_tokens": 7, "output_tokens": 20},
    }  # fmt: skip

    def claude(talk: Talk) -> None:
        talk.read_body()
        talk.answer(200, json.dumps(answer).encode(), "Content-Type: application/json", "request-id: req-1")

    lines = ("anthropic-version: 2023-06-01", "anthropic-beta: a, b", "anthropic-dangerous-direct-browser-access: true")
    with models.serving(claude=claude, main=whole(7, 20)), models.connect() as client:
        for name in ("claude", "plain"):
            data = json.dumps({"model": name, **asked}).encode()
            client.send(ask(account, data, *lines, path="/v1/messages"))
            found = client.read()
            assert (found.status, json.loads(found.body)["content"][0]["text"]) == (200, "hello")
            assert found.one("request-id") == found.one("x-request-id")
        client.send(ask(account, json.dumps({"model": "none", **asked}).encode(), path="/v1/messages"))
        refused = client.read()
        [arrival] = models.oracle.named("claude")
    assert json.loads(refused.body)["error"]["type"] == "not_found_error"
    assert (arrival.target, arrival.one("x-api-key")) == ("/claude/v1/messages", "pk-claude-0")
    assert (arrival.one("anthropic-version"), arrival.one("anthropic-beta")) == ("2023-06-01", "a, b")
    assert not arrival.all("authorization")
    assert account.captured() == 2 * (CALL + 7 * INPUT + 20 * OUTPUT)


def test_a_longer_name_of_a_model_is_not_listed_beside_its_shorter_one() -> None:
    whole = Served(Model("one/m", (), listed=False), [])
    bare = Served(Model("m", ()), [])
    nobody: Any = None
    scopes = Scopes(nobody)
    assert Models(b"/v1/", "openai", {"one/m": whole, "m": bare}, scopes).names == ["m"]
    assert Models(b"/v1/", "openai", {"one/m": whole}, scopes).names == ["one/m"]


def test_a_key_may_be_limited_to_models_by_their_names(models: Stand) -> None:
    account = models.account()
    segment = models.segment
    segment.set_key_scope(account.key_index, segment.scope(("pla*", "claude")))
    with models.serving(main=whole()), models.connect() as client:

        def status(data: bytes, path: str = "/v1/chat/completions", method: str = "POST") -> int:
            client.send(ask(account, data, path=path, method=method))
            return client.read().status

        def listed() -> list[str]:
            client.send(ask(account, b"", path="/v1/models", method="GET"))
            return [each["id"] for each in json.loads(client.read().body)["data"]]

        assert status(body("plain")) == 200
        client.send(ask(account, body("stepping")))
        answer = client.read()
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (404, "model_not_found")
        assert listed() == ["plain", "claude"]
        assert status(b"", "/v1/models/plain", "GET") == 200
        assert status(b"", "/v1/models/stepping", "GET") == 404
        assert status(b"", "/v1/files", "GET") == 404  # whose models nobody knows
        segment.set_key_scope(account.key_index, 0)
        assert status(body("stepping")) == 200
        assert "stepping" in listed()
