"""Decides what passes of the answers whose events are named by a type, and what they have cost: OpenAI's others."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Raw, Struct

from .._json import ODD, Picker
from .._usage import Usage
from . import errors, reported
from .estimate import piece, tokens_of
from .passing import SOUND_BYTES, Passing, reads
from .relay import Portion


class _Item(Struct):
    type: str | None = None


class _Response(Struct):
    usage: dict[str, Any] | None = None
    tool_usage: dict[str, Any] | None = None
    error: Any = None
    output: list[_Item] | None = None


class _Event(Struct):
    type: str | None = None
    delta: str | None = None
    usage: dict[str, Any] | None = None
    response: _Response | None = None
    item: _Item | None = None
    error: Any = None
    message: Any = None


_event = msgspec.json.Decoder(_Event)
ENDS = frozenset(
    (
        "response.completed", "response.incomplete", "response.failed",
        "transcript.text.done", "speech.audio.done", "image_generation.completed", "image_edit.completed",
    )
)  # fmt: skip
HOSTED = frozenset(("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"))


_typed_picker = Picker("type", "delta")
TYPE, DELTA = range(2)


class Typed(Passing):
    """Responses, and streams of images, transcriptions and speech."""

    def plain(self, block: bytes) -> int:
        found = _typed_picker
        if not reads(found, block):
            return ODD
        size = found.size(DELTA)
        kind = found.string(TYPE)
        return tokens_of(size) if size >= 0 and kind is not None and "audio.delta" not in kind else ODD

    def event(self, data: bytes) -> int:
        if data == b"[DONE]":
            return 0
        try:
            event = _event.decode(data)
        except (msgspec.DecodeError, RecursionError):
            return self.odd(data)
        kind = event.type
        if event.delta is not None:
            return -(-len(event.delta) // SOUND_BYTES) if kind and "audio.delta" in kind else piece(event.delta)
        if kind in ENDS:
            self._end(event)
        elif kind == "error" or event.error is not None:
            self.failure = errors.told_failure(0, {"error": event.error or {"message": event.message}})
        return 0

    def _end(self, event: _Event) -> None:
        self.ended = True
        response = event.response or _Response()
        self.usage = _counted(self.told(event.usage or response.usage), response)
        if response.error is not None:
            self.failure = errors.told_failure(0, {"error": response.error})


def _counted(usage: Usage | None, response: _Response) -> Usage | None:
    """With what the provider's own tools have been called for: as it tells, or as it shows."""
    calls = [item.type for item in response.output or () if item.type in HOSTED]
    told = reported.count((response.tool_usage or {}).get("web_search"), "num_requests")
    searches = len(calls) if told is None else told + sum(kind != "web_search_call" for kind in calls)
    return usage.replace(searches=usage.searches + searches) if usage and searches else usage


_response = msgspec.json.Decoder(_Response)


class Responses(Typed):
    generates = True

    def whole(self, body: bytes) -> bytes:
        Passing.whole(self, body)
        with suppress(msgspec.DecodeError):  # of odd items: what is told of tokens stands
            self.usage = _counted(self.usage, _response.decode(body))
        return body


class _Transcript(Struct):
    duration: float | str | None = None
    usage: Any = None


_transcript = msgspec.json.Decoder(_Transcript)
_TIMES = re.compile(rb"--> (?:(\d+):)?(\d\d):(\d\d)[.,](\d{3})")  # of SubRip and WebVTT


class Transcripts(Typed):
    """Transcriptions, paid by the second of sound or by tokens: of the forms that tell neither, some say when the last
    words are spoken."""

    def __init__(self, *, by_second: bool) -> None:
        super().__init__()
        self._by_second = by_second

    def whole(self, body: bytes) -> bytes:
        Passing.whole(self, body)
        self.ended = True
        if self.usage is None and (seconds := _seconds(body)):
            self.usage = Usage(seconds=seconds)
        if self.usage is not None and not self._by_second and self.usage == Usage(seconds=self.usage.seconds):
            self.usage = None  # it is paid by its tokens, which are not told
        return body


def _seconds(body: bytes) -> int:
    try:
        duration = _transcript.decode(body).duration
        return reported.count({"duration": float(duration)}, "duration") or 0 if duration else 0
    except (ValueError, RecursionError):
        times = _TIMES.findall(body)
    if not times:
        return 0
    hours, minutes, seconds, thousandths = (int(digits or 0) for digits in times[-1])
    return min(hours * 3_600 + minutes * 60 + seconds + (thousandths > 0), reported.COUNT_MAX)


class _Images(Struct):
    data: list[Raw] | None = None


_images = msgspec.json.Decoder(_Images)


class Images(Typed):
    """Images, paid for each, or for their tokens where the provider tells these."""

    def __init__(self, *, each: bool) -> None:
        super().__init__()
        self._each = each
        self._made = 0

    def whole(self, body: bytes) -> bytes:
        Passing.whole(self, body)
        try:
            images = len(_images.decode(body).data or ())
        except msgspec.DecodeError:
            return body
        if self.usage is not None or self._each:
            self.usage = (self.usage or Usage()).replace(images=images)
        return body

    def _end(self, event: _Event) -> None:
        """One of the images is there, and says its own usage."""
        self._made += 1
        told = self.told(event.usage)
        if told is not None or self._each:
            so_far, more = self.known or Usage(), told or Usage()
            self.known = Usage(
                input=so_far.input + more.input, output=so_far.output + more.output, images=so_far.images + 1
            )

    def finish(self) -> list[Portion]:
        portions = super().finish()
        self.ended = self._made > 0 and self.failure is None
        self.usage = self.known if self.ended else None
        return portions
