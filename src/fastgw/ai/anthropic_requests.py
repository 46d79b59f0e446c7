"""Decides what a request of Anthropic's Messages API means, and how a request is said in it.

https://platform.claude.com/docs/en/api/messages/create, of the versions 2023-06-01 and 2026-10-21. What is Anthropic's
alone (server tools, containers, MCP servers, citations) is not read, and so cannot be asked of another provider.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from . import bodies, canonical, claude, schemas, turns
from .bodies import given
from .canonical import (
    SYSTEM,
    TOOL,
    Media,
    Message,
    Part,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    UnsupportedError,
)

# Callers


class _Cache(Struct, frozen=True):
    ttl: Literal["5m", "1h"] = "5m"


class _Block(Struct):
    """What a part may hold beside its own."""

    cache_control: _Cache | None = None

    @property
    def cache(self) -> str:
        return self.cache_control.ttl if self.cache_control else ""


class _Text(_Block, tag="text", kw_only=True):
    text: str

    def part(self) -> Text:
        return Text(self.text, cache=self.cache)


class _Base64(Struct, tag="base64"):
    media_type: str
    data: str

    def media(self, kind: str) -> Media:
        return Media(kind, media_type=self.media_type, data=self.data)


class _Url(Struct, tag="url"):
    url: str

    def media(self, kind: str) -> Media:
        return Media(kind, url=self.url)


class _File(Struct, tag="file"):
    file_id: str

    def media(self, kind: str) -> Media:
        return Media(kind, file_id=self.file_id)


class _Plain(Struct, tag="text"):
    data: str
    media_type: str = "text/plain"

    def media(self, kind: str) -> Media:
        return Media(kind, media_type=self.media_type, data=base64.b64encode(self.data.encode()).decode())


class _Content(Struct, tag="content"):
    content: str | list[_Text]

    def media(self, kind: str) -> Media:
        text = self.content if isinstance(self.content, str) else "\n\n".join(block.text for block in self.content)
        return _Plain(text).media(kind)


class _Image(_Block, tag="image", kw_only=True):
    source: _Base64 | _Url | _File

    def part(self) -> Media:
        return msgspec.structs.replace(self.source.media("image"), cache=self.cache)


class _Citations(Struct):
    enabled: Literal[False] | None = None


class _Document(_Block, tag="document", kw_only=True):
    source: _Base64 | _Url | _File | _Plain | _Content
    title: str | None = None
    citations: _Citations | None = None

    def part(self) -> Media:
        return msgspec.structs.replace(self.source.media("document"), name=self.title or "", cache=self.cache)


class _Thinking(Struct, tag="thinking"):
    thinking: str
    signature: str = ""

    def part(self) -> Thinking:
        return Thinking(self.thinking, self.signature)


class _Redacted(Struct, tag="redacted_thinking"):
    data: str

    def part(self) -> Thinking:
        return Thinking(self.data, redacted=True)


class _ToolUse(_Block, tag="tool_use", kw_only=True):
    id: str
    name: str
    input: Raw

    def part(self) -> ToolCall:
        return ToolCall(self.id, self.name, bytes(self.input).decode(), cache=self.cache)


class _ToolResult(_Block, tag="tool_result", kw_only=True):
    tool_use_id: str
    content: str | list[_Text | _Image | _Document] = ""
    is_error: bool | None = None

    def part(self) -> ToolResult:
        return ToolResult(self.tool_use_id, "", _parts(self.content), bool(self.is_error), cache=self.cache)


class _Message(Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[_Text | _Image | _Document | _Thinking | _Redacted | _ToolUse | _ToolResult]


class _Tool(_Block, kw_only=True):
    name: str
    type: Literal["custom"] | None = "custom"
    description: str = ""
    input_schema: dict[str, Any] = {}
    strict: bool | None = None

    def tool(self) -> canonical.Tool:
        return canonical.Tool(self.name, self.description, self.input_schema, bool(self.strict), self.cache)


class _Choice(Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str = ""
    disable_parallel_tool_use: bool | None = None


class _ThinkingConfig(Struct):
    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: int | None = None


class _Format(Struct):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class _OutputConfig(Struct):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: _Format | None = None


class _Metadata(Struct):
    user_id: str | None = None


class _Counted(Struct):
    """What POST /v1/messages/count_tokens takes."""

    model: str
    messages: Annotated[list[_Message], Meta(min_length=1)]
    system: str | list[_Text] = ""
    tools: list[_Tool] = []
    tool_choice: _Choice | None = None
    thinking: _ThinkingConfig | None = None
    output_config: _OutputConfig | None = None
    output_format: _Format | None = None  # what output_config.format was called
    mcp_servers: list[Any] = []


class _Asked(_Counted, kw_only=True):
    max_tokens: Annotated[int, Meta(ge=1)]
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    metadata: _Metadata | None = None
    stream: bool | None = None
    container: Any = None


_COUNTED = msgspec.json.Decoder(_Counted)
_ASKED = msgspec.json.Decoder(_Asked)


def read_count(body: bytes) -> Request:
    """What a caller wants the input tokens of. BodyError."""
    return _request(bodies.read(_COUNTED, body))


def read_request(body: bytes) -> Request:
    """A caller's request. BodyError."""
    asked = bodies.read(_ASKED, body)
    if asked.container is not None:
        raise UnsupportedError("containers are Anthropic's alone", "container")
    request = _request(asked)
    request.max_tokens = asked.max_tokens
    request.temperature, request.top_p, request.top_k = asked.temperature, asked.top_p, asked.top_k
    request.stop = asked.stop_sequences or []
    request.user = (asked.metadata and asked.metadata.user_id) or ""
    request.stream = request.wants_usage = bool(asked.stream)
    return request


def _request(asked: _Counted) -> Request:
    if asked.mcp_servers:
        raise UnsupportedError("MCP servers are Anthropic's alone", "mcp_servers")
    request = Request(asked.model, list(_messages(asked)), tools=[tool.tool() for tool in asked.tools])
    if choice := asked.tool_choice:
        request.tool_choice, request.tool_name = choice.type, choice.name
        if choice.disable_parallel_tool_use is not None:
            request.parallel = not choice.disable_parallel_tool_use
    config = asked.output_config or _OutputConfig()
    if form := config.format or asked.output_format:
        request.schema = canonical.Schema("answer", form.schema)
    request.effort = config.effort or ""
    if thinking := asked.thinking:
        request.thinking_tokens = {"enabled": thinking.budget_tokens, "adaptive": None}.get(thinking.type, 0)
        if thinking.type == "adaptive":
            request.effort = request.effort or "high"  # what it is by default
    return request


def _messages(asked: _Counted) -> Iterator[Message]:
    """The messages, a tool's result always one of its own, with the name of the tool."""
    if asked.system:
        yield Message(SYSTEM, [*_parts(asked.system)])
    names: dict[str, str] = {}
    for message in asked.messages:
        said: list[Part] = []
        proof = ""
        for part in _parts(message.content):
            if isinstance(part, ToolResult):
                if said:
                    yield Message(message.role, said)
                said = []
                part.name = names.get(part.id, "")
                yield Message(TOOL, [part])
                continue
            if isinstance(part, ToolCall):
                names[part.id] = part.name
                part.signature, proof = proof, ""
            if isinstance(part, Thinking) and part.signature.startswith(canonical.CALL_PROOF):
                proof = part.signature.removeprefix(canonical.CALL_PROOF)
                continue
            said.append(part)
        if said:
            yield Message(message.role, said)


def _parts(content: Any) -> list[Any]:
    return [Text(content)] if isinstance(content, str) else [block.part() for block in content]


# Providers


def write_request(request: Request, model: str) -> bytes:
    """The body for a provider. UnsupportedError."""
    return msgspec.json.encode(_fields(request, model))


def _fields(request: Request, model: str) -> dict[str, Any]:
    form = _form(request, model)
    said = turns.of(request, say_form=not form)
    thinking = claude.thinking(request, model)
    config = {**thinking.pop("output_config", {}), **form}
    return {
        "model": model,
        "max_tokens": request.max_tokens or claude.MAX_TOKENS,
        "messages": [{"role": turn.role, "content": _content(turn.parts)} for turn in said.turns],
        **given(
            system=_content(said.system),
            tools=[_tool(tool, model) for tool in request.tools],
            tool_choice=_choice(request),
            stop_sequences=request.stop,
            stream=request.stream or None,
            metadata=given(user_id=request.user),
            output_config=config,
        ),
        **claude.sampling(request, model, thinks="thinking" in thinking),
        **thinking,
    }


def _form(request: Request, model: str) -> dict[str, Any]:
    """The form of the answer, where the model can be held to it; else it is asked for in words."""
    if request.schema is None or not claude.takes_form(model):
        return {}
    schema = schemas.closed(request.schema.schema)
    return {"format": {"type": "json_schema", "schema": schema}} if schema else {}


def _content(parts: list[Any]) -> str | list[dict[str, Any]]:
    if len(parts) == 1 and isinstance(parts[0], Text) and not parts[0].cache:
        return parts[0].text
    return [block for part in parts if (block := _block(part))]


def _block(part: Part) -> dict[str, Any] | None:
    block = _plain_block(part)
    return block and {**block, **_cached(getattr(part, "cache", ""))}


def _cached(ttl: str) -> dict[str, Any]:
    return {"cache_control": {"type": "ephemeral", **({"ttl": ttl} if ttl != "5m" else {})}} if ttl else {}


def _plain_block(part: Part) -> dict[str, Any] | None:
    match part:
        case Media():
            return _media(part)
        case Thinking(redacted=True):
            return {"type": "redacted_thinking", "data": part.text}
        case Thinking():  # without its proof it would be refused
            return {"type": "thinking", "thinking": part.text, "signature": part.signature} if part.signature else None
        case ToolCall():
            arguments = bodies.json_object(part.arguments)
            return {"type": "tool_use", "id": turns.plain_id(part.id), "name": part.name, "input": arguments}
        case ToolResult():
            result = given(content=_content(turns.result(part)), is_error=part.failed or None)
            return {"type": "tool_result", "tool_use_id": turns.plain_id(part.id), **result}
        case _:
            return {"type": "text", "text": part.text}


def _media(media: Media) -> dict[str, Any]:
    if media.kind not in ("image", "document"):
        raise UnsupportedError(f"Anthropic takes no {media.kind}", "messages")
    return {
        "type": media.kind,
        "source": _source(media),
        **given(title=(media.kind == "document" and media.name) or None),
    }


def _source(media: Media) -> dict[str, Any]:
    if media.url:
        return {"type": "url", "url": media.url}
    if media.file_id:
        return {"type": "file", "file_id": media.file_id}
    if media.kind == "document" and media.media_type.startswith("text/"):
        return {"type": "text", "media_type": "text/plain", "data": _decoded(media.data)}
    return {"type": "base64", "media_type": media.media_type, "data": media.data}


def _decoded(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise canonical.BodyError("a text document is no UTF-8 in base64", "messages") from None


def _tool(tool: canonical.Tool, model: str) -> dict[str, Any]:
    """A tool, strict where the model can be held to its schema."""
    closed = schemas.closed(tool.schema) if tool.strict and claude.takes_form(model) else None
    return {
        "name": tool.name,
        **given(description=tool.description, strict=True if closed else None),
        "input_schema": closed or tool.schema or {"type": "object", "properties": {}},
        **_cached(tool.cache),
    }


def _choice(request: Request) -> dict[str, Any] | None:
    """How tools are chosen: nothing is said of it where there are none."""
    if not request.tools or (not request.tool_choice and request.parallel is not False):
        return None
    choice: dict[str, Any] = {"type": request.tool_choice or "auto"}
    if request.tool_choice == "tool":
        choice["name"] = request.tool_name
    if request.parallel is False and request.tool_choice != "none":
        choice["disable_parallel_tool_use"] = True
    return choice
