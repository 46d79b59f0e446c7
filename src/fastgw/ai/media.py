"""Decides how OpenAI's APIs hold what is not text: in data URLs (RFC 2397), by URL, or as a file uploaded before."""

from __future__ import annotations

import base64
import binascii
import re

from .canonical import BodyError, Media, UnsupportedError

_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w.+-]+=[^;,]*)*;base64,")
_IMAGE = "image/png"
_DOCUMENT = "application/pdf"


def from_url(kind: str, url: str, place: str) -> Media:
    """What a URL leads to, or holds. BodyError."""
    match = _DATA.match(url)
    if match:
        return Media(kind, media_type=match[1], data=url[match.end() :])
    if url.startswith(("https://", "http://")):
        return Media(kind, url=url)
    raise BodyError("Send an https URL, or data:TYPE;base64,DATA.", place)


def from_data(kind: str, data: str, name: str) -> Media:
    """A document that may be a data URL, or base64 alone."""
    if data.startswith("data:"):
        found = from_url(kind, data, "messages")
        found.name = name
        return found
    return Media(kind, media_type=_DOCUMENT, data=data, name=name)


def to_url(media: Media) -> str:
    """UnsupportedError: it is a file that only its provider has."""
    if media.url:
        return media.url
    if not media.data:
        raise UnsupportedError(f"This provider takes no {media.kind} by the id of a file.", "messages")
    kind = media.media_type or (_IMAGE if media.kind == "image" else _DOCUMENT)
    return f"data:{kind};base64,{media.data}"


def text_of(media: Media) -> str | None:
    """What a document says that is text."""
    if media.kind != "document" or not media.media_type.startswith("text/") or not media.data:
        return None
    try:
        return base64.b64decode(media.data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise BodyError("A text document is no UTF-8 in base64.", "messages") from None
