"""Decides how often calls are made once more: on what, how many times each, and how many in all.

A call may be repeated where its method is idempotent (RFC 9110 §9.2.2), all of it is still here, and nothing of an
answer has been passed on: that is for the exchange to know. What comes on top, so that a service which fails is not
given still more to do, is decided here.
"""

from ..model import Upstream

RESET = 1  # the connection was lost without an answer
TIMEOUT = 2  # the first byte of the answer took too long
CAUSES = {"reset": RESET, "timeout": TIMEOUT, "502": 502, "503": 503, "504": 504}  # a status is its own number

RATE_PER_S = 5  # retries that are made however few calls there are
BURST = 100  # retries that may be made at once after a quiet time
ONE = 100  # of the budget's tokens, so that a percentage is a whole number


class Budget:
    """How many retries there may be, as a bucket that calls fill: `percent` of them, beside a few a second.

    The clock (milliseconds) and the number of calls ever made are given from outside.
    """

    def __init__(self, percent: int, calls: int, now_ms: int) -> None:
        self.percent = percent
        self.calls = calls
        self.now_ms = now_ms
        self.tokens = BURST * ONE

    def spend(self, calls: int, now_ms: int) -> bool:
        """Make a retry, if there may be one."""
        earned = (calls - self.calls) * self.percent + (now_ms - self.now_ms) * RATE_PER_S * ONE // 1000
        self.calls = calls
        self.now_ms = now_ms
        self.tokens = min(self.tokens + earned, BURST * ONE)
        if self.tokens < ONE:
            return False
        self.tokens -= ONE
        return True


class Retries:
    """What an upstream says of them."""

    def __init__(self, upstream: Upstream, calls: int, now_ms: int) -> None:
        self.most = upstream.retries_max
        self.causes = frozenset(CAUSES[name] for name in upstream.retry_on)
        self.budget = Budget(upstream.retry_budget_percent, calls, now_ms)
