"""Decides what the body of a request asks for, and refuses what would cost more than it seems to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from .._usage import Usage
from . import estimate, forms, sounds
from .canonical import BodyError, UnsupportedError
from .operations import JSON, OPAQUE, Operation
from .relay import Asked

T = TypeVar("T")
Fields = Mapping[str, Raw]

NAME_MAX = 256  # characters of a model's name
CHOICES_MAX = 128
PROMPTS_MAX = 2_048

# What callers bound the tokens of a choice by. Where several are said, all hold.
CAPS = {
    "chat": ("max_completion_tokens", "max_tokens"),
    "completions": ("max_tokens",),
    "responses": ("max_output_tokens",),
    "messages": ("max_tokens",),
}
# Where parts may be that are no text.
_MEDIA = dict.fromkeys(("responses", "compact", "input_tokens"), ("input",)) | dict.fromkeys(
    ("chat", "messages", "count_tokens"), ("messages",)
)
# Some servers take members of objects in any case, and the last one of two.
_GUARDED = frozenset(
    ("model", "stream", "stream_options", "n", "best_of", *(name for names in CAPS.values() for name in names))
)
_OTHER_CAPS = frozenset(("n_predict", "num_predict", "max_new_tokens"))
# What a call's price says nothing about.
_UNPRICED: dict[str, Callable[[Any], bool]] = {
    "service_tier": lambda value: value in ("priority", "fast"),
    "speed": lambda value: value != "standard",
    "models": bool,  # OpenRouter's: others than `model` may answer
    "plugins": bool,
    "background": bool,  # is answered before anything is known of its cost
}
_REFUSED = _OTHER_CAPS | _UNPRICED.keys()
IMAGE_TOKENS = {"low": 500, "medium": 1_600, "high": 6_300, "xhigh": 12_600, "max": 25_200}
SPOKEN_TOKENS = 8  # of text, in a second of speech
# Beginnings of the types of tools that a provider runs, and charges.
_HOSTED = ("web_search", "file_search", "code_interpreter", "image_generation", "browser_search")


class _Tool(msgspec.Struct):
    type: Any = None


_fields = msgspec.json.Decoder(dict[str, Raw])
_text = msgspec.json.Decoder(str)
_flag = msgspec.json.Decoder(bool | None)
_count = msgspec.json.Decoder(int | None)
_any = msgspec.json.Decoder()
_object = msgspec.json.Decoder(dict[str, Any] | None)
_tools = msgspec.json.Decoder(list[_Tool] | None)


class Body:
    """A request as it came, and what of it is known: the members of its JSON, or where a form names the model."""

    def __init__(self, raw: bytes, content_type: str, asked: Asked) -> None:
        self.raw = raw
        self.content_type = content_type
        self.asked = asked
        self.fields: dict[str, Raw] = {}
        self.caps: dict[str, int] = {}
        self.model_field: forms.Field | None = None

    def option(self, name: str) -> dict[str, Any]:
        """A member that is an object, {} where there is none."""
        return decode(_object, self.fields[name], name) or {} if name in self.fields else {}

    def hosted(self) -> str:
        """What the provider is to do beside generating, and charges by itself: a tool of its own, or ""."""
        if "web_search_options" in self.fields:
            return "web_search_options"
        tools = decode(_tools, self.fields["tools"], "tools") if "tools" in self.fields else None
        for tool in tools or ():
            if isinstance(tool.type, str) and tool.type.startswith(_HOSTED):
                return tool.type
        return ""


def read(operation: Operation, raw: bytes, content_type: str) -> Body:
    """Raises BodyError."""
    body = Body(raw, content_type, Asked(operation.name))
    if operation.body == OPAQUE:
        return body
    if operation.body == JSON or not content_type.lower().startswith("multipart/"):
        _read_json(operation, body)
    else:
        _read_form(operation, body)
    return body


def decode(decoder: msgspec.json.Decoder[T], raw: Raw | bytes, parameter: str = "") -> T:
    """Raises BodyError."""
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        place = parameter or "The body"
        raise BodyError(f"{place} is not as it should be: {error}", parameter) from None


def _read_json(operation: Operation, body: Body) -> None:
    fields = body.fields = decode(_fields, body.raw)
    for name in fields:
        if name not in _GUARDED and name.lower() in _GUARDED:
            raise BodyError(f"Write {name.lower()!r} in lower case.", name)
    if not _REFUSED.isdisjoint(fields):
        _refuse_unpriced(fields)
    asked = body.asked
    asked.model = _model(operation, decode(_text, fields["model"], "model") if "model" in fields else "")
    asked.stream = decode(_flag, fields["stream"], "stream") or False if "stream" in fields else False
    if asked.stream and operation.name == "compact":
        raise BodyError("A compaction is not streamed.", "stream")
    known = _input(operation, body)
    asked.input_tokens = known.held
    asked.usage = Usage(input=known.likely)
    names = CAPS.get(operation.name, ())
    asked.bounded = names != ()
    for name in names:
        cap = _number(fields, name, 1, 1 << 31)
        if cap is not None:
            body.caps[name] = cap
    asked.choices = _choices(operation.name, fields)
    asked.max_tokens = min(body.caps.values()) * asked.choices if body.caps else 0
    if operation.name in _KNOWN:
        asked.usage = _KNOWN[operation.name](fields, asked.usage)


def _refuse_unpriced(fields: Fields) -> None:
    for name in _OTHER_CAPS & fields.keys():
        raise BodyError(f"Say max_tokens instead of {name}.", name)
    for name in _UNPRICED.keys() & fields.keys():
        value = decode(_any, fields[name], name)
        if value is not None and _UNPRICED[name](value):
            raise UnsupportedError(f"This gateway has no price for {name}; leave it out.", name)


def _model(operation: Operation, name: str) -> str:
    if not name and operation.name != "moderations":
        raise BodyError("Say which model is to answer; GET /v1/models lists them.", "model")
    if len(name) > NAME_MAX:
        raise BodyError("No model has so long a name.", "model")
    return name


def _input(operation: Operation, body: Body) -> estimate.Input:
    lists = [body.fields[name] for name in _MEDIA.get(operation.name, ()) if name in body.fields]
    try:
        known = estimate.request(body.raw, *lists)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BodyError(f"The messages are not as they should be: {error}", "messages") from None
    if operation.name in ("responses", "compact"):
        stored = sum(name in body.fields for name in ("previous_response_id", "conversation", "prompt"))
        known.held += stored * estimate.UNSEEN_TOKENS
        known.likely += stored * estimate.UNSEEN_TOKENS
    return known


def _number(fields: Fields, name: str, least: int, most: int) -> int | None:
    value = decode(_count, fields[name], name) if name in fields else None
    if value is not None and not least <= value <= most:
        raise BodyError(f"{name} must be between {least} and {most}.", name)
    return value


def _choices(operation: str, fields: Fields) -> int:
    choices = _number(fields, "n", 1, CHOICES_MAX) or 1
    if operation == "chat":
        return choices
    if operation != "completions":
        return 1
    prompts: object = decode(_any, fields["prompt"], "prompt") if "prompt" in fields else ""
    several = len(prompts) if isinstance(prompts, list) and not isinstance(next(iter(prompts), 0), int) else 1
    if several > PROMPTS_MAX:
        raise BodyError(f"Send at most {PROMPTS_MAX} prompts.", "prompt")
    return max(choices, _number(fields, "best_of", 1, CHOICES_MAX) or 1) * max(several, 1)


# What is known beforehand of calls that are not paid by generated tokens


def _images(fields: Fields, usage: Usage) -> Usage:
    quality = decode(_any, fields["quality"], "quality") if "quality" in fields else None
    return _pictures(_number(fields, "n", 1, CHOICES_MAX) or 1, quality, usage)


def _pictures(images: int, quality: object, usage: Usage) -> Usage:
    tokens = IMAGE_TOKENS.get(quality if isinstance(quality, str) else "", IMAGE_TOKENS["high"])
    return Usage(input=usage.input, output=images * tokens, images=images)


def _speech(fields: Fields, usage: Usage) -> Usage:
    text = decode(_text, fields["input"], "input") if "input" in fields else ""
    tokens = len(text.encode("utf-8", "surrogatepass")) * estimate.SPEECH_BYTE_TOKENS
    return Usage(input=usage.input, output=tokens, audio_out=tokens, characters=len(text))


_KNOWN: dict[str, Callable[[Fields, Usage], Usage]] = {
    "images": _images,
    "image_edits": _images,
    "speech": _speech,
}


# Forms


def _read_form(operation: Operation, body: Body) -> None:
    asked = body.asked
    texts: dict[str, str] = {}
    files: list[memoryview] = []
    for field in forms.fields(body.raw, body.content_type):
        if field.is_file and field.name not in _GUARDED:
            files.append(memoryview(body.raw)[field.start : field.end])
            continue
        if field.name in _GUARDED and (field.is_file or field.name in texts):
            raise BodyError(f"Send {field.name} once, and not as a file.", field.name)
        texts[field.name] = body.raw[field.start : min(field.end, field.start + 65_536)].decode("utf-8", "replace")
        if field.name == "model":
            body.model_field = field
    asked.model = _model(operation, texts.get("model", ""))
    asked.stream = texts.get("stream", "").lower() in ("true", "1")
    text = sum(map(len, texts.values()))
    if operation.name in ("transcriptions", "translations"):
        asked.usage = _listening(sum(map(sounds.seconds, files)), text)
    else:
        images = texts.get("n", "1")
        if not images.isdecimal() or not 1 <= int(images) <= CHOICES_MAX:
            raise BodyError(f"n must be between 1 and {CHOICES_MAX}.", "n")
        seen = Usage(input=text // 2 + len(files) * estimate.IMAGE_TOKENS)
        asked.usage = _pictures(int(images), texts.get("quality"), seen)
    asked.input_tokens = asked.usage.input


def _listening(seconds: int, text: int) -> Usage:
    audio = seconds * estimate.AUDIO_SECOND_TOKENS
    return Usage(input=audio + text // 2, audio_in=audio, output=seconds * SPOKEN_TOKENS, seconds=seconds)
