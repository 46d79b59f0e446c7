"""Memory is bounded for each client and for all: short of it, a worker parts from clients, then refuses them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from fastgw.dataplane.pressure import Pressure
from fastgw.memory import available_bytes

from .client import Client, TruncatedError
from .configs import IDENTITY
from .conftest import NewHost
from .framing import request
from .oracle import Oracle, Talk
from .rig import Gateway, Host, eventually
from .test_wire_reconfigure import config

MIB = 1 << 20
STREAM_BYTES_MAX = MIB // 2  # of a worker's memory, for a client that reads nothing of its answer
EVENT = b"data: " + bytes(range(32, 127)) * 80 + b"\n\n"
KIBIBYTE = b"400\r\n" + EVENT[:1024] + b"\r\n"


def resident(host: Host) -> int:
    """Bytes of memory that are the process's own."""
    for line in Path(f"/proc/{host.process.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


def endless(talk: Talk) -> None:
    """Events, as many as are taken."""
    with contextlib.suppress(OSError):
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            talk.send(KIBIBYTE * 256)
    talk.close()


@contextmanager
def deaf(host: Host, oracle: Oracle, number: int, ahead: bytes = b"") -> Iterator[list[Client]]:
    """So many clients that ask for events and read none; `ahead` is what they send besides."""
    with oracle.script(endless) as name, ExitStack() as stack:
        clients = []
        for _ in range(number):
            client = stack.enter_context(host.connect(receive_buffer=4096))
            client.send(request(f"GET /v1/{name} HTTP/1.1".encode()) + ahead)
            clients.append(client)
        yield clients


def settled(host: Host) -> int:
    """The memory once it does not change any more."""
    was = -1
    deadline = time.monotonic() + 8
    while abs((now := resident(host)) - was) > MIB // 4 and time.monotonic() < deadline:
        was = now
        time.sleep(0.3)
    return now


@pytest.mark.slow
def test_clients_that_read_nothing_cost_a_bounded_amount_each_and_are_cut(
    terms: Gateway, oracle: Oracle, new_host: NewHost
) -> None:
    number, write_s = (2_000, 60) if "FASTGW_LONG" in os.environ else (30, 4)
    host = new_host(config(oracle.port, server=f'write_timeout = "{write_s}s"\nupstream_connections_max = 2_001'))
    with host.connect() as client:
        client.send(request(b"GET /v1/warm-up HTTP/1.1"))
        assert client.read().status == 200
    assert terms.segment.worker(1)["exchanges"] == 0
    before = resident(host)
    start = time.monotonic()
    with deaf(host, oracle, number) as clients:
        assert eventually(lambda: terms.segment.worker(1)["exchanges"] == number, write_s)
        assert eventually(lambda: resident(host) - before > 30 * MIB // 16, write_s), "they are made to wait in memory"
        grown = settled(host) - before
        print(f"{number} that read nothing: {grown // number // 1024} KiB each")
        assert grown < number * STREAM_BYTES_MAX
        assert eventually(lambda: terms.segment.worker(1)["clients"] == 0, 2 * write_s + 2)
        assert time.monotonic() - start > write_s - 0.5
        for client in clients:
            with pytest.raises(TruncatedError):
                client.exactly(number * STREAM_BYTES_MAX)
    terms.captured("rich")  # nothing stays held


@pytest.mark.slow
def test_short_of_memory_it_parts_from_clients_then_refuses_and_serves_again_when_it_can(
    terms: Gateway, oracle: Oracle, new_host: NewHost
) -> None:
    host = new_host(config(oracle.port, server='workers = 1\nmemory_max = "64MiB"'))
    with host.connect() as idle, host.connect() as used:
        idle.send(request(b"GET /v1/x HTTP/1.1"))
        assert not idle.read().closes
        used.send(b"POST /v1/x HTTP/1.1\r\n")
        with deaf(host, oracle, 250, b"GET /v1/x HTTP/1.1\r\n\r\n" * 4000):
            assert eventually(lambda: terms.segment.worker(1)["pressure"] == 2, 15), resident(host)
            assert idle.is_ended(), "who waits for nothing is closed"
            used.send(IDENTITY + b"Content-Length: 3\r\n\r\nabc")
            answer = used.read()
            assert (answer.status, answer.closes, answer.one("retry-after")) == (503, True, "1")
            assert b'"code":"overloaded"' in answer.body
            assert used.is_ended()
            with host.connect() as new:
                answer = new.read()
                assert (answer.status, answer.closes) == (503, True)
                assert b'"code":"overloaded"' in answer.body
            assert resident(host) < 2 * 64 * MIB
        assert eventually(lambda: terms.segment.worker(1)["pressure"] == 0, 10), resident(host)
        with host.connect() as new:
            new.send(request(b"GET /v1/x HTTP/1.1"))
            answer = new.read()
            assert (answer.status, answer.closes) == (200, False)
    worker = terms.segment.worker(1)
    assert worker["shed"] >= 1
    assert 10 * MIB < worker["memory"] < 64 * MIB
    said = [line for line in host.errors.read_text().splitlines() if "of 64 MiB" in line]
    assert said[-1].endswith("requests are taken as ever again")
    assert len(said) <= 4, "it is said when it changes"
    terms.captured("rich")


def test_the_marks_are_passed_upwards_at_once_and_downwards_with_some_relief(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pressure = Pressure("worker 7")
    percents = [84, 85, 94, 95, 91, 90, 89, 81, 80, 79, 96, 10]
    levels = []
    for percent in percents:
        monkeypatch.setattr(pressure, "_own_bytes", lambda percent=percent: percent * MIB)
        levels.append(int(pressure.look(100 * MIB)))
    assert levels == [0, 1, 1, 2, 2, 2, 1, 1, 1, 0, 2, 0]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 6
    assert said[0] == (
        "fastgw: error: worker 7 has 85 of 100 MiB: idle connections are closed, others after their answer"
    )
    assert said[-1] == "fastgw: worker 7 has 10 of 100 MiB: requests are taken as ever again"
    assert pressure.look(0) == 0
    pressure.close()


def test_a_control_group_s_memory_counts_where_it_is_less_than_the_machine_s(tmp_path: Path) -> None:
    machine = available_bytes(str(tmp_path))
    assert machine > 64 * MIB
    (tmp_path / "proc/self").mkdir(parents=True)
    for cgroup, file in (
        ("0::/a/b\n", "sys/fs/cgroup/a/memory.max"),
        ("0::/host/only\n", "sys/fs/cgroup/memory.max"),
        ("4:memory:/x\n3:cpu:/y\n0::/\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes"),
    ):
        (tmp_path / "proc/self/cgroup").write_text(cgroup)
        limit = tmp_path / file
        limit.parent.mkdir(parents=True, exist_ok=True)
        for text, expected in (("max\n", machine), ("9223372036854771712\n", machine), (f"{48 * MIB}\n", 48 * MIB)):
            limit.write_text(text)
            assert available_bytes(str(tmp_path)) == expected
        limit.unlink()
