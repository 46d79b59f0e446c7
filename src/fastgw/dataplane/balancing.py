"""Decides which target of an upstream gets the next call."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from .. import roster, upstream_tls
from ..settings import Server
from .connecting import Connector
from .pool import Pool

if TYPE_CHECKING:
    from .. import model
    from .plane import Plane


class Upstream:
    """The pools of an upstream's targets: each gets a call in turn.

    It takes over the pools of `former` for the targets that have stayed what and where they were.
    """

    def __init__(self, plane: Plane, upstream: model.Upstream, server: Server, former: Upstream | None = None) -> None:
        self.model = upstream
        self.context: ssl.SSLContext | None = None
        if any(target.tls for target in upstream.targets):
            same = former is not None and former.context is not None and former.model.tls == upstream.tls
            self.context = former.context if former is not None and same else upstream_tls.context(upstream.tls)
        known = {(pool.number, pool.target): pool for pool in former.pools} if former is not None else {}
        self.pools: list[Pool] = []
        for number, target in enumerate(upstream.targets, 1):
            pool = known.get((number, target))
            if pool is None or (target.tls and pool.connector.context is not self.context):
                pool = Pool(plane, target, number, server, self._connector(plane, target))
            self.pools.append(pool)
        self.turn = 0

    def _connector(self, plane: Plane, target: model.Target) -> Connector:
        name = f"unix:{target.socket}" if target.socket else f"{target.host}:{target.port}"
        addresses = () if target.socket else (target.host,)
        endpoint = roster.endpoint(self.model, target, name, addresses, target.port)
        return Connector(plane.loop, self.model.name, endpoint, self.context)

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
