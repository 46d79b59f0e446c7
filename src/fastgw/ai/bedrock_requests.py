"""Decides how a request is said to Amazon Bedrock's Converse, whoever has made the model.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html. Whether tools may be called in
parallel is left out: Converse does not know of it.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from . import bodies, claude, schemas, turns
from .bodies import given
from .canonical import Media, Part, Request, Text, Thinking, Tool, ToolCall, ToolResult, UnsupportedError

_DOCUMENTS = {
    "application/pdf": "pdf", "text/csv": "csv", "application/msword": "doc", "text/html": "html", "text/plain": "txt",
    "text/markdown": "md", "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}  # fmt: skip
_SOUNDS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav"}
_NO_TOOLS = Text("Answer without calling a tool.")


def path(request: Request, model: str) -> str:
    return f"/model/{bodies.segment(model)}/{'converse-stream' if request.stream else 'converse'}"


def write_request(request: Request, model: str) -> bytes:
    """The body for a provider. UnsupportedError."""
    form = _form(request, model)
    said = turns.of(request, say_form=not form)
    names = sorted(set(turns.names(request).values()))
    # Without tools in the request it may not hold calls of them; nor can the model be kept from calling those.
    if request.tool_choice == "none" and names:
        said.system.append(_NO_TOOLS)
    thinking = claude.thinking(request, model) if _is_claude(model) else {}
    config = {**thinking.pop("output_config", {}), **form}
    sampling = claude.sampling(request, model, thinks="thinking" in thinking)
    top_k = sampling.pop("top_k", None) if _is_claude(model) else None
    fields = given(
        messages=[{"role": turn.role, "content": _blocks(turn.parts, model)} for turn in said.turns],
        system=_blocks([*said.system], model),
        inferenceConfig=given(
            maxTokens=request.max_tokens,
            temperature=sampling.get("temperature"),
            topP=sampling.get("top_p"),
            stopSequences=request.stop,
        ),
        toolConfig=_tools(request, names, model),
        outputConfig=config,
        additionalModelRequestFields={**given(top_k=top_k), **_native(request, model), **thinking},
    )
    return msgspec.json.encode(fields)


def _is_claude(model: str) -> bool:
    return "claude" in model


def _native(request: Request, model: str) -> dict[str, Any]:
    """What a family of models takes in its own words."""
    effort = {"none": "low", "minimal": "low", "xhigh": "high", "max": "high"}.get(request.effort, request.effort)
    return given(reasoning_effort=effort) if "gpt-oss" in model else {}


def _form(request: Request, model: str) -> dict[str, Any]:
    """The form of the answer, where the model can be held to it; else it is asked for in words."""
    if request.schema is None or not _is_claude(model) or not claude.takes_form(model):
        return {}
    schema = schemas.closed(request.schema.schema)
    if schema is None:
        return {}
    words = msgspec.json.encode(schema).decode()
    named = given(name=request.schema.name, description=request.schema.description)
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": words, **named}}}}


def _blocks(parts: list[Part], model: str) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for part in parts:
        if block := _block(part, model):
            blocks += [block, *_cache(getattr(part, "cache", ""))]
    return blocks


def _block(part: Part, model: str) -> dict[str, Any] | None:
    match part:
        case Media():
            return _media(part)
        case Thinking(redacted=True):
            return {"reasoningContent": {"redactedContent": part.text}} if _is_claude(model) else None
        case Thinking():  # without its proof, or by a stranger, it would be refused
            thought = {"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}
            return thought if part.signature and _is_claude(model) else None
        case ToolCall():
            call = {"toolUseId": _id(part.id), "name": part.name, "input": bodies.json_object(part.arguments)}
            return {"toolUse": call}
        case ToolResult():
            result = {"toolUseId": _id(part.id), "content": _blocks([*turns.result(part)], model)}
            return {"toolResult": {**result, **given(status="error" if part.failed else "")}}
        case _:
            return {"text": part.text}


def _id(text: str) -> str:
    return turns.plain_id(text)[-64:]


def _cache(ttl: str) -> list[dict[str, Any]]:
    """What comes up to here is to be cached."""
    return [{"cachePoint": {"type": "default", **({"ttl": ttl} if ttl != "5m" else {})}}] if ttl else []


def _media(media: Media) -> dict[str, Any]:
    kind = media.media_type.partition(";")[0].lower()
    if media.kind == "document":
        name = re.sub(r"[^a-zA-Z0-9\s()\[\]-]+|\s+", " ", media.name).strip() or "document"
        found = _DOCUMENTS.get(kind, "txt" if kind.startswith("text/") else "")
        return {"document": {**given(format=found), "name": name[:200], "source": _source(media)}}
    form = kind.partition("/")[2]
    if media.kind == "audio":
        form = _SOUNDS.get(form, form)
    return {media.kind: {"format": form or "jpeg", "source": _source(media)}}


def _source(media: Media) -> dict[str, Any]:
    where = media.url or media.file_id
    if not where:
        return {"bytes": media.data}
    if where.startswith("s3://"):
        return {"s3Location": {"uri": where}}
    raise UnsupportedError(f"Bedrock fetches no {media.kind}: send the data itself", "messages")


def _tools(request: Request, names: list[str], model: str) -> dict[str, Any]:
    """The tools that may be called, and those that have been: a request must name them all."""
    if request.tool_choice == "none" and not names:
        return {}
    known = {tool.name for tool in request.tools}
    tools = [*request.tools, *(Tool(name, "", {}) for name in names if name not in known)]
    if not tools:
        return {}
    specs = [entry for tool in tools for entry in ({"toolSpec": _spec(tool, model)}, *_cache(tool.cache))]
    return {"tools": specs, **given(toolChoice=_choice(request) if request.tools else None)}


def _spec(tool: Tool, model: str) -> dict[str, Any]:
    held = tool.strict and _is_claude(model) and claude.takes_form(model)
    closed = schemas.closed(tool.schema) if held else None
    return {
        "name": tool.name,
        **given(description=tool.description, strict=True if closed else None),
        "inputSchema": {"json": closed or tool.schema or {"type": "object", "properties": {}}},
    }


def _choice(request: Request) -> dict[str, Any] | None:
    match request.tool_choice:
        case "tool":
            return {"tool": {"name": request.tool_name}}
        case "any" | "auto":
            return {request.tool_choice: {}}
    return None
