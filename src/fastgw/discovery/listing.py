"""Decides which targets an upstream has, by configuration, file and API together, and which servers they stand for."""

from collections.abc import Callable, Iterable

from msgspec import Struct
from msgspec.structs import replace

from ..addresses import join_listen
from ..model import Target, Upstream
from ..roster import Endpoint, endpoint, is_address, name_of
from .resolver import Addresses, Services

WEIGHT_MAX = 1_000
CONFIGURATION, FILE, API = "configuration", "file", "api"


class Listed(Struct, frozen=True):
    """One target of an upstream, and who has named it; one that is drained gets no new calls."""

    target: Target
    origin: str
    drained: bool = False

    @property
    def name(self) -> str:
        return name_of(self.target)


class Server(Struct, frozen=True):
    """An endpoint, and the name of the target that it comes from."""

    endpoint: Endpoint
    target: str


class Known:
    """What names stand for, as far as that is known."""

    def __init__(
        self, addresses: Callable[[str], Addresses | None], services: Callable[[str], Services | None]
    ) -> None:
        self.addresses = addresses
        self.services = services


def listed(
    upstream: Upstream, of_file: Iterable[Target], added: Iterable[Target], drained: Iterable[str]
) -> tuple[Listed, ...]:
    """All of them, each once: who is in the configuration is not added by the file, nor who is there by the API."""
    found: dict[str, Listed] = {}
    without = set(drained)
    for origin, targets in ((CONFIGURATION, upstream.targets), (FILE, of_file), (API, added)):
        for target in targets:
            name = name_of(target)
            found.setdefault(name, Listed(target, origin, name in without))
    return tuple(found.values())


def names_in(targets: Iterable[Listed], known: Known) -> tuple[set[str], set[str]]:
    """The names whose addresses, and whose SRV records, must be known for these."""
    hosts: set[str] = set()
    services: set[str] = set()
    for each in targets:
        target = each.target
        if target.srv:
            services.add(target.host)
            answer = known.services(target.host)
            hosts.update(host for host, _, _ in chosen(answer) if not is_address(host))
        elif not target.socket and not is_address(target.host):
            hosts.add(target.host)
    return hosts, services


def chosen(answer: Services | None) -> list[tuple[str, int, int]]:
    """(host, port, weight) of the records of the lowest priority (RFC 2782), weights from 1 to WEIGHT_MAX.

    A record of weight 0 gets few calls, not none: that is what 0 says in DNS.
    """

    if answer is None or not answer.services:
        return []
    first = min(service.priority for service in answer.services)
    best = [service for service in answer.services if service.priority == first]
    top = max(service.weight for service in best)
    scale = WEIGHT_MAX if top > WEIGHT_MAX else top or 1
    return [(each.host, each.port, max(1, each.weight * scale // (top or 1))) for each in best]


def servers(upstream: Upstream, targets: Iterable[Listed], known: Known) -> tuple[Server, ...]:
    """The endpoints that they stand for, each name once; a name without an answer has none yet."""
    found: dict[str, Server] = {}
    for each in targets:
        for made in _endpoints(upstream, each.target, known):
            server = Server(replace(made, weight=0) if each.drained else made, each.name)
            found.setdefault(made.name, server)
    return tuple(found.values())


def _endpoints(upstream: Upstream, target: Target, known: Known) -> list[Endpoint]:
    if target.socket:
        return [endpoint(upstream, target, name_of(target), (), 0)]
    if target.srv:
        made = []
        for host, port, weight in chosen(known.services(target.host)):
            if addresses := _addresses(host, known):
                weighted = replace(target, weight=weight if target.weight else 0)
                made.append(endpoint(upstream, weighted, join_listen(host, port), addresses, port))
        return made
    addresses = _addresses(target.host, known)
    if not target.expand:
        return [endpoint(upstream, target, name_of(target), addresses, target.port)] if addresses else []
    return [endpoint(upstream, target, join_listen(one, target.port), (one,), target.port) for one in addresses]


def _addresses(host: str, known: Known) -> tuple[str, ...]:
    if is_address(host):
        return (host,)
    answer = known.addresses(host)
    return () if answer is None else answer.addresses
