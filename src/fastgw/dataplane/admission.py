"""Builds a worker's gate from the configuration, and brings it up to another: routes, plans, refusals and limits."""

from typing import Any

from .. import refusals
from .._core import Gate
from .._segment import Segment
from ..model import Config
from ..rows import build_rows


def _tables(segment: Segment, config: Config) -> tuple[tuple[Any, ...], dict[str, Any]]:
    server = config.server
    routes, plans = build_rows(segment, config)
    templates = refusals.templates(realm=server.realm, docs_url=server.docs_url, top_up_url=server.top_up_url)
    limits = {
        "fields_max": server.headers_max,
        "key_header": server.key_header.encode(),
        "body_max": server.body_max_bytes,
    }
    return (routes, templates, plans), limits


def build_gate(segment: Segment, worker: int, config: Config) -> Gate:
    """The gate of one worker. The slots of routes and plans must be in the segment already."""
    tables, limits = _tables(segment, config)
    return Gate(segment, worker, *tables, **limits)


def reload_gate(gate: Gate, segment: Segment, config: Config) -> None:
    """Decide by `config` from the next request on, or, on an error, by what was there; calls in flight keep theirs."""
    tables, limits = _tables(segment, config)
    gate.reload(*tables, **limits)
