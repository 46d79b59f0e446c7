"""A process that does nothing any more is noticed, killed and replaced; one that only cannot run is left alone."""

import math
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from conftest import Upstream
from gateway import Gateway, account, eventually, key

from fastgw.supervision import watchdog
from fastgw.supervision.watchdog import Watchdog

KEY = "sk-acme-0001"


class Clock:
    """What a watchdog knows of the world, as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.starved = 0.0
        self.traced = False
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(watchdog, "starved_s", lambda _: self.starved)
        monkeypatch.setattr(watchdog, "is_traced", lambda _: self.traced)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def silent_for(dog: Watchdog, clock: Clock, looks: int, pause_s: float = 1.0, beat_ns: int = 7) -> list[int]:
    """What is said in so many looks at process 5, whose heart stands still."""
    said = []
    for _ in range(looks):
        clock.now += pause_s
        said += dog.look({5: beat_ns}, 10.0)
    return said


def beating(clock: Clock) -> Watchdog:
    dog = Watchdog(30.0)
    for beat_ns in (6, 7):
        silent_for(dog, clock, 1, beat_ns=beat_ns)
    return dog


def test_a_heart_that_stands_still_for_as_long_as_it_may_is_said_once(clock: Clock) -> None:
    dog = beating(clock)
    assert silent_for(dog, clock, 9) == []
    assert silent_for(dog, clock, 1) == [5]
    assert silent_for(dog, clock, 9) == []
    assert silent_for(dog, clock, 1) == [5], "it is still there"


def test_a_heart_that_beats_at_all_is_alive(clock: Clock) -> None:
    dog = beating(clock)
    for beat_ns in range(10):
        assert silent_for(dog, clock, 8, beat_ns=beat_ns) == []


def test_a_process_that_begins_has_longer_and_a_keeper_for_ever(clock: Clock) -> None:
    dog = Watchdog(30.0)
    assert silent_for(dog, clock, 29, beat_ns=0) == []
    assert silent_for(dog, clock, 1, beat_ns=0) == [5]
    assert silent_for(Watchdog(math.inf), clock, 10_000, beat_ns=0) == []


def test_a_machine_that_was_suspended_or_starves_everybody_makes_nobody_look_dead(clock: Clock) -> None:
    dog = beating(clock)
    assert silent_for(dog, clock, 1, pause_s=86_400) == []
    assert silent_for(dog, clock, 3, pause_s=60) == [], "this process did not get far either"
    assert silent_for(dog, clock, 2) == [5]


def test_time_without_a_processor_does_not_count(clock: Clock) -> None:
    dog = beating(clock)
    for _ in range(90):
        clock.starved += 0.9
        assert silent_for(dog, clock, 1) == []
    assert silent_for(dog, clock, 1) == [5]


def test_who_is_held_by_a_debugger_is_left_alone(clock: Clock) -> None:
    dog = beating(clock)
    clock.traced = True
    assert silent_for(dog, clock, 100) == []
    clock.traced = False
    assert silent_for(dog, clock, 10) == [5]


def test_without_a_limit_nobody_is_looked_at(clock: Clock) -> None:
    dog = beating(clock)
    clock.now += 1000
    assert dog.look({5: 7}, 0.0) == []


def test_what_the_kernel_tells_of_a_process() -> None:
    assert 0.0 <= watchdog.starved_s(os.getpid()) < 1e6
    assert not watchdog.is_traced(os.getpid())
    assert watchdog.starved_s(1 << 30) == 0.0
    assert not watchdog.is_traced(1 << 30)


HANG = """
import signal, sys
def hang(*_):
    while True:
        pass
if any("fastgw.worker" in argument for argument in sys.orig_argv):
    signal.signal(signal.SIGUSR1, hang)
"""


@pytest.mark.slow
def test_processes_that_hang_are_killed_and_replaced(gateway: Gateway, upstream: Upstream) -> None:
    """A worker in an endless loop says where, one that is stopped cannot; a keeper likewise. What they held is free."""
    (gateway.directory / "sitecustomize.py").write_text(HANG)
    gateway.write(account(balance="1"), key(KEY), price="0.001", server={"watchdog_timeout": "1s"})
    gateway.start(workers=1, env={"PYTHONPATH": str(gateway.directory)})
    for number, traced in ((signal.SIGUSR1, "in hang"), (signal.SIGSTOP, "did not end; killing it")):
        worker = gateway.children()["worker 0"]
        with socket.create_connection(("127.0.0.1", gateway.port), 5) as client:
            client.sendall(b"GET /v1/calls?ms=30000 HTTP/1.1\r\nHost: a\r\nx-api-key: sk-acme-0001\r\n\r\n")
            eventually(lambda: gateway.money()["held"] == 1_000_000)
            os.kill(worker, number)
            began = time.monotonic()
            with socket.create_connection(("127.0.0.1", gateway.port), 5) as other:
                other.settimeout(10)
                other.sendall(b"GET /v1/calls HTTP/1.1\r\nHost: a\r\nx-api-key: sk-acme-0001\r\n\r\n")
                if number == signal.SIGSTOP:  # in the queue of the socket, or the kernel's hands: never refused
                    assert other.recv(100).startswith(b"HTTP/1.1 200")
        eventually(lambda worker=worker: gateway.children().get("worker 0", worker) != worker, 6)  # type: ignore[misc]
        assert time.monotonic() - began < 6
        eventually(lambda: gateway.call() == 200)
        eventually(lambda: gateway.money()["held"] == 0, what="what it held is free")
        assert traced in gateway.log()
    assert gateway.log().count("fastgw: error: worker 0 has done nothing for 1 s; killing it") == 2
    keeper = gateway.children()["keeper"]
    os.kill(keeper, signal.SIGSTOP)
    eventually(lambda: gateway.children().get("keeper", keeper) != keeper, 10)
    assert "fastgw: error: keeper has done nothing for 5 s; killing it" in gateway.log()
    eventually(gateway.ready)
    assert upstream.calls >= 4
    assert Path(f"/proc/{gateway.pid}").exists()
