"""Decides what /v1/models answers: what callers may ask for, what it costs, and how those are who serve it."""

from collections.abc import Iterable

from litestar import Controller, get
from msgspec import Struct

from .. import price_list
from ..discovery.views import UpstreamView
from . import ports
from .parameters import Services
from .problems import documented
from .provider_keys import ProviderKeyShown, ProviderShown, provider_keys


class ModelList(Struct, frozen=True):
    """Models, and how the keys are of the providers that serve them."""

    items: list[price_list.ModelShown]
    providers: list[ProviderShown]


class Models(Controller):
    path = "/v1/models"
    tags = ("models",)

    @get(sync_to_thread=True, summary="Models", responses=documented())
    def list_models(self, services: Services) -> ModelList:
        """All of the configuration, with what they cost at each provider; they are changed in the file."""
        states = _states(services.upstreams.upstreams(), services.loads())
        config = services.settings().config
        providers = provider_keys(services.segment, config)
        for provider in providers:
            if states.get(provider.name, ("", ""))[0] == "up":
                states[provider.name] = _state_of_keys(provider.keys)
        items = price_list.shown(config, lambda name: states.get(name, price_list.unknown(name)))
        return ModelList(items, providers)


def _state_of_keys(keys: list[ProviderKeyShown]) -> tuple[str, str]:
    """Of a provider whose servers take calls: "up" as long as one of its keys may be used."""
    idle = [key for key in keys if key.state != "ok"]
    if not idle:
        return "up", ""
    whys = "/".join(sorted({key.state for key in idle}))
    if len(keys) == 1:
        return whys, "its key"
    return "up" if len(idle) < len(keys) else whys, f"{len(idle)} of {len(keys)} keys {whys}"


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
