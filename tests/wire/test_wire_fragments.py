"""A request in fragments is waited for, wherever it is cut; only then is it judged (RFC 9112 §2.2)."""

from __future__ import annotations

import pytest

from .configs import IDENTITY
from .framing import assert_waits
from .oracle import Oracle
from .rig import Gateway

WHOLE = b"GET /v1/fragments HTTP/1.1\r\n" + IDENTITY + b"X-Field: some value\r\n\r\n"

# The point after which the cut is made
CUTS = {
    "inside the method": b"G",
    "after the method": b"GET",
    "after the method's space": b"GET ",
    "at the target's beginning": b"GET /",
    "inside the target": b"GET /v1/frag",
    "after the target": b"GET /v1/fragments",
    "after the target's space": b"GET /v1/fragments ",
    "inside the protocol's name": b"GET /v1/fragments HTT",
    "inside the version": b"GET /v1/fragments HTTP/1.",
    "before the first line's end": b"GET /v1/fragments HTTP/1.1",
    "inside the first line's end": b"GET /v1/fragments HTTP/1.1\r",
    "after the first line": b"GET /v1/fragments HTTP/1.1\r\n",
    "inside a field's name": b"\r\nX-Fie",
    "after a field's name": b"\r\nX-Field",
    "after a field's colon": b"\r\nX-Field:",
    "before a field's value": b"\r\nX-Field: ",
    "inside a field's value": b"\r\nX-Field: some",
    "before a field's end": b"\r\nX-Field: some value",
    "inside a field's end": b"\r\nX-Field: some value\r",
    "before the empty line": b"\r\nX-Field: some value\r\n",
    "inside the empty line": b"\r\nX-Field: some value\r\n\r",
}


@pytest.mark.parametrize("by_byte", [False, True], ids=["whole", "by-byte"])
@pytest.mark.parametrize("mark", CUTS.values(), ids=CUTS.keys())
def test_a_head_is_waited_for(gateway: Gateway, oracle: Oracle, mark: bytes, by_byte: bool) -> None:
    cut = WHOLE.index(mark) + len(mark)
    assert_waits(gateway, oracle, WHOLE[:cut], by_byte, WHOLE[cut:])


@pytest.mark.parametrize("by_byte", [False, True], ids=["whole", "by-byte"])
@pytest.mark.parametrize("beginning", [b"\r", b"\r\n", b"\n", b"\r\n\r\n", b"\r\n\r"])
def test_an_empty_line_before_a_request_is_nothing(
    gateway: Gateway, oracle: Oracle, beginning: bytes, by_byte: bool
) -> None:
    rest = b"\n" if beginning.endswith(b"\r") else b""
    assert_waits(gateway, oracle, beginning, by_byte, rest + WHOLE)


def test_two_requests_cut_anywhere_are_two_requests(gateway: Gateway, oracle: Oracle) -> None:
    post = b"POST /v1/cut HTTP/1.1\r\n" + IDENTITY + b"Content-Length: 3\r\n\r\nabc"
    chunked = b"POST /v1/cut HTTP/1.1\r\n" + IDENTITY + b"Transfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n"
    both = post + chunked
    with gateway.connect() as client:
        for cut in range(1, len(both)):
            client.send(both[:cut])
            client.send(both[cut:])
            assert [client.read().body, client.read().body] == [b"abc", b"def"]
    assert len(oracle.arrivals) == 2 * (len(both) - 1)
