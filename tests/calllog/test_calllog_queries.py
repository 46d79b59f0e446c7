"""What the log answers is what the rows say, whether they are Parquet, waiting, merged, or on their way between."""

import random
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from conftest import HOUR, NOON, Journals, KnownNames, OpenLog, eventually, rows, set_paths

from fastgw.calllog import Call, CallFilter, CallLog, LogSettings, drain, log, parquet
from fastgw.refusals import Refusal

DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def shared_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for all: to start it takes longer than all the rest."""
    engine = parquet.connect()
    monkeypatch.setattr(log, "connect", engine.cursor)


def settle(kept: CallLog) -> None:
    """Bring everything that waits into Parquet, as the threads do in time."""
    with kept.drain.lock:
        kept.drain.rotate()
    kept.to_parquet()


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> CallLog:
    """600 calls over three hours, in no order of time: a third is merged Parquet, a third Parquet, a third waits."""
    journals = Journals()
    kept = CallLog(journals, tmp_path_factory.mktemp("mixed"), KnownNames(), LogSettings(keep_ms=0))
    choose = random.Random(7)
    made = rows(600, step_ns=18_000_000_000)
    made["account"] = [choose.randrange(1, 5) for _ in made]
    made["key"] = made["account"] * 2 + [choose.randrange(2) for _ in made]
    made["route"] = [choose.randrange(2) for _ in made]
    made["cost"] = [choose.randrange(0, 5) * 100 for _ in made]
    made["flags"] = made["cost"] > 0
    made["status"] = [choose.choice([200, 201, 402, 500]) for _ in made]
    made["verdict"] = np.where(made["status"] == 402, int(Refusal.INSUFFICIENT_BALANCE), 0)
    made["tokens_in"], made["tokens_out"] = 5, [choose.randrange(100) for _ in made]
    made["total_us"] = [choose.randrange(1, 100_000) for _ in made]
    set_paths(made, [f"/v{choose.randrange(1, 4)}/50%_a/{n}".encode() for n in range(len(made))])
    made = made[np.array(choose.sample(range(600), 600))]
    for third in range(3):
        for part in range(2):
            journals.put(0, made[third * 200 + part * 100 :][:100])
            assert kept.flush()
            if third < 2:
                settle(kept)
        if third == 0:
            kept.tidy(NOON + 100 * HOUR)
    assert len(kept.catalog.parts) == 3 + 6
    assert kept.state().waiting == 200
    return kept


def all_of(kept: CallLog) -> list[Call]:
    """The rows in the order in which they came."""
    return kept.calls(after=0, limit=10_000)


def test_calls_come_by_time_whatever_they_are_kept_in(mixed: CallLog) -> None:
    everything = all_of(mixed)
    assert [call.position for call in everything] == list(range(1, 601))
    by_time = sorted(everything, key=lambda call: call.time)
    assert len({call.time for call in by_time}) == 600
    for limit in (1, 7, 200, 333, 600, 1_000):
        assert mixed.calls(limit=limit) == by_time[::-1][:limit]
        assert mixed.calls(limit=limit, newest_first=False) == by_time[:limit]


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        (CallFilter(account="acct-2"), lambda call: call.account == "acct-2"),
        (CallFilter(key_id=f"key_{5:016x}"), lambda call: call.key_id == f"key_{5:016x}"),
        (CallFilter(route="chat", status=201), lambda call: call.route == "chat" and call.status == 201),
        (CallFilter(code="insufficient_balance"), lambda call: call.status == 402),
        (CallFilter(code="admitted", cost_min_nanos=300), lambda call: call.status != 402 and call.cost_nanos >= 300),
        (CallFilter(path_prefix="/v2/50%_"), lambda call: call.path.startswith("/v2/50%_")),
        (CallFilter(path_prefix="/v_/"), lambda _: False),
        (CallFilter(path_prefix="%"), lambda _: False),
        (CallFilter(account="' OR '1'='1"), lambda _: False),
        (CallFilter(request_id="00000000000000070000000000000011"), lambda call: call.request_id[16:] == f"{17:016x}"),
        (CallFilter(request_id="no id"), lambda _: False),
        (CallFilter(since_ns=NOON + HOUR), lambda call: call.time >= "2025-11-20T13"),
        (CallFilter(until_ns=NOON + HOUR), lambda call: call.time < "2025-11-20T13"),
        (
            CallFilter(since_ns=NOON + 36 * 10**9, until_ns=NOON + HOUR + 54 * 10**9),
            lambda call: "2025-11-20T12:00:36" <= call.time < "2025-11-20T13:00:54",
        ),
    ],
)  # fmt: skip
def test_a_filter_lets_through_what_it_says(mixed: CallLog, wanted: CallFilter, matches: Any) -> None:
    expected = [call for call in all_of(mixed) if matches(call)]
    assert mixed.calls(wanted, after=0, limit=1_000) == expected
    assert mixed.calls(wanted, limit=1_000) == sorted(expected, key=lambda call: call.time, reverse=True)


def test_usage_is_the_sum_of_the_calls(mixed: CallLog) -> None:
    everything = all_of(mixed)
    for group, name in (("account", "account"), ("key", "key_id"), ("route", "route"), ("code", "verdict"), ("", "")):
        for interval, length in (("", 0), ("minute", 16), ("hour", 13), ("day", 10)):
            groups: dict[tuple[str, str], list[Call]] = {}
            for call in everything:
                who = getattr(call, name) if name else ""
                groups.setdefault((call.time[:length], who), []).append(call)
            used = mixed.usage(group, interval=interval)  # type: ignore[arg-type]
            assert {(row.start[:length], row.name) for row in used} == set(groups)
            assert [row.start for row in used] == sorted(row.start for row in used)
            for row in used:
                calls = groups[row.start[:length], row.name]
                assert row.calls == len(calls)
                assert row.charged == sum(call.flags & 1 for call in calls)
                assert row.cost_nanos == sum(call.cost_nanos for call in calls)
                assert (row.tokens_in, row.tokens_out) == (5 * row.calls, sum(call.tokens_out for call in calls))
                assert (row.bytes_in, row.bytes_out) == (10 * row.calls, 1_000 * row.calls)
    pairs = mixed.usage("account,code")
    assert {row.name for row in pairs} == {f"{call.account},{call.verdict}" for call in everything}
    assert sum(row.calls for row in pairs) == len(everything)
    one = mixed.usage()[0]
    latencies = sorted(call.total_us for call in everything)
    assert latencies[int(0.48 * 600)] <= one.p50_us <= latencies[int(0.52 * 600)]
    assert latencies[int(0.98 * 600)] <= one.p99_us <= latencies[-1]
    assert [row.name for row in mixed.usage("account", limit=2)] == [
        row.name for row in sorted(mixed.usage("account"), key=lambda row: -row.cost_nanos)[:2]
    ]
    narrow = mixed.usage("account", wanted=CallFilter(account="acct-3", until_ns=NOON + HOUR), interval="hour")
    assert [(row.name, row.start) for row in narrow] == [("acct-3", "2025-11-20T12:00:00Z")]


def test_nothing_asked_of_an_empty_log_is_an_error(journals: Journals, open_log: OpenLog) -> None:
    kept = open_log(journals, threads=False)
    assert (kept.calls(), kept.calls(after=0), kept.costs()) == ([], [], {})
    assert kept.usage("account") == kept.usage(interval="hour") == kept.usage() == []


def test_what_cannot_be_asked_is_refused(mixed: CallLog) -> None:
    for limit in (0, 10_001):
        with pytest.raises(ValueError, match="limit"):
            mixed.calls(limit=limit)
    for wrong in ("account; DROP TABLE log", "account,", "account,account", "account,key_id"):
        with pytest.raises(ValueError, match="group_by"):
            mixed.usage(wrong)
    with pytest.raises(ValueError, match="interval"):
        mixed.usage(interval="'")  # type: ignore[arg-type]


def test_who_follows_sees_every_call_once_and_in_order_while_files_change(
    journals: Journals, open_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "ROTATE_ROWS", 500)
    monkeypatch.setattr(log, "TIDY_S", 0.05)
    monkeypatch.setattr(parquet, "SMALL_MAX", 3)
    kept = open_log(journals)
    done = threading.Event()

    def work() -> None:
        for start in range(0, 6_000, 150):
            journals.put(0, rows(150, start=start, step_ns=HOUR // 3_000))
            kept.flush()
            time.sleep(0.02)
        done.set()

    worker = threading.Thread(target=work)
    worker.start()
    seen: list[Call] = []
    while not (done.is_set() and len(seen) >= 6_000):
        seen.extend(kept.calls(after=seen[-1].position if seen else 0, limit=700))
    worker.join()
    assert [call.position for call in seen] == list(range(1, 6_001))
    assert [int(call.request_id[16:], 16) for call in seen] == list(range(6_000))
    assert sum(row.calls for row in kept.usage("account", interval="hour")) == 6_000
    eventually(lambda: any(part.last - part.first > 500 for part in kept.catalog.parts))


# What is kept, and for how long


def sizes(kept: CallLog) -> list[int]:
    return [part.bytes for part in kept.catalog.parts]


def test_the_oldest_hours_go_first_and_their_costs_stay(journals: Journals, open_log: OpenLog, tmp_path: Path) -> None:
    kept = open_log(journals, threads=False)
    for hour in range(4):
        journals.put(0, rows(100, time_ns=NOON + hour * HOUR, account=1 + hour % 2))
        assert kept.flush()
        settle(kept)
    total = kept.costs()
    assert total == {"acct-1": 200_000, "acct-2": 200_000}
    kept.configure(LogSettings(keep_ms=2 * 3_600_000, max_bytes=0))
    kept.tidy(NOON + 3 * HOUR - 1)
    assert len(kept.calls(limit=1_000)) == 400, "an hour is kept until its last call is old enough"
    kept.tidy(NOON + 3 * HOUR)
    assert {call.time[:13] for call in kept.calls(limit=1_000)} == {f"2025-11-20T{hour}" for hour in (13, 14, 15)}
    kept.configure(LogSettings(keep_ms=0, max_bytes=kept.state().bytes - 1))
    kept.tidy(NOON + 3 * HOUR)
    assert {call.time[:13] for call in kept.calls(limit=1_000)} == {"2025-11-20T14", "2025-11-20T15"}
    assert kept.costs() == total
    assert kept.state().files == len(list((tmp_path / "calls").glob("2*/*"))) == 2
    again = open_log(journals, threads=False)
    assert again.costs() == total
    assert again.state().rows == 400
    kept.configure(LogSettings(keep_ms=1, max_bytes=0))
    kept.tidy(time.time_ns())
    assert (kept.calls(), kept.costs()) == ([], total)
    assert not list((tmp_path / "calls").glob("2*")), "nor is a day that is empty"


def test_more_rows_than_may_be_kept_are_not_taken_while_they_wait(journals: Journals, open_log: OpenLog) -> None:
    kept = open_log(journals, threads=False, max_bytes=100_000)
    journals.put(0, rows(300))
    assert kept.flush()
    journals.put(0, rows(200, start=300))
    assert kept.flush()
    journals.put(0, rows(10, start=500))
    assert not kept.flush()
    assert "more rows wait" in kept.state().error
    settle(kept)
    assert kept.flush()
    assert kept.state().error == ""
    assert len(all_of(kept)) == 510


def test_many_small_files_of_an_hour_become_one_and_a_quiet_hour_too(journals: Journals, open_log: OpenLog) -> None:
    kept = open_log(journals, threads=False)
    for start in range(parquet.SMALL_MAX - 1):
        journals.put(0, rows(3, start=3 * start))
        assert kept.flush()
        settle(kept)
    kept.tidy(NOON + HOUR)
    assert len(sizes(kept)) == parquet.SMALL_MAX - 1, "the hour goes on"
    before = all_of(kept)
    kept.tidy(NOON + HOUR + parquet.SETTLED_NS + 1)
    assert len(sizes(kept)) == 1
    assert all_of(kept) == before
    part = kept.catalog.parts[0]
    assert (part.first, part.last) == (1, len(before))
    sums = duckdb.execute(f"SELECT sum(cost_nanos), max(position) FROM '{part.path}'").fetchall()
    assert sums == [(1_000 * len(before), len(before))]


def test_costs_are_summed_exactly_beyond_what_a_float_holds(
    journals: Journals, open_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastgw.calllog.totals.STEPS_MAX", 3)
    kept = open_log(journals, threads=False)
    large = 2**53 + 1
    for start in range(8):
        journals.put(0, rows(2, start=2 * start, cost=[large, 2], account=[1, 2]))
        assert kept.flush()
        settle(kept)
    assert kept.costs() == {"acct-1": 8 * large, "acct-2": 16}
    assert {row.name: row.cost_nanos for row in kept.usage("account")} == kept.costs()
    assert open_log(journals, threads=False).costs() == kept.costs()
    assert len(list(kept.folder.glob("totals/*"))) <= 3
