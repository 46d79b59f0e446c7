"""Decides what a call of a route is worth in the end: whether it is charged, and where the upstream names its cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..model import Route

if TYPE_CHECKING:
    from .ends import Group
    from .prompting import Document, Published
    from .providers import Models

SERVED = 0  # the upstream answered below 500
SUCCEEDED = 1  # it answered 2xx
ALWAYS = 2  # the call was sent to it
RULES = {"served": SERVED, "2xx": SUCCEEDED, "always": ALWAYS}


class Service:
    """What a route leads to, and on which terms; a call keeps those that it began with.

    `cost_field` is the name, in lower case, of the field of the answer that says what the call has cost, or b"": as
    money, or in units of `unit_price` nanos where that is > 0. `priced` says that calls may hold money, `paid` that
    somebody pays for them. For `window_ms` a call with an Idempotency-Key is remembered, 0 for not at all. A tunnel to
    one of the protocols `upgrades` costs `minute_price` and `mib_price` nanos beside the price. A route to `models` has
    no upstream of its own; what is called there may be a `prompt`.
    """

    def __init__(
        self,
        route: Route,
        upstream: Group,
        priced: bool,
        models: Models | None = None,
        prompt: Published | Document | None = None,
    ) -> None:
        self.name = route.name.encode()
        self.upstream: Group = upstream
        self.models = models
        self.prompt = prompt
        self.paid = route.auth == "key"
        self.preserve_host = route.preserve_host
        self.priced = priced
        self.rule = RULES[route.charge]
        self.always = self.rule == ALWAYS
        self.cost_field = (route.cost_header or route.units_header).lower().encode()
        self.unit_price = route.unit_price_nanos if route.units_header else 0
        self.upgrades = frozenset(name.encode() for name in route.upgrades)
        self.minute_price = route.minute_price_nanos
        self.mib_price = route.mib_price_nanos
        self.window_ms = route.idempotency_window_ms if route.auth == "key" else 0

    def charges(self, status: int) -> bool:
        """Whether a call is charged to which the upstream has answered with this status."""
        if self.rule == SERVED:
            return status < 500
        return self.rule == ALWAYS or 200 <= status < 300
