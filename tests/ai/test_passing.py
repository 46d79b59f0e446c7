"""Calls within one dialect: what passes is as it was, and what it has cost is found in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
import recorded
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import APIError, OpenAI, Stream
from openai.types.chat import ChatCompletionChunk

from fastgw._usage import Usage
from fastgw.ai import errors, passing, reported, sse
from fastgw.ai.canonical import Failure
from fastgw.ai.passing import Chunks, Messages, Passing
from fastgw.ai.passing_typed import Images, Responses, Transcripts, Typed

RELAYS: dict[str, Callable[[], Passing]] = {
    "chat": Chunks, "completions": Chunks, "responses": Responses, "anthropic": Messages,
}  # fmt: skip
ALL: dict[str, Callable[[], Passing]] = {
    **RELAYS, "typed": Typed, "images": lambda: Images(each=True), "transcripts": lambda: Transcripts(by_second=True),
}  # fmt: skip
NAMES = (
    "usage", "choices", "delta", "content", "type", "error", "message", "response", "output", "x_groq", "tool_calls",
    "prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "code", "duration", "data",
    "prompt_tokens_details", "cached_tokens", "content_block", "item", "text", "finish_reason", "function",
)  # fmt: skip
SAID = ("text", "tools", "thinking", "refused", "cut")
STREAMS = [
    (endpoint, said) for endpoint in RELAYS for said in SAID if endpoint != "completions" or said in {"text", "cut"}
]
FAILED = Failure(502, errors.SERVER, "It broke.", "upstream_failed")


def relayed(relay: Passing, stream: bytes, *at: int) -> bytes:
    """What the caller gets of a stream that comes in pieces."""
    edges = [0, *at, len(stream)]
    portions = [portion for start, end in pairwise(edges) for portion in relay.feed(stream[start:end])]
    portions += relay.finish()
    assert sum(portion.tokens for portion in portions) == relay.relayed
    return b"".join(portion.data for portion in portions)


@pytest.mark.parametrize(("endpoint", "said"), STREAMS)
def test_a_stream_passes_byte_for_byte_and_is_counted_wherever_it_is_cut(endpoint: str, said: str) -> None:
    stream = recorded.read(endpoint, said, stream=True)
    whole = RELAYS[endpoint]()
    assert relayed(whole, stream) == stream
    assert whole.ended
    assert whole.failure is None
    assert whole.usage is not None
    assert whole.usage.output // 3 <= whole.relayed <= whole.usage.output * 3
    for at in range(0, len(stream), 7):
        relay = RELAYS[endpoint]()
        assert relayed(relay, stream, at) == stream
        assert (relay.usage, relay.relayed, relay.ended) == (whole.usage, whole.relayed, True)
    bytewise = RELAYS[endpoint]()
    assert relayed(bytewise, stream, *range(1, len(stream))) == stream
    assert (bytewise.usage, bytewise.relayed) == (whole.usage, whole.relayed)


@pytest.mark.parametrize(("endpoint", "said"), STREAMS)
def test_whole_and_streamed_cost_the_same(endpoint: str, said: str) -> None:
    whole, streamed = RELAYS[endpoint](), RELAYS[endpoint]()
    body = recorded.read(endpoint, said)
    assert whole.whole(body) == body
    relayed(streamed, recorded.read(endpoint, said, stream=True))
    assert whole.usage is not None
    assert streamed.usage in (whole.usage, whole.usage.replace(reasoning=4))  # told in streams alone
    assert whole.charged(Usage()) == (whole.usage, False)


@pytest.mark.parametrize("endpoint", ["chat", "responses", "anthropic"])
def test_an_error_in_mid_stream_passes_and_is_noted(endpoint: str) -> None:
    stream = recorded.read(endpoint, "broken", stream=True)
    relay = RELAYS[endpoint]()
    assert relayed(relay, stream) == stream
    assert relay.failure is not None
    assert relay.failure.message
    usage, estimated = relay.charged(Usage(input=77))
    assert estimated
    assert usage.output == max(relay.relayed, usage.output) > 0
    assert usage.input in (77, 3)


@pytest.mark.parametrize(("endpoint", "said"), STREAMS)
def test_what_was_relayed_is_charged_where_a_stream_is_cut(endpoint: str, said: str) -> None:
    stream = recorded.read(endpoint, said, stream=True)
    last = 0
    for at in range(0, len(stream), 211):
        relay = RELAYS[endpoint]()
        relay.feed(stream[:at])
        usage, estimated = relay.charged(Usage(input=50))
        assert estimated or relay.usage is not None
        assert usage.output >= relay.relayed >= last or not estimated
        last = relay.relayed


def test_usage_that_only_the_gateway_has_asked_for_is_hidden_again() -> None:
    for said in SAID:
        stream = recorded.read("chat", said, stream=True)
        relay = Chunks(hide_usage=True)
        got = relayed(relay, stream, *range(1, len(stream), 5))
        assert b"usage" not in got
        assert relay.usage is not None
        events = [json.loads(data) for data in sse.Events().feed(stream) if data != b"[DONE]"]
        kept = [{k: v for k, v in event.items() if k != "usage"} for event in events if event["choices"]]
        assert [json.loads(data) for data in sse.Events().feed(got) if data != b"[DONE]"] == kept


@pytest.mark.parametrize("delta", [b'{"content":"a"}', b'{"tool_calls":[{"function":{"name":"f"}}]}'])
def test_an_account_beside_choices_passes(delta: bytes) -> None:
    event = b'data: {"choices":[{"delta":%b}],"usage":{"completion_tokens":1}}\n\n' % delta
    assert relayed(Chunks(hide_usage=True), event) == event


def test_only_a_member_is_hidden_and_never_what_a_model_has_written() -> None:
    said = json.dumps('},"usage":null, "usage" : null,')
    for event in (
        '{"usage": null, "choices":[{"delta":{"content":%s}}]}',
        '{"choices":[{"delta":{"content":%s}}] , "usage" : null}',
        '{"choices":[{"delta":{"content":%s}}],"usage":null}',
    ):
        (portion,) = Chunks(hide_usage=True).feed(b"data: " + (event % said).encode() + b"\n\n")
        assert json.loads(sse.data_of(portion.data)) == {"choices": [{"delta": {"content": json.loads(said)}}]}


def chunk(**members: Any) -> bytes:
    return sse.event(json.dumps(members).encode())


def delta(**members: Any) -> bytes:
    return chunk(choices=[{"index": 0, "delta": members}])


@pytest.mark.parametrize(
    ("event", "tokens"),
    [
        (delta(content="four"), 1),
        (delta(content="sixteen letters."), 4),
        (delta(content="ни слова по-русски"), 9),
        (delta(reasoning_content="thought"), 1),
        (delta(reasoning="thought", reasoning_content="thought"), 1),
        (delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": "{"}}]), 2),
        (delta(function_call={"arguments": "{"}), 1),
        (delta(refusal="No."), 1),
        (delta(audio={"data": "A" * 6_400, "transcript": "Hi"}), 3),
        (chunk(choices=[{"delta": {"content": "a"}}, {"delta": {"content": "b"}}, {"text": "c"}]), 3),
        (delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Mistral's"}]}]), 1),
        (delta(content=7), 0),
        (chunk(choices="none"), 0),
        (b"data: no JSON at all\n\n", 4),
        (b"data: 7\n\n", 1),
        (b": OPENROUTER PROCESSING\n\n", 0),
        (chunk(choices=[], prompt_filter_results=[]), 0),
    ],
)
def test_all_that_is_generated_counts(event: bytes, tokens: int) -> None:
    relay = Chunks()
    (portion,) = relay.feed(event)
    assert (portion.data, portion.tokens, relay.relayed) == (event, tokens, tokens)


def test_usage_is_found_where_providers_put_it() -> None:
    groq = Chunks()
    relayed(groq, chunk(choices=[{"finish_reason": "stop"}], x_groq={"usage": {"prompt_tokens": 3}}) + sse.DONE)
    assert groq.usage == Usage(input=3)
    every = Chunks()  # vLLM, xAI: in every chunk, and no [DONE]
    for made in (1, 2):
        every.feed(chunk(choices=[{"delta": {"content": "x"}}], usage={"prompt_tokens": 3, "completion_tokens": made}))
        assert every.charged(Usage()) == (Usage(input=3, output=made), True)
    every.feed(chunk(choices=[{"finish_reason": "stop"}]))
    assert every.finish() == []
    assert every.charged(Usage()) == (Usage(input=3, output=2), False)
    search = Chunks(searches=1)
    search.whole(b'{"usage":{"prompt_tokens":1,"completion_tokens":1}}')
    assert search.usage == Usage(input=1, output=1, searches=1)


@pytest.mark.parametrize(
    "told",
    [None, 7, [], "x", {}, {"prompt_tokens": None}, {"prompt_tokens": -1}, {"prompt_tokens": "12"},
     {"completion_tokens": True}, {"total_tokens": 1e300}, {"seconds": -0.5}],
)  # fmt: skip
def test_usage_that_makes_no_sense_is_none(told: Any) -> None:
    assert reported.openai(told) is None
    assert reported.anthropic(told) is None
    relay = Chunks()
    relay.whole(json.dumps({"usage": told, "choices": [{"message": {"content": "one token"}}]}).encode())
    assert relay.charged(Usage(input=9)) == (Usage(input=9, output=1), True)


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"prompt_tokens": 1 << 70, "completion_tokens": 2}, Usage(input=1 << 31, output=2)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}, Usage(input=5, cached=5)),
        ({"prompt_tokens": 5, "prompt_tokens_details": "?"}, Usage(input=5)),
        ({"prompt_tokens": 8, "prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 2}, Usage(input=8, cached=6)),
        ({"prompt_tokens": 8, "total_tokens": 8}, Usage(input=8)),
        ({"total_tokens": 8}, Usage(input=8)),
        (
            {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135,
             "completion_tokens_details": {"reasoning_tokens": 94}},
            Usage(input=32, output=103, reasoning=94),
        ),
        ({"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 9}, Usage(input=2, output=7, reasoning=4)),
        ({"prompt_tokens": 1, "num_search_queries": 3}, Usage(input=1, searches=3)),
        ({"type": "duration", "seconds": 2.1}, Usage(seconds=3)),
        ({"input_tokens": 9, "output_tokens": 4, "input_token_details": {"audio_tokens": 7}},
         Usage(input=9, output=4, audio_in=7)),
        ({"input_tokens": 9, "input_tokens_details": {"cache_write_tokens": 5,
          "cache_write_tokens_details": {"ttl_12h_tokens": 2}}}, Usage(input=9, written=5, written_long=2)),
    ],
)  # fmt: skip
def test_usage_of_openai_and_of_those_who_speak_like_it(told: Any, usage: Usage) -> None:
    assert reported.openai(told) == usage


def test_the_end_of_a_stream_of_messages_may_tell_less_than_its_beginning() -> None:
    begun = reported.anthropic(
        {"input_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 1,
         "cache_creation": {"ephemeral_1h_input_tokens": 2}}
    )  # fmt: skip
    assert begun == Usage(input=10, cached=3, written=2, written_long=2, output=1)
    ended = reported.anthropic({"output_tokens": 40, "server_tool_use": {"web_search_requests": 2}}, begun)
    assert ended == Usage(input=10, cached=3, written=2, written_long=2, output=40, searches=2)


def test_images_cost_each_or_by_their_tokens() -> None:
    body = json.dumps({"data": [{"b64_json": "AA"}, {"url": "x"}]}).encode()
    each, unknown, told = Images(each=True), Images(each=False), Images(each=False)
    assert each.whole(body) == unknown.whole(body) == body
    assert (each.usage, unknown.usage) == (Usage(images=2), None)
    told.whole(json.dumps({"data": [{}], "usage": {"input_tokens": 5, "output_tokens": 60}}).encode())
    assert told.usage == Usage(input=5, output=60, images=1)


def test_each_image_of_a_stream_is_counted() -> None:
    image = chunk(type="image_generation.completed", b64_json="AA", usage={"input_tokens": 5, "output_tokens": 60})
    partial = chunk(type="image_generation.partial_image", b64_json="AA", partial_image_index=0)
    told, each = Images(each=False), Images(each=True)
    relayed(told, partial + image + image)
    assert (told.usage, told.ended) == (Usage(input=10, output=120, images=2), True)
    relayed(each, chunk(type="image_edit.completed"))
    assert each.usage == Usage(images=1)
    cut = Images(each=True)
    relayed(cut, partial)
    assert (cut.usage, cut.ended) == (None, False)


def test_hosted_tools_are_counted() -> None:
    output = [{"type": "web_search_call"}, {"type": "message"}, {"type": "file_search_call"}]
    response = {"output": output, "usage": {"input_tokens": 1, "output_tokens": 2}}
    whole, streamed = Responses(), Responses()
    whole.whole(json.dumps(response).encode())
    relayed(streamed, chunk(type="response.completed", response=response))
    assert whole.usage == streamed.usage == Usage(input=1, output=2, searches=2)
    told = Responses()
    told.whole(json.dumps({**response, "tool_usage": {"web_search": {"num_requests": 4}}}).encode())
    assert told.usage == Usage(input=1, output=2, searches=5)


def test_other_streams_of_openai() -> None:
    speech = Typed()
    sound = chunk(type="speech.audio.delta", audio="A" * 100)
    relayed(speech, sound + chunk(type="speech.audio.done", usage={"input_tokens": 3, "output_tokens": 7}))
    assert (speech.usage, speech.ended) == (Usage(input=3, output=7), True)
    text = Typed()
    relayed(text, chunk(type="transcript.text.delta", delta="hello") + chunk(type="transcript.text.done", text="hello"))
    assert (text.usage, text.ended, text.relayed) == (None, True, 1)


def test_an_answer_that_is_no_json() -> None:
    with pytest.raises(ValueError, match="no JSON object"):
        Chunks().whole(b"<html>")
    with pytest.raises(ValueError, match="no JSON object"):
        Chunks().whole(b"[" * 100_000)
    odd = Chunks()
    assert odd.whole(b'{"logprobs":NaN}') == b'{"logprobs":NaN}'
    assert odd.charged(Usage(input=3)) == (Usage(input=3, output=4), True)
    assert Typed().whole(b"WEBVTT\n\n00:00.000") == b"WEBVTT\n\n00:00.000"


@pytest.mark.parametrize(("dialect", "relay"), [("openai", Chunks), ("anthropic", Messages)])
def test_errors_pass_and_are_understood(dialect: str, relay: Callable[[], Passing]) -> None:
    for name, status, kind in (
        ("rate_limit", 429, errors.RATE_LIMIT), ("insufficient_quota", 429, None), ("context", 400, errors.INVALID),
        ("auth", 401, errors.AUTHENTICATION), ("server", 500, errors.SERVER), ("overloaded", 503, errors.OVERLOADED),
    ):  # fmt: skip
        body = (recorded.FOLDER / f"error-{dialect}-{name}.json").read_bytes()
        failure, passed = relay().failed(status, body)
        assert passed == body
        assert failure.status == status
        assert failure.message == json.loads(body)["error"]["message"]
        if kind:
            assert failure.kind == kind
    failure, passed = relay().failed(502, b"<html>Bad gateway</html>")
    assert json.loads(passed)["error"]["message"] == failure.message


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, {"error": {"code": "insufficient_quota"}}, errors.QUOTA),
        (400, {"error": {"message": "Your credit balance is too low to access the API."}}, errors.QUOTA),
        (402, {"error": {"message": "Insufficient Balance"}}, errors.QUOTA),
        (400, [{"error": {"message": "in a list"}}], errors.INVALID),
        (500, {"error": "a string"}, errors.SERVER),
        (422, {"detail": [{"msg": "FastAPI's"}]}, errors.INVALID),
        (529, "x", errors.OVERLOADED),
        (0, {"error": {"code": 402, "message": "OpenRouter's"}}, errors.QUOTA),
        (0, {"error": {"type": "overloaded_error"}}, errors.OVERLOADED),
        (0, {"error": {"type": "server_error", "code": "overloaded"}}, errors.OVERLOADED),
    ],
)
def test_what_a_providers_error_means(status: int, body: Any, kind: str) -> None:
    assert errors.told_failure(status, body).kind == kind
    assert errors.read(status, json.dumps(body).encode()).kind == kind


def test_a_stream_that_the_gateway_ends_makes_openais_package_raise() -> None:
    def events() -> Iterator[ChatCompletionChunk]:
        import httpx2

        stream = delta(content="Hi") + Chunks().stop(FAILED)
        response = httpx2.Response(200, content=stream, request=httpx2.Request("POST", "http://gateway/"))
        client = OpenAI(api_key="x", base_url="http://gateway")
        yield from Stream(cast_to=ChatCompletionChunk, response=response, client=client)

    seen = events()
    assert next(seen).choices[0].delta.content == "Hi"
    with pytest.raises(APIError, match=r"It broke\.") as raised:
        next(seen)
    assert raised.value.code == "upstream_failed"


counts = st.none() | st.integers(-1, 60) | st.sampled_from((True, 2.5, "7", 1 << 40, {}, [3]))
parts = st.dictionaries(
    st.sampled_from(("cached_tokens", "cache_write_tokens", "audio_tokens", "reasoning_tokens", "other")), counts
)
accounts = st.dictionaries(
    st.sampled_from([name for name in reported.Told.__struct_fields__ if name != "num_search_queries"]),
    counts | parts | st.fixed_dictionaries({"cache_write_tokens_details": parts}),
)


@given(accounts)
def test_an_account_is_read_the_same_as_a_whole_and_in_parts(told: dict[str, Any]) -> None:
    relay = Typed()
    relay.whole(json.dumps({"usage": told}).encode())
    assert relay.usage == reported.openai(told) == reported.openai({**told, "num_search_queries": "makes no sense"})


def test_every_dialect_has_an_end_for_a_stream_that_fails() -> None:
    assert Chunks().stop(FAILED).endswith(b"\n\ndata: [DONE]\n\n")
    assert Messages().stop(FAILED) == (
        b'event: error\ndata: {"type":"error",'
        b'"error":{"type":"api_error","message":"It broke.","code":"upstream_failed"}}\n\n'
    )
    told = json.loads(sse.data_of(Responses().stop(FAILED)))
    assert (told["type"], told["code"], told["error"]["code"]) == ("error", "upstream_failed", "upstream_failed")


def test_a_request_is_written_again_with_its_numbers_as_they_were() -> None:
    import msgspec

    body = (
        b'{"model":"a","temperature":0.70000000000000001,"seed":12345678901234567890123,"x":[1,{"y":1e400}],"n":null}'
    )
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    assert passing.request(fields, {"model": "b", "n": None}) == (
        b'{"model":"b","temperature":0.70000000000000001,"seed":12345678901234567890123,"x":[1,{"y":1e400}]}'
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner),
    max_leaves=12,
)


@settings(max_examples=60)
@given(st.sampled_from(sorted(ALL)), st.lists(json_values | st.binary(max_size=30), max_size=4), st.integers(1, 30))
def test_whatever_a_provider_sends_passes_and_nothing_breaks(name: str, sent: list[Any], step: int) -> None:
    events = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in sent]
    stream = b"".join(b"data: " + event + b"\n\n" for event in events)
    relay = ALL[name]()
    got = relayed(relay, stream, *range(step, len(stream), step))
    assert got.strip(b"\r\n") == stream.strip(b"\r\n")
    usage, _ = relay.charged(Usage(input=1))
    assert 0 <= usage.output <= 1 << 31 or usage.output == relay.relayed
    for event in events:
        again = ALL[name]()
        with suppress(ValueError):
            assert again.whole(event) == event
        failure, body = again.failed(400, event)
        assert isinstance(failure.message, str)
        assert json.loads(body)
