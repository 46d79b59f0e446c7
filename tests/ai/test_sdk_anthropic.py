"""The official Anthropic package, sync and async, finds what it expects: directly and through a gateway."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import MessageParam, ToolParam
from fronts import Front, doors
from provider import Provider, order
from provider.openai_rest import PIXEL
from pydantic import BaseModel

pytestmark = doors("anthropic", "openai", "gemini", "bedrock")

WEATHER: ToolParam = {
    "name": "weather",
    "description": "The weather of a place",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


class Verdict(BaseModel):
    """What a structured answer is to be."""

    good: bool
    reasons: list[str]


def user(text: str) -> list[MessageParam]:
    return [{"role": "user", "content": text}]


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_message_has_text_usage_and_a_reason(front: Front, provider: Provider) -> None:
    written = 0 if front.model == "gemini" else 8  # what it caches by itself it does not count
    said = user(order(id="one", say=12, input=40, cached=16, written=written))
    message = front.anthropic().messages.create(model=front.model, max_tokens=100, messages=said, system="Be brief.")
    assert (message.role, message.type, message.stop_reason) == ("assistant", "message", "end_turn")
    assert text_of(message) == "".join(f"w{n} " for n in range(12))
    used = message.usage
    assert (used.input_tokens, used.cache_read_input_tokens, used.cache_creation_input_tokens) == (
        24 - written,
        16,
        written,
    )
    bill = provider.books.one("one")
    assert (used.output_tokens, bill.output, bill.input) == (12, 12, 40)


def test_a_message_stops_where_it_is_told_to(front: Front) -> None:
    message = front.anthropic().messages.create(model=front.model, max_tokens=5, messages=user(order(say=40)))
    assert (text_of(message), message.stop_reason) == ("w0 w1 w2 w3 w4 ", "max_tokens")


def test_a_stream_says_what_the_whole_says(front: Front, provider: Provider) -> None:
    client = front.anthropic()
    said = user(order(id="s", say=30, think=6, shown=True, input=20, cached=5))
    whole = client.messages.create(model=front.model, max_tokens=100, messages=said)
    with client.messages.stream(model=front.model, max_tokens=100, messages=said) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == text_of(final) == text_of(whole) == "".join(f"w{n} " for n in range(30))
    assert [block.type for block in final.content] == [block.type for block in whole.content] == ["thinking", "text"]
    assert final.content[0].type == "thinking"
    assert final.content[0].thinking == "".join(f"t{n} " for n in range(6))
    assert (final.usage.input_tokens, final.usage.cache_read_input_tokens, final.usage.output_tokens) == (15, 5, 36)
    assert final.stop_reason == whole.stop_reason == "end_turn"
    provider.idle()
    assert [bill.output for bill in provider.books.of("s")] == [36, 36]


def test_events_come_in_their_order(front: Front) -> None:
    events = [
        event.type
        for event in front.anthropic().messages.create(
            model=front.model, max_tokens=100, messages=user(order(say=3)), stream=True
        )
    ]
    assert events == [
        "message_start", "content_block_start", *["content_block_delta"] * 3, "content_block_stop", "message_delta",
        "message_stop",
    ]  # fmt: skip


def test_async_messages_and_streams_together(front: Front) -> None:
    async def everything() -> list[str]:
        async with front.async_anthropic() as client:

            async def whole(n: int) -> str:
                said = user(order(say=n))
                return text_of(await client.messages.create(model=front.model, max_tokens=100, messages=said))

            async def stream(n: int) -> str:
                said = user(order(say=n))
                async with client.messages.stream(model=front.model, max_tokens=100, messages=said) as events:
                    return "".join([text async for text in events.text_stream])

            return await asyncio.gather(*(whole(n) for n in range(1, 9)), *(stream(n) for n in range(1, 9)))

    assert [len(text.split()) for text in asyncio.run(everything())] == [*range(1, 9), *range(1, 9)]


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_used_and_answered(front: Front, stream: bool) -> None:
    client = front.anthropic()
    cities = ("Paris", "Rome")
    messages = user(order(call=[{"name": "weather", "arguments": {"city": city}} for city in cities]))

    def ask() -> Any:
        what: dict[str, Any] = {"model": front.model, "max_tokens": 200, "messages": messages, "tools": [WEATHER]}
        if not stream:
            return client.messages.create(**what)
        with client.messages.stream(**what) as events:
            return events.get_final_message()

    message = ask()
    assert message.stop_reason == "tool_use"
    uses = [block for block in message.content if block.type == "tool_use"]
    assert [(use.name, use.input) for use in uses] == [("weather", {"city": city}) for city in cities]
    assert len({use.id for use in uses}) == 2
    messages.append({"role": "assistant", "content": message.content})
    messages.append(
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": use.id, "content": f"rain {n}"} for n, use in enumerate(uses)
            ],
        }
    )
    last = ask()
    assert (text_of(last), last.stop_reason) == ("The tool said: rain 1", "end_turn")


def test_a_structured_message_is_parsed(front: Front) -> None:
    message = front.anthropic().messages.parse(
        model=front.model, max_tokens=200, messages=user("Judge."), output_format=Verdict
    )
    assert message.parsed_output == Verdict(good=True, reasons=["so be it"])


def test_an_image_reaches_the_model(front: Front, provider: Provider) -> None:
    front.anthropic().messages.create(
        model=front.model,
        max_tokens=50,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                    {"type": "text", "text": order(id="image", say=3)},
                ],
            }
        ],
    )
    assert provider.books.one("image").input > 85
    assert PIXEL.encode() in provider.books.arrivals[-1].body


def test_tokens_are_counted_and_models_listed(front: Front) -> None:
    client = front.anthropic()
    assert client.messages.count_tokens(model=front.model, messages=user("one two three")).input_tokens >= 3
    assert front.model in [model.id for model in client.models.list()]


@pytest.mark.parametrize(
    ("error", "kind", "word"),
    [
        ("invalid", anthropic.BadRequestError, "invalid_request_error"),
        ("not_found", anthropic.NotFoundError, "not_found_error"),
        ("rate_limit", anthropic.RateLimitError, "rate_limit_error"),
        ("server", anthropic.InternalServerError, "api_error"),
        ("overloaded", anthropic.APIStatusError, "overloaded_error"),
    ],
)
def test_errors_are_the_sdks_own(front: Front, error: str, kind: type[anthropic.APIStatusError], word: str) -> None:
    door = front.spare("limited") if error == "rate_limit" else front
    with pytest.raises(kind) as raised:
        door.anthropic().messages.create(
            model=door.model, max_tokens=50, messages=user(order(error=error, retry_after="7"))
        )
    assert raised.value.type == word
    assert raised.value.request_id


def test_an_error_in_mid_stream_is_raised(front: Front) -> None:
    said = user(order(say=20, error="overloaded", after=7))
    pieces: list[str] = []
    with (
        pytest.raises(anthropic.APIStatusError) as raised,
        front.anthropic().messages.stream(model=front.model, max_tokens=100, messages=said) as stream,
    ):
        pieces.extend(stream.text_stream)
    assert "".join(pieces) == "".join(f"w{n} " for n in range(7))
    assert raised.value.type == "overloaded_error"


def test_a_connection_that_breaks_is_an_error(front: Front) -> None:
    said = user(order(say=20, fault="reset", after=7))
    with (
        pytest.raises((anthropic.APIError, httpx2.TransportError)),
        front.anthropic().messages.stream(model=front.model, max_tokens=100, messages=said) as stream,
    ):
        list(stream.text_stream)


@pytest.mark.slow
def test_the_sdk_repeats_what_may_be_repeated(front: Front, provider: Provider) -> None:
    client = front.anthropic(max_retries=2)
    for error, door in (("rate_limit", front.spare("paused")), ("server", front), ("overloaded", front)):
        said = user(order(id=error, say=2, error=error, times=1, fields=[["retry-after-ms", "5"]]))
        assert text_of(client.messages.create(model=door.model, max_tokens=9, messages=said)) == "w0 w1 "
        assert provider.books.tries[error] == 2


@pytest.mark.parametrize(("split", "glue", "per_chunk"), [(1, False, 1), (7, False, 3), (0, True, 1), (64, True, 5)])
def test_how_a_stream_is_cut_makes_no_difference(front: Front, split: int, glue: bool, per_chunk: int) -> None:
    said = user(order(say=25, split=split, glue=glue, per_chunk=per_chunk))
    with front.anthropic().messages.stream(model=front.model, max_tokens=100, messages=said) as stream:
        assert "".join(stream.text_stream) == "".join(f"w{n} " for n in range(25))
