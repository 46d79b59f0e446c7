"""Prompts: what a call of one becomes, how its answer is shaped, and what is told where either is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw._usage import Usage
from fastgw.ai import passing, sse
from fastgw.ai.canonical import BodyError, Failure
from fastgw.ai.prompts import InputError, Rendering, Shaping, is_strict, problem
from fastgw.ai.templates import filled, variables
from fastgw.model import Prompt

TITLE = {
    "type": "object",
    "properties": {"title": {"type": "string", "maxLength": 9}},
    "required": ["title"],
    "additionalProperties": False,
}
INPUTS = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "words": {"type": "integer", "default": 50},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["text"],
    "additionalProperties": False,
}
MESSAGES = [
    {"role": "system", "content": "In {{words}} words."},
    {"role": "user", "content": [{"type": "text", "text": "{{ text }}|{{tags}}|{{ text }}"}]},
]


def rendering(output: Any = None, **more: Any) -> Rendering:
    return Rendering(
        Prompt(
            "summarize.it", "1", "/prompts/s", "m", json.dumps(MESSAGES), json.dumps(INPUTS),
            json.dumps(output) if output else "", **more,
        )
    )  # fmt: skip


def asked(body: Any, stream: bool = False, **more: Any) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(rendering(**more).request(json.dumps(body).encode(), stream))
    return read


# What a call becomes


def test_values_go_into_the_strings_of_the_messages() -> None:
    said = asked({"text": "hi", "tags": ["a", 'b"']}, parameters='{"temperature":0.5}')
    assert said["messages"][0] == {"role": "system", "content": "In 50 words."}
    assert said["messages"][1]["content"] == [{"type": "text", "text": 'hi|["a","b\\""]|hi'}]
    assert (said["model"], said["temperature"], "stream" in said) == ("m", 0.5, False)
    assert asked({"text": "", "words": 7}, stream=True)["stream"] is True
    assert asked({"text": "x", "words": 10**30})["messages"][0]["content"] == f"In {10**30} words."


@given(st.text(), st.lists(st.text(), max_size=3))
def test_no_value_can_be_more_than_text(text: str, tags: list[str]) -> None:
    said = asked({"text": text, "tags": tags})
    assert said.keys() == {"model", "messages"}
    assert [message["role"] for message in said["messages"]] == ["system", "user"]
    [part] = said["messages"][1]["content"]
    assert part == {
        "type": "text",
        "text": f"{text}|{json.dumps(tags, ensure_ascii=False, separators=(',', ':'))}|{text}",
    }


def test_a_value_is_not_looked_at_for_variables() -> None:
    assert filled("{{ a }}{{b}}", {"a": "{{b}}", "b": "{{a}}"}) == "{{b}}{{a}}"
    assert filled({"x": [1, None, "{{ missing }}"]}, {}) == {"x": [1, None, ""]}
    assert list(variables([{"content": "{{a}} {{ b_2}} {{ c.d }} {e} {{a}}"}])) == ["a", "b_2", "a"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "no JSON"),
        (b'{"text": "\xff"}', "no JSON"),
        (b"[" * 5_000, "no JSON"),
        (b"[]", 'The body: the value is not of type "object"'),
        (b"", 'The body: "text" is a required property'),
        (b'{"text": 1}', 'text: the value is not of type "string"'),
        (b'{"text": "", "tags": ["a", 5]}', "tags[1]: "),
        (b'{"text": "", "more": 5}', "'more' was unexpected"),
    ],
)
def test_inputs_that_are_not_of_their_schema_are_refused_by_place(body: bytes, words: str) -> None:
    with pytest.raises(BodyError) as refused:
        rendering().request(body, stream=False)
    assert words in str(refused.value)


def test_everything_that_is_wrong_is_told_and_not_what_was_sent() -> None:
    with pytest.raises(InputError) as refused:
        rendering().request(b'{"text": 123456, "tags": [1, 2], "words": "x"}', stream=False)
    told = json.loads(problem(Failure(400, "invalid", str(refused.value), "invalid_body"), "", refused.value.wrong))
    assert sorted(each["pointer"] for each in told["errors"]) == ["#/tags/0", "#/tags/1", "#/text", "#/words"]
    assert (told["code"], told["title"], told["status"]) == ("invalid_body", "Invalid body", 400)
    assert "123456" not in str(told)


def test_an_answer_of_a_schema_is_asked_for_as_strictly_as_the_schema_is() -> None:
    form = asked({"text": "x"}, output=TITLE)["response_format"]
    assert form == {
        "type": "json_schema", "json_schema": {"name": "summarize_it", "schema": TITLE, "strict": True},
    }  # fmt: skip
    assert not is_strict({**TITLE, "required": []})
    assert not is_strict({**TITLE, "properties": {"title": {"type": "array", "items": {"type": "object"}}}})


# How it is answered


def completion(text: str | None, finish: str = "stop", **more: Any) -> bytes:
    message = {"role": "assistant", "content": text, **more}
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json.dumps({"id": "c", "model": "m", "choices": [choice], "usage": usage}).encode()


def shaping(output: Any = None) -> Shaping:
    return Shaping(passing.Chunks(hide_usage=True), rendering(output), problem)


def test_an_answer_is_its_text() -> None:
    relay = shaping()
    assert json.loads(relay.whole(completion("hello"))) == {"text": "hello"}
    assert relay.charged(Usage()) == (Usage(input=3, output=4), False)
    assert json.loads(shaping().whole(completion("hel", "length"))) == {"text": "hel", "truncated": True}
    assert json.loads(shaping().whole(completion(None, refusal="no"))) == {"text": "no"}


@pytest.mark.parametrize("text", ['{"title": "a"}', '```json\n{"title":"a"}\n```', '\n``` \n{"title":"a"}```'])
def test_an_answer_of_a_schema_is_the_object_itself(text: str) -> None:
    relay = shaping(TITLE)
    assert relay.whole(completion(text)) == b'{"title":"a"}'
    assert relay.mistake is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (completion("so be it"), "is no JSON"),
        (completion('{"title": "a', "length"), "was cut at max_tokens"),
        (completion('{"title": "far too long"}'), "title: the value is longer than 9"),
        (completion(None, refusal="I will not"), "declined to answer: I will not"),
    ],
)
def test_an_answer_that_is_not_of_its_schema_is_a_mistake(answer: bytes, words: str) -> None:
    relay = shaping(TITLE)
    told = json.loads(relay.whole(answer))
    assert (told["status"], told["code"], told["title"]) == (502, "answer_invalid", "Answer invalid")
    assert words in told["detail"]
    assert relay.mistake is not None
    assert relay.charged(Usage())[0].output == 4


def chunk(text: str = "", finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    return sse.event(json.dumps({"id": "c", "model": "m", "choices": [choice], **more}).encode())


def streamed(pieces: list[str], finish: str = "stop") -> bytes:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    told = sse.event(json.dumps({"id": "c", "model": "m", "choices": [], "usage": usage}).encode())
    return b"".join(map(chunk, pieces)) + chunk(finish=finish) + told + sse.DONE


def fed(relay: Shaping, stream: bytes, at: int) -> list[bytes]:
    portions = [*relay.feed(stream[:at]), *relay.feed(stream[at:])]
    if not relay.ended:
        portions += relay.finish()
    return [portion.data for portion in portions if portion.data]


def test_a_stream_cut_anywhere_is_the_same_pieces() -> None:
    stream = streamed(["hé", "llo", "\u2028!"])
    whole = [sse.event(json.dumps({"text": text}, ensure_ascii=False).replace(": ", ":").encode())
             for text in ("hé", "llo", "\u2028!")]  # fmt: skip
    for at in range(len(stream) + 1):
        relay = shaping()
        assert fed(relay, stream, at) == [*whole, sse.DONE]
        assert relay.ended
        assert relay.charged(Usage()) == (Usage(input=3, output=4), False)


def test_a_stream_tells_how_it_ends() -> None:
    assert fed(shaping(), streamed(["a"], "length"), 0)[-1] == b'data: {"text":"","truncated":true}\n\n' + sse.DONE
    assert fed(shaping(TITLE), streamed(['{"title":', '"a"}']), 0)[-1] == sse.DONE
    relay = shaping(TITLE)
    last = fed(relay, streamed(["so be it"]), 0)[-1]
    assert last.startswith(b"event: error\ndata: {")
    assert json.loads(sse.data_of(last))["code"] == "answer_invalid"
    assert relay.mistake is not None
    relay = shaping()
    failed = sse.event(b'{"error": {"message": "overloaded", "type": "server_error", "code": "overloaded"}}') + sse.DONE
    last = fed(relay, chunk("a") + failed, 0)[-1]
    assert relay.failure is not None
    assert json.loads(sse.data_of(last))["code"] == "overloaded"


def test_a_stream_that_is_cut_has_no_end_and_costs_what_was_relayed() -> None:
    relay = shaping()
    assert sse.DONE not in fed(relay, chunk("hello") + chunk("world"), 5)
    assert not relay.ended
    assert relay.charged(Usage(input=9)) == (Usage(input=9, output=2), True)


def test_an_error_of_the_provider_is_a_problem() -> None:
    failure, body = shaping().failed(429, b'{"error": {"message": "slow down", "type": "x", "code": "rate_limit"}}')
    assert (failure.kind, failure.status) == ("rate_limit", 429)
    told = json.loads(body)
    assert (told["code"], told["detail"], told["retryable"]) == ("rate_limit", "slow down", True)
