"""A configuration that changes under load: whole or not at all, and no call fails for it."""

import os
import signal
import time

import pytest
from conftest import Upstream
from gateway import Gateway, account, eventually, key
from load import Hammering, request

KEY = "sk-acme-0001"
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
def test_a_hundred_reloads_under_load_fail_no_call(gateway: Gateway, upstream: Upstream) -> None:
    reload_again_and_again(gateway, upstream, 100, 32)
