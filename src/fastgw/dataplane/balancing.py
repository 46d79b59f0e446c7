"""Decides which target of an upstream gets the next call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..settings import Server
from .pool import Pool

if TYPE_CHECKING:
    from .. import model
    from .plane import Plane


class Upstream:
    """The pools of an upstream's targets: each gets a call in turn.

    It takes over the pools of `former` for the targets that have stayed what and where they were.
    """

    def __init__(self, plane: Plane, upstream: model.Upstream, server: Server, former: Upstream | None = None) -> None:
        known = {(pool.number, pool.target): pool for pool in former.pools} if former is not None else {}
        self.pools: list[Pool] = [
            known.get((number, target)) or Pool(plane, target, number, server)
            for number, target in enumerate(upstream.targets, 1)
        ]
        self.turn = 0

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
