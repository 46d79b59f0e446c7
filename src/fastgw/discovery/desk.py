"""Decides what people may see and change of targets while the gateway serves: for the admin API, in any of its threads.

What is declared in a file is changed there, but anything may be drained: what is broken at night is not in a file.
"""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from ..config.upstreams import parse_target
from ..model import Target, Upstream
from ..roster import Roster, name_of, url_of
from . import errors
from .discovery import Discovery
from .listing import API, Listed, names_in
from .views import ServerView, TargetView, UpstreamView
from .watch import Watch


class Desk:
    """Methods raise what is in `errors`."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery

    def upstreams(self) -> list[UpstreamView]:
        """In the order of the configuration."""
        return self._discovery.call(lambda: [self._view(each) for each in self._declared()])

    def upstream(self, name: str) -> UpstreamView:
        return self._discovery.call(lambda: self._view(self._find(name)))

    def roster(self) -> Roster:
        """As the workers have it, or soon will."""
        return self._discovery.roster

    def add(self, upstream: str, url: str, weight: int, expand: bool) -> TargetView:
        """A further target, until it is removed."""
        try:
            target = parse_target({"url": url, "weight": weight, "expand": expand})
        except ValueError as error:
            raise errors.Invalid(f"A target {error}.") from None
        name = name_of(target)
        with self._discovery.by_hand.changing:
            if any(each.name == name for each in self._listed(upstream)):
                raise errors.Conflict(f'The upstream "{upstream}" has a target {name} already.')
            self._keep(lambda: self._discovery.by_hand.add(upstream, name, target))
        return self._target(upstream, name)

    def change(self, upstream: str, name: str, weight: int | None, drained: bool | None) -> TargetView:
        """The weight of one that was added; whether any of them is drained."""
        with self._discovery.by_hand.changing:
            each = self._named(upstream, name)
            if weight is not None and weight != each.target.weight:
                self._refuse_declared(each)
                target: Target = replace(each.target, weight=weight)
                self._keep(lambda: self._discovery.by_hand.add(upstream, name, target))
            if drained is not None and drained != each.drained:
                self._keep(lambda: self._discovery.by_hand.drain(upstream, name, drained))
        return self._target(upstream, name)

    def remove(self, upstream: str, name: str) -> None:
        """Calls in flight to it go on."""
        with self._discovery.by_hand.changing:
            self._refuse_declared(self._named(upstream, name))
            self._keep(lambda: self._discovery.by_hand.remove(upstream, name))

    def _keep(self, change: Callable[[], None]) -> None:
        try:
            change()
        except OSError as error:
            raise errors.Unavailable(f"The state directory cannot be written: {error.strerror}.") from None
        self._discovery.refresh()

    @staticmethod
    def _refuse_declared(each: Listed) -> None:
        if each.origin != API:
            where = "the configuration" if each.origin != "file" else "the upstream's targets_file"
            raise errors.Declared(f"{each.name} is declared in {where}: change it there, or drain it here.")

    # What there is

    def _declared(self) -> tuple[Upstream, ...]:
        config = self._discovery.config
        return () if config is None else config.upstreams

    def _find(self, name: str) -> Upstream:
        for upstream in self._declared():
            if upstream.name == name:
                return upstream
        raise errors.NotFound(f'There is no upstream "{name}".')

    def _listed(self, upstream: str) -> tuple[Listed, ...]:
        return self._discovery.call(lambda: self._discovery.listed[self._find(upstream).name])

    def _named(self, upstream: str, name: str) -> Listed:
        for each in self._listed(upstream):
            if each.name == name:
                return each
        raise errors.NotFound(f'The upstream "{upstream}" has no target {name}.')

    def _target(self, upstream: str, name: str) -> TargetView:
        return self._discovery.call(lambda: self._target_view(self._named_here(upstream, name)))

    def _named_here(self, upstream: str, name: str) -> Listed:
        return next(each for each in self._discovery.listed[upstream] if each.name == name)

    # Views, in the discovery's thread

    def _view(self, upstream: Upstream) -> UpstreamView:
        found = self._discovery
        file = found.files.get(upstream.targets_file)
        return UpstreamView(
            name=upstream.name,
            balance=upstream.balance,
            targets_file=upstream.targets_file,
            problem="" if file is None else file.problem,
            targets=tuple(self._target_view(each) for each in found.listed[upstream.name]),
            servers=tuple(self._servers(upstream)),
        )

    def _target_view(self, each: Listed) -> TargetView:
        target = each.target
        return TargetView(
            name=each.name,
            url=url_of(target),
            origin=each.origin,
            weight=target.weight,
            drained=each.drained,
            expand=target.expand,
            problem=self._problem(each),
        )

    def _problem(self, each: Listed) -> str:
        found = self._discovery
        hosts, services = names_in([each], found.known)
        watches: list[Watch[Any]] = [
            *(found.services[name] for name in services),
            *(found.hosts[name] for name in hosts),
        ]
        return "; ".join(f"{watch.name}: {watch.problem}" for watch in watches if watch.problem)

    def _servers(self, upstream: Upstream) -> Iterable[ServerView]:
        found = self._discovery
        targets = {server.endpoint.name: server.target for server in found.servers[upstream.name]}
        for endpoint in found.roster.upstreams.get(upstream.name, ()):
            checking = found.checks.get((upstream.name, endpoint.name))
            yield ServerView(
                name=endpoint.name,
                target=targets.get(endpoint.name, ""),
                addresses=endpoint.addresses,
                weight=endpoint.weight,
                up=endpoint.up,
                reason="" if checking is None else checking.health.reason,
                checked_s=0 if checking is None else checking.health.checked_s,
                number=endpoint.number,
            )
