"""Requests of Anthropic's Messages API are read as callers make them, and written as each model takes them."""

from typing import Any

import msgspec
import pytest

from fastgw.ai import anthropic, claude, schemas
from fastgw.ai.canonical import (
    ASSISTANT,
    CALL_PROOF,
    SYSTEM,
    TOOL,
    USER,
    BodyError,
    Media,
    Message,
    Refused,
    Request,
    Schema,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    UnsupportedError,
)

NEW, OLD = "claude-opus-4-8", "claude-sonnet-4-5-20250929"
OBJECT = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SHOWN = {"type": "adaptive", "display": "summarized"}
CLOSED = {**OBJECT, "additionalProperties": False}


def read(**fields: Any) -> Request:
    body = {"model": "claude-x", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}], **fields}
    return anthropic.read_request(msgspec.json.encode(body))


def written(request: Request, model: str = NEW) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(anthropic.write_request(request, model))
    return fields


def asked(*messages: Message, **fields: Any) -> Request:
    return Request("x", list(messages) or [Message(USER, [Text("Hi")])], max_tokens=50_000, **fields)


# Callers' requests

CONVERSATION: list[dict[str, Any]] = [
    {"role": "user", "content": [
        {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0="}},
        {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}, "title": "A"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "é"}},
    ]},
    {"role": "assistant", "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "c2VjcmV0"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": [1, 2.50]}},
        {"type": "tool_use", "id": "toolu_2", "name": "look", "input": {}},
    ]},
    {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "a cat", "is_error": True},
        {"type": "tool_result", "tool_use_id": "toolu_2", "content": [
            {"type": "text", "text": "a dog"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "R0lG"}},
        ], "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "So?"},
    ]},
]  # fmt: skip


def test_a_conversation_is_read_into_messages() -> None:
    request = read(messages=CONVERSATION, system=[{"type": "text", "text": "Be brief."}])
    assert request.messages == [
        Message(SYSTEM, [Text("Be brief.")]),
        Message(USER, [
            Text("What is this?", cache="1h"),
            Media("image", "image/png", "iVBORw0="),
            Media("image", url="https://x.test/a.png"),
            Media("document", file_id="file_1", name="A"),
            Media("document", "text/plain", "w6k="),
        ]),
        Message(ASSISTANT, [
            Thinking("Hm.", "c2ln"),
            Thinking("c2VjcmV0", redacted=True),
            Text("I look."),
            ToolCall("toolu_1", "look", '{"at":[1,2.5]}'),
            ToolCall("toolu_2", "look", "{}"),
        ]),
        Message(TOOL, [ToolResult("toolu_1", "look", [Text("a cat")], failed=True)]),
        Message(TOOL, [
            ToolResult("toolu_2", "look", [Text("a dog"), Media("image", "image/gif", "R0lG")], cache="5m"),
        ]),
        Message(USER, [Text("So?")]),
    ]  # fmt: skip


def test_what_is_read_is_written_again() -> None:
    fields = {
        "system": "Be brief.",
        "tools": [{"name": "look", "input_schema": OBJECT, "cache_control": {"type": "ephemeral"}}],
        "tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": True},
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u1"},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": CLOSED}},
        "stream": True,
    }  # fmt: skip
    assert written(read(messages=CONVERSATION, **fields)) == {
        "model": NEW, "max_tokens": 100, "messages": CONVERSATION, **fields,
    }  # fmt: skip


def test_parameters_are_read() -> None:
    request = read(temperature=0, top_p=0.5, top_k=7, thinking={"type": "enabled", "budget_tokens": 2048}, stream=True)
    assert (request.temperature, request.top_p, request.top_k, request.thinking_tokens) == (0.0, 0.5, 7, 2048)
    assert request.stream
    assert request.wants_usage
    assert read(thinking={"type": "disabled"}).thinking_tokens == 0
    assert read(thinking={"type": "adaptive", "display": "summarized"}).effort == "high"
    adaptive = read(thinking={"type": "adaptive"}, output_config={"effort": "max"})
    assert (adaptive.effort, adaptive.thinking_tokens) == ("max", None)
    assert (choice := read(tool_choice={"type": "any", "disable_parallel_tool_use": False})).tool_choice == "any"
    assert choice.parallel is True
    assert read(output_format={"type": "json_schema", "schema": OBJECT}).schema == Schema("answer", OBJECT)


def block(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [fields]}]}


@pytest.mark.parametrize(
    ("fields", "kind", "parameter"),
    [
        ({"messages": "Hi"}, BodyError, "messages"),
        ({"messages": []}, BodyError, "messages"),
        ({"max_tokens": 0}, BodyError, "max_tokens"),
        ({"max_tokens": None}, BodyError, "max_tokens"),
        ({"temperature": 1.5}, BodyError, "temperature"),
        (block(type="text"), BodyError, "messages[0].content[0]"),
        (block(type="image", source={"type": "base64", "data": 1}), BodyError, "messages[0].content[0].source.data"),
        (block(type="server_tool_use", id="x", name="y", input={}), UnsupportedError, "messages[0].content[0].type"),
        (block(type="search_result"), UnsupportedError, "messages[0].content[0].type"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, UnsupportedError, "tools[0].type"),
        ({"mcp_servers": [{}]}, UnsupportedError, "mcp_servers"),
        ({"container": "c"}, UnsupportedError, "container"),
    ],
)
def test_what_cannot_be_read_is_named(fields: dict[str, Any], kind: type[BodyError], parameter: str) -> None:
    with pytest.raises(BodyError) as refused:
        read(**fields)
    assert (type(refused.value), refused.value.parameter) == (kind, parameter)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"model":"x","messages":' + b"[" * 100_000, b'{"model":"\xff"}'])
def test_no_body_breaks_the_reader(body: bytes) -> None:
    with pytest.raises(BodyError):
        anthropic.read_request(body)


def test_tokens_are_counted_without_max_tokens() -> None:
    body = b'{"model":"x","messages":[{"role":"user","content":"Hi"}]}'
    assert anthropic.read_count(body).messages == [Message(USER, [Text("Hi")])]


def test_the_proof_of_a_call_comes_back_with_it() -> None:
    thought = {"type": "thinking", "thinking": "", "signature": CALL_PROOF + "c2ln"}
    calls = [{"type": "tool_use", "id": name, "name": "f", "input": {}} for name in "ab"]
    (message,) = read(messages=[{"role": "assistant", "content": [thought, *calls]}]).messages
    assert message.parts == [ToolCall("a", "f", "{}", "c2ln"), ToolCall("b", "f", "{}")]


# Providers' requests


def test_messages_become_turns() -> None:
    request = asked(
        Message(SYSTEM, [Text("A")]),
        Message(USER, [Text("Hi"), Text(" \n")], name="bob"),
        Message(USER, [Text("there")]),
        Message(ASSISTANT, [Text(""), Thinking("unsigned"), ToolCall("functions.f:0", "f", "")]),
        Message(TOOL, [ToolResult("functions.f:0", "", [Text("1")])]),
        Message(TOOL, [ToolResult("x", "f", [Text(" ")]), ToolResult("z", "f", [], failed=True)]),
        Message(SYSTEM, [Text("B")]),
        Message(ASSISTANT, [Text("")]),
        Message(USER, [Text("Go on")]),
        Message(ASSISTANT, [Refused("No."), ToolCall("y", "f", '{"cut')]),
    )
    assert written(request) == {
        "model": NEW,
        "max_tokens": 50_000,
        "system": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "functions_f_0", "name": "f", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "functions_f_0", "content": "1"},
                {"type": "tool_result", "tool_use_id": "x"},
                {"type": "tool_result", "tool_use_id": "z", "content": "The tool failed.", "is_error": True},
                {"type": "text", "text": "Go on"},
            ]},
            {"role": "assistant", "content": [
                {"type": "text", "text": "No."},
                {"type": "tool_use", "id": "y", "name": "f", "input": {"arguments": '{"cut'}},
            ]},
        ],
    }  # fmt: skip
    assert [len(message.parts) for message in request.messages] == [1, 2, 1, 3, 1, 2, 1, 1, 1, 2]  # it is as it was


def test_instructions_alone_are_said_by_the_user() -> None:
    fields = written(asked(Message(SYSTEM, [Text("Tell a joke.")])))
    assert fields["messages"] == [{"role": "user", "content": "Tell a joke."}]
    assert "system" not in fields


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("claude-3-7-sonnet-20250219", (3, 7)), ("claude-3-opus-20240229", (3, 0)),
        ("claude-sonnet-4-20250514", (4, 0)),
        ("us.anthropic.claude-opus-4-6-v1", (4, 6)), ("anthropic/claude-haiku-4.5", (4, 5)), ("claude-opus-5", (5, 0)),
        ("claude-sonnet-4-5@20250929", (4, 5)), ("claude-mythos-preview", (99, 0)), ("kimi-k2", (0, 0)),
    ],
)  # fmt: skip
def test_a_model_tells_its_version(model: str, version: tuple[int, int]) -> None:
    assert claude.version(model) == version


@pytest.mark.parametrize(
    ("model", "fields", "expected"),
    [
        (OLD, {"effort": "low"}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        (OLD, {"effort": "max", "temperature": 0.5}, {"thinking": {"type": "enabled", "budget_tokens": 40_000}}),
        (OLD, {"thinking_tokens": 60_000}, {"thinking": {"type": "enabled", "budget_tokens": 49_999}}),
        (OLD, {"thinking_tokens": 0, "temperature": 1.7, "top_p": 0.1}, {"temperature": 1.0}),
        (OLD, {"effort": "none", "top_p": 0.1, "top_k": 3}, {"top_p": 0.1, "top_k": 3}),
        (NEW, {"effort": "none", "temperature": 0.5, "top_k": 3}, {"output_config": {"effort": "low"}}),
        (NEW, {"effort": "xhigh"}, {"thinking": SHOWN, "output_config": {"effort": "xhigh"}}),
        (
            "claude-opus-4-6",
            {"effort": "xhigh"},
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        ),
        (NEW, {"thinking_tokens": 5000}, {"thinking": SHOWN, "output_config": {"effort": "medium"}}),
        (NEW, {"thinking_tokens": 0}, {"output_config": {"effort": "low"}}),
        ("claude-opus-4-6", {"temperature": 0.0}, {"temperature": 0.0}),
        ("glm-4.7", {"temperature": 0.2}, {"temperature": 0.2}),
        (NEW, {"seed": 1, "presence": 0.5, "frequency": 0.5}, {}),
    ],
)
def test_a_model_is_told_to_think_as_its_version_takes_it(
    model: str, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    plain = {"model": model, "max_tokens": 50_000, "messages": [{"role": "user", "content": "Hi"}]}
    assert written(asked(**fields), model) == {**plain, **expected}


def test_no_budget_is_given_where_it_would_be_refused() -> None:
    tools = [Tool("f", "", OBJECT)]
    call, result = ToolCall("a", "f", "{}"), Message(TOOL, [ToolResult("a", "f", [])])
    question = Message(USER, [Text("Hi")])
    unsigned = asked(question, Message(ASSISTANT, [call]), result, tools=tools, effort="high")
    signed = asked(question, Message(ASSISTANT, [Thinking("", "sig"), call]), result, tools=tools, effort="high")
    forced = asked(tools=tools, tool_choice="any", effort="high")
    assert "thinking" not in written(unsigned, OLD)
    assert "thinking" in written(signed, OLD)
    assert "thinking" not in written(forced, OLD)
    assert written(forced, NEW)["output_config"] == {"effort": "high"}
    assert "thinking" not in written(forced, NEW)
    assert "thinking" not in written(Request("x", [question], max_tokens=1200, effort="high"), OLD)


def test_tools_are_said() -> None:
    tools = [Tool("f", "does", OBJECT, strict=True), Tool("g", "", {})]
    fields = written(asked(tools=tools, parallel=False))
    assert fields["tools"] == [
        {"name": "f", "description": "does", "strict": True, "input_schema": CLOSED},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
    ]
    assert fields["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert "strict" not in written(asked(tools=tools), "claude-sonnet-4-20250514")["tools"][0]
    assert written(asked(tools=tools, tool_choice="none", parallel=False))["tool_choice"] == {"type": "none"}
    assert "tool_choice" not in written(asked(tool_choice="auto"))


def test_a_form_is_asked_for_as_the_model_takes_it() -> None:
    form = Schema("city", OBJECT)
    assert written(asked(schema=form))["output_config"]["format"]["schema"] == CLOSED
    in_words = written(asked(schema=form), "claude-sonnet-4-20250514")
    assert "output_config" not in in_words
    assert '{"type":"object","properties":{"city"' in in_words["system"]
    assert "one JSON object" in written(asked(json=True))["system"]
    any_keys = written(asked(schema=Schema("map", {"type": "object", "additionalProperties": {"type": "integer"}})))
    assert "output_config" not in any_keys
    assert '"additionalProperties":{"type":"integer"}' in any_keys["system"]


def test_a_schema_is_closed_and_its_bounds_are_said() -> None:
    schema = {
        "$defs": {"Leaf": {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}},
        "type": "object",
        "properties": {
            "leaf": {"$ref": "#/$defs/Leaf"},
            "when": {"type": "string", "format": "date"},
            "mail": {"type": "string", "format": "idn-email", "description": "a mail"},
            "some": {"type": "array", "items": {"oneOf": [{"type": "null"}, {"type": "string"}]}, "minItems": 2},
        },
        "additionalProperties": False,
    }
    assert schemas.closed(schema) == {
        "$defs": {"Leaf": {
            "type": "object",
            "properties": {"n": {"type": "integer", "description": '{"minimum":1}'}},
            "additionalProperties": False,
        }},
        "type": "object",
        "properties": {
            "leaf": {"$ref": "#/$defs/Leaf"},
            "when": {"type": "string", "format": "date"},
            "mail": {"type": "string", "description": 'a mail\n\n{"format":"idn-email"}'},
            "some": {
                "type": "array",
                "items": {"anyOf": [{"type": "null"}, {"type": "string"}]},
                "description": '{"minItems":2}',
            },
        },
        "additionalProperties": False,
    }  # fmt: skip


def test_a_sound_is_not_sent() -> None:
    with pytest.raises(UnsupportedError):
        anthropic.write_request(asked(Message(USER, [Media("audio", data="aa")])), NEW)
