"""One instance per port and per state directory; the second one says who holds it."""

import fcntl
import os
import signal
import socket
import subprocess
import time

import pytest
from gateway import Gateway, account, alive, connects, eventually, key
from load import request

pytestmark = pytest.mark.slow  # whole gateways, one a test


def serve(gateway: Gateway) -> None:
    gateway.write(account(balance="1"), key(), price="0.001")
    gateway.start()


def refused(gateway: Gateway, *arguments: str) -> str:
    """Start it, which must fail; what it said."""
    before = len(gateway.log())
    gateway.launch("-c", str(gateway.file), *arguments)
    assert gateway.wait() == 2
    said = gateway.log()[before:]
    assert said.count("\n") == 1, said
    return said


def test_a_second_instance_on_the_same_port_is_refused(gateway: Gateway, another: Gateway) -> None:
    serve(gateway)
    another.write(account(), key())
    said = refused(another, "--listen", f"127.0.0.1:{gateway.port}")
    assert f"127.0.0.1:{gateway.port} is in use by process {gateway.pid} (" in said
    assert list(another.segment_dir.iterdir()) == []
    assert all(gateway.call() == 200 for _ in range(20)), "the first one's queues are untouched"


def test_a_second_instance_on_the_same_state_directory_is_refused(gateway: Gateway, another: Gateway) -> None:
    serve(gateway)
    another.write(account(), key())
    said = refused(another, "--state-dir", str(gateway.state_dir))
    assert f"{gateway.state_dir} is in use by process {gateway.pid} (listening on 127.0.0.1:{gateway.port})" in said
    assert not connects(another.port)
    assert gateway.call() == 200


@pytest.mark.slow
def test_a_link_to_the_state_directory_is_the_same_directory(gateway: Gateway, another: Gateway) -> None:
    serve(gateway)
    link = another.directory / "link"
    link.symlink_to(gateway.state_dir)
    another.write(account(), key())
    assert f"in use by process {gateway.pid} (" in refused(another, "--state-dir", str(link))


@pytest.mark.parametrize("shares", [False, True])
def test_a_port_that_a_foreign_program_holds_is_refused(gateway: Gateway, shares: bool) -> None:
    """Even one that would share it, as SO_REUSEPORT allows: it would get half of the calls."""
    gateway.write(account(), key())
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shares)
        holder.bind(("127.0.0.1", gateway.port))
        holder.listen()
        assert f"127.0.0.1:{gateway.port} is in use by process {os.getpid()} (" in refused(gateway)
    gateway.start()
    assert gateway.call() == 200


def test_a_port_taken_on_all_interfaces_is_refused(gateway: Gateway, another: Gateway) -> None:
    serve(gateway)
    another.write(account(), key())
    assert f"in use by process {gateway.pid} (" in refused(another, "--listen", f":{gateway.port}")


@pytest.mark.slow
def test_connections_of_the_last_instance_do_not_hold_the_port(gateway: Gateway) -> None:
    """Sockets in TIME_WAIT after an end are no reason not to start again."""
    serve(gateway)
    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        client.sendall(request("sk-acme-0001"))
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        assert gateway.stop() == 0
    gateway.start()
    assert gateway.call() == 200


@pytest.mark.slow
def test_an_orphan_that_is_stuck_is_killed_by_the_next_start(gateway: Gateway) -> None:
    """The supervisor is gone, a worker is stopped in the middle: it would keep its share of the connections."""
    serve(gateway)
    victim = gateway.children()["worker 0"]
    os.kill(victim, signal.SIGSTOP)
    gateway.kill_supervisor()
    start = time.monotonic()
    gateway.start()
    assert time.monotonic() - start < 6
    assert not alive(victim)
    assert all(gateway.call() == 200 for _ in range(20))


@pytest.mark.slow
def test_a_foreign_holder_of_a_dead_ones_lock_is_named_and_left_alone(gateway: Gateway) -> None:
    serve(gateway)
    supervisor = gateway.pid
    gateway.kill_supervisor()
    eventually(lambda: not gateway.left())
    lock = os.open(gateway.state_dir / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    holder = subprocess.Popen(["sleep", "60"], stdin=lock)
    os.close(lock)
    try:
        gateway.launch("-c", str(gateway.file))
        assert gateway.wait(20) == 2
        said = gateway.log()
        assert f"process {supervisor} (listening on 127.0.0.1:{gateway.port}), which is gone" in said
        assert f"process {holder.pid} (sleep 60)" in said
        assert holder.poll() is None
    finally:
        holder.kill()
        holder.wait()
