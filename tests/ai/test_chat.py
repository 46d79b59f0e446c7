"""Chat completions are read and written: requests of callers and for providers, answers whole and in chunks."""

from __future__ import annotations

import json
from typing import Any

import pytest
import recorded
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw._usage import Usage
from fastgw.ai import chat, sse
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
    Text,
    TextPiece,
    Thinking,
    ThinkingPiece,
    ToolBegin,
    ToolCall,
    ToolPiece,
    ToolResult,
    UnsupportedError,
    Used,
)


def asked(**members: Any) -> Request:
    return chat.read_request(json.dumps({"model": "m", "messages": [], **members}).encode())


def heard(*messages: Any) -> list[Message]:
    return asked(messages=list(messages)).messages


def said(request: Request, model: str = "gpt-4.1", **options: Any) -> dict[str, Any]:
    found = json.loads(chat.write_request(request, model, **options))
    assert isinstance(found, dict)
    return found


# Requests


@settings(max_examples=60)
@given(samples.requests())
def test_what_is_written_of_a_request_is_read(request: Request) -> None:
    request.wants_usage = request.stream
    assert chat.read_request(chat.write_request(request, "m")) == request


def test_messages_of_every_role() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
    assert heard(
        {"role": "developer", "content": [{"type": "text", "text": "Be brief.", "cache_control": {"ttl": "5m"}}]},
        {"role": "user", "content": "Look.", "name": "Ann"},
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "Hm."},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "A cat."}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "refusal": ""},
    ) == [
        Message("system", [Text("Be brief.", cache="5m")]),
        Message("user", [Text("Look.")], "Ann"),
        Message("assistant", [Thinking("Hm."), ToolCall("c1", "look", '{"a":1}')]),
        Message("tool", [ToolResult("c1", "look", [Text("A cat.")])]),
        Message("assistant", [Refused("No.")]),
    ]  # fmt: skip


def test_media_of_every_kind() -> None:
    (message,) = heard(
        {"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
            {"type": "image_url", "image_url": "https://example.com/x"},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
            {"type": "file", "file": {"file_data": "AAAA"}},
            {"type": "file", "file": {"file_id": "file-1"}},
        ]}
    )  # fmt: skip
    pdf = Media("document", media_type="application/pdf", data="AAAA", name="a.pdf")
    assert message.parts == [
        Media("image", media_type="image/png", data="AAAA", detail="low"),
        Media("image", url="https://example.com/x"),
        Media("audio", media_type="audio/mp3", data="AAAA"),
        pdf,
        Media("document", media_type="application/pdf", data="AAAA"),
        Media("document", file_id="file-1"),
    ]
    again = chat.read_request(chat.write_request(Request("m", [message]), "m")).messages[0].parts
    assert again[:4] == message.parts[:4]


@pytest.mark.parametrize(
    ("members", "parameter", "unsupported"),
    [
        ({"n": 2}, "n", True),
        ({"logprobs": True}, "logprobs", True),
        ({"logit_bias": {"1": 2}}, "logit_bias", True),
        ({"modalities": ["text", "audio"]}, "modalities", True),
        ({"functions": [{"name": "f"}]}, "functions", True),
        ({"web_search_options": {}}, "web_search_options", True),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type", True),
        ({"messages": [{"role": "user", "content": [{"type": "video_url"}]}]}, "messages[0].content[0].type", True),
        ({"messages": [{"role": "robot", "content": ""}]}, "messages[0].role", False),
        ({"messages": [{"role": "assistant", "audio": {"id": "x"}}]}, "messages", True),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "ftp://x"}}]}]},
         "messages", False),
        ({"messages": 7}, "messages", False),
        ({"temperature": "hot"}, "temperature", False),
    ],
)  # fmt: skip
def test_what_cannot_be_said_to_others_is_refused(members: Any, parameter: str, unsupported: bool) -> None:
    with pytest.raises(BodyError) as refused:
        asked(**members)
    assert refused.value.parameter == parameter
    assert isinstance(refused.value, UnsupportedError) is unsupported


def test_what_does_not_matter_is_left_out() -> None:
    assert asked(n=1, logprobs=False, metadata={"a": "b"}, store=True, service_tier="auto") == Request("m", [])


def test_parameters() -> None:
    request = asked(
        max_completion_tokens=9, max_tokens=5, stop="END", seed=7, presence_penalty=1, frequency_penalty=-1, top_k=3,
        response_format={"type": "json_object"}, reasoning={"effort": "low", "max_tokens": 99}, safety_identifier="me",
        stream=True, stream_options={"include_usage": True}, tool_choice="required",
    )  # fmt: skip
    assert request == Request(
        "m", [], max_tokens=5, stop=["END"], seed=7, presence=1, frequency=-1, top_k=3, json=True, effort="low",
        thinking_tokens=99, user="me", stream=True, wants_usage=True, tool_choice="any",
    )  # fmt: skip


def test_what_tools_have_shown_follows_their_results() -> None:
    picture = Media("image", media_type="image/png", data="AAAA")
    note = Media("document", media_type="text/plain", data="bm90ZQ==")
    results = [
        Message("tool", [ToolResult("a", "f", [picture])]),
        Message("tool", [ToolResult("b", "f", [Text("seen"), note]), ToolResult("c", "f", [], failed=True)]),
        Message("user", [Text("Well?")]),
    ]
    shown = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}
    tool = {"role": "tool", "tool_call_id": "a", "content": "See below."}
    assert said(Request("m", results))["messages"] == [
        tool,
        {**tool, "tool_call_id": "b", "content": "seen\nnote"},
        {**tool, "tool_call_id": "c", "content": "The tool failed."},
        shown,
        {"role": "user", "content": "Well?"},
    ]
    assert said(Request("m", results[:1]))["messages"] == [tool, shown]


def test_thoughts_go_back_to_those_who_want_them() -> None:
    thoughts: list[Part] = [Thinking("open"), Thinking("signed", "s"), Thinking("sealed", redacted=True)]
    (message,) = said(Request("m", [Message("assistant", [*thoughts, Text("Yes.")])]))["messages"]
    assert message == {"role": "assistant", "content": "Yes.", "reasoning_content": "open"}


def test_each_model_is_asked_as_it_takes_it() -> None:
    request = Request("m", [], temperature=0.5, thinking_tokens=9_000, max_tokens=7, stream=True)
    assert said(request) == {
        "model": "gpt-4.1", "messages": [], "max_completion_tokens": 7, "temperature": 0.5, "stream": True,
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    for model in ("o3", "openai/gpt-5-mini", "gpt-5.2-codex"):
        thinks = said(request, model)
        assert thinks["reasoning_effort"] == "medium"
        assert "temperature" not in thinks
    plain = said(request, "gpt-5-chat-latest", max_tokens_field="max_tokens", stream_usage=False)
    assert plain == {
        "model": "gpt-5-chat-latest", "messages": [], "max_tokens": 7, "temperature": 0.5, "stream": True,
    }  # fmt: skip
    assert said(Request("m", [], thinking_tokens=0), "o3") == {"model": "o3", "messages": []}


def test_what_cannot_be_said_in_this_dialect_is_refused() -> None:
    for part in (
        Media("document", url="https://x/a.pdf"),
        Media("image", file_id="f"),
        Media("audio", url="https://x"),
    ):
        with pytest.raises(UnsupportedError):
            said(Request("m", [Message("user", [part])]))
    with pytest.raises(BodyError, match="UTF-8"):
        said(Request("m", [Message("user", [Media("document", media_type="text/plain", data="?")])]))


# Answers


@pytest.mark.parametrize("name", ["text", "tools", "thinking", "refused", "cut"])
def test_an_answer_is_the_same_whole_and_in_chunks_wherever_they_are_cut(name: str) -> None:
    answer = chat.read_answer(recorded.read("chat", name))
    stream = recorded.read("chat", name, stream=True)
    whole = samples.read(chat.AnswerReader(), stream)
    assert isinstance(whole[0], Begin)
    assert whole[0].id == answer.id
    assert samples.parts_of(whole) == (answer.parts, answer.usage, answer.finish)
    for at in range(0, len(stream), 5):
        assert samples.read(chat.AnswerReader(), stream, at) == whole
    assert samples.read(chat.AnswerReader(), stream, *range(1, len(stream))) == whole


def test_recorded_answers_mean_this() -> None:
    assert chat.read_answer(recorded.read("chat", "tools")).finish == TOOL_CALLS
    assert chat.read_answer(recorded.read("chat", "cut")).finish == LENGTH
    refused = chat.read_answer(recorded.read("chat", "refused"))
    assert (refused.finish, refused.parts) == (FILTERED, [Refused("I cannot help with that.")])
    *_, last = samples.read(chat.AnswerReader(), recorded.read("chat", "broken", stream=True))
    assert isinstance(last, Failure)


@settings(max_examples=60)
@given(samples.answers(), samples.usages(), st.sampled_from([STOP, LENGTH, FILTERED]))
def test_what_is_written_of_an_answer_is_read(parts: list[Part], usage: Usage, finish: str) -> None:
    finish = TOOL_CALLS if isinstance(parts[-1:][0] if parts else None, ToolCall) else finish
    answer = Answer("id", "m", parts, finish, usage, created_s=7)
    assert chat.read_answer(chat.write_answer(answer)) == answer
    writer = chat.AnswerWriter(Request("m", [], wants_usage=True))
    pieces = [Begin("id", "m"), *samples.pieces_of(parts), End(finish), Used(usage)]
    stream = b"".join(map(writer.write, pieces)) + writer.finish()
    found = samples.read(chat.AnswerReader(), stream)
    assert found[0] == pieces[0]
    assert samples.parts_of(found) == (parts, usage, finish)


def chunks(*choices: Any, **members: Any) -> bytes:
    made = [{"id": "i", "model": "m", "choices": [choice], **members} for choice in choices]
    return b"".join(sse.event(json.dumps(chunk).encode()) for chunk in made)


def deltas(*made: Any) -> bytes:
    return chunks(*({"index": 0, "delta": delta} for delta in made))


@pytest.mark.parametrize(
    ("stream", "pieces"),
    [
        (deltas({"reasoning": "a"}, {"reasoning_content": "b", "reasoning": "b"}),
         [ThinkingPiece("a"), ThinkingPiece("b")]),
        (deltas({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}]},
                {"content": [{"type": "text", "text": "x"}, 7]}), [ThinkingPiece("t"), TextPiece("x")]),
        (deltas({"reasoning_details": [{"type": "reasoning.text", "text": "t", "signature": "s"},
                                       {"type": "reasoning.encrypted", "data": "d"}]}),
         [ThinkingPiece("t", "s"), ThinkingPiece("d", redacted=True)]),
        # Gemini's: whole calls at once, all of index 0
        (deltas({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]},
                {"tool_calls": [{"index": 0, "id": "b", "function": {"name": "g", "arguments": {"x": 1}}}]}),
         [ToolBegin(0, "a", "f"), ToolPiece(0, "{}"), ToolBegin(1, "b", "g"), ToolPiece(1, '{"x":1}')]),
        # without any index, and with the id in every one
        (deltas({"tool_calls": [{"id": "a", "function": {"name": "f"}}]},
                {"tool_calls": [{"function": {"arguments": "{"}}]}, {"tool_calls": [{"id": "a", "function":
                 {"name": "f", "arguments": "}"}}]}),
         [ToolBegin(0, "a", "f"), ToolPiece(0, "{"), ToolPiece(0, "}")]),
        (deltas({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f"}, "extra_content":
                 {"google": {"thought_signature": "s"}}}]}), [ToolBegin(0, "a", "f", "s")]),
        (chunks({"index": 1, "delta": {"content": "another choice"}}), []),
        (chunks({"finish_reason": "stop"}, {"finish_reason": "stop"}, {"finish_reason": None}), [End(STOP)]),
        (chunks({"delta": {"tool_calls": [{"id": "a", "function": {"name": "f"}}]}, "finish_reason": "stop"}),
         [ToolBegin(0, "a", "f"), End(TOOL_CALLS)]),
        (chunks({"delta": {}}, usage={"prompt_tokens": 1, "completion_tokens": 2}), [Used(Usage(input=1, output=2))]),
        (chunks({"delta": {}}, x_groq={"usage": {"prompt_tokens": 1}}), [Used(Usage(input=1))]),
        (deltas({"refusal": "No."}), [RefusedPiece("No.")]),
    ],
)  # fmt: skip
def test_what_providers_make_of_chunks(stream: bytes, pieces: list[Piece]) -> None:
    assert samples.read(chat.AnswerReader(), stream) == [Begin("i", "m"), *pieces]


def test_azure_begins_with_a_chunk_that_says_nothing() -> None:
    first = sse.event(b'{"id":"","model":"","choices":[],"prompt_filter_results":[]}')
    assert samples.read(chat.AnswerReader(), first + deltas({"content": "x"})) == [Begin("i", "m"), TextPiece("x")]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"error":{"message":"no"}}', b"[" * 100_000, b'{"choices":7}'])
def test_answers_that_make_no_sense(body: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        chat.read_answer(body)


def test_an_answer_that_was_cut_has_no_end() -> None:
    writer = chat.AnswerWriter(Request("m", []))
    writer.write(TextPiece("x"))
    assert writer.finish() == b""


def test_all_ends_have_a_reason() -> None:
    for finish, reason in ((REFUSED, "content_filter"), ("paused", "stop")):
        body = json.loads(chat.write_answer(Answer("i", "m", [], finish, Usage())))
        assert body["choices"][0]["finish_reason"] == reason
        assert body["created"] > 1_700_000_000
