"""A machine that is short of memory or descriptors, and clients that mean no good, hurt nobody else."""

import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import Upstream
from gateway import Gateway, account, connects, eventually, get, key
from load import hammer, request

pytestmark = pytest.mark.slow  # whole gateways, one a test

KEY = "sk-acme-0001"


@contextmanager
def small_memory(directory: Path, size: str) -> Iterator[Path]:
    """A memory-backed directory of that size."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting a tmpfs is not permitted: {done.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def test_too_little_shared_memory_is_an_error_at_start(gateway: Gateway, tmp_path: Path) -> None:
    gateway.write(account(), key(KEY))
    with small_memory(tmp_path / "small", "4m") as small:
        for _ in range(2):
            gateway.launch("-c", str(gateway.file), "--segment-dir", str(small))
            assert gateway.wait() == 2
            said = gateway.log().splitlines()[-1]
            assert said.startswith(f"fastgw: error: {small} has too little room for the segment")
            assert "--segment-dir" in said
            assert list(small.iterdir()) == [], "nothing is left that would stand in the way of the next start"
    assert "Traceback" not in gateway.log()
    assert "signal" not in gateway.log()


def test_no_shared_memory_at_all_is_an_error_at_start(gateway: Gateway, tmp_path: Path) -> None:
    gateway.write(account(), key(KEY))
    with small_memory(tmp_path / "small", "64k") as small:
        (small / "full").write_bytes(b"x" * 65536)
        gateway.launch("-c", str(gateway.file), "--segment-dir", str(small))
        assert gateway.wait() == 2
        assert gateway.log().startswith("fastgw: error: ")
        assert str(small) in gateway.log()
        assert gateway.log().count("\n") == 1
    gateway.launch("-c", str(gateway.file), "--segment-dir", str(tmp_path / "absent"))
    assert gateway.wait() == 2
    assert f"{tmp_path}/absent" in gateway.log().splitlines()[-1]
    assert "Traceback" not in gateway.log()


def test_more_keys_than_shared_memory_holds_are_an_error_and_no_crash(gateway: Gateway, tmp_path: Path) -> None:
    keys = tmp_path / "keys.jsonl"
    keys.write_text("".join(f'{{"account":"acme","key":"sk-{n:08}"}}\n' for n in range(100_000)))
    gateway.write(account(), key(KEY), server={"keys_file": str(keys)})
    with small_memory(tmp_path / "small", "28m") as small:
        gateway.launch("-c", str(gateway.file), "--segment-dir", str(small), "--workers", "1")
        assert gateway.wait(20) == 2
        assert f"{small} has too little room for the segment of 1 workers" in gateway.log()
        assert "signal" not in gateway.log()
        gateway.write(account(), key(KEY))
        gateway.start("--segment-dir", str(small), workers=1)
        assert gateway.call(KEY) == 200
        (small / "full").write_bytes(b"")
        subprocess.run(["sh", "-c", f"cat /dev/zero > {small}/full"], check=False, capture_output=True)
        unknown = [gateway.call(f"sk-unknown-{n}") for n in range(200)]
        assert unknown == [401] * 200, "looking a key up needs no memory that was not claimed"
        assert gateway.call(KEY) == 200
        assert "killed by signal" not in gateway.log()
        gateway.stop()


def test_slow_and_garbage_clients_do_not_hurt_a_good_one(gateway: Gateway, upstream: Upstream) -> None:
    gateway.write(account(balance="100"), key(KEY), price="0.001", server={"head_timeout": "1s"})
    gateway.start()
    chance = random.Random(1)
    clients = []
    for number in range(300):
        client = socket.create_connection(("127.0.0.1", gateway.port), 5)
        client.settimeout(5)
        match number % 5:
            case 0:
                client.sendall(b"POST /v1/calls HTTP/1.1\r\nHost: a\r\nX-Slow: ")  # never goes on
            case 1:
                client.sendall(chance.randbytes(2000))
            case 2:
                client.sendall(request(KEY)[:-5])  # a body that never ends
            case 3:
                client.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(500))
            case _:
                client.sendall(b"GET " + b"/" * 40_000)
        clients.append(client)
    before = upstream.calls
    tally = hammer(gateway.port, request(KEY), connections=16, calls=3_000)
    assert tally.statuses == {200: 3_000}
    assert tally.cut == 0
    assert upstream.calls - before == 3_000
    answers: dict[int, set[bytes]] = {}
    for number, client in enumerate(clients):
        if number % 5 != 2:
            answers.setdefault(number % 5, set()).add(client.recv(100).split(b"\r\n")[0])
        client.close()
    assert answers[0] == {b"HTTP/1.1 408 Request Timeout"}
    assert answers[3] == {b"HTTP/1.1 400 Bad Request"}
    assert all(line.startswith(b"HTTP/1.1 4") for line in answers[1] | answers[4])
    segment = gateway.segment()
    eventually(lambda: sum(segment.worker(index)["clients"] for index in range(2)) == 0)
    assert gateway.money()["held"] == 0
    assert "Traceback" not in gateway.log()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_without_descriptors_a_worker_does_not_spin_drops_nobody_and_recovers(gateway: Gateway) -> None:
    """128 descriptors, 400 clients: some are served, some told that there is no room, the others wait for some."""
    code = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    gateway.write(account(), key(KEY))
    gateway.start(workers=1, prefix=[sys.executable, "-c", code])
    worker = gateway.children()["worker 0"]
    clients = [socket.create_connection(("127.0.0.1", gateway.port), 5) for _ in range(400)]
    time.sleep(0.3)
    before_s = cpu_s(worker)
    time.sleep(1.0)
    assert cpu_s(worker) - before_s < 0.25, "it spins"
    open_ones, refused, waiting = clients[:48], clients[48:60], clients[100:]
    assert {client.recv(100)[:12] for client in refused} == {b"HTTP/1.1 503"}
    for client in (open_ones[0], open_ones[-1]):
        client.sendall(request(KEY))
        assert client.recv(100).startswith(b"HTTP/1.1 200"), "who is in is served, descriptors for upstreams are kept"
    for client in clients[:100]:
        client.close()
    answers = []
    for client in waiting:
        with client:
            client.sendall(request(KEY))
            answers.append(client.recv(100)[:12])
    assert set(answers) <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}, "nobody is closed without a word"
    assert answers.count(b"HTTP/1.1 200") > len(waiting) / 4
    eventually(lambda: gateway.call(KEY) == 200)
    assert gateway.children()["worker 0"] == worker
    assert "Traceback" not in gateway.log()
    assert gateway.stop() == 0


def test_the_soft_limit_of_descriptors_is_raised(gateway: Gateway) -> None:
    code = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 4096)); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    gateway.write(account(), key(KEY))
    gateway.start(workers=1, prefix=[sys.executable, "-c", code])
    worker = gateway.children()["worker 0"]
    assert resource.prlimit(worker, resource.RLIMIT_NOFILE) == (4096, 4096)
    clients = [socket.create_connection(("127.0.0.1", gateway.port), 5) for _ in range(300)]
    for client in clients:
        client.sendall(request(KEY))
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        client.close()


def test_an_upstream_that_is_away_costs_nothing(gateway: Gateway) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        gateway.upstream_url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        gateway.write(account(balance="0.001"), key(KEY), price="0.001")
        gateway.start()
        assert [gateway.call() for _ in range(3)] == [502] * 3
        assert (gateway.money()["captured"], gateway.money()["held"]) == (0, 0)
        assert get(f"{gateway.admin_url}/readyz")[0] == 200


@pytest.mark.slow
def test_a_stopped_worker_does_not_keep_it_from_ending(gateway: Gateway) -> None:
    """A worker that does not answer any more is killed some seconds after the drain's end."""
    gateway.write(account(), key(KEY), server={"drain_timeout": "100ms"})
    gateway.start()
    os.kill(gateway.children()["worker 1"], signal.SIGSTOP)
    gateway.children()
    gateway.signal(signal.SIGTERM)
    time.sleep(0.2)
    gateway.signal(signal.SIGTERM)
    assert gateway.wait(3) == 1
    eventually(lambda: gateway.left() == [])
    assert not connects(gateway.port)
