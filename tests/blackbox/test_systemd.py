"""Life as a service of systemd: sockets that it has opened, and what it is told."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gateway import Gateway, eventually
from load import Hammering
from ports import free_port
from test_listeners import call, listener, write
from test_reload import ONCE
from test_upgrade import upgrade

pytestmark = pytest.mark.slow  # whole gateways, one a test

PASSING = str(Path(__file__).with_name("passing.py"))
UNITS = Path(__file__).parents[2] / "docs"


class Manager:
    """The end that a service notifies: all that it has said, message by message."""

    def __init__(self, address: str) -> None:
        self.end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.end.bind(address)
        self.end.setblocking(False)
        self.said: list[dict[str, str]] = []

    def hear(self) -> list[dict[str, str]]:
        try:
            while data := self.end.recv(65536):
                self.said.append(dict(line.split("=", 1) for line in data.decode().split("\n")))
        except BlockingIOError:
            pass
        return self.said

    def __enter__(self) -> "Manager":
        return self

    def __exit__(self, *_: object) -> None:
        self.end.close()

    def heard(self, name: str) -> list[dict[str, str]]:
        return [message for message in self.hear() if message.get(name) == "1"]


def test_the_manager_is_told_of_everything(gateway: Gateway, tmp_path: Path) -> None:
    place = str(tmp_path / "notify")
    write(gateway)
    started = time.monotonic()
    with Manager(place) as manager:
        gateway.start(env={"NOTIFY_SOCKET": place, "WATCHDOG_USEC": "400000"})
        eventually(lambda: bool(manager.heard("READY")))
        [ready] = manager.heard("READY")
        where = f"http://127.0.0.1:{gateway.port} with 2 workers, admin on {gateway.admin_url}"
        assert ready["STATUS"] == f"serving on {where}"
        for times, price in enumerate(("0.002", "-1", "0.003"), 2):
            write(gateway, price=price)
            gateway.signal(signal.SIGHUP)
            eventually(lambda times=times: len(manager.heard("READY")) == times)  # type: ignore[misc]
        assert gateway.log().count("error: reload: ") == 1, "one was refused"
        upgrade(gateway)
        eventually(lambda: len(manager.heard("READY")) == 5)
        reloadings = manager.heard("RELOADING")
        assert reloadings[-1]["STATUS"] == "another version takes over"
        said = [next(iter(message)) for message in manager.said if "WATCHDOG" not in message]
        assert said == ["READY", *["RELOADING", "READY"] * 4]
        at = [int(message["MONOTONIC_USEC"]) for message in reloadings]
        assert at == sorted(at)
        assert started * 1e6 < at[0] < at[-1] < time.monotonic() * 1e6
        beats = len(manager.heard("WATCHDOG"))
        time.sleep(1)
        assert 3 <= len(manager.heard("WATCHDOG")) - beats <= 7, "twice as often as it must"
        assert gateway.stop() == 0
        [stopping] = manager.heard("STOPPING")
    assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 120_000_000


def test_a_manager_of_another_kind_and_one_that_is_gone(gateway: Gateway, tmp_path: Path) -> None:
    write(gateway)
    with Manager(f"\0fastgw-test-{tmp_path}") as manager:
        watched = {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
        gateway.start(env={"NOTIFY_SOCKET": f"@fastgw-test-{tmp_path}", **watched}, workers=1)
        [ready] = manager.hear()
        assert ready["READY"] == "1", "and no word for the watchdog, which is another process's"
    assert gateway.stop() == 0


def test_sockets_that_are_passed_outlive_workers_and_versions(gateway: Gateway, tmp_path: Path) -> None:
    web, path = free_port(), str(tmp_path / "passed.sock")
    write(gateway, listener("systemd:web"), listener("systemd"), workers=2)
    prefix = [sys.executable, PASSING, f"web={web}", f"fastgw.socket={path}", "--", sys.executable]
    gateway.start(prefix=prefix, workers=None)
    assert f"http://127.0.0.1:{gateway.port}, systemd:web and systemd with 2 workers" in gateway.log()
    with Hammering(web, ONCE, connections=4) as one, Hammering(path, ONCE, connections=4) as other:
        old = set(gateway.workers())
        gateway.kill(min(old))
        eventually(lambda: len(set(gateway.workers()) - old) == 1)
        old = set(gateway.workers())
        upgrade(gateway)
        eventually(lambda: len(gateway.workers()) == 2 and not old & set(gateway.workers()), 15)
        one.stop()
        other.stop()
    for hammering in (one, other):
        assert set(hammering.tally.statuses) == {200}
        assert hammering.tally.refused == 0
        assert hammering.tally.cut <= 8, "those of the worker that was killed"
    assert gateway.stop() == 0
    assert Path(path).exists(), "it is not the gateway's to remove"


def test_sockets_that_are_nobodys_and_listeners_without_any_are_refused(gateway: Gateway) -> None:
    def said(passed: str, *addresses: str) -> str:
        write(gateway, *map(listener, addresses))
        before = len(gateway.log())
        prefix = [sys.executable, PASSING, passed, "--", sys.executable]
        gateway.launch("-c", str(gateway.file), prefix=prefix)
        assert gateway.wait() == 2
        return gateway.log()[before:]

    port = f"web={free_port()}"
    assert 'passes the socket "web", which is no listener: add address = "systemd:web"' in said(port)
    assert 'no socket of the name "api", but "web"' in said(port, "systemd:api")
    assert "systemd passes no socket, but nothing" in said(port, "systemd:web", "systemd")
    assert 'passes as "web" is no listening stream socket: use ListenStream=' in said("web=dgram:0", "systemd:web")
    assert list(gateway.segment_dir.iterdir()) == []


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="systemd is not installed")
def test_systemds_own_activation(gateway: Gateway) -> None:
    port = free_port()
    write(gateway, listener("systemd:web"))
    prefix = ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", "--fdname=web"]
    gateway.launch("-c", str(gateway.file), "--workers", "1", prefix=prefix)
    time.sleep(0.3)  # it starts with the first connection, which waits
    assert call(port).startswith(b"HTTP/1.1 200 ")
    assert gateway.stop() == 0


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_the_units_of_the_documentation_are_right(tmp_path: Path) -> None:
    for name in ("fastgw.service", "fastgw.socket"):
        text = (UNITS / name).read_text()
        assert re.search(r"^ExecStart=/\S+/fastgw serve", text, re.M) or name.endswith(".socket")
        (tmp_path / name).write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", text, flags=re.M))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.glob("fastgw.*")))],
        text=True, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert "fastgw" not in done.stderr, done.stderr
