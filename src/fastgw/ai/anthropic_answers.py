"""Decides what an answer of Anthropic's Messages API means, and how an answer is said in it, whole or in events.

https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from .._usage import Usage
from . import errors, reported, sse
from .bodies import json_object
from .canonical import (
    CALL_PROOF,
    FILTERED,
    LENGTH,
    PAUSED,
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

_FINISH_OF = {
    "end_turn": STOP, "stop_sequence": STOP, "max_tokens": LENGTH, "model_context_window_exceeded": LENGTH,
    "tool_use": TOOL_CALLS, "pause_turn": PAUSED, "refusal": REFUSED,
}  # fmt: skip
_REASON_OF = {
    STOP: "end_turn", LENGTH: "max_tokens", TOOL_CALLS: "tool_use", PAUSED: "pause_turn", REFUSED: "refusal",
    FILTERED: "refusal",
}  # fmt: skip

# Providers


class _Block(Struct):
    type: str
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: Raw = Raw(b"{}")


class _StopDetails(Struct):
    explanation: str | None = None


class _Stop(Struct):
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: _StopDetails | None = None

    @property
    def explanation(self) -> str:
        return (self.stop_details and self.stop_details.explanation) or ""


class _Message(_Stop, kw_only=True):
    id: str
    model: str
    content: list[_Block] = []
    usage: Any = None


class _Delta(_Stop):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""


class _Event(Struct):
    type: str
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: Any = None
    error: Any = None


_MESSAGE = msgspec.json.Decoder(_Message)
_EVENT = msgspec.json.Decoder(_Event)


def read_answer(body: bytes) -> Answer:
    """A provider's whole answer. ValueError."""
    message = _MESSAGE.decode(body)
    parts = [part for block in message.content if (part := _part(block))]
    if message.explanation:
        parts.append(Refused(message.explanation))
    finish = _FINISH_OF.get(message.stop_reason or "", STOP)
    usage = reported.anthropic(message.usage) or Usage()
    return Answer(message.id, message.model, parts, finish, usage, message.stop_sequence or "")


def _part(block: _Block) -> Part | None:
    match block.type:
        case "text":
            return Text(block.text)
        case "thinking":
            return Thinking(block.thinking, block.signature)
        case "redacted_thinking":
            return Thinking(block.data, redacted=True)
        case "tool_use":
            return ToolCall(block.id, block.name, bytes(block.input).decode())
    return None


class AnswerReader:
    """Reads a provider's events."""

    def __init__(self) -> None:
        self._events = sse.Events()
        self._usage: Usage | None = None
        self._calls: dict[int, int] = {}  # a call's place among the calls, by that of its block
        self._empty: set[int] = set()  # blocks of calls without any arguments so far

    def feed(self, data: bytes) -> list[Piece]:
        """The pieces that are whole by now. ValueError."""
        return [piece for event in self._events.feed(data) for piece in self._event(_EVENT.decode(event))]

    def finish(self) -> list[Piece]:
        return [piece for event in self._events.finish() for piece in self._event(_EVENT.decode(event))]

    def _event(self, event: _Event) -> list[Piece]:
        if event.type == "content_block_delta" and event.delta:
            return self._delta(event.index, event.delta)
        if event.type == "content_block_start" and event.content_block:
            return self._start(event.index, event.content_block)
        if event.type == "content_block_stop" and event.index in self._empty:
            return [ToolPiece(self._calls[event.index], "{}")]
        if event.type == "message_start" and event.message:
            return [*self._used(event.message.usage), Begin(event.message.id, event.message.model)]
        if event.type == "message_delta" and event.delta:
            return [*self._used(event.usage), *self._stop(event.delta)]
        if event.type == "error":
            return [errors.told_failure(0, {"error": event.error})]
        return []

    def _start(self, index: int, block: _Block) -> list[Piece]:
        if block.type == "tool_use":
            call = self._calls[index] = len(self._calls)
            arguments = bytes(block.input).decode()
            if arguments != "{}":  # some who speak this dialect say all of it at once
                return [ToolBegin(call, block.id, block.name), ToolPiece(call, arguments)]
            self._empty.add(index)
            return [ToolBegin(call, block.id, block.name)]
        if block.type == "redacted_thinking":
            return [ThinkingPiece(block.data, redacted=True)]
        if block.text:
            return [TextPiece(block.text)]
        if block.thinking or block.signature:
            return [ThinkingPiece(block.thinking, block.signature)]
        return []

    def _delta(self, index: int, delta: _Delta) -> list[Piece]:
        if delta.text:
            return [TextPiece(delta.text)]
        if delta.partial_json and index in self._calls:
            self._empty.discard(index)
            return [ToolPiece(self._calls[index], delta.partial_json)]
        if delta.thinking or delta.signature:
            return [ThinkingPiece(delta.thinking, delta.signature)]
        return []

    def _used(self, told: Any) -> list[Piece]:
        """Counts so far: what an event does not say is as it was."""
        self._usage = reported.anthropic(told, self._usage)
        return [Used(self._usage)] if told and self._usage else []

    def _stop(self, delta: _Delta) -> list[Piece]:
        pieces: list[Piece] = [RefusedPiece(delta.explanation)] if delta.explanation else []
        if delta.stop_reason:
            pieces.append(End(_FINISH_OF.get(delta.stop_reason, STOP), delta.stop_sequence or ""))
        return pieces


# Callers


def write_answer(answer: Answer) -> bytes:
    """The body for a caller."""
    message = _message(answer.id, answer.model, answer.usage)
    message["content"] = [block for part in answer.parts for block in _blocks(part)]
    message |= _stop(answer.finish, answer.stop_sequence)
    return msgspec.json.encode(message)


def _message(id: str, model: str, usage: Usage) -> dict[str, Any]:
    return {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**_counts(usage), "service_tier": "standard"},
    }


def _stop(finish: str, stop_sequence: str) -> dict[str, Any]:
    reason = "stop_sequence" if finish == STOP and stop_sequence else _REASON_OF.get(finish, "end_turn")
    return {"stop_reason": reason, "stop_sequence": stop_sequence or None}


def _counts(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": max(usage.input - usage.cached - usage.written, 0),
        "cache_creation_input_tokens": usage.written,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
        **({"output_tokens_details": {"thinking_tokens": usage.reasoning}} if usage.reasoning else {}),
    }


def _blocks(part: Part) -> list[dict[str, Any]]:
    match part:
        case Thinking(redacted=True):
            return [{"type": "redacted_thinking", "data": part.text}]
        case Thinking():
            return [{"type": "thinking", "thinking": part.text, "signature": part.signature}]
        case ToolCall():
            proof = {"type": "thinking", "thinking": "", "signature": CALL_PROOF + part.signature}
            call = {"type": "tool_use", "id": part.id, "name": part.name, "input": json_object(part.arguments)}
            return [proof, call] if part.signature else [call]
        case Text() | Refused():
            return [{"type": "text", "text": part.text}]
    raise ValueError(f"an answer holds a {type(part).__name__}")


class AnswerWriter:
    """Writes the events of an answer: blocks one after the other, each begun and stopped, numbered from 0.

    The last events are for `finish`, because a provider may tell the usage after the end.
    """

    content_type = b"text/event-stream; charset=utf-8"

    def __init__(self, request: Request) -> None:
        self._model = request.model
        self._usage = Usage()
        self._begun = False
        self._open = ""  # the type of the block that has not been stopped
        self._index = -1  # of that block
        self._calls: dict[int, int] = {}  # a call's block, by its place among the calls
        self._end: End | None = None

    def write(self, piece: Piece) -> bytes:
        match piece:
            case TextPiece() | RefusedPiece():
                return self._delta("text", {"type": "text_delta", "text": piece.text}) if piece.text else b""
            case ToolPiece():
                delta = {"type": "input_json_delta", "partial_json": piece.arguments}
                return _delta_event(self._calls[piece.index], delta)
            case ThinkingPiece():
                return self._thinking(piece)
            case ToolBegin():
                return self._call(piece)
            case Used():
                self._usage = piece.usage
            case Begin():
                return self._begin(piece.id, piece.model or self._model)
            case End():
                self._end = piece
                return self._stop()
            case Failure():
                return errors.streamed("anthropic", piece)
        return b""

    def finish(self) -> bytes:
        """The end, where there was one."""
        if self._end is None:
            return b""
        delta = _stop(self._end.finish, self._end.stop_sequence)
        return (
            (b"" if self._begun else self._begin("msg_", self._model))
            + _event("message_delta", delta=delta, usage=_counts(self._usage))
            + _event("message_stop")
        )

    def _begin(self, id: str, model: str) -> bytes:
        self._begun = True
        return _event("message_start", message=_message(id, model, self._usage))

    def _thinking(self, piece: ThinkingPiece) -> bytes:
        if piece.redacted:
            return self._start("redacted_thinking", {"type": "redacted_thinking", "data": piece.text})
        said = b""
        if piece.text:
            said = self._delta("thinking", {"type": "thinking_delta", "thinking": piece.text})
        if piece.signature:
            said += self._delta("thinking", {"type": "signature_delta", "signature": piece.signature}) + self._stop()
        return said

    def _call(self, piece: ToolBegin) -> bytes:
        proof = self._thinking(ThinkingPiece(signature=CALL_PROOF + piece.signature)) if piece.signature else b""
        begun = self._start("tool_use", {"type": "tool_use", "id": piece.id, "name": piece.name, "input": {}})
        self._calls[piece.index] = self._index
        return proof + begun

    def _delta(self, kind: str, delta: dict[str, Any]) -> bytes:
        begun = b""
        if self._open != kind:
            empty = {"text": ""} if kind == "text" else {"thinking": "", "signature": ""}
            begun = self._start(kind, {"type": kind, **empty})
        return begun + _delta_event(self._index, delta)

    def _start(self, kind: str, block: dict[str, Any]) -> bytes:
        stopped = self._stop()
        self._open = kind
        self._index += 1
        ping = _event("ping") if self._index == 0 else b""
        return stopped + _event("content_block_start", index=self._index, content_block=block) + ping

    def _stop(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        return _event("content_block_stop", index=self._index)


def _delta_event(index: int, delta: dict[str, Any]) -> bytes:
    return _event("content_block_delta", index=index, delta=delta)


def _event(name: str, **fields: Any) -> bytes:
    return sse.event(msgspec.json.encode({"type": name, **fields}), name.encode())
