"""Decides how Bedrock's Converse API looks on the wire: JSON, and a stream of binary messages with checksums.

Shapes: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html; framing:
https://smithy.io/2.0/aws/amazon-eventstream.html.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from .openai_chat import Event, compact, grouped, token
from .orders import Asked, Reply

STOP = {"stop": "end_turn", "length": "max_tokens", "tools": "tool_use", "filter": "content_filtered"}
STRING = 7  # the type of a header's value


def asked(model: str, body: dict[str, Any], stream: bool) -> Asked:
    found = Asked("bedrock", "converse", model, stream=stream, body=body)
    everything = [part["text"] for part in body.get("system", ()) if "text" in part]
    for message in body["messages"]:
        words = " ".join(part["text"] for part in message["content"] if "text" in part)
        everything.append(words)
        found.images += sum("image" in part for part in message["content"])
        results = [_result(part["toolResult"]) for part in message["content"] if "toolResult" in part]
        if message["role"] == "user" and (words or not results):
            found.words = words
        found.tool_said = results[-1] if results else None
    found.everything = " ".join(everything)
    found.cap = (body.get("inferenceConfig") or {}).get("maxTokens")
    config = body.get("toolConfig") or {}
    found.tools = tuple(
        {"name": tool["toolSpec"]["name"], "schema": tool["toolSpec"]["inputSchema"]["json"]}
        for tool in config.get("tools", ())
        if "toolSpec" in tool
    )
    form = (body.get("outputConfig") or {}).get("textFormat") or {}
    if form.get("type") == "json_schema":
        found.schema = json.loads(form["structure"]["jsonSchema"]["schema"])
    found.must_call = bool(found.tools) and not {"any", "tool"}.isdisjoint(config.get("toolChoice") or {})
    return found


def _result(result: dict[str, Any]) -> str:
    return " ".join(part["text"] if "text" in part else json.dumps(part["json"]) for part in result["content"])


def usage(reply: Reply) -> dict[str, Any]:
    """Input without what a cache was read or written for, as Anthropic has it."""
    return {
        "inputTokens": reply.input - reply.cached - reply.written,
        "outputTokens": reply.output,
        "totalTokens": reply.input + reply.output,
        "cacheReadInputTokens": reply.cached,
        "cacheWriteInputTokens": reply.written,
    }


def _used(reply: Reply) -> dict[str, Any]:
    match reply.order.usage:
        case "none" | "null":
            return {}
        case "wrong":
            return {"usage": dict.fromkeys(usage(reply), "many")}
        case _:
            return {"usage": usage(reply)}


def answer(_: Asked, reply: Reply) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if reply.thoughts:
        thought = {"text": reply.thought, "signature": token(reply.id, 96)}
        content.append({"reasoningContent": {"reasoningText": thought}})
    if reply.words:
        content.append({"text": reply.said})
    for n, (name, arguments) in enumerate(reply.arguments()):
        content.append({"toolUse": {**_tool(reply, n, name), "input": json.loads(arguments)}})
    return {
        "metrics": {"latencyMs": 512},
        "output": {"message": {"content": content, "role": "assistant"}},
        "stopReason": STOP[reply.finish],
        **_used(reply),
    }


def _tool(reply: Reply, n: int, name: str) -> dict[str, Any]:
    return {"name": name, "toolUseId": f"tooluse_{token(f'{reply.id}.{n}', 22)}"}


def _header(name: str, value: str) -> bytes:
    return struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", STRING, len(value)) + value.encode()


def message(headers: dict[str, str], payload: bytes) -> bytes:
    """One message: lengths, their checksum, headers, payload, the checksum of all."""
    head = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return whole + struct.pack(">I", zlib.crc32(whole))


def event(kind: str, body: dict[str, Any]) -> bytes:
    padded = {**body, "p": "abcdefghijklmnopqrstuvwxyz"[: 1 + len(kind) % 26]}
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return message(headers, compact(padded))


def exception(kind: str, body: dict[str, Any]) -> bytes:
    """An error in mid-stream; `kind` as in `throttlingException`."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return message(headers, compact(body))


def events(_: Asked, reply: Reply) -> Iterator[Event]:
    yield Event(event("messageStart", {"role": "assistant"}))
    index, size = 0, reply.order.per_chunk

    def delta(body: dict[str, Any]) -> bytes:
        return event("contentBlockDelta", {"contentBlockIndex": index, "delta": body})

    if reply.thoughts:
        for words, count in grouped(reply.thoughts, size):
            yield Event(delta({"reasoningContent": {"text": words}}), count, count)
        yield Event(delta({"reasoningContent": {"signature": token(reply.id, 96)}}))
        yield Event(event("contentBlockStop", {"contentBlockIndex": index}))
        index += 1
    if reply.words:
        for words, count in grouped(reply.words, size):
            yield Event(delta({"text": words}), count)
        yield Event(event("contentBlockStop", {"contentBlockIndex": index}))
        index += 1
    for n, (name, pieces) in enumerate(reply.calls):
        start = {"contentBlockIndex": index, "start": {"toolUse": _tool(reply, n, name)}}
        yield Event(event("contentBlockStart", start))
        for piece, count in grouped(pieces, size):
            yield Event(delta({"toolUse": {"input": piece}}), count)
        yield Event(event("contentBlockStop", {"contentBlockIndex": index}))
        index += 1
    yield Event(event("messageStop", {"stopReason": STOP[reply.finish]}))
    if used := _used(reply):
        yield Event(event("metadata", {"metrics": {"latencyMs": 512}, **used}))
