"""What is plain is read in its bytes, all else by a library: both find the same in requests, answers and events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies

from fastgw.ai import operations, reported
from fastgw.ai.asking import Body, read_body
from fastgw.ai.canonical import BodyError
from fastgw.ai.passing import Chunks, Messages, Passing
from fastgw.ai.passing_typed import Responses

counts = strategies.none() | strategies.integers(-2, 300) | strategies.sampled_from([1.5, 2.0, "7", True, 1 << 40])
words = strategies.sampled_from(["", "a", "Hello, world: a longer one", "é漢😀", '\n\t"', "ends\\"])
texts = strategies.none() | words | strategies.sampled_from([[], {}, 5])


def maybe(**members: strategies.SearchStrategy[Any]) -> strategies.SearchStrategy[dict[str, Any]]:
    """Objects with some of these members."""
    return strategies.fixed_dictionaries({}, optional=members)


def not_plain(told: dict[str, Any]) -> bytes:
    """The same, with a member that nobody knows, whose name is spelt in escapes."""
    rest = json.dumps(told)[1:]
    return (b'{"\\u0078":0' + (b"," if told else b"")) + rest.encode()


# Requests

requests = maybe(
    model=strategies.sampled_from(["gpt-x", "", None, 5, "é", 'a"b']),
    stream=strategies.sampled_from([True, False, None, 1, "true"]),
    n=counts,
    max_tokens=counts,
    max_completion_tokens=counts,
    max_output_tokens=counts,
    tools=strategies.sampled_from([None, [], [{"type": "function"}], [{"type": "web_search_preview"}], [5], {}]),
    web_search_options=strategies.sampled_from([None, {}]),
    service_tier=strategies.sampled_from([None, "default", "priority"]),
    previous_response_id=strategies.none(),
    Max_Tokens=strategies.just(5),
    temperature=strategies.just(0.5),
)


def understood(name: str, raw: bytes) -> tuple[object, ...]:
    try:
        body = read_body(operations.TABLE[name], raw, "application/json")
    except BodyError as error:
        return (type(error), str(error), error.parameter)
    asked = body.asked
    caps = sorted(body.caps.items())
    return asked.model, asked.stream, asked.max_tokens, asked.choices, asked.bounded, body.hosted, caps


@given(strategies.sampled_from(["chat", "messages", "responses", "embeddings", "completions", "compact"]), requests)
def test_requests(name: str, told: dict[str, Any]) -> None:
    assert understood(name, json.dumps(told).encode()) == understood(name, not_plain(told))


@pytest.mark.parametrize(
    "raw", [b'{"model":"m"}', b' { "model" : "m" , "x" : [ 1 ] } ', b'{"model":"m","max_tokens":5}']
)
def test_what_need_not_change_is_sent_byte_for_byte(raw: bytes) -> None:
    body = read_body(operations.TABLE["chat"], raw, "application/json")
    assert body.plain
    assert body.changed({}) == raw


@given(
    strategies.dictionaries(strategies.sampled_from(["model", "n", "stream", "x"]), strategies.just(1), max_size=4),
    strategies.dictionaries(strategies.integers(0, 10), strategies.just("v") | strategies.none(), max_size=4),
)
def test_changes(told: dict[str, Any], changes: dict[int, Any]) -> None:
    def made(raw: bytes, plain: bool) -> object:
        body = Body(raw, "", read_body(operations.TABLE["files"], b"", "").asked)
        body.is_json, body.plain = True, plain
        return json.loads(body.changed(changes))

    raw = json.dumps(told).encode()
    assert made(raw, True) == made(raw, False)


# Answers

inside = strategies.none() | maybe(
    cached_tokens=counts,
    cache_write_tokens=counts,
    cache_creation_tokens=counts,
    audio_tokens=counts,
    cache_write_tokens_details=strategies.none() | maybe(ttl_12h_tokens=counts),
)
outside = strategies.none() | maybe(reasoning_tokens=counts, audio_tokens=counts, thinking_tokens=counts)
accounts = maybe(
    total_tokens=counts,
    prompt_tokens=counts,
    input_tokens=counts,
    completion_tokens=counts,
    output_tokens=counts,
    seconds=counts,
    prompt_tokens_details=inside,
    input_tokens_details=inside,
    completion_tokens_details=outside,
    output_tokens_details=outside,
    cached_tokens=counts,
    cache_read_input_tokens=counts,
    cache_creation_input_tokens=counts,
    cache_creation=strategies.none() | maybe(ephemeral_1h_input_tokens=counts),
    server_tool_use=strategies.none() | maybe(web_search_requests=counts),
)


@given(accounts)
def test_answers(told: dict[str, Any]) -> None:
    if reported.reads_usage(json.dumps({"id": "x", "usage": told}).encode()):
        assert reported.found_usage("openai") == reported.openai(told)
        assert reported.found_usage("anthropic") == reported.anthropic(told)


# Events

deltas = maybe(content=texts, reasoning_content=texts, reasoning=texts, refusal=texts, role=texts)
choices = maybe(delta=strategies.none() | deltas, text=texts, finish_reason=texts, index=counts)
chunks = maybe(
    choices=strategies.none() | strategies.lists(choices, max_size=2),
    usage=strategies.sampled_from([None, {"completion_tokens": 3}]),
    error=strategies.sampled_from([None, {"message": "no"}]),
)
typed = maybe(
    type=strategies.sampled_from(["response.output_text.delta", "response.audio.delta", "response.created", None]),
    delta=texts,
)
messages = maybe(
    type=strategies.sampled_from(["content_block_delta", "message_start", None]),
    delta=strategies.none() | maybe(text=texts, partial_json=texts, thinking=texts, type=words),
)


@given(
    strategies.one_of(
        *(strategies.tuples(strategies.just(kind), told) for kind, told in
          ((Chunks, chunks), (Responses, typed), (Messages, messages)))
    ),
    strategies.booleans(),
)  # fmt: skip
def test_events(case: tuple[type[Passing], dict[str, Any]], escaped: bool) -> None:
    kind, told = case
    data = json.dumps(told, ensure_ascii=escaped).encode()
    tokens = kind().plain(b"data: %b\n\n" % data)
    if tokens >= 0:
        assert tokens == kind().event(data)
