"""Decides how OpenAI's embeddings are asked of Gemini, and how its answer is told.

https://ai.google.dev/api/embeddings#method:-models.batchembedcontents
"""

from __future__ import annotations

import base64
import sys
from array import array
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from .._usage import Usage
from . import bodies, gemini_answers
from .bodies import given, resource
from .canonical import BodyError, UnsupportedError


class Embeddings(Struct):
    """What a caller asks for."""

    model: str
    input: str | Annotated[list[Any], Meta(min_length=1)]
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] | None = None

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


class _Embedding(Struct):
    values: list[float]


class _Answer(Struct, rename="camel"):
    embeddings: list[_Embedding]
    usage_metadata: Any = None


_ASKED = msgspec.json.Decoder(Embeddings)
_ANSWER = msgspec.json.Decoder(_Answer)


def read_request(body: bytes) -> Embeddings:
    """A caller's request. BodyError."""
    asked = bodies.read(_ASKED, body)
    for place, text in enumerate(asked.input):
        if isinstance(text, (int, list)):
            raise UnsupportedError("Gemini embeds texts, not tokens", "input")
        if not isinstance(text, str):
            raise BodyError("Expected `str`", f"input[{place}]")
    return asked


def path(model: str) -> str:
    return f"/{resource(model)}:batchEmbedContents"


def write_request(asked: Embeddings, model: str) -> bytes:
    """The body for a provider."""
    fields = {"model": resource(model), **given(outputDimensionality=asked.dimensions)}
    return msgspec.json.encode(
        {"requests": [{**fields, "content": {"parts": [{"text": text}]}} for text in asked.texts]}
    )


def read_answer(asked: Embeddings, body: bytes) -> tuple[bytes, Usage | None]:
    """The body for the caller, of the provider's, and the usage, if that tells it. ValueError."""
    answer = _ANSWER.decode(body)
    if len(answer.embeddings) != len(asked.texts):
        raise ValueError("the provider has not embedded every text")
    used = gemini_answers.usage(answer.usage_metadata)
    tokens = used.input if used else 0
    shown = _base64 if asked.encoding_format == "base64" else list
    told = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": shown(embedding.values)}
            for index, embedding in enumerate(answer.embeddings)
        ],
        "model": asked.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return msgspec.json.encode(told), used


def _base64(values: list[float]) -> str:
    """Numbers of 32 bits, little-endian."""
    numbers = array("f", values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers).decode()
