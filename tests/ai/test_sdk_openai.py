"""The official OpenAI package finds what it expects of chat completions: directly, and through a gateway."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest
from fronts import Front, doors
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from provider import Provider, order
from provider.openai_rest import PIXEL
from pydantic import BaseModel

pytestmark = doors("openai", "anthropic", "gemini", "bedrock")

WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL = {"name": "weather", "arguments": {"city": "Paris"}}


class Verdict(BaseModel):
    """What a structured answer is to be."""

    good: bool
    reasons: list[str]
    score: float


def user(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def test_an_answer_has_text_usage_and_a_reason(front: Front, provider: Provider) -> None:
    said = user(order(id="one", say=12, input=40, cached=16))
    answer = front.openai().chat.completions.create(model=front.model, messages=said)
    assert answer.object == "chat.completion"
    [choice] = answer.choices
    assert choice.message.content == "".join(f"w{n} " for n in range(12))
    assert (choice.finish_reason, choice.message.role, choice.message.tool_calls) == ("stop", "assistant", None)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 16
    bill = provider.books.one("one")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (bill.input, bill.output) == (40, 12)
    assert bill.ended == "whole"


def test_an_answer_stops_where_it_is_told_to(front: Front) -> None:
    said = user(order(say=40))
    answer = front.openai().chat.completions.create(model=front.model, messages=said, max_tokens=5)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("w0 w1 w2 w3 w4 ", "length")


@pytest.mark.parametrize("usage", [False, True])
def test_a_stream_has_every_token_and_usage_only_when_asked(front: Front, provider: Provider, usage: bool) -> None:
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if usage else {}
    chunks = list(
        front.openai().chat.completions.create(
            model=front.model, messages=user(order(id="s", say=30, input=9)), stream=True, **options
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "".join(f"w{n} " for n in range(30))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({chunk.id for chunk in chunks}) == 1
    used = [chunk for chunk in chunks if chunk.usage is not None]
    if usage:
        assert used == chunks[-1:]
        assert chunks[-1].choices == []
        assert chunks[-1].usage is not None
        assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (9, 30)
    else:
        assert used == []
        assert all(chunk.choices for chunk in chunks), "a chunk that nobody asked for"
        assert all("usage" not in chunk.model_fields_set for chunk in chunks)
    ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert [end for end in ends if end] == ["stop"]
    provider.idle()
    assert provider.books.one("s").output == 30


def test_async_calls_and_streams_together(front: Front) -> None:
    async def everything() -> list[str]:
        async with front.async_openai() as client:

            async def whole(n: int) -> str:
                said = user(order(say=n))
                answer = await client.chat.completions.create(model=front.model, messages=said)
                return answer.choices[0].message.content or ""

            async def stream(n: int) -> str:
                said = user(order(say=n))
                chunks = await client.chat.completions.create(model=front.model, messages=said, stream=True)
                return "".join([c.choices[0].delta.content or "" async for c in chunks if c.choices])

            return await asyncio.gather(*(whole(n) for n in range(1, 9)), *(stream(n) for n in range(1, 9)))

    found = asyncio.run(everything())
    assert [len(text.split()) for text in found] == [*range(1, 9), *range(1, 9)]


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called_and_answered(front: Front, stream: bool) -> None:
    client = front.openai()
    messages = user(order(call=[CALL, {"name": "weather", "arguments": {"city": "Rome"}}]))

    def ask() -> Any:
        if not stream:
            return client.chat.completions.create(model=front.model, messages=messages, tools=[WEATHER])
        with client.chat.completions.stream(model=front.model, messages=messages, tools=[WEATHER]) as events:
            return events.get_final_completion()

    choice = ask().choices[0]
    assert choice.finish_reason == "tool_calls"
    calls = choice.message.tool_calls
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("weather", {"city": "Paris"}),
        ("weather", {"city": "Rome"}),
    ]
    assert len({call.id for call in calls}) == 2
    messages.append(
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": "weather", "arguments": call.function.arguments},
                }
                for call in calls
            ],
        }
    )
    messages += [{"role": "tool", "tool_call_id": call.id, "content": f"rain {n}"} for n, call in enumerate(calls)]
    last = ask().choices[0]
    assert (last.message.content, last.finish_reason) == ("The tool said: rain 1", "stop")


def test_a_tool_that_must_be_called_is(front: Front) -> None:
    answer = front.openai().chat.completions.create(
        model=front.model, messages=user("Go on"), tools=[WEATHER], tool_choice="required"
    )
    assert answer.choices[0].message.tool_calls
    assert answer.choices[0].message.tool_calls[0].type == "function"


def test_a_structured_answer_is_parsed(front: Front) -> None:
    client = front.openai()
    parsed = client.chat.completions.parse(model=front.model, messages=user("Judge."), response_format=Verdict)
    assert parsed.choices[0].message.parsed == Verdict(good=True, reasons=["so be it"], score=1.5)
    with client.chat.completions.stream(model=front.model, messages=user("Judge."), response_format=Verdict) as events:
        final = events.get_final_completion()
    assert final.choices[0].message.parsed == Verdict(good=True, reasons=["so be it"], score=1.5)


def test_json_mode_is_json(front: Front) -> None:
    if front.model in {"anthropic", "bedrock"}:
        pytest.skip("their models have no such mode: they are asked in words, which a fake model does not read")
    answer = front.openai().chat.completions.create(
        model=front.model, messages=user("Say it in JSON."), response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)


def test_an_image_reaches_the_model(front: Front, provider: Provider) -> None:
    url = f"data:image/png;base64,{PIXEL}"
    front.openai().chat.completions.create(
        model=front.model,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": order(id="image", say=3)},
                    {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
                ],
            }
        ],
    )
    assert provider.books.one("image").input > 85
    assert PIXEL.encode() in provider.books.arrivals[-1].body


def test_reasoning_that_is_shown_is_kept(front: Front) -> None:
    client = front.openai()
    said = user(order(think=6, shown=True, say=4))
    answer = client.chat.completions.create(model=front.model, messages=said)
    thought = "".join(f"t{n} " for n in range(6))
    assert (answer.choices[0].message.model_extra or {})["reasoning_content"] == thought
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 10
    streamed = ""
    for chunk in client.chat.completions.create(model=front.model, messages=said, stream=True):
        if chunk.choices:
            streamed += (chunk.choices[0].delta.model_extra or {}).get("reasoning_content") or ""
    assert streamed == thought


def test_reasoning_that_is_hidden_is_counted(front: Front) -> None:
    said = user(order(think=50, shown=False, say=4))
    answer = front.openai().chat.completions.create(model=front.model, messages=said)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 54


def test_an_error_in_mid_stream_is_raised(front: Front) -> None:
    said = user(order(say=20, error="overloaded", after=7))
    text = ""
    with pytest.raises(openai.APIError) as raised:  # noqa: PT012
        for chunk in front.openai().chat.completions.create(model=front.model, messages=said, stream=True):
            text += chunk.choices[0].delta.content or ""
    assert text == "".join(f"w{n} " for n in range(7))
    assert raised.value.message


@pytest.mark.parametrize("stream", [False, True])
def test_a_connection_that_breaks_is_an_error(front: Front, stream: bool) -> None:
    said = user(order(say=20, fault="reset", after=7))
    with pytest.raises(openai.APIError):  # noqa: PT012
        answer: Any = front.openai().chat.completions.create(model=front.model, messages=said, stream=stream)
        list(answer)


@pytest.mark.slow
def test_the_sdk_repeats_what_may_be_repeated(front: Front, provider: Provider) -> None:
    client = front.openai(max_retries=2)
    for error, door in (("rate_limit", front.spare("paused")), ("server", front), ("unavailable", front)):
        said = user(order(id=error, say=2, error=error, times=1, fields=[["retry-after-ms", "5"]]))
        assert client.chat.completions.create(model=door.model, messages=said).choices[0].message.content == "w0 w1 "
        assert provider.books.tries[error] == 2


@pytest.mark.parametrize(("split", "glue", "per_chunk"), [(1, False, 1), (7, False, 3), (0, True, 1), (64, True, 5)])
def test_how_a_stream_is_cut_makes_no_difference(front: Front, split: int, glue: bool, per_chunk: int) -> None:
    said = user(order(say=25, split=split, glue=glue, per_chunk=per_chunk))
    chunks = front.openai().chat.completions.create(model=front.model, messages=said, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "".join(f"w{n} " for n in range(25))
