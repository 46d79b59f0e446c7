"""What is too large gets its own status, is not forwarded and costs nothing; what just fits is taken."""

from __future__ import annotations

import pytest

from .client import Client
from .configs import IDENTITY, PRICE
from .framing import request
from .oracle import Oracle, Talk
from .rig import PATH, Gateway, eventually

URL_MAX, HEAD_MAX, FIELDS_MAX, BODY_MAX = 256, 1024, 8, 1024
GET = b"GET /v1/x HTTP/1.1"
POST = b"POST /v1/x HTTP/1.1"
CHUNKED = b"Transfer-Encoding: chunked"


def of_url(length: int) -> bytes:
    return request(b"GET /v1/".ljust(length + 4, b"u") + b" HTTP/1.1")


def of_head(length: int) -> bytes:
    return request(GET, b"X-A: " + b"a" * (length - len(request(GET, b"X-A: "))))


def of_fields(count: int) -> bytes:
    return request(GET, *(b"X-%d: 1" % i for i in range(count - 2)))


def of_body(length: int) -> bytes:
    return request(POST, b"Content-Length: %d" % length, body=b"b" * length)


def of_chunks(length: int) -> bytes:
    part = b"10\r\n" + b"c" * 16 + b"\r\n"
    rest = b"%x\r\n%b\r\n" % (length % 16, b"c" * (length % 16)) if length % 16 else b""
    return request(POST, CHUNKED, body=part * (length // 16) + rest + b"0\r\n\r\n")


FITS = {
    "url": of_url(URL_MAX),
    "head": of_head(HEAD_MAX),
    "fields": of_fields(FIELDS_MAX),
    "body": of_body(BODY_MAX),
    "chunks": of_chunks(BODY_MAX),
}
TOO_LARGE = {
    "url": (414, "url_too_long", of_url(URL_MAX + 1)),
    "url in absolute form": (414, "url_too_long", request(b"GET http://wire/v1/" + b"u" * URL_MAX + b" HTTP/1.1")),
    "url beyond the head's limit": (414, "url_too_long", of_url(HEAD_MAX + 1000)),
    "url without an end": (414, "url_too_long", of_url(HEAD_MAX + 1000)[: HEAD_MAX + 500]),
    "head": (431, "head_too_large", of_head(HEAD_MAX + 1)),
    "head without an end": (431, "head_too_large", of_head(HEAD_MAX + 1000)[: HEAD_MAX + 500]),
    "fields": (431, "head_too_large", of_fields(FIELDS_MAX + 1)),
    "body": (413, "body_too_large", of_body(BODY_MAX + 1)),
    "body that is only announced": (413, "body_too_large", request(POST, b"Content-Length: 99999999999")),
    "chunks": (413, "body_too_large", of_chunks(BODY_MAX + 1)),
}


@pytest.mark.parametrize("by_byte", [False, True], ids=["whole", "by-byte"])
@pytest.mark.parametrize("data", FITS.values(), ids=FITS.keys())
def test_what_fits_is_taken(small: Gateway, data: bytes, by_byte: bool) -> None:
    with small.connect() as client:
        client.send(data, by_byte)
        assert client.read().status == 200


@pytest.mark.parametrize("by_byte", [False, True], ids=["whole", "by-byte"])
@pytest.mark.parametrize(("status", "code", "data"), TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_what_is_too_large_is_refused(
    small: Gateway, oracle: Oracle, status: int, code: str, data: bytes, by_byte: bool
) -> None:
    before = small.captured("rich")
    with small.connect() as client:
        client.send(data, by_byte)
        answer = client.read()
        assert (answer.status, answer.closes) == (status, code[:4] != "body" or answer.closes)
        assert f'"code":"{code}"'.encode() in answer.body
    assert [arrival for arrival in oracle.arrivals if arrival.whole] == []
    assert small.captured("rich") == before


def test_a_small_body_that_is_too_large_keeps_the_connection_in_step(small: Gateway) -> None:
    with small.connect() as client:
        client.send(of_body(BODY_MAX + 1) + request(GET))
        assert [client.read().status, client.read().status] == [413, 200]


def test_chunks_that_go_on_for_ever_are_cut_off(small: Gateway, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        assert talk.gone()

    before = small.captured("rich")
    with oracle.script(script) as name, small.connect() as client:
        client.send(request(f"POST /v1/{name} HTTP/1.1".encode(), CHUNKED))
        for _ in range(BODY_MAX // 64 + 1):
            client.send(b"40\r\n" + b"c" * 64 + b"\r\n")
        answer = client.read()
        assert (answer.status, answer.closes) == (413, True)
        assert client.is_ended()
    assert small.captured("rich") == before


def test_more_clients_than_allowed_are_told_to_come_again(small: Gateway) -> None:
    assert eventually(lambda: small.segment.worker(0)["clients"] == 0)
    clients = [small.connect() for _ in range(8)]
    try:
        for client in clients:
            client.send(request(GET))
            assert client.read().status == 200
        with small.connect() as one_more:
            answer = one_more.read()
            assert (answer.status, answer.one("retry-after"), answer.closes) == (503, "1", True)
            assert b'"code":"overloaded"' in answer.body
            assert one_more.is_ended()
        clients[0].send(request(GET))
        assert clients[0].read().status == 200
    finally:
        for client in clients:
            client.socket.close()


def test_more_calls_than_connections_to_the_upstream_are_told_to_come_again(small: Gateway, oracle: Oracle) -> None:
    before = small.captured("rich")
    waiting: list[Talk] = []

    def script(talk: Talk) -> None:
        waiting.append(talk)
        assert eventually(lambda: not waiting)
        talk.answer()

    assert eventually(lambda: small.segment.worker(0)["clients"] == 0)
    clients: list[Client] = []
    with oracle.script(script) as name:
        for count in (1, 2):
            clients.append(small.connect())
            clients[-1].send(request(f"GET /v1/{name} HTTP/1.1".encode()))
            assert eventually(lambda count=count: len(waiting) == count)  # type: ignore[misc]
        with small.connect() as one_more:
            one_more.send(request(b"POST /v1/x HTTP/1.1", b"Content-Length: 1", body=b"a") * 2)
            for _ in range(2):
                answer = one_more.read()
                assert (answer.status, answer.one("retry-after"), answer.closes) == (503, "1", False)
        waiting.clear()
        for client in clients:
            assert client.read().status == 200
            client.socket.close()
    assert small.captured("rich") == before + 2 * PRICE


def test_a_path_is_kept_in_part_however_long_it_is(small: Gateway) -> None:
    first = small.records_written()
    with small.connect() as client:
        client.send(of_url(URL_MAX))
        assert client.read().status == 200
    assert eventually(lambda: small.records_written() == first + 1)
    [record] = small.records(first)
    assert record[PATH] == (b"/v1/" + b"u" * 92)
    assert IDENTITY not in record
