"""What becomes of an answer: framed for its client, and its connection kept only when that is in step."""

from __future__ import annotations

import threading

import pytest

from .client import Client, TruncatedError
from .configs import KEY
from .framing import CASES, request
from .oracle import Oracle, Script, Talk
from .rig import Gateway

PLAIN_END = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def get(name: str, version: str = "1.1", *fields: bytes) -> bytes:
    return request(f"GET /v1/{name} HTTP/{version}".encode(), *fields)


def raw(data: bytes, close: bool = False) -> Script:
    """A script that answers with these bytes."""

    def script(talk: Talk) -> None:
        talk.read_body()
        talk.send(data)
        talk.keep = not close

    return script


def test_an_answer_without_a_date_gets_one_and_keeps_its_own(client: Client, oracle: Oracle) -> None:
    for own in (b"", b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"):
        with oracle.script(raw(b"HTTP/1.1 200 OK\r\n" + own + b"Content-Length: 2\r\n\r\nok")) as name:
            client.send(get(name))
            date = client.read().one("date")  # `one` fails on two
            assert (date == "Sun, 06 Nov 1994 08:49:37 GMT") is bool(own)


BODILESS = {
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "204 with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
    "304 with a length": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n",
    "304 with chunks announced": b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "after 100": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "after two 103": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 2 + b"HTTP/1.1 204 No\r\n\r\n",
}
WITH_BODY = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "no reason phrase": b"HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\nabc",
    "no reason phrase and no space": b"HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\nX-T: 1\r\n\r\n",
    "status that nobody knows": b"HTTP/1.1 299 Odd\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.0 with a length": b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "300 spaces behind a value": b"HTTP/1.1 200 OK\r\nX-A: b" + b" " * 300 + b"\r\nContent-Length: 3\r\n\r\nabc",
    "103 with 300 spaces behind a value": (
        b"HTTP/1.1 103 Early Hints\r\nX-A: b" + b" " * 300 + b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    ),
}


@pytest.mark.parametrize("data", BODILESS.values(), ids=BODILESS.keys())
def test_an_answer_without_a_body_leaves_both_sides_in_step(client: Client, oracle: Oracle, data: bytes) -> None:
    with oracle.script(raw(data)) as name:
        client.send(get(name) + get("after"))
        first, second = client.read(), client.read()
    assert (first.status in (200, 204, 304), first.body) == (True, b"")
    assert second.status == 200
    assert oracle.arrivals[0].connection == oracle.arrivals[1].connection


@pytest.mark.parametrize("slices", [False, True], ids=["whole", "by-byte"])
@pytest.mark.parametrize("data", WITH_BODY.values(), ids=WITH_BODY.keys())
def test_an_answer_with_a_body_arrives_however_it_is_framed(
    client: Client, oracle: Oracle, data: bytes, slices: bool
) -> None:
    def script(talk: Talk) -> None:
        for i in range(0, len(data), 1 if slices else len(data)):
            talk.send(data[i : i + 1] if slices else data)

    with oracle.script(script) as name:
        for _ in range(2):
            client.send(get(name))
            assert client.read().body == b"abc"


def test_a_body_until_the_end_of_the_connection_is_chunked_for_HTTP_1_1(client: Client, oracle: Oracle) -> None:
    with oracle.script(raw(b"HTTP/1.1 200 OK\r\n\r\nabc", close=True)) as name:
        client.send(get(name))
        answer = client.read()
        assert (answer.body, answer.one("transfer-encoding")) == (b"abc", "chunked")
        client.send(get("after"))
        assert client.read().status == 200


def test_HEAD_has_the_fields_of_GET_and_no_body(client: Client, oracle: Oracle) -> None:
    for head in ("Content-Length: 500", "Transfer-Encoding: chunked"):
        with oracle.script(raw(f"HTTP/1.1 200 OK\r\n{head}\r\nX-A: 1\r\n\r\n".encode())) as name:
            client.send(request(f"HEAD /v1/{name} HTTP/1.1".encode()) + get("after"))
            assert client.read("HEAD").one("x-a") == "1"
            assert client.read().status == 200
        assert oracle.arrivals[-1].connection == oracle.arrivals[-2].connection


def test_early_hints_are_passed_on_and_100_is_not(client: Client, oracle: Oracle) -> None:
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\nConnection: close\r\n\r\n"
    with oracle.script(raw(hints + PLAIN_END.encode())) as name:
        client.send(get(name))
        interim, final = client.read_next(), client.read_next()
    assert (interim.status, interim.one("link"), interim.all("connection")) == (103, "</x>", [])
    assert (final.status, final.body) == (200, b"ok")


# HTTP/1.0 clients


def test_HTTP_1_0_gets_one_answer_and_the_end(client: Client, oracle: Oracle) -> None:
    client.send(get("x", "1.0"))
    assert client.read().closes
    assert client.is_ended()
    assert oracle.arrivals[0].raw.startswith(b"GET /v1/x HTTP/1.1\r\n")


def test_HTTP_1_0_may_keep_its_connection(client: Client) -> None:
    for _ in range(2):
        client.send(get("x", "1.0", b"Connection: keep-alive"))
        assert client.read().all("connection") == ["keep-alive"]
    client.send(get("x", "1.0"))
    assert client.read().closes
    assert client.is_ended()


def test_HTTP_1_0_needs_no_Host(client: Client, oracle: Oracle) -> None:
    client.send(f"GET /v1/x HTTP/1.0\r\nx-api-key: {KEY}\r\n\r\n".encode())
    assert client.read().status == 200
    assert oracle.arrivals[0].all("host") == [f"127.0.0.1:{oracle.port}"]
    assert oracle.arrivals[0].all("x-forwarded-host") == []


@pytest.mark.parametrize("keep", [b"Connection: keep-alive", b"X-A: b"])
def test_HTTP_1_0_gets_no_chunks(client: Client, oracle: Oracle, keep: bytes) -> None:
    with oracle.script(raw(WITH_BODY["chunks"])) as name:
        client.send(get(name, "1.0", keep))
        answer = client.read()
    assert (answer.all("transfer-encoding"), answer.body, answer.closes) == ([], b"abc", True)


def test_HTTP_1_0_gets_no_interim_answer(client: Client, oracle: Oracle) -> None:
    with oracle.script(raw(BODILESS["after two 103"])) as name:
        client.send(get(name, "1.0"))
        assert client.read_next().status == 204


def test_HTTP_1_0_is_not_asked_to_continue(client: Client) -> None:
    client.send(request(b"POST /v1/x HTTP/1.0", b"Expect: 100-continue", b"Content-Length: 2"))
    assert client.is_silent(0.1)
    client.send(b"ab")
    assert client.read_next().body == b"ab"


def test_Connection_close_is_done_and_said(client: Client) -> None:
    client.send(get("x", "1.1", b"Connection: Close"))
    assert client.read().closes
    assert client.is_ended()


# Connections to the upstream


def test_a_connection_to_the_upstream_is_used_again(gateway: Gateway, oracle: Oracle) -> None:
    for _ in range(3):
        with gateway.connect() as client:
            client.send(get("x") + request(b"POST /v1/x HTTP/1.1", b"Content-Length: 1", body=b"a"))
            assert [client.read().status, client.read().status] == [200, 200]
    assert len({arrival.connection for arrival in oracle.arrivals}) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nbad",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nbad",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\nbad",
    ],
    ids=["close", "HTTP/1.0", "a second answer", "bytes after chunks", "204 with a body", "304 with a body"],
)
def test_a_connection_that_is_out_of_step_is_not_used_again(client: Client, oracle: Oracle, data: bytes) -> None:
    def script(talk: Talk) -> None:
        talk.send(data)
        assert talk.gone()

    with oracle.script(script) as name:
        client.send(get(name))
        answer = client.read()
        assert answer.body == (b"" if answer.status in (204, 304) else b"ok")
        client.send(get("after"))
        assert client.read().body == b""
    assert oracle.arrivals[0].connection != oracle.arrivals[1].connection


def test_bytes_that_nobody_asked_for_are_nobody_s_answer(client: Client, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        talk.answer(200, b"ok")
        assert idle.wait(10)
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad")
        assert talk.gone()
        gone.set()

    idle, gone = threading.Event(), threading.Event()
    with oracle.script(script) as name:
        client.send(get(name))
        assert client.read().body == b"ok"
        idle.set()
        assert gone.wait(10)
        client.send(get("after"))
        assert client.read().body == b""


BAD: CASES = {
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.0 with chunks": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "length with a sign": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "length as a list": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "length below zero": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "length beyond 64 bits": b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 2\r\n\r\nok",
    "carriage return in a value": b"HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 2\r\n\r\nok",
    "space before a colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    "folded value": b"HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "field without a colon": b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/0.9": b"just text\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    "status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
    "status in letters": b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok",
    "status below 100": b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
    "switching protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    "empty line first": b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "head without end": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 70000,
    "300 fields": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 300 + b"\r\n",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half a status line": b"HTT",
    "an interim answer and the end": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_an_answer_that_is_no_strict_HTTP_is_a_502_and_free(
    gateway: Gateway, client: Client, oracle: Oracle, data: bytes
) -> None:
    before = gateway.captured("rich")
    with oracle.script(raw(data, close=True)) as name:
        client.send(request(f"POST /v1/{name} HTTP/1.1".encode(), b"Content-Length: 2", body=b"ab"))
        answer = client.read()
        assert answer.status == 502
        assert b'"code":"upstream_failed"' in answer.body
        assert answer.one("x-should-retry") == "false"
        client.send(get("after"))
        assert client.read().status == 200
    assert len(oracle.named(name)) == 1
    assert oracle.arrivals[0].connection != oracle.arrivals[1].connection
    assert gateway.captured("rich") == before + 1_000_000


BAD_CHUNKS: CASES = {
    "bad size": b"1\r\na\r\nx\r\n",
    "size before a space": b"1\r\na\r\n1 \r\nb\r\n0\r\n\r\n",
    "bare line feed": b"1\r\na\r\n1\nb\r\n0\r\n\r\n",
    "chunk longer than its size": b"1\r\na\r\n1\r\nbc\r\n0\r\n\r\n",
    "no last chunk": b"1\r\na\r\n",
    "no end of the trailers": b"1\r\na\r\n0\r\n",
}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("data", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
def test_chunks_that_break_are_seen_to_break(client: Client, oracle: Oracle, data: bytes, version: str) -> None:
    def script(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n_\r\n")
        assert started.wait(10)
        talk.send(data)
        talk.close()

    started = threading.Event()
    with oracle.script(script) as name:
        client.send(get(name, version))
        client.buffer += client.socket.recv(1)
        started.set()
        with pytest.raises(TruncatedError):
            client.read()
