"""Bytes that are not strict HTTP/1.1 get one refusal and the end of the connection; nothing is forwarded or charged."""

from __future__ import annotations

from .configs import IDENTITY, KEY
from .framing import CASES, assert_refused, both_ways, request
from .oracle import Oracle
from .rig import Gateway

GET = b"GET /v1/x HTTP/1.1"
POST = b"POST /v1/x HTTP/1.1"
CHUNKED = b"Transfer-Encoding: chunked"
AUTH = f"Authorization: Bearer {KEY}\r\n".encode()


def chunked(body: bytes) -> bytes:
    return request(POST, CHUNKED, body=body)


def anonymous(line: bytes, *fields: bytes) -> bytes:
    """A request that says who calls, but not where."""
    return line + b"\r\n" + AUTH + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


HEADS: CASES = {
    # the request line
    "method in small letters": request(b"get /v1/x HTTP/1.1"),
    "method that does not exist": request(b"FOO /v1/x HTTP/1.1"),
    "method with a mark": request(b"GE?T /v1/x HTTP/1.1"),
    "method with a NUL": request(b"G\0ET /v1/x HTTP/1.1"),
    "method with a following brace": request(b"GET{ /v1/x HTTP/1.1"),
    "method of RTSP": request(b"SETUP /v1/x HTTP/1.1"),
    "PRI": request(b"PRI /v1/x HTTP/1.1"),
    "space before the method": b" " + request(GET),
    "tab before the method": b"\t" + request(GET),
    "two spaces after the method": request(b"GET  /v1/x HTTP/1.1"),
    "tab after the method": request(b"GET\t/v1/x HTTP/1.1"),
    "two spaces after the target": request(b"GET /v1/x  HTTP/1.1"),
    "tab after the target": request(b"GET /v1/x\tHTTP/1.1"),
    "space behind the version": request(b"GET /v1/x HTTP/1.1 "),
    "words behind the version": request(b"GET /v1/x HTTP/1.1 yes"),
    "target with a space": request(b"GET /v1/x y HTTP/1.1"),
    "target with a fragment": request(b"GET /v1/x#y HTTP/1.1"),
    "target with a NUL": request(b"GET /v1/\0x HTTP/1.1"),
    "target with DEL": request(b"GET /v1/\x7fx HTTP/1.1"),
    "target with a byte above 127": request(b"GET /v1/\xc3\xa9 HTTP/1.1"),
    "target with an escape byte": request(b"GET /v1/\x1b[2J HTTP/1.1"),
    "target that is relative": request(b"GET v1/x HTTP/1.1"),
    "target that is missing": request(b"GET HTTP/1.1"),
    "target that is only a space": request(b"GET  HTTP/1.1"),
    "target with another scheme": request(b"GET ftp://wire/v1/x HTTP/1.1"),
    "target with a user": request(b"GET http://me@wire/v1/x HTTP/1.1"),
    "target without an authority": request(b"GET http:///v1/x HTTP/1.1"),
    "target of an asterisk": request(b"GET * HTTP/1.1"),
    "target of an asterisk with OPTIONS": request(b"OPTIONS * HTTP/1.1"),
    "carriage return in the target": request(b"GET /v1/x\ry HTTP/1.1"),
    "version that is missing": request(b"GET /v1/x"),
    "version that is only a space": request(b"GET /v1/x "),
    "version in small letters": request(b"GET /v1/x http/1.1"),
    "version with a comma": request(b"GET /v1/x HTTP/1,1"),
    "version without a minor": request(b"GET /v1/x HTTP/1"),
    "version without numbers": request(b"GET /v1/x HTTP/"),
    "version of two digits": request(b"GET /v1/x HTTP/1.10"),
    "version of a zero and more": request(b"GET /v1/x HTTP/01.1"),
    "version in hexadecimal": request(b"GET /v1/x HTTP/1.a"),
    "protocol of another name": request(b"GET /v1/x HTTQ/1.1"),
    "protocol of letters before": request(b"GET /v1/x xHTTP/1.1"),
    "protocol of RTSP": request(b"GET /v1/x RTSP/1.0"),
    "protocol of ICE": request(b"SOURCE /v1/x ICE/1.0"),
    # line ends
    "bare line feeds everywhere": request(GET).replace(b"\r\n", b"\n"),
    "bare line feed behind the request line": request(GET).replace(b"\r\n", b"\n", 1),
    "bare line feed behind a field": request(GET, b"X-A: b\nX-C: d"),
    "bare line feed at the end of the head": request(GET)[:-2] + b"\n",
    "bare carriage return behind the request line": request(GET).replace(b"\r\n", b"\r", 1),
    "bare carriage return in a value": request(GET, b"X-A: b\rc"),
    "two carriage returns before a line feed": request(GET, b"X-A: b\r"),
    "carriage return before the first byte": b"\r" + request(GET),
    "carriage return and a letter at the end of the head": request(GET)[:-1] + b"x\r\n\r\n",
    # fields
    "space before the colon": request(GET, b"X-A : b"),
    "tab before the colon": request(GET, b"X-A\t: b"),
    "space before the colon of the length": request(POST, b"Content-Length : 3", body=b"abc"),
    "space in the name": request(GET, b"X A: b"),
    "space before the first field": request(GET).replace(b"Host", b" Host", 1),
    "folded value": request(GET, b"X-A: b", b" c"),
    "folded value with a tab": request(GET, b"X-A: b", b"\tc"),
    "folded value after nothing": request(GET, b"X-A:", b" c"),
    "line of a space": request(GET, b" "),
    "name of nothing": request(GET, b": b"),
    "field without a colon": request(GET, b"X-A"),
    "field without a colon behind the request line": b"GET /v1/x HTTP/1.1\r\nwire\r\n" + IDENTITY + b"\r\n",
    "name with a NUL": request(GET, b"X\0A: b"),
    "name with a bracket": request(GET, b"X[A]: b"),
    "name with a quote": request(GET, b'X"A: b'),
    "name with a slash": request(GET, b"X/A: b"),
    "name with an at": request(GET, b"X@A: b"),
    "name with a byte above 127": request(GET, b"X\xc3\xa9: b"),
    "name with parentheses": request(GET, b"(X): b"),
    "value with a NUL": request(GET, b"X-A: b\0c"),
    "value with a backspace": request(GET, b"X-A: b\x08c"),
    "value with an escape byte": request(GET, b"X-A: \x1b[2J"),
    "value with DEL": request(GET, b"X-A: b\x7f"),
    "value with a vertical tab": request(GET, b"X-A:\x0bb"),
    "Connection that is no list": request(GET, b"Connection: a/b;c"),
    "Connection without a comma": request(GET, b"Connection: x-a close"),
    # Host (RFC 9112 §3.2)
    "no Host": anonymous(GET),
    "two Hosts": request(GET, b"Host: other"),
    "two equal Hosts": request(GET, b"Host: wire"),
    "two Hosts with a target in absolute form": request(b"GET http://wire/v1/x HTTP/1.1", b"Host: wire"),
    "no Host with a target in absolute form": anonymous(b"GET http://wire/v1/x HTTP/1.1"),
    "empty Host": anonymous(GET, b"Host:"),
    "Host with a user": anonymous(GET, b"Host: a@b"),
    "Host with a path": anonymous(GET, b"Host: a/b"),
    "Host with a query": anonymous(GET, b"Host: a?b"),
    "Host with a space": anonymous(GET, b"Host: a b"),
    "Host of two names": anonymous(GET, b"Host: a, b, c").replace(b", ", b",\t"),
    "Host with a quote": anonymous(GET, b'Host: a"b'),
    "Host with a byte above 127": anonymous(GET, b"Host: caf\xc3\xa9"),
    "Host before a space and a colon": anonymous(GET, b"Host : wire"),
    # lengths
    "length with a sign": request(POST, b"Content-Length: +3", body=b"abc"),
    "length below zero": request(POST, b"Content-Length: -1"),
    "length below zero and beyond 64 bits": request(POST, b"Content-Length: -9223372036854775809"),
    "length beyond 64 bits": request(POST, b"Content-Length: 18446744073709551619", body=b"abc"),
    "length in words": request(POST, b"Content-Length: three"),
    "length with a word behind": request(POST, b"Content-Length: 3 bytes", body=b"abc"),
    "length in hexadecimal": request(POST, b"Content-Length: 0x3", body=b"abc"),
    "length with a fraction": request(POST, b"Content-Length: 3.0", body=b"abc"),
    "length with an exponent": request(POST, b"Content-Length: 1e3"),
    "length with an underscore": request(POST, b"Content-Length: 1_0", body=b"0123456789"),
    "length of nothing": request(POST, b"Content-Length:"),
    "length of spaces": request(POST, b"Content-Length:   "),
    "length as a list": request(POST, b"Content-Length: 3, 3", body=b"abc"),
    "length with a space inside": request(POST, b"Content-Length: 1 0", body=b"0123456789"),
    "length in other digits": request(POST, "Content-Length: \N{ARABIC-INDIC DIGIT THREE}".encode(), body=b"abc"),
    "two lengths": request(POST, b"Content-Length: 3", b"Content-Length: 4", body=b"abc"),
    "two equal lengths": request(POST, b"Content-Length: 3", b"Content-Length: 3", body=b"abc"),
    "length and chunks": request(POST, b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n"),
    "chunks and length": request(POST, CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n"),
    "length of zero and chunks": request(POST, b"Content-Length: 0", CHUNKED, body=b"0\r\n\r\n"),
    # codings
    "chunks for HTTP/1.0": request(b"POST /v1/x HTTP/1.0", CHUNKED, body=b"0\r\n\r\n"),
    "chunked twice": request(POST, CHUNKED, CHUNKED, body=b"0\r\n\r\n"),
    "chunked twice in one field": request(POST, b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
    "chunked before another": request(POST, b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"),
    "chunked after another": request(POST, b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "identity": request(POST, b"Transfer-Encoding: identity", body=b"abc"),
    "identity and length": request(POST, b"Transfer-Encoding: identity", b"Content-Length: 3", body=b"abc"),
    "identity and chunked": request(POST, b"Transfer-Encoding: identity", CHUNKED, body=b"0\r\n\r\n"),
    "coding of nothing": request(POST, b"Transfer-Encoding:", body=b"0\r\n\r\n"),
    "coding with a comma": request(POST, b"Transfer-Encoding: ,chunked", body=b"0\r\n\r\n"),
    "coding with a parameter": request(POST, b"Transfer-Encoding: chunked;x=y", body=b"0\r\n\r\n"),
    "coding in quotes": request(POST, b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"),
    "coding that begins like chunked": request(POST, b"Transfer-Encoding: chunkedchunked", body=b"0\r\n\r\n"),
    "coding that ends like chunked": request(POST, b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "coding with a vertical tab": request(POST, b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
    "coding that is folded": request(POST, b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n"),
    "coding before a space and a colon": request(POST, b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"),
    "coding that is unknown": request(POST, b"Transfer-Encoding: pigeon", body=b"0\r\n\r\n"),
    # no HTTP/1 at all
    "HTTP/0.9": b"GET /v1/x\r\n",
    "HTTP/0.9 by name": request(b"GET /v1/x HTTP/0.9"),
    "HTTP/1.2": request(b"GET /v1/x HTTP/1.2"),
    "HTTP/2.0": request(b"GET /v1/x HTTP/2.0"),
    "HTTP/9.9": request(b"GET /v1/x HTTP/9.9"),
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "hello of TLS": bytes.fromhex("16030102000100 01fc0303"),
    "NULs": b"\0" * 8,
    "PROXY protocol": b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n" + request(GET),
    "CONNECT": request(b"CONNECT wire:443 HTTP/1.1"),
    "CONNECT of a path": request(b"CONNECT /v1/x HTTP/1.1"),
    "answer instead of a request": b"HTTP/1.1 200 OK\r\n" + IDENTITY + b"\r\n",
    "JSON": b'{"model": "x"}\r\n\r\n',
}  # fmt: skip

BODIES: CASES = {
    "size of no digit": chunked(b"x\r\nabc\r\n0\r\n\r\n"),
    "size of nothing": chunked(b"\r\nabc\r\n0\r\n\r\n"),
    "size with a sign": chunked(b"+3\r\nabc\r\n0\r\n\r\n"),
    "size below zero": chunked(b"-3\r\nabc\r\n0\r\n\r\n"),
    "size with 0x": chunked(b"0x3\r\nabc\r\n0\r\n\r\n"),
    "size with an underscore": chunked(b"0_3\r\nabc\r\n0\r\n\r\n"),
    "size beyond 64 bits": chunked(b"10000000000000003\r\nabc\r\n0\r\n\r\n"),
    "size of many zeros": chunked(b"0" * 40 + b"3\r\nabc\r\n0\r\n\r\n"),
    "size after a space": chunked(b" 3\r\nabc\r\n0\r\n\r\n"),
    "size before a space": chunked(b"3 \r\nabc\r\n0\r\n\r\n"),
    "size before a tab": chunked(b"3\t\r\nabc\r\n0\r\n\r\n"),
    "size before words": chunked(b"3 abc\r\nabc\r\n0\r\n\r\n"),
    "size before a comma": chunked(b"3,3\r\nabc\r\n0\r\n\r\n"),
    "size before a bare line feed": chunked(b"3\nabc\r\n0\r\n\r\n"),
    "size before a bare carriage return": chunked(b"3\rabc\r\n0\r\n\r\n"),
    "chunk longer than its size": chunked(b"3\r\nabcd\r\n0\r\n\r\n"),
    "chunk shorter than its size": chunked(b"4\r\nabc\r\n0\r\n\r\n"),
    "chunk that ends in a bare line feed": chunked(b"3\r\nabc\n0\r\n\r\n"),
    "chunk without an end": chunked(b"3\r\nabc0\r\n\r\n"),
    "chunk that ends in letters": chunked(b"3\r\nabcxx0\r\n\r\n"),
    "extension without a name": chunked(b"3;\r\nabc\r\n0\r\n\r\n"),
    "extension of an equals sign": chunked(b"3;=b\r\nabc\r\n0\r\n\r\n"),
    "extension with a bare line feed": chunked(b"3;a=b\nabc\r\n0\r\n\r\n"),
    "extension with a bare carriage return": chunked(b"3;a\rb\r\nabc\r\n0\r\n\r\n"),
    "extension with a NUL": chunked(b"3;a=\0\r\nabc\r\n0\r\n\r\n"),
    "extension with an open quote": chunked(b'3;a="b\r\nabc\r\n0\r\n\r\n'),
    "extension of 5 KiB": chunked(b"3;" + b"a" * 5000 + b"\r\nabc\r\n0\r\n\r\n"),
    "trailer with a bare line feed": chunked(b"0\r\nX-A: b\n\r\n"),
    "trailer without a colon": chunked(b"0\r\nX-A\r\n\r\n"),
    "trailer without a name": chunked(b"0\r\n: b\r\n\r\n"),
    "trailer with a space before its colon": chunked(b"0\r\nX-A : b\r\n\r\n"),
    "trailer that is folded": chunked(b"0\r\nX-A: b\r\n c\r\n\r\n"),
    "trailer with a NUL": chunked(b"0\r\nX-A: \0\r\n\r\n"),
    "trailers of 9 KiB": chunked(b"0\r\nX-A: " + b"b" * 9000 + b"\r\n\r\n"),
    "end with a bare line feed": chunked(b"1\r\na\r\n0\r\n\n"),
}


@both_ways(HEADS)
def test_a_head_is_refused(gateway: Gateway, oracle: Oracle, data: bytes, by_byte: bool) -> None:
    assert_refused(gateway, oracle, data, by_byte, (400, 501, 505))


@both_ways(BODIES)
def test_a_body_is_refused(gateway: Gateway, oracle: Oracle, data: bytes, by_byte: bool) -> None:
    assert_refused(gateway, oracle, data, by_byte)


@both_ways({name: request(b"GET /v1/good HTTP/1.1") + data for name, data in HEADS.items() if name in (
    "two lengths", "length and chunks", "no Host", "folded value", "target with a space", "HTTP/2.0",
    "bare line feeds everywhere", "space before the colon",
)})  # fmt: skip
def test_a_broken_request_behind_a_good_one_is_refused_after_its_answer(
    gateway: Gateway, oracle: Oracle, data: bytes, by_byte: bool
) -> None:
    with gateway.connect() as client:
        client.send(data, by_byte)
        assert client.read().status == 200
        refusal = client.read()
        assert (refusal.status in (400, 505), refusal.closes) == (True, True)
        assert client.is_ended()
    assert [arrival.target for arrival in oracle.arrivals if arrival.whole] == ["/v1/good"]


def test_a_version_that_is_not_spoken_is_said_to_be_that(gateway: Gateway) -> None:
    for name in ("HTTP/0.9 by name", "HTTP/1.2", "HTTP/2.0", "HTTP/9.9", "preface of HTTP/2"):
        with gateway.connect() as connection:
            connection.send(HEADS[name])
            assert (name, connection.read().status) == (name, 505)


def test_a_method_or_coding_that_is_not_known_is_said_to_be_that(gateway: Gateway) -> None:
    for name in ("method that does not exist", "CONNECT", "chunked after another"):
        with gateway.connect() as connection:
            connection.send(HEADS[name])
            assert (name, connection.read().status) == (name, 501)


def test_a_refusal_of_broken_bytes_behind_a_HEAD_has_its_body(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.send(request(b"HEAD /v1/x HTTP/1.1") + b"nonsense\r\n\r\n")
        assert client.read("HEAD").status == 200
        assert client.read("nonsense").status == 400
