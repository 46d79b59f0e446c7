"""Decides what a provider's own account of a call means, and what of it is not to be believed.

Providers add fields, leave fields out and get types wrong: what is not a sensible number counts as not said, and where
nothing is said there is no usage at all.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from .usage import Usage

COUNT_MAX = 1 << 31  # tokens, bytes, seconds: nobody serves more in one call


def count(told: object, name: str) -> int | None:
    """A number of an object, or None where it does not say one that makes sense; parts of a second are rounded up."""
    value = told.get(name) if isinstance(told, dict) else None
    if isinstance(value, float) and 0 <= value <= COUNT_MAX:
        return -int(-value // 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return min(value, COUNT_MAX)


def _first(told: object, *names: str) -> int | None:
    return next((value for name in names if (value := count(told, name)) is not None), None)


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
    if not isinstance(told, dict):
        return None
    total = count(told, "total_tokens")
    taken = _first(told, "prompt_tokens", "input_tokens")
    made = _first(told, "completion_tokens", "output_tokens")
    seconds = count(told, "seconds")
    if taken is None and made is None and total is None and seconds is None:
        return None
    taken = max((total or 0) - (made or 0), 0) if taken is None else taken
    visible = made or 0
    made = max(visible, min((total or 0) - taken, COUNT_MAX))
    inside = told.get("prompt_tokens_details") or told.get("input_tokens_details") or told.get("input_token_details")
    outside = told.get("completion_tokens_details") or told.get("output_tokens_details")
    cached = count(inside, "cached_tokens")
    if cached is None:
        cached = _first(told, "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens") or 0
    written = _first(inside, "cache_write_tokens", "cache_creation_tokens") or 0
    details = inside.get("cache_write_tokens_details") if isinstance(inside, dict) else None
    reasoning = count(outside, "reasoning_tokens")
    return Usage(
        input=taken,
        cached=min(cached, taken),
        written=min(written, taken),
        written_long=min(count(details, "ttl_12h_tokens") or 0, written, taken),
        audio_in=min(count(inside, "audio_tokens") or 0, taken),
        output=made,
        reasoning=min(made - visible if reasoning is None else reasoning, made),
        audio_out=min(count(outside, "audio_tokens") or 0, made),
        searches=count(told, "num_search_queries") or 0,
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
