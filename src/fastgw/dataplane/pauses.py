"""Decides how long a provider wants to be left in peace, by the fields of its answer."""

from __future__ import annotations

import re
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._http import ResponseHead

DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?", re.ASCII)
EACH_MS = (86_400_000, 3_600_000, 60_000, 1_000, 1)
LONGEST_MS = 1 << 40
EPOCH_S = 1_000_000_000  # a larger number is a time, not a duration

# What is left of the provider's own limits, and when there is more
_OPENAI = tuple(
    (b"x-ratelimit-remaining-%b" % kind, b"x-ratelimit-reset-%b" % kind) for kind in (b"requests", b"tokens")
)
_ANTHROPIC = tuple(
    (b"anthropic-ratelimit-%b-remaining" % kind, b"anthropic-ratelimit-%b-reset" % kind)
    for kind in (b"requests", b"tokens", b"input-tokens", b"output-tokens")
)
LEFT = {"openai": _OPENAI, "anthropic": _ANTHROPIC}


def asked_ms(retry_after_ms: bytes, retry_after: bytes, now_s: float) -> int:
    """What Retry-After says (RFC 9110 §10.2.3), or its form in milliseconds; 0 for nothing."""
    try:
        if retry_after_ms:
            return min(max(-int(-float(retry_after_ms) // 1), 0), LONGEST_MS)
        if retry_after[:1].isdigit():
            return min(-int(-float(retry_after) * 1000 // 1), LONGEST_MS)
        if retry_after:
            return max(int((parsedate_to_datetime(retry_after.decode("latin-1")).timestamp() - now_s) * 1000), 0)
    except (ValueError, OverflowError):
        pass
    return 0


def reset_ms(text: str, now_s: float) -> int:
    """Milliseconds until a time as providers write it: "6m0s", "120ms", "59.7" seconds, RFC 3339; 0 if it is none."""
    try:
        found = DURATION.fullmatch(text)
        if found is not None:
            return int(sum(float(part) * each for part, each in zip(found.groups(), EACH_MS, strict=True) if part))
        if "T" in text:
            return max(int((datetime.fromisoformat(text).timestamp() - now_s) * 1000), 0)
        seconds = float(text)
        return max(int((seconds - now_s if seconds > EPOCH_S else seconds) * 1000), 0)
    except (ValueError, OverflowError):
        return 0


def exhausted_ms(answer: ResponseHead, dialect: str, now_s: float) -> int:
    """For how long, at most `LONGEST_MS`, the provider will not serve with this key, as it says itself; 0: it does not
    say so."""
    longest = 0
    for left, reset in LEFT.get(dialect, ()):
        if answer.value(left) == b"0":
            longest = max(longest, reset_ms(answer.value(reset).decode("latin-1"), now_s))
    return min(longest, LONGEST_MS)
