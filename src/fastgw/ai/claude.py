"""Decides what a Claude model is asked, by the version in its name: how it is told to think, and what it refuses.

Up to 4.5 a model thinks with a budget of tokens, from 4.6 on by itself, as hard as an effort says; from 4.7 on it
refuses the parameters of sampling. A model of another name behind the same API is taken for an early one.
https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking
"""

from __future__ import annotations

import re
from typing import Any

from .bodies import given
from .canonical import Request
from .turns import last_is_signed

_VERSION = re.compile(r"claude\D*?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_BUDGETS = {"low": 2048, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 49152}  # of thinking, in tokens
BUDGET_MIN = 1024
MAX_TOKENS = 4096  # of a request that does not say; the API must be told


def version(model: str) -> tuple[int, int]:
    """(4, 6) of "us.anthropic.claude-sonnet-4-6-v1"; no number is the newest, no Claude the oldest."""
    if "claude" not in model:
        return (0, 0)
    match = _VERSION.search(model)
    return (int(match[1]), int(match[2] or 0)) if match else (99, 0)


def takes_form(model: str) -> bool:
    """Whether tools may be strict, and an answer of a schema asked for."""
    return version(model) >= (4, 5)


def thinking(request: Request, model: str) -> dict[str, Any]:
    """The fields `thinking` and `output_config` as far as they are about thinking."""
    if version(model) >= (4, 6):
        return _by_effort(request, model)
    budget = _budget(request)
    # Neither a tool forced nor thoughts without their proof go with thinking.
    if budget < BUDGET_MIN or _forced(request) or not last_is_signed(request):
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def sampling(request: Request, model: str, *, thinks: bool) -> dict[str, Any]:
    """The parameters of sampling that the model takes: none while it thinks, and one of two."""
    if thinks or version(model) >= (4, 7):
        return {}
    if request.temperature is not None:
        return given(temperature=min(request.temperature, 1.0), top_k=request.top_k)
    return given(top_p=request.top_p, top_k=request.top_k)


def _budget(request: Request) -> int:
    room = request.max_tokens or MAX_TOKENS
    if request.thinking_tokens is not None:
        return min(request.thinking_tokens, room - 1)
    return min(_BUDGETS.get(request.effort, 0), room * 4 // 5)


def _by_effort(request: Request, model: str) -> dict[str, Any]:
    """No model is told not to think: of the newest some refuse that, while all take a low effort."""
    effort, tokens = request.effort, request.thinking_tokens
    if not effort and tokens is None:
        return {}
    if not effort and tokens is not None:
        effort = next((name for name, most in _BUDGETS.items() if tokens <= most), "high")
    quiet = effort in ("none", "minimal") or tokens == 0
    effort = "low" if effort in ("none", "minimal") else effort
    if effort == "xhigh" and version(model) < (4, 7):
        effort = "high"
    says = {"output_config": {"effort": effort}}
    if quiet or _forced(request):
        return says
    # From 4.7 on thoughts are told only when they are asked for.
    shown = given(display="summarized" if version(model) >= (4, 7) else "")
    return {"thinking": {"type": "adaptive", **shown}, **says}


def _forced(request: Request) -> bool:
    return request.tool_choice in ("any", "tool")
