"""Decides which endpoint of an upstream gets the next call."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from .. import upstream_tls
from ..roster import Endpoint
from ..settings import Server
from .connecting import Connector
from .pool import Pool

if TYPE_CHECKING:
    from .. import model
    from .plane import Plane

NOBODY = Endpoint("", (), 0, "", "", False, "")  # what is asked where there is nobody


def place_of(endpoint: Endpoint) -> tuple[object, ...]:
    """What makes a connection to it the same as another: all but its weight and how it is."""
    return (*(getattr(endpoint, field) for field in Endpoint.__struct_fields__ if field not in ("weight", "up")),)


class Upstream:
    """The pools of an upstream's endpoints: each gets a call in turn.

    It takes over the pools of `former` for the endpoints that have stayed what and where they were.
    """

    def __init__(
        self,
        plane: Plane,
        upstream: model.Upstream,
        endpoints: tuple[Endpoint, ...],
        server: Server,
        former: Upstream | None = None,
    ) -> None:
        self.plane = plane
        self.server = server
        self.model = upstream
        same = former is not None and former.model.tls == upstream.tls
        self.context: ssl.SSLContext | None = former.context if former is not None and same else None
        self.pools: list[Pool] = [] if former is None else former.pools
        self.pools = self._pools(endpoints)
        self.turn = 0

    def _pools(self, endpoints: tuple[Endpoint, ...]) -> list[Pool]:
        used = [each for each in endpoints if each.weight]
        up = [each for each in used if each.up] or used or [NOBODY]
        if self.context is None and any(each.tls for each in up):
            self.context = upstream_tls.context(self.model.tls)
        known = {place_of(pool.endpoint): pool for pool in self.pools}
        pools = []
        for each in up:
            pool = known.get(place_of(each))
            if pool is None or (each.tls and pool.connector.context is not self.context):
                connector = Connector(self.plane.loop, self.model.name, each, self.context)
                pool = Pool(self.plane, each, self.server, connector)
            pools.append(pool)
        return pools

    def retarget(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Send calls to these from the next one on. When it raises, nothing has changed."""
        former, self.pools = self.pools, self._pools(endpoints)
        self.turn = 0
        for pool in former:
            if pool not in self.pools:
                pool.close()

    def pick(self) -> Pool:
        if len(self.pools) == 1:
            return self.pools[0]
        self.turn = (self.turn + 1) % len(self.pools)
        return self.pools[self.turn]

    def leave(self, later: Upstream | None) -> None:
        """Close the pools that `later` has not taken over."""
        for pool in self.pools:
            if later is None or pool not in later.pools:
                pool.close()
