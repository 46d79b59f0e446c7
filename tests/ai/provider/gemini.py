"""Decides how Gemini's API looks on the wire.

Shapes: https://ai.google.dev/api/generate-content. JSON in lines of two spaces outside of streams, a space after colons
in them; events end with CR LF twice; each has the usage so far; `candidatesTokenCount` leaves out thoughts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .openai_chat import Event, grouped, token
from .openai_rest import vector
from .orders import Asked, Reply

FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tools": "STOP", "filter": "SAFETY"}


def asked(model: str, body: dict[str, Any], stream: bool) -> Asked:
    found = Asked("gemini", "generateContent", model, stream=stream, body=body)
    system = body.get("systemInstruction", body.get("system_instruction")) or {}
    everything = [_text(system.get("parts", ()))]
    contents = body["contents"]  # a list, or the only one
    for content in contents if isinstance(contents, list) else [contents]:
        parts = content["parts"]
        words = _text(parts)
        everything.append(words)
        found.images += sum("inlineData" in part or "fileData" in part for part in parts)
        results = [_result(part["functionResponse"]["response"]) for part in parts if "functionResponse" in part]
        if content.get("role", "user") == "user" and (words or not results):
            found.words = words
        found.tool_said = results[-1] if results else None
    found.everything = " ".join(everything)
    form = body.get("generationConfig") or {}
    found.cap = form.get("maxOutputTokens")
    found.tools = tuple(
        {"name": one["name"], "schema": one.get("parametersJsonSchema", one.get("parameters", {}))}
        for tool in body.get("tools", ())
        for one in tool.get("functionDeclarations", ())
    )
    mode = ((body.get("toolConfig") or {}).get("functionCallingConfig") or {}).get("mode")
    found.must_call = bool(found.tools) and mode == "ANY"
    if form.get("responseMimeType") == "application/json":
        found.schema = form.get("responseJsonSchema", form.get("responseSchema")) or {"type": "object"}
    return found


def _text(parts: Any) -> str:
    return " ".join(part["text"] for part in parts if "text" in part)


def _result(response: dict[str, Any]) -> str:
    """What a tool said: by convention under "output", where it is only text."""
    return str(response["output"]) if list(response) == ["output"] else json.dumps(response)


def usage(reply: Reply, thoughts: int, candidates: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "promptTokenCount": reply.input,
        "candidatesTokenCount": candidates,
        "totalTokenCount": reply.input + thoughts + candidates,
    }
    if reply.cached:
        found["cachedContentTokenCount"] = reply.cached
    found["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": reply.input}]
    if reply.cached:
        found["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": reply.cached}]
    if thoughts:
        found["thoughtsTokenCount"] = thoughts
    return found


def _whole(asked: Asked, reply: Reply, parts: list[dict[str, Any]], finish: str | None, used: dict[str, Any]) -> Any:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}}
    if finish:
        candidate["finishReason"] = finish
    candidate["index"] = 0
    found: dict[str, Any] = {
        "candidates": [candidate],
        "usageMetadata": used,
        "modelVersion": asked.model,
        "responseId": token(reply.id, 23),
    }
    match reply.order.usage:
        case "none":
            del found["usageMetadata"]
        case "null":
            found["usageMetadata"] = None
        case "wrong":
            found["usageMetadata"] = dict.fromkeys(used, "many")
    return found


def _calls(reply: Reply) -> list[dict[str, Any]]:
    """Calls come whole. The first carries the signature of the thoughts that led to it."""
    parts: list[dict[str, Any]] = []
    for n, (name, arguments) in enumerate(reply.arguments()):
        part: dict[str, Any] = {"functionCall": {"name": name, "args": json.loads(arguments)}}
        if n == 0 and reply.thoughts:
            part["thoughtSignature"] = token(reply.id, 96)
        parts.append(part)
    return parts


def answer(asked: Asked, reply: Reply) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    if reply.thoughts and reply.shown:
        parts.append({"text": reply.thought, "thought": True})
    if reply.words:
        parts.append({"text": reply.said})
    parts += _calls(reply)
    used = usage(reply, len(reply.thoughts), reply.output - len(reply.thoughts))
    found: dict[str, Any] = _whole(asked, reply, parts, FINISH[reply.finish], used)
    return found


def events(asked: Asked, reply: Reply) -> Iterator[Event]:
    """The stream as SSE. Thoughts that are not shown are billed with the first chunk."""
    thoughts = 0 if reply.shown else len(reply.thoughts)
    candidates, pending = 0, thoughts

    def chunk(parts: list[dict[str, Any]], finish: str | None = None) -> bytes:
        return _sse(_whole(asked, reply, parts, finish, usage(reply, thoughts, candidates)))

    if reply.shown:
        for words, count in grouped(reply.thoughts, reply.order.per_chunk):
            thoughts += count
            yield Event(chunk([{"text": words, "thought": True}]), count, count)
    for words, count in grouped(reply.words, reply.order.per_chunk):
        candidates += count
        yield Event(chunk([{"text": words}]), count + pending, pending)
        pending = 0
    for part, (_, pieces) in zip(_calls(reply), reply.calls, strict=True):
        candidates += len(pieces)
        yield Event(chunk([part]), len(pieces) + pending, pending)
        pending = 0
    yield Event(chunk([{"text": ""}], FINISH[reply.finish]), pending, pending)


def _sse(value: Any) -> bytes:
    return b"data: %b\r\n\r\n" % json.dumps(value, separators=(",", ": "), ensure_ascii=False).encode()


def embedding(text: str, dimensions: int) -> dict[str, Any]:
    return {"values": vector(text, dimensions)}


def models(names: list[str]) -> dict[str, Any]:
    return {
        "models": [
            {
                "name": f"models/{name}",
                "version": "001",
                "displayName": name,
                "inputTokenLimit": 1_048_576,
                "outputTokenLimit": 65_536,
                "supportedGenerationMethods": ["generateContent", "countTokens"],
            }
            for name in names
        ]
    }
