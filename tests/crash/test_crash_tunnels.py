"""A tunnel whose worker is killed is charged for what it had carried, as far as noted; all books say the same."""

import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from gateway import COMMAND, NANOS, Gateway, account, clean_environment, eventually, key

NOTED = 4096  # bytes between two notes, as dataplane/tunnel.py has it
PRICE, MINUTE, MIB_PRICE = NANOS // 1000, NANOS // 100, NANOS // 10
ASK = (
    b"GET /v1/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer sk-acme-0001\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\n\r\n"
)
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Sink:
    """An upstream that agrees to every upgrade, and swallows what comes then: so many bytes by now."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.swallowed = 0
        self.turn = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._swallow, args=(connection,), daemon=True).start()

    def _swallow(self, connection: socket.socket) -> None:
        with connection:
            try:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(65536)
                connection.sendall(SWITCH)
                while data := connection.recv(65536):
                    with self.turn:
                        self.swallowed += len(data)
            except OSError:
                pass

    def close(self) -> None:
        self.listener.close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    started = Sink()
    yield started
    started.close()


@pytest.fixture
def gateway(sink: Sink, tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path, sink.url) as gateway:
        yield gateway


def tunnel(gateway: Gateway) -> socket.socket:
    """One that is open."""
    client = socket.create_connection(("127.0.0.1", gateway.port), timeout=10)
    client.sendall(ASK)
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(65536)
    assert head.startswith(b"HTTP/1.1 101 ")
    return client


def fastgw(gateway: Gateway, *words: str) -> None:
    done = subprocess.run(
        [COMMAND, *words, "--admin", f"127.0.0.1:{gateway.admin_port}", "--state-dir", str(gateway.state_dir)],
        capture_output=True, text=True, check=False, timeout=60, env=clean_environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_killed_tunnels_are_charged_and_every_book_says_so(gateway: Gateway, sink: Sink) -> None:
    """Workers are killed, then all processes at once; some tunnels end of themselves."""
    chance = random.Random(4)
    gateway.write(
        account(balance="1000"), key("sk-acme-0001", "acme", budget="500"), price="0.001", minute_price="0.01",
        mib_price="0.1",
    )  # fmt: skip
    gateway.start()
    carried = tunnels = 0
    for victims in ("worker", "worker", "all"):
        with ExitStack() as stack:
            clients = [stack.enter_context(tunnel(gateway)) for _ in range(16)]
            sent = [chance.randrange(1 << 20) for _ in clients]
            for client, size in zip(clients, sent, strict=True):
                client.sendall(bytes(size))
            carried += sum(sent)
            eventually(lambda carried=carried: sink.swallowed == carried, 10)  # type: ignore[misc]
            time.sleep(0.1)  # it is noted behind what is sent
            tunnels += len(clients)
            most = tunnels * (PRICE + MINUTE) + carried * MIB_PRICE // (1 << 20) + tunnels
            least = most - tunnels - tunnels * NOTED * MIB_PRICE // (1 << 20) - 1
            clients.pop().close()
            if victims == "all":
                gateway.kill_everything()
                gateway.start()
            else:
                for pid in gateway.workers():
                    os.kill(pid, signal.SIGKILL)
            eventually(lambda: gateway.money()["held"] == 0, 10)
            assert least <= gateway.money()["captured"] <= most
        eventually(gateway.ready, 10)
    token = (gateway.state_dir / "admin-token").read_text().strip()
    asked = {"params": {"limit": "1000", "code": "worker_died"}, "headers": {"Authorization": f"Bearer {token}"}}
    calls = httpx.get(f"{gateway.admin_url}/v1/calls", timeout=20, trust_env=False, **asked).json()["items"]  # type: ignore[arg-type]
    assert 40 <= len(calls) <= 48
    assert {call["status"] for call in calls} == {101}
    fastgw(gateway, "audit")
    assert gateway.stop() == 0
