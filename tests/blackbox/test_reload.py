"""A configuration that changes under load: whole or not at all, and no call fails for it."""

import os
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from conftest import Upstream
from gateway import Gateway, account, eventually, key
from load import Hammering, request
from newcomers import Newcomers
from test_ending import Call

from fastgw.states import WorkerState

pytestmark = pytest.mark.slow  # whole gateways, one a test

KEY = "sk-acme-0001"
TIMES = int(os.environ.get("FASTGW_LONG", "1"))  # so many times as many changes
# A connection for each call: whatever is accepted, queued or handed over at the moment must be served.
ONCE = request(KEY).replace(b"Content-Type", b"Connection: close\r\nContent-Type")


def write(gateway: Gateway, price: str = "0.001", *tables: str, **server: object) -> None:
    gateway.write(account(balance="1000"), key(KEY), *tables, price=price, server=server)


def reload(gateway: Gateway, says: str = "reload: ", within_s: float = 10) -> str:
    """SIGHUP; what it has said of it, once that contains `says`."""
    before = len(gateway.log())
    gateway.signal(signal.SIGHUP)
    eventually(lambda: says in gateway.log()[before:], within_s, f"it said {says!r}")
    time.sleep(0.02)
    return gateway.log()[before:]


def captured(gateway: Gateway) -> int:
    eventually(lambda: gateway.money()["held"] == 0, what="no hold was open")
    return gateway.money()["captured"]


def reload_again_and_again(gateway: Gateway, upstream: Upstream, times: int, connections: int) -> None:
    """Each with another price, while every call has a connection of its own."""
    write(gateway)
    gateway.start()
    with Hammering(gateway.port, ONCE, connections=connections) as hammering:
        for number in range(times):
            write(gateway, f"0.00{number % 9 + 1}")
            reload(gateway, "routes: 1 changed (api: price ") if number % 9 else reload(gateway)
        hammering.stop()
    tally = hammering.tally
    assert set(tally.statuses) == {200}
    assert (tally.cut, tally.refused) == (0, 0)
    assert tally.statuses[200] == upstream.calls > 10 * times
    assert captured(gateway) > 0
    assert "error" not in gateway.log()
    assert len(os.listdir(f"/proc/{gateway.pid}/fd")) < 25, "nothing is leaked by a reload"


def test_reloads_under_load_fail_no_call(gateway: Gateway, upstream: Upstream) -> None:
    reload_again_and_again(gateway, upstream, 10, 8)


@pytest.mark.slow
def test_a_hundred_reloads_under_newcomers_at_a_set_rate_fail_no_call(gateway: Gateway, upstream: Upstream) -> None:
    write(gateway)
    gateway.start()
    with Newcomers(gateway.directory, gateway.port, ONCE, per_s=1_000) as newcomers:
        for number in range(100):
            write(gateway, f"0.00{number % 9 + 1}")
            reload(gateway)
    assert newcomers.failures == {}
    assert newcomers.counts["served"] == upstream.calls > 2_000
    assert captured(gateway) > 0
    assert "error" not in gateway.log()
    assert len(os.listdir(f"/proc/{gateway.pid}/fd")) < 25, "nothing is leaked by a reload"


@pytest.mark.slow
def test_eight_workers_become_four_under_newcomers_and_no_call_fails(gateway: Gateway, upstream: Upstream) -> None:
    write(gateway, workers=8)
    gateway.start(workers=None)
    streams = [Call(gateway.port, "/v1/calls?half_ms=3000") for _ in range(16)]
    with Newcomers(gateway.directory, gateway.port, ONCE, per_s=1_000) as newcomers:
        time.sleep(0.3)
        write(gateway, workers=4)
        reload(gateway, "→ 4")
        eventually(lambda: len(gateway.workers()) == 4, 15, "4 workers ran")
        time.sleep(0.3)
    for stream in streams:
        eventually(lambda stream=stream: stream.answer.endswith(b"\r\n\r\nserved\n"))  # type: ignore[misc]
    assert newcomers.failures == {}
    assert newcomers.counts["served"] + len(streams) == upstream.calls
    assert captured(gateway) == upstream.calls * 1_000_000


def workers_go_and_come(gateway: Gateway, upstream: Upstream, connections: int, times: int) -> None:
    """4 → 2 → 4 workers under calls with a connection each, and others that keep theirs."""
    write(gateway, workers=4)
    gateway.start(workers=None)
    with (
        Hammering(gateway.port, ONCE, connections=connections) as hammering,
        Hammering(gateway.port, request(KEY), connections=connections) as keeping,
    ):
        for number in (2, 4) * times:
            write(gateway, workers=number)
            reload(gateway, f"→ {number}")
            eventually(lambda number=number: len(gateway.workers()) == number, what=f"{number} workers ran")  # type: ignore[misc]
            eventually(lambda number=number: ready_workers(gateway) == number)  # type: ignore[misc]
            time.sleep(0.1)
        hammering.stop()
        keeping.stop()
    for tally in (hammering.tally, keeping.tally):
        assert set(tally.statuses) == {200}
        assert (tally.cut, tally.refused) == (0, 0)
    assert hammering.tally.answers + keeping.tally.answers == upstream.calls
    assert captured(gateway) == upstream.calls * 1_000_000
    assert "error" not in gateway.log()
    assert "killing" not in gateway.log()


def ready_workers(gateway: Gateway) -> int:
    segment = gateway.segment()
    return sum(segment.worker(slot)["state"] == WorkerState.READY for slot in range(segment.worker_slots))


def test_workers_go_and_come_under_load_and_no_call_fails(gateway: Gateway, upstream: Upstream) -> None:
    workers_go_and_come(gateway, upstream, 8, 1)


@pytest.mark.slow
def test_workers_go_and_come_again_and_again(gateway: Gateway, upstream: Upstream) -> None:
    workers_go_and_come(gateway, upstream, 32, 3 * TIMES)


def test_a_request_that_a_worker_which_goes_has_not_read_yet_is_answered(gateway: Gateway, upstream: Upstream) -> None:
    """It had no turn for longer than a connection may be silent then."""
    write(gateway, workers=2)
    gateway.start(workers=None)
    segment = gateway.segment()
    with ExitStack() as stack:
        while segment.worker(1)["clients"] == 0:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=10))
            client.sendall(request(KEY))
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        write(gateway, workers=1)
        reload(gateway, "→ 1")
        eventually(lambda: segment.worker(1)["state"] == WorkerState.DRAINING)
        pid = segment.worker(1)["pid"]
        time.sleep(0.3)
        os.kill(pid, signal.SIGSTOP)
        client.sendall(request(KEY))
        time.sleep(1.2)
        os.kill(pid, signal.SIGCONT)
        answer = client.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nConnection: close\r\n" in answer
    eventually(lambda: len(gateway.workers()) == 1)
    assert captured(gateway) == upstream.calls * 1_000_000


@pytest.mark.slow
def test_a_stream_on_a_worker_that_goes_ends_well(gateway: Gateway, upstream: Upstream) -> None:
    """It takes its time; new calls are served meanwhile by those that stay."""
    write(gateway, workers=3)
    gateway.start(workers=None)
    streams = [Call(gateway.port, "/v1/calls?half_ms=1500") for _ in range(12)]
    eventually(lambda: upstream.calls == 12)
    write(gateway, workers=1)
    reload(gateway, "→ 1")
    assert all(gateway.call() == 200 for _ in range(50))
    for stream in streams:
        eventually(lambda stream=stream: stream.answer.endswith(b"\r\n\r\nserved\n"))  # type: ignore[misc]
    eventually(lambda: len(gateway.workers()) == 1)
    assert captured(gateway) == 62 * 1_000_000


# What goes wrong


def test_a_configuration_with_mistakes_is_refused_whole_and_the_old_one_serves_on(gateway: Gateway) -> None:
    write(gateway)
    gateway.start()
    write(gateway, "-1", account("second", "1"), key("sk-second-0001", "second"), hed_timeout="1s")
    said = reload(gateway, "error: reload: ")
    assert f"fastgw: error: reload: {gateway.file}:" in said
    assert "price" in said
    assert "hed_timeout" in said
    assert gateway.call() == 200
    assert gateway.call("sk-second-0001") == 401, "nothing of it is in force"
    assert captured(gateway) == 1_000_000
    gateway.file.unlink()
    assert f"{gateway.file}: cannot be read" in reload(gateway, "error: reload: ")
    assert gateway.call() == 200
    write(gateway, "0.002", account("second", "1"), key("sk-second-0001", "second"))
    assert "1 changed (api: price 0.001 → 0.002)" in reload(gateway)
    assert gateway.call("sk-second-0001") == 200
    assert gateway.money("second")["captured"] == 2_000_000


@pytest.mark.slow
def test_what_needs_a_restart_is_said_and_stays_as_it_is(gateway: Gateway) -> None:
    write(gateway, keys_max=5000)
    gateway.start()
    write(gateway, keys_max=6000, realm="other")
    said = reload(gateway, "needs a restart")
    assert "reload: server.keys_max: 5000 → 6000 (needs a restart, and stays as it is)" in said
    assert gateway.segment().capacity["keys_max"] == 5000


@pytest.mark.slow
def test_a_reload_that_changes_nothing_says_so(gateway: Gateway) -> None:
    write(gateway)
    gateway.start()
    before = gateway.workers()
    assert reload(gateway) == "fastgw: reload: nothing has changed\n"
    assert gateway.workers() == before


@pytest.mark.slow
def test_a_keeper_that_dies_during_a_reload_leaves_what_was_served(gateway: Gateway) -> None:
    write(gateway)
    gateway.start()
    keeper = gateway.children()["keeper"]
    os.kill(keeper, signal.SIGSTOP)
    write(gateway, "0.002")
    before = len(gateway.log())
    gateway.signal(signal.SIGHUP)
    time.sleep(0.1)
    gateway.kill(keeper)
    eventually(lambda: "the keeper was killed by signal 9" in gateway.log()[before:])
    assert gateway.call() == 200
    eventually(gateway.ready)
    assert captured(gateway) == 1_000_000
    reload(gateway, "price 0.001 → 0.002")
    assert gateway.call() == 200
    assert captured(gateway) == 3_000_000


@pytest.mark.slow
def test_a_worker_that_starts_again_serves_what_was_reloaded(gateway: Gateway) -> None:
    write(gateway)
    gateway.start(workers=1)
    write(gateway, "0.002")
    reload(gateway)
    [worker] = gateway.workers()
    gateway.kill(worker)
    assert gateway.call() == 200
    keeper = gateway.children()["keeper"]
    gateway.kill(keeper)
    eventually(lambda: gateway.children().get("keeper", keeper) != keeper)
    assert gateway.call() == 200
    assert captured(gateway) == 4_000_000


@pytest.mark.slow
def test_a_worker_that_does_not_answer_is_replaced_and_the_others_serve_the_new_one(gateway: Gateway) -> None:
    write(gateway, watchdog_timeout=0)
    gateway.start(workers=2)
    children = gateway.children()
    os.kill(children["worker 1"], signal.SIGSTOP)
    write(gateway, "0.002", watchdog_timeout=0)
    said = reload(gateway, "error: reload: ", within_s=15)
    assert "worker 1 has not answered for 10 s; replaced by another" in said
    eventually(lambda: len(gateway.workers()) == 3)
    eventually(lambda: ready_workers(gateway) == 3, what="another was ready")
    os.kill(children["worker 1"], signal.SIGCONT)
    eventually(lambda: set(gateway.children()) == {"keeper", "worker 0", "worker 2"})
    assert all(gateway.call() == 200 for _ in range(20))
    assert captured(gateway) == 20 * 2_000_000


def test_the_first_worker_that_cannot_apply_it_spares_the_others(gateway: Gateway) -> None:
    """It is killed while it tries: nothing has changed, in the books either."""
    write(gateway)
    gateway.start(workers=2)
    victim = gateway.children()["worker 0"]
    os.kill(victim, signal.SIGSTOP)
    write(gateway, "0.002", account("second", "1"), key("sk-second-0001", "second"))
    before = len(gateway.log())
    gateway.signal(signal.SIGHUP)
    time.sleep(0.5)
    gateway.kill(victim)
    eventually(lambda: "error: reload: worker 0, the first to apply it, was killed" in gateway.log()[before:])
    eventually(gateway.ready)
    assert gateway.call("sk-second-0001") == 401
    assert gateway.call() == 200
    assert captured(gateway) == 1_000_000


# A file that is watched


def test_a_file_that_is_watched_is_loaded_when_it_changes(gateway: Gateway) -> None:
    write(gateway, watch=True)
    gateway.start()
    write(gateway, "0.002", watch=True)
    eventually(lambda: "price 0.001 → 0.002" in gateway.log())
    write(gateway, "0.003")
    eventually(lambda: "server.watch: on → off" in gateway.log())
    write(gateway, "0.004")
    time.sleep(1.5)
    assert gateway.call() == 200
    assert captured(gateway) == 3_000_000


def test_a_file_of_an_upstream_s_TLS_is_watched_as_well(gateway: Gateway, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(trustme.CA().cert_pem.bytes())
    secure = f'[[upstreams]]\nname = "secure"\ntargets = ["https://127.0.0.1:1"]\ntls = {{ ca = "{ca}" }}\n'
    write(gateway, "0.001", secure, watch=True)
    gateway.start()
    ca.write_bytes(trustme.CA().cert_pem.bytes())
    eventually(lambda: "reload: upstreams: 1 changed (secure: tls)" in gateway.log())
    ca.write_bytes(b"nonsense")
    eventually(lambda: "holds no certificates in PEM form" in gateway.log())
    assert gateway.call() == 200
