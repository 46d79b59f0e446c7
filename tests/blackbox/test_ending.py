"""How it ends: signals drain, the drain has an end, and nothing is left behind."""

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from conftest import Upstream
from gateway import NANOS, Gateway, account, alive, connects, eventually, key
from load import Hammering, hammer, request

pytestmark = pytest.mark.slow  # whole gateways, one a test

KEY = "sk-acme-0001"


class Call:
    """One call over a socket of its own, in a thread; `answer` is all that came back."""

    def __init__(self, port: int, target: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.settimeout(20)
        self.socket.sendall(request(KEY, target))
        self.answer = b""
        self.ended_at = 0.0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while part := self.socket.recv(4096):
                self.answer += part
        except ConnectionError:
            pass
        self.ended_at = time.monotonic()

    def finish(self, within_s: float = 10) -> bytes:
        self._thread.join(within_s)
        assert not self._thread.is_alive(), "the connection was not closed"
        return self.answer


def serve(gateway: Gateway, **server: object) -> None:
    gateway.write(account(balance="1"), key(KEY), price="0.001", server=server)
    gateway.start()


def gone(gateway: Gateway) -> None:
    """Nothing of it is left: no process, no port; what was spent is, in memory and on disk."""
    eventually(lambda: gateway.left() == [], what="every process was gone")
    assert not connects(gateway.port)
    assert not connects(gateway.admin_port)
    assert len(gateway.segment_files()) == 1
    left = {path.name for path in gateway.state_dir.iterdir()}
    ledger = {"ledger.sqlite", "ledger.sqlite-wal"}
    assert {"lock", "secret"} <= left <= {"lock", "secret", "admin-token", "calls", *ledger}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(gateway: Gateway, upstream: Upstream, number: signal.Signals) -> None:
    """Calls in flight, in both stages of an answer, end well; new connections find nobody; the code is 0."""
    serve(gateway)
    idle = socket.create_connection(("127.0.0.1", gateway.port))
    calls = [Call(gateway.port, "/v1/calls?ms=500") for _ in range(4)]
    streams = [Call(gateway.port, "/v1/calls?half_ms=500") for _ in range(4)]
    eventually(lambda: upstream.calls == 8)
    gateway.children()
    gateway.signal(number)
    eventually(lambda: not connects(gateway.port), 0.4, "nobody listened any more")
    assert idle.recv(1) == b"", "a connection without a call is closed"
    assert not gateway.ready()
    assert gateway.wait() == 0
    for call in calls:
        head, _, body = call.finish().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nConnection: close" in head
        assert body == b"served\n"
    for call in streams:
        assert call.finish().endswith(b"\r\n\r\nserved\n")
    gone(gateway)
    assert (gateway.money()["captured"], gateway.money()["held"]) == (8 * NANOS // 1000, 0)
    assert "Traceback" not in gateway.log()


@pytest.mark.slow
def test_a_drain_under_load_cuts_no_call_and_serves_what_is_queued(gateway: Gateway, upstream: Upstream) -> None:
    gateway.write(account(), key(KEY))
    gateway.start()
    with Hammering(gateway.port, request(KEY), connections=64, seconds=1.2) as hammering:
        time.sleep(0.6)
        assert gateway.stop() == 0
    tally = hammering.tally
    assert set(tally.statuses) == {200}
    assert tally.statuses[200] == upstream.calls
    assert tally.refused > 0, "the clients went on after the end"
    gone(gateway)


def test_the_drain_timeout_ends_calls_without_charging_them(gateway: Gateway, upstream: Upstream) -> None:
    serve(gateway, drain_timeout="300ms")
    waiting = Call(gateway.port, "/v1/calls?ms=15000")
    stream = Call(gateway.port, "/v1/calls?half_ms=15000")
    eventually(lambda: upstream.calls == 2)
    start = time.monotonic()
    assert gateway.stop() == 0
    assert 0.3 <= time.monotonic() - start < 3
    assert waiting.finish().startswith(b"HTTP/1.1 504 "), "it is told, not only cut"
    answer = stream.finish()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\nser"), "an answer that has begun stays visibly cut"
    gone(gateway)
    assert (gateway.money()["captured"], gateway.money()["held"]) == (0, 0)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(gateway: Gateway, upstream: Upstream, second: signal.Signals) -> None:
    serve(gateway)
    call = Call(gateway.port, "/v1/calls?ms=15000")
    eventually(lambda: upstream.calls == 1)
    gateway.children()
    gateway.signal(signal.SIGTERM)
    time.sleep(0.3)
    assert alive(gateway.pid)
    start = time.monotonic()
    gateway.signal(second)
    assert gateway.wait() == 1
    assert time.monotonic() - start < 5
    assert call.finish() == b""
    gone(gateway)
    assert (gateway.money()["captured"], gateway.money()["held"]) == (0, 0)
    assert "ended with calls in flight" in gateway.log()


def test_ctrl_c_in_a_terminal_reaches_the_whole_group_and_still_drains(gateway: Gateway, upstream: Upstream) -> None:
    serve(gateway)
    call = Call(gateway.port, "/v1/calls?ms=400")
    eventually(lambda: upstream.calls == 1)
    gateway.children()
    os.killpg(gateway.pid, signal.SIGINT)
    assert gateway.wait() == 0
    assert call.finish().startswith(b"HTTP/1.1 200 ")
    gone(gateway)


@pytest.mark.slow
def test_a_service_manager_that_signals_every_process_still_gets_a_drain(gateway: Gateway, upstream: Upstream) -> None:
    serve(gateway)
    call = Call(gateway.port, "/v1/calls?ms=400")
    eventually(lambda: upstream.calls == 1)
    gateway.children()
    os.killpg(gateway.pid, signal.SIGTERM)
    assert gateway.wait() == 0
    assert call.finish().startswith(b"HTTP/1.1 200 ")
    gone(gateway)


@pytest.mark.slow
def test_a_signal_while_it_starts_ends_it_with_nothing_left(gateway: Gateway) -> None:
    serve(gateway)  # once, so that there is something to find
    assert gateway.stop() == 0
    for pause_s in (0.3, 0.4, 0.5):
        process = gateway.launch("-c", str(gateway.file))
        time.sleep(pause_s)
        gateway.children()
        process.terminate()
        assert process.wait(5) in (0, -signal.SIGTERM), "0, or killed before it had begun"
        gone(gateway)
    assert "Traceback" not in gateway.log()


def test_a_worker_that_is_told_to_end_finishes_and_is_replaced(gateway: Gateway, upstream: Upstream) -> None:
    serve(gateway)
    calls = [Call(gateway.port, "/v1/calls?ms=250") for _ in range(8)]
    eventually(lambda: upstream.calls == 8)
    before = gateway.workers()
    for pid in before:
        os.kill(pid, signal.SIGTERM)
    for call in calls:
        assert call.finish().startswith(b"HTTP/1.1 200 ")
    eventually(lambda: gateway.ready() and not set(before) & set(gateway.workers()))
    assert gateway.call() == 200


def test_what_was_spent_stays_spent_over_a_restart(gateway: Gateway, upstream: Upstream) -> None:
    gateway.write(account(balance="0.010"), key(KEY), price="0.001")
    gateway.start()
    assert [gateway.call() for _ in range(4)] == [200] * 4
    assert gateway.stop() == 0
    gateway.start(workers=1)
    assert [gateway.call() for _ in range(4)] == [200] * 4
    assert gateway.stop() == 0
    gateway.start(workers=3)
    assert [gateway.call() for _ in range(4)] == [200, 200, 402, 402]
    assert gateway.money()["captured"] == NANOS // 100
    gateway.stop()
    gateway.write(account(balance="0.011"), key(KEY), price="0.001")
    gateway.start()
    assert [gateway.call() for _ in range(2)] == [200, 402], "a higher balance in the file is a top-up"
    assert upstream.calls == 11


@pytest.mark.slow
def test_a_bucket_that_was_emptied_stays_empty_over_a_restart(gateway: Gateway) -> None:
    gateway.write(account(), key(KEY), rate="3/h")
    gateway.start()
    assert [gateway.call() for _ in range(4)] == [200] * 3 + [429]
    gateway.stop()
    gateway.start()
    assert gateway.call() == 429


@pytest.mark.slow
def test_another_capacity_makes_the_segment_anew_and_nothing_is_forgotten(gateway: Gateway) -> None:
    """What has been spent and logged is in the ledger and the call log before the old segment goes."""
    gateway.write(account(balance="0.003"), key(KEY), price="0.001")
    gateway.start()
    assert gateway.call() == 200
    gateway.kill_everything()  # nothing had time to be written down
    gateway.start("--keys-max", "5000", "--journal-records", "1024")
    assert gateway.segment().capacity["keys_max"] == 5000
    assert "keys_max = 1048576, journal_records = 16384: what it knows goes to the ledger" in gateway.log()
    assert [gateway.call() for _ in range(3)] == [200, 200, 402]
    assert gateway.stop() == 0
    gateway.start()
    assert gateway.call() == 402
    assert gateway.stop() == 0
    assert "error" not in gateway.log()


@pytest.mark.slow
@pytest.mark.parametrize("crash", [False, True])
def test_a_call_that_was_made_is_not_made_again_after_a_restart(
    gateway: Gateway, upstream: Upstream, crash: bool
) -> None:
    """The answers to idempotent calls outlive every process, as the charges do."""
    gateway.write(account(balance="1"), key(KEY), price="0.001", idempotency="1h")
    once = request(KEY).replace(b"Content-Type", b'Idempotency-Key: "order-1"\r\nContent-Type')
    gateway.start()
    assert hammer(gateway.port, once, connections=1, calls=1).statuses == {200: 1}
    if crash:
        gateway.kill_everything()
    else:
        gateway.stop()
    gateway.start()
    assert hammer(gateway.port, once, connections=1, calls=1).statuses == {200: 1}
    assert upstream.calls == 1
    assert gateway.money()["captured"] == NANOS // 1000


@pytest.mark.slow
def test_a_segment_whose_ledger_cannot_be_written_is_not_made_anew(gateway: Gateway) -> None:
    gateway.write(account(balance="0.002"), key(KEY), price="0.001")
    gateway.start()
    assert gateway.call() == 200
    gateway.stop()
    ledger = gateway.state_dir / "ledger.sqlite"
    kept = ledger.read_bytes()
    ledger.write_bytes(b"no database" * 1000)
    gateway.launch("-c", str(gateway.file), "--keys-max", "5000")
    assert gateway.wait() == 2
    assert "cannot be made anew: " in gateway.log()
    assert "start with keys_max = 1048576" in gateway.log()
    ledger.write_bytes(kept)
    gateway.start()
    assert [gateway.call() for _ in range(2)] == [200, 402]


def test_a_segment_that_is_none_is_refused_and_left_alone(gateway: Gateway) -> None:
    serve(gateway)
    gateway.stop()
    [path] = gateway.segment_files()
    path.write_bytes(b"something else" * 1000)
    gateway.launch("-c", str(gateway.file))
    assert gateway.wait() == 2
    assert f"{path} is not a segment of fastgw" in gateway.log()
    assert path.read_bytes().startswith(b"something else")
    assert "Traceback" not in gateway.log()


@pytest.mark.slow
def test_a_half_made_segment_of_one_that_was_killed_is_cleared_away(gateway: Gateway) -> None:
    serve(gateway)
    gateway.stop()
    [path] = gateway.segment_files()
    path.rename(Path(f"{path}.{gateway.pid}"))
    serve(gateway)
    assert gateway.segment_files() == [path]
    assert gateway.call() == 200
