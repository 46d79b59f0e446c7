"""A WebSocket over TLS on both sides of the gateway is one like any other: all of it, in order, as the reader reads.

The client has one thread. One that reads in a thread and writes in another, as websockets.sync does, lets both into
OpenSSL at once, which breaks some connection in three hundred when the processor is busy, at whatever server.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from .certificates import LISTENER, Authority
from .rig import Host, eventually
from .tls_socket import TlsSocket
from .tunnelling import SLOTS, Account, EchoService, Stand, resident_bytes

Talk = Callable[[Callable[[ClientConnection], Awaitable[None]]], None]
HELLO = b"\x81\x82\x00\x00\x00\x00hi"  # a text of a client, masked with zeros (RFC 6455 §5.2)


def config(authority: Authority, port: int) -> str:
    ours = authority.issue("127.0.0.1")
    return (
        f'[server]\nlisten = "off"\n{LISTENER}{ours.entry}'
        f'[[upstreams]]\nname = "secure"\ntargets = ["https://127.0.0.1:{port}"]\ntls = {{ ca = "{authority.file}" }}\n'
        '[[routes]]\nname = "free"\npath = "/"\nupstream = "secure"\n'
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tunnels"))


@pytest.fixture
def host(tunnels: Stand, authority: Authority, package_path: Path | None, tmp_path: Path) -> Iterator[Host]:
    with ExitStack() as stack:
        service = EchoService(authority.server(authority.issue("127.0.0.1")))
        stack.callback(service.close)
        owner: Any = SimpleNamespace(segment=tunnels.segment)
        text = config(authority, service.port)
        host = stack.enter_context(Host(owner, text, tmp_path, package_path, SLOTS[1]))
        yield host
        assert eventually(lambda: tunnels.segment.worker(SLOTS[1])["clients"] == 0)
        assert "Traceback" not in host.errors.read_text()


@pytest.fixture
def talk(host: Host, tunnels: Stand, authority: Authority) -> Talk:
    """Has a client say and hear something by a new WebSocket."""

    async def connected(say: Callable[[ClientConnection], Awaitable[None]]) -> None:
        async with connect(
            f"wss://127.0.0.1:{host.port}/x", ssl=authority.client(), additional_headers=Account(tunnels, 0).headers,
            compression=None, max_size=None, max_queue=2,
        ) as ws:  # fmt: skip
            await say(ws)

    return lambda say: asyncio.run(connected(say))


def test_it_says_what_it_is_told_and_closes_as_it_is_told(talk: Talk) -> None:
    async def say(ws: ClientConnection) -> None:
        for message in ("hi", bytes(range(256)) * 4096, "x" * 65536):
            await ws.send(message)
            assert await ws.recv() == message
        await ws.send("close 4999")
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        assert (ws.close_code, ws.close_reason) == (4999, "as you wish")

    talk(say)


def test_who_reads_slowly_makes_the_other_wait(talk: Talk, host: Host) -> None:
    async def say(ws: ClientConnection) -> None:
        before = resident_bytes(host.process.pid)
        await ws.send("flood 32")
        await asyncio.sleep(0.1)  # its own buffers fill; then it does not even look
        assert not eventually(lambda: resident_bytes(host.process.pid) - before > 4 << 20, 0.5)
        for number in range(32):
            assert await ws.recv() == bytes((number,)) * (1 << 20)
        await ws.send("still there")
        assert await ws.recv() == "still there"

    talk(say)


def test_silence_ends_it_by_a_frame(talk: Talk, host: Host) -> None:
    async def say(ws: ClientConnection) -> None:
        host.tell("+3601000")
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        assert (ws.close_code, ws.close_reason) == (1001, "tunnel_idle_timeout")

    talk(say)


def test_a_client_that_leaves_without_a_word_is_let_go(talk: Talk, tunnels: Stand) -> None:
    async def say(ws: ClientConnection) -> None:
        ws.transport.abort()

    talk(say)
    assert eventually(lambda: tunnels.segment.worker(SLOTS[1])["upstreams"] == 0)


@pytest.mark.parametrize("by_byte", [False, True], ids=["at once", "by byte"])
def test_what_comes_with_the_end_of_the_handshake_is_heard(
    host: Host, tunnels: Stand, authority: Authority, by_byte: bool
) -> None:
    """The request and the first frame in one segment with Finished (RFC 8446 §4.4.4), and all that byte by byte."""
    with socket.create_connection(("127.0.0.1", host.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = TlsSocket(connection, authority.client(), "127.0.0.1", shake=False)
        while not stream.steps():
            stream.flush()
            stream.incoming.write(connection.recv(65536))
        data = stream.outgoing.read() + stream.sealed(Account(tunnels, 0).request("/x") + HELLO)
        for start in range(0, len(data), 1 if by_byte else len(data)):
            connection.sendall(data[start : start + (1 if by_byte else len(data))])
        heard = b""
        while not heard.endswith(b"\x81\x02hi"):
            heard += stream.recv(65536)
        assert heard.startswith(b"HTTP/1.1 101 ")
