"""Money and limits are exact over all workers, however many clients ask at once."""

import re
import shutil
import subprocess
import time

import pytest
from conftest import Upstream
from gateway import NANOS, Gateway, account, eventually, key
from load import hammer, request
from sampler import Sampler

KEY = "sk-acme-0001"


@pytest.mark.parametrize(("price", "served", "left"), [("0.001", 1000, 0), ("0.007", 142, 6)])
def test_an_account_pays_for_exactly_as_many_calls_as_it_has_money_for(
    gateway: Gateway, upstream: Upstream, price: str, served: int, left: int
) -> None:
    """One unit in thousandths, 512 connections, 40,000 calls, all workers."""
    gateway.write(account(balance="1.000"), key(KEY), price=price)
    gateway.start()
    with Sampler(gateway.segment()) as sampler:
        tally = hammer(gateway.port, request(KEY), connections=512, calls=40_000)
    assert upstream.calls == served
    assert tally.statuses == {200: served, 402: 40_000 - served}
    assert set(tally.codes) <= {"insufficient_balance", "balance_held"}
    assert tally.codes.total() == 40_000 - served
    assert (tally.cut, tally.refused) == (0, 0)
    money = gateway.money()
    assert (money["captured"], money["held"]) == (NANOS - left * NANOS // 1000, 0)
    assert sampler.broken == []
    assert sampler.readings > 100
    segment = gateway.segment()
    by_worker = [segment.worker(index)["accepted"] for index in range(2)]
    assert min(by_worker) > 100, "the connections were to be spread over the workers"


def test_a_credit_line_is_spent_to_its_end_and_no_further(gateway: Gateway, upstream: Upstream) -> None:
    gateway.write(
        account(balance="0.010", credit="0.005"),
        key(KEY),
        key("sk-acme-0002"),
        price="0.001",
    )
    gateway.start()
    hammer(gateway.port, request(KEY), connections=8, calls=100)
    assert upstream.calls == 15
    assert gateway.code("sk-acme-0002") == "insufficient_balance"
    assert gateway.money()["captured"] == 15 * NANOS // 1000


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed (Debian: apt-get install wrk)")
@pytest.mark.slow
@pytest.mark.alone
def test_a_rate_is_kept_exactly_by_two_workers_together(gateway: Gateway, upstream: Upstream) -> None:
    """100 calls a second and 50 at once: never more, and hardly less when clients ask all the time."""
    gateway.write(account(), key(KEY), rate="100/s", burst=50)
    gateway.start()
    start = time.monotonic()
    done = subprocess.run(
        ["wrk", "-t1", "-c32", "-d5s", "-H", f"Authorization: Bearer {KEY}", f"{gateway.url}/v1/calls"],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    elapsed_s = time.monotonic() - start
    duration = re.search(r"requests in ([0-9.]+)s", done.stdout)
    assert duration, done.stdout
    segment = gateway.segment()
    eventually(lambda: segment.worker(0)["exchanges"] + segment.worker(1)["exchanges"] == 0)
    admitted = upstream.calls
    assert admitted <= 50 + 100 * elapsed_s
    assert admitted >= 0.98 * (50 + 100 * float(duration[1]))
    assert min(segment.worker(index)["accepted"] for index in range(2)) > 0
