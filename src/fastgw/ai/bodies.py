"""Decides what is told to a caller whose body is not what its endpoint takes, and helps to write bodies."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from .canonical import BodyError, UnsupportedError

Body = TypeVar("Body")


def read(decoder: msgspec.json.Decoder[Body], body: bytes) -> Body:
    """A caller's body. BodyError names the place of what is wrong; a `type` that the decoder's unions do not know is a
    thing of the caller's dialect alone, so UnsupportedError."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        place = place.rstrip("`").lstrip(".")
        kind = UnsupportedError if place.endswith("type") and message.startswith("Invalid") else BodyError
        raise kind(message, place) from None
    except (ValueError, RecursionError) as error:
        raise BodyError(f"the body is no JSON that can be read: {error}") from None


def given(**fields: Any) -> dict[str, Any]:
    """The fields that say something: None, "", [] and {} do not."""
    return {name: value for name, value in fields.items() if value is not None and value not in ("", [], {})}


def json_object(text: str) -> msgspec.Raw:
    """The arguments of a tool call as the object that they have to be. A model that was cut, or wrote nonsense, is
    quoted: what a caller cannot mend in its history must not end the conversation."""
    try:
        if isinstance(msgspec.json.decode(text), dict):
            return msgspec.Raw(text.encode())
    except (ValueError, RecursionError):
        pass
    return msgspec.Raw(msgspec.json.encode({"arguments": text} if text.strip() else {}))


def json_or_text(text: str) -> msgspec.Raw | str:
    """What a tool has said, as an object or a list if it is one."""
    if text.startswith(("{", "[")):
        try:
            msgspec.json.decode(text)
        except (ValueError, RecursionError):
            return text
        return msgspec.Raw(text.encode())
    return text


def segment(model: str) -> str:
    """The name of a model as one segment of a path."""
    if not model.strip("."):
        raise BodyError("the model has no name that a path can hold", "model")
    return quote(model, safe="")


def resource(model: str) -> str:
    """The name of a model of Google as a path."""
    return f"models/{segment(model.removeprefix('models/'))}"
