"""Builds a worker's gate from the configuration: routes and refusals as the tables that compiled code reads."""

from collections.abc import Sequence
from typing import NamedTuple

from .. import refusals
from .._core import Gate
from .._segment import Segment
from ..model import Config, Rate, Route

# Bits by kernels/head.pxd's method_t.
METHODS = {
    "GET": 1, "HEAD": 2, "POST": 3, "PUT": 4, "DELETE": 5, "PATCH": 6, "OPTIONS": 7,
}  # fmt: skip


class RouteRow(NamedTuple):
    """A route as `fastgw._core.Gate` reads it; `slot` is its place in the segment."""

    name: bytes
    slot: int
    path: bytes
    hosts: tuple[bytes, ...]
    methods: int
    price_nanos: int
    rate: Rate | None
    needs_key: bool
    forward_key: bool
    preserve_host: bool
    dialect: int
    set_lines: bytes
    drop: tuple[bytes, ...]


def method_mask(methods: Sequence[str]) -> int:
    """One bit a method, 0 for any; whoever takes GET takes HEAD (RFC 9110 §9.3.2)."""
    mask = sum(1 << METHODS[method] for method in set(methods))
    return mask | 1 << METHODS["HEAD"] if mask >> METHODS["GET"] & 1 else mask


def route_row(route: Route, slot: int) -> RouteRow:
    return RouteRow(
        name=route.name.encode(),
        slot=slot,
        path=route.path.encode(),
        hosts=tuple(host.encode() for host in route.hosts),
        methods=method_mask(route.methods),
        price_nanos=route.price_nanos,
        rate=route.rate,
        needs_key=route.auth == "key",
        forward_key=route.forward_key,
        preserve_host=route.preserve_host,
        dialect=refusals.DIALECTS.index(route.dialect),
        set_lines="".join(f"{name}: {value}\r\n" for name, value in route.set_headers).encode("latin-1"),
        drop=tuple(name.encode() for name, _ in route.set_headers),
    )


def build_gate(segment: Segment, worker: int, config: Config) -> Gate:
    """The gate of one worker. The routes' slots must be in the segment already (`publish_routes`)."""
    server = config.server
    slots = {name: slot for slot, name in enumerate(segment.routes())}
    return Gate(
        segment,
        worker,
        [route_row(route, slots[route.name]) for route in config.routes],
        refusals.templates(realm=server.realm, docs_url=server.docs_url, top_up_url=server.top_up_url),
        fields_max=server.headers_max,
        key_header=server.key_header.encode(),
        body_max=server.body_max_bytes,
    )
