"""Decides how a case of framing is judged: what must be taken, waited for or refused, whole and byte by byte."""

from __future__ import annotations

import pytest

from .configs import IDENTITY, PRICE
from .oracle import Oracle
from .rig import Gateway

CASES = dict[str, bytes]
LAST = b"GET /v1/last HTTP/1.1\r\n" + IDENTITY + b"\r\n"


def request(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    """A request of the caller that may call; `line` without its end."""
    return line + b"\r\n" + IDENTITY + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


def both_ways(cases: CASES) -> pytest.MarkDecorator:
    """Each case as two parameters: sent whole, and byte by byte."""
    return pytest.mark.parametrize(
        ("data", "by_byte"),
        [
            pytest.param(data, by_byte, id=f"{name}{'-by-byte' if by_byte else ''}")
            for name, data in cases.items()
            for by_byte in (False, True)
        ],
    )


def assert_taken(gateway: Gateway, oracle: Oracle, data: bytes, by_byte: bool, requests: int = 1) -> None:
    """`data` is so many requests, each is answered 200 and charged, and the connection carries another."""
    before = gateway.captured("rich")
    with gateway.connect() as client:
        client.send(data, by_byte)
        client.send(LAST)
        method = data.lstrip(b"\r\n").split(b" ", 1)[0].decode()
        for _ in range(requests):
            assert client.read(method).status == 200
        assert client.read().status == 200
    assert len(oracle.arrivals) == requests + 1
    assert oracle.arrivals[-1].target == "/v1/last"
    assert gateway.captured("rich") == before + (requests + 1) * PRICE


def assert_refused(
    gateway: Gateway, oracle: Oracle, data: bytes, by_byte: bool, statuses: tuple[int, ...] = (400,)
) -> None:
    """`data` gets one refusal and the end of the connection; nothing is forwarded whole, nothing is charged.

    What begins well and breaks inside its body may have been passed on up to the break, and is cut there.
    """
    before = gateway.captured("rich")
    with gateway.connect() as client:
        client.send(data, by_byte)
        client.send(LAST)  # must not be taken for a request: the connection is out of step
        answer = client.read("GET")
        assert answer.status in statuses
        assert answer.closes
        assert answer.one("content-type") == "application/problem+json"
        try:
            assert client.is_ended()
        except ConnectionResetError:
            raise AssertionError("the refusal was followed by a reset") from None
    assert [arrival.target for arrival in oracle.arrivals if arrival.whole or not _has_body(data)] == []
    assert gateway.captured("rich") == before


def assert_waits(gateway: Gateway, oracle: Oracle, data: bytes, by_byte: bool, rest: bytes) -> None:
    """`data` is the beginning of a request: nothing happens until `rest` has come too."""
    with gateway.connect() as client:
        client.send(data, by_byte)
        assert client.is_silent(0.04)
        assert oracle.arrivals == []
        client.send(rest, by_byte)
        assert client.read().status == 200
    assert len(oracle.arrivals) == 1


def _has_body(data: bytes) -> bool:
    return b"chunked" in data.lower()
