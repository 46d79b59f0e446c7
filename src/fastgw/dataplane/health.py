"""Decides whether an endpoint is passed over because calls to it fail, how it comes back, and how slowly it starts.

What active checks say is in the roster. Here is what this worker's own calls have found: after so many failures in a
row an endpoint is ejected for a while; then it gets one call at a time, until one is answered.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from .deadlines import Timed

if TYPE_CHECKING:
    from .balancing import Upstream
    from .pool import Pool

GOOD = 0
EJECTED = 1
TRIAL = 2  # one call at a time

FIRST_PERCENT = 10  # of its weight, with which an endpoint starts slowly
STEP_MS = 100
JITTER = 0.25  # of an ejection's time, so that workers and endpoints do not come back all at once


class Health(Timed):
    """How one endpoint is. `troubled` while a good answer changes something; `percent` of its weight counts."""

    def __init__(self, upstream: Upstream, pool: Pool) -> None:
        super().__init__()
        self.upstream = upstream
        self.pool = pool
        self.state = GOOD
        self.troubled = False
        self.failures = 0  # in a row
        self.times = 0  # ejected in a row, that is without a long good time between
        self.percent = 100
        self.since = 0  # the tick of its last return

    def failed(self) -> None:
        """A call failed: it found nobody, or got no answer, or one that says that the service does not work."""
        self.failures += 1
        self.troubled = True
        ejection = self.upstream.model.ejection
        if self.state == TRIAL or (
            self.state == GOOD
            and ejection is not None
            and self.failures >= ejection.failures
            and self.upstream.may_eject(self.pool)
        ):
            self._eject()

    def succeeded(self) -> None:
        """A call was answered. One that was sent before an ejection does not end it."""
        self.failures = 0
        if self.state == TRIAL or (self.state == EJECTED and self.pool.ready):
            self.come_back()
        self.troubled = self.state != GOOD

    def come_back(self) -> None:
        """Give it calls again, few at first."""
        self.state = GOOD
        self.failures = 0
        self.pool.tally.eject(0)
        self.since = self.upstream.plane.wheel.tick
        self.start_slowly()
        self.upstream.sort()

    def start_slowly(self) -> None:
        if self.upstream.model.slow_start_ms:
            self.percent = FIRST_PERCENT
            self.since = self.upstream.plane.wheel.tick
            self.upstream.plane.wheel.arm(self, STEP_MS)
        else:
            self.percent = 100
            self.deadline = 0
        self.pool.reweigh()

    def _eject(self) -> None:
        ejection = self.upstream.model.ejection
        wheel = self.upstream.plane.wheel
        if ejection is None:  # not any more
            self.come_back()
            return
        if (wheel.tick - self.since) * wheel.tick_ms > ejection.duration_max_ms:
            self.times = 0
        for_ms = min(ejection.duration_ms << min(self.times, 30), ejection.duration_max_ms)
        for_ms += int(for_ms * JITTER * random.random())
        self.times += 1
        self.state = EJECTED
        self.pool.tally.eject(for_ms)
        wheel.arm(self, for_ms)
        self.upstream.sort()

    def on_deadline(self) -> None:
        wheel = self.upstream.plane.wheel
        if self.state == EJECTED:
            self.state = TRIAL
            self.pool.tally.eject(0)
            self.upstream.sort()
        elif self.state == GOOD and self.percent < 100:
            passed_ms = (wheel.tick - self.since) * wheel.tick_ms
            most_ms = self.upstream.model.slow_start_ms
            grown = (100 - FIRST_PERCENT) * passed_ms // most_ms if most_ms else 100
            self.percent = min(100, FIRST_PERCENT + grown)
            self.pool.reweigh()
            if self.percent < 100:
                wheel.arm(self, STEP_MS)
