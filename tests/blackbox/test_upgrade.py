"""SIGUSR2: another version of the code takes over in the same process, and no call fails for it."""

import os
import signal
import time
from pathlib import Path

import pytest
from conftest import Upstream
from gateway import Gateway, alive, command_line, connects, eventually
from load import Hammering, request
from test_ending import Call
from test_reload import KEY, ONCE, captured, ready_workers, reload, write

from fastgw import __version__

pytestmark = pytest.mark.slow  # whole gateways, one a test

TIMES = int(os.environ.get("FASTGW_LONG", "1"))  # so many times as many upgrades


def upgrade(gateway: Gateway, says: str = f"upgraded to {__version__}; ", within_s: float = 15) -> str:
    """SIGUSR2; what it has said of it, once that contains `says`."""
    before = len(gateway.log())
    gateway.signal(signal.SIGUSR2)
    eventually(lambda: says in gateway.log()[before:], within_s, f"it said {says!r}")
    return gateway.log()[before:]


def renewed(gateway: Gateway, old: dict[str, int], workers: int) -> bool:
    """Whether as many others as asked for serve, and none of the old children is left."""
    children = gateway.children()
    return (
        not set(children.values()) & set(old.values())
        and len(children) == workers + 1
        and ready_workers(gateway) == workers
    )


def upgrade_under_load(gateway: Gateway, upstream: Upstream, times: int, connections: int) -> None:
    write(gateway)
    gateway.start()
    supervisor = gateway.pid
    with (
        Hammering(gateway.port, ONCE, connections=connections) as hammering,
        Hammering(gateway.port, request(KEY), connections=connections) as keeping,
    ):
        for _ in range(times):
            old = gateway.children()
            upgrade(gateway)
            eventually(lambda old=old: renewed(gateway, old, 2), 15, "all children were new")  # type: ignore[misc]
        hammering.stop()
        keeping.stop()
    for tally in (hammering.tally, keeping.tally):
        assert set(tally.statuses) == {200}
        assert (tally.cut, tally.refused) == (0, 0)
    assert hammering.tally.answers + keeping.tally.answers == upstream.calls
    assert captured(gateway) == upstream.calls * 1_000_000
    assert "error" not in gateway.log()
    assert "Traceback" not in gateway.log()
    assert gateway.process is not None
    assert gateway.process.poll() is None
    assert gateway.pid == supervisor
    assert command_line(supervisor)[-2:] == ["--workers", "2"], "what it was started with is still to be seen"
    assert len(os.listdir(f"/proc/{gateway.pid}/fd")) < 25, "nothing is leaked"
    assert gateway.stop() == 0
    eventually(lambda: gateway.left() == [])
    assert not connects(gateway.port)


def test_an_upgrade_under_load_fails_no_call(gateway: Gateway, upstream: Upstream) -> None:
    upgrade_under_load(gateway, upstream, 1, 8)


@pytest.mark.slow
def test_upgrades_again_and_again(gateway: Gateway, upstream: Upstream) -> None:
    upgrade_under_load(gateway, upstream, 2 * TIMES, 32)


def test_a_stream_in_flight_outlives_an_upgrade(gateway: Gateway, upstream: Upstream) -> None:
    write(gateway)
    gateway.start()
    old = gateway.children()
    stream = Call(gateway.port, "/v1/calls?half_ms=4000")
    eventually(lambda: upstream.calls == 1)
    upgrade(gateway)
    eventually(lambda: ready_workers(gateway) == 2 and len(set(gateway.workers()) - set(old.values())) == 2, 10)
    assert all(gateway.call() == 200 for _ in range(10))
    assert stream.answer.endswith(b"\r\n\r\nser"), "it is still in flight"
    eventually(lambda: stream.answer.endswith(b"\r\n\r\nserved\n"))
    eventually(lambda: renewed(gateway, old, 2))
    assert captured(gateway) == 11 * 1_000_000


def test_an_upgrade_that_would_fail_changes_nothing_and_says_why(gateway: Gateway) -> None:
    """The installed code cannot be imported any more, and the configuration has a mistake."""
    broken = gateway.directory / "later" / "uvloop"
    write(gateway)
    gateway.start(env={"PYTHONPATH": str(broken.parent)})
    old = gateway.children()
    write(gateway, "-1")
    said = upgrade(gateway, "nothing has changed")
    assert f"fastgw: error: upgrade: {gateway.file}:" in said
    assert "price" in said
    write(gateway)
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('the new version has no uvloop')\n")
    said = upgrade(gateway, "nothing has changed")
    assert "fastgw: error: upgrade: ImportError: the new version has no uvloop" in said
    assert gateway.children() == old
    assert gateway.call() == 200
    assert "Traceback" not in gateway.log()


@pytest.mark.slow
def test_an_upgrade_takes_the_configuration_of_the_moment_along(gateway: Gateway) -> None:
    write(gateway)
    gateway.start(workers=None)
    write(gateway, "0.002", workers=3, keys_max=4321)
    old = gateway.children()
    upgrade(gateway)
    eventually(lambda: renewed(gateway, old, 3), 10)
    assert gateway.call() == 200
    assert captured(gateway) == 2_000_000
    assert gateway.segment().capacity["keys_max"] == 1 << 20
    write(gateway, "0.003", workers=2)
    reload(gateway, "price 0.002 → 0.003")
    assert gateway.call() == 200
    assert captured(gateway) == 5_000_000


@pytest.mark.slow
def test_what_is_told_to_stop_while_it_upgrades_stops(gateway: Gateway) -> None:
    for pause_s in (0.0, 0.3, 0.6, 0.9, 1.2):
        write(gateway)
        gateway.start()
        gateway.signal(signal.SIGUSR2)
        time.sleep(pause_s)
        assert gateway.stop() == 0
        eventually(lambda: gateway.left() == [])
        assert not connects(gateway.port)
    assert "Traceback" not in gateway.log()


@pytest.mark.slow
def test_what_is_killed_while_it_upgrades_is_replaced(gateway: Gateway) -> None:
    """Workers old and new, and the keeper: those that stay are as many as before, and serve."""
    write(gateway)
    gateway.start()
    old = gateway.children()
    upgrade(gateway)
    for pid in list(gateway.children().values()):
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: renewed(gateway, old, 2), 15)
    assert all(gateway.call() == 200 for _ in range(20))
    assert Path(f"/proc/{gateway.pid}").exists()
