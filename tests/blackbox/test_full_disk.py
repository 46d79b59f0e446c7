"""The disk of the ledger is full: what costs money is refused as not bookable, the rest goes on, and all does after."""

import subprocess
from pathlib import Path

import pytest
from gateway import Gateway, account, eventually, key, run, table
from test_hostile import small_memory

pytestmark = pytest.mark.slow

KEY = "sk-acme-0001"


def fill(directory: Path) -> None:
    """Write until not a byte more fits."""
    subprocess.run(["sh", "-c", f"cat /dev/zero >> {directory}/filler"], check=False, capture_output=True)


def test_a_full_disk_stops_money_and_nothing_else_until_there_is_room(gateway: Gateway, tmp_path: Path) -> None:
    with small_memory(tmp_path / "disk", "4m") as disk:
        gateway.state_dir = disk / "state"
        free = table("routes", name="free", path="/free/", upstream="service", price="0")
        gateway.write(account(balance="10"), key(KEY), free, price="0.001")
        gateway.start()
        children = gateway.children()
        served = 0

        def refused() -> bool:
            nonlocal served
            fill(disk)
            status = gateway.call()
            served += status == 200
            return status == 503

        eventually(refused, 10, "calls that cost money were refused")
        assert gateway.code(KEY, "/v1/calls") == "ledger_unavailable"
        assert [gateway.call(target="/free/x") for _ in range(20)] == [200] * 20
        held, captured = (gateway.money()[name] for name in ("held", "captured"))
        assert (held, captured) == (0, served * 1_000_000)
        (disk / "filler").unlink()
        eventually(lambda: gateway.call() == 200, 10, "money flowed again")
        served += 1
        assert gateway.children() == children, "nobody had to be started again"
        assert gateway.money()["captured"] == served * 1_000_000
        assert gateway.stop() == 0
        assert "Traceback" not in gateway.log()
        gateway.start()
        assert gateway.call() == 200
        assert gateway.money()["captured"] == (served + 1) * 1_000_000, "what was captured is what is booked"
        audit = run("audit", "--admin", f"127.0.0.1:{gateway.admin_port}", "--state-dir", str(gateway.state_dir))
        assert audit.returncode == 0, audit.stdout + audit.stderr
        assert gateway.stop() == 0
