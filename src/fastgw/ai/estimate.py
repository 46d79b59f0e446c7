"""Decides how many tokens something comes to that no provider has counted yet.

What is sent is estimated upwards for what must be held, and as likely for what is charged where the provider never
tells. Nothing here knows a model's vocabulary: bytes are counted, and of pictures and sounds their kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw, Struct

from .._json import contains

BACKSLASH = 92
LITTLE_BYTES = 12  # a piece of a stream that is one token
IMAGE_TOKENS = 3_000
UNSEEN_TOKENS = 20_000  # what the provider fetches or has stored: its size is not ours to see
DOCUMENT_TOKENS = 3_000  # and one for so many bytes of base64:
DOCUMENT_BYTES = 32
AUDIO_BYTES = 500  # of base64, for a token
AUDIO_SECOND_TOKENS = 20
SPEECH_BYTE_TOKENS = 2  # of sound, for a byte of text

IMAGES = frozenset(("image", "image_url", "input_image"))
DOCUMENTS = frozenset(("document", "file", "input_file"))
SOUNDS = frozenset(("audio", "input_audio"))
FILMS = frozenset(("video", "video_url", "input_video"))
WRITTEN = frozenset(("text", "content"))  # sources of documents that are text


class _Item(Struct):
    """A message or a part of one, as far as it may hold parts that are not text."""

    type: Any = None
    content: Raw = Raw(b"")
    output: Raw = Raw(b"")
    source: Raw = Raw(b"")


class _Source(Struct):
    type: Any = None


_raws = msgspec.json.Decoder(list[Raw])
_item = msgspec.json.Decoder(_Item)
_source = msgspec.json.Decoder(_Source)


def piece(text: str) -> int:
    """Tokens of output in a piece of a stream, or in a whole text."""
    return tokens_of(len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")))


def tokens_of(size: int) -> int:
    """The same of its bytes of UTF-8."""
    return (size + 3) // 4 if size > LITTLE_BYTES else 1 if size > 0 else 0


def has_types(body: bytes) -> bool:
    """Whether anything in it may have a type: else it is all text."""
    return contains(body, b'"type"') or (BACKSLASH in body and contains(body, b"\\u"))  # a name may be spelt in escapes


def request(body: bytes, messages: Raw | bytes | None = None) -> tuple[int, int]:
    """Tokens of input in a body of JSON: upwards, and without erring on purpose. `messages` is the list in it that may
    hold media.

    Raises msgspec.DecodeError.
    """
    size = len(body)
    flat = 0
    for item, kind in () if messages is None else _media(messages):
        held = len(memoryview(item))
        size -= held
        flat += _flat(kind, held)
    return -(-size // 2) + flat, -(-size // 4) + flat


def _media(messages: Raw | bytes) -> Iterator[tuple[Raw, str]]:
    """What is not text in a list of messages, items and parts, and of what kind it is."""
    waiting = [messages]
    while waiting:
        here = waiting.pop()
        if not _begins(here, "["):
            continue
        for raw in _raws.decode(here):
            if not _begins(raw, "{"):
                continue
            item = _item.decode(raw)
            kind = item.type if isinstance(item.type, str) else ""
            if kind in IMAGES or kind in SOUNDS or kind in FILMS or (kind in DOCUMENTS and not _is_text(item.source)):
                yield raw, kind
            else:
                waiting += (item.content, item.output)


def _begins(raw: Raw | bytes, sign: str) -> bool:
    view = memoryview(raw)
    return len(view) > 0 and view[0] == ord(sign)


def _is_text(source: Raw) -> bool:
    return _begins(source, "{") and _source.decode(source).type in WRITTEN


def _flat(kind: str, size: int) -> int:
    if kind in IMAGES:
        return IMAGE_TOKENS
    if kind in SOUNDS:
        return -(-size // AUDIO_BYTES)
    if kind in FILMS or size < 1_000:
        return UNSEEN_TOKENS
    return DOCUMENT_TOKENS + size // DOCUMENT_BYTES
