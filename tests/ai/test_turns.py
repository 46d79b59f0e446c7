"""Whatever is asked, providers where two sides take turns get turns of two sides, with nothing blank in them."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
import samples
from hypothesis import given, settings

from fastgw.ai import anthropic, bedrock, gemini, turns
from fastgw.ai.canonical import ASSISTANT, SYSTEM, USER, Media, Message, Request, Text, ToolResult

WRITERS: dict[str, tuple[Any, str, str]] = {  # the module, a model, the member that holds the turns
    "anthropic": (anthropic, "claude-opus-4-8", "messages"),
    "gemini": (gemini, "gemini-3.5-flash", "contents"),
    "bedrock": (bedrock, "us.anthropic.claude-opus-4-8-v1:0", "messages"),
}


def blank(value: Any) -> bool:
    """Whether a text of a turn, or of a result in it, says nothing."""
    if isinstance(value, dict):
        texts = [text for name, text in value.items() if name == "text" and isinstance(text, str)]
        return any(not text.strip() for text in texts) or any(map(blank, value.values()))
    return isinstance(value, list) and any(map(blank, value))


@pytest.mark.parametrize("dialect", WRITERS)
@settings(max_examples=50)
@given(samples.requests())
def test_two_sides_take_turns(dialect: str, request: Request) -> None:
    module, model, member = WRITERS[dialect]
    for part in (part for message in request.messages for part in message.parts if isinstance(part, Media)):
        part.url, part.media_type, part.data = "", "image/png", "iVBORw0KGgo="
    before = msgspec.json.encode(request)
    said = msgspec.json.decode(module.write_request(request, model)).get(member, [])
    assert msgspec.json.encode(request) == before  # fallback writes it again
    assert not said or said[0]["role"] == "user"
    assert all(one["role"] != other["role"] for one, other in pairwise(said))
    assert all(turn.get("content", turn.get("parts")) for turn in said)
    assert not blank(said)


def test_an_assistant_may_greet_first() -> None:
    request = Request(
        "m", [Message(SYSTEM, [Text("A")]), Message(ASSISTANT, [Text("Welcome")]), Message(USER, [Text("Hi")])]
    )
    assert [turn.role for turn in turns.of(request).turns] == [USER, ASSISTANT, USER]


@settings(max_examples=50)
@given(samples.requests())
def test_a_request_is_the_same_said_to_anthropic_and_read_again(request: Request) -> None:
    request.temperature = None
    request.max_tokens = request.max_tokens or 9
    again = anthropic.read_request(anthropic.write_request(request, "claude-opus-4-8"))

    def said(one: Request) -> list[Message]:
        """The messages without what Anthropic does not take, those of one role in one."""
        found: list[Message] = []
        for message in one.messages:
            parts = [part for part in message.parts if not isinstance(part, Text) or part.text.strip()]
            if parts and found and found[-1].role == message.role and not isinstance(parts[0], ToolResult):
                found[-1].parts += parts
            elif parts:
                found.append(Message(message.role, parts))
        return found

    expected = [message.role for message in said(request)]
    found = [message.role for message in said(again) if message.parts != [Text(turns.GREETING)]]
    assert found == expected or set(expected) <= {SYSTEM}
    assert [tool.name for tool in again.tools] == [tool.name for tool in request.tools]
    assert (again.max_tokens, again.stream) == (request.max_tokens, request.stream)
