"""Decides what a call to a model holds, how far that reaches, and what the call costs in the end.

What is held is for the route's price, for the input as it is estimated, and for tokens of output that the provider is
told not to exceed. A streamed answer may begin with less, where there is no more, and holds more as it goes: a portion
is paid for before it is sent. What the call costs is what the provider has counted; where it has not, what was relayed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._usage import Fare
from ..refusals import Refusal

if TYPE_CHECKING:
    from .._call import Ticket
    from .._core import Gate
    from .._usage import Tariff, Usage
    from ..ai.relay import Asked
    from .providers import Served

STEP = 16  # tokens of output that a stream holds at least, and beyond what it needs as it goes
ATTEMPTS = 4  # to hold what is left, while others hold from the same account

# There is not as much money as was asked for; there may be less.
SHORT = frozenset((
    Refusal.INSUFFICIENT_BALANCE, Refusal.BALANCE_HELD, Refusal.BUDGET_EXHAUSTED, Refusal.TAG_BUDGET_EXHAUSTED,
))  # fmt: skip


def with_slack(tokens: int) -> int:
    """A bound of the provider's own tokens, in estimated ones: these are not as exact."""
    return tokens + max(tokens // 8, 4)


def open_meter(gate: Gate, ticket: Ticket, asked: Asked, most: int, pays: bool) -> Meter:
    """That of a call which may generate `most` tokens of output."""
    meter = Meter.__new__(Meter)
    meter._open(gate, ticket, asked, most, pays)
    return meter


class Meter(Fare):
    """The money of one call. `most` is how many tokens of output it may generate, `cap` how many the provider is told,
    `reach` for how many it holds, `passed` how many have been relayed, as they are estimated. Where nobody `pays`, on a
    route without keys, nothing is held and nothing charged."""

    def _open(self, gate: Gate, ticket: Ticket, asked: Asked, most: int, pays: bool) -> None:
        self.gate = gate
        self.ticket = ticket
        self.asked = asked
        self.pays = pays
        self.likely_tokens = asked.usage.input
        self.base = ticket.holding()  # the route's price
        self.held = self.base
        self.most = most
        self.cap = most
        self.shrunk = False  # `most` is less than was asked for
        self.reach = 0
        self.passed = 0
        self.step = STEP

    # What is held

    def set(self, tariff: Tariff) -> None:
        """The call goes to a candidate of that tariff."""
        self.tariff = tariff
        if self.pays:
            self.rated(tariff, self.asked.usage, self.asked.input_tokens)
        self.reach = self._tokens_for(self.held)

    def _tokens_for(self, nanos: int) -> int:
        """How many tokens of output so many nanos pay for; all there may be, where they cost nothing."""
        return self.paid_tokens(nanos - self.base, self.most)

    def _hold_for(self, tokens: int) -> int:
        """Hold for so many tokens of output in all: 0, or the refusal."""
        more = self.most_nanos(tokens) - (self.held - self.base)
        if more > 0:
            verdict = self.gate.extend(self.ticket, more)
            if verdict:
                return verdict
            self.held += more
        self.reach = with_slack(tokens) if tokens == self.most else tokens
        return 0

    def hold(self, one: Served, stream: bool) -> int:
        """Hold for the call before it is sent: 0, or the refusal.

        A stream that holds for less than it may generate is capped at what there is money for: what a model thinks is
        paid for though it is not relayed. Where the model lets it be, a call that is not streamed is cut down to that.
        """
        ahead = min(self.most, one.hold_step) if stream and one.hold_step else self.most
        self.step = max(one.hold_step, STEP)
        self.cap = self.most
        verdict = self._hold_for(ahead)
        if verdict in SHORT and self.most and (stream or (one.shrink and self.asked.bounded)):
            verdict = self._hold_less(min(ahead, STEP if stream else 1), ahead)
            if verdict == 0 and not stream:
                self.shrunk = True
                self.most = self.cap = self.reach
        if verdict == 0 and stream and self.reach < self.most:
            self.cap = min(self.most, with_slack(self._affordable()))
        return verdict

    def _affordable(self) -> int:
        """How many tokens of output there is money for now."""
        return self._tokens_for(self.held + self.gate.room(self.ticket))

    def _hold_less(self, least: int, most: int) -> int:
        """Hold for as many tokens as there is money for: 0, or the refusal of the least of them."""
        for _ in range(ATTEMPTS):
            tokens = min(self._affordable(), most)
            if tokens < least:
                break
            verdict = self._hold_for(tokens)
            if verdict not in SHORT:
                return verdict
        return self._hold_for(least)

    def cover(self, tokens: int) -> int:
        """Count so many tokens more as relayed, and see that they are held for: 0, or the refusal, and nothing is
        counted."""
        total = self.passed + tokens
        if total > self.reach:
            ahead = total + self.step
            verdict = self._hold_for(ahead if total > self.most else min(ahead, self.most))
            if verdict in SHORT:
                verdict = self._hold_for(total)
            if verdict:
                return verdict
        self.passed = total
        return 0

    # What it costs

    def earned(self) -> int:
        """Nanos that the call has come to cost by what has been relayed; at most what is held."""
        return self.base + min(self.likely_nanos(self.passed), self.held - self.base)

    def capture(self, usage: Usage) -> int:
        """Nanos to charge for what was used, which the ticket has noted. Where that is more than is held, the rest is
        held too, as far as there is money; what is not is counted."""
        if not self.pays:
            return self.base
        cost = self.tariff.cost_nanos(usage)
        missing = cost - (self.held - self.base)
        if missing > 0:
            self._hold_rest(missing)
            missing = cost - (self.held - self.base)
            if missing > 0:
                self.gate.forgo(self.ticket, missing)
                return self.held
        return self.base + cost

    def _hold_rest(self, missing: int) -> None:
        """Hold for so many nanos more, or for as many as there are."""
        for _ in range(ATTEMPTS):
            if missing <= 0:
                break
            verdict = self.gate.extend(self.ticket, missing)
            if verdict == 0:
                self.held += missing
                break
            if verdict not in SHORT:
                break
            missing = min(missing - 1, self.gate.room(self.ticket))
