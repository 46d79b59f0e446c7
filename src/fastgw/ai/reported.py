"""Decides what a provider's own account of a call means, and what of it is not to be believed.

Providers add fields, leave fields out and get types wrong: what is not a sensible number counts as not said, and where
nothing is said there is no usage at all. What makes sense as a whole, as nearly always, is read as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

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


def count(told: object, name: str) -> int | None:
    """A number of an object, or None where it does not say one that makes sense; parts of a second are rounded up."""
    value = told.get(name) if isinstance(told, dict) else None
    if isinstance(value, float) and 0 <= value <= COUNT_MAX:
        return -int(-value // 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return min(value, COUNT_MAX)


def _first(*values: int | None) -> int | None:
    for value in values:
        if value is not None:
            return value
    return None


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
    total, seconds = said.total_tokens, said.seconds
    taken = _first(said.prompt_tokens, said.input_tokens)
    made = _first(said.completion_tokens, said.output_tokens)
    if taken is None and made is None and total is None and seconds is None:
        return None
    taken = max((total or 0) - (made or 0), 0) if taken is None else taken
    visible = made or 0
    made = max(visible, (total or 0) - taken)
    inside = said.prompt_tokens_details or said.input_tokens_details or said.input_token_details or _NO_INSIDE
    outside = said.completion_tokens_details or said.output_tokens_details or _NO_OUTSIDE
    cached = _first(
        inside.cached_tokens, said.prompt_cache_hit_tokens, said.cached_tokens, said.cache_read_input_tokens
    )
    cached = min(cached or 0, taken)
    written = min(_first(inside.cache_write_tokens, inside.cache_creation_tokens) or 0, taken)
    lasting = inside.cache_write_tokens_details
    reasoning = outside.reasoning_tokens
    return Usage(
        input=taken,
        cached=cached,
        written=written,
        written_long=min(lasting.ttl_12h_tokens or 0, written) if lasting else 0,
        audio_in=min(inside.audio_tokens or 0, taken),
        output=made,
        reasoning=min(made - visible if reasoning is None else reasoning, made),
        audio_out=min(outside.audio_tokens or 0, made),
        searches=said.num_search_queries or 0,
        seconds=seconds or 0,
    )


def anthropic(told: Any, before: Usage | None = None) -> Usage | None:
    """Usage of messages; `before` is what the beginning of a stream told, for what its end leaves out.

    `input_tokens` is what was neither read from the cache nor written to it.
    """
    if not isinstance(told, dict):
        return before
    was = before or Usage()
    plain, made = count(told, "input_tokens"), count(told, "output_tokens")
    if plain is None and made is None:
        return before
    if plain is None:
        plain = was.input - was.cached - was.written
    cached, written = count(told, "cache_read_input_tokens"), count(told, "cache_creation_input_tokens")
    cached = was.cached if cached is None else cached
    lasting = count(told.get("cache_creation"), "ephemeral_1h_input_tokens")
    written = was.written if written is None else written
    lasting = was.written_long if lasting is None else lasting
    made = was.output if made is None else made
    thought = count(told.get("output_tokens_details"), "thinking_tokens")
    searches = count(told.get("server_tool_use"), "web_search_requests")
    return Usage(
        input=min(plain + cached + written, COUNT_MAX),
        cached=cached,
        written=written,
        written_long=min(lasting, written),
        output=made,
        reasoning=min(was.reasoning if thought is None else thought, made),
        searches=was.searches if searches is None else searches,
    )
