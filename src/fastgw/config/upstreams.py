"""Decides what [[upstreams]] may say: targets, how calls are spread over them, and what happens when they fail."""

import re
from typing import Any

from msgspec.structs import replace

from .. import addresses, upstream_tls
from ..model import Ejection, HealthCheck, Target, Upstream, UpstreamTls
from ..settings import TOKEN
from .fields import (
    Fields,
    HoldsSecretError,
    Report,
    duration,
    integer,
    one_of,
    parse_boolean,
    parse_slug,
    parse_table,
)
from .manual import EJECTION, HEALTH, TARGETS, TLS, UPSTREAMS

_HOUR_MS = 3_600_000
_HEALTH_PATH = re.compile(r'/[!"$-~]{0,1023}')
DEFAULT = Upstream("", ())


def read_upstream(report: Report, index: int, raw: Any) -> Upstream:
    """One table of [[upstreams]], problems going to `report`."""
    fields = Fields(report, ("upstreams", index), raw, UPSTREAMS.names)
    return read_group(fields, fields.require("name", parse_slug, ""))


def read_group(fields: Fields, name: str) -> Upstream:
    """The upstream of that name that a table describes."""
    targets = _targets(fields)
    upstream = Upstream(
        name=name,
        targets=targets,
        targets_file=fields.file("targets_file"),
        balance=fields.take("balance", one_of("round_robin", "least_connections", "latency", "hash"), DEFAULT.balance),
        hash_by=fields.take("hash_by", _hash_by, DEFAULT.hash_by),
        slow_start_ms=fields.take("slow_start", duration(100, _HOUR_MS, zero=True), 0),
        connections_max=fields.take("connections_max", integer(0, 1_000_000), 0),
        requests_max=fields.take("requests_max", integer(0, 1_000_000), 0),
        pending_max=fields.take("pending_max", integer(0, 1_000_000), DEFAULT.pending_max),
        pending_timeout_ms=fields.take("pending_timeout", duration(1, _HOUR_MS), DEFAULT.pending_timeout_ms),
        retries_max=fields.take("retries", integer(0, 10), DEFAULT.retries_max),
        retry_budget_percent=fields.take("retry_budget", integer(0, 100), DEFAULT.retry_budget_percent),
        retry_on=fields.each("retry_on", one_of("reset", "timeout", "502", "503", "504"))
        if "retry_on" in fields.raw
        else DEFAULT.retry_on,
        ejection=_ejection(fields),
        health=_health(fields),
        tls=_tls(fields, any(target.tls for target in targets)),
    )
    if fields.is_table and fields.raw.get("targets", []) == [] and not upstream.targets_file:
        rule = 'needs at least one target, like ["http://127.0.0.1:9001"], or a targets_file'
        fields.report.refuse((*fields.path, "targets"), rule)
    if "hash_by" in fields.raw and upstream.balance != "hash":
        fields.report.refuse(
            (*fields.path, "hash_by"), 'has a meaning with balance = "hash" alone', fields.raw["hash_by"]
        )
    return upstream


def parse_target(value: Any) -> Target:
    """A URL, or a table of it and what else is said of that target. Raises `ValueError`."""
    url = value.get("url") if isinstance(value, dict) else value
    if isinstance(url, str) and "@" in url:
        raise HoldsSecretError("must not hold credentials; send them with a route's set_headers")
    if not isinstance(value, dict):
        return _target(url)
    if strangers := sorted(set(value) - set(TARGETS.names)):
        raise ValueError(f"{strangers[0]} is unknown, allowed are {', '.join(TARGETS.names)}")
    weight, expand = value.get("weight", 1), value.get("expand", False)
    if type(weight) is not int or not 0 <= weight <= 1_000:
        raise ValueError("weight must be an integer from 0 (no new calls) to 1000")
    if type(expand) is not bool:
        raise ValueError("expand must be true or false")
    return _target(url, weight, expand)


def _target(url: Any, weight: int = 1, expand: bool = False) -> Target:
    parts = addresses.split_target(url)
    return Target(parts.host, parts.port, parts.authority, weight, parts.tls, parts.socket, parts.srv, expand)


def _targets(fields: Fields) -> tuple[Target, ...]:
    targets = fields.each("targets", parse_target)
    seen: dict[tuple[str, int, str, bool], int] = {}
    for index, target in enumerate(targets):
        place = (target.host, target.port, target.socket, target.srv)
        if seen.setdefault(place, index) != index:
            fields.report.refuse((*fields.path, "targets", index), "is there twice")
    return targets


def _hash_by(value: Any) -> str:
    if isinstance(value, str) and TOKEN.fullmatch(value):
        return value.lower()
    raise ValueError('must be "key", or the name of a request header, like "x-session"')


def _ejection(fields: Fields) -> Ejection | None:
    if fields.raw.get("ejection", True) is False:
        return None
    raw: dict[str, Any] = fields.take("ejection", parse_table, {})
    inner = Fields(fields.report, (*fields.path, "ejection"), raw, EJECTION.names)
    usual = Ejection()
    return Ejection(
        failures=inner.take("failures", integer(1, 1_000), usual.failures),
        duration_ms=inner.take("duration", duration(100, _HOUR_MS), usual.duration_ms),
        duration_max_ms=inner.take("duration_max", duration(100, 24 * _HOUR_MS), usual.duration_max_ms),
        share_percent=inner.take("share", integer(1, 100), usual.share_percent),
    )


def _health(fields: Fields) -> HealthCheck | None:
    if "health" not in fields.raw:
        return None
    raw: dict[str, Any] = fields.take("health", parse_table, {})
    inner = Fields(fields.report, (*fields.path, "health"), raw, HEALTH.names)
    usual = HealthCheck("")
    return HealthCheck(
        path=inner.require("path", _health_path, "/"),
        interval_ms=inner.take("interval", duration(100, _HOUR_MS), usual.interval_ms),
        timeout_ms=inner.take("timeout", duration(10, 60_000), usual.timeout_ms),
        unhealthy_after=inner.take("unhealthy_after", integer(1, 100), usual.unhealthy_after),
        healthy_after=inner.take("healthy_after", integer(1, 100), usual.healthy_after),
    )


def _health_path(value: Any) -> str:
    if isinstance(value, str) and _HEALTH_PATH.fullmatch(value):
        return value
    raise ValueError('must be a path, like "/healthz"')


def _tls(fields: Fields, needed: bool) -> UpstreamTls:
    """How HTTPS targets are verified; its files are looked into where something is said of them, or `needed`."""
    raw: dict[str, Any] = fields.take("tls", parse_table, {})
    path = (*fields.path, "tls")
    inner = Fields(fields.report, path, raw, TLS.names)
    tls = UpstreamTls(
        ca=inner.file("ca"),
        certificate=inner.file("certificate"),
        key=inner.file("key"),
        server_name=inner.take("server_name", _server_name, ""),
        verify=inner.take("verify", parse_boolean, True),
    )
    if bool(tls.certificate) != bool(tls.key):
        missing, there = ("key", "certificate") if tls.certificate else ("certificate", "key")
        fields.report.refuse((*path, there), f"needs a {missing} beside it")
        return tls
    if tls.ca and not tls.verify:
        fields.report.refuse((*path, "ca"), "has a meaning with verify = true alone", raw["ca"])
    try:
        if needed or raw:
            upstream_tls.context(tls)
        return replace(tls, stamp=upstream_tls.stamp(tls))
    except upstream_tls.TlsFileError as error:
        fields.report.refuse((*path, error.field), str(error), getattr(tls, error.field) or None)
    return tls


def _server_name(value: Any) -> str:
    host = addresses.parse_host(value) if isinstance(value, str) else None
    if host is None or value.startswith("["):
        raise ValueError('must be a host name, like "api.example.com"')
    return host
