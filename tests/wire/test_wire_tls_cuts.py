"""However a stream of TLS is cut and joined, all that has come of it is handed on before the layer waits for more.

Both sides of the layer, in memory: what the other side sends, from the end of its handshake on, comes in two parts cut
anywhere, byte by byte, at once, or while reading is paused now and then.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from fastgw.dataplane.tls_layer import TlsLayer

from .certificates import Authority

MESSAGES = (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"x", b"y" * 700)
SAID = b"".join(MESSAGES)


class Loop:
    """Calls soon when it is told to."""

    def __init__(self) -> None:
        self.soon: list[Any] = []

    def call_soon(self, call: Any) -> None:
        self.soon.append(call)

    def turn(self) -> None:
        calls, self.soon = self.soon, []
        for call in calls:
            call()


class Wire:
    """The transport below the layer: a socket whose other end is the test's."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.theirs.setblocking(False)

    def get_extra_info(self, name: str) -> Any:
        return self.ours if name == "socket" else None

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()

    def sent(self) -> bytes:
        with suppress(BlockingIOError):
            return self.theirs.recv(1 << 20)
        return b""


class Layer(TlsLayer):
    """Neither counts nor ends: the test would fail for what it has not heard."""

    def begun(self) -> None:
        pass

    def opened(self) -> None:
        pass

    def gone(self) -> None:
        pass


class Heard:
    """The protocol above the layer, which may pause reading at everything that it hears."""

    def __init__(self, pauses: bool) -> None:
        self.pauses = pauses
        self.data = b""

    def connection_made(self, layer: Layer) -> None:
        self.layer = layer

    def data_received(self, data: bytes) -> None:
        self.data += data
        if self.pauses:
            self.layer.pause_reading()


class Pair:
    """A layer at the end of its handshake, and the `flight` of the other side that ends it and says MESSAGES."""

    def __init__(self, contexts: tuple[ssl.SSLContext, ssl.SSLContext], is_server: bool, pauses: bool = False) -> None:
        ours, theirs = contexts if is_server else contexts[::-1]
        self.loop, self.wire, self.heard = Loop(), Wire(), Heard(pauses)
        bios = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = ours.wrap_bio(*bios, server_side=is_server, server_hostname=None if is_server else "localhost")
        loop: Any = self.loop
        self.layer = Layer(loop, session, *bios, self.heard)
        self.layer.connection_made(self.wire)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.other = theirs.wrap_bio(
            self.incoming, self.outgoing, server_side=not is_server, server_hostname="localhost" if is_server else None
        )
        if not is_server:
            self.layer.shake_hands()
        self.flight = self._flight()

    def _flight(self) -> bytes:
        while True:
            self.incoming.write(self.wire.sent())
            try:
                self.other.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.layer.data_received(self.outgoing.read())
        for message in MESSAGES:
            self.other.write(message)
        return self.outgoing.read()

    def feed(self, *parts: bytes) -> bytes:
        """What has been heard when all these have come, and nothing else does."""
        for part in parts:
            self.layer.data_received(part)
            while self.loop.soon:
                self.loop.turn()
            while self.layer.paused:
                self.layer.resume_reading()
                self.loop.turn()
        return self.heard.data


@pytest.fixture(scope="module", params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def contexts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    authority = Authority(tmp_path_factory.mktemp("cuts"))
    server, client = authority.server(authority.issue("localhost")), authority.client()
    client.maximum_version = request.param
    return server, client


@pytest.fixture(params=[True, False], ids=["client's", "target's"])
def is_server(request: pytest.FixtureRequest) -> bool:
    """Whose the connection is: the layer serves, or asks."""
    return bool(request.param)


@pytest.mark.parametrize("pauses", [False, True], ids=["reading", "pausing"])
@pytest.mark.parametrize("by_byte", [False, True], ids=["at once", "by byte"])
def test_it_is_heard_at_once_and_byte_by_byte(contexts: Any, is_server: bool, by_byte: bool, pauses: bool) -> None:
    pair = Pair(contexts, is_server, pauses)
    flight = pair.flight
    assert pair.feed(*([flight[i : i + 1] for i in range(len(flight))] if by_byte else [flight])) == SAID
    pair.wire.close()


def test_it_is_heard_wherever_it_is_cut(contexts: Any, is_server: bool) -> None:
    for cut in cuts(Pair(contexts, is_server).flight):
        pair = Pair(contexts, is_server, pauses=cut % 2 == 0)
        assert pair.feed(pair.flight[:cut], pair.flight[cut:]) == SAID, cut
        pair.wire.close()


def cuts(flight: bytes) -> Iterator[int]:
    """Around every end of a record and of its header (RFC 8446 §5.1), and now and then within."""
    at = 0
    while at < len(flight):
        end = at + 5 + int.from_bytes(flight[at + 3 : at + 5], "big")
        yield from {*range(at, at + 8), *range(at, end, 97), *range(end - 3, end)} - {0}
        at = end
