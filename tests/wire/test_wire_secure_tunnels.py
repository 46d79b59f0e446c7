"""A WebSocket over TLS on both sides of the gateway is one like any other: all of it, in order, as the reader reads."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from .certificates import Authority
from .rig import Host, eventually
from .tunnelling import SLOTS, Account, EchoService, Stand, resident_bytes

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def config(authority: Authority, port: int) -> str:
    ours = authority.issue("127.0.0.1")
    return (
        '[server]\nlisten = "off"\n[[listeners]]\naddress = "127.0.0.1:1"\ntls = true\n'
        f'[[certificates]]\ncertificate = "{ours.certificate}"\nkey = "{ours.key}"\n'
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
def ws(host: Host, tunnels: Stand, authority: Authority) -> Iterator[ClientConnection]:
    account = Account(tunnels, 0)
    with connect(
        f"wss://127.0.0.1:{host.port}/x", ssl=authority.client(), additional_headers=account.headers,
        compression=None, max_size=None, max_queue=2,
    ) as found:  # fmt: skip
        yield found


def test_it_says_what_it_is_told_and_closes_as_it_is_told(ws: ClientConnection) -> None:
    for message in ("hi", bytes(range(256)) * 4096, "x" * 65536):
        ws.send(message)
        assert ws.recv() == message
    ws.send("close 4999")
    with pytest.raises(ConnectionClosed):
        ws.recv()
    assert (ws.close_code, ws.close_reason) == (4999, "as you wish")


def test_who_reads_slowly_makes_the_other_wait(ws: ClientConnection, host: Host) -> None:
    before = resident_bytes(host.process.pid)
    ws.send("flood 32")
    assert not eventually(lambda: resident_bytes(host.process.pid) - before > 4 << 20, 0.5)
    for number in range(32):
        assert ws.recv() == bytes((number,)) * (1 << 20)
    ws.send("still there")
    assert ws.recv() == "still there"


def test_silence_ends_it_by_a_frame(ws: ClientConnection, host: Host) -> None:
    host.tell("+3601000")
    with pytest.raises(ConnectionClosed):
        ws.recv()
    assert (ws.close_code, ws.close_reason) == (1001, "tunnel_idle_timeout")


def test_a_client_that_leaves_without_a_word_is_let_go(ws: ClientConnection, tunnels: Stand) -> None:
    ws.socket.shutdown(socket.SHUT_RDWR)
    assert eventually(lambda: tunnels.segment.worker(SLOTS[1])["upstreams"] == 0)
