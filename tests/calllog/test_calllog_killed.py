"""A keeper killed with SIGKILL again and again, while gates write: every call is one row, every nano is there."""

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import KnownNames
from test_calllog_layout import CHAT, call

from fastgw import refusals
from fastgw._core import Gate
from fastgw._segment import Segment, account_digest
from fastgw.calllog import CallLog, LogSettings

HERE = Path(__file__).parent


@pytest.fixture
def segment() -> Iterator[Segment]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        made = Segment.create(
            f"{folder}/segment", secret=bytes(32), keys_max=8, accounts_max=8, routes_max=2, journal_records=1 << 15
        )
        for number in range(3):
            made.add_account(account_digest(f"acct-{number + 1}"), 1 << 50, 0)
            made.add_key(made.digest(f"sk-{number}".encode()), number, 0, 1, 0)
        made.route_slot("chat")
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_no_kill_loses_a_row_or_doubles_one(segment: Segment, tmp_path: Path, seed: int) -> None:
    choose = random.Random(seed)
    templates = refusals.templates(realm="fastgw", docs_url="", top_up_url="")
    gates = [Gate(segment, worker, [CHAT], templates, []) for worker in range(2)]
    spent = [0, 0, 0]
    written = 0
    for _ in range(8):
        command = [sys.executable, str(HERE / "keeper_alone.py"), segment.path, str(tmp_path)]
        keeper = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=HERE)
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == b"ready\n"
        end = time.monotonic() + choose.uniform(0.05, 0.6)
        while time.monotonic() < end:
            for _ in range(40):
                gate, who, cost = choose.choice(gates), choose.randrange(3), choose.randrange(700)
                assert call(gate, "POST", f"/v1/{written}", f"sk-{who}") == 0
                gate.settle(gate.ticket(), 0, 200, True, cost, 1, 2, 1)
                spent[who] += cost
                written += 1
            time.sleep(0.002)
        keeper.send_signal(signal.SIGKILL)
        keeper.wait()
        keeper.stdout.close()
    kept = CallLog(segment, tmp_path, KnownNames(), LogSettings(keep_ms=0))
    assert kept.flush()
    assert kept.state().dropped_rows == 0
    assert kept.state().rows == written
    paths: list[str] = []
    while found := kept.calls(after=len(paths), limit=10_000):
        paths.extend(each.path for each in found)
    assert sorted(paths) == sorted(f"/v1/{number}" for number in range(written))
    assert kept.costs() == {f"acct-{who + 1}": nanos for who, nanos in enumerate(spent)}
    assert [segment.account(who)["captured"] for who in range(3)] == spent
    kept.stop()
