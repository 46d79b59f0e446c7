"""Decides what a provider's own account of a call means, and what of it is not to be believed.

Providers add fields, leave fields out and get types wrong: what is not a sensible number counts as not said, and where
nothing is said there is no usage at all. What makes sense as a whole, as nearly always, is read as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from .._json import ABSENT, Picker
from .._usage import Usage

COUNT_MAX = 1 << 31  # tokens, bytes, seconds: nobody serves more in one call

Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]


class _Lasting(Struct):
    ttl_12h_tokens: Count | None = None


class _Inside(Struct):
    """Parts of the input."""

    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    cache_creation_tokens: Count | None = None
    cache_write_tokens_details: _Lasting | None = None
    audio_tokens: Count | None = None


class _Outside(Struct):
    """Parts of the output."""

    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None


class Told(Struct):
    """An account in OpenAI's form, whatever the endpoint."""

    total_tokens: Count | None = None
    prompt_tokens: Count | None = None
    input_tokens: Count | None = None
    completion_tokens: Count | None = None
    output_tokens: Count | None = None
    seconds: Count | None = None
    prompt_tokens_details: _Inside | None = None
    input_tokens_details: _Inside | None = None
    input_token_details: _Inside | None = None
    completion_tokens_details: _Outside | None = None
    output_tokens_details: _Outside | None = None
    prompt_cache_hit_tokens: Count | None = None
    cached_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    num_search_queries: Count | None = None


_PARTS: dict[str, type[Struct]] = {
    "prompt_tokens_details": _Inside,
    "input_tokens_details": _Inside,
    "input_token_details": _Inside,
    "completion_tokens_details": _Outside,
    "output_tokens_details": _Outside,
    "cache_write_tokens_details": _Lasting,
}
_NO_INSIDE, _NO_OUTSIDE = _Inside(), _Outside()

# The same where they stand in the JSON of a whole answer, of whatever dialect.
_INSIDE = ("cached_tokens", "cache_write_tokens", "cache_creation_tokens", "cache_write_tokens_details.ttl_12h_tokens",
           "audio_tokens")  # fmt: skip
_OUTSIDE = ("reasoning_tokens", "audio_tokens")
_OBJECTS = ("prompt_tokens_details", "input_tokens_details", "input_token_details", "completion_tokens_details",
            "output_tokens_details")  # fmt: skip
_picker = Picker(
    *(f"usage.{name}" for name in _OBJECTS),
    *(f"usage.{name}" for name in (
        "total_tokens", "prompt_tokens", "input_tokens", "completion_tokens", "output_tokens", "seconds",
        "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens", "num_search_queries",
    )),
    *(f"usage.{place}.{name}" for place in _OBJECTS[:3] for name in _INSIDE),
    *(f"usage.{place}.{name}" for place in _OBJECTS[3:] for name in _OUTSIDE),
    "usage.cache_creation_input_tokens", "usage.cache_creation.ephemeral_1h_input_tokens",
    "usage.output_tokens_details.thinking_tokens", "usage.server_tool_use.web_search_requests",
)  # fmt: skip
DETAILS, TOTAL, PROMPT, INPUT, COMPLETION, OUTPUT, SECONDS = 0, 5, 6, 7, 8, 9, 10
CACHE_HIT, CACHED, CACHE_READ, SEARCHES, INSIDE, OUTSIDE, WRITTEN = 11, 12, 13, 14, 15, 30, 34
LASTING, THINKING, SEARCH_REQUESTS, COUNTS = 35, 36, 37, 38
INSIDES, OUTSIDES = 3, 2  # places where parts of the input may be told, and of the output
INSIDE_NUMBERS, OUTSIDE_NUMBERS = len(_INSIDE), len(_OUTSIDE)


def count(told: object, name: str) -> int | None:
    """A number of an object, or None where it does not say one that makes sense; parts of a second are rounded up."""
    value = told.get(name) if isinstance(told, dict) else None
    if isinstance(value, float) and 0 <= value <= COUNT_MAX:
        return -int(-value // 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return min(value, COUNT_MAX)


def _said(told: object) -> Told | None:
    """An account, and of one that makes no sense as a whole the parts that do."""
    if isinstance(told, Told) or not isinstance(told, dict):
        return told if isinstance(told, Told) else None
    try:
        return msgspec.convert(told, Told)
    except msgspec.ValidationError:
        return Told(**_sensible(Told, told))


def _sensible(kind: type[Struct], told: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _part(_PARTS[name], told.get(name)) if name in _PARTS else count(told, name)
        for name in kind.__struct_fields__
    }


def _part(kind: type[Struct], told: object) -> Struct | None:
    return kind(**_sensible(kind, told)) if isinstance(told, dict) else None


def read(raw: Raw | bytes, dialect: str = "openai") -> Usage | None:
    """The usage that a provider of this dialect tells in JSON."""
    try:
        told = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    return anthropic(told) if dialect == "anthropic" else openai(told)


def openai(told: Any) -> Usage | None:
    """Usage of chat completions, responses, embeddings, images or transcriptions, of OpenAI or those who speak like it.

    Where the total is more than its parts, the rest was generated too: xAI and Gemini leave out what was thought.
    """
    said = _said(told)
    if said is None:
        return None
    inside = said.prompt_tokens_details or said.input_tokens_details or said.input_token_details or _NO_INSIDE
    outside = said.completion_tokens_details or said.output_tokens_details or _NO_OUTSIDE
    lasting = inside.cache_write_tokens_details
    return _openai(
        _known(said.total_tokens), _known(said.prompt_tokens), _known(said.input_tokens),
        _known(said.completion_tokens), _known(said.output_tokens), _known(said.seconds),
        _known(said.prompt_cache_hit_tokens), _known(said.cached_tokens), _known(said.cache_read_input_tokens),
        _known(said.num_search_queries), _known(inside.cached_tokens), _known(inside.cache_write_tokens),
        _known(inside.cache_creation_tokens), ABSENT if lasting is None else _known(lasting.ttl_12h_tokens),
        _known(inside.audio_tokens), _known(outside.reasoning_tokens), _known(outside.audio_tokens),
    )  # fmt: skip


def _known(number: int | None) -> int:
    return ABSENT if number is None else number


def _openai(
    total: int, prompt: int, input_: int, completion: int, output: int, seconds: int, cache_hit: int, cached: int,
    cache_read: int, searches: int, cached_inside: int, written: int, created: int, lasting: int, audio_in: int,
    reasoning: int, audio_out: int,
) -> Usage | None:  # fmt: skip
    """Of the numbers of an account, each ABSENT where it is not said."""
    taken = prompt if prompt >= 0 else input_
    made = completion if completion >= 0 else output
    if taken < 0 and made < 0 and total < 0 and seconds < 0:
        return None
    visible = max(made, 0)
    taken = taken if taken >= 0 else max(max(total, 0) - visible, 0)
    made = max(visible, max(total, 0) - taken)
    for other in (cache_hit, cached, cache_read):
        if cached_inside < 0:
            cached_inside = other
    written = min(max(written if written >= 0 else created, 0), taken)
    usage = Usage.__new__(Usage)
    usage.input = taken
    usage.cached = min(max(cached_inside, 0), taken)
    usage.written = written
    usage.written_long = min(max(lasting, 0), written)
    usage.audio_in = min(max(audio_in, 0), taken)
    usage.output = made
    usage.reasoning = min(reasoning if reasoning >= 0 else made - visible, made)
    usage.audio_out = min(max(audio_out, 0), made)
    usage.searches = max(searches, 0)
    usage.seconds = max(seconds, 0)
    return usage


def anthropic(told: Any, before: Usage | None = None) -> Usage | None:
    """Usage of messages; `before` is what the beginning of a stream told, for what its end leaves out.

    `input_tokens` is what was neither read from the cache nor written to it.
    """
    if not isinstance(told, dict):
        return before
    return _anthropic(
        before, _known(count(told, "input_tokens")), _known(count(told, "output_tokens")),
        _known(count(told, "cache_read_input_tokens")), _known(count(told, "cache_creation_input_tokens")),
        _known(count(told.get("cache_creation"), "ephemeral_1h_input_tokens")),
        _known(count(told.get("output_tokens_details"), "thinking_tokens")),
        _known(count(told.get("server_tool_use"), "web_search_requests")),
    )  # fmt: skip


def _anthropic(
    before: Usage | None, plain: int, made: int, cached: int, written: int, lasting: int, thought: int, searches: int
) -> Usage | None:
    """Of the numbers of an account, each ABSENT where it is not said."""
    if plain < 0 and made < 0:
        return before
    was = before or Usage()
    if plain < 0:
        plain = was.input - was.cached - was.written
    cached = was.cached if cached < 0 else cached
    written = was.written if written < 0 else written
    made = was.output if made < 0 else made
    return Usage(
        input=min(plain + cached + written, COUNT_MAX),
        cached=cached,
        written=written,
        written_long=min(was.written_long if lasting < 0 else lasting, written),
        output=made,
        reasoning=min(was.reasoning if thought < 0 else thought, made),
        searches=was.searches if searches < 0 else searches,
    )


# Whole answers


def reads_usage(body: bytes) -> bool:
    """Whether an answer is plain, and what is told in it makes sense: `found_usage` has it then."""
    return _picker.read(body) and _picker.counts(TOTAL, COUNTS, COUNT_MAX)


def found_usage(dialect: str) -> Usage | None:
    """The usage told in the answer that was read last."""
    picker = _picker
    if dialect == "anthropic":
        return _anthropic(
            None, picker.number(INPUT), picker.number(OUTPUT), picker.number(CACHE_READ), picker.number(WRITTEN),
            picker.number(LASTING), picker.number(THINKING), picker.number(SEARCH_REQUESTS),
        )  # fmt: skip
    inside, outside = INSIDE, OUTSIDE
    for place in range(INSIDES):
        if not picker.null(DETAILS + place):
            inside = INSIDE + place * INSIDE_NUMBERS
            break
    if picker.null(DETAILS + INSIDES):
        outside = OUTSIDE + OUTSIDE_NUMBERS
    return _openai(
        picker.number(TOTAL), picker.number(PROMPT), picker.number(INPUT), picker.number(COMPLETION),
        picker.number(OUTPUT), picker.number(SECONDS), picker.number(CACHE_HIT), picker.number(CACHED),
        picker.number(CACHE_READ), picker.number(SEARCHES), picker.number(inside), picker.number(inside + 1),
        picker.number(inside + 2), picker.number(inside + 3), picker.number(inside + 4), picker.number(outside),
        picker.number(outside + 1),
    )  # fmt: skip
