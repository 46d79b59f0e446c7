"""Decides which endpoints of the APIs of language models there are, and how a call to each is read and metered."""

from __future__ import annotations

from typing import NamedTuple

# How the body of a request is read.
JSON, FORM, OPAQUE = "json", "form", "opaque"


class Operation(NamedTuple):
    """An endpoint: `dialect` is its callers', `body` how its request is read; `generates` says that what it costs
    depends on tokens that are generated; a call may bound them, but for a compaction."""

    name: str
    dialect: str
    body: str
    generates: bool = False


POSTED = {
    "chat/completions": Operation("chat", "openai", JSON, generates=True),
    "responses": Operation("responses", "openai", JSON, generates=True),
    "completions": Operation("completions", "openai", JSON, generates=True),
    "embeddings": Operation("embeddings", "openai", JSON),
    "moderations": Operation("moderations", "openai", JSON),
    "rerank": Operation("rerank", "openai", JSON),
    "images/generations": Operation("images", "openai", JSON),
    "images/edits": Operation("image_edits", "openai", FORM),
    "images/variations": Operation("image_variations", "openai", FORM),
    "audio/speech": Operation("speech", "openai", JSON),
    "audio/transcriptions": Operation("transcriptions", "openai", FORM),
    "audio/translations": Operation("translations", "openai", FORM),
    "responses/compact": Operation("compact", "openai", JSON, generates=True),
    "responses/input_tokens": Operation("input_tokens", "openai", JSON),
    "messages": Operation("messages", "anthropic", JSON, generates=True),
    "messages/count_tokens": Operation("count_tokens", "anthropic", JSON),
}
_MODELS = Operation("models", "openai", OPAQUE)
_MODEL = Operation("model", "openai", OPAQUE)
# What was stored by an earlier call is found by its id.
_STORED = {
    "chat": Operation("stored_chat", "openai", OPAQUE),
    "responses": Operation("stored_responses", "openai", OPAQUE),
    "messages": Operation("message_batches", "anthropic", OPAQUE),
}
# Passed through as they are, whatever lies below: a call costs the route's price. What models do later on their behalf
# is on the provider's bill, so a provider has these only where its operations say so.
_PASSED = {
    name: Operation(name, "openai", OPAQUE)
    for name in ("files", "uploads", "batches", "vector_stores", "containers", "conversations", "fine_tuning", "evals")
}

TABLE = {
    operation.name: operation for operation in (*POSTED.values(), _MODELS, _MODEL, *_STORED.values(), *_PASSED.values())
}


def find(method: str, rest: str) -> Operation | None:
    """The operation of a call; `rest` is the path below the route's, like "chat/completions", without a query."""
    rest = rest.strip("/")
    first, _, more = rest.partition("/")
    if method == "POST" and rest in POSTED:
        return POSTED[rest]
    if first in _PASSED:
        return _PASSED[first]
    if first == "models":
        return (_MODEL if more else _MODELS) if method == "GET" else None
    if rest in POSTED or not more or first not in _STORED:
        return _STORED["chat"] if method == "GET" and rest == "chat/completions" else None
    if first == "chat":
        return _STORED[first] if more.startswith("completions/") else None
    if first == "messages":
        return _STORED[first] if more == "batches" or more.startswith("batches/") else None
    return _STORED[first] if method in ("GET", "DELETE") or more.endswith("/cancel") else None
