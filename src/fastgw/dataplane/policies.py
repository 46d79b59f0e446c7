"""Decides which of several endpoints a call goes to: by turns, by what each has in flight, by latency, or by a hash.

Nothing here does I/O or reads a clock. A candidate's `share` is its weight in hundredths, less while it starts slowly.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Sequence

from .ends import NOBODY, Lender

DECAY_MS = 10_000  # in which a latency once seen loses all but 1/e of its weight
UNKNOWN_US = 1_000_000_000  # what an endpoint is taken for that has calls in flight and has never answered
POINTS = 160  # of an endpoint with the least weight on the ring
POINTS_MAX = 131_072  # of the ring


class Candidate(Lender):
    """An endpoint that calls may be sent to."""

    def __init__(self, number: int, host_line: bytes, name: str, weight: int) -> None:
        super().__init__(number, host_line)
        self.name = name
        self.weight = weight
        self.share = weight * 100
        self.ready = True  # it may be chosen
        self.outstanding = 0  # calls of this worker in flight
        self.credit = 0  # of smooth round robin
        self.peak_us = 0.0  # latency, that follows what is slower at once, and what is faster slowly
        self.peak_tick = 0

    def observe(self, us: int, tick: int, tick_ms: int) -> None:
        """An answer has begun after that time."""
        known = self.latency_us(tick, tick_ms)
        # A peak counts at once; below it, what is seen counts by the time that has passed, and a little in any case.
        self.peak_us = us if us > known else known + (us - known) * 0.05

    def latency_us(self, tick: int, tick_ms: int) -> float:
        """As far as it is known now: a peak is forgotten, so that an endpoint which was slow is asked again."""
        if tick != self.peak_tick:
            self.peak_us *= math.exp((self.peak_tick - tick) * tick_ms / DECAY_MS)
            self.peak_tick = tick
        return self.peak_us


class Policy:
    """How candidates are chosen; `tick` of `tick_ms` is the time, which is for its owner to keep."""

    def __init__(self, tick_ms: int = 100) -> None:
        self.tick = 0
        self.tick_ms = tick_ms

    def arrange(self, candidates: Sequence[Candidate]) -> None:
        """These are all there are, until this is called again."""

    def pick(self, ready: Sequence[Candidate], affinity: int, tried: Sequence[Lender] | None) -> Lender:
        """One of those that are ready; no one that has been tried. `ready` is never empty, and holds none of those."""
        raise NotImplementedError

    def rank(self, ready: Sequence[Candidate], affinity: int) -> list[Candidate]:  # noqa: ARG002
        """Those that are ready, the best first: for when the one that was picked has no room."""
        return sorted(ready, key=lambda candidate: (candidate.outstanding + 1) / candidate.share)


class RoundRobin(Policy):
    """Smooth weighted round robin: the turns of each are spread evenly, whatever the weights."""

    def pick(self, ready: Sequence[Candidate], affinity: int, tried: Sequence[Lender] | None) -> Lender:  # noqa: ARG002
        total = 0
        best = ready[0]
        for candidate in ready:
            total += candidate.share
            candidate.credit += candidate.share
            if candidate.credit > best.credit:
                best = candidate
        best.credit -= total
        return best


class LeastConnections(Policy):
    """The one with the fewest calls in flight by its share; among equals each in turn."""

    def __init__(self, tick_ms: int = 100) -> None:
        super().__init__(tick_ms)
        self.turn = 0

    def pick(self, ready: Sequence[Candidate], affinity: int, tried: Sequence[Lender] | None) -> Lender:  # noqa: ARG002
        many = len(ready)
        self.turn = (self.turn + 1) % many
        best = ready[self.turn]
        for i in range(self.turn + 1, self.turn + many):
            candidate = ready[i - many if i >= many else i]
            if (candidate.outstanding + 1) * best.share < (best.outstanding + 1) * candidate.share:
                best = candidate
        return best


class Latency(Policy):
    """The better of two that are drawn: of each, what it takes to answer times what it has in flight, by its share."""

    def __init__(self, tick_ms: int = 100, seed: int = 1) -> None:
        super().__init__(tick_ms)
        self.seed = seed

    def pick(self, ready: Sequence[Candidate], affinity: int, tried: Sequence[Lender] | None) -> Lender:  # noqa: ARG002
        many = len(ready)
        if many == 1:
            return ready[0]
        first = self._draw(many)
        second = self._draw(many - 1)
        if second >= first:
            second += 1
        one, other = ready[first], ready[second]
        return other if self._load(other) < self._load(one) else one

    def _draw(self, many: int) -> int:
        """A number below `many` (an LCG; its high bits are good enough to draw with)."""
        self.seed = (self.seed * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
        return (self.seed >> 8) % many

    def _load(self, candidate: Candidate) -> float:
        us = candidate.latency_us(self.tick, self.tick_ms)
        if us < 1 and candidate.outstanding:
            us = UNKNOWN_US
        return us * (candidate.outstanding + 1) / candidate.share


class Hash(Policy):
    """Calls that belong together go to the same one: the next on a ring of many points of each (as in ketama).

    Where one comes or goes, only its share of the calls moves. Slow starts do not change the ring.
    """

    def __init__(self, tick_ms: int = 100) -> None:
        super().__init__(tick_ms)
        self.points: list[int] = []
        self.owners: list[Candidate] = []

    def arrange(self, candidates: Sequence[Candidate]) -> None:
        weights = [candidate.weight for candidate in candidates if candidate.weight]
        unit = math.gcd(*weights) or 1
        each = min(POINTS, max(8, POINTS_MAX * unit // (sum(weights) or 1)))
        ring = sorted(
            (point, i)
            for i, candidate in enumerate(candidates)
            for point in ring_points(candidate.name, each * candidate.weight // unit)
        )
        self.points = [point for point, _ in ring]
        self.owners = [candidates[i] for _, i in ring]

    def pick(self, ready: Sequence[Candidate], affinity: int, tried: Sequence[Lender] | None) -> Lender:  # noqa: ARG002
        at = bisect_right(self.points, affinity)
        many = len(self.owners)
        for i in range(at, at + many):
            owner = self.owners[i - many if i >= many else i]
            if owner.ready and (tried is None or owner not in tried):
                return owner
        return NOBODY

    def rank(self, ready: Sequence[Candidate], affinity: int) -> list[Candidate]:
        at = bisect_right(self.points, affinity)
        found = dict.fromkeys(self.owners[at:] + self.owners[:at])
        return [owner for owner in found if owner in ready]


def ring_points(name: str, many: int) -> list[int]:
    """So many places of an endpoint on the ring of 64 bits; more of them begin with the same."""
    points: list[int] = []
    block = 0
    while len(points) < many:
        digest = hashlib.blake2b(f"{name}#{block}".encode()).digest()
        points += [int.from_bytes(digest[i : i + 8], "little") for i in range(0, 64, 8)]
        block += 1
    return points[:many]


POLICIES: dict[str, type[Policy]] = {
    "round_robin": RoundRobin,
    "least_connections": LeastConnections,
    "latency": Latency,
    "hash": Hash,
}
