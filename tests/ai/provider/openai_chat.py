"""Decides how OpenAI's chat completions, and those of providers that speak like them, look on the wire.

Shapes: https://platform.openai.com/docs/api-reference/chat, DeepSeek's `reasoning_content`, Azure's filter results.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from .orders import Asked, Reply

CREATED = 1_764_000_000
FINGERPRINT = "fp_560af6e559"
FINISH = {"stop": "stop", "length": "length", "tools": "tool_calls", "filter": "content_filter"}
OBFUSCATION_MAX = 16


class Event(NamedTuple):
    """One event of a stream as it is sent, and the tokens that it is billed."""

    data: bytes
    tokens: int = 0
    thoughts: int = 0


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def sse(value: Any) -> bytes:
    return b"data: %b\n\n" % compact(value)


def indented(value: Any) -> bytes:
    """JSON as OpenAI's API sets it outside of streams."""
    return json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"


def token(seed: str, length: int) -> str:
    """Letters and digits that follow from a seed."""
    digest = hashlib.sha256(seed.encode()).hexdigest()
    return (digest * (length // len(digest) + 1))[:length]


def texts(content: Any) -> tuple[str, int]:
    """The text of a message's content, and how many images it has."""
    if content is None:
        return "", 0
    if isinstance(content, str):
        return content, 0
    words = [part["text"] for part in content if part.get("type") in {"text", "input_text", "output_text"}]
    images = sum(part.get("type") in {"image_url", "input_image", "image"} for part in content)
    return " ".join(words), images


def asked(body: dict[str, Any]) -> Asked:
    found = Asked("openai", "chat.completions", body["model"], stream=bool(body.get("stream")), body=body)
    everything = []
    for message in body["messages"]:
        words, images = texts(message.get("content"))
        everything.append(words)
        found.images += images
        if message["role"] == "user":
            found.words = words
        found.tool_said = words if message["role"] == "tool" else None
    found.everything = " ".join(everything)
    cap = body.get("max_completion_tokens")
    found.cap = body.get("max_tokens") if cap is None else cap
    found.tools = tuple(
        {"name": tool["function"]["name"], "schema": tool["function"].get("parameters", {})}
        for tool in body.get("tools", ())
        if tool["type"] == "function"
    )
    choice = body.get("tool_choice", "auto")
    found.must_call = bool(found.tools) and (choice == "required" or isinstance(choice, dict))
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        found.schema = form["json_schema"].get("schema", {})
    elif form.get("type") == "json_object":
        found.schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    return found


def choices_of(body: dict[str, Any]) -> int:
    return int(body.get("n") or 1)


def usage(reply: Reply, choices: int = 1) -> dict[str, Any]:
    output = reply.output * choices
    counted: dict[str, Any] = {
        "prompt_tokens": reply.input,
        "completion_tokens": output,
        "total_tokens": reply.input + output,
        "prompt_tokens_details": {"cached_tokens": reply.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": len(reply.thoughts) * choices,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    if reply.written:
        counted["prompt_tokens_details"]["cache_write_tokens"] = reply.written
    return counted


def misused(reply: Reply, right: dict[str, Any]) -> Any:
    """The usage as the order wants it: right, null, or of another type."""
    match reply.order.usage:
        case "wrong":
            return dict.fromkeys(right, "many")
        case "null":
            return None
        case _:
            return right


def message(reply: Reply) -> dict[str, Any]:
    said = reply.said or None
    found: dict[str, Any] = {
        "role": "assistant",
        "content": None if reply.refusal else said,
        "refusal": said if reply.refusal else None,
        "annotations": [],
    }
    if reply.shown and reply.thoughts:
        found["reasoning_content"] = reply.thought
    if reply.calls:
        found["tool_calls"] = [
            {
                "id": f"call_{token(f'{reply.id}.{n}', 24)}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for n, (name, arguments) in enumerate(reply.arguments())
        ]
    return found


def answer(asked: Asked, reply: Reply) -> dict[str, Any]:
    assert asked.body is not None
    choices = choices_of(asked.body)
    found: dict[str, Any] = {
        "id": f"chatcmpl-{token(reply.id, 29)}",
        "object": "chat.completion",
        "created": CREATED,
        "model": asked.model,
        "choices": [
            {"index": n, "message": message(reply), "logprobs": None, "finish_reason": FINISH[reply.finish]}
            for n in range(choices)
        ],
        "usage": misused(reply, usage(reply, choices)),
        "service_tier": "default",
        "system_fingerprint": FINGERPRINT,
    }
    if reply.order.usage == "none":
        del found["usage"]
    return found


def grouped(words: tuple[str, ...], size: int) -> Iterator[tuple[str, int]]:
    """The words, `size` at a time, and how many they are."""
    for at in range(0, len(words), size):
        some = words[at : at + size]
        yield "".join(some), len(some)


class Chunks:
    """The chunks of one stream: what is alike in all of them, and the padding that hides how long a token is."""

    def __init__(self, asked: Asked, reply: Reply, azure: bool) -> None:
        assert asked.body is not None
        options = asked.body.get("stream_options") or {}
        self.usage = bool(options.get("include_usage"))
        self.obfuscated = options.get("include_obfuscation", True) and not azure
        self.seed = reply.id
        self.count = 0
        self.head = {
            "id": f"chatcmpl-{token(reply.id, 29)}",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": asked.model,
            "service_tier": "default",
            "system_fingerprint": FINGERPRINT,
        }

    def chunk(self, choices: list[dict[str, Any]], usage: Any = None) -> bytes:
        self.count += 1
        found = {**self.head, "choices": choices}
        if self.usage:
            found["usage"] = usage
        if self.obfuscated:
            found["obfuscation"] = token(f"{self.seed}-{self.count}", 1 + self.count * 7 % OBFUSCATION_MAX)
        return sse(found)

    def delta(self, index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return self.chunk([{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}])


def events(asked: Asked, reply: Reply, azure: bool = False) -> Iterator[Event]:
    """The stream, without what ends it. Reasoning that is not shown is billed with the first chunk."""
    assert asked.body is not None
    chunks, order = Chunks(asked, reply, azure), reply.order
    if azure:
        blank = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
        yield Event(sse({**blank, "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]}))
    hidden = () if reply.shown else reply.thoughts
    for index in range(choices_of(asked.body)):
        first: dict[str, Any] = {"role": "assistant", "content": None if reply.calls else "", "refusal": None}
        yield Event(chunks.delta(index, first), len(hidden), len(hidden))
        if reply.shown:
            for words, count in grouped(reply.thoughts, order.per_chunk):
                yield Event(chunks.delta(index, {"reasoning_content": words, "content": None}), count, count)
        name = "refusal" if reply.refusal else "content"
        for words, count in grouped(reply.words, order.per_chunk):
            yield Event(chunks.delta(index, {name: words}), count)
        for n, (tool, pieces) in enumerate(reply.calls):
            begun = {"name": tool, "arguments": ""}
            call = {"index": n, "id": f"call_{token(f'{reply.id}.{n}', 24)}", "type": "function", "function": begun}
            yield Event(chunks.delta(index, {"tool_calls": [call]}))
            for piece, count in grouped(pieces, order.per_chunk):
                yield Event(
                    chunks.delta(index, {"tool_calls": [{"index": n, "function": {"arguments": piece}}]}), count
                )
        yield Event(chunks.delta(index, {}, FINISH[reply.finish]))
    if chunks.usage and order.usage != "none":
        yield Event(chunks.chunk([], misused(reply, usage(reply, choices_of(asked.body)))))


DONE = b"data: [DONE]\n\n"
