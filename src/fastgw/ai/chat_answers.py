"""Decides what a chat completion means, and how an answer is said as one, whole or in chunks.

https://platform.openai.com/docs/api-reference/chat/object and /chat-streaming, and what other providers make of them:
thoughts in one of three members, content in parts, calls without an index or whole at once, no [DONE].
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from .._usage import Usage
from . import errors, reported, sse
from .bodies import given
from .canonical import (
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
from .chat_requests import shown_call

_FINISH_OF = {
    "stop": STOP, "length": LENGTH, "tool_calls": TOOL_CALLS, "function_call": TOOL_CALLS, "content_filter": FILTERED,
}  # fmt: skip
_REASON_OF = {
    STOP: "stop", LENGTH: "length", TOOL_CALLS: "tool_calls", FILTERED: "content_filter", REFUSED: "content_filter",
    PAUSED: "stop",
}  # fmt: skip

# Providers


class _Function(Struct):
    name: str | None = None
    arguments: Any = None

    @property
    def text(self) -> str:
        """The arguments; a few providers send the object itself."""
        if isinstance(self.arguments, str):
            return self.arguments
        return msgspec.json.encode(self.arguments).decode() if self.arguments is not None else ""


class _Google(Struct):
    thought_signature: str | None = None


class _Extra(Struct):
    google: _Google | None = None


class _Call(Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    extra_content: _Extra | None = None

    @property
    def signature(self) -> str:
        google = self.extra_content.google if self.extra_content else None
        return (google and google.thought_signature) or ""


class _Detail(Struct):
    type: str = ""
    text: str | None = None
    signature: str | None = None
    data: str | None = None


class _Said(Struct):
    """A message, or more of one."""

    content: str | list[Any] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[_Detail] | None = None
    tool_calls: list[_Call] | None = None

    @property
    def plain(self) -> str:
        """A thought as it is told without proof."""
        listed = self.content if isinstance(self.content, list) else []  # Mistral's
        return self.reasoning_content or self.reasoning or "".join(_texts(listed, "thinking"))

    def thoughts(self) -> Iterator[Thinking]:
        """Thoughts of a whole message: those with a proof hold them all, or the one told plainly is theirs."""
        text = "" if any(detail.text for detail in self.reasoning_details or ()) else self.plain
        for piece in self.proofs():
            yield Thinking(piece.text or text, piece.signature, piece.redacted)
            text = text if piece.redacted else ""
        if text:
            yield Thinking(text)

    def proofs(self) -> Iterator[ThinkingPiece]:
        for detail in self.reasoning_details or ():
            if detail.type == "reasoning.encrypted" and detail.data:
                yield ThinkingPiece(detail.data, redacted=True)
            elif detail.type == "reasoning.text" and (detail.text or detail.signature):
                yield ThinkingPiece(detail.text or "", detail.signature or "")

    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(_texts(self.content, "text"))
        return self.content or ""


def _texts(parts: list[Any], kind: str) -> Iterator[str]:
    """What the parts of a kind say, which may be parts again."""
    for part in parts:
        said = part.get(kind) if isinstance(part, dict) and part.get("type") == kind else None
        if isinstance(said, list):
            yield from _texts(said, "text")
        elif isinstance(said, str):
            yield said


class _Choice(Struct):
    index: int = 0
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None


class _Completion(Struct):
    """A completion, or a chunk of one."""

    id: str | None = None
    model: str | None = None
    created: float | None = None
    choices: list[_Choice] | None = None
    usage: Any = None
    x_groq: Any = None
    error: Any = None

    def used(self) -> Usage | None:
        told = self.usage or (self.x_groq.get("usage") if isinstance(self.x_groq, dict) else None)
        return reported.openai(told)


_COMPLETION = msgspec.json.Decoder(_Completion)


def read_answer(body: bytes) -> Answer:
    """A provider's whole answer. ValueError."""
    completion = _COMPLETION.decode(body)
    if not completion.choices:
        raise ValueError(f"an answer without choices: {errors.told_failure(0, {'error': completion.error}).message}")
    choice = completion.choices[0]
    said = choice.message or _Said()
    parts: list[Part] = [*said.thoughts()]
    if text := said.text():
        parts.append(Text(text))
    if said.refusal:
        parts.append(Refused(said.refusal))
    for number, call in enumerate(said.tool_calls or ()):
        function = call.function or _Function()
        parts.append(ToolCall(call.id or f"call_{number}", function.name or "", function.text, call.signature))
    finish = _finish(choice.finish_reason, called=bool(said.tool_calls))
    usage = completion.used() or Usage()
    return Answer(
        completion.id or "", completion.model or "", parts, finish, usage, created_s=int(completion.created or 0)
    )


def _finish(reason: str | None, *, called: bool) -> str:
    """Why it ended: some say "stop" after tool calls too, or nothing at all."""
    finish = _FINISH_OF.get(reason or "", STOP)
    return TOOL_CALLS if called and finish == STOP else finish


class AnswerReader:
    """Reads a provider's chunks; of several choices, the first."""

    def __init__(self) -> None:
        self._events = sse.Events()
        self._begun = False
        self._ended = False
        self._calls: dict[int, tuple[str, int]] = {}  # (id, place) of the last call with this index
        self._plain = False  # thoughts are told without proof too
        self._called = 0
        self._last = 0  # index that more arguments without one belong to

    def feed(self, data: bytes) -> list[Piece]:
        """The pieces that are whole by now. ValueError."""
        return [piece for event in self._events.feed(data) for piece in self._event(event)]

    def finish(self) -> list[Piece]:
        return [piece for event in self._events.finish() for piece in self._event(event)]

    def _event(self, event: bytes) -> Iterator[Piece]:
        if event == b"[DONE]":
            return
        chunk = _COMPLETION.decode(event)
        if chunk.error is not None:
            yield errors.told_failure(0, {"error": chunk.error})
            return
        if not self._begun and (chunk.id or chunk.choices):
            self._begun = True
            yield Begin(chunk.id or "", chunk.model or "")
        if (usage := chunk.used()) is not None:
            yield Used(usage)
        for choice in chunk.choices or ():
            if choice.index == 0:
                yield from self._said(choice.delta or choice.message or _Said())
                if choice.finish_reason and not self._ended:
                    self._ended = True
                    yield End(_finish(choice.finish_reason, called=self._called > 0))

    def _said(self, said: _Said) -> Iterator[Piece]:
        yield from self._thoughts(said)
        if text := said.text():
            yield TextPiece(text)
        if said.refusal:
            yield RefusedPiece(said.refusal)
        for call in said.tool_calls or ():
            yield from self._call(call)

    def _thoughts(self, said: _Said) -> Iterator[Piece]:
        if text := said.plain:
            self._plain = True
            yield ThinkingPiece(text)
        for piece in said.proofs():
            text = "" if self._plain and not piece.redacted else piece.text
            if text or piece.signature:
                yield ThinkingPiece(text, piece.signature, piece.redacted)

    def _call(self, call: _Call) -> Iterator[Piece]:
        """A call begins with an index not seen before, or with another id: some count none, or always from 0."""
        index = self._last if call.index is None and not call.id else call.index or 0
        function = call.function or _Function()
        known = self._calls.get(index)
        if known is None or (call.id and function.name and call.id != known[0]):
            place = self._called
            known = self._calls[index] = (call.id or f"call_{place}", place)
            self._called += 1
            yield ToolBegin(place, known[0], function.name or "", call.signature)
        self._last = index
        if function.text:
            yield ToolPiece(known[1], function.text)


# Callers


def shown_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached,
            "audio_tokens": usage.audio_in,
            **given(cache_write_tokens=usage.written or None),
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.audio_out,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _detail(thought: Thinking, index: int) -> dict[str, Any]:
    """A thought with its proof, for clients to send back."""
    if thought.redacted:
        return {"type": "reasoning.encrypted", "index": index, "data": thought.text}
    return {"type": "reasoning.text", "index": index, "text": thought.text, "signature": thought.signature}


def write_answer(answer: Answer) -> bytes:
    """The body for a caller."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    for part in answer.parts:
        match part:
            case Text():
                message["content"] = (message["content"] or "") + part.text
            case Refused():
                message["refusal"] = (message["refusal"] or "") + part.text
            case ToolCall():
                message.setdefault("tool_calls", []).append(shown_call(part))
            case Thinking():
                if not part.redacted:
                    message["reasoning_content"] = message.get("reasoning_content", "") + part.text
                if part.signature or part.redacted:
                    details = message.setdefault("reasoning_details", [])
                    details.append(_detail(part, len(details)))
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _REASON_OF[answer.finish]}
    return msgspec.json.encode(
        {
            "id": answer.id,
            "object": "chat.completion",
            "created": answer.created_s or int(time.time()),
            "model": answer.model,
            "choices": [choice],
            "usage": shown_usage(answer.usage),
        }
    )


class AnswerWriter:
    """Writes the chunks of an answer. The reason of its end is for `finish`, and what it has used comes after that."""

    content_type = b"text/event-stream; charset=utf-8"

    def __init__(self, request: Request) -> None:
        self._common: dict[str, Any] = {
            "id": "chatcmpl-", "object": "chat.completion.chunk", "created": int(time.time()), "model": request.model,
        }  # fmt: skip
        self._wants_usage = request.wants_usage
        self._usage = Usage()
        self._begun = False
        self._thought = ""  # so far, without its proof
        self._proved = 0
        self._end: End | None = None

    def write(self, piece: Piece) -> bytes:
        match piece:
            case TextPiece():
                return self._delta(content=piece.text)
            case ToolPiece():
                return self._delta(tool_calls=[{"index": piece.index, "function": {"arguments": piece.arguments}}])
            case ThinkingPiece():
                return self._thinking(piece)
            case ToolBegin():
                call = shown_call(ToolCall(piece.id, piece.name, "", piece.signature))
                return self._delta(tool_calls=[{"index": piece.index, **call}])
            case RefusedPiece():
                return self._delta(refusal=piece.text)
            case Begin():
                self._common |= {"id": piece.id or "chatcmpl-", "model": piece.model or self._common["model"]}
                return self._begin()
            case Used():
                self._usage = piece.usage
            case End():
                self._end = piece
            case Failure():
                return errors.streamed("chunks", piece)
        return b""

    def finish(self) -> bytes:
        """The end, where there was one."""
        if self._end is None:
            return b""
        ended = self._chunk([_choice({}, _REASON_OF[self._end.finish])])
        used = self._chunk([], usage=shown_usage(self._usage)) if self._wants_usage else b""
        return (b"" if self._begun else self._begin()) + ended + used + sse.DONE

    def _begin(self) -> bytes:
        self._begun = True
        return self._chunk([_choice({"role": "assistant", "content": "", "refusal": None})])

    def _thinking(self, piece: ThinkingPiece) -> bytes:
        """A proof comes with all of the thought, so that a client that keeps these keeps both."""
        delta: dict[str, Any] = {}
        if not piece.redacted:
            self._thought += piece.text
            delta = given(reasoning_content=piece.text)
        if piece.redacted or piece.signature:
            thought = Thinking(piece.text if piece.redacted else self._thought, piece.signature, piece.redacted)
            delta["reasoning_details"] = [_detail(thought, self._proved)]
            self._proved += 1
            self._thought = ""
        return self._delta(**delta) if delta else b""

    def _delta(self, **delta: Any) -> bytes:
        return (b"" if self._begun else self._begin()) + self._chunk([_choice(delta)])

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        used = {"usage": usage} if self._wants_usage else {}
        return sse.event(msgspec.json.encode({**self._common, "choices": choices, **used}))


def _choice(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
