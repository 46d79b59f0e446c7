"""Decides which requests and answers the tests of dialects are tried with, beside those that were recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from fastgw._usage import Usage
from fastgw.ai.canonical import (
    ASSISTANT,
    SYSTEM,
    TOOL,
    USER,
    Begin,
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
    Used,
)
from fastgw.ai.translating import Reader

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
names = st.from_regex(r"[a-zA-Z_]{1,12}", fullmatch=True)
ids = names.map("call_".__add__)
arguments = st.dictionaries(names, texts, max_size=2).map(lambda said: str(said).replace("'", '"'))
schemas = st.just({"type": "object", "properties": {"city": {"type": "string"}}})
counts = st.integers(0, 1 << 20)


@st.composite
def usages(draw: Callable[[Any], Any]) -> Usage:
    """What a provider may tell in the dialects of OpenAI."""
    taken, made = draw(counts), draw(counts)
    cached, reasoning = draw(st.integers(0, taken)), draw(st.integers(0, made))
    return Usage(input=taken, cached=cached, output=made, reasoning=reasoning)


def images() -> st.SearchStrategy[Media]:
    data = st.just(Media("image", media_type="image/png", data="iVBORw0KGgo="))
    return data | st.just(Media("image", url="https://example.com/cat.png"))


@st.composite
def requests(draw: Callable[[Any], Any]) -> Request:
    """Requests as every dialect can say them."""
    messages = [Message(SYSTEM, [Text(draw(texts))])] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        said: list[Part] = [Text(draw(texts))]
        if draw(st.booleans()):
            said.append(draw(images()))
        messages.append(Message(USER, said))
        calls = draw(st.lists(st.builds(ToolCall, ids, names, arguments), max_size=2, unique_by=lambda call: call.id))
        messages.append(Message(ASSISTANT, [Text(draw(texts)), *calls]))
        messages += (Message(TOOL, [ToolResult(call.id, call.name, [Text(draw(texts))])]) for call in calls)
    request = Request("m", messages, draw(st.lists(st.builds(Tool, names, texts, schemas), max_size=2)))
    if request.tools:
        request.tool_choice = draw(st.sampled_from(["", "auto", "none", "any", "tool"]))
        request.tool_name = draw(names) if request.tool_choice == "tool" else ""
        request.parallel = draw(st.none() | st.booleans())
    request.max_tokens = draw(st.none() | st.integers(1, 1 << 20))
    request.temperature = draw(st.none() | st.floats(0, 2))
    request.schema = draw(st.none() | st.builds(Schema, names, schemas, st.booleans(), texts))
    request.user = draw(st.just("") | names)
    request.stream = draw(st.booleans())
    return request


@st.composite
def answers(draw: Callable[[Any], Any]) -> list[Part]:
    """The parts of answers, in the order in which they are said."""
    parts: list[Part] = [Thinking(draw(texts), draw(st.just("") | names))] if draw(st.booleans()) else []
    if draw(st.booleans()):
        parts.append(Text(draw(texts)))
    parts += draw(st.lists(st.builds(ToolCall, ids, names, arguments), max_size=2, unique_by=lambda call: call.id))
    return parts


def pieces_of(parts: Iterable[Part]) -> list[Piece]:
    """The same, as a provider streams it."""
    pieces: list[Piece] = []
    calls = 0
    for part in parts:
        match part:
            case Text():
                pieces += (TextPiece(letter) for letter in part.text)
            case Thinking():
                pieces += (ThinkingPiece(letter) for letter in part.text)
                if part.signature:
                    pieces.append(ThinkingPiece(signature=part.signature))
            case ToolCall():
                pieces.append(ToolBegin(calls, part.id, part.name, part.signature))
                pieces += (ToolPiece(calls, letter) for letter in part.arguments)
                calls += 1
            case Refused():
                pieces.append(RefusedPiece(part.text))
    return pieces


def parts_of(pieces: Iterable[Piece]) -> tuple[list[Part], Usage | None, str]:
    """What pieces come to, with the last usage and why it ended."""
    parts: list[Part] = []
    calls: list[ToolCall] = []
    usage, finish = None, ""
    for piece in pieces:
        last = parts[-1] if parts else None
        match piece:
            case TextPiece() if isinstance(last, Text):
                last.text += piece.text
            case TextPiece():
                parts.append(Text(piece.text))
            case ThinkingPiece() if isinstance(last, Thinking) and not last.signature and not piece.redacted:
                last.text += piece.text
                last.signature = piece.signature
            case ThinkingPiece():
                parts.append(Thinking(piece.text, piece.signature, piece.redacted))
            case RefusedPiece() if isinstance(last, Refused):
                last.text += piece.text
            case RefusedPiece():
                parts.append(Refused(piece.text))
            case ToolBegin():
                assert piece.index == len(calls)
                calls.append(ToolCall(piece.id, piece.name, "", piece.signature))
                parts.append(calls[-1])
            case ToolPiece():
                calls[piece.index].arguments += piece.arguments
            case Used():
                usage = piece.usage
            case End():
                assert not finish
                finish = piece.finish
            case Begin() | Failure():
                pass
    return parts, usage, finish


def read(reader: Reader, stream: bytes, *at: int) -> list[Piece]:
    """The pieces of a stream that is cut at these places."""
    edges = [0, *at, len(stream)]
    found = [piece for start, end in pairwise(edges) for piece in reader.feed(stream[start:end])]
    return found + reader.finish()
