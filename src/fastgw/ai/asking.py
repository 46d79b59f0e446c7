"""Decides what the body of a request asks for, and refuses what would cost more than it seems to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from .._json import ABSENT, ODD, Picker
from .._usage import Usage
from . import estimate, forms, passing, sounds
from .canonical import BodyError, UnsupportedError
from .estimate import has_types, request
from .members import (
    BEST_OF,
    CAPS,
    INPUT,
    MAX_COMPLETION_TOKENS,
    MESSAGES,
    MODEL,
    NAMES,
    OTHER_CAPS,
    PROMPT,
    SEARCH,
    SELDOM,
    STREAM,
    TOOLS,
    UNPRICED,
    N,
)  # fmt: skip
from .operations import JSON, OPAQUE, Operation
from .relay import Asked

T = TypeVar("T")
Fields = Mapping[str, Raw]

NAME_MAX = 256  # characters of a model's name
CHOICES_MAX = 128
PROMPTS_MAX = 2_048

# Where parts may be that are no text.
_MEDIA = dict.fromkeys(("chat", "messages", "count_tokens"), MESSAGES) | dict.fromkeys(
    ("responses", "compact", "input_tokens"), INPUT
)
# Some servers take members of objects in any case, and the last one of two.
_GUARDED = frozenset((*NAMES[: N + 1], "best_of", *NAMES[MAX_COMPLETION_TOKENS:PROMPT]))
_REFUSED = frozenset((*OTHER_CAPS, *UNPRICED))
_STORED = ("previous_response_id", "conversation", "prompt")
IMAGE_TOKENS = {"low": 500, "medium": 1_600, "high": 6_300, "xhigh": 12_600, "max": 25_200}
SPOKEN_TOKENS = 8  # of text, in a second of speech
# Beginnings of the types of tools that a provider runs, and charges.
_HOSTED = ("web_search", "file_search", "code_interpreter", "image_generation", "browser_search")


_picker = Picker(*NAMES)


class _Tool(msgspec.Struct):
    type: Any = None


_json = msgspec.json.Encoder()
_fields: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])
_text = msgspec.json.Decoder(str)
_flag = msgspec.json.Decoder(bool | None)
_count = msgspec.json.Decoder(int | None)
_any = msgspec.json.Decoder()
_object = msgspec.json.Decoder(dict[str, Any] | None)
_tools = msgspec.json.Decoder(list[_Tool] | None)


class Body:
    """A request as it came, and what of it is known. Where it `is_json` that is not `plain`, its members are `fields`;
    of a form, it is known where it names the model."""

    def __init__(self, raw: bytes, content_type: str, asked: Asked) -> None:
        self.raw = raw
        self.content_type = content_type
        self.asked = asked
        self.is_json = False
        self.plain = False
        self.fields: dict[str, Raw] = {}
        self.caps: dict[int, int] = {}
        self.hosted = ""  # what the provider is to do beside generating, and charges by itself: a tool of its own
        self.model_field: forms.Field | None = None

    def member(self, place: int) -> bytes | Raw | None:
        """The JSON of one of its members, None where it is not there."""
        if not self.plain:
            return self.fields.get(NAMES[place])
        if not _picker.holds(self.raw):
            _picker.read(self.raw)
        return _picker.value(place) or None

    def option(self, place: int) -> dict[str, Any]:
        """A member that is an object, {} where there is none."""
        raw = self.member(place)
        return {} if raw is None else decode(_object, raw, NAMES[place]) or {}

    def changed(self, changes: Mapping[int, Any]) -> bytes:
        """The body with other values for some of its members; None leaves one out."""
        if self.plain and not changes:
            return self.raw
        if not self.plain or None in changes.values():
            named = {NAMES[place]: value for place, value in changes.items()}
            return passing.request(self.fields or _fields.decode(self.raw), named)
        if not _picker.holds(self.raw):
            _picker.read(self.raw)
        return _picker.changed(list(changes), [_json.encode(value) for value in changes.values()])


def read_body(operation: Operation, raw: bytes, content_type: str) -> Body:
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
    name = operation.name
    body.is_json = True
    if name not in _KNOWN and _picker.read(body.raw) and not _picker.any(SELDOM, len(NAMES)):
        body.plain = True
    else:
        body.fields = _members(body.raw)
    asked = body.asked
    asked.model = _model(operation, _string(body, MODEL))
    asked.stream = _is_true(body, STREAM)
    if asked.stream and name == "compact":
        raise BodyError("A compaction is not streamed.", "stream")
    _estimate(operation, body)
    body.hosted = _hosted(body)
    asked.bounded = name in CAPS
    if asked.bounded:
        least = 0
        for cap in CAPS[name]:
            most = _number(body, cap, 1, 1 << 31)
            if most >= 0:
                body.caps[cap] = most
                least = min(least, most) if least else most
        asked.choices = _choices(name, body)
        asked.max_tokens = least * asked.choices
    if name in _KNOWN:
        asked.usage = _KNOWN[name](body, asked.usage)


def _members(raw: bytes) -> dict[str, Raw]:
    fields = decode(_fields, raw)
    for name in fields:
        if name not in _GUARDED and name.lower() in _GUARDED:
            raise BodyError(f"Write {name.lower()!r} in lower case.", name)
    if not _REFUSED.isdisjoint(fields):
        _refuse_unpriced(fields)
    return fields


def _refuse_unpriced(fields: Fields) -> None:
    for name in fields.keys() & OTHER_CAPS:
        raise BodyError(f"Say max_tokens instead of {name}.", name)
    for name in UNPRICED.keys() & fields.keys():
        value = decode(_any, fields[name], name)
        if value is not None and UNPRICED[name](value):
            raise UnsupportedError(f"This gateway has no price for {name}; leave it out.", name)


def _model(operation: Operation, name: str) -> str:
    if not name and operation.name != "moderations":
        raise BodyError("Say which model is to answer; GET /v1/models lists them.", "model")
    if len(name) > NAME_MAX:
        raise BodyError("No model has so long a name.", "model")
    return name


def _estimate(operation: Operation, body: Body) -> None:
    """How many tokens of input there are."""
    raw = body.raw
    messages = body.member(_MEDIA[operation.name]) if operation.name in _MEDIA and has_types(raw) else None
    try:
        held, likely = request(raw, messages)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BodyError(f"The messages are not as they should be: {error}", "messages") from None
    if not body.plain:
        unseen = _unseen(operation.name, body)
        held += unseen
        likely += unseen
    body.asked.input_tokens = held
    body.asked.usage = Usage(input=likely)


def _unseen(operation: str, body: Body) -> int:
    """Tokens of what a request does not hold, but names."""
    if operation not in ("responses", "compact"):
        return 0
    return sum(name in body.fields for name in _STORED) * estimate.UNSEEN_TOKENS


def _hosted(body: Body) -> str:
    if body.member(SEARCH) is not None:
        return "web_search_options"
    raw = body.member(TOOLS)
    for tool in () if raw is None else decode(_tools, raw, "tools") or ():
        if isinstance(tool.type, str) and tool.type.startswith(_HOSTED):
            return tool.type
    return ""


def _string(body: Body, place: int) -> str:
    """A member that is a string, "" where it is not there."""
    text = _picker.string(place) if body.plain else None
    if text:
        return text
    raw = body.member(place)
    return "" if raw is None else decode(_text, raw, NAMES[place])


def _is_true(body: Body, place: int) -> bool:
    flag = _picker.flag(place) if body.plain else ODD
    if flag != ODD:
        return flag == 1
    raw = body.member(place)
    return raw is not None and bool(decode(_flag, raw, NAMES[place]))


def _number(body: Body, place: int, least: int, most: int) -> int:
    """A member that is a number, ABSENT where it is null or not there."""
    value = _picker.number(place) if body.plain else ODD
    if value == ODD:
        raw = body.member(place)
        said = None if raw is None else decode(_count, raw, NAMES[place])
        value = ABSENT if said is None else min(max(said, ODD), most + 1)
    if value != ABSENT and not least <= value <= most:
        raise BodyError(f"{NAMES[place]} must be between {least} and {most}.", NAMES[place])
    return value


def _choices(operation: str, body: Body) -> int:
    choices = max(_number(body, N, 1, CHOICES_MAX), 1)
    if operation == "chat":
        return choices
    if operation != "completions":
        return 1
    raw = body.member(PROMPT)
    prompts: object = "" if raw is None else decode(_any, raw, "prompt")
    several = len(prompts) if isinstance(prompts, list) and not isinstance(next(iter(prompts), 0), int) else 1
    if several > PROMPTS_MAX:
        raise BodyError(f"Send at most {PROMPTS_MAX} prompts.", "prompt")
    return max(choices, _number(body, BEST_OF, 1, CHOICES_MAX), 1) * max(several, 1)


# What is known beforehand of calls that are not paid by generated tokens


def _images(body: Body, usage: Usage) -> Usage:
    raw = body.fields.get("quality")
    quality = None if raw is None else decode(_any, raw, "quality")
    return _pictures(max(_number(body, N, 1, CHOICES_MAX), 1), quality, usage)


def _pictures(images: int, quality: object, usage: Usage) -> Usage:
    tokens = IMAGE_TOKENS.get(quality if isinstance(quality, str) else "", IMAGE_TOKENS["high"])
    return Usage(input=usage.input, output=images * tokens, images=images)


def _speech(body: Body, usage: Usage) -> Usage:
    text = _string(body, INPUT)
    tokens = len(text.encode("utf-8", "surrogatepass")) * estimate.SPEECH_BYTE_TOKENS
    return Usage(input=usage.input, output=tokens, audio_out=tokens, characters=len(text))


_KNOWN: dict[str, Callable[[Body, Usage], Usage]] = {
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
