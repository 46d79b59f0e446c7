"""Answers of Anthropic's Messages API are read and written as its documentation shows them, wherever they are cut."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
import recorded

from fastgw._usage import Usage
from fastgw.ai import anthropic
from fastgw.ai.canonical import (
    CALL_PROOF,
    LENGTH,
    REFUSED,
    STOP,
    TOOL_CALLS,
    Answer,
    Begin,
    End,
    Failure,
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
    Used,
)


def pieces(stream: bytes, *at: int) -> list[Piece]:
    reader = anthropic.AnswerReader()
    edges = [0, *at, len(stream)]
    found = [piece for start, end in pairwise(edges) for piece in reader.feed(stream[start:end])]
    return found + reader.finish()


def events(stream: bytes) -> list[dict[str, Any]]:
    """The events of a stream, each named as its data says."""
    found = []
    for block in stream.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        event = msgspec.json.decode(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


# Answers, as https://platform.claude.com/docs/en/build-with-claude/streaming shows them

STREAM = b"""event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-4-8","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":472,"cache_creation_input_tokens":40,"cache_read_input_tokens":100,"cache_creation":{"ephemeral_5m_input_tokens":30,"ephemeral_1h_input_tokens":10},"output_tokens":2,"service_tier":"standard"}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Let me \xc3\xa9"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQBCgIYAhIM1gbcDa9GJwZA2b3h"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"EmwKAhgB"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"Okay"}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":", let's"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: content_block_start
data: {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_1","name":"get_weather","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\\"location\\":"}}

event: content_block_delta
data: {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":" \\"SF\\"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":3}

event: content_block_start
data: {"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"toolu_2","name":"now","input":{}}}

event: content_block_stop
data: {"type":"content_block_stop","index":4}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":89,"output_tokens_details":{"thinking_tokens":30}}}

event: message_stop
data: {"type":"message_stop"}

"""  # noqa: E501
FIRST = Usage(input=612, cached=100, written=40, written_long=10, output=2)
LAST = Usage(input=612, cached=100, written=40, written_long=10, output=89, reasoning=30)
PIECES: list[Piece] = [
    Used(FIRST),
    Begin("msg_1", "claude-opus-4-8"),
    ThinkingPiece("Let me é"),
    ThinkingPiece(signature="EqQBCgIYAhIM1gbcDa9GJwZA2b3h"),
    ThinkingPiece("EmwKAhgB", redacted=True),
    TextPiece("Okay"),
    TextPiece(", let's"),
    ToolBegin(0, "toolu_1", "get_weather"),
    ToolPiece(0, '{"location":'),
    ToolPiece(0, ' "SF"}'),
    ToolBegin(1, "toolu_2", "now"),
    ToolPiece(1, "{}"),
    Used(LAST),
    End(TOOL_CALLS),
]


def test_a_stream_is_the_same_wherever_it_is_cut() -> None:
    assert all(pieces(STREAM, at) == PIECES for at in range(len(STREAM)))
    assert pieces(STREAM, *range(1, len(STREAM))) == PIECES
    assert pieces(STREAM.replace(b"\n", b"\r\n")) == PIECES


def written_stream(*said: Piece) -> bytes:
    writer = anthropic.AnswerWriter(Request("x", []))
    return b"".join(writer.write(piece) for piece in said) + writer.finish()


def test_a_stream_is_written_as_anthropic_does() -> None:
    kinds = [(event["type"], event.get("index")) for event in events(written_stream(*PIECES))]
    assert kinds == [
        ("message_start", None),
        ("content_block_start", 0), ("ping", None), *[("content_block_delta", 0)] * 2, ("content_block_stop", 0),
        ("content_block_start", 1), ("content_block_stop", 1),
        ("content_block_start", 2), *[("content_block_delta", 2)] * 2, ("content_block_stop", 2),
        ("content_block_start", 3), *[("content_block_delta", 3)] * 2, ("content_block_stop", 3),
        ("content_block_start", 4), ("content_block_delta", 4), ("content_block_stop", 4),
        ("message_delta", None), ("message_stop", None),
    ]  # fmt: skip
    written_again = pieces(written_stream(*PIECES))
    assert [piece for piece in written_again if not isinstance(piece, Used)] == [
        piece for piece in PIECES if not isinstance(piece, Used)
    ]
    start, *_, delta, _ = events(written_stream(*PIECES))
    assert start["message"]["usage"]["input_tokens"] == 472
    assert delta == {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {
            "input_tokens": 472, "cache_creation_input_tokens": 40, "cache_read_input_tokens": 100, "output_tokens": 89,
            "output_tokens_details": {"thinking_tokens": 30},
        },
    }  # fmt: skip


def test_usage_may_be_told_after_the_end() -> None:
    *_, delta, stop = events(
        written_stream(Begin("i", "m"), TextPiece("x"), End(STOP, "END"), Used(Usage(3, output=1)))
    )
    assert delta["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    assert (delta["usage"]["input_tokens"], delta["usage"]["output_tokens"]) == (3, 1)
    assert stop["type"] == "message_stop"


def test_an_empty_answer_is_whole_and_a_cut_one_is_not() -> None:
    assert [event["type"] for event in events(written_stream(Begin("i", "m"), End(STOP)))] == [
        "message_start", "message_delta", "message_stop",
    ]  # fmt: skip
    assert [event["type"] for event in events(written_stream(Begin("i", "m"), TextPiece(""), TextPiece("x")))] == [
        "message_start", "content_block_start", "ping", "content_block_delta",
    ]  # fmt: skip


def test_thoughts_one_after_the_other_are_blocks_of_their_own() -> None:
    said: list[Piece] = [Begin("i", "m"), ThinkingPiece("a"), ThinkingPiece(signature="1"), ThinkingPiece("b", "2")]
    starts = [event for event in events(written_stream(*said)) if event["type"] == "content_block_start"]
    assert [event["index"] for event in starts] == [0, 1]


def test_the_proof_of_a_call_goes_before_it() -> None:
    said: list[Piece] = [Begin("i", "m"), ToolBegin(0, "a", "f", "c2ln"), ToolPiece(0, "{}"), End(TOOL_CALLS)]
    assert pieces(written_stream(*said))[2:4] == [ThinkingPiece(signature=CALL_PROOF + "c2ln"), ToolBegin(0, "a", "f")]
    answer = Answer("i", "m", [ToolCall("a", "f", "{}", "c2ln")], TOOL_CALLS, Usage())
    assert anthropic.read_answer(anthropic.write_answer(answer)).parts == [
        Thinking("", CALL_PROOF + "c2ln"),
        ToolCall("a", "f", "{}"),
    ]


@pytest.mark.parametrize("said", ["text", "tools", "thinking", "refused", "cut"])
def test_what_is_recorded_means_the_same_whole_and_in_events(said: str) -> None:
    stream = recorded.read("anthropic", said, stream=True)
    answer = anthropic.read_answer(recorded.read("anthropic", said))
    found = pieces(stream)
    assert all(pieces(stream, at) == found for at in range(0, len(stream), 7))
    texts = "".join(part.text for part in answer.parts if isinstance(part, Text))
    assert "".join(piece.text for piece in found if isinstance(piece, TextPiece)) == texts
    used, end = found[-2:]
    assert isinstance(used, Used)
    assert (used.usage.input, used.usage.output, end) == (answer.usage.input, answer.usage.output, End(answer.finish))
    assert [piece for piece in pieces(written_stream(*found)) if not isinstance(piece, Used)] == [
        piece for piece in found if not isinstance(piece, Used)
    ]


def test_a_recorded_stream_that_breaks_says_so() -> None:
    assert isinstance(pieces(recorded.read("anthropic", "broken", stream=True))[-1], Failure)


def test_errors_in_mid_stream_go_both_ways() -> None:
    failed = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    (failure,) = pieces(failed)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.message) == ("overloaded", "Overloaded")
    assert events(written_stream(failure))[0]["error"]["type"] == "overloaded_error"


def test_a_stream_that_makes_no_sense_is_an_error() -> None:
    for stream in (
        b"data: {}\n\n",
        b"data: nonsense\n\n",
        b"data: []\n\n",
        b'data: {"type":"message_start","message":{}}\n\n',
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            pieces(stream)


def test_a_call_said_at_once_is_read() -> None:
    block = b'{"type":"tool_use","id":"a","name":"f","input":{"x":1}}'
    start = b'{"type":"content_block_start","index":0,"content_block":%b}' % block
    stop = b'{"type":"content_block_stop","index":0}'
    assert pieces(b"data: %b\n\ndata: %b\n\n" % (start, stop)) == [ToolBegin(0, "a", "f"), ToolPiece(0, '{"x":1}')]


MESSAGE = b"""{"model":"claude-opus-4-8","id":"msg_2","type":"message","role":"assistant","content":[
{"type":"thinking","thinking":"Hm","signature":"s"},{"type":"redacted_thinking","data":"d"},
{"type":"text","text":"Hi","citations":null},{"type":"server_tool_use","id":"x","name":"web_search","input":{}},
{"type":"tool_use","id":"toolu_1","name":"f","input":{"a": 1},"caller":{"type":"direct"}}],
"stop_reason":"tool_use","stop_sequence":null,"stop_details":null,
"usage":{"input_tokens":10,"cache_creation_input_tokens":0,"cache_read_input_tokens":5,"output_tokens":20,
"server_tool_use":{"web_search_requests":2,"web_fetch_requests":0}}}"""
PARTS: list[Part] = [
    Thinking("Hm", "s"), Thinking("d", redacted=True), Text("Hi"), ToolCall("toolu_1", "f", '{"a": 1}'),
]  # fmt: skip


def test_a_whole_answer_is_read_and_written() -> None:
    answer = anthropic.read_answer(MESSAGE)
    assert answer == Answer(
        "msg_2", "claude-opus-4-8", PARTS, TOOL_CALLS, Usage(input=15, cached=5, output=20, searches=2)
    )
    fields = msgspec.json.decode(anthropic.write_answer(answer))
    assert (fields["type"], fields["role"], fields["stop_reason"]) == ("message", "assistant", "tool_use")
    assert fields["usage"]["input_tokens"] == 10
    again = anthropic.read_answer(anthropic.write_answer(answer))
    assert (again.parts, again.finish) == ([*PARTS[:3], ToolCall("toolu_1", "f", '{"a": 1}')], TOOL_CALLS)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", STOP), ("stop_sequence", STOP), ("max_tokens", LENGTH), ("model_context_window_exceeded", LENGTH),
        ("pause_turn", "paused"), ("refusal", REFUSED), ("a_new_one", STOP),
    ],
)  # fmt: skip
def test_reasons_to_stop(reason: str, finish: str) -> None:
    stop = b'{"type":"message_delta","delta":{"stop_reason":"%b"},"usage":{"output_tokens":1}}' % reason.encode()
    assert pieces(b"data: %b\n\n" % stop)[-1] == End(finish)


def test_a_refusal_says_why() -> None:
    details = b'"stop_reason":"refusal","stop_details":{"type":"refusal","category":null,"explanation":"No."}'
    assert pieces(b'data: {"type":"message_delta","delta":{%b}}\n\n' % details) == [RefusedPiece("No."), End(REFUSED)]
    assert anthropic.read_answer(b'{"id":"a","model":"m","content":[],%b}' % details).parts == [Refused("No.")]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"id":1}', b"{" * 100_000])
def test_an_answer_that_makes_no_sense_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        anthropic.read_answer(body)


def test_errors_are_read_and_written() -> None:
    body = b'{"type":"error","error":{"type":"not_found_error","message":"model: x"},"request_id":"req_1"}'
    failure = anthropic.read_error(404, body)
    assert (failure.status, failure.kind, failure.message) == (404, "not_found", "model: x")
    assert msgspec.json.decode(anthropic.write_error(failure))["error"]["type"] == "not_found_error"
    held = msgspec.json.decode(anthropic.write_error(Failure(402, "quota", "No money", "balance_held")))
    assert held["error"] == {"type": "billing_error", "message": "No money", "code": "balance_held"}
