"""A PROXY header says whose connection it is, to a gateway that was told to believe it; nothing else gets in there."""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw.dataplane.proxy_protocol import HEADER_MAX, SIGNATURE, Malformed, header_end, source

from .certificates import Authority
from .client import Client
from .conftest import NewHost
from .oracle import Oracle
from .rig import Host, eventually

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
OWN = "127.0.0.1"


def v2(command: int, kind: int, body: bytes = b"") -> bytes:
    return SIGNATURE + bytes([0x20 | command, kind]) + struct.pack("!H", len(body)) + body


def v2_tcp(client: str, port: int, more: bytes = b"") -> bytes:
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    packed = socket.inet_pton(family, client)
    return v2(1, 0x21 if ":" in client else 0x11, packed + bytes(len(packed)) + struct.pack("!HH", port, 443) + more)


TLV = b"\x02\x00\x03abc" + b"\x03\x00\x04\0\0\0\0"
GOOD = {
    b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n": ("203.0.113.7", 56324),
    b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n": ("255.255.255.255", 65535),
    b"PROXY TCP6 2001:DB8::7 ::1 0 443\r\n": ("2001:db8::7", 0),
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN ffff:f:ffff and the like\r\n": None,
    b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n": None,
    v2_tcp("203.0.113.7", 4711): ("203.0.113.7", 4711),
    v2_tcp("203.0.113.7", 4711, TLV): ("203.0.113.7", 4711),
    v2_tcp("2001:db8::7", 4711, b"\x04\xea\x60" + bytes(60_000)): ("2001:db8::7", 4711),
    v2_tcp("::ffff:203.0.113.7", 1): ("::ffff:203.0.113.7", 1),
    v2(1, 0x31, b"/run/a".ljust(216, b"\0")): ("", 0),
    v2(0, 0x00): None,
    v2(0, 0xFF, b"anything"): None,
    v2(1, 0x00): None,
    v2(1, 0x12, bytes(12)): None,
    v2(1, 0x10, bytes(12)): None,
}
BAD = [
    GET,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PROXY\r\n",
    b"PROXY  TCP4 203.0.113.7 192.0.2.1 1 2\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2 3\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 1 65536\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 01 2\r\n",
    b"PROXY TCP4 203.0.113.07 192.0.2.1 1 2\r\n",
    b"PROXY TCP4 203.0.113.256 192.0.2.1 1 2\r\n",
    b"PROXY TCP4 ::1 ::1 1 2\r\n",
    b"PROXY TCP6 203.0.113.7 192.0.2.1 1 2\r\n",
    b"PROXY UDP4 203.0.113.7 192.0.2.1 1 2\r\n",
    b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\n" + GET,
    b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",
    b"proxy UNKNOWN\r\n",
    v2(2, 0x11, bytes(12)),
    v2(1, 0x41, bytes(12)),
    v2(1, 0x13, bytes(12)),
    v2(1, 0x11, bytes(11)),
    v2(1, 0x21, bytes(35)),
    v2(1, 0x31, bytes(215)),
    SIGNATURE + b"\x11\x11\0\x0c" + bytes(12),
    SIGNATURE[:-1] + b"\r",
]


@pytest.mark.parametrize("header", GOOD)
def test_a_header_is_whole_at_its_end_and_not_before(header: bytes) -> None:
    assert len(header) <= HEADER_MAX
    for rest in (b"", GET, b"\r\n"):
        assert header_end(header + rest) == len(header)
    for end in {*range(min(len(header), 250)), len(header) - 1}:
        assert header_end(header[:end]) == -1
    assert source(header) == GOOD[header]


@given(st.binary(max_size=40), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"]))
def test_of_anything_a_header_is_taken_or_refused(data: bytes, start: bytes) -> None:
    try:
        end = header_end(start + data)
        if end >= 0:
            source((start + data)[:end])
    except Malformed:
        pass


def config(oracle: Oracle, trusted: str = OWN, address: str = "127.0.0.1:1", server: str = "") -> str:
    return (
        f'[server]\ntrusted_proxies = ["{trusted}"]\n{server}\n'
        f'[[listeners]]\naddress = "{address}"\nproxy_protocol = true\n'
        f'[[upstreams]]\nname = "oracle"\ntargets = ["http://127.0.0.1:{oracle.port}"]\n'
        '[[routes]]\nname = "open"\npath = "/"\nupstream = "oracle"\nauth = "none"\n'
    )


def turned_away(host: Host) -> int:
    return int(host.gateway.segment.worker(host.slot)["turned_away"])


def answered(client: Client, host: Host, data: bytes, *, by_byte: bool = False) -> tuple[str, int]:
    """Who has called, by the journal, when the answer is there."""
    written = host.gateway.segment.journal_written(host.slot)
    client.send(data, by_byte)
    assert client.read().status == 200
    assert eventually(lambda: host.gateway.segment.journal_written(host.slot) > written)
    return host.last_caller()


def test_the_client_is_whom_the_header_names(oracle: Oracle, new_host: NewHost) -> None:
    host = new_host(config(oracle))
    before = turned_away(host)
    for header, named in GOOD.items():
        with host.connect() as client:
            own = (OWN, client.socket.getsockname()[1])
            address, port = named or own
            address = address.removeprefix("::ffff:")
            assert answered(client, host, header + GET) == (address, port)
            # On a connection that is kept, it is the same one.
            assert answered(client, host, GET + GET[:7]) == (address, port)
            if named:
                assert oracle.arrivals[-1].all("x-forwarded-for") == ([address] if address else [])
    with host.connect() as client:
        assert answered(client, host, v2_tcp("203.0.113.7", 1, TLV) + GET, by_byte=True) == ("203.0.113.7", 1)
    with host.connect() as client:
        assert answered(client, host, b"PROXY TCP6 ::7 ::1 7 8\r\n" + GET, by_byte=True) == ("::7", 7)
    assert turned_away(host) == before


def test_without_a_header_nobody_gets_in(oracle: Oracle, new_host: NewHost) -> None:
    host = new_host(config(oracle, server='head_timeout = "200ms"'))
    before = turned_away(host)
    for number, bad in enumerate(BAD, 1):
        with host.connect() as client:
            client.send(bad)
            assert ended(client), bad
            assert turned_away(host) == before + number
    late = [b"", b"PROXY TCP4 203.0.113.7", v2_tcp("203.0.113.7", 1)[:20]]
    clients = [host.connect() for _ in late]
    for client, beginning in zip(clients, late, strict=True):
        client.send(beginning)
    assert all(ended(client) for client in clients)
    assert turned_away(host) == before + len(BAD) + len(late)
    assert oracle.arrivals == []
    with host.connect() as client:
        client.half_close()  # a look whether the port is open
        assert ended(client)
    with host.connect() as client:
        client.reset()
    with host.connect() as client:
        assert answered(client, host, b"PROXY UNKNOWN\r\n" + GET)[0] == OWN
    assert turned_away(host) == before + len(BAD) + len(late)


def ended(client: Client) -> bool:
    try:
        return client.is_ended()
    except ConnectionResetError:
        return True


def test_the_header_of_somebody_who_is_not_trusted_is_not_even_read(oracle: Oracle, new_host: NewHost) -> None:
    host = new_host(config(oracle, trusted="192.0.2.0/24"))
    before = turned_away(host)
    with host.connect() as client:
        client.send(b"PROXY TCP4 192.0.2.1 192.0.2.1 1 2\r\n" + GET)
        assert ended(client)
    assert turned_away(host) == before + 1
    assert oracle.arrivals == []


def test_on_a_unix_socket_everybody_may_name_the_client(oracle: Oracle, new_host: NewHost, tmp_path: Path) -> None:
    text = config(oracle, trusted="192.0.2.0/24", address="unix:/x")
    host = new_host(text, path_of_socket=str(tmp_path / "a"))
    with host.connect() as client:
        assert answered(client, host, v2_tcp("203.0.113.7", 4711) + GET) == ("203.0.113.7", 4711)
    with host.connect() as client:
        assert answered(client, host, b"PROXY UNKNOWN\r\n" + GET) == ("", 0)
    with host.connect() as client:
        client.send(GET)
        assert ended(client)


def test_a_chain_behind_a_header_counts_if_the_header_names_a_trusted_proxy(oracle: Oracle, new_host: NewHost) -> None:
    """As from a content network, by way of a load balancer."""
    host = new_host(config(oracle).replace(f'"{OWN}"]', f'"{OWN}", "192.0.2.0/24"]'))
    request = GET.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
    with host.connect() as client:
        assert answered(client, host, v2_tcp("192.0.2.9", 9) + request) == ("203.0.113.7", 0)
        assert oracle.arrivals[-1].one("x-forwarded-for") == "203.0.113.7, 192.0.2.9"
    with host.connect() as client:
        assert answered(client, host, v2_tcp("198.51.100.9", 9) + request) == ("198.51.100.9", 9)


def test_more_clients_than_there_may_be_are_told_so(oracle: Oracle, new_host: NewHost) -> None:
    host = new_host(config(oracle, server="connections_max = 2"))
    with host.connect() as first, host.connect() as second:
        for client in (first, second):
            assert answered(client, host, b"PROXY UNKNOWN\r\n" + GET)[0] == OWN
        with host.connect() as third:
            third.send(b"PROXY UNKNOWN\r\n" + GET)
            assert third.read().status == 503


def test_a_handshake_follows_the_header(oracle: Oracle, new_host: NewHost, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    mine = authority.issue("a.example")
    text = config(oracle).replace("proxy_protocol = true\n", "proxy_protocol = true\ntls = true\n")
    host = new_host(text + mine.entry)
    header = v2_tcp("203.0.113.7", 4711)
    for first, second in ((header, b""), (header[:20], header[20:])):
        with host.connect() as client:
            client.send(first)
            time.sleep(0.02)
            client.send(second)
            client.socket = authority.client().wrap_socket(client.socket, server_hostname="a.example")
            assert answered(client, host, GET) == ("203.0.113.7", 4711)
            assert oracle.arrivals[-1].one("x-forwarded-proto") == "https"
    before = turned_away(host)
    with host.connect() as client, pytest.raises(OSError, match=r"."):
        authority.client().wrap_socket(client.socket, server_hostname="a.example")
    assert turned_away(host) == before + 1
