"""Decides how OpenAI's endpoints other than chat and responses look on the wire."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterator
from typing import Any

from .openai_chat import CREATED, FINGERPRINT, FINISH, Event, grouped, misused, sse, texts, token, usage
from .orders import Asked, Reply

# A PNG of one pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/intent", "self-harm/instructions", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip


def joined(value: Any) -> str:
    """All text of an input: a string, a list of them, of numbers, or of parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        if value and isinstance(value[0], dict):
            return texts(value)[0]
        return " ".join(joined(one) for one in value)
    return str(value)


def asked(endpoint: str, body: dict[str, Any]) -> Asked:
    words = joined(body.get("prompt", body.get("input", "")))
    return Asked(
        "openai", endpoint, body.get("model", "omni-moderation-latest"), words=words, everything=words,
        stream=bool(body.get("stream")), cap=body.get("max_tokens"), body=body,
    )  # fmt: skip


# Completions


def completion(asked: Asked, reply: Reply) -> dict[str, Any]:
    found = {
        "id": f"cmpl-{token(reply.id, 24)}",
        "object": "text_completion",
        "created": CREATED,
        "model": asked.model,
        "choices": [{"text": reply.said, "index": 0, "logprobs": None, "finish_reason": FINISH[reply.finish]}],
        "usage": misused(reply, _plain(reply)),
        "system_fingerprint": FINGERPRINT,
    }
    if reply.order.usage == "none":
        del found["usage"]
    return found


def _plain(reply: Reply) -> dict[str, Any]:
    full = usage(reply)
    return {name: full[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}


def completion_events(asked: Asked, reply: Reply) -> Iterator[Event]:
    assert asked.body is not None
    wanted = bool((asked.body.get("stream_options") or {}).get("include_usage"))
    head = {
        "id": f"cmpl-{token(reply.id, 24)}",
        "object": "text_completion",
        "created": CREATED,
        "model": asked.model,
        "system_fingerprint": FINGERPRINT,
    }
    tail = {"usage": None} if wanted else {}

    def chunk(text: str, finish: str | None) -> bytes:
        choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}
        return sse({**head, "choices": [choice], **tail})

    for words, count in grouped(reply.words, reply.order.per_chunk):
        yield Event(chunk(words, None), count)
    yield Event(chunk("", FINISH[reply.finish]))
    if wanted and reply.order.usage != "none":
        yield Event(sse({**head, "choices": [], "usage": misused(reply, _plain(reply))}))


# Embeddings


def vector(text: str, dimensions: int) -> list[float]:
    """A vector of length one that follows from the text; its numbers are exact in four bytes."""
    raw = [int(token(f"{text}/{n}", 4), 16) + 1 for n in range(dimensions)]
    length = math.sqrt(sum(value * value for value in raw))
    return [float(struct.unpack("<f", struct.pack("<f", value / length))[0]) for value in raw]


def embeddings(asked: Asked, reply: Reply) -> dict[str, Any]:
    assert asked.body is not None
    given = asked.body["input"]
    inputs = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
    vectors = [vector(joined(one), int(asked.body.get("dimensions") or 8)) for one in inputs]
    shown: list[Any] = list(vectors)
    if asked.body.get("encoding_format") == "base64":
        shown = [base64.b64encode(struct.pack(f"<{len(one)}f", *one)).decode() for one in vectors]
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": n, "embedding": one} for n, one in enumerate(shown)],
        "model": asked.model,
        "usage": misused(reply, {"prompt_tokens": reply.input, "total_tokens": reply.input}),
    }


# Models


def model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "system"}


def models(names: list[str]) -> dict[str, Any]:
    return {"object": "list", "data": [model(name) for name in names]}


# Images, audio, moderations, files


def images(asked: Asked, reply: Reply) -> dict[str, Any]:
    assert asked.body is not None
    count = int(asked.body.get("n") or 1)
    return {
        "created": CREATED,
        "background": "opaque",
        "data": [{"b64_json": PIXEL} for _ in range(count)],
        "output_format": "png",
        "quality": "low",
        "size": "1024x1024",
        "usage": {
            "input_tokens": reply.input,
            "input_tokens_details": {"image_tokens": 0, "text_tokens": reply.input},
            "output_tokens": reply.output,
            "total_tokens": reply.input + reply.output,
        },
    }


def transcription(_: Asked, reply: Reply) -> dict[str, Any]:
    return {
        "text": reply.said,
        "usage": {
            "type": "tokens",
            "total_tokens": reply.input + reply.output,
            "input_tokens": reply.input,
            "input_token_details": {"text_tokens": 0, "audio_tokens": reply.input},
            "output_tokens": reply.output,
        },
    }


def transcription_events(asked: Asked, reply: Reply) -> Iterator[Event]:
    for words, count in grouped(reply.words, reply.order.per_chunk):
        yield Event(sse({"type": "transcript.text.delta", "delta": words}), count)
    yield Event(sse({"type": "transcript.text.done", **transcription(asked, reply)}))


def speech(reply: Reply) -> bytes:
    """Bytes that pass for audio: an MPEG frame's first bytes, again and again."""
    return b"\xff\xfb\x90\xc4" * max(1, 64 * reply.output)


def moderation(asked: Asked, reply: Reply) -> dict[str, Any]:
    assert asked.body is not None
    given = asked.body["input"]
    flagged = "violence" in joined(given)
    result = {
        "flagged": flagged,
        "categories": {name: flagged and name == "violence" for name in CATEGORIES},
        "category_scores": {name: 0.97 if flagged and name == "violence" else 0.0001 for name in CATEGORIES},
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
    }
    several = isinstance(given, list) and isinstance(given[0], str)
    return {
        "id": f"modr-{token(reply.id, 20)}",
        "model": asked.model,
        "results": [result for _ in (given if several else [given])],
    }


def file(number: int, filename: str, purpose: str, content: bytes) -> dict[str, Any]:
    return {
        "object": "file",
        "id": f"file-{token(f'{number}/{filename}', 22)}",
        "purpose": purpose,
        "filename": filename,
        "bytes": len(content),
        "created_at": CREATED,
        "expires_at": None,
        "status": "processed",
        "status_details": None,
    }
