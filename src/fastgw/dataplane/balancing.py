"""Decides which endpoint of an upstream gets a call, and which calls wait until one has room for them, or are refused.

A call goes to an endpoint that is up, has a weight, and is not passed over because calls to it fail (see `health`); how
it is chosen among several is for a policy (see `policies`). Calls for which none has room wait, the oldest first.
"""

from __future__ import annotations

import random
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING

from .._segment import SegmentError
from .._targets import affinity
from ..refusals import Refusal
from .connecting import Connector
from .deadlines import Timed
from .ends import NOBODY, Group, Lender
from .health import GOOD, TRIAL
from .policies import POLICIES, Policy
from .pool import Pool
from .retries import Retries

if TYPE_CHECKING:
    import ssl

    from .. import model
    from ..roster import Endpoint
    from ..settings import Server
    from .exchange import Exchange
    from .plane import Plane

LOOK_S = 0.005  # between looks whether other workers have left room, while calls wait
SHARED = 4  # of so many calls that end while own calls wait and others' too, one leaves its room to the others


def place_of(endpoint: Endpoint) -> tuple[object, ...]:
    """What makes a connection to it the same as another: all but its weight, its number, and how it is."""
    return tuple(getattr(endpoint, field) for field in endpoint.__struct_fields__ if field not in _CHANGING)


_CHANGING = {"weight", "up", "number"}


class Upstream(Group):
    """The endpoints of one upstream, as one worker sees them.

    `ready` are those that may be chosen, `trials` those of them that have to show that they are good again; `only` is
    the one that is ready, if it is alone.
    """

    def __init__(self, plane: Plane, model: model.Upstream, server: Server, context: ssl.SSLContext | None) -> None:
        self.plane = plane
        self.model = model
        self.server = server
        self.context = context
        self.pools: list[Pool] = []
        self.ready: list[Pool] = []
        self.trials: list[Pool] = []
        self.only: Pool | None = None
        self.calls = 0  # ever, repeated ones once
        self.policy: Policy = POLICIES[model.balance](plane.wheel.tick_ms)
        self.retries = Retries(model, 0, self._now_ms())
        self.waiting: OrderedDict[Exchange, float] = OrderedDict()  # until when, on the loop's clock
        self.letting_in = False
        self.left = False
        self.look = self.plane.loop.call_later(0, self._nothing)
        self.sharing = Sharing(self)
        self._set(model)

    # What there is

    def reconfigure(self, model: model.Upstream, server: Server, context: ssl.SSLContext | None) -> None:
        """Go by these from now on; `retarget` is to follow. Connections by another TLS context are not used again."""
        if context is not self.context:
            self.context = context
            for pool in self.pools:
                if pool.endpoint.tls:
                    pool.move(pool.endpoint, self._connector(pool.endpoint))
        if (model.retries_max, model.retry_budget_percent, model.retry_on) != (
            self.model.retries_max, self.model.retry_budget_percent, self.model.retry_on,
        ):  # fmt: skip
            self.retries = Retries(model, self.calls, self._now_ms())
        if model.balance != self.model.balance:
            self.policy = POLICIES[model.balance](self.plane.wheel.tick_ms)
        self.server = server
        self._set(model)
        for pool in self.pools:
            pool.bound()

    def _set(self, model: model.Upstream) -> None:
        self.model = model
        self.hashing = model.balance == "hash"
        self.header = model.hash_field
        if model.connections_max:
            self.plane.wheel.arm(self.sharing, 0)

    def retarget(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Send calls to these from the next one on. Connections to those that are still there stay; an endpoint that
        comes to others, or is up again, starts slowly."""
        known = {pool.name: pool for pool in self.pools}
        former, others = self.pools, bool(self.ready)
        self.pools = []
        for endpoint in endpoints:
            pool = known.get(endpoint.name) or self._pool(endpoint)
            if pool is None:
                continue
            slowly = others and endpoint.up and (pool not in former or not pool.endpoint.up)
            if place_of(endpoint) != place_of(pool.endpoint):
                pool.move(endpoint, self._connector(endpoint))
            pool.endpoint = endpoint
            pool.number = endpoint.number
            pool.weight = endpoint.weight
            if slowly:
                pool.health.come_back()
            pool.reweigh()
            self.pools.append(pool)
        self.policy.arrange(list(self.pools))
        self.sort()
        for pool in former:
            if pool not in self.pools:
                pool.waited_for = False
                pool.ready = False
                pool.close()

    def _pool(self, endpoint: Endpoint) -> Pool | None:
        try:
            tally = self.plane.targets.tally(self.model.name, endpoint.name)
            return Pool(self, endpoint, tally, self._connector(endpoint))
        except (SegmentError, OSError) as error:
            print(f"fastgw: error: {error}", file=sys.stderr, flush=True)
            return None

    def _connector(self, endpoint: Endpoint) -> Connector:
        return Connector(self.plane.loop, self.model.name, endpoint, self.context)

    def sort(self) -> None:
        """Note who can be chosen now.

        Where active checks, or the roster, have left none but those that are passed over, these are better than none.
        """
        usable = [pool for pool in self.pools if pool.endpoint.up and pool.weight]
        self.trials = [pool for pool in usable if pool.health.state == TRIAL and not pool.trying]
        good = [pool for pool in usable if pool.health.state == GOOD]
        self.ready = [*good, *self.trials] or ([] if any(pool.trying for pool in usable) else usable)
        for pool in self.pools:
            pool.ready = False
        for pool in self.ready:
            pool.ready = True
        self.only = self.ready[0] if len(self.ready) == 1 else None
        self.let_in(None)

    def may_eject(self, pool: Pool) -> bool:
        """Whether so many may be passed over, and another is left that is good."""
        usable = [other for other in self.pools if other.endpoint.up and other.weight]
        good = [other for other in usable if other.health.state == GOOD]
        ejection = self.model.ejection
        if ejection is None or len(good) < 2 or pool not in good:
            return False
        return (len(usable) - len(good) + 1) * 100 <= ejection.share_percent * len(usable)

    def leave(self) -> None:
        """It is in the configuration no more: what is in flight goes on, and what waits, and then it is closed."""
        self.left = True
        if not self.waiting:
            self.close()

    def close(self) -> None:
        self.look.cancel()
        self.sharing.deadline = 0
        for pool in self.pools:
            pool.close()

    # Where a call goes

    def choose(self, exchange: Exchange) -> Lender:
        call = exchange
        if self.hashing and call.affinity == 0:
            call.affinity = affinity(self.plane.gate, self.header)
        if self.only is not None:
            return self.only
        return self._pick(call)

    def _pick(self, exchange: Exchange) -> Lender:
        ready = self.ready
        if exchange.tried is not None:
            ready = [pool for pool in ready if pool not in exchange.tried] or ready
        if len(ready) < 2:
            return ready[0] if ready else NOBODY
        if self.trials and not self.hashing and self.trials[0] in ready:
            return self.trials[0]
        self.policy.tick = self.plane.wheel.tick
        chosen = self.policy.pick(ready, exchange.affinity, exchange.tried)
        return ready[0] if chosen is NOBODY else chosen

    def place(self, exchange: Exchange, lender: Lender, fresh: bool) -> None:
        call = exchange
        if call.tried is None:
            self.calls += 1
        if self.waiting:
            self._wait(call)
        elif lender is NOBODY:
            if self._is_down():
                call.refused(Refusal.UPSTREAM_UNAVAILABLE)
            else:
                self._wait(call)
        elif not lender.take(call, fresh) and not self._place_with_another(call, lender, fresh):
            self._wait(call)

    def _place_with_another(self, exchange: Exchange, full: Lender, fresh: bool) -> bool:
        if self.only is not None:
            return False
        for pool in self.policy.rank(list(self.ready), exchange.affinity):
            untried = exchange.tried is None or pool not in exchange.tried
            if pool is not full and untried and pool.take(exchange, fresh):
                return True
        return False

    def _is_down(self) -> bool:
        """Whether there is nobody to wait for."""
        return not any(pool.endpoint.up and pool.weight for pool in self.pools)

    # Calls that wait

    def _wait(self, exchange: Exchange) -> None:
        if self._is_down():
            exchange.refused(Refusal.UPSTREAM_UNAVAILABLE)
        elif len(self.waiting) >= self.model.pending_max:
            exchange.refused(Refusal.OVERLOADED)
        else:
            within_ms = exchange.within(self.model.pending_timeout_ms)
            exchange.waits = exchange.waited = True
            self.waiting[exchange] = self.plane.loop.time() + within_ms / 1000
            if len(self.waiting) == 1:
                self._begin_to_look()

    def withdraw(self, exchange: Exchange) -> None:
        exchange.waits = False
        self.waiting.pop(exchange, None)
        if not self.waiting:
            self._show(0)

    def let_in(self, where: Pool | None) -> None:
        """There may be room for calls that wait: for one, if it is `where` another has just ended."""
        if self.letting_in or not self.waiting:
            return
        if where is not None and where.requests_max and random.randrange(SHARED) == 0 and where.tally.is_wanted():
            return  # who looks first has it
        self.letting_in = True
        while self.waiting and self._let_one_in() and (where is None or where.requests_max == 0):
            pass
        self.letting_in = False
        if not self.waiting:
            self._show(0)

    def _let_one_in(self) -> bool:
        """Whether the oldest call waits no longer."""
        exchange, until = self.waiting.popitem(last=False)
        exchange.waits = False
        lender = self._pick(exchange)
        if lender is NOBODY and self._is_down():
            exchange.refused(Refusal.UPSTREAM_UNAVAILABLE)
            return True
        if lender is not NOBODY and (lender.take(exchange, False) or self._place_with_another(exchange, lender, False)):
            return True
        exchange.waits = True
        self.waiting[exchange] = until
        self.waiting.move_to_end(exchange, last=False)
        return False

    def _begin_to_look(self) -> None:
        """The first call waits: look from time to time whether it waits too long, or others have left room."""
        self._show(1)
        self.look = self.plane.loop.call_later(LOOK_S * random.uniform(0.5, 1), self._look)

    def _look(self) -> None:
        now = self.plane.loop.time()
        while self.waiting:
            exchange, until = next(iter(self.waiting.items()))
            if until > now:
                break
            self.withdraw(exchange)
            exchange.refused(Refusal.OVERLOADED)
        self.let_in(None)
        if self.waiting:
            self._show(len(self.waiting))
            self.look = self.plane.loop.call_later(LOOK_S * random.uniform(0.5, 1), self._look)

    def _show(self, calls: int) -> None:
        """Tell the pools, and other workers, that calls wait here."""
        self.look.cancel()
        for pool in self.pools:
            pool.waited_for = calls > 0
            pool.tally.await_room(calls if pool.ready else 0)
        if self.left and calls == 0:
            self.close()

    def _nothing(self) -> None:
        pass

    # Calls that are made once more

    def may_repeat(self, exchange: Exchange, cause: int) -> bool:
        retries = self.retries
        if exchange.tries >= retries.most or cause not in retries.causes or not self.ready:
            return False
        if not retries.budget.spend(self.calls, self._now_ms()):
            return False
        exchange.note_try()
        return True

    def may_go_elsewhere(self, exchange: Exchange) -> bool:
        if exchange.tries >= self.retries.most:
            return False
        tried = [*(exchange.tried or ()), exchange.pool]
        if not [pool for pool in self.ready if pool not in tried]:
            return False
        exchange.note_try()
        return True

    def _now_ms(self) -> int:
        return self.plane.wheel.tick * self.plane.wheel.tick_ms

    def spare(self) -> None:
        """Close an idle connection of each endpoint where other workers wait for one."""
        if self.model.connections_max == 0:
            return
        for pool in self.pools:
            if pool.idle and pool.tally.is_wanted():
                pool.idle[0].close()
        self.plane.wheel.arm(self.sharing, 0)


class Sharing(Timed):
    """Looks now and then whether other workers wait for connections that lie idle here."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__()
        self.upstream = upstream

    def on_deadline(self) -> None:
        self.upstream.spare()
