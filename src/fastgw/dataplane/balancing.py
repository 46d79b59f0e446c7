"""Decides which endpoint of an upstream gets the next call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..roster import Endpoint
from ..settings import Server
from .pool import Pool

if TYPE_CHECKING:
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
        self, plane: Plane, endpoints: tuple[Endpoint, ...], server: Server, former: Upstream | None = None
    ) -> None:
        self.plane = plane
        self.server = server
        self.turn = 0
        self.pools: list[Pool] = [] if former is None else former.pools
        self.pools = self._pools(endpoints)

    def _pools(self, endpoints: tuple[Endpoint, ...]) -> list[Pool]:
        used = [each for each in endpoints if each.weight]
        up = [each for each in used if each.up] or used or [NOBODY]
        known = {place_of(pool.endpoint): pool for pool in self.pools}
        return [known.get(place_of(each)) or Pool(self.plane, each, self.server) for each in up]

    def retarget(self, endpoints: tuple[Endpoint, ...]) -> None:
        """Send calls to these from the next one on."""
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
