"""Any process may be killed with -9 at any time: nobody is refused for it, nothing is overspent, nothing is lost.

After every crash, once holds are resolved: what clients had ≤ what was charged ≤ what the upstream saw.
"""

import os
import random
import signal
import time

import pytest
from conftest import Upstream
from gateway import NANOS, Gateway, account, alive, connects, eventually, key
from load import Hammering, Tally, hammer, request
from sampler import Sampler

pytestmark = pytest.mark.slow  # whole gateways, one a test

KEY = "sk-acme-0001"
PRICE = NANOS // 1000
SEED = random.SystemRandom().randrange(1 << 30)
TIMES = int(os.environ.get("FASTGW_LONG", "1"))  # so many times as many kills


def serve(gateway: Gateway, balance: str = "1000", **server: object) -> None:
    gateway.write(account(balance=balance), key(KEY), price="0.001", server=server)
    gateway.start()


def settle(gateway: Gateway) -> int:
    """How many calls were charged, once no hold is open, which takes five seconds at most."""
    eventually(lambda: gateway.money()["held"] == 0, 5, "no hold was open")
    captured = gateway.money()["captured"]
    assert captured % PRICE == 0
    return captured // PRICE


def reconcile(gateway: Gateway, upstream: Upstream, *tallies: Tally) -> None:
    """What clients saw ≤ what was charged ≤ what the upstream saw."""
    told = sum(count for tally in tallies for status, count in tally.statuses.items() if status < 300)
    charged = settle(gateway)
    assert told <= charged <= upstream.calls, f"seed {SEED}"


@pytest.mark.slow
def test_workers_killed_again_and_again_under_load(gateway: Gateway, upstream: Upstream) -> None:
    """Twenty random workers, one every 300 ms, some of them while they start."""
    chance = random.Random(SEED)
    serve(gateway)
    with (
        Sampler(gateway.segment()) as sampler,
        Hammering(gateway.port, request(KEY), connections=64, seconds=6.5) as hammering,
    ):
        for _ in range(20):
            time.sleep(0.3)
            if workers := gateway.workers():
                os.kill(chance.choice(workers), signal.SIGKILL)
    tally = hammering.tally
    assert sampler.broken == []
    assert sampler.readings > 200
    assert set(tally.statuses) == {200}, "no call was refused or failed"
    assert tally.refused == 0, "the queue of a dead worker waits for the next one"
    assert tally.cut > 0, "calls were in flight when they were killed"
    reconcile(gateway, upstream, tally)
    eventually(gateway.ready)
    assert alive(gateway.pid)
    more = hammer(gateway.port, request(KEY), connections=64, calls=5_000)
    assert more.statuses == {200: 5_000}
    segment = gateway.segment()
    assert min(segment.worker(index)["accepted"] for index in range(2)) > 0
    reconcile(gateway, upstream, tally, more)
    assert gateway.stop() == 0


@pytest.mark.slow
def test_the_last_of_the_money_is_spent_exactly_over_crashes(gateway: Gateway, upstream: Upstream) -> None:
    """Workers die while an account runs dry: whatever holds they took with them comes back and is spent."""
    chance = random.Random(SEED)
    serve(gateway, balance="3")
    with (
        Sampler(gateway.segment()) as sampler,
        Hammering(gateway.port, request(KEY, "/v1/calls?ms=15"), connections=64, seconds=4) as hammering,
    ):
        for _ in range(6):
            time.sleep(0.25)
            if workers := gateway.workers():
                os.kill(chance.choice(workers), signal.SIGKILL)
    assert sampler.broken == []
    assert set(hammering.tally.statuses) <= {200, 402}
    reconcile(gateway, upstream, hammering.tally)
    left = 3000 - settle(gateway)
    last = hammer(gateway.port, request(KEY), connections=8, calls=left + 50)
    assert last.statuses[200] == left
    assert settle(gateway) == 3000


def test_a_killed_worker_is_replaced_and_refuses_nobody(gateway: Gateway, upstream: Upstream) -> None:
    serve(gateway)
    with Hammering(gateway.port, request(KEY), connections=16, seconds=1.0) as hammering:
        time.sleep(0.3)
        victim = gateway.children()["worker 0"]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: gateway.children().get("worker 0", victim) != victim)
    eventually(gateway.ready)
    assert set(hammering.tally.statuses) == {200}
    assert hammering.tally.refused == 0
    reconcile(gateway, upstream, hammering.tally)
    assert "worker 0 was killed by signal 9" in gateway.log()


def test_a_worker_killed_with_calls_in_flight_gives_back_what_they_held(gateway: Gateway, upstream: Upstream) -> None:
    serve(gateway, balance="0.004")
    segment = gateway.segment()

    def held() -> int:
        return sum(segment.worker(index)["held"] for index in range(segment.worker_slots))

    with Hammering(gateway.port, request(KEY, "/v1/calls?ms=60000"), connections=4, calls=4) as hammering:
        eventually(lambda: upstream.calls == 4)
        assert gateway.code(KEY) == "balance_held"
        assert held() == 4 * PRICE
        for pid in gateway.workers():
            os.kill(pid, signal.SIGKILL)
    assert hammering.tally.cut == 4
    eventually(lambda: gateway.ready() and gateway.money()["held"] == 0)
    assert held() == 0
    assert [gateway.call() for _ in range(5)] == [200] * 4 + [402]


def test_every_worker_killed_at_once_keeps_connections_waiting_and_refuses_none(gateway: Gateway) -> None:
    serve(gateway)
    for pid in gateway.workers():
        os.kill(pid, signal.SIGKILL)
    tally = hammer(gateway.port, request(KEY), connections=32, calls=500)
    assert tally.statuses == {200: 500}
    assert (tally.cut, tally.refused) == (0, 0)


@pytest.mark.slow
def test_a_killed_keeper_is_replaced_while_calls_go_on(gateway: Gateway, upstream: Upstream) -> None:
    serve(gateway)
    with Hammering(gateway.port, request(KEY), connections=16, seconds=2.5) as hammering:
        for _ in range(3):
            keeper = gateway.children()["keeper"]
            gateway.kill(keeper)
            eventually(lambda old=keeper: gateway.children().get("keeper", old) != old)  # type: ignore[misc]
            eventually(gateway.ready, 5, "it was ready")
    assert set(hammering.tally.statuses) == {200}
    assert (hammering.tally.cut, hammering.tally.refused) == (0, 0)
    reconcile(gateway, upstream, hammering.tally)
    assert "Traceback" not in gateway.log()
    assert len(os.listdir(f"/proc/{gateway.pid}/fd")) < 20, "nothing is leaked by a replacement"


@pytest.mark.slow
def test_a_killed_supervisor_leaves_nobody_behind_and_the_next_one_starts_at_once(
    gateway: Gateway, upstream: Upstream
) -> None:
    """Its workers finish what they have in flight, and go."""
    serve(gateway)
    with Hammering(gateway.port, request(KEY, "/v1/calls?ms=300"), connections=16, seconds=1.0) as first:
        time.sleep(0.5)
        children = gateway.children().values()
        before = gateway.money()["captured"]
        gateway.kill_supervisor()
        start = time.monotonic()
        eventually(lambda: not any(map(alive, children)), what="the children had gone")
        gateway.start()
        assert time.monotonic() - start < 15
    assert first.tally.cut == 0, "calls in flight were finished"
    assert set(first.tally.statuses) == {200}
    second = hammer(gateway.port, request(KEY), connections=16, calls=1000)
    assert second.statuses == {200: 1000}
    reconcile(gateway, upstream, first.tally, second)
    assert gateway.money()["captured"] >= before + 1000 * PRICE
    assert gateway.stop() == 0
    assert not connects(gateway.port)


@pytest.mark.slow
def test_the_next_start_does_not_wait_for_what_orphans_have_in_flight(gateway: Gateway, upstream: Upstream) -> None:
    """They finish it in their slots, and the new supervisor, which did not start them, clears these up after them."""
    serve(gateway)
    with Hammering(gateway.port, request(KEY, "/v1/calls?ms=8000"), connections=4, calls=4) as hammering:
        eventually(lambda: upstream.calls == 4)
        orphans = gateway.workers()
        gateway.kill_supervisor()
        gateway.start()
        assert any(map(alive, orphans)), "it did not wait for those that have calls"
        assert gateway.call() == 200
        assert gateway.money()["held"] == 4 * PRICE, "what they hold stays held"
    assert hammering.tally.statuses == {200: 4}
    eventually(lambda: not any(map(alive, orphans)))
    assert settle(gateway) == 5
    assert gateway.call() == 200
    assert gateway.stop() == 0
    assert gateway.left() == []


@pytest.mark.slow
def test_everything_killed_at_once_at_many_points(gateway: Gateway, upstream: Upstream) -> None:
    crash_all(gateway, upstream, 4 * TIMES)


def crash_all(gateway: Gateway, upstream: Upstream, times: int) -> None:
    chance = random.Random(SEED)
    serve(gateway)
    tallies = []
    for _ in range(times):
        with Hammering(gateway.port, request(KEY), connections=64, seconds=0.8) as hammering:
            time.sleep(0.2 + chance.random() * 0.4)
            gateway.kill_everything()
        tallies.append(hammering.tally)
        assert hammering.tally.statuses[200] > 0
        assert set(hammering.tally.statuses) == {200}
        start = time.monotonic()
        gateway.start()
        assert time.monotonic() - start < 15
        reconcile(gateway, upstream, *tallies)
    more = hammer(gateway.port, request(KEY), connections=64, calls=2_000)
    assert more.statuses == {200: 2_000}
    reconcile(gateway, upstream, *tallies, more)


@pytest.mark.slow
def test_a_worker_that_cannot_start_is_retried_with_pauses_and_then_given_up(gateway: Gateway) -> None:
    """A package that a worker needs is broken: the supervisor says so and ends, instead of trying for ever."""
    broken = gateway.directory / "broken" / "uvloop"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('this machine has no uvloop')\n")
    gateway.write(account(), key(KEY))
    start = time.monotonic()
    gateway.launch("-c", str(gateway.file), "--workers", "1", env={"PYTHONPATH": str(broken.parent)})
    assert gateway.wait(30) == 2
    assert 1.0 < time.monotonic() - start < 15
    said = gateway.log()
    assert "ImportError: this machine has no uvloop" in said
    assert said.count("fastgw: worker 0 ended with 1; starting another") == 4
    assert said.splitlines()[-1] == (
        "fastgw: error: worker 0 ended with 1, for the 5th time in a row before it was ready"
    )
    assert not connects(gateway.port)


@pytest.mark.slow
def test_a_worker_killed_whenever_it_starts_does_not_end_a_gateway_that_serves(gateway: Gateway) -> None:
    """Giving up is for a start that fails. Once it serves, it goes on as long as it can, the others serving."""
    serve(gateway)
    first = gateway.children()["worker 0"]
    killed = {first}
    os.kill(first, signal.SIGKILL)
    until = time.monotonic() + 3.5
    while time.monotonic() < until:
        if (victim := gateway.children().get("worker 0", first)) not in killed:
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)
        time.sleep(0.002)
    assert len(killed) > 5
    assert alive(gateway.pid)
    eventually(gateway.ready, 8)
    assert all(gateway.call() == 200 for _ in range(20))
