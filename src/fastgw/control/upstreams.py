"""Decides what /v1/upstreams answers: where the servers of each upstream are, how they are, and targets by hand."""

from litestar import Controller, delete, get, patch, post
from litestar.params import JSONBody
from msgspec import UNSET

from ..discovery.views import ServerView, TargetView, UpstreamView
from . import ports
from .bodies import NewTarget, TargetChange
from .parameters import Services, TargetInPath, UpstreamInPath
from .problems import documented
from .resources import Server, Target, Upstream, UpstreamList
from .written import moment

_CHANGES = ("not_found", "declared_in_file", "state_unavailable")


class Upstreams(Controller):
    path = "/v1/upstreams"
    tags = ("upstreams",)

    @get(sync_to_thread=True, summary="Upstreams", responses=documented())
    def list_upstreams(self, services: Services) -> UpstreamList:
        """All of the configuration, with their targets and the servers that these stand for now."""
        counts = services.loads()
        return UpstreamList([_upstream(view, counts) for view in services.upstreams.upstreams()])

    @get("/{name:str}", sync_to_thread=True, summary="An upstream", responses=documented("not_found"))
    def get_upstream(self, services: Services, name: UpstreamInPath) -> Upstream:
        return _upstream(services.upstreams.upstream(name), services.loads())

    @post(
        "/{name:str}/targets",
        sync_to_thread=True,
        summary="Add a target",
        responses=documented("not_found", "conflict", "body_too_large", "unsupported_media_type", "invalid_value",
                             "state_unavailable"),
    )  # fmt: skip
    def add_target(self, services: Services, name: UpstreamInPath, data: JSONBody[NewTarget]) -> Target:
        """Beside those of the configuration and of the targets_file, until it is removed; restarts do not."""
        return _target(services.upstreams.add(name, data.url, data.weight, data.expand))

    @patch(
        "/{name:str}/targets/{target:path}",
        sync_to_thread=True,
        summary="Drain a target, or change its weight",
        responses=documented("body_too_large", "unsupported_media_type", *_CHANGES),
    )
    def change_target(
        self, services: Services, name: UpstreamInPath, target: TargetInPath, data: JSONBody[TargetChange]
    ) -> Target:
        """One that is drained gets no new calls, whoever has declared it; those in flight go on."""
        weight = None if data.weight is UNSET else data.weight
        drained = None if data.drained is UNSET else data.drained
        return _target(services.upstreams.change(name, target.lstrip("/"), weight, drained))

    @delete("/{name:str}/targets/{target:path}", sync_to_thread=True, summary="Remove a target",
            responses=documented(*_CHANGES))  # fmt: skip
    def remove_target(self, services: Services, name: UpstreamInPath, target: TargetInPath) -> None:
        """One that was added by this API; those that are declared in a file are removed there, or drained."""
        services.upstreams.remove(name, target.lstrip("/"))


def _upstream(view: UpstreamView, counts: ports.Loads) -> Upstream:
    return Upstream(
        name=view.name,
        balance=view.balance,
        targets_file=view.targets_file,
        problem=view.problem,
        targets=[_target(each) for each in view.targets],
        servers=[_server(view.name, each, counts) for each in view.servers],
    )


def _target(view: TargetView) -> Target:
    return Target(
        name=view.name,
        url=view.url,
        origin=view.origin,
        weight=view.weight,
        drained=view.drained,
        expand=view.expand,
        problem=view.problem,
    )


def _server(upstream: str, view: ServerView, counts: ports.Loads) -> Server:
    load = counts(upstream, view.name)
    state = "down" if not view.up else "ejected" if load.ejected else "drained" if not view.weight else "up"
    return Server(
        name=view.name,
        target=view.target,
        addresses=list(view.addresses),
        weight=view.weight,
        state=state,
        reason=view.reason,
        checked=moment(view.checked_s),
        in_flight=load.in_flight,
        connections=load.connections,
        calls=load.calls,
        failures=load.failures,
        retries=load.retries,
        ejections=load.ejections,
    )
