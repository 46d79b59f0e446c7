"""Responses are read and written for callers whose provider has none: stateless, and as OpenAI's package knows them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import recorded
import samples
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from fastgw._usage import Usage
from fastgw.ai import chat, passing_typed, responses, sse
from fastgw.ai.canonical import (
    FILTERED,
    LENGTH,
    REFUSED,
    STOP,
    TOOL_CALLS,
    Answer,
    Begin,
    BodyError,
    End,
    Failure,
    Media,
    Message,
    Part,
    Piece,
    Refused,
    RefusedPiece,
    Request,
    Schema,
    Text,
    TextPiece,
    Thinking,
    ThinkingPiece,
    Tool,
    ToolBegin,
    ToolCall,
    ToolPiece,
    ToolResult,
    UnsupportedError,
    Used,
)

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def asked(**members: Any) -> Request:
    return responses.read_request(json.dumps({"model": "m", **members}).encode())


def written(pieces: list[Piece]) -> list[dict[str, Any]]:
    """The events for a caller, each named as its data says and numbered."""
    writer = responses.AnswerWriter(Request("m", []))
    stream = b"".join(map(writer.write, pieces)) + writer.finish()
    events = [json.loads(data) for data in sse.Events().feed(stream)]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    names = [line[7:].decode() for line in stream.split(b"\n") if line.startswith(b"event: ")]
    assert names == [event["type"] for event in events]
    for event in events:
        EVENT.validate_python(event, strict=False)
    return events


# Requests


def test_a_text_alone() -> None:
    assert asked(input="Hi", instructions="Be brief.").messages == [
        Message("system", [Text("Be brief.")]),
        Message("user", [Text("Hi")]),
    ]


def test_items_of_every_type() -> None:
    items = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "Look."},
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
            {"type": "input_image", "file_id": "f"},
            {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"},
            {"type": "input_file", "file_url": "https://x/a.pdf"},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        ]},
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "Hm."}],
         "encrypted_content": "proof"},
        {"type": "reasoning", "id": "rs", "summary": [], "content": [{"type": "reasoning_text", "text": "Open."}]},
        {"type": "message", "role": "assistant", "id": "msg", "status": "completed", "content": [
            {"type": "output_text", "text": "I look.", "annotations": []}]},
        {"type": "function_call", "call_id": "c", "id": "fc", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "A cat."}]},
        {"type": "function_call_output", "call_id": "d", "output": "No."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ]  # fmt: skip
    assert asked(input=items).messages == [
        Message("system", [Text("Be brief.")]),
        Message("user", [
            Text("Look."),
            Media("image", media_type="image/png", data="AAAA", detail="low"),
            Media("image", file_id="f"),
            Media("document", media_type="application/pdf", data="AAAA", name="a.pdf"),
            Media("document", url="https://x/a.pdf"),
            Media("audio", media_type="audio/mp3", data="AAAA"),
        ]),
        Message("assistant", [
            Thinking("Hm.", "proof"), Thinking("Open."), Text("I look."), ToolCall("c", "look", "{}"),
        ]),
        Message("tool", [ToolResult("c", "look", [Text("A cat.")])]),
        Message("tool", [ToolResult("d", "", [Text("No.")])]),
        Message("assistant", [Refused("No.")]),
    ]  # fmt: skip


def test_parameters() -> None:
    schema = {"type": "object"}
    tool = {"type": "function", "name": "f", "parameters": schema, "strict": True, "description": "F."}
    form = {"type": "json_schema", "name": "n", "schema": schema, "strict": True}
    request = asked(
        input="Hi", tools=[tool], tool_choice={"type": "function", "name": "f"}, parallel_tool_calls=False,
        max_output_tokens=9, temperature=1, top_p=0.5, text={"format": form, "verbosity": "low"}, store=True,
        reasoning={"effort": "low", "summary": "auto"}, user="me", stream=True, include=[], truncation="auto",
    )  # fmt: skip
    assert request == Request(
        "m", [Message("user", [Text("Hi")])], [Tool("f", "F.", schema, strict=True)], tool_choice="tool", tool_name="f",
        parallel=False, max_tokens=9, temperature=1, top_p=0.5, schema=Schema("n", schema), effort="low", user="me",
        stream=True, wants_usage=True,
    )  # fmt: skip
    plain = asked(input="Hi", tool_choice="required", text={"format": {"type": "json_object"}})
    assert (plain.tool_choice, plain.json) == ("any", True)


@pytest.mark.parametrize(
    ("members", "parameter"),
    [
        ({"previous_response_id": "r"}, "previous_response_id"),
        ({"conversation": "c"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"tools": [{"type": "web_search", "name": "x"}]}, "tools[0].type"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_film"}]}]}, "input[0].content[0].type"),
    ],
)
def test_what_only_openai_can_do_is_refused(members: Any, parameter: str) -> None:
    with pytest.raises(UnsupportedError) as refused:
        asked(**members)
    assert refused.value.parameter == parameter


@pytest.mark.parametrize("members", [{"input": 7}, {"input": [{"type": "function_call", "name": "f"}]}])
def test_requests_that_make_no_sense(members: Any) -> None:
    with pytest.raises(BodyError):
        asked(**members)


# Answers


@settings(max_examples=60)
@given(samples.answers(), samples.usages(), st.sampled_from([STOP, LENGTH, FILTERED]))
def test_whole_and_streamed_answers_are_the_same_response(parts: list[Part], usage: Usage, finish: str) -> None:
    whole = json.loads(responses.write_answer(Answer("id", "m", parts, finish, usage, created_s=7)))
    Response.model_validate(whole)
    events = written([Begin("id", "m"), *samples.pieces_of(parts), End(finish), Used(usage)])
    last = events[-1]["response"]
    assert {**last, "created_at": 7} == whole
    assert events[-1]["type"] == f"response.{whole['status']}"
    state = ResponseStreamState[None](input_tools=omit, text_format=omit)
    for event in events:
        state.handle_event(EVENT.validate_python(event))
    relay = passing_typed.Responses()
    relay.feed(b"".join(sse.event(json.dumps(event).encode()) for event in events))
    assert relay.usage == usage
    # An agent sends back what it was given.
    back = asked(input=[*whole["output"], {"role": "user", "content": "Go on."}]).messages
    assert back[:-1] == ([Message("assistant", parts)] if parts else [])


def test_ends() -> None:
    for finish, parts, status, reason in (
        (STOP, [], "completed", None),
        (LENGTH, [Text("x")], "incomplete", "max_output_tokens"),
        (FILTERED, [], "incomplete", "content_filter"),
        (REFUSED, [Refused("No.")], "completed", None),
    ):
        answer: list[Part] = list(parts)
        response = json.loads(responses.write_answer(Answer("resp_1", "m", answer, finish, Usage())))
        assert (response["id"], response["status"]) == ("resp_1", status)
        assert (response["incomplete_details"] or {}).get("reason") == reason
    assert written([TextPiece("x")])[-1]["type"] == "response.output_text.delta"  # cut


def test_refusals_sealed_thoughts_and_proofs_of_calls() -> None:
    parts: list[Part] = [Thinking("sealed", redacted=True), ToolCall("c", "f", "{}", signature="proof"), Refused("No.")]
    pieces: list[Piece] = [
        ThinkingPiece("sealed", redacted=True), ToolBegin(0, "c", "f", "proof"), ToolPiece(0, "{}"),
        RefusedPiece("No."), End(TOOL_CALLS),
    ]  # fmt: skip
    events = written(pieces)
    whole = json.loads(responses.write_answer(Answer("", "m", parts, TOOL_CALLS, Usage())))
    assert [item["type"] for item in whole["output"]] == ["reasoning", "reasoning", "function_call", "message"]
    assert events[-1]["response"]["output"] == whole["output"]
    assert asked(input=whole["output"]).messages == [Message("assistant", parts)]


def test_an_error_has_both_forms() -> None:
    event = written([Begin("id", "m"), Failure(502, "server", "It broke.", "upstream_failed")])[-1]
    assert event["type"] == "error"
    assert event["code"] == event["error"]["code"] == "upstream_failed"
    assert responses.write_error(Failure(400, "invalid", "No.")).startswith(b'{"error":{"message":"No."')


@pytest.mark.parametrize("said", ["text", "tools", "thinking", "refused", "cut"])
def test_a_chat_completion_comes_to_what_openai_says_itself(said: str) -> None:
    """Item by item, what is recorded of a provider that has both endpoints, without what only it knows."""
    theirs = json.loads(recorded.read("responses", said))
    ours = json.loads(responses.write_answer(chat.read_answer(recorded.read("chat", said))))

    def known(response: Any) -> Any:
        items = [{k: v for k, v in item.items() if k not in ("id", "status")} for item in response["output"]]
        return items, response["usage"]

    assert known(ours) == known(theirs)
    assert ours.keys() <= theirs.keys()
