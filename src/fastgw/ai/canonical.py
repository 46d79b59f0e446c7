"""Decides what a conversation with a model is made of, whatever dialect it is spoken in.

A request of one dialect is read into these values and written in another, and so is the answer, whole or in pieces.
Calls that stay within one dialect are not taken apart like that: see `passing`.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from .._usage import Usage

# Roles of messages. What a system or developer message says stands before the rest wherever a dialect wants it so.
SYSTEM, USER, ASSISTANT, TOOL = "system", "user", "assistant", "tool"

# Why an answer ended.
STOP, LENGTH, TOOL_CALLS, FILTERED, REFUSED, PAUSED = "stop", "length", "tool_calls", "filtered", "refused", "paused"


class BodyError(ValueError):
    """A request is not what its endpoint takes; `parameter` is the path of what is wrong in it, or ""."""

    def __init__(self, message: str, parameter: str = "") -> None:
        super().__init__(message)
        self.parameter = parameter


class UnsupportedError(BodyError):
    """A request is fine, but what `parameter` asks for cannot be said in the provider's dialect, and means too much to
    be left out."""


# The parts of messages and answers

# A dialect whose tool calls have no room for the signature of the thought behind them carries it in a thought before
# the call, whose own signature is this and then the call's.
CALL_PROOF = "fastgw-call:"


class Text(Struct):
    text: str
    cache: str = ""  # "5m" or "1h" where the provider is to cache what comes up to here


class Media(Struct):
    """An image, a document or a sound: `data` in base64 of the type `media_type`, or a `url`, or the provider's own
    `file_id`."""

    kind: str  # "image", "document", "audio"
    media_type: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""
    name: str = ""
    detail: str = ""
    cache: str = ""


class Thinking(Struct):
    """What a model thought; `signature` is the provider's proof of it, `redacted` says that `text` is sealed data."""

    text: str = ""
    signature: str = ""
    redacted: bool = False


class ToolCall(Struct):
    id: str
    name: str
    arguments: str  # JSON, as the model wrote it
    signature: str = ""  # of the thought behind it (Gemini)
    cache: str = ""


class ToolResult(Struct):
    id: str
    name: str
    parts: list[Text | Media]
    failed: bool = False
    cache: str = ""


class Refused(Struct):
    """The model declined, and says so."""

    text: str


Part = Text | Media | Thinking | ToolCall | ToolResult | Refused


class Message(Struct):
    role: str
    parts: list[Part]
    name: str = ""


class Tool(Struct):
    name: str
    description: str
    schema: dict[str, Any]  # JSON Schema of its arguments
    strict: bool = False
    cache: str = ""


class Schema(Struct):
    """The form of a structured answer."""

    name: str
    schema: dict[str, Any]
    strict: bool = True
    description: str = ""


class Request(Struct):
    """What a caller asks for. None, "" and empty lists are what it does not say."""

    model: str
    messages: list[Message]
    tools: list[Tool] = []
    tool_choice: str = ""  # "auto", "none", "any", or "tool" for the one of `tool_name`
    tool_name: str = ""
    parallel: bool | None = None  # tool calls
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = []
    seed: int | None = None
    presence: float | None = None
    frequency: float | None = None
    json: bool = False  # any JSON object
    schema: Schema | None = None
    effort: str = ""  # "none", "minimal", "low", "medium", "high", "xhigh", "max"
    thinking_tokens: int | None = None  # 0: no thinking
    user: str = ""
    stream: bool = False
    wants_usage: bool = False  # at the end of a stream


class Answer(Struct):
    """What a provider has answered, whole."""

    id: str
    model: str
    parts: list[Part]
    finish: str
    usage: Usage
    stop_sequence: str = ""
    created_s: int = 0


# An answer in pieces, in this order: Begin, then parts, each begun before it goes on, then End. `Used` comes anywhere.


class Begin(Struct):
    id: str
    model: str


class TextPiece(Struct):
    text: str


class ThinkingPiece(Struct):
    text: str = ""
    signature: str = ""
    redacted: bool = False


class RefusedPiece(Struct):
    text: str


class ToolBegin(Struct):
    index: int  # of the call among the answer's calls, from 0
    id: str
    name: str
    signature: str = ""


class ToolPiece(Struct):
    index: int
    arguments: str  # the next characters of it


class Used(Struct):
    """What has been used, as far as the provider tells by now; what it counts for good comes last."""

    usage: Usage


class End(Struct):
    finish: str
    stop_sequence: str = ""


class Failure(Struct):
    """An error, of the provider or of the gateway, before an answer or in the middle of one.

    `status` is what HTTP would say, `kind` one of "invalid", "authentication", "permission", "not_found", "too_large",
    "rate_limit", "quota", "overloaded", "timeout", "server"; `code` is the provider's or the gateway's own word for it.
    `retry_after_s` is what the body of an error says of that, 0 for nothing.
    """

    status: int
    kind: str
    message: str
    code: str = ""
    parameter: str = ""
    retry_after_s: int = 0


Piece = Begin | TextPiece | ThinkingPiece | RefusedPiece | ToolBegin | ToolPiece | Used | End | Failure
