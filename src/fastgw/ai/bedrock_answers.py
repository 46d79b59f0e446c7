"""Decides what an answer of Amazon Bedrock's Converse means, whole or in events, and what its errors do.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html. Bedrock names neither the
answer nor the model in it.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Raw, Struct

from .._usage import Usage
from . import errors
from .canonical import (
    FILTERED,
    LENGTH,
    STOP,
    TOOL_CALLS,
    Answer,
    Begin,
    End,
    Failure,
    Part,
    Piece,
    Text,
    TextPiece,
    Thinking,
    ThinkingPiece,
    ToolBegin,
    ToolCall,
    ToolPiece,
    Used,
)
from .eventstream import Message, Messages
from .reported import COUNT_MAX, count

_FINISH_OF = {
    "end_turn": STOP, "stop_sequence": STOP, "tool_use": TOOL_CALLS, "max_tokens": LENGTH,
    "model_context_window_exceeded": LENGTH, "guardrail_intervened": FILTERED, "content_filtered": FILTERED,
    "malformed_model_output": FILTERED, "malformed_tool_use": FILTERED,
}  # fmt: skip
# What a status does not say, or says otherwise than elsewhere.
_KIND_OF = {
    "validationexception": errors.INVALID,
    "throttlingexception": errors.RATE_LIMIT,
    "modelnotreadyexception": errors.OVERLOADED,
    "serviceunavailableexception": errors.OVERLOADED,
    "modeltimeoutexception": errors.TIMEOUT,
    "modelerrorexception": errors.SERVER,
    "modelstreamerrorexception": errors.SERVER,
    "internalserverexception": errors.SERVER,
}
# Of a key or a signature that AWS does not take, which has the status of a call that is not allowed.
_KEY_PHRASES = ("security token", "signature we calculated", "api key")
_FAILED_DEPENDENCY = 424  # the model failed, not the caller


class _Thought(Struct):
    text: str = ""
    signature: str = ""


class _Reasoning(Struct, rename="camel"):
    """Of a whole answer with `reasoning_text`, of an event with `text` and `signature`."""

    reasoning_text: _Thought | None = None
    text: str = ""
    signature: str = ""
    redacted_content: str = ""


class _ToolUse(Struct, rename="camel"):
    tool_use_id: str = ""
    name: str = ""
    input: Raw = Raw(b"{}")


class _Block(Struct, rename="camel"):
    text: str | None = None
    tool_use: _ToolUse | None = None
    reasoning_content: _Reasoning | None = None


class _Message(Struct):
    content: list[_Block]


class _Output(Struct):
    message: _Message


class _Answer(Struct, rename="camel"):
    output: _Output
    stop_reason: str
    usage: Any = None


class _Event(Struct, rename="camel"):
    content_block_index: int = 0
    start: _Block | None = None
    delta: _Block | None = None
    stop_reason: str = ""
    usage: Any = None
    message: str = ""


_ANSWER = msgspec.json.Decoder(_Answer)
_EVENT = msgspec.json.Decoder(_Event)
_TEXT = msgspec.json.Decoder(str)


def usage(told: Any) -> Usage | None:
    """What the provider tells of usage; `inputTokens` is what was neither read from the cache nor written to it."""
    plain, made = count(told, "inputTokens"), count(told, "outputTokens")
    if plain is None and made is None:
        return None
    cached = count(told, "cacheReadInputTokens") or 0
    written = count(told, "cacheWriteInputTokens") or 0
    details = told.get("cacheDetails")
    rows = details if isinstance(details, list) else []
    lasting = sum(count(row, "inputTokens") or 0 for row in rows if isinstance(row, dict) and row.get("ttl") == "1h")
    return Usage(
        input=min((plain or 0) + cached + written, COUNT_MAX),
        cached=cached,
        written=written,
        written_long=min(lasting, written),
        output=made or 0,
    )


def read_answer(body: bytes) -> Answer:
    """A provider's whole answer. ValueError."""
    answer = _ANSWER.decode(body)
    parts = [part for block in answer.output.message.content if (part := _part(block))]
    finish = _FINISH_OF.get(answer.stop_reason, STOP)
    return Answer(_name(), "", parts, finish, usage(answer.usage) or Usage())


def _name() -> str:
    return f"bedrock_{uuid4().hex}"


def _part(block: _Block) -> Part | None:
    if thought := block.reasoning_content:
        if thought.redacted_content:
            return Thinking(thought.redacted_content, redacted=True)
        said = thought.reasoning_text or _Thought()
        return Thinking(said.text, said.signature)
    if call := block.tool_use:
        return ToolCall(call.tool_use_id, call.name, bytes(call.input).decode())
    return Text(block.text) if block.text else None


class AnswerReader:
    """Reads a provider's event stream. What was used is told after the end."""

    def __init__(self) -> None:
        self._messages = Messages()
        self._calls: dict[int, int] = {}  # a call's place among the calls, by that of its block
        self._empty: set[int] = set()  # blocks of calls without any arguments so far

    def feed(self, data: bytes) -> list[Piece]:
        """The pieces that are whole by now. ValueError."""
        return [piece for message in self._messages.feed(data) for piece in self._message(message)]

    def finish(self) -> list[Piece]:
        if not self._messages.whole:
            raise ValueError("the event stream was cut within a message")
        return []

    def _message(self, message: Message) -> list[Piece]:
        headers = message.headers
        if headers.get(":message-type") != "event":
            kind = headers.get(":exception-type") or headers.get(":error-code", "")
            return [_failure(0, kind, headers.get(":error-message", ""), message.payload)]
        event = _EVENT.decode(message.payload)
        index = event.content_block_index
        match headers.get(":event-type"):
            case "messageStart":
                return [Begin(_name(), "")]
            case "contentBlockStart" if event.start and event.start.tool_use:
                return self._start(index, event.start.tool_use)
            case "contentBlockDelta" if event.delta:
                return self._delta(index, event.delta)
            case "contentBlockStop" if index in self._empty:
                return [ToolPiece(self._calls[index], "{}")]
            case "messageStop":
                return [End(_FINISH_OF.get(event.stop_reason, STOP))]
            case "metadata" if used := usage(event.usage):
                return [Used(used)]
        return []

    def _start(self, index: int, call: _ToolUse) -> list[Piece]:
        self._calls[index] = len(self._calls)
        self._empty.add(index)
        return [ToolBegin(self._calls[index], call.tool_use_id, call.name)]

    def _delta(self, index: int, delta: _Block) -> list[Piece]:
        if delta.text:
            return [TextPiece(delta.text)]
        if delta.tool_use and index in self._calls:
            arguments = _TEXT.decode(delta.tool_use.input)
            self._empty -= {index} if arguments else set()
            return [ToolPiece(self._calls[index], arguments)] if arguments else []
        if thought := delta.reasoning_content:
            if thought.redacted_content:
                return [ThinkingPiece(thought.redacted_content, redacted=True)]
            return [ThinkingPiece(thought.text, thought.signature)]
        return []


def read_error(status: int, body: bytes) -> Failure:
    """What the provider says has gone wrong; the kind of its exception is in a header, or in the body of some."""
    return _failure(status, "", "", body)


def _failure(status: int, kind: str, message: str, body: bytes) -> Failure:
    try:
        told = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        told = None
    told = told if isinstance(told, dict) else {}
    kind = (kind or str(told.get("__type", ""))).rpartition("#")[2].partition(":")[0]
    failure = errors.told_failure(status, {"message": message or told.get("message") or told.get("Message")})
    found = _KIND_OF.get(kind.lower()) or (errors.SERVER if status == _FAILED_DEPENDENCY else failure.kind)
    if found == errors.PERMISSION and any(phrase in failure.message.lower() for phrase in _KEY_PHRASES):
        found = errors.AUTHENTICATION
    return Failure(status or errors.status_of(found), found, failure.message, kind)
