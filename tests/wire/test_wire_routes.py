"""Which route takes a request: the longest prefix of whole segments, of the right host and method; and what was decided
about a path is what is forwarded."""

from __future__ import annotations

import pytest

from .client import Answer
from .configs import KEY
from .oracle import Oracle
from .rig import Gateway


def call(gateway: Gateway, method: str, target: str, host: str = "wire") -> Answer:
    with gateway.connect() as client:
        client.send(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nx-api-key: {KEY}\r\n\r\n".encode())
        return client.read(method)


@pytest.mark.parametrize(
    ("method", "target", "host", "route"),
    [
        ("GET", "/place/x", "a.example", "by-host"),
        ("GET", "/place/x", "A.EXAMPLE:8080", "by-host"),
        ("DELETE", "/place/x", "b.example", "by-host"),
        ("GET", "/place/deep", "a.example", "by-host"),
        ("GET", "/place/x", "c.example", "by-path"),
        ("GET", "/place/x", "xa.example", "by-path"),
        ("HEAD", "/place/x", "wire", "by-path"),
        ("POST", "/place/deep", "wire", "by-path"),
        ("GET", "/place/deep", "wire", "deeper"),
        ("GET", "/place/deep/er", "wire", "deeper"),
        ("GET", "/place/deep?x=/y", "wire", "deeper"),
        ("GET", "/place/deeper", "wire", "by-path"),
        ("GET", "http://a.example/place/x", "wire", "by-host"),
        ("GET", "http://wire/place/x", "a.example", "by-path"),
    ],
)
def test_a_request_takes_its_route(
    gateway: Gateway, oracle: Oracle, method: str, target: str, host: str, route: str
) -> None:
    assert call(gateway, method, target, host).status == 200
    assert oracle.arrivals[-1].one("x-route") == route


@pytest.mark.parametrize(
    ("method", "target", "host"),
    [
        ("GET", "/", "wire"),
        ("GET", "/v1", "wire"),
        ("GET", "/v2/x", "wire"),
        ("GET", "/V1/x", "wire"),
        ("GET", "/place", "a.example"),
        ("GET", "/placebo/x", "a.example"),
        ("DELETE", "/place/x", "wire"),
        ("DELETE", "/place/deep", "wire"),
        ("PROPFIND", "/place/x", "wire"),
        ("GET", "//v1/x", "wire"),
        ("GET", "/%76%31/x", "wire"),
        ("GET", "/?/v1/x", "wire"),
    ],
)
def test_what_no_route_takes_is_not_found(
    gateway: Gateway, oracle: Oracle, method: str, target: str, host: str
) -> None:
    assert call(gateway, method, target, host).status == 404
    assert oracle.arrivals == []


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../admin", "/v1/..", "/v1/.", "/v1/./x", "/v1/a/../../admin", "/v1/..?x", "/../v1/x", "/./v1/x",
        "/v1/%2e%2e/admin", "/v1/%2E%2E/admin", "/v1/.%2e/admin", "/v1/%2e./admin", "/v1/%2e",
        "/v1/..%2fadmin", "/v1/..%2Fadmin", "/v1/%2e%2e%2fadmin", "/v1%2f..%2fadmin", "/v1/a%2f..%2f..%2fadmin",
        "/v1/..\\admin", "/v1\\..\\admin", "/v1/..%5cadmin", "/v1/%5c..%5cadmin", "/v1//../admin",
    ],
)  # fmt: skip
def test_a_path_that_climbs_is_refused(gateway: Gateway, oracle: Oracle, path: str) -> None:
    answer = call(gateway, "GET", path)
    assert answer.status == 400
    assert b'"code":"bad_request"' in answer.body
    assert call(gateway, "GET", f"http://wire{path}").status == 400
    assert oracle.arrivals == []


@pytest.mark.parametrize(
    "target",
    [
        "/v1//x", "/v1/a//b///", "/v1/%2f", "/v1/%252e%252e/x", "/v1/...", "/v1/..a/b", "/v1/a..", "/v1/.hidden",
        "/v1/%41%zz%", "/v1/x;y=z/..;/x", "/v1/x?../..", "/v1/?a=%2e%2e/", "/v1/~%7e%7E", "/v1/\\x", "/v1/x?",
    ],
)  # fmt: skip
def test_a_target_is_forwarded_byte_by_byte_as_it_was_judged(gateway: Gateway, oracle: Oracle, target: str) -> None:
    assert call(gateway, "GET", target).status == 200
    assert oracle.arrivals[-1].target == target


def test_TRACE_is_not_forwarded(gateway: Gateway, oracle: Oracle) -> None:
    assert call(gateway, "TRACE", "/v1/x").status == 501
    assert oracle.arrivals == []
