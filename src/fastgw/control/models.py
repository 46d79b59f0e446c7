"""Decides what /v1/models answers: what callers may ask for, what it costs, and how those are who serve it."""

from collections.abc import Iterable

from litestar import Controller, get
from msgspec import Struct

from .. import price_list
from ..discovery.views import UpstreamView
from . import ports
from .parameters import Services
from .problems import documented


class ModelList(Struct, frozen=True):
    items: list[price_list.ModelShown]


class Models(Controller):
    path = "/v1/models"
    tags = ("models",)

    @get(sync_to_thread=True, summary="Models", responses=documented())
    def list_models(self, services: Services) -> ModelList:
        """All of the configuration, with what they cost at each provider; they are changed in the file."""
        states = _states(services.upstreams.upstreams(), services.loads())
        config = services.settings().config
        return ModelList(price_list.shown(config, lambda name: states.get(name, price_list.unknown(name))))


def _states(views: Iterable[UpstreamView], counts: ports.Loads) -> dict[str, tuple[str, str]]:
    """Of each upstream, whether one of its servers takes calls, and if not, why."""
    found: dict[str, tuple[str, str]] = {}
    for view in views:
        if not view.servers:
            found[view.name] = ("unknown", view.problem)
            continue
        up = [server for server in view.servers if server.up and server.weight]
        ejected = [server for server in up if counts(view.name, server.name).ejected]
        if len(ejected) < len(up):
            found[view.name] = ("up", "")
        else:
            why = "calls to it failed" if ejected else next((s.reason for s in view.servers if s.reason), "drained")
            found[view.name] = ("down", why)
    return found
