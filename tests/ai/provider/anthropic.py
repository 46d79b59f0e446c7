"""Decides how Anthropic's Messages API looks on the wire.

Shapes: https://platform.claude.com/docs/en/api/messages and /build-with-claude/streaming. As there, an event's JSON is
padded with spaces before its last bracket, pings come between others, and `output_tokens` in `message_delta` is the
whole count.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .openai_chat import Event, compact, grouped, misused, token
from .orders import Asked, Reply

STOP = {"stop": "end_turn", "length": "max_tokens", "tools": "tool_use", "filter": "refusal"}
PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def asked(body: dict[str, Any]) -> Asked:
    found = Asked("anthropic", "messages", body["model"], stream=bool(body.get("stream")), body=body)
    everything = [_text(body.get("system"))]
    for message in body["messages"]:
        content = message["content"]
        words = _text(content)
        everything.append(words)
        parts = [] if isinstance(content, str) else content
        found.images += sum(part.get("type") == "image" for part in parts)
        results = [_text(part.get("content")) for part in parts if part.get("type") == "tool_result"]
        if message["role"] == "user" and (words or not results):
            found.words = words
        found.tool_said = results[-1] if results else None
        everything += results
    found.everything = " ".join(everything)
    found.cap = body.get("max_tokens")
    found.tools = tuple(
        {"name": tool["name"], "schema": tool["input_schema"]}
        for tool in body.get("tools", ())
        if "input_schema" in tool
    )
    found.must_call = bool(found.tools) and (body.get("tool_choice") or {}).get("type") in {"any", "tool"}
    form = (body.get("output_config") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        found.schema = form["schema"]
    return found


def _text(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part.get("type") == "text")


def usage(reply: Reply, output: int) -> dict[str, Any]:
    """Counted apart: what was read from a cache, what was written to it, and the rest of the input."""
    return {
        "input_tokens": reply.input - reply.cached - reply.written,
        "cache_creation_input_tokens": reply.written,
        "cache_read_input_tokens": reply.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": reply.written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    }


def _details(reply: Reply) -> dict[str, Any]:
    return {"output_tokens_details": {"thinking_tokens": len(reply.thoughts)}} if reply.thoughts else {}


def _shown(reply: Reply) -> bool:
    return reply.shown is not False


def blocks(reply: Reply) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if reply.thoughts and _shown(reply):
        found.append({"type": "thinking", "thinking": reply.thought, "signature": token(reply.id, 120) + "=="})
    elif reply.thoughts:
        found.append({"type": "redacted_thinking", "data": token(reply.id, 120) + "=="})
    if reply.words:
        found.append({"type": "text", "text": reply.said})
    for n, (name, pieces) in enumerate(reply.calls):
        found.append({**_tool(reply, n, name), "input": json.loads("".join(pieces))})
    return found


def _tool(reply: Reply, n: int, name: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_01{token(f'{reply.id}.{n}', 22)}", "name": name, "input": {}}


def answer(asked: Asked, reply: Reply) -> dict[str, Any]:
    found: dict[str, Any] = {
        "model": asked.model,
        "id": f"msg_01{token(reply.id, 22)}",
        "type": "message",
        "role": "assistant",
        "content": blocks(reply),
        "stop_reason": STOP[reply.finish],
        "stop_sequence": None,
        "usage": misused(reply, usage(reply, reply.output) | _details(reply)),
    }
    if reply.order.usage == "none":
        del found["usage"]
    return found


def _event(kind: str, padding: int = 0, **rest: Any) -> bytes:
    body = compact({"type": kind, **rest})
    return b"event: %b\ndata: %b%b}\n\n" % (kind.encode(), body[:-1], b" " * padding)


def events(asked: Asked, reply: Reply) -> Iterator[Event]:
    order = reply.order
    counted: Any = usage(reply, 1)
    start = {**answer(asked, reply), "content": [], "stop_reason": None, "usage": misused(reply, counted)}
    if order.usage == "none":
        del start["usage"]
    yield Event(_event("message_start", message=start))
    for index, (block, delta, pieces) in enumerate(_parts(reply)):
        yield Event(_event("content_block_start", index=index, content_block=block))
        if index == 0:
            yield Event(PING)
        thoughts = delta.startswith("thinking")
        for n, (piece, count) in enumerate(grouped(pieces, order.per_chunk)):
            said = {"type": delta, "partial_json" if delta == "input_json_delta" else delta[:-6]: piece}
            data = _event("content_block_delta", n * 5 % 11, index=index, delta=said)
            yield Event(data, count, count if thoughts else 0)
        if thoughts:
            signature = {"type": "signature_delta", "signature": token(reply.id, 120) + "=="}
            yield Event(_event("content_block_delta", 3, index=index, delta=signature))
        elif block["type"] == "redacted_thinking":
            # Billed when it has been sent.
            yield Event(PING, len(reply.thoughts), len(reply.thoughts))
        yield Event(_event("content_block_stop", 2, index=index))
    ended: dict[str, Any] = {"delta": {"stop_reason": STOP[reply.finish], "stop_sequence": None}}
    if order.usage != "none":
        right = usage(reply, reply.output)
        del right["cache_creation"], right["service_tier"]
        ended["usage"] = misused(reply, right | _details(reply))
    yield Event(_event("message_delta", 6, **ended))
    yield Event(_event("message_stop", 4))


def _parts(reply: Reply) -> Iterator[tuple[dict[str, Any], str, tuple[str, ...]]]:
    """The blocks: how each begins, the kind of its deltas, what they say."""
    if reply.thoughts and _shown(reply):
        yield {"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta", reply.thoughts
    elif reply.thoughts:
        yield {"type": "redacted_thinking", "data": token(reply.id, 120) + "=="}, "", ()
    if reply.words:
        yield {"type": "text", "text": ""}, "text_delta", reply.words
    for n, (name, pieces) in enumerate(reply.calls):
        yield _tool(reply, n, name), "input_json_delta", pieces


def count(reply: Reply) -> dict[str, Any]:
    """Of /v1/messages/count_tokens."""
    return {"input_tokens": reply.input}


def models(names: list[str]) -> dict[str, Any]:
    rows = [{"type": "model", "id": name, "display_name": name, "created_at": "2025-11-24T00:00:00Z"} for name in names]
    return {"data": rows, "has_more": False, "first_id": names[0], "last_id": names[-1]}
