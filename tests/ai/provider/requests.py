"""Decides what a request to the provider is, by its path's end, and who answers it in which dialect."""

from __future__ import annotations

import email.parser
import email.policy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from . import anthropic, bedrock, gemini, openai_chat, openai_responses, openai_rest
from .mishaps import ERRORS, body_of
from .openai_chat import Event, indented
from .orders import Asked, Reply

GEMINI_PATH = re.compile(r"/models/(?P<model>[^/:]+):(?P<verb>\w+)$")
BEDROCK_PATH = re.compile(r"/model/(?P<model>.+)/(?P<verb>converse|converse-stream)$")
AZURE_PATH = re.compile(r"/openai/deployments/(?P<model>[^/]+)/")

JSON = "application/json"
SSE = "text/event-stream; charset=utf-8"
EVENT_STREAM = "application/vnd.amazon.eventstream"


@dataclass
class Speaker:
    """How one request is answered: whole, or in events. `end` is what follows the last of them."""

    asked: Asked
    whole: Callable[[Asked, Reply], bytes]
    events: Callable[[Asked, Reply], Iterator[Event]] | None = None
    kind: str = JSON
    stream_kind: str = SSE
    end: bytes = b""


def compacted(make: Callable[[Asked, Reply], Any]) -> Callable[[Asked, Reply], bytes]:
    return lambda asked, reply: openai_chat.compact(make(asked, reply))


def lined(make: Callable[[Asked, Reply], Any]) -> Callable[[Asked, Reply], bytes]:
    return lambda asked, reply: indented(make(asked, reply))


def form(content_type: str, body: bytes) -> dict[str, Any]:
    """The fields of multipart/form-data; a file is (name, content)."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    found: dict[str, Any] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        filename = part.get_filename()
        found[str(name)] = (filename, content) if filename else content.decode()
    return found


def speaker(path: str, query: str, content_type: str, body: bytes) -> Speaker | None:
    """Who answers a POST to `path`; None: nobody. ValueError, KeyError: the body is not what the endpoint takes."""
    if match := GEMINI_PATH.search(path):
        return _gemini(match["model"], match["verb"], query, json.loads(body))
    if match := BEDROCK_PATH.search(path):
        return _bedrock(match["model"], match["verb"], json.loads(body))
    if path.endswith("/messages"):
        asked = anthropic.asked(json.loads(body))
        return Speaker(asked, compacted(anthropic.answer), anthropic.events)
    if path.endswith("/messages/count_tokens"):
        asked = anthropic.asked({"max_tokens": 1, **json.loads(body)})
        asked.endpoint = "count_tokens"
        return Speaker(asked, lambda _, reply: openai_chat.compact(anthropic.count(reply)))
    return _openai(path, content_type, body)


def _openai(path: str, content_type: str, body: bytes) -> Speaker | None:
    azure = AZURE_PATH.search(path)
    if path.endswith("/chat/completions"):
        given = json.loads(body)
        asked = openai_chat.asked({"model": azure["model"], **given} if azure else given)
        return Speaker(
            asked, lined(openai_chat.answer),
            lambda asked, reply: openai_chat.events(asked, reply, azure is not None), end=openai_chat.DONE,
        )  # fmt: skip
    if path.endswith("/responses/compact"):
        asked = openai_responses.asked(json.loads(body))
        asked.endpoint = "compact"
        return Speaker(asked, lined(openai_responses.compaction))
    if path.endswith("/responses"):
        return Speaker(
            openai_responses.asked(json.loads(body)), lined(openai_responses.answer), openai_responses.events
        )
    if path.endswith("/audio/speech"):
        asked = openai_rest.asked("audio.speech", json.loads(body))
        return Speaker(asked, lambda _, reply: openai_rest.speech(reply), kind="audio/mpeg")
    if path.endswith(("/audio/transcriptions", "/audio/translations", "/images/edits")):
        given = form(content_type, body)
        asked = openai_rest.asked(path.rpartition("/")[2], given)
        if path.endswith("/images/edits"):
            return Speaker(asked, lined(openai_rest.images))
        asked.stream = given.get("stream") == "true"
        asked.everything = "sound " * 20
        return Speaker(asked, lined(openai_rest.transcription), openai_rest.transcription_events, end=openai_chat.DONE)
    for end, make, events in (
        ("/completions", openai_rest.completion, openai_rest.completion_events),
        ("/embeddings", openai_rest.embeddings, None),
        ("/images/generations", openai_rest.images, None),
        ("/moderations", openai_rest.moderation, None),
    ):
        if path.endswith(end):
            return Speaker(openai_rest.asked(end[1:], json.loads(body)), lined(make), events, end=openai_chat.DONE)
    return None


def _gemini(model: str, verb: str, query: str, body: dict[str, Any]) -> Speaker | None:
    kind = "application/json; charset=UTF-8"
    if verb in {"generateContent", "streamGenerateContent"}:
        stream = verb == "streamGenerateContent"
        asked = gemini.asked(model, body, stream)
        if stream and "alt=sse" not in query:
            raise ValueError("the array that streams without alt=sse is for nobody")
        return Speaker(asked, lined(gemini.answer), gemini.events, kind=kind, stream_kind="text/event-stream")
    if verb == "countTokens":
        asked = gemini.asked(model, body.get("generateContentRequest", body), False)
        asked.endpoint = verb
        return Speaker(asked, lambda _, reply: indented({"totalTokens": reply.input}), kind=kind)
    requests = [body] if verb == "embedContent" else body.get("requests", [])
    said = [" ".join(part["text"] for part in one["content"]["parts"]) for one in requests]
    asked = Asked("gemini", verb, model, words=" ".join(said), everything=" ".join(said), body=body)
    vectors = [gemini.embedding(text, int(requests[0].get("outputDimensionality") or 8)) for text in said]
    if verb == "embedContent":
        return Speaker(asked, lambda *_: indented({"embedding": vectors[0]}), kind=kind)
    if verb == "batchEmbedContents":
        return Speaker(asked, lambda *_: indented({"embeddings": vectors}), kind=kind)
    return None


def _bedrock(model: str, verb: str, body: dict[str, Any]) -> Speaker:
    asked = bedrock.asked(model, body, verb == "converse-stream")
    return Speaker(asked, compacted(bedrock.answer), bedrock.events, stream_kind=EVENT_STREAM)


def error_event(name: str, speaker: Speaker, request_id: str, number: int) -> bytes:
    """How an error is said in the middle of a stream."""
    dialect = speaker.asked.dialect
    body = body_of(name, dialect, request_id)
    if dialect == "bedrock":
        kind = ERRORS[name][4]
        return bedrock.exception(kind[0].lower() + kind[1:], body)
    if dialect == "anthropic":
        return b"event: error\ndata: %b\n\n" % openai_chat.compact(body)
    if dialect == "gemini":
        return b"data: %b\r\n\r\n" % json.dumps(body).encode()
    if speaker.asked.endpoint == "responses":
        _, (kind, code, message), *_ = ERRORS[name]
        return openai_responses.error(number, code or kind, message)
    return openai_chat.sse(body)
