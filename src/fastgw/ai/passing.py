"""Decides what is changed of a call that stays within one dialect, and finds in its answer what it has cost.

Only what must change does: unknown fields and exact numbers survive. The answer passes byte for byte, except what the
gateway has asked for on its own account.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from .._json import ODD, Picker
from .._sse import data_at
from .._usage import Usage
from . import errors, reported, sse
from .canonical import Failure
from .estimate import piece, tokens_of
from .relay import Portion, Relay
from .reported import found_usage, reads_usage

HIDDEN = -1  # instead of a number of tokens: the caller has not asked for this event
SOUND_BYTES = 3_200  # of base64, for a token: 16 bits at 24 kHz
_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,\s*')
# Members that hold what a model has written, wherever they are in an answer.
_WRITTEN = frozenset(
    ("content", "text", "reasoning_content", "reasoning", "refusal", "arguments", "thinking", "partial_json", "delta")
)


_json = msgspec.json.Encoder()


def request(fields: Mapping[str, Raw], changes: Mapping[str, Any]) -> bytes:
    """The body again, with other values for some of its members; None leaves one out."""
    changed: dict[str, Any] = {**fields, **changes}
    return _json.encode({name: value for name, value in changed.items() if value is not None})


def written(told: Any) -> int:
    """Tokens of what a model has written in an answer, or a part of one, of whatever form."""
    if isinstance(told, dict):
        return sum(
            piece(value) if name in _WRITTEN and isinstance(value, str) else written(value)
            for name, value in told.items()
        )
    return sum(map(written, told)) if isinstance(told, list) else 0


def _without_usage(block: bytes) -> bytes:
    """Without the null that stands for usage in every event before the last, and only in structure: a quote within a
    string has a backslash before it."""
    plain = block.replace(b',"usage":null', b"")
    return plain if len(plain) < len(block) or b'"usage"' not in block else _NULL_USAGE.sub(b"", block)


def reads(picker: Picker, block: bytes) -> bool:
    """Have it take in the data of an event; false where that is not plain."""
    at = data_at(block)
    return at >= 0 and picker.read(block, at, len(block) - 2)


class _Whole(Struct):
    usage: Raw = Raw(b"null")


class _Account(Struct):
    usage: reported.Told | None = None


_whole = msgspec.json.Decoder(_Whole)
_account = msgspec.json.Decoder(_Account)


class Passing(Relay):
    """An answer that passes as it is, streamed or not; what is in its events is for a subclass to know."""

    dialect = "openai"
    generates = False
    stop_form = "events"

    def __init__(self, hide_usage: bool = False, searches: int = 0) -> None:
        # What a Relay begins with is nothing, which its fields hold from the first.
        self._blocks: sse.Blocks | None = None
        self._hide = hide_usage
        self._finished = False  # a choice says why it ends
        self._searches = searches  # that the call is sure to make, and that nobody reports

    def whole(self, body: bytes) -> bytes:
        try:
            usage = self._account(body)
        except (msgspec.DecodeError, RecursionError):
            if self.generates and not body.startswith(b"{"):
                raise ValueError("the answer is no JSON object") from None
            self.relayed = -(-len(body) // 4) if self.generates else 0
            return body
        self.usage = self.usage or usage
        self.ended = True
        self.relayed = self.usage.output if self.usage else written(msgspec.json.decode(body))
        return body

    def _account(self, body: bytes) -> Usage | None:
        """The usage in a whole answer. msgspec.DecodeError, RecursionError."""
        if reads_usage(body):
            return self._with_searches(found_usage(self.dialect))
        if self.dialect == "openai":
            try:
                return self.told(_account.decode(body).usage)
            except msgspec.ValidationError:
                pass  # something in it makes no sense
        return self.told(msgspec.json.decode(_whole.decode(body).usage))

    def failed(self, status: int, body: bytes) -> tuple[Failure, bytes]:
        failure = errors.read(status, body)
        try:
            told = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            told = None
        return failure, body if told and isinstance(told, dict) else errors.write(self.dialect, failure)

    def feed(self, data: bytes) -> list[Portion]:
        portions = []
        if self._blocks is None:
            self._blocks = sse.Blocks()
        for block in self._blocks.feed(data):
            tokens = self.plain(block)
            if tokens < 0:
                event = sse.data_of(block)
                tokens = self.event(event) if event else 0
                if tokens < 0:
                    continue
            if self._hide:
                block = self.bare(block)
            self.relayed += tokens
            portions.append(Portion(block, tokens))
        return portions

    def finish(self) -> list[Portion]:
        rest = self._blocks.finish() if self._blocks is not None else b""
        portions = self.feed(rest + b"\n\n") if rest.strip() else []
        if self.ended and self.usage is None:
            self.usage = self.known
        return portions

    def told(self, usage: Any) -> Usage | None:
        """What a provider's account of it says."""
        read = reported.anthropic(usage, self.known) if self.dialect == "anthropic" else reported.openai(usage)
        return self._with_searches(read)

    def _with_searches(self, usage: Usage | None) -> Usage | None:
        if usage is not None and self._searches:
            usage.searches += self._searches
        return usage

    def plain(self, block: bytes) -> int:  # noqa: ARG002
        """Tokens of output in an event that says nothing else that matters, ODD for any other."""
        return ODD

    def bare(self, block: bytes) -> bytes:
        """An event without the null that stands for what the caller has not asked for."""
        return _without_usage(block)

    def event(self, data: bytes) -> int:
        """Tokens of output in what an event carries, or HIDDEN."""
        raise NotImplementedError

    def odd(self, data: bytes) -> int:
        """The same for one that is not as it should be: it passes, and counts as much as it may hold."""
        try:
            told = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError):
            return -(-len(data) // 4)
        if not isinstance(told, dict):
            return -(-len(data) // 4)
        self.known = self.told(told.get("usage")) or self.known
        self.note(told)
        return written(told)

    def note(self, told: Mapping[str, Any]) -> None:
        """An error in mid-stream."""
        if told.get("error"):
            self.failure = errors.told_failure(0, told)

    def stop(self, failure: Failure) -> bytes:
        return errors.streamed(self.stop_form, failure)


# Chat completions, and completions


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct):
    function: _Function | None = None


class _Sound(Struct):
    data: str | None = None
    transcript: str | None = None


class _Delta(Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None
    audio: _Sound | None = None


class _Choice(Struct):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(Struct):
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    x_groq: dict[str, Any] | None = None
    error: Any = None


_chunk = msgspec.json.Decoder(_Chunk)


def _delta_tokens(delta: _Delta) -> int:
    tokens = piece(delta.content) if delta.content else 0
    thought = delta.reasoning_content or delta.reasoning
    if thought:
        tokens += piece(thought)
    if delta.tool_calls:
        tokens += sum(_function_tokens(call.function) for call in delta.tool_calls)
    if delta.refusal:
        tokens += piece(delta.refusal)
    if delta.function_call:
        tokens += _function_tokens(delta.function_call)
    if delta.audio:
        tokens += piece(delta.audio.transcript or "") - (-len(delta.audio.data or "") // SOUND_BYTES)
    return tokens


def _function_tokens(function: _Function | None) -> int:
    return piece(function.name or "") + piece(function.arguments or "") if function else 0


_chunk_picker = Picker(
    "choices[].delta.content", "choices[].text", "choices[].delta.refusal", "choices[].delta.reasoning_content",
    "choices[].delta.reasoning", "choices[].finish_reason", "usage", "x_groq", "error", "choices[].delta.tool_calls",
    "choices[].delta.function_call", "choices[].delta.audio",
)  # fmt: skip
TEXTS, REASONING_CONTENT, REASONING, FINISH_REASON, USAGE, X_GROQ, OTHERS = 3, 3, 4, 5, 6, 7, 12


class Chunks(Passing):
    """Chat completions, and completions."""

    generates = True
    stop_form = "chunks"

    def plain(self, block: bytes) -> int:
        found = _chunk_picker
        if not reads(found, block) or not found.null(USAGE) or found.any(X_GROQ, OTHERS):
            return ODD
        ends = found.size(FINISH_REASON)
        thought = found.size(REASONING_CONTENT)
        if thought <= 0:
            thought = max(found.size(REASONING), thought)
        if ends == ODD or thought == ODD:
            return ODD
        tokens = tokens_of(thought)
        for place in range(TEXTS):
            size = found.size(place)
            if size == ODD:
                return ODD
            tokens += tokens_of(size)
        self._finished = self._finished or ends > 0
        return tokens

    def bare(self, block: bytes) -> bytes:
        if not _chunk_picker.holds(block) or not _chunk_picker.null(USAGE):
            return _without_usage(block)
        return _chunk_picker.without(USAGE, 0, len(block)) if _chunk_picker.has(USAGE) else block

    def event(self, data: bytes) -> int:
        if data == b"[DONE]":
            self.ended = True
            self.usage = self.usage or self.known
            return 0
        try:
            chunk = _chunk.decode(data)
        except (msgspec.DecodeError, RecursionError):
            return self.odd(data)
        tokens = 0
        for choice in chunk.choices or ():
            if choice.delta is not None:
                tokens += _delta_tokens(choice.delta)
            if choice.text:
                tokens += piece(choice.text)
            if choice.finish_reason:
                self._finished = True
        if chunk.usage is not None or chunk.x_groq is not None or chunk.error is not None:
            return self._told(chunk, tokens)
        return tokens

    def _told(self, chunk: _Chunk, tokens: int) -> int:
        if chunk.error is not None:
            self.failure = errors.told_failure(0, {"error": chunk.error})
        usage = self.told(chunk.usage or (chunk.x_groq or {}).get("usage"))
        if usage is not None:
            self.known = usage
        if chunk.usage is None or chunk.choices:
            return tokens
        self.usage = usage
        return HIDDEN if self._hide else tokens

    def finish(self) -> list[Portion]:
        portions = super().finish()
        if self._finished and not self.ended and self.failure is None:  # some send no [DONE]
            self.ended = True
            self.usage = self.usage or self.known
        return portions


# Messages of Anthropic's


class _Block(Struct):
    type: str | None = None
    text: str | None = None
    data: str | None = None
    name: str | None = None


class _Part(Struct):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None


class _Message(Struct):
    usage: dict[str, Any] | None = None


class _MessageEvent(Struct):
    type: str | None = None
    delta: _Part | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_message_event = msgspec.json.Decoder(_MessageEvent)


TYPE = 0
_message_picker = Picker("type", "delta.text", "delta.partial_json", "delta.thinking")
DELTAS, DELTAS_END = 1, 4


class Messages(Passing):
    dialect = "anthropic"
    generates = True
    stop_form = "anthropic"

    def plain(self, block: bytes) -> int:
        found = _message_picker
        if not reads(found, block) or found.string(TYPE) != "content_block_delta":
            return ODD
        written = 0
        for place in range(DELTAS, DELTAS_END):
            size = found.size(place)
            if size == ODD:
                return ODD
            written = written or max(size, 0)
        return tokens_of(written)

    def event(self, data: bytes) -> int:
        try:
            event = _message_event.decode(data)
        except (msgspec.DecodeError, RecursionError):
            return self.odd(data)
        kind = event.type
        if kind == "content_block_delta" and event.delta is not None:
            return piece(event.delta.text or event.delta.partial_json or event.delta.thinking or "")
        if kind == "content_block_start" and event.content_block is not None:
            block = event.content_block
            return piece(block.text or block.data or (block.name if block.type == "tool_use" else "") or "")
        if kind == "message_start" and event.message is not None:
            self.known = self.told(event.message.usage)
        elif kind == "message_delta":
            self.known = self.told(event.usage)
            self.usage = self.known if event.usage else self.usage
        elif kind == "message_stop":
            self.ended = True
        elif event.error is not None:
            self.failure = errors.told_failure(0, {"error": event.error})
        return 0
