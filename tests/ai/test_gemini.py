"""Gemini is asked as its documentation wants it, and what it answers is read wherever a stream is cut."""

import base64
import struct
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import recorded

from fastgw._usage import Usage
from fastgw.ai import gemini, gemini_embeddings, gemini_requests, schemas
from fastgw.ai.canonical import (
    ASSISTANT,
    FILTERED,
    LENGTH,
    PAUSED,
    STOP,
    SYSTEM,
    TOOL,
    TOOL_CALLS,
    USER,
    Answer,
    Begin,
    BodyError,
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

NEW, OLD = "gemini-3.5-flash", "gemini-2.5-flash"
OBJECT = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def asked(*messages: Message, **fields: Any) -> Request:
    return Request("x", list(messages) or [Message(USER, [Text("Hi")])], **fields)


def written(request: Request, model: str = NEW) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(gemini.write_request(request, model))
    return fields


def config(model: str = NEW, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = written(asked(**fields), model)["generationConfig"]
    return found


def pieces(stream: bytes, *at: int) -> list[Piece]:
    reader = gemini.AnswerReader()
    edges = [0, *at, len(stream)]
    found = [piece for start, end in pairwise(edges) for piece in reader.feed(stream[start:end])]
    return found + reader.finish()


# Requests


def test_a_conversation_is_said() -> None:
    request = asked(
        Message(SYSTEM, [Text("Be brief.")]),
        Message(USER, [
            Text("What?"),
            Media("image", "image/png", "iVBORw0="),
            Media("image", url="https://x.test/a.webp?size=1"),
            Media("document", file_id="https://generativelanguage.googleapis.com/v1beta/files/1"),
        ]),
        Message(ASSISTANT, [
            Thinking("Hm."), Text("I look."), ToolCall("c1", "look", '{"at": [1]}', "c2ln"), ToolCall("c2", "look", ""),
        ]),
        Message(TOOL, [ToolResult("c2", "look", [Text("{no")], failed=True)]),
        Message(TOOL, [ToolResult("c1", "", [Text('{"seen":"cat"}'), Media("image", "image/gif", "R0lG")])]),
        Message(USER, [Text("So?")]),
    )  # fmt: skip
    assert written(request) == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [
                {"text": "What?"},
                {"inlineData": {"mimeType": "image/png", "data": "iVBORw0="}},
                {"fileData": {"mimeType": "image/webp", "fileUri": "https://x.test/a.webp?size=1"}},
                {"fileData": {
                    "mimeType": "application/pdf", "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/1",
                }},
            ]},
            {"role": "model", "parts": [
                {"text": "I look."},
                {"functionCall": {"name": "look", "args": {"at": [1]}}, "thoughtSignature": "c2ln"},
                {"functionCall": {"name": "look", "args": {}}},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "look", "response": {"output": {"seen": "cat"}}}},
                {"inlineData": {"mimeType": "image/gif", "data": "R0lG"}},
                {"functionResponse": {"name": "look", "response": {"error": "{no"}}},
                {"text": "So?"},
            ]},
        ],
        "generationConfig": {},
    }  # fmt: skip


def test_a_call_without_its_signature_is_let_through() -> None:
    request = asked(
        Message(USER, [Text("Hi")]),
        Message(ASSISTANT, [ToolCall("a", "f", "{}"), ToolCall("b", "f", "{}")]),
        Message(TOOL, [ToolResult("a", "f", [])]),
    )
    calls = written(request)["contents"][1]["parts"]
    assert [call.get("thoughtSignature") for call in calls] == ["skip_thought_signature_validator", None]
    assert "thoughtSignature" not in written(request, OLD)["contents"][1]["parts"][0]


def test_parameters_are_said() -> None:
    found = config(max_tokens=9, temperature=0.0, top_p=0.5, top_k=3, stop=["a"], seed=7, presence=1.0, frequency=1.0)
    assert found == {
        "maxOutputTokens": 9, "temperature": 0.0, "topP": 0.5, "topK": 3, "stopSequences": ["a"], "seed": 7,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("model", "fields", "expected"),
    [
        (NEW, {"effort": "none"}, {"thinkingLevel": "LOW"}),
        (NEW, {"effort": "minimal"}, {"thinkingLevel": "LOW", "includeThoughts": True}),
        (NEW, {"effort": "medium"}, {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        (NEW, {"effort": "xhigh"}, {"thinkingLevel": "HIGH", "includeThoughts": True}),
        (NEW, {"thinking_tokens": 4000}, {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        (NEW, {"thinking_tokens": 40_000}, {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3-pro-preview", {"effort": "medium"}, {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-flash-latest", {"effort": "low"}, {"thinkingLevel": "LOW", "includeThoughts": True}),
        (OLD, {"effort": "medium"}, {"thinkingBudget": 8192, "includeThoughts": True}),
        (OLD, {"effort": "none"}, {"thinkingBudget": 0}),
        ("gemini-2.5-pro", {"thinking_tokens": 0}, {"thinkingBudget": 128}),
        (OLD, {"thinking_tokens": 3000}, {"thinkingBudget": 3000, "includeThoughts": True}),
        ("gemini-2.0-flash", {"effort": "high"}, None),
        ("gemma-3-27b-it", {"effort": "high"}, None),
        (NEW, {}, None),
    ],
)
def test_thinking_is_asked_for_as_the_model_takes_it(model: str, fields: dict[str, Any], expected: object) -> None:
    assert config(model, **fields).get("thinkingConfig") == expected


def test_tools_are_said() -> None:
    tools = [Tool("f", "does", {**OBJECT, "$schema": "x"}, strict=True), Tool("g", "", {})]
    fields = written(asked(tools=tools, tool_choice="tool", tool_name="f", parallel=False))
    assert fields["tools"] == [
        {"functionDeclarations": [{"name": "f", "description": "does", "parametersJsonSchema": OBJECT}, {"name": "g"}]}
    ]
    assert fields["toolConfig"] == {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}
    assert written(asked(tools=tools, tool_choice="none"))["toolConfig"] == {"functionCallingConfig": {"mode": "NONE"}}
    assert "toolConfig" not in written(asked(tool_choice="auto"))


def test_a_form_is_asked_for_as_the_model_takes_it() -> None:
    form, tools = Schema("city", OBJECT), [Tool("f", "", OBJECT)]
    assert config(schema=form) == {"responseMimeType": "application/json", "responseJsonSchema": OBJECT}
    assert config(json=True) == {"responseMimeType": "application/json"}
    assert config(schema=form, tools=tools)["responseJsonSchema"] == OBJECT
    in_words = written(asked(schema=form, tools=tools), OLD)
    assert in_words["generationConfig"] == {}
    assert '{"type":"object"' in in_words["systemInstruction"]["parts"][0]["text"]


def test_what_gemini_does_not_look_at_is_said_in_words() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "definitions": {"A": {"const": "a", "pattern": "^a"}},
        "properties": {
            "a": {"$ref": "#/definitions/A", "description": "beside"},
            "n": {"type": "array", "items": {"type": "integer", "minimum": 1, "multipleOf": 2, "description": "even"}},
        },
    }
    assert schemas.for_gemini(schema) == {
        "type": "object",
        "$defs": {"A": {"enum": ["a"], "description": '{"pattern":"^a"}'}},
        "properties": {
            "a": {"$ref": "#/$defs/A"},
            "n": {
                "type": "array",
                "items": {"type": "integer", "minimum": 1, "description": 'even\n\n{"multipleOf":2}'},
            },
        },
    }


def test_paths_hold_the_model() -> None:
    assert gemini.path(asked(), "gemini-2.5-flash") == "/models/gemini-2.5-flash:generateContent"
    assert gemini.path(asked(stream=True), "models/x") == "/models/x:streamGenerateContent?alt=sse"
    assert gemini.path(asked(), "a/../b?c#d") == "/models/a%2F..%2Fb%3Fc%23d:generateContent"
    with pytest.raises(BodyError):
        gemini.path(asked(), "..")


def test_tokens_are_counted() -> None:
    fields = msgspec.json.decode(
        gemini.write_count(asked(Message(SYSTEM, [Text("A")]), Message(USER, [Text("B")])), NEW)
    )
    assert fields == {
        "generateContentRequest": {
            "model": "models/gemini-3.5-flash",
            "systemInstruction": {"parts": [{"text": "A"}]},
            "contents": [{"role": "user", "parts": [{"text": "B"}]}],
        }
    }
    assert gemini.count_path(NEW) == "/models/gemini-3.5-flash:countTokens"
    assert gemini.read_count(b'{"totalTokens":31,"promptTokensDetails":[]}') == 31


@pytest.mark.parametrize(("model", "version"), [(NEW, (3, 5)), ("gemini-pro-latest", (99, 0)), ("gemma-3", (0, 0))])
def test_a_model_tells_its_version(model: str, version: tuple[int, int]) -> None:
    assert gemini_requests.version(model) == version


# Answers

STREAM = """data: {"candidates": [{"content": {"parts": [{"text": "**Plan**", "thought": true}],"role": "model"},\
"index": 0}],"usageMetadata": {"promptTokenCount": 30,"totalTokenCount": 44,"cachedContentTokenCount": 10,\
"thoughtsTokenCount": 14},"modelVersion": "gemini-3.5-flash","responseId": "abc-_1"}

data: {"candidates": [{"content": {"parts": [{"text": "é "}],"role": "model"},"index": 0}],"usageMetadata": \
{"promptTokenCount": 30,"candidatesTokenCount": 1,"totalTokenCount": 45,"thoughtsTokenCount": 14}}

data: {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f","args": {"a": 1}},\
"thoughtSignature": "c2ln"},{"functionCall": {"id": "own","name": "g"}}],"role": "model"},"index": 0}]}

data: {"candidates": [{"content": {"parts": [{"text": ""}],"role": "model"},"finishReason": "STOP","index": 0}],\
"usageMetadata": {"promptTokenCount": 30,"candidatesTokenCount": 9,"totalTokenCount": 53,"cachedContentTokenCount": 10,\
"thoughtsTokenCount": 14,"promptTokensDetails": [{"modality": "AUDIO","tokenCount": 6},{"modality": "TEXT",\
"tokenCount": 24}],"cacheTokensDetails": [{"modality": "AUDIO","tokenCount": 2}]},"responseId": "abc-_1"}

""".replace("\n", "\r\n").encode()
LAST = Usage(input=30, cached=10, audio_in=4, output=23, reasoning=14)
PIECES: list[Piece] = [
    Used(Usage(input=30, cached=10, output=14, reasoning=14)),
    Begin("abc-_1", "gemini-3.5-flash"),
    ThinkingPiece("**Plan**"),
    Used(Usage(input=30, output=15, reasoning=14)),
    TextPiece("é "),
    ToolBegin(0, "call_abc-_1_0", "f", "c2ln"),
    ToolPiece(0, '{"a":1}'),
    ToolBegin(1, "own", "g"),
    ToolPiece(1, "{}"),
    Used(LAST),
    End(TOOL_CALLS),
]


def test_a_stream_is_the_same_wherever_it_is_cut() -> None:
    assert all(pieces(STREAM, at) == PIECES for at in range(len(STREAM)))
    assert pieces(STREAM, *range(1, len(STREAM))) == PIECES
    assert pieces(STREAM.replace(b"\r", b"")) == PIECES


@pytest.mark.parametrize("said", ["text", "tools", "thinking", "refused", "cut"])
def test_what_is_recorded_means_the_same_whole_and_in_events(said: str) -> None:
    answer = gemini.read_answer(recorded.read("gemini", said))
    found = pieces(recorded.read("gemini", said, stream=True))
    for piece, part in ((TextPiece, Text), (ThinkingPiece, Thinking)):
        texts = "".join(each.text for each in answer.parts if isinstance(each, part))
        assert "".join(each.text for each in found if isinstance(each, piece)) == texts
    assert [(each.id, each.name) for each in found if isinstance(each, ToolBegin)] == [
        (each.id, each.name) for each in answer.parts if isinstance(each, ToolCall)
    ]
    assert found[-2:] == [Used(answer.usage), End(answer.finish)]
    assert isinstance(pieces(recorded.read("gemini", "broken", stream=True))[-1], Failure)


def test_a_prompt_that_is_blocked_is_filtered() -> None:
    body = b'{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":7}}'
    answer = gemini.read_answer(body)
    assert (answer.parts, answer.finish, answer.usage) == ([], FILTERED, Usage(input=7))
    assert pieces(b"data: %b\n\n" % body)[-1] == End(FILTERED)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", STOP), ("MAX_TOKENS", LENGTH), ("SAFETY", FILTERED), ("RECITATION", FILTERED), ("SPII", FILTERED),
        ("MALFORMED_FUNCTION_CALL", FILTERED), ("CONTINUATION", PAUSED), ("A_NEW_ONE", FILTERED),
    ],
)  # fmt: skip
def test_reasons_to_stop(reason: str, finish: str) -> None:
    answer = gemini.read_answer(b'{"candidates":[{"finishReason":"%b"}],"responseId":"a"}' % reason.encode())
    assert answer == Answer("a", "", [], finish, Usage())


def test_ids_are_made_where_there_are_none() -> None:
    body = b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":null}}]},"finishReason":"STOP"}]}'
    one, other = (gemini.read_answer(body).parts[0] for _ in range(2))
    assert isinstance(one, ToolCall)
    assert isinstance(other, ToolCall)
    assert one.id != other.id
    assert one.arguments == "{}"


def test_usage_is_never_less_than_the_total() -> None:
    body = b'{"candidates":[{"finishReason":"STOP"}],"usageMetadata":%b}'
    used = gemini.read_answer(body % b'{"promptTokenCount":5,"toolUsePromptTokenCount":2,"totalTokenCount":20}').usage
    assert used == Usage(input=7, output=13)
    wrong = b'{"promptTokenCount":"many","candidatesTokenCount":-1,"promptTokensDetails":{}}'
    assert gemini.read_answer(body % wrong).usage == Usage()


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"candidates":7}', b'{"candidates":[]}'])
def test_an_answer_that_makes_no_sense_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        gemini.read_answer(body)


@pytest.mark.parametrize(
    ("status", "error", "kind", "code"),
    [
        (400, '"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT",'
         '"details":[{"@type":"x/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]', "authentication",
         "INVALID_ARGUMENT"),
        (400, '"code":400,"message":"Bad","status":"INVALID_ARGUMENT"', "invalid", "INVALID_ARGUMENT"),
        (429, '"code":429,"message":"Slow","status":"RESOURCE_EXHAUSTED",'
         '"details":[{"@type":"x/google.rpc.RetryInfo","retryDelay":"34.07s"}]', "rate_limit", "RESOURCE_EXHAUSTED"),
        (503, '"code":503,"message":"Busy","status":"UNAVAILABLE"', "overloaded", "UNAVAILABLE"),
    ],
)  # fmt: skip
def test_errors_are_read(status: int, error: str, kind: str, code: str) -> None:
    for form in ("{{{}}}", "[{{{}}}]"):
        failure = gemini.read_error(status, form.format(f'"error":{{{error}}}').encode())
        assert (failure.status, failure.kind, failure.code) == (status, kind, code)
        assert failure.retry_after_s == (35 if status == 429 else 0)
    assert gemini.read_error(502, b"<html>Bad gateway</html>").kind == "server"
    (failed,) = pieces(f'data: {{"error":{{{error}}}}}\r\n\r\n'.encode())
    assert isinstance(failed, Failure)
    assert failed.kind == kind


# Embeddings


def embeddings(**fields: Any) -> gemini_embeddings.Embeddings:
    return gemini_embeddings.read_request(msgspec.json.encode({"model": "mine", **fields}))


def test_embeddings_are_asked_and_told() -> None:
    request = embeddings(input=["a", "b"], dimensions=2, encoding_format="base64")
    assert gemini_embeddings.path("gemini-embedding-001") == "/models/gemini-embedding-001:batchEmbedContents"
    body = msgspec.json.decode(gemini_embeddings.write_request(request, "gemini-embedding-001"))
    assert body["requests"][1] == {
        "model": "models/gemini-embedding-001", "content": {"parts": [{"text": "b"}]}, "outputDimensionality": 2,
    }  # fmt: skip
    answer = b'{"embeddings":[{"values":[0.5,-1]},{"values":[0,1e-3]}],"usageMetadata":{"promptTokenCount":4}}'
    told, used = gemini_embeddings.read_answer(request, answer)
    fields = msgspec.json.decode(told)
    assert struct.unpack("<2f", base64.b64decode(fields["data"][0]["embedding"])) == (0.5, -1.0)
    assert (fields["model"], fields["usage"], used) == ("mine", {"prompt_tokens": 4, "total_tokens": 4}, Usage(input=4))
    told, used = gemini_embeddings.read_answer(embeddings(input="a"), b'{"embeddings":[{"values":[0.5]}]}')
    assert msgspec.json.decode(told)["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5]}]
    assert used is None


@pytest.mark.parametrize("said", [[1, 2], [[1]]])
def test_tokens_are_not_embedded(said: object) -> None:
    with pytest.raises(UnsupportedError):
        embeddings(input=said)


def test_what_is_no_text_is_not_embedded() -> None:
    for said in ([], [None], 7):
        with pytest.raises(BodyError):
            embeddings(input=said)
    with pytest.raises(ValueError, match="every text"):
        gemini_embeddings.read_answer(embeddings(input=["a", "b"]), b'{"embeddings":[{"values":[1]}]}')
