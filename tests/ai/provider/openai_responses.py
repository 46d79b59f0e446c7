"""Decides how OpenAI's Responses API looks on the wire.

Shapes: https://platform.openai.com/docs/api-reference/responses and /responses-streaming.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .openai_chat import CREATED, Event, compact, grouped, misused, texts, token
from .orders import Asked, Reply


def asked(body: dict[str, Any]) -> Asked:
    found = Asked("openai", "responses", body["model"], stream=bool(body.get("stream")), body=body)
    everything = [body.get("instructions") or ""]
    given = body.get("input", "")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    for item in items:
        kind = item.get("type", "message")
        if kind == "message":
            words, images = texts(item.get("content"))
            found.images += images
            everything.append(words)
            if item["role"] == "user":
                found.words = words
        found.tool_said = str(item["output"]) if kind == "function_call_output" else None
    found.everything = " ".join(everything)
    found.cap = body.get("max_output_tokens")
    found.tools = tuple(
        {"name": tool["name"], "schema": tool.get("parameters", {})}
        for tool in body.get("tools", ())
        if tool["type"] == "function"
    )
    choice = body.get("tool_choice", "auto")
    found.must_call = bool(found.tools) and (choice == "required" or isinstance(choice, dict))
    form = (body.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        found.schema = form.get("schema", {})
    return found


def usage(reply: Reply) -> dict[str, Any]:
    return {
        "input_tokens": reply.input,
        "input_tokens_details": {"cached_tokens": reply.cached, "cache_write_tokens": reply.written},
        "output_tokens": reply.output,
        "output_tokens_details": {"reasoning_tokens": len(reply.thoughts)},
        "total_tokens": reply.input + reply.output,
    }


def items(reply: Reply, status: str) -> list[dict[str, Any]]:
    """The output: reasoning, message, calls; those that the reply has."""
    found: list[dict[str, Any]] = []
    if reply.thoughts:
        summary = [{"type": "summary_text", "text": reply.thought}] if reply.shown else []
        found.append({"id": f"rs_{token(reply.id, 48)}", "type": "reasoning", "summary": summary})
    if reply.words:
        found.append(
            {
                "id": f"msg_{token(reply.id, 48)}",
                "type": "message",
                "status": status,
                "content": [part(reply, reply.said)],
                "role": "assistant",
            }
        )
    for n, (name, arguments) in enumerate(reply.arguments()):
        found.append(call(reply, n, name, arguments, status))
    return found


def compaction(asked: Asked, reply: Reply) -> dict[str, Any]:
    """What /responses/compact makes of a conversation: the caller's own words, and the rest sealed."""
    sealed = {"id": f"cmp_{token(reply.id, 48)}", "type": "compaction", "encrypted_content": token(reply.id, 200)}
    words = [{"type": "input_text", "text": asked.words}]
    return {
        "id": f"resp_{token(reply.id, 48)}",
        "object": "response.compaction",
        "created_at": CREATED,
        "output": [{"type": "message", "role": "user", "status": "completed", "content": words}, sealed],
        "usage": usage(reply),
    }


def part(reply: Reply, text: str) -> dict[str, Any]:
    if reply.refusal:
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def call(reply: Reply, n: int, name: str, arguments: str, status: str) -> dict[str, Any]:
    return {
        "id": f"fc_{token(f'{reply.id}.{n}', 48)}",
        "type": "function_call",
        "status": status,
        "arguments": arguments,
        "call_id": f"call_{token(f'{reply.id}.{n}', 24)}",
        "name": name,
    }


def response(asked: Asked, reply: Reply, status: str) -> dict[str, Any]:
    """A response object in a given state; output and usage come when it has ended."""
    assert asked.body is not None
    body, over = asked.body, status in {"completed", "incomplete"}
    found = {
        "id": f"resp_{token(reply.id, 48)}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": False,
        "error": {"code": "server_error", "message": "An error occurred."} if status == "failed" else None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": None,
        "model": asked.model,
        "output": items(reply, "incomplete" if status == "incomplete" else "completed") if over else [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": body.get("previous_response_id"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": (body.get("reasoning") or {}).get("effort"), "summary": None},
        "safety_identifier": None,
        "service_tier": "default" if over else "auto",
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": {"format": {"type": "text"}, "verbosity": "medium", **(body.get("text") or {})},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": [{"strict": True, "description": None, **tool} for tool in body.get("tools", ())],
        "top_logprobs": 0,
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation", "disabled"),
        "usage": misused(reply, usage(reply)) if over else None,
        "user": body.get("user"),
        "metadata": body.get("metadata") or {},
    }
    if over and reply.order.usage == "none":
        found["usage"] = None
    return found


def answer(asked: Asked, reply: Reply) -> dict[str, Any]:
    return response(asked, reply, "incomplete" if reply.finish == "length" else "completed")


class Numbered:
    """The events of one stream, numbered in their order."""

    def __init__(self) -> None:
        self.number = -1

    def __call__(self, kind: str, **rest: Any) -> bytes:
        self.number += 1
        return b"event: %b\ndata: %b\n\n" % (
            kind.encode(),
            compact({"type": kind, "sequence_number": self.number, **rest}),
        )


def events(asked: Asked, reply: Reply) -> Iterator[Event]:
    said = Numbered()
    yield Event(said("response.created", response=response(asked, reply, "in_progress")))
    yield Event(said("response.in_progress", response=response(asked, reply, "in_progress")))
    index = 0
    if reply.thoughts:
        yield from _thoughts(said, reply, index)
        index += 1
    if reply.words:
        yield from _message(said, reply, index)
        index += 1
    for n, (name, pieces) in enumerate(reply.calls):
        yield from _call(said, reply, index, n, name, pieces)
        index += 1
    ended = answer(asked, reply)
    yield Event(said(f"response.{ended['status']}", response=ended))


def _thoughts(said: Numbered, reply: Reply, index: int) -> Iterator[Event]:
    """Reasoning: billed as its summary is sent, or with the item where none is."""
    item: dict[str, Any] = {"id": f"rs_{token(reply.id, 48)}", "type": "reasoning", "summary": []}
    hidden = 0 if reply.shown else len(reply.thoughts)
    yield Event(said("response.output_item.added", output_index=index, item=item), hidden, hidden)
    if reply.shown:
        where = {"item_id": item["id"], "output_index": index, "summary_index": 0}
        empty, whole = ({"type": "summary_text", "text": text} for text in ("", reply.thought))
        yield Event(said("response.reasoning_summary_part.added", **where, part=empty))
        for words, count in grouped(reply.thoughts, reply.order.per_chunk):
            data = said("response.reasoning_summary_text.delta", **where, delta=words, obfuscation=token(words, 9))
            yield Event(data, count, count)
        yield Event(said("response.reasoning_summary_text.done", **where, text=reply.thought))
        yield Event(said("response.reasoning_summary_part.done", **where, part=whole))
        item = {**item, "summary": [whole]}
    yield Event(said("response.output_item.done", output_index=index, item=item))


def _message(said: Numbered, reply: Reply, index: int) -> Iterator[Event]:
    item = {"id": f"msg_{token(reply.id, 48)}", "type": "message", "role": "assistant"}
    begun = {**item, "status": "in_progress", "content": []}
    yield Event(said("response.output_item.added", output_index=index, item=begun))
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    yield Event(said("response.content_part.added", **where, part=part(reply, "")))
    kind = "refusal" if reply.refusal else "output_text"
    extra: dict[str, Any] = {} if reply.refusal else {"logprobs": []}
    for words, count in grouped(reply.words, reply.order.per_chunk):
        data = said(f"response.{kind}.delta", **where, delta=words, **extra, obfuscation=token(words, 12))
        yield Event(data, count)
    yield Event(said(f"response.{kind}.done", **where, **{"refusal" if reply.refusal else "text": reply.said}, **extra))
    yield Event(said("response.content_part.done", **where, part=part(reply, reply.said)))
    status = "incomplete" if reply.finish == "length" else "completed"
    ended = {**item, "status": status, "content": [part(reply, reply.said)]}
    yield Event(said("response.output_item.done", output_index=index, item=ended))


def _call(said: Numbered, reply: Reply, index: int, n: int, name: str, pieces: tuple[str, ...]) -> Iterator[Event]:
    begun = call(reply, n, name, "", "in_progress")
    yield Event(said("response.output_item.added", output_index=index, item=begun))
    where = {"item_id": begun["id"], "output_index": index}
    for piece, count in grouped(pieces, reply.order.per_chunk):
        data = said("response.function_call_arguments.delta", **where, delta=piece, obfuscation=token(piece, 5))
        yield Event(data, count)
    whole = "".join(pieces)
    yield Event(said("response.function_call_arguments.done", **where, arguments=whole))
    yield Event(said("response.output_item.done", output_index=index, item=call(reply, n, name, whole, "completed")))


def error(number: int, code: str | None, message: str) -> bytes:
    """What a stream says when it fails in its midst."""
    body = {"type": "error", "sequence_number": number, "code": code, "message": message, "param": None}
    return b"event: error\ndata: %b\n\n" % compact(body)
