"""The official OpenAI package finds what it expects of the endpoints beside chat completions."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from fronts import PRICES, Front, doors
from openai.types.responses import FunctionToolParam
from provider import Provider, order
from pydantic import BaseModel

pytestmark = doors("openai")

WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a place",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


class Place(BaseModel):
    """What a structured answer is to be."""

    name: str
    people: int


# Responses


def test_a_response_and_its_stream_say_the_same(front: Front, provider: Provider) -> None:
    client = front.openai()
    said = order(id="r", say=15, think=5, shown=True, input=30)
    whole = client.responses.create(model=front.model, input=said)
    assert whole.status == "completed"
    assert whole.output_text == "".join(f"w{n} " for n in range(15))
    assert whole.usage is not None
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (30, 20)
    assert whole.usage.output_tokens_details.reasoning_tokens == 5
    with client.responses.stream(model=front.model, input=said) as events:
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        final = events.get_final_response()
    assert "".join(deltas) == whole.output_text == final.output_text
    assert [item.type for item in final.output] == [item.type for item in whole.output] == ["reasoning", "message"]
    assert final.usage == whole.usage
    provider.idle()
    assert [bill.output for bill in provider.books.of("r")] == [20, 20]


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_calls_tools(front: Front, stream: bool) -> None:
    client = front.openai()
    asked: list[Any] = [{"role": "user", "content": order(call=[{"name": "weather", "arguments": {"city": "Oslo"}}])}]

    def ask() -> Any:
        if not stream:
            return client.responses.create(model=front.model, input=asked, tools=[WEATHER])
        with client.responses.stream(model=front.model, input=asked, tools=[WEATHER]) as events:
            return events.get_final_response()

    [call] = [item for item in ask().output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Oslo"})
    asked.append({"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments})
    asked.append({"type": "function_call_output", "call_id": call.call_id, "output": "snow"})
    assert ask().output_text == "The tool said: snow"


def test_a_structured_response_is_parsed(front: Front) -> None:
    parsed = front.openai().responses.parse(model=front.model, input="Which place?", text_format=Place)
    assert parsed.output_parsed == Place(name="so be it", people=7)


def test_a_response_that_is_cut_says_why(front: Front) -> None:
    cut = front.openai().responses.create(model=front.model, input=order(say=40), max_output_tokens=16)
    assert cut.status == "incomplete"
    assert cut.incomplete_details is not None
    assert cut.incomplete_details.reason == "max_output_tokens"


def test_a_response_that_fails_in_its_midst_is_raised(front: Front) -> None:
    seen = ""
    with pytest.raises(openai.APIError):  # noqa: PT012
        for event in front.openai().responses.create(
            model=front.model, input=order(say=20, error="server", after=4), stream=True
        ):
            if event.type == "response.output_text.delta":
                seen += event.delta
            elif event.type in {"error", "response.failed"}:
                raise openai.APIError(str(event), request=None, body=None)  # type: ignore[arg-type]
    assert seen == "w0 w1 w2 w3 "


# The rest


def test_a_conversation_is_compacted(front: Front, provider: Provider) -> None:
    said = order(id="compact", say=12, input=30)
    made = front.openai().responses.with_raw_response.compact(
        model=front.model, input=[{"role": "user", "content": said}]
    )
    compacted = made.parse()
    assert [item.type for item in compacted.output] == ["message", "compaction"]
    assert (compacted.usage.input_tokens, compacted.usage.output_tokens) == (30, 12)
    assert provider.books.one("compact").endpoint == "compact"
    if not front.direct:
        cost = 30 * PRICES["input"] + 12 * PRICES["output"]
        assert round(float(made.headers["x-fastgw-cost"]) * 10**9) == cost


def test_completions(front: Front) -> None:
    client = front.openai()
    whole = client.completions.create(model=front.model, prompt=order(say=6, input=5))
    assert whole.choices[0].text == "w0 w1 w2 w3 w4 w5 "
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (5, 6)
    chunks = client.completions.create(
        model=front.model, prompt=order(say=6, input=5), stream=True, stream_options={"include_usage": True}
    )
    found = list(chunks)
    assert "".join(chunk.choices[0].text for chunk in found if chunk.choices) == whole.choices[0].text
    assert found[-1].usage == whole.usage


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_embeddings(front: Front, encoding: str | None) -> None:
    options: dict[str, Any] = {} if encoding is None else {"encoding_format": encoding}
    found = front.openai().embeddings.create(model=front.model, input=["one", "two"], dimensions=16, **options)
    assert [row.index for row in found.data] == [0, 1]
    if encoding != "base64":
        assert all(len(row.embedding) == 16 for row in found.data)
        assert abs(sum(value * value for value in found.data[0].embedding) - 1) < 1e-5
    assert found.usage.prompt_tokens == 2


def test_models(front: Front) -> None:
    client = front.openai()
    names = [model.id for model in client.models.list()]
    assert front.model in names
    assert client.models.retrieve(front.model).id == front.model
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("missing-model")


def test_images_audio_and_moderations(front: Front) -> None:
    client = front.openai()
    images = client.images.generate(model=front.model, prompt=order(say=4, input=9), n=2)
    assert images.data is not None
    assert len(images.data) == 2
    speech = client.audio.speech.create(model=front.model, voice="alloy", input=order(say=2))
    assert speech.content.startswith(b"\xff\xfb")
    heard = client.audio.transcriptions.create(
        model=front.model, file=("sound.wav", b"RIFF0000WAVE"), prompt=order(text="it rains")
    )
    assert heard.text == "it rains"
    judged = client.moderations.create(model=front.model, input=["peace", "violence"])
    assert len(judged.results) == 2


def test_files(front: Front) -> None:
    client = front.openai()
    made = client.files.create(file=("lines.jsonl", b'{"a":1}\n'), purpose="batch")
    assert (made.bytes, made.filename) == (8, "lines.jsonl")
    assert client.files.content(made.id).content == b'{"a":1}\n'
    assert made.id in [file.id for file in client.files.list()]
    assert client.files.delete(made.id).deleted


# Errors


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        ("invalid", openai.BadRequestError, None),
        ("context", openai.BadRequestError, "context_length_exceeded"),
        ("not_found", openai.NotFoundError, "model_not_found"),
        ("rate_limit", openai.RateLimitError, "rate_limit_exceeded"),
        ("server", openai.InternalServerError, None),
        ("overloaded", openai.InternalServerError, "overloaded"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_the_sdks_own(
    front: Front, error: str, kind: type[openai.APIStatusError], code: str | None, stream: bool
) -> None:
    said = order(say=2, error=error, retry_after="7")
    door = front.spare("limited") if error == "rate_limit" else front
    with pytest.raises(kind) as raised:
        door.openai().chat.completions.create(
            model=door.model, messages=[{"role": "user", "content": said}], stream=stream
        )
    assert raised.value.code == code
    assert raised.value.message
