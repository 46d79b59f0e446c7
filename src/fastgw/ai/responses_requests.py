"""Decides what a request for a response means (https://platform.openai.com/docs/api-reference/responses/create)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

from . import bodies, canonical, media
from .canonical import (
    ASSISTANT,
    CALL_PROOF,
    SYSTEM,
    TOOL,
    USER,
    BodyError,
    Media,
    Message,
    Part,
    Refused,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    UnsupportedError,
)

SEALED = "fastgw-sealed:"  # before the data of a thought that is redacted, where its proof would be
_ROLES = {"developer": SYSTEM, "system": SYSTEM, "user": USER, "assistant": ASSISTANT}


class _Part(Struct):
    """Of a message, a thought or a tool's result."""

    type: Literal[
        "input_text", "output_text", "text", "summary_text", "reasoning_text", "refusal", "input_image", "input_file",
        "input_audio",
    ]  # fmt: skip
    text: str = ""
    refusal: str = ""
    image_url: str | None = None
    detail: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    input_audio: Any = None

    def part(self) -> Part:
        match self.type:
            case "refusal":
                return Refused(self.refusal)
            case "input_image":
                return self._image()
            case "input_file":
                return self._file()
            case "input_audio":
                sound = self.input_audio if isinstance(self.input_audio, dict) else {}
                return Media("audio", media_type=f"audio/{sound.get('format', 'wav')}", data=str(sound.get("data", "")))
        return Text(self.text)

    def _image(self) -> Media:
        if not self.image_url:
            return Media("image", file_id=self.file_id or "", detail=self.detail or "")
        found = media.from_url("image", self.image_url, "input")
        found.detail = self.detail or ""
        return found

    def _file(self) -> Media:
        name = self.filename or ""
        if self.file_data:
            return media.from_data("document", self.file_data, name)
        return Media("document", url=self.file_url or "", file_id=self.file_id or "", name=name)


class _Item(Struct):
    """Something said, thought, called or answered."""

    type: Literal["message", "function_call", "function_call_output", "reasoning"] = "message"
    role: Literal["user", "assistant", "system", "developer"] = "user"
    content: str | list[_Part] | None = None
    summary: list[_Part] = []
    encrypted_content: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str = ""
    output: str | list[_Part] = ""

    def thought(self) -> Iterator[Part]:
        proof = self.encrypted_content or ""
        parts = self.content if isinstance(self.content, list) and self.content else self.summary
        text = "".join(part.text for part in parts)
        if proof.startswith(SEALED):
            yield Thinking(proof.removeprefix(SEALED), redacted=True)
        elif text or proof:
            yield Thinking(text, proof)


class _Function(Struct):
    name: str
    type: Literal["function"] = "function"
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def tool(self) -> canonical.Tool:
        return canonical.Tool(self.name, self.description or "", self.parameters or {}, self.strict is True)


class _Choice(Struct):
    name: str
    type: Literal["function"] = "function"


class _Format(Struct):
    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str = "answer"
    schema: dict[str, Any] = {}
    strict: bool | None = None
    description: str | None = None


class _TextConfig(Struct):
    format: _Format | None = None


class _Reasoning(Struct):
    effort: str | None = None


class _Asked(Struct):
    model: str
    input: str | list[_Item] = ""
    instructions: str | None = None
    tools: list[_Function] | None = None
    tool_choice: Literal["none", "auto", "required"] | _Choice | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    text: _TextConfig | None = None
    reasoning: _Reasoning | None = None
    user: str | None = None
    safety_identifier: str | None = None
    stream: bool | None = None
    # What only who keeps responses, or runs tools, can do.
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    background: bool | None = None
    top_logprobs: int | None = None


_ASKED = msgspec.json.Decoder(_Asked)


def read_request(body: bytes) -> Request:
    """A caller's request. BodyError."""
    asked = bodies.read(_ASKED, body)
    for name in ("previous_response_id", "conversation", "prompt", "background", "top_logprobs"):
        if getattr(asked, name):
            raise UnsupportedError(f"The provider of this model has nothing like {name}; leave it out.", name)
    request = Request(asked.model, list(_messages(asked)), [tool.tool() for tool in asked.tools or ()])
    if isinstance(asked.tool_choice, _Choice):
        request.tool_choice, request.tool_name = "tool", asked.tool_choice.name
    else:
        request.tool_choice = "any" if asked.tool_choice == "required" else asked.tool_choice or ""
    request.parallel = asked.parallel_tool_calls
    request.max_tokens = asked.max_output_tokens
    request.temperature, request.top_p = asked.temperature, asked.top_p
    form = (asked.text and asked.text.format) or _Format()
    if form.type == "json_schema":
        request.schema = canonical.Schema(form.name, form.schema, form.strict is not False, form.description or "")
    request.json = form.type == "json_object"
    request.effort = (asked.reasoning and asked.reasoning.effort) or ""
    request.user = asked.user or asked.safety_identifier or ""
    request.stream = request.wants_usage = bool(asked.stream)
    return request


def _messages(asked: _Asked) -> Iterator[Message]:
    """The messages: what the assistant has thought, said and called in a row is one."""
    if asked.instructions:
        yield Message(SYSTEM, [Text(asked.instructions)])
    if isinstance(asked.input, str):
        yield Message(USER, [Text(asked.input)])
        return
    names: dict[str, str] = {}
    turn: list[Part] = []
    for item in asked.input:
        role, parts = _said(item, names)
        if role == ASSISTANT:
            _join(turn, parts)
            continue
        if turn:
            yield Message(ASSISTANT, turn)
            turn = []
        yield Message(role, parts)
    if turn:
        yield Message(ASSISTANT, turn)


def _join(turn: list[Part], parts: list[Part]) -> None:
    """More of what the assistant has said; the proof of a call stands before it."""
    last = turn[-1] if turn else None
    if isinstance(last, Thinking) and last.signature.startswith(CALL_PROOF):
        turn.pop()
        if parts and isinstance(parts[0], ToolCall):
            parts[0].signature = last.signature.removeprefix(CALL_PROOF)
    turn += parts


def _said(item: _Item, names: dict[str, str]) -> tuple[str, list[Part]]:
    if item.type == "reasoning":
        return ASSISTANT, list(item.thought())
    if item.type == "message":
        return _ROLES[item.role], _parts(item.content or "")
    if not item.call_id:
        raise BodyError("A call and its output need a call_id.", "input")
    if item.type == "function_call":
        names[item.call_id] = item.name or ""
        return ASSISTANT, [ToolCall(item.call_id, item.name or "", item.arguments)]
    output: list[Any] = _parts(item.output)
    return TOOL, [ToolResult(item.call_id, names.get(item.call_id, ""), output)]


def _parts(content: str | list[_Part]) -> list[Part]:
    if isinstance(content, str):
        return [Text(content)] if content else []
    return [part.part() for part in content]
