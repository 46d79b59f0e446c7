"""Amazon Bedrock's Converse is asked as its API wants it, signed, and what it answers is read wherever it is cut."""

import hashlib
import hmac
import struct
import zlib
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import recorded

from fastgw._usage import Usage
from fastgw.ai import bedrock, eventstream, signing
from fastgw.ai.canonical import (
    ASSISTANT,
    FILTERED,
    LENGTH,
    STOP,
    SYSTEM,
    TOOL,
    TOOL_CALLS,
    USER,
    Begin,
    End,
    Failure,
    Media,
    Message,
    Piece,
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

CLAUDE, OLD, NOVA = (
    "us.anthropic.claude-opus-4-8-v1:0",
    "anthropic.claude-sonnet-4-20250514-v1:0",
    "amazon.nova-pro-v1:0",
)
OBJECT = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
QUESTION = Message(USER, [Text("Hi")])


def asked(*messages: Message, **fields: Any) -> Request:
    return Request("x", list(messages) or [QUESTION], **fields)


def written(request: Request, model: str = CLAUDE) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(bedrock.write_request(request, model))
    return fields


def pieces(stream: bytes, *at: int) -> list[Piece]:
    reader = bedrock.AnswerReader()
    edges = [0, *at, len(stream)]
    found = [piece for start, end in pairwise(edges) for piece in reader.feed(stream[start:end])]
    return found + reader.finish()


# Requests


def test_a_conversation_is_said() -> None:
    request = asked(
        Message(SYSTEM, [Text("Be brief.", cache="1h")]),
        Message(USER, [
            Text("What?", cache="5m"),
            Media("image", "image/png", "iVBORw0="),
            Media("document", "application/pdf", "JVBERg==", name="a_b (1).pdf"),
            Media("document", "text/x-log", "YQ=="),
            Media("audio", "audio/mpeg", "SUQz"),
            Media("image", "image/gif", url="s3://bucket/key"),
        ]),
        Message(ASSISTANT, [
            Thinking("Hm.", "c2ln"), Thinking("c2VjcmV0", redacted=True), Thinking("unsigned"), Text(" "),
            ToolCall("functions.look:0", "look", '{"at":1}'),
        ]),
        Message(TOOL, [ToolResult("functions.look:0", "look", [Text("cat"), Media("image", "image/webp", "UklG")])]),
        Message(TOOL, [ToolResult("b", "look", [Text("none")], failed=True)]),
    )  # fmt: skip
    fields = written(request)
    assert fields["system"] == [{"text": "Be brief."}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    assert fields["messages"] == [
        {"role": "user", "content": [
            {"text": "What?"},
            {"cachePoint": {"type": "default"}},
            {"image": {"format": "png", "source": {"bytes": "iVBORw0="}}},
            {"document": {"format": "pdf", "name": "a b (1) pdf", "source": {"bytes": "JVBERg=="}}},
            {"document": {"format": "txt", "name": "document", "source": {"bytes": "YQ=="}}},
            {"audio": {"format": "mp3", "source": {"bytes": "SUQz"}}},
            {"image": {"format": "gif", "source": {"s3Location": {"uri": "s3://bucket/key"}}}},
        ]},
        {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
            {"reasoningContent": {"redactedContent": "c2VjcmV0"}},
            {"toolUse": {"toolUseId": "functions_look_0", "name": "look", "input": {"at": 1}}},
        ]},
        {"role": "user", "content": [
            {"toolResult": {"toolUseId": "functions_look_0", "content": [
                {"text": "cat"}, {"image": {"format": "webp", "source": {"bytes": "UklG"}}},
            ]}},
            {"toolResult": {"toolUseId": "b", "content": [{"text": "none"}], "status": "error"}},
        ]},
    ]  # fmt: skip
    assert fields["toolConfig"]["tools"][0]["toolSpec"]["name"] == "look"  # a request must name what has been called
    assert "reasoningContent" not in str(written(request, NOVA))


def test_what_bedrock_would_have_to_fetch_is_not_sent() -> None:
    with pytest.raises(UnsupportedError):
        written(asked(Message(USER, [Media("image", url="https://x.test/a.png")])))


@pytest.mark.parametrize(
    ("model", "fields", "expected"),
    [
        (CLAUDE, {"effort": "high", "max_tokens": 9, "temperature": 1.0}, {
            "inferenceConfig": {"maxTokens": 9},
            "outputConfig": {"effort": "high"},
            "additionalModelRequestFields": {"thinking": {"type": "adaptive", "display": "summarized"}},
        }),
        (OLD, {"thinking_tokens": 2000, "max_tokens": 4000, "top_p": 0.5}, {
            "inferenceConfig": {"maxTokens": 4000},
            "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        }),
        (OLD, {"temperature": 1.5, "top_k": 5, "stop": ["a"]}, {
            "inferenceConfig": {"temperature": 1.0, "stopSequences": ["a"]},
            "additionalModelRequestFields": {"top_k": 5},
        }),
        (NOVA, {"temperature": 0.0, "top_k": 5, "effort": "low"}, {"inferenceConfig": {"temperature": 0.0}}),
        ("openai.gpt-oss-120b-1:0", {"effort": "max"}, {"additionalModelRequestFields": {"reasoning_effort": "high"}}),
    ],
)  # fmt: skip
def test_parameters_are_said_as_the_model_takes_them(model: str, fields: dict[str, Any], expected: object) -> None:
    said = written(asked(**fields), model)
    assert said.pop("messages") == [{"role": "user", "content": [{"text": "Hi"}]}]
    assert said == expected


def test_tools_are_said() -> None:
    tools = [Tool("f", "does", OBJECT, strict=True, cache="5m"), Tool("g", "", {})]
    closed = {**OBJECT, "additionalProperties": False}
    assert written(asked(tools=tools, tool_choice="tool", tool_name="f"))["toolConfig"] == {
        "tools": [
            {"toolSpec": {"name": "f", "description": "does", "strict": True, "inputSchema": {"json": closed}}},
            {"cachePoint": {"type": "default"}},
            {"toolSpec": {"name": "g", "inputSchema": {"json": {"type": "object", "properties": {}}}}},
        ],
        "toolChoice": {"tool": {"name": "f"}},
    }
    assert written(asked(tools=tools, tool_choice="any"))["toolConfig"]["toolChoice"] == {"any": {}}
    assert "toolConfig" not in written(asked(tools=tools, tool_choice="none"))
    called = Message(ASSISTANT, [ToolCall("a", "f", "{}")]), Message(TOOL, [ToolResult("a", "f", [Text("1")])])
    kept = written(asked(QUESTION, *called, tools=tools, tool_choice="none"))
    assert (len(kept["toolConfig"]["tools"]), "toolChoice" in kept["toolConfig"]) == (3, False)
    assert kept["system"] == [{"text": "Answer without calling a tool."}]


def test_a_form_is_asked_for_as_the_model_takes_it() -> None:
    text_format = written(asked(schema=Schema("city", OBJECT)))["outputConfig"]["textFormat"]
    assert text_format["structure"]["jsonSchema"]["name"] == "city"
    assert msgspec.json.decode(text_format["structure"]["jsonSchema"]["schema"])["additionalProperties"] is False
    assert "JSON Schema" in written(asked(schema=Schema("city", OBJECT)), NOVA)["system"][0]["text"]


def test_paths_hold_the_model() -> None:
    arn = "arn:aws:bedrock:us-east-1:1:inference-profile/x"
    assert bedrock.path(asked(), NOVA) == "/model/amazon.nova-pro-v1%3A0/converse"
    assert bedrock.path(asked(stream=True), arn) == (
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse-stream"
    )


def derived(secret: str, *scope: str) -> bytes:
    key = ("AWS4" + secret).encode()
    for step in scope:
        key = hmac.digest(key, step.encode(), "sha256")
    return key


def test_requests_are_signed() -> None:
    """Against the definition: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html"""
    assert signing.available()
    host, path, body = "bedrock-runtime.us-east-1.amazonaws.com", bedrock.path(asked(), NOVA), b'{"messages":[]}'
    lines = signing.Signer("AKID:s/ecr+et:to==ken", "us-east-1").fields(host, path, body).decode().splitlines()
    head = dict(line.split(": ", 1) for line in lines)
    moment, token = head["X-Amz-Date"], head["X-Amz-Security-Token"]
    scope = (moment[:8], "us-east-1", "bedrock", "aws4_request")
    signed = {"content-type": "application/json", "host": host, "x-amz-date": moment, "x-amz-security-token": token}
    canonical = "\n".join(
        ("POST", path.replace("%", "%25"), "", *(f"{name}:{value}" for name, value in signed.items()), "",
         ";".join(signed), hashlib.sha256(body).hexdigest())
    )  # fmt: skip
    words = "\n".join(("AWS4-HMAC-SHA256", moment, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()))
    signature = hmac.digest(derived("s/ecr+et", *scope), words.encode(), "sha256").hex()
    assert head["Authorization"].endswith(f"SignedHeaders={';'.join(signed)}, Signature={signature}")


@pytest.mark.parametrize("key", ["", "AKID", "AKID:", "a:b:c:d"])
def test_what_is_no_key_cannot_sign(key: str) -> None:
    with pytest.raises(ValueError, match="ID:SECRET"):
        signing.Signer(key, "us-east-1")


# The framing


def message(payload: bytes, headers: bytes = b"") -> bytes:
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return whole + struct.pack(">I", zlib.crc32(whole))


def named(**headers: str) -> bytes:
    rows = ((b":" + name.replace("_", "-").encode(), value.encode()) for name, value in headers.items())
    return b"".join(b"%c%b\7%b%b" % (len(name), name, struct.pack(">H", len(value)), value) for name, value in rows)


def test_messages_are_the_same_wherever_they_are_cut() -> None:
    others = b"\1a\0\1b\1\1c\2x\1d\3xx\1e\4xxxx\1f\5xxxxxxxx\1g\6\0\3abc\1h\x08xxxxxxxx"
    stream = message(b"one", others + b"\1i\x09" + b"u" * 16 + named(event_type="é")) + message(b"") + message(b"three")
    whole = [({":event-type": "é"}, b"one"), ({}, b""), ({}, b"three")]
    assert eventstream.Messages().feed(stream) == whole
    for step in (1, 5, 19):
        messages = eventstream.Messages()
        assert [found for at in range(0, len(stream), step) for found in messages.feed(stream[at : at + step])] == whole
        assert messages.whole


def test_no_damaged_byte_goes_unseen() -> None:
    stream = message(b'{"a":1}', named(event_type="x"))
    for at in range(len(stream)):
        damaged = stream[:at] + bytes((stream[at] ^ 1,)) + stream[at + 1 :]
        with pytest.raises(ValueError):  # noqa: PT011
            eventstream.Messages().feed(damaged)


@pytest.mark.parametrize(
    "stream",
    [
        b'{"message":"nothing of the kind"}',
        message(b"", b"\1a\x63"), message(b"", b"\1a\7\0"), message(b"", b"\x09a"),
        (prelude := struct.pack(">II", 15, 0)) + struct.pack(">I", zlib.crc32(prelude)) + b"...",
        (prelude := struct.pack(">II", 1 << 30, 0)) + struct.pack(">I", zlib.crc32(prelude)),
    ],
)  # fmt: skip
def test_what_is_no_event_stream_is_an_error(stream: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        eventstream.Messages().feed(stream)


# Answers


def event(kind: str, body: str) -> bytes:
    return message(body.encode(), named(event_type=kind, message_type="event"))


STREAM = b"".join(
    (
        event("messageStart", '{"role":"assistant","p":"abc"}'),
        event("contentBlockDelta", '{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"Hm é"}}}'),
        event("contentBlockDelta", '{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"c2ln"}}}'),
        event("contentBlockStop", '{"contentBlockIndex":0}'),
        event("contentBlockDelta", '{"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"eA=="}}}'),
        event("contentBlockDelta", '{"contentBlockIndex":2,"delta":{"text":"Hi"}}'),
        event("contentBlockStop", '{"contentBlockIndex":2}'),
        event("contentBlockStart", '{"contentBlockIndex":3,"start":{"toolUse":{"toolUseId":"tooluse_1","name":"f"}}}'),
        event("contentBlockDelta", '{"contentBlockIndex":3,"delta":{"toolUse":{"input":"{\\"a\\""}}}'),
        event("contentBlockDelta", '{"contentBlockIndex":3,"delta":{"toolUse":{"input":":1}"}}}'),
        event("contentBlockStop", '{"contentBlockIndex":3}'),
        event("contentBlockStart", '{"contentBlockIndex":4,"start":{"toolUse":{"toolUseId":"tooluse_2","name":"g"}}}'),
        event("contentBlockDelta", '{"contentBlockIndex":4,"delta":{"toolUse":{"input":""}}}'),
        event("contentBlockStop", '{"contentBlockIndex":4}'),
        event("messageStop", '{"stopReason":"tool_use"}'),
        event("somethingNew", '{"contentBlockIndex":4}'),
        event("metadata", '{"usage":{"inputTokens":5,"outputTokens":9,"totalTokens":44,"cacheReadInputTokens":20,'
              '"cacheWriteInputTokens":10,"cacheDetails":[{"ttl":"1h","inputTokens":4},{"ttl":"5m","inputTokens":6}]},'
              '"metrics":{"latencyMs":1}}'),
    )
)  # fmt: skip
PIECES: list[Piece] = [
    ThinkingPiece("Hm é"),
    ThinkingPiece(signature="c2ln"),
    ThinkingPiece("eA==", redacted=True),
    TextPiece("Hi"),
    ToolBegin(0, "tooluse_1", "f"),
    ToolPiece(0, '{"a"'),
    ToolPiece(0, ":1}"),
    ToolBegin(1, "tooluse_2", "g"),
    ToolPiece(1, "{}"),
    End(TOOL_CALLS),
    Used(Usage(input=35, cached=20, written=10, written_long=4, output=9)),
]


def test_a_stream_is_the_same_wherever_it_is_cut() -> None:
    for cuts in (*((at,) for at in range(len(STREAM))), tuple(range(1, len(STREAM)))):
        begin, *others = pieces(STREAM, *cuts)
        assert isinstance(begin, Begin)
        assert others == PIECES
    with pytest.raises(ValueError, match="within a message"):
        pieces(STREAM[:-1])


@pytest.mark.parametrize("said", ["text", "tools", "thinking", "refused", "cut"])
def test_what_is_recorded_means_the_same_whole_and_in_events(said: str) -> None:
    answer = bedrock.read_answer(recorded.read("bedrock", said))
    found = pieces(recorded.read("bedrock", said, stream=True))
    for piece, part in ((TextPiece, Text), (ThinkingPiece, Thinking)):
        texts = "".join(each.text for each in answer.parts if isinstance(each, part))
        assert "".join(each.text for each in found if isinstance(each, piece)) == texts
    assert [(each.id, each.name) for each in found if isinstance(each, ToolBegin)] == [
        (each.id, each.name) for each in answer.parts if isinstance(each, ToolCall)
    ]
    assert found[-2:] == [End(answer.finish), Used(answer.usage)]
    assert isinstance(pieces(recorded.read("bedrock", "broken", stream=True))[-1], Failure)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", STOP), ("stop_sequence", STOP), ("max_tokens", LENGTH), ("model_context_window_exceeded", LENGTH),
        ("guardrail_intervened", FILTERED), ("malformed_tool_use", FILTERED), ("a_new_one", STOP),
    ],
)  # fmt: skip
def test_reasons_to_stop(reason: str, finish: str) -> None:
    answer = b'{"output":{"message":{"content":[]}},"stopReason":"%b"}' % reason.encode()
    assert bedrock.read_answer(answer).finish == finish


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("throttlingException", "rate_limit"), ("serviceUnavailableException", "overloaded"),
        ("modelStreamErrorException", "server"), ("validationException", "invalid"), ("anotherException", "server"),
    ],
)  # fmt: skip
def test_exceptions_in_mid_stream_are_read(kind: str, expected: str) -> None:
    headers = named(exception_type=kind, message_type="exception")
    (failure,) = pieces(message(b'{"message":"Too many tokens"}', headers))
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.message, failure.code) == (expected, "Too many tokens", kind)
    (failure,) = pieces(message(b"", named(message_type="error", error_code="x", error_message="Broken")))
    assert isinstance(failure, Failure)
    assert failure.message == "Broken"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b'{"message":"The provided model identifier is invalid."}', "invalid"),
        (403, b'{"Message":"The security token included in the request is invalid."}', "authentication"),
        (403, b'{"message":"You do not have access to the model with the specified model ID."}', "permission"),
        (424, b'{"message":"The model failed."}', "server"),
        (408, b'{"message":"Model timed out."}', "timeout"),
        (429, b'{"__type":"com.amazon.coral#ModelNotReadyException:","message":"Wait"}', "overloaded"),
        (503, b"<html>no</html>", "overloaded"),
    ],
)
def test_errors_are_read(status: int, body: bytes, kind: str) -> None:
    failure = bedrock.read_error(status, body)
    assert (failure.status, failure.kind) == (status, kind)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"output":{},"stopReason":"end_turn"}'])
def test_an_answer_that_makes_no_sense_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        bedrock.read_answer(body)
