"""Requests that are HTTP/1.1, however odd, are taken, forwarded in strict form, and leave the connection in step."""

from __future__ import annotations

import pytest

from .framing import CASES, assert_taken, both_ways, request
from .oracle import Oracle
from .rig import Gateway

GET = b"GET /v1/x HTTP/1.1"
POST = b"POST /v1/x HTTP/1.1"
CHUNKED = b"Transfer-Encoding: chunked"


def chunked(body: bytes, coding: bytes = CHUNKED) -> bytes:
    return request(POST, coding, body=body)


ONE: CASES = {
    # the request line
    "simple": request(GET),
    "query": request(b"GET /v1/x?a=b&c=d%20e HTTP/1.1"),
    "query with a question mark": request(b"GET /v1/x?a=b?c HTTP/1.1"),
    "query of nothing": request(b"GET /v1/x? HTTP/1.1"),
    "double slash inside a path": request(b"GET /v1//x HTTP/1.1"),
    "colon in the path": request(b"GET /v1/a:b@c HTTP/1.1"),
    "escapes in the path": request(b"GET /v1/%D1%82%D0%B5 HTTP/1.1"),
    "brackets and quotes in the query": request(b"GET /v1/x?q[]=\"'{}|^` HTTP/1.1"),
    "long target": request(b"GET /v1/" + b"x" * 8000 + b" HTTP/1.1"),
    "absolute form": request(b"GET http://wire/v1/x HTTP/1.1"),
    "absolute form with a port and a query": request(b"GET http://wire:8080/v1/x?y=z HTTP/1.1"),
    "absolute form with a scheme in capitals": request(b"GET HTTP://wire/v1/x HTTP/1.1"),
    "DELETE": request(b"DELETE /v1/x HTTP/1.1"),
    "DELETE with a body": request(b"DELETE /v1/x HTTP/1.1", b"Content-Length: 2", body=b"ab"),
    "PUT": request(b"PUT /v1/x HTTP/1.1", b"Content-Length: 2", body=b"ab"),
    "PATCH": request(b"PATCH /v1/x HTTP/1.1", b"Content-Length: 2", body=b"ab"),
    "OPTIONS": request(b"OPTIONS /v1/x HTTP/1.1"),
    "PROPFIND": request(b"PROPFIND /v1/x HTTP/1.1", b"Depth: 0"),
    "REPORT": request(b"REPORT /v1/x HTTP/1.1"),
    "PURGE": request(b"PURGE /v1/x HTTP/1.1"),
    "QUERY with a body": request(b"QUERY /v1/x HTTP/1.1", b"Content-Length: 1", body=b"q"),
    # what comes before
    "empty line before": b"\r\n" + request(GET),
    "two empty lines before": b"\r\n\r\n" + request(GET),
    "bare line feed before": b"\n" + request(GET),
    # fields
    "no space after the colon": request(GET, b"X-A:b"),
    "spaces and tabs around a value": request(GET, b"X-A: \t b \t "),
    "300 spaces behind a value": request(GET, b"X-A: b" + b" " * 300),
    "empty value": request(GET, b"X-A:"),
    "value of spaces": request(GET, b"X-A:   "),
    "tab inside a value": request(GET, b"X-A: a\tb"),
    "bytes above 127 in a value": request(GET, b"X-A: caf\xc3\xa9 \xff"),
    "every mark that a name may have": request(GET, b"!#$%&'*+-.^_`|~09aZ: x"),
    "same field twice": request(GET, b"X-A: 1", b"X-A: 2"),
    "80 fields": request(GET, *(b"X-%d: %d" % (i, i) for i in range(80))),
    "long value": request(GET, b"X-A: " + b"v" * 16000),
    "Upgrade without Connection": request(GET, b"Upgrade: websocket"),
    "Connection keep-alive": request(GET, b"Connection: keep-alive"),
    "Connection in capitals": request(GET, b"CONNECTION: KEEP-ALIVE"),
    "Connection with empty elements": request(GET, b"Connection: , keep-alive,, x-b ,"),
    "Proxy-Connection": request(GET, b"Proxy-Connection: keep-alive"),
    "Expect of a GET": request(GET, b"Expect: 100-continue"),
    "TE": request(GET, b"TE: trailers, deflate;q=0.5"),
    "Forwarded": request(GET, b"Forwarded: for=1.2.3.4"),
    "cookies and commas": request(GET, b"Cookie: a=b; c=d", b"Accept: text/*;q=0.3, */*"),
    # lengths
    "length 0": request(POST, b"Content-Length: 0"),
    "length with zeros before it": request(POST, b"Content-Length: 0003", body=b"abc"),
    "length with spaces around it": request(POST, b"Content-Length: \t3 ", body=b"abc"),
    "length in capitals": request(POST, b"CONTENT-LENGTH: 3", body=b"abc"),
    "POST without a length": request(POST),
    "GET with a body": request(GET, b"Content-Length: 3", body=b"abc"),
    "body that looks like a request": request(POST, b"Content-Length: 27", body=b"GET /v1/smuggled HTTP/1.1\r\n"),
    "body of every byte": request(POST, b"Content-Length: 256", body=bytes(range(256))),
    "close in a field of another name": request(POST, b"X-Close: close", b"Content-Length: 1", body=b"a"),
    # chunks
    "chunks": chunked(b"3\r\nabc\r\n0\r\n\r\n"),
    "no chunk but the last": chunked(b"0\r\n\r\n"),
    "last chunk of many zeros": chunked(b"3\r\nabc\r\n0000000\r\n\r\n"),
    "sizes in either case": chunked(b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
    "sizes with zeros before them": chunked(b"0003\r\nabc\r\n0\r\n\r\n"),
    "coding in capitals": chunked(b"1\r\na\r\n0\r\n\r\n", b"TRANSFER-ENCODING: CHUNKED"),
    "extension": chunked(b"3;a\r\nabc\r\n0\r\n\r\n"),
    "extension with a value": chunked(b"3;a=b;c=d\r\nabc\r\n0;e\r\n\r\n"),
    "extension with a quoted value": chunked(b'3;a="b c;d"\r\nabc\r\n0\r\n\r\n'),
    "trailer": chunked(b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"),
    "trailers": chunked(b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-More:\r\n\r\n"),
    "chunk that looks like the end": chunked(b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"),
    "chunked GET": request(GET, CHUNKED, body=b"1\r\na\r\n0\r\n\r\n"),
    "absolute form with chunks": request(b"POST http://wire/v1/x HTTP/1.1", CHUNKED, body=b"3\r\nabc\r\n0\r\n\r\n"),
    "absolute form with a length": request(b"POST http://wire/v1/x HTTP/1.1", b"Content-Length: 3", body=b"abc"),
    # upgrades, declined by being ignored
    "websocket handshake": request(GET, b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: AAAA"),
    "h2c upgrade": request(GET, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
    "h2c upgrade with a body": request(
        POST, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMA", b"Content-Length: 4",
        body=b"PRI ",
    ),
    "upgrade with chunks": request(
        POST, b"Connection: Upgrade", b"Upgrade: x/1", CHUNKED, body=b"4\r\nGET \r\n0\r\n\r\n"
    ),
}  # fmt: skip

SEVERAL: CASES = {
    "two GETs": request(GET) * 2,
    "GET and POST": request(GET) + request(POST, b"Content-Length: 2", body=b"ab"),
    "POST and POST": request(POST, b"Content-Length: 2", body=b"ab") * 2,
    "two with chunks": chunked(b"2\r\nab\r\n0\r\n\r\n") * 2,
    "empty line between": request(POST, b"Content-Length: 2", body=b"ab") + b"\r\n" + request(GET),
    "an upgrade with a body and a GET": (
        request(POST, b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 3", body=b"abc") + request(GET)
    ),
    "two in absolute form": request(b"GET http://wire/v1/x HTTP/1.1") * 2,
    "a rewritten head with a body and a GET": (
        request(POST, b"X-A: b" + b" " * 300, b"Content-Length: 3", body=b"abc") + request(GET)
    ),
}


@both_ways(ONE)
def test_a_request_is_taken(gateway: Gateway, oracle: Oracle, data: bytes, by_byte: bool) -> None:
    assert_taken(gateway, oracle, data, by_byte)


@both_ways(SEVERAL)
def test_two_requests_are_taken(gateway: Gateway, oracle: Oracle, data: bytes, by_byte: bool) -> None:
    assert_taken(gateway, oracle, data, by_byte, 2)


@pytest.mark.parametrize(
    "name", ["body of every byte", "body that looks like a request", "absolute form with a length"]
)
def test_a_body_arrives_as_it_was_sent(gateway: Gateway, oracle: Oracle, name: str) -> None:
    with gateway.connect() as client:
        client.send(ONE[name])
        sent = ONE[name].partition(b"\r\n\r\n")[2]
        assert client.read().body == sent
    [arrival] = oracle.arrivals
    assert arrival.body == sent


def test_chunks_arrive_as_one_body_without_extensions_and_trailers(gateway: Gateway, oracle: Oracle) -> None:
    with gateway.connect() as client:
        client.send(chunked(b'3;a="b"\r\nabc\r\n2\r\nde\r\n0;x\r\nX-Sum: 1\r\nAuthorization: Bearer x\r\n\r\n'))
        assert client.read().body == b"abcde"
    [arrival] = oracle.arrivals
    assert arrival.one("transfer-encoding") == "chunked"
    assert arrival.raw.partition(b"\r\n\r\n")[2] == b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"


def test_an_absolute_form_gives_the_host_and_is_forwarded_in_origin_form(gateway: Gateway, oracle: Oracle) -> None:
    with gateway.connect() as client:
        client.send(request(b"GET http://other.example:81/v1/abs?x=1 HTTP/1.1"))
        assert client.read().status == 200
    [arrival] = oracle.arrivals
    assert arrival.target == "/v1/abs?x=1"
    assert arrival.one("x-forwarded-host") == "other.example:81"
