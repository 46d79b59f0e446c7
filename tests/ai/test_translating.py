"""A caller of one dialect and a provider of another are joined: what is asked and answered means the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import recorded
import samples
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from fastgw._usage import Usage
from fastgw.ai import anthropic, bedrock, calls, chat, errors, gemini, operations, sse
from fastgw.ai.canonical import BodyError, Failure, Refused, Text, UnsupportedError
from fastgw.ai.relay import Portion, Relay, Sent
from fastgw.ai.translating import Reader
from fastgw.model import Candidate, Price, Provider

MANY = ("embeddings", "count_tokens")
PROVIDERS = {
    dialect: Provider(dialect, dialect, "", (), operations=MANY)
    for dialect in ("openai", "anthropic", "gemini", "bedrock")
}
CALLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("chat/completions", {"stream_options": {"include_usage": True}}),
    "anthropic": ("messages", {"max_tokens": 99}),
    "responses": ("responses", {}),
}
RECORDED = {"openai": "chat", "anthropic": "anthropic", "gemini": "gemini", "bedrock": "bedrock"}
READERS: dict[str, Callable[[], Reader]] = {
    "chat": chat.AnswerReader,
    "anthropic": anthropic.AnswerReader,
    "openai": chat.AnswerReader,
    "gemini": gemini.AnswerReader,
    "bedrock": bedrock.AnswerReader,
}
WAYS = [
    ("chat", "anthropic"),
    ("chat", "gemini"),
    ("anthropic", "openai"),
    ("anthropic", "gemini"),
    ("chat", "bedrock"),
]
SAID = ("text", "tools", "thinking", "refused", "cut")


def sent(caller: str, provider: str, most: int = 50, **members: Any) -> Sent:
    path, more = CALLERS[caller]
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], **more, **members}
    if not members.get("stream"):
        body.pop("stream_options", None)
    operation = operations.find("POST", path)
    assert operation is not None
    call = calls.read(operation, path, "", "application/json", json.dumps(body).encode())
    assert call.serves(PROVIDERS[provider])
    return call.prepare(PROVIDERS[provider], Candidate(provider, "model-1", Price()), most)


def relay(caller: str, provider: str, stream: bool = True) -> Relay:
    return sent(caller, provider, stream=stream).relay


def streamed(relay: Relay, stream: bytes, *at: int) -> bytes:
    edges = [0, *at, len(stream)]
    portions: list[Portion] = []
    for start, end in pairwise(edges):
        portions += relay.feed(stream[start:end])
    portions += relay.finish()
    assert relay.relayed == sum(portion.tokens for portion in portions)
    assert all(portion.data.endswith(b"\n\n") for portion in portions)
    return b"".join(portion.data for portion in portions)


def timeless(stream: bytes) -> list[Any]:
    """The events, without what differs from one answer to the next."""
    events = [json.loads(data) for data in sse.Events().feed(stream) if data != b"[DONE]"]
    return [{name: value for name, value in event.items() if name not in ("created", "id")} for event in events]


@pytest.mark.parametrize(("caller", "provider"), WAYS)
@pytest.mark.parametrize("said", SAID)
def test_an_answer_means_the_same_in_the_callers_dialect(caller: str, provider: str, said: str) -> None:
    stream = recorded.read(RECORDED[provider], said, stream=True)
    joined = relay(caller, provider)
    got = streamed(joined, stream)
    parts, usage, finish = samples.parts_of(samples.read(READERS[provider](), stream))
    found = samples.parts_of(samples.read(READERS[caller](), got))
    if caller == "anthropic":  # which has no word for a refusal
        parts = [Text(part.text) if isinstance(part, Refused) else part for part in parts]
    assert (found[0], joined.usage) == (parts, usage)
    assert found[1] is not None
    assert found[1].output == (usage or Usage()).output
    assert finish == found[2] or {finish, found[2]} <= {"refused", "filtered", "stop"}
    assert joined.ended
    assert (usage or Usage()).output // 3 <= joined.relayed <= (usage or Usage()).output * 3
    for at in range(0, len(stream), 37):
        assert timeless(streamed(relay(caller, provider), stream, at)) == timeless(got)


@pytest.mark.parametrize(("caller", "provider"), WAYS)
@pytest.mark.parametrize("said", SAID)
def test_whole_answers_cost_what_streamed_ones_do(caller: str, provider: str, said: str) -> None:
    joined = relay(caller, provider, stream=False)
    body = json.loads(joined.whole(recorded.read(RECORDED[provider], said)))
    assert body["model"]
    over = relay(caller, provider)
    streamed(over, recorded.read(RECORDED[provider], said, stream=True))
    assert joined.usage is not None
    assert over.usage is not None
    assert (joined.usage.input, joined.usage.output) == (over.usage.input, over.usage.output)
    assert joined.content_type == b"application/json"


def called(calls: Any) -> list[Any]:
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls or ()]


@pytest.mark.parametrize("provider", ["anthropic", "gemini", "bedrock"])
@pytest.mark.parametrize("said", SAID)
def test_openais_package_puts_the_chunks_together(provider: str, said: str) -> None:
    got = streamed(relay("chat", provider), recorded.read(RECORDED[provider], said, stream=True))
    events = sse.Events().feed(got)
    assert events.pop() == b"[DONE]"
    state = ChatCompletionStreamState[None]()
    for event in events:
        state.handle_chunk(ChatCompletionChunk.model_validate_json(event))
    streamed_one = state.current_completion_snapshot
    whole_body = relay("chat", provider, stream=False).whole(recorded.read(RECORDED[provider], said))
    whole = ChatCompletion.model_validate_json(whole_body)
    one, other = streamed_one.choices[0], whole.choices[0]
    assert (one.message.content or None) == other.message.content
    assert one.finish_reason == other.finish_reason
    assert called(one.message.tool_calls) == called(other.message.tool_calls)
    assert streamed_one.usage is not None
    assert whole.usage is not None
    assert streamed_one.usage.completion_tokens == whole.usage.completion_tokens


@pytest.mark.parametrize(("caller", "provider"), WAYS)
def test_an_error_in_mid_stream_is_said_in_the_callers_dialect(caller: str, provider: str) -> None:
    joined = relay(caller, provider)
    got = streamed(joined, recorded.read(RECORDED[provider], "broken", stream=True))
    assert not joined.ended
    assert joined.failure is not None
    assert isinstance(samples.read(READERS[caller](), got)[-1], Failure)
    usage, estimated = joined.charged(Usage(input=9))
    assert estimated
    assert usage.output >= joined.relayed > 0


@pytest.mark.parametrize(("caller", "provider"), WAYS)
def test_an_error_is_said_in_the_callers_dialect(caller: str, provider: str) -> None:
    for name, status in (("invalid", 400), ("rate_limit", 429), ("server", 500)):
        body = (recorded.FOLDER / f"error-{provider}-{name}.json").read_bytes()
        failure, said = relay(caller, provider, stream=False).failed(status, body)
        error = json.loads(said)
        assert error["error"]["message"] == failure.message
        assert ("type" in error) is (caller == "anthropic")
    stopped = relay(caller, provider).stop(Failure(402, errors.QUOTA, "No money left.", "insufficient_balance"))
    assert b"No money left." in stopped


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini", "bedrock"])
@pytest.mark.parametrize("said", SAID)
def test_responses_are_had_from_providers_that_have_none(provider: str, said: str) -> None:
    joined = sent("responses", provider, input="Hello", stream=True).relay
    got = streamed(joined, recorded.read(RECORDED[provider], said, stream=True))
    last = json.loads(sse.Events().feed(got)[-1])["response"]
    whole = sent("responses", provider, input="Hello").relay.whole(recorded.read(RECORDED[provider], said))
    assert joined.ended
    assert [item["type"] for item in last["output"]] == [item["type"] for item in json.loads(whole)["output"]]
    assert last["usage"]["output_tokens"] == json.loads(whole)["usage"]["output_tokens"] > 0


def test_requests_are_bounded_and_written_for_the_provider() -> None:
    made = sent("chat", "anthropic", 50, max_tokens=900)
    assert json.loads(made.body)["max_tokens"] == 50
    assert made.path == "/messages"
    made = sent("anthropic", "openai", 50, stream=True)
    assert json.loads(made.body)["max_completion_tokens"] == 50
    assert json.loads(made.body)["stream_options"] == {"include_usage": True}
    made = sent("chat", "gemini", 50, stream=True)
    assert made.path == "/models/model-1:streamGenerateContent?alt=sse"
    with pytest.raises(UnsupportedError):
        sent("chat", "anthropic", n=2)
    with pytest.raises(BodyError):
        sent("chat", "anthropic", messages=[{"role": "robot"}])


def test_the_gateway_answers_nonsense_with_an_error_of_its_own() -> None:
    for provider in ("anthropic", "gemini"):
        with pytest.raises(ValueError, match=r"."):
            relay("chat", provider, stream=False).whole(b"<html>")
        with pytest.raises(ValueError, match=r"."):
            relay("chat", provider).feed(b"data: {{{\n\n")


def other(path: str, provider: Provider, **members: Any) -> Sent | None:
    operation = operations.find("POST", path)
    assert operation is not None
    call = calls.read(operation, path, "", "application/json", json.dumps({"model": "m", **members}).encode())
    return call.prepare(provider, Candidate("p", "model-1", Price()), 0) if call.serves(provider) else None


def test_embeddings_and_counts_of_gemini() -> None:
    made = other("embeddings", PROVIDERS["gemini"], input=["a", "b"])
    assert made is not None
    assert made.path == "/models/model-1:batchEmbedContents"
    body = {"embeddings": [{"values": [1]}, {"values": [2]}], "usageMetadata": {"promptTokenCount": 4}}
    found = json.loads(made.relay.whole(json.dumps(body).encode()))
    assert [row["embedding"] for row in found["data"]] == [[1.0], [2.0]]
    assert made.relay.charged(Usage()) == (Usage(input=4), False)
    assert made.relay.failed(400, b"{}")[0].kind == errors.INVALID
    counted = other("messages/count_tokens", PROVIDERS["gemini"], messages=[{"role": "user", "content": "x"}])
    assert counted is not None
    assert json.loads(counted.relay.whole(b'{"totalTokens":7}')) == {"input_tokens": 7}
    assert counted.relay.failed(400, b"{}")[0].kind == errors.INVALID
    assert other("embeddings", PROVIDERS["anthropic"], input="a") is None
    assert other("audio/speech", PROVIDERS["gemini"], input="a") is None
