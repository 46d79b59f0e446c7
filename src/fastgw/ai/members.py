"""Decides which members of a request's JSON the gateway looks at; whatever else there is passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

OTHER_CAPS = ("n_predict", "num_predict", "max_new_tokens")
# What a call's price says nothing about.
UNPRICED: dict[str, Callable[[Any], bool]] = {
    "service_tier": lambda value: value in ("priority", "fast"),
    "speed": lambda value: value != "standard",
    "models": bool,  # OpenRouter's: others than `model` may answer
    "plugins": bool,
    "background": bool,  # is answered before anything is known of its cost
}
# By their places. A body with one of the last is taken apart whole.
NAMES = (
    "model", "stream", "stream_options", "n", "messages", "input", "tools", "web_search_options",
    "max_completion_tokens", "max_tokens", "max_output_tokens",
    "prompt", "best_of", "previous_response_id", "conversation", *OTHER_CAPS, *UNPRICED,
)  # fmt: skip
(
    MODEL, STREAM, STREAM_OPTIONS, N, MESSAGES, INPUT, TOOLS, SEARCH,
    MAX_COMPLETION_TOKENS, MAX_TOKENS, MAX_OUTPUT_TOKENS, PROMPT, BEST_OF,
) = range(13)  # fmt: skip
SELDOM = PROMPT  # and all behind it
# What callers bound the tokens of a choice by. Where several are said, all hold.
CAPS = {
    "chat": (MAX_COMPLETION_TOKENS, MAX_TOKENS),
    "completions": (MAX_TOKENS,),
    "responses": (MAX_OUTPUT_TOKENS,),
    "messages": (MAX_TOKENS,),
}
