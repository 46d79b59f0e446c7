"""Decides what is known of the servers of each upstream: where each is, how it is spoken to, and whether it is up.

The keeper finds it out, the supervisor passes it on, and the workers send calls by it: an anonymous file in memory,
like the configuration. A roster is never changed, only followed by another.
"""

import os
from ipaddress import ip_address

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from .addresses import join_listen
from .model import Config, Target, Upstream


class Endpoint(Struct, frozen=True):
    """One server that calls can be sent to.

    `name` is unique within its upstream, stays the same as long as the server does, and is shown to people:
    "10.0.0.1:9000", "api.example.com:443", "unix:/run/app.sock". `addresses` are IP literals without brackets, to be
    tried in this order (RFC 8305), none for a Unix socket, whose path is `socket`. `authority` is for Host,
    `server_name` for SNI and the certificate, "" where it is not `tls`. With `weight` 0 it gets no new calls; `up` is
    what active checks say. `number` counts from 1 over all upstreams and stays the same, too: it stands for the server
    where there is no room for a name, in records of calls and in tables that are shared.
    """

    name: str
    addresses: tuple[str, ...]
    port: int
    socket: str
    authority: str
    tls: bool
    server_name: str
    weight: int = 1
    up: bool = True
    number: int = 0


NUMBER_MAX = 65_535  # of an endpoint, which a record of a call has two octets for
AWAY_MAX = 1_024  # endpoints that are gone and keep their numbers


class Roster(Struct, frozen=True):
    """The endpoints of each upstream by its name, each with another name; `generation` grows with every change."""

    upstreams: dict[str, tuple[Endpoint, ...]]
    generation: int = 0


def endpoint(upstream: Upstream, target: Target, name: str, addresses: tuple[str, ...], port: int) -> Endpoint:
    """A server that a target of this upstream stands for, or one of several; without its number."""
    service = service_of(target)
    return Endpoint(
        name=name,
        addresses=addresses,
        port=port,
        socket=target.socket,
        authority=service if target.srv else target.authority,
        tls=target.tls,
        server_name=(upstream.tls.server_name or service) if target.tls else "",
        weight=target.weight,
    )


def name_of(target: Target) -> str:
    """What a target is called, unique within its upstream: "10.0.0.1:9000", "unix:/run/app.sock", or SRV's own name."""
    if target.socket:
        return f"unix:{target.socket}"
    return target.host if target.srv else join_listen(target.host, target.port)


def url_of(target: Target) -> str:
    """A target as people write it."""
    if target.socket:
        return f"unix:{target.socket}"
    return f"{'srv+' if target.srv else ''}{'https' if target.tls else 'http'}://{target.authority}"


def service_of(target: Target) -> str:
    """Whose name its servers go by: what was written, never what DNS answered, which anybody may have forged.

    Of SRV records it is the domain that has them (RFC 6125 §6.2.1): example.com for _http._tcp.example.com.
    """
    if not target.srv:
        return target.host
    labels = target.host.split(".")
    domain = [label for label in labels if not label.startswith("_")]
    return ".".join(domain) or target.host


def known(upstream: Upstream) -> tuple[Endpoint, ...]:
    """Those of its targets that can be reached without asking anybody where they are: addresses and Unix sockets.

    Without their numbers.
    """
    found = []
    for target in upstream.targets:
        if target.socket:
            found.append(endpoint(upstream, target, name_of(target), (), 0))
        elif not target.srv and is_address(target.host):
            found.append(endpoint(upstream, target, name_of(target), (target.host,), target.port))
    return tuple(found)


def is_address(host: str) -> bool:
    """Whether a host, without brackets, is an IP address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def initial(config: Config) -> Roster:
    """What is known without asking anybody; a name has no endpoint yet."""
    return numbered({each.name: known(each) for each in config.upstreams}, Roster({}))


def completed(roster: Roster, config: Config) -> Roster:
    """The same with the upstreams that it does not know: what is known of them without asking anybody."""
    others = {each.name: known(each) for each in config.upstreams if each.name not in roster.upstreams}
    return numbered({**roster.upstreams, **others}, roster) if others else roster


def numbered(upstreams: dict[str, tuple[Endpoint, ...]], former: Roster) -> Roster:
    """The roster that follows another, from which who has been in it keeps its number."""
    return Numbers(former).give(upstreams)


class Numbers:
    """Who has which number. One that is gone keeps its own, for when it comes back; only when many are gone, the one
    that has been gone longest leaves it to another. Beyond NUMBER_MAX there are none: 0 is nobody's."""

    def __init__(self, former: Roster) -> None:
        self._generation = former.generation
        self._numbers = {
            (name, each.name): each.number for name, endpoints in former.upstreams.items() for each in endpoints
        }
        self._top = max(self._numbers.values(), default=0)

    def give(self, upstreams: dict[str, tuple[Endpoint, ...]]) -> Roster:
        """The next roster."""
        here = [(name, each.name) for name, endpoints in upstreams.items() for each in endpoints]
        present = set(here)
        away = dict.fromkeys(place for place in self._numbers if place not in present)  # the longest gone first
        for place in here:
            number = self._numbers.pop(place, 0) or self._number(away)
            self._numbers[place] = number  # behind those that are gone
        given = {
            name: tuple(replace(each, number=self._numbers[name, each.name]) for each in endpoints)
            for name, endpoints in upstreams.items()
        }
        self._generation += 1
        return Roster(given, self._generation)

    def _number(self, away: dict[tuple[str, str], None]) -> int:
        if len(away) > AWAY_MAX or (away and self._top >= NUMBER_MAX):
            place = next(iter(away))
            del away[place]
            return self._numbers.pop(place)
        self._top = min(self._top + 1, NUMBER_MAX + 1)
        return self._top if self._top <= NUMBER_MAX else 0


def publish(roster: Roster) -> int:
    """Write it to a new anonymous file; the descriptor, to be passed on."""
    descriptor = os.memfd_create("fastgw-roster", os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(msgspec.msgpack.encode(roster))
    return descriptor


def read(descriptor: int) -> Roster:
    """The roster that `publish` wrote; may be read any number of times. Raises msgspec.MsgspecError."""
    data = bytearray()
    while part := os.pread(descriptor, 1 << 20, len(data)):
        data += part
    return msgspec.msgpack.decode(data, type=Roster)
