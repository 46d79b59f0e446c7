"""Fields of the connection stay on it, fields that are the gateway's to say are said by the gateway, and the caller's
key goes no further (RFC 9110 §7.6.1, RFC 7239)."""

from __future__ import annotations

import pytest

from .client import Client
from .configs import IDENTITY, KEY
from .framing import request
from .oracle import Arrival, Oracle, Talk
from .rig import KEY_NUMBER, Gateway, eventually

GET = b"GET /v1/x HTTP/1.1"


def arrive(client: Client, oracle: Oracle, line: bytes, *fields: bytes, body: bytes = b"") -> Arrival:
    """What the upstream sees of a call."""
    client.send(request(line, *fields, body=body))
    assert client.read().status == 200
    return oracle.arrivals[-1]


def test_fields_that_Connection_names_are_not_forwarded(client: Client, oracle: Oracle) -> None:
    arrival = arrive(
        client, oracle, GET, b"X-Foo: 1", b"Connection: x-foo, X-BAR", b"X-Bar: 2", b"x-foo: 3", b"X-Kept: 4"
    )
    assert (arrival.all("x-foo"), arrival.all("x-bar"), arrival.all("connection")) == ([], [], [])
    assert arrival.one("x-kept") == "4"


def test_Connection_cannot_name_what_frames_addresses_or_authenticates(client: Client, oracle: Oracle) -> None:
    named = b"Connection: authorization, content-length, host, transfer-encoding, x-forwarded-for, x-request-id"
    arrival = arrive(client, oracle, b"POST /v1/x HTTP/1.1", named, b"Content-Length: 3", body=b"abc")
    assert arrival.body == b"abc"
    assert arrival.all("host") == [f"127.0.0.1:{oracle.port}"]
    assert arrival.all("x-forwarded-for") == ["127.0.0.1"]
    assert len(arrival.all("x-request-id")) == 1


@pytest.mark.parametrize(
    "field",
    [
        b"Connection: keep-alive", b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive", b"TE: trailers",
        b"Trailer: X-Sum", b"Upgrade: websocket", b"Proxy-Authorization: Basic eA==", b"Expect: 100-continue",
        b"Proxy-Authenticate: Basic",
    ],
)  # fmt: skip
def test_hop_by_hop_fields_are_not_forwarded(client: Client, oracle: Oracle, field: bytes) -> None:
    name = field.partition(b":")[0].decode().lower()
    assert arrive(client, oracle, GET, field).all(name) == []


@pytest.mark.parametrize(
    "field",
    [
        "Connection: x-foo", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: trailers",
        "Trailer: X-Sum", "Upgrade: h2c", "Proxy-Authenticate: Basic", "X-Foo: 1\r\nConnection: X-Foo",
    ],
)  # fmt: skip
def test_hop_by_hop_fields_of_an_answer_are_not_passed_on(client: Client, oracle: Oracle, field: str) -> None:
    def script(talk: Talk) -> None:
        talk.answer(200, b"ok", field, "X-Kept: 1")

    with oracle.script(script) as name:
        client.send(request(f"GET /v1/{name} HTTP/1.1".encode()))
        answer = client.read()
    assert answer.body == b"ok"
    assert answer.one("x-kept") == "1"
    for line in field.split("\r\n"):
        assert answer.all(line.partition(":")[0].lower()) == []


def test_end_to_end_fields_pass_in_order_both_ways(client: Client, oracle: Oracle) -> None:
    def script(talk: Talk) -> None:
        talk.answer(200, b"", "Set-Cookie: a=1", "X-Y: caf\xe9", "Set-Cookie: b=2", "X-Empty:")

    with oracle.script(script) as name:
        client.send(request(f"GET /v1/{name} HTTP/1.1".encode(), b"X-A: 1", b"Accept:  */* ", b"X-A: 2", b"X-B:"))
        answer = client.read()
    [arrival] = oracle.arrivals
    ours = {"host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "via", "x-request-id"}
    assert [field for field in arrival.fields if field[0] not in ours] == [
        ("x-a", "1"), ("accept", "*/*"), ("x-a", "2"), ("x-b", ""),
    ]  # fmt: skip
    assert answer.all("set-cookie") == ["a=1", "b=2"]
    assert answer.one("x-empty") == ""


def test_where_a_call_comes_from_is_ours_to_say(client: Client, oracle: Oracle) -> None:
    arrival = arrive(
        client, oracle, GET, b"X-Forwarded-For: 6.6.6.6", b"x-forwarded-for: 7.7.7.7", b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: evil", b"X-Forwarded-Port: 1", b"X-Real-IP: 6.6.6.6", b"Forwarded: for=6.6.6.6",
    )  # fmt: skip
    assert arrival.all("x-forwarded-for") == ["127.0.0.1"]
    assert arrival.all("x-forwarded-proto") == [client.scheme]
    assert arrival.all("x-forwarded-host") == ["wire"]
    assert b"6.6.6.6" not in arrival.raw
    assert b"evil" not in arrival.raw
    assert arrival.all("x-forwarded-port") == []


def test_both_sides_see_the_gateway_in_Via(client: Client, oracle: Oracle) -> None:
    client.send(request(GET, b"Via: 1.0 before"))
    assert client.read().all("via") == ["1.1 fastgw"]
    assert oracle.arrivals[-1].all("via") == ["1.0 before", "1.1 fastgw"]


def test_a_request_has_one_id_on_both_sides_that_nobody_else_can_choose(client: Client, oracle: Oracle) -> None:
    ids = set()

    def script(talk: Talk) -> None:
        talk.answer(200, b"", "X-Request-Id: the-upstream-s")

    with oracle.script(script) as name:
        for _ in range(3):
            client.send(request(f"GET /v1/{name} HTTP/1.1".encode(), b"X-Request-Id: mine"))
            [answered] = client.read().all("x-request-id")
            assert oracle.arrivals[-1].all("x-request-id") == [answered]
            assert len(answered) == 32
            ids.add(answered)
    assert len(ids) == 3


def test_the_target_decides_Host_unless_the_route_preserves_it(client: Client, oracle: Oracle) -> None:
    assert arrive(client, oracle, GET).all("host") == [f"127.0.0.1:{oracle.port}"]
    arrival = arrive(client, oracle, b"GET /forwarded/x HTTP/1.1")
    assert arrival.all("host") == ["wire"]
    assert arrival.all("x-forwarded-host") == ["wire"]


@pytest.mark.parametrize("by", [b"Authorization: Bearer ", b"x-api-key: ", b"x-wire-key: "])
def test_the_key_goes_no_further(client: Client, oracle: Oracle, by: bytes) -> None:
    client.send(b"GET /v1/x HTTP/1.1\r\nHost: wire\r\n" + by + KEY.encode() + b"\r\nX-Z: 1\r\n\r\n")
    assert client.read().status == 200
    [arrival] = oracle.arrivals
    assert KEY.encode() not in arrival.raw
    assert arrival.one("x-z") == "1"


def test_a_route_may_forward_the_key(client: Client, oracle: Oracle) -> None:
    assert arrive(client, oracle, b"GET /forwarded/x HTTP/1.1").all("authorization") == [f"Bearer {KEY}"]


def test_a_route_s_own_credential_takes_the_key_s_place(client: Client, oracle: Oracle) -> None:
    arrival = arrive(client, oracle, b"GET /injected/x HTTP/1.1", b"x-team: red", b"X-TEAM: green")
    assert arrival.all("authorization") == ["Bearer provider-credential"]
    assert arrival.all("x-team") == ["blue"]
    assert KEY.encode() not in arrival.raw


def test_a_route_s_own_field_takes_the_place_of_another_scheme_too(client: Client, oracle: Oracle) -> None:
    client.send(
        b"GET /injected/x HTTP/1.1\r\nHost: wire\r\nAuthorization: Basic eDp5\r\nx-api-key: "
        + KEY.encode()
        + b"\r\n\r\n"
    )
    assert client.read().status == 200
    assert oracle.arrivals[-1].all("authorization") == ["Bearer provider-credential"]


def test_another_scheme_is_the_upstream_s_business(client: Client, oracle: Oracle) -> None:
    client.send(
        b"GET /v1/x HTTP/1.1\r\nHost: wire\r\nAuthorization: Basic eDp5\r\nx-api-key: " + KEY.encode() + b"\r\n\r\n"
    )
    assert client.read().status == 200
    [arrival] = oracle.arrivals
    assert arrival.all("authorization") == ["Basic eDp5"]
    assert arrival.all("x-api-key") == []


def test_a_route_without_keys_leaves_what_looks_like_one_alone(client: Client, oracle: Oracle) -> None:
    arrival = arrive(client, oracle, b"GET /open/x HTTP/1.1", b"x-api-key: something")
    assert arrival.all("authorization") == [f"Bearer {KEY}"]
    assert arrival.all("x-api-key") == ["something"]


@pytest.mark.parametrize(
    "trailer",
    [b"Authorization: Bearer sk-wire-rich-0002", b"Host: evil", b"Content-Length: 5", b"X-Forwarded-For: 6.6.6.6"],
)
@pytest.mark.parametrize("by_byte", [False, True], ids=["whole", "by-byte"])
def test_a_trailer_changes_nothing(gateway: Gateway, oracle: Oracle, trailer: bytes, by_byte: bool) -> None:
    first = gateway.records_written()
    head = b"POST /v1/trailer HTTP/1.1\r\n" + IDENTITY + b"Transfer-Encoding: chunked\r\n\r\n"
    with gateway.connect() as client:
        client.send(head + b"3\r\nabc\r\n0\r\n" + trailer + b"\r\n\r\n", by_byte)
        client.send(request(GET))
        assert [client.read().body, client.read().status] == [b"abc", 200]
    assert trailer.partition(b": ")[2] not in oracle.arrivals[0].raw.partition(b"\r\n\r\n")[2]
    assert oracle.arrivals[0].all("host") == [f"127.0.0.1:{oracle.port}"]
    assert eventually(lambda: gateway.records_written() == first + 2)
    with_trailer, without = gateway.records(first)
    assert with_trailer[KEY_NUMBER] == without[KEY_NUMBER]
