"""Listeners of every kind, side by side: nobody is refused on any of them while workers come and go."""

import os
import resource
import socket
import stat
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from conftest import Upstream
from gateway import Gateway, account, eventually, key, table
from load import Hammering, request
from ports import free_port
from test_alone import refused
from test_reload import KEY, ONCE, ready_workers, reload
from test_upgrade import upgrade

from fastgw._segment import Segment
from fastgw.control.metrics import cpu_seconds

pytestmark = pytest.mark.slow  # whole gateways, one a test

HEADER = b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n"


def listener(address: str, **fields: object) -> str:
    return table("listeners", address=address, **fields)


def write(gateway: Gateway, *tables: str, price: str = "0.001", **server: object) -> None:
    gateway.write(account(balance="1000"), key(KEY), *tables, price=price, server=server)


def call(place: int | str, preface: bytes = b"") -> bytes:
    """The answer to one call."""
    address: object = ("127.0.0.1", place) if isinstance(place, int) else place
    family = (
        socket.AF_UNIX if isinstance(place, str) else socket.AF_INET6 if isinstance(place, tuple) else socket.AF_INET
    )
    with socket.socket(family) as client:
        client.settimeout(10)
        client.connect(address)  # type: ignore[arg-type]
        client.sendall(preface + ONCE)
        answer = b""
        while part := client.recv(65536):
            answer += part
    return answer


def test_nobody_is_refused_on_any_listener(gateway: Gateway, upstream: Upstream, tmp_path: Path) -> None:
    """Reloads, fewer workers, more workers, another version; with a connection for each call, and others that stay."""
    proxied, six = free_port(), free_port()
    local, behind = str(tmp_path / "gateway.sock"), str(tmp_path / "proxied.sock")
    tables = (
        listener(f"127.0.0.1:{proxied}", proxy_protocol=True), listener(f"[::1]:{six}"),
        listener(f"unix:{local}"), listener(f"unix:{behind}", proxy_protocol=True),
    )  # fmt: skip
    server: dict[str, Any] = {"trusted_proxies": ["127.0.0.1"]}
    write(gateway, *tables, workers=3, **server)
    gateway.start(workers=None)
    places = f"http://127.0.0.1:{gateway.port}, http://127.0.0.1:{proxied}, http://[::1]:{six}, unix:{local} and unix:"
    assert f" serving on {places}{behind} with 3 workers, admin on " in gateway.log()
    assert [stat.S_IMODE(Path(path).stat().st_mode) for path in (local, behind)] == [0o660, 0o660]
    with ExitStack() as stack:
        hammerings = [
            stack.enter_context(Hammering(place, payload, connections=3, preface=preface))
            for place, preface in ((proxied, HEADER), (("::1", six), b""), (local, b""), (behind, HEADER))
            for payload in (ONCE, request(KEY))
        ]
        time.sleep(0.3)
        for number in (1, 3):
            write(gateway, *tables, workers=number, **server)
            reload(gateway, f"→ {number}")
            eventually(lambda number=number: len(gateway.workers()) == number)  # type: ignore[misc]
            eventually(lambda number=number: ready_workers(gateway) == number)  # type: ignore[misc]
            write(gateway, *tables, price=f"0.00{number + 1}", workers=number, **server)
            reload(gateway, "routes: 1 changed")
        old = set(gateway.workers())
        upgrade(gateway)
        eventually(lambda: len(gateway.workers()) == 3 and not old & set(gateway.workers()), 15)
        time.sleep(0.3)
        for hammering in hammerings:
            hammering.stop()
    for hammering in hammerings:
        assert set(hammering.tally.statuses) == {200}
        assert (hammering.tally.cut, hammering.tally.refused) == (0, 0)
    assert sum(hammering.tally.answers for hammering in hammerings) == upstream.calls
    assert "\r\nX-Forwarded-For: 203.0.113.7\r\n" in last_head(upstream, behind)
    assert "error" not in gateway.log()
    assert gateway.stop() == 0
    assert not Path(local).exists()
    assert not Path(behind).exists()


def last_head(upstream: Upstream, place: str) -> str:
    assert call(place, HEADER).startswith(b"HTTP/1.1 200 ")
    return upstream.last_head


def test_a_unix_socket_that_is_left_behind_is_replaced_and_one_in_use_is_not(
    gateway: Gateway, another: Gateway, tmp_path: Path
) -> None:
    path = tmp_path / "gateway.sock"
    for each in (gateway, another):
        write(each, listener(f"unix:{path}"))
    path.write_text("precious")
    assert f"cannot listen on {path}: a file is there that is no socket" in refused(gateway)
    assert path.read_text() == "precious"
    path.unlink()
    gateway.start()
    assert f"{path} is in use by another process" in refused(another)
    assert call(str(path)).startswith(b"HTTP/1.1 200 ")
    gateway.kill_everything()
    assert path.exists()
    gateway.start()
    assert call(str(path)).startswith(b"HTTP/1.1 200 ")
    path.unlink()
    path.write_text("somebody else's")
    assert gateway.stop() == 0
    assert path.read_text() == "somebody else's"


def test_workers_share_what_comes_by_one_socket(gateway: Gateway, tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    write(gateway, listener(f"unix:{path}"), workers=2)
    gateway.start(workers=None)
    with ExitStack() as stack:
        segment = gateway.segment()
        for number in range(1, 2001):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(path))
            if number % 100 == 0:
                eventually(lambda number=number: sum(clients(segment)) == number)  # type: ignore[misc]
                if min(clients(segment)) >= 16:
                    return
    raise AssertionError(f"one of them has taken nearly all: {clients(segment)}")


def clients(segment: Segment) -> list[int]:
    return [segment.worker(slot)["clients"] for slot in range(2)]


def test_without_descriptors_connections_wait_and_nothing_spins(gateway: Gateway, tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    write(gateway, listener(f"unix:{path}"), workers=1)
    gateway.start(workers=None)
    [worker] = gateway.workers()
    open_now = len(os.listdir(f"/proc/{worker}/fd"))
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (open_now + 20, open_now + 20))
    with ExitStack() as stack:
        for _ in range(60):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(path))
        segment = gateway.segment()
        eventually(lambda: clients(segment)[0] >= 19)
        before = cpu_seconds(worker)
        time.sleep(1)
        assert cpu_seconds(worker) - before < 0.2
    assert call(str(path)).startswith(b"HTTP/1.1 ")
    eventually(lambda: call(str(path)).startswith(b"HTTP/1.1 200 "))
