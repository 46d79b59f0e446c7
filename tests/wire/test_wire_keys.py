"""Which key a request presents, wherever it says so; two different ones are none."""

from __future__ import annotations

import pytest

from .client import Answer
from .configs import KEY
from .oracle import Oracle
from .rig import Gateway

OTHER = "sk-wire-rich-0002"


def call(gateway: Gateway, *fields: str, path: str = "/v1/keys") -> Answer:
    lines = "".join(f"{field}\r\n" for field in fields)
    with gateway.connect() as client:
        client.send(f"GET {path} HTTP/1.1\r\nHost: wire\r\n{lines}\r\n".encode("latin-1"))
        return client.read()


@pytest.mark.parametrize(
    "fields",
    [
        (f"Authorization: Bearer {KEY}",),
        (f"authorization: bearer {KEY}",),
        (f"AUTHORIZATION: BEARER {KEY}",),
        (f"Authorization: Bearer   {KEY}",),
        (f"Authorization:Bearer {KEY}  ",),
        (f"x-api-key: {KEY}",),
        (f"X-API-Key:{KEY}",),
        (f"x-wire-key: {KEY}",),
        (f"X-Wire-Key: {KEY}",),
        (f"Authorization: Bearer {KEY}", f"x-api-key: {KEY}"),
        (f"Authorization: Bearer {KEY}", f"x-api-key: {KEY}", f"x-wire-key: {KEY}"),
        (f"Authorization: Bearer {KEY}", f"Authorization: Bearer {KEY}"),
        ("Authorization: Basic eDp5", f"x-api-key: {KEY}"),
        ("x-api-key:", f"Authorization: Bearer {KEY}"),
    ],
)
def test_a_key_is_found(gateway: Gateway, oracle: Oracle, fields: tuple[str, ...]) -> None:
    assert call(gateway, *fields).status == 200
    assert len(oracle.arrivals) == 1


@pytest.mark.parametrize(
    ("status", "code", "fields"),
    [
        (401, "missing_key", ()),
        (401, "missing_key", ("Authorization: Bearer",)),
        (401, "missing_key", ("Authorization: Bearer ",)),
        (401, "missing_key", ("Authorization:",)),
        (401, "missing_key", ("x-api-key:",)),
        (401, "missing_key", (f"Authorization: {KEY}",)),
        (401, "missing_key", (f"Authorization: Basic {KEY}",)),
        (401, "missing_key", (f"Proxy-Authorization: Bearer {KEY}",)),
        (401, "missing_key", (f"x-api-keys: {KEY}",)),
        (401, "unknown_key", ("Authorization: Bearer sk-wire-nobody-1",)),
        (401, "unknown_key", (f"Authorization: Bearer {KEY}x",)),
        (401, "unknown_key", (f"Authorization: Bearer {KEY[:-1]}",)),
        (401, "unknown_key", (f"Authorization: Bearer {KEY.upper()}",)),
        (401, "unknown_key", (f"Authorization: Bearer {KEY}, {KEY}",)),
        (401, "unknown_key", (f"x-api-key: Bearer {KEY}",)),
        (401, "unknown_key", (f"x-api-key: {'k' * 8000}",)),
        (401, "revoked_key", ("Authorization: Bearer sk-wire-revoked-1",)),
        (401, "expired_key", ("x-api-key: sk-wire-expired-1",)),
        (400, "ambiguous_key", (f"Authorization: Bearer {KEY}", f"x-api-key: {OTHER}")),
        (400, "ambiguous_key", (f"Authorization: Bearer {KEY}", f"Authorization: Bearer {OTHER}")),
        (400, "ambiguous_key", (f"x-api-key: {KEY}", f"x-api-key: {OTHER}")),
        (400, "ambiguous_key", (f"x-wire-key: {OTHER}", f"x-api-key: {KEY}")),
        (400, "ambiguous_key", (f"x-api-key: {KEY}", "x-wire-key: sk-wire-nobody-1")),
        (400, "ambiguous_key", (f"x-api-key: {KEY}", f"x-wire-key: {KEY}x")),
    ],
)
def test_a_call_without_one_good_key_is_refused(
    gateway: Gateway, oracle: Oracle, status: int, code: str, fields: tuple[str, ...]
) -> None:
    answer = call(gateway, *fields)
    assert answer.status == status
    assert f'"code":"{code}"'.encode() in answer.body
    assert oracle.arrivals == []


def test_a_route_without_keys_asks_for_none(gateway: Gateway) -> None:
    assert call(gateway, path="/open/x").status == 200
    assert call(gateway, f"x-api-key: {KEY}", f"x-wire-key: {OTHER}", path="/open/x").status == 200
