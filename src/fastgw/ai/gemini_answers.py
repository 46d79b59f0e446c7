"""Decides what an answer of Gemini means, whole or in events, and what its errors do.

https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Raw, Struct

from .._usage import Usage
from . import errors, sse
from .canonical import (
    FILTERED,
    LENGTH,
    PAUSED,
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
from .reported import COUNT_MAX, count

# Any reason that is not here has kept the answer from being whole: the content was not let through, or a call not made.
_FINISH_OF = {
    "STOP": STOP, "FINISH_REASON_UNSPECIFIED": STOP, "OTHER": STOP, "MAX_TOKENS": LENGTH, "CONTINUATION": PAUSED,
}  # fmt: skip
# The reasons of an error's details that say more than its status: a key that is wrong is answered with a 400.
_KIND_OF = {
    "API_KEY_INVALID": errors.AUTHENTICATION,
    "API_KEY_EXPIRED": errors.AUTHENTICATION,
    "BILLING_DISABLED": errors.QUOTA,
}
_DELAY = re.compile(r"(\d{1,7})(\.\d+)?s")  # a google.protobuf.Duration


class _Call(Struct):
    name: str = ""
    id: str | None = None
    args: Raw = Raw(b"null")

    @property
    def arguments(self) -> str:
        text = msgspec.json.format(self.args, indent=-1).decode()
        return "{}" if text == "null" else text


class _Part(Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _Call | None = None


class _Content(Struct):
    parts: list[_Part] | None = None


class _Candidate(Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None

    @property
    def parts(self) -> list[_Part]:
        return (self.content and self.content.parts) or []


class _Feedback(Struct, rename="camel"):
    block_reason: str | None = None


class _Response(Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: Any = None
    model_version: str | None = None
    response_id: str | None = None
    error: Any = None

    @property
    def candidate(self) -> _Candidate | None:
        """The first of the answers; a prompt that is not let through has none, and its reason is the answer's."""
        if self.candidates:
            return self.candidates[0]
        blocked = self.prompt_feedback and self.prompt_feedback.block_reason
        return _Candidate(finish_reason=blocked) if blocked else None


class _Count(Struct, rename="camel"):
    total_tokens: int


_RESPONSE = msgspec.json.Decoder(_Response)
_COUNT = msgspec.json.Decoder(_Count)


def read_count(body: bytes) -> int:
    """How many tokens a provider counts. ValueError."""
    return _COUNT.decode(body).total_tokens


def usage(told: Any) -> Usage | None:
    """What the provider tells of usage; what was thought is not among the candidates' tokens.

    Where the total is more than its parts, the rest was generated too.
    """
    taken, made = count(told, "promptTokenCount"), count(told, "candidatesTokenCount")
    thought, total = count(told, "thoughtsTokenCount"), count(told, "totalTokenCount")
    if taken is None and made is None and thought is None:
        return None
    input = (taken or 0) + (count(told, "toolUsePromptTokenCount") or 0)
    output = max((made or 0) + (thought or 0), (total or 0) - input)
    cached = min(count(told, "cachedContentTokenCount") or 0, input)
    audio_cached = _audio(told, "cacheTokensDetails")
    return Usage(
        input=min(input, COUNT_MAX),
        cached=cached,
        audio_in=max(_audio(told, "promptTokensDetails") - audio_cached, 0),
        output=min(output, COUNT_MAX),
        reasoning=min(thought or 0, output),
        audio_out=_audio(told, "candidatesTokensDetails"),
    )


def _audio(told: Any, name: str) -> int:
    details = told.get(name)
    rows = details if isinstance(details, list) else []
    return sum(
        count(row, "tokenCount") or 0 for row in rows if isinstance(row, dict) and row.get("modality") == "AUDIO"
    )


def read_answer(body: bytes) -> Answer:
    """A provider's whole answer. ValueError."""
    response = _RESPONSE.decode(body)
    candidate = response.candidate
    if candidate is None:
        raise ValueError("the answer has neither a candidate nor a reason for that")
    names = _Ids(response)
    parts = [part for each in candidate.parts if (part := _part(each, names))]
    used = usage(response.usage_metadata) or Usage()
    return Answer(names.answer, response.model_version or "", parts, names.finish(candidate.finish_reason or ""), used)


def _part(part: _Part, names: _Ids) -> Part | None:
    if call := part.function_call:
        return ToolCall(names.of(call), call.name, call.arguments, part.thought_signature or "")
    if not part.text:
        return None
    return Thinking(part.text) if part.thought else Text(part.text)


class _Ids:
    """The ids of an answer and of its calls, which may have none of their own."""

    def __init__(self, response: _Response) -> None:
        self.answer = response.response_id or uuid4().hex
        self.calls = 0

    def of(self, call: _Call) -> str:
        self.calls += 1
        return call.id or f"call_{self.answer}_{self.calls - 1}"

    def finish(self, reason: str) -> str:
        finish = _FINISH_OF.get(reason, FILTERED)
        return TOOL_CALLS if finish == STOP and self.calls else finish


class AnswerReader:
    """Reads a provider's events: each is an answer that goes on, with the usage so far. Calls come whole."""

    def __init__(self) -> None:
        self._events = sse.Events()
        self._ids: _Ids | None = None

    def feed(self, data: bytes) -> list[Piece]:
        """The pieces that are whole by now. ValueError."""
        return [piece for event in self._events.feed(data) for piece in self._event(event)]

    def finish(self) -> list[Piece]:
        return [piece for event in self._events.finish() for piece in self._event(event)]

    def _event(self, event: bytes) -> list[Piece]:
        response = _RESPONSE.decode(event)
        if response.error:
            return [_failure(0, {"error": response.error})]
        pieces: list[Piece] = []
        if used := usage(response.usage_metadata):
            pieces.append(Used(used))
        if self._ids is None:
            self._ids = _Ids(response)
            pieces.append(Begin(self._ids.answer, response.model_version or ""))
        if candidate := response.candidate:
            for part in candidate.parts:
                pieces += _pieces(part, self._ids)
            if candidate.finish_reason:
                pieces.append(End(self._ids.finish(candidate.finish_reason)))
        return pieces


def _pieces(part: _Part, ids: _Ids) -> list[Piece]:
    if call := part.function_call:
        index, id = ids.calls, ids.of(call)
        return [ToolBegin(index, id, call.name, part.thought_signature or ""), ToolPiece(index, call.arguments)]
    if not part.text:
        return []
    return [ThinkingPiece(part.text) if part.thought else TextPiece(part.text)]


def read_error(status: int, body: bytes) -> Failure:
    """What the provider says has gone wrong."""
    try:
        return _failure(status, msgspec.json.decode(body))
    except (ValueError, RecursionError):
        return errors.read(status, body)


def _failure(status: int, told: Any) -> Failure:
    failure = errors.told_failure(status, told)
    told = told[0] if isinstance(told, list) and told else told
    error = told.get("error") if isinstance(told, dict) else None
    if not isinstance(error, dict):
        return failure
    failure.code = str(error.get("status") or failure.code)
    details = error.get("details")
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict):
            failure.kind = _KIND_OF.get(str(detail.get("reason")), failure.kind)
            if delay := _DELAY.fullmatch(str(detail.get("retryDelay"))):
                failure.retry_after_s = int(delay[1]) + (delay[2] is not None)
    return failure
