"""Thousands of clients that mean no good, by slowhttptest and otherwise: who means well is served beside them."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from gateway import Gateway, account, eventually, key, table
from load import Tally, hammer, request

pytestmark = pytest.mark.slow

KEY = "sk-acme-0001"
LONG = "FASTGW_LONG" in os.environ
CONNECTIONS, PER_S = (4_000, 1_000) if LONG else (1_000, 400)  # of each kind, all at once
SECONDS, WITHIN_S = (30, 20) if LONG else (8, 3)
KINDS = {
    "slow heads": ["-H", "-i", "1", "-x", "20"],
    "slow bodies": ["-B", "-i", "1", "-s", "8192", "-x", "10"],
    "slow readers": ["-X", "-w", "1", "-y", "1", "-n", "2", "-z", "1"],
    "ranges": ["-R", "-t", "HEAD", "-a", "10", "-b", "3000"],
}


def flood(program: str, port: int, options: list[str], directory: Path) -> "subprocess.Popen[bytes]":
    url = f"http://127.0.0.1:{port}/open/x"  # where no key is asked for: without one, no body is waited for
    argv = ["nice", "-n", "19", program]  # in earnest it has processors of its own
    argv += ["-c", str(CONNECTIONS), "-r", str(PER_S), "-l", str(SECONDS), "-p", "3", "-u", url]
    return subprocess.Popen([*argv, *options], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, cwd=directory)


@pytest.mark.parametrize("kinds", [[kind] for kind in KINDS] if LONG else [list(KINDS)], ids=" and ".join)
def test_thousands_of_slow_clients_leave_the_others_alone(gateway: Gateway, kinds: list[str]) -> None:
    program = shutil.which("slowhttptest")
    if program is None:
        pytest.skip("slowhttptest is not installed")
    short = dict.fromkeys(("head_timeout", "body_timeout", "idle_timeout", "write_timeout"), f"{WITHIN_S}s")
    anybody = table("routes", name="open", path="/open/", upstream="service", auth="none")
    limits = {**short, "upstream_connections_max": 2 * CONNECTIONS}
    gateway.write(account(balance="1000"), key(KEY), anybody, price="0.001", server=limits)
    gateway.start()
    segment = gateway.segment()

    def clients() -> int:
        return sum(segment.worker(slot)["clients"] for slot in range(2))

    quiet = hammer(gateway.port, request(KEY), connections=4, seconds=3)
    took_s: list[float] = []
    floods = [flood(program, gateway.port, KINDS[kind], gateway.directory) for kind in kinds]
    try:
        most = 0
        started = time.monotonic()
        served = quiet.answers
        while time.monotonic() - started < SECONDS - 1:
            tally = hammer(gateway.port, request(KEY), connections=4, seconds=0.5)
            assert set(tally.statuses) == {200}
            assert (tally.cut, tally.refused) == (0, 0)
            served += tally.answers
            most = max(most, clients())
            took_s += tally.took_s
    finally:
        for process in floods:
            process.terminate()
            process.wait(10)
    assert most > CONNECTIONS / 2 or kinds == ["ranges"], "there was a flood"  # of such, each is answered at once
    flooded = Tally(took_s=took_s)
    before_ms, beside_ms = quiet.p99_s() * 1000, flooded.p99_s() * 1000
    print(f"{', '.join(kinds)}: {most} clients at once; p99 {before_ms:.2f} ms before, {beside_ms:.2f} ms beside them")
    if LONG:  # on a machine that is otherwise quiet
        assert beside_ms < 2 * before_ms
    eventually(lambda: clients() == 0, 3 * WITHIN_S, "all have gone, or were cut at their deadlines")
    assert gateway.money() | {"held": 0, "captured": served * 1_000_000} == gateway.money()
    assert "Traceback" not in gateway.log()
    assert "starting another" not in gateway.log()


def test_clients_that_come_and_go_by_the_thousand_leave_the_others_alone(gateway: Gateway) -> None:
    """Connections that say nothing, and connections that are reset at once."""
    gateway.write(account(balance="1000"), key(KEY), price="0.001", server={"idle_timeout": "1s"})
    gateway.start()
    silent = []
    for number in range(3_000):
        client = socket.create_connection(("127.0.0.1", gateway.port), 5)
        if number % 2:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            client.close()
        else:
            silent.append(client)
    tally = hammer(gateway.port, request(KEY), connections=8, calls=1_000)
    assert tally.statuses == {200: 1_000}
    for client in silent:
        assert client.recv(10) == b"", "closed when it had been idle for long enough"
        client.close()
    segment = gateway.segment()
    eventually(lambda: sum(segment.worker(slot)["clients"] for slot in range(2)) == 0)
    assert gateway.money()["held"] == 0
