"""Several processes at once, workers and a keeper: nothing is overspent, no charge is missed, no record is half one;
and after kills at any instruction, charges and records agree to the nano.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import _money
import pytest
from kernel_build import scratch_segment

from fastgw._segment import Segment, account_digest

RACER = Path(__file__).with_name("money_racer.py")
NewSegment = Callable[..., Segment]
PLENTY = 10**12
TIMES = int(os.environ.get("FASTGW_LONG", "1"))  # so many times as many kills


def race(segment: Segment, *kinds: str, accounts: int, ms: int, seed: int) -> list[Any]:
    """What each kind of racer says, all started together."""
    with ExitStack() as stack:
        racers = []
        for number, kind in enumerate(kinds):
            racer = subprocess.Popen(
                [sys.executable, str(RACER), kind, segment.path, str(accounts), str(ms), str(seed + number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            stack.callback(racer.wait)
            stack.callback(racer.kill)
            racers.append(racer)
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == b"ready\n"
        results = []
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write(b"\n")
            racer.stdin.flush()
        for racer in racers:
            out, _ = racer.communicate(timeout=60)
            assert racer.returncode == 0
            results.append(json.loads(out))
        return results


def with_accounts(segment: Segment, accounts: int, granted: int) -> Segment:
    """As `_money.race_calls` needs it: accounts, then meters of a budget and of a quota."""
    for number in range(accounts):
        segment.add_account(account_digest(str(number)), granted, 0)
    for meter in ("budget", "day"):
        segment.add_account(account_digest(meter), PLENTY, 0)
    for worker in range(2):
        segment.worker_set(worker, 1, 2)
    return segment


def test_a_keeper_grants_takes_and_reads_while_workers_spend(new_segment: NewSegment) -> None:
    accounts = 4
    segment = with_accounts(new_segment(journal_records=1 << 12), accounts, 20_000)
    *spent, kept = race(segment, "calls0", "calls1", "keep", accounts=accounts, ms=700, seed=5)
    late = dict(segment.captures(True))
    books = [segment.account(index) for index in range(accounts + 2)]
    assert [account["taken"] for account in books[:accounts]] == kept["taken"]
    assert sum(kept["taken"]) > 0
    assert books[0]["granted"] == kept["granted"] > 20_000
    for account in books:
        assert account["held"] == 0
        assert account["committed"] == account["captured"] + account["taken"] <= account["granted"]
    charged, nanos = (sum(column) for column in list(zip(*spent, strict=True))[:2])
    assert sum(account["captured"] for account in books[:accounts]) == books[accounts]["captured"] == nanos
    assert books[accounts + 1]["captured"] == charged
    assert late == {index: account["captured"] for index, account in enumerate(books) if account["captured"]}
    assert all(late[int(index)] >= captured for index, captured in kept["known"].items())
    assert kept["records"] > 100
    assert [segment.journal_cost(worker) for worker in range(2)] == [nanos for _, nanos, _ in spent]


def test_a_keeper_that_reads_at_any_time_misses_no_charge(new_segment: NewSegment) -> None:
    accounts = 150  # in three groups that share a dirty byte
    segment = with_accounts(new_segment(accounts_max=200), accounts, PLENTY)
    ((result),) = race(segment, "bursts", accounts=accounts, ms=1000, seed=7)
    assert result["missed"] == 0
    assert result["rounds"] > 20
    assert result["reads"] > result["rounds"]


def test_a_reader_of_what_is_being_overwritten_gets_whole_records_only(new_segment: NewSegment) -> None:
    segment = with_accounts(new_segment(journal_records=1 << 8), 2, PLENTY)
    _, read = race(segment, "calls0", "oldest", accounts=2, ms=500, seed=3)
    assert read["copied"] > read["reads"] > 100
    assert read["lost"] > 0, "the writer came round meanwhile"


def check_after_kills(segment: Segment, result: dict[str, Any], accounts: int) -> None:
    assert result["kills"] > 10
    assert (result["over"], result["below"]) == (0, 0)
    assert [segment.account(index)["taken"] for index in range(accounts)] == result["taken"]
    for index in range(accounts + 2):
        account = segment.account(index)
        assert account["held"] == 0
        assert account["committed"] == account["captured"] + account["taken"]
    for worker in range(2):
        captured = [_money.cell(segment, worker, index)[1] for index in range(accounts + 2)]
        assert sum(captured[:accounts]) == captured[accounts] == segment.journal_cost(worker) > 0
        assert result["cost_sum"][worker] == segment.journal_cost(worker)
        if not result["lost"]:
            assert result["charged"][worker] == captured[accounts + 1]


def test_charges_and_records_agree_after_kills_of_workers_and_keeper(new_segment: NewSegment) -> None:
    segment = with_accounts(new_segment(journal_records=1 << 15), 2, PLENTY)
    (result,) = race(segment, "kills", accounts=2, ms=1500, seed=11)
    check_after_kills(segment, result, 2)
    assert sum(result["taken"]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2 * TIMES))
def test_charges_and_records_agree_after_many_kills(new_segment: NewSegment, seed: int) -> None:
    segment = with_accounts(new_segment(journal_records=1 << 15), 3, PLENTY)
    (result,) = race(segment, "kills", accounts=3, ms=6000, seed=100 * seed)
    check_after_kills(segment, result, 3)


# What a caller may not do, and what a buffer gets


def test_a_grant_never_takes_back(segment: Segment) -> None:
    segment.add_account(account_digest("acme"), 100, 0)
    segment.grant(0, 100)
    segment.grant(0, 130)
    with pytest.raises(ValueError, match="has been granted 130 already"):
        segment.grant(0, 129)
    segment.set_granted(0, 50)  # the window of a meter
    assert segment.account(0)["granted"] == 50


def test_the_keeper_takes_what_is_free_and_no_more(segment: Segment) -> None:
    segment.add_account(account_digest("acme"), 100, 10)
    assert segment.hold(0, 0, 40)
    assert not segment.take(0, 71)
    assert segment.take(0, 30)
    assert segment.account(0)["held"] == 70
    segment.take_settle(0, 30, True)
    assert segment.take(0, 40)
    segment.take_settle(0, 40, False)
    assert (segment.account(0)["taken"], segment.account(0)["held"]) == (30, 40)
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="at least 1 nano"):
            segment.take(0, wrong)
        with pytest.raises(ValueError, match="more is settled than was taken"):
            segment.take_settle(0, wrong, True)
    with pytest.raises(ValueError, match="more is settled than was taken"):
        segment.take_settle(0, 1, True)


def test_a_keeper_that_starts_makes_its_cell_what_the_ledger_knows(segment: Segment) -> None:
    segment.add_account(account_digest("acme"), 100, 0)
    assert segment.take(0, 30)
    segment.take_settle(0, 30, True)
    assert segment.take(0, 20)  # killed behind the ledger's commit
    segment.take_recover(0, 50)
    assert (segment.account(0)["taken"], segment.account(0)["held"]) == (50, 0)
    assert segment.take(0, 20)  # killed before it
    for _ in range(2):
        segment.take_recover(0, 50)
        assert (segment.account(0)["taken"], segment.account(0)["committed"]) == (50, 50)
    with pytest.raises(ValueError, match="51 were never taken out of account 0"):
        segment.take_recover(0, 51)


def test_captures_are_told_once_and_all_of_them_on_request(segment: Segment) -> None:
    with_accounts(segment, 2, 100)
    call = _money.Call([(1, 10), (2, 10), (3, 1)])
    assert call.take(segment, 1) == -1
    assert segment.captures() == []
    call.settle(segment, 1, [7, 7, 1])
    assert segment.captures() == [(1, 7), (2, 7), (3, 1)]
    assert segment.captures() == []
    assert segment.captures(True) == [(1, 7), (2, 7), (3, 1)]
    assert Segment.open(segment.path).captures() == [], "what another keeper has read is not marked any more"
    assert Segment.open(segment.path).captures(True) == [(1, 7), (2, 7), (3, 1)]
    assert segment.take(0, 5)
    segment.take_settle(0, 5, True)
    assert segment.captures() == [], "what the keeper takes is its own"


def test_all_is_held_or_nothing() -> None:
    segment = with_accounts(scratch_segment(), 2, 5)
    segment.set_granted(2, 3)
    segment.set_granted(3, 1)
    assert _money.Call([(0, 6), (2, 3), (3, 1)]).take(segment, 0) == 0
    assert _money.Call([(0, 5), (2, 4), (3, 1)]).take(segment, 0) == 1
    assert _money.Call([(0, 5), (2, 3), (3, 2)]).take(segment, 0) == 2
    assert [segment.account(index)["committed"] for index in range(4)] == [0, 0, 0, 0]
    call = _money.Call([(0, 5), (2, 3), (3, 1)])
    assert call.take(segment, 0) == -1
    assert [segment.account(index)["held"] for index in range(4)] == [5, 0, 3, 1]
    call.void(segment, 0)
    assert [segment.account(index)["committed"] for index in range(4)] == [0, 0, 0, 0]


@pytest.mark.parametrize("size", [0, 255, 256, 800, 4096])
def test_a_buffer_gets_as_many_records_as_fit(size: int) -> None:
    segment = with_accounts(scratch_segment(), 2, PLENTY)  # a ring of 8
    for cost in range(1, 12):
        call = _money.Call([(0, cost)])
        assert call.take(segment, 0) == -1
        call.settle(segment, 0, [cost])
    assert segment.journal_written(0) == 11
    assert segment.journal_cost(0) == 66
    whole, following, lost = segment.journal(0, 0)
    assert (len(whole), following, lost) == (8 * 256, 11, 3)
    buffer = bytearray(b"\xaa" * size)
    copied, following, lost = segment.journal_into(0, 0, buffer)
    assert copied == min(size // 256, 8)
    assert (lost, following) == (3, 3 + copied)
    assert buffer == whole[: copied * 256] + b"\xaa" * (size - copied * 256)
    assert segment.journal_into(0, 11, buffer) == (0, 11, 0)
    with pytest.raises(ValueError, match="not written as many records as 12"):
        segment.journal_into(0, 12, buffer)
    with pytest.raises(BufferError):
        segment.journal_into(0, 0, bytes(256))
