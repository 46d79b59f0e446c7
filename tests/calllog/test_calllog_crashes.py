"""Killed at any step, the log has every row once: nothing lost, nothing twice, every nano counted."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import HOUR, NOON, Journals, KnownNames, rows

from fastgw.calllog import Call, CallLog, LogSettings, log, parquet

LONG = "FASTGW_LONG" in os.environ
STEPS = ("open", "pwrite", "rename", "unlink", "truncate", "ftruncate", "mkdir", "rmdir", "fdatasync", "fsync")


OpenOn = Callable[..., CallLog]


class Killed(BaseException):
    """Where the process ends: nothing that it would do after this is done."""


class Fate:
    """Lets so many steps on the file system happen, half of the next one, and none after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1  # < 0: for ever
        self.steps = 0
        for name in STEPS:
            monkeypatch.setattr(os, name, self.guard(name, getattr(os, name)))

    def guard(self, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            if name == "open" and not arguments[1] & os.O_CREAT:
                return act(*arguments, **options)
            self.steps += 1
            if self.left == 0:
                raise Killed
            if self.left > 0:
                self.left -= 1
                if self.left == 0:
                    if name == "pwrite":
                        descriptor, data, at = arguments
                        act(descriptor, data[: len(data) // 2 + 1], at)
                    else:
                        act(*arguments, **options)
                    raise Killed
            return act(*arguments, **options)

        return step


@pytest.fixture
def fate(monkeypatch: pytest.MonkeyPatch) -> Fate:
    engine = parquet.connect()  # one for all: to start it takes longer than all the rest
    monkeypatch.setattr(log, "connect", engine.cursor)
    monkeypatch.setattr(parquet, "SMALL_MAX", 2)
    return Fate(monkeypatch)


def everything(kept: CallLog) -> list[Call]:
    return kept.calls(after=0, limit=10_000)


def live(kept: CallLog, journals: Journals, made: Iterator[int]) -> None:
    """A keeper's life: rows of two workers and two hours come, files are rotated, converted, merged."""
    for _ in range(3):
        for worker in range(journals.worker_slots):
            start = next(made)
            journals.put(worker, rows(40, start=start, step_ns=HOUR // 1000, account=worker + 1 + start // 40 % 3))
            kept.flush()
        with kept.drain.lock:
            kept.drain.rotate()
        kept.to_parquet()
        kept.tidy(NOON + 2 * HOUR)


def check(kept: CallLog, journals: Journals) -> None:
    """What is in the log is what was ever written into the journals."""
    assert kept.flush()
    wanted = {
        f"{record['request'][0]:016x}{record['request'][1]:016x}"
        for ring, written in zip(journals.rings, journals.written, strict=True)
        for record in ring[:written]
    }
    calls = everything(kept)
    ids = [call.request_id for call in calls]
    assert len(ids) == len(set(ids)), "a row is there twice"
    assert set(ids) == wanted
    assert [call.position for call in calls] == list(range(1, len(wanted) + 1)), "positions are counted through"
    state = kept.state()
    assert (state.rows, state.dropped_rows, state.dropped_cost_nanos) == (len(wanted), 0, 0)
    costs: dict[str, int] = {}
    for call in calls:
        costs[call.account] = costs.get(call.account, 0) + call.cost_nanos
    assert kept.costs() == costs
    assert sum(costs.values()) == sum(journals.cost)


@pytest.fixture
def open_on() -> OpenOn:
    """Makes a log on journals; every one made before is a process that has ended."""
    made: list[CallLog] = []

    def open_(journals: Journals, folder: Path, names: Any = None) -> CallLog:
        for other in made:
            other.drain.disown()
        made.append(CallLog(journals, folder, names or KnownNames(), LogSettings(keep_ms=0)))
        return made[-1]

    return open_


def count_steps(fate: Fate, open_on: OpenOn, folder: Path) -> int:
    journals, made = Journals(workers=2), iter(range(0, 10_000, 40))
    kept = open_on(journals, folder)
    kept.flush()
    live(kept, journals, made)
    check(kept, journals)
    kept.stop()
    return fate.steps


@pytest.mark.parametrize("stride", [17, pytest.param(1 if LONG else 3, marks=pytest.mark.slow)])
def test_a_log_that_is_killed_at_a_step_of_its_life_has_every_row_once(
    fate: Fate, open_on: OpenOn, tmp_path: Path, stride: int
) -> None:
    """Killed after each step in turn (of a write, half is done), twice in a row; each time the next one takes over."""
    steps = count_steps(fate, open_on, tmp_path / "counted")
    assert steps > 60
    for step in range(1, steps + 1, stride):
        journals, made = Journals(workers=2), iter(range(0, 10_000, 40))
        folder = tmp_path / str(step)
        for lives in (step, 1 + step * 7 % steps):
            fate.left = lives
            try:
                killed = open_on(journals, folder)
                killed.flush()
                live(killed, journals, made)
                killed.stop()
            except Killed:
                pass
        fate.left = -1
        survivor = open_on(journals, folder)
        check(survivor, journals)
        live(survivor, journals, made)
        check(survivor, journals)
        survivor.stop()
        assert survivor.state().waiting == 0
        check(open_on(journals, folder), journals)


def test_a_full_disk_drops_nothing_that_the_journals_still_hold(
    open_on: OpenOn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    journals = Journals(size=128)
    kept = open_on(journals, tmp_path)
    journals.put(0, rows(10))
    assert kept.flush()
    write = os.pwrite
    room = [1000]

    def pwrite(descriptor: int, data: Any, at: int) -> int:
        some = data[: room[0]]
        room[0] -= len(some)
        if not some:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, some, at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    journals.put(0, rows(100, start=10))
    assert not kept.flush()
    assert not kept.flush()
    assert "No space" in kept.state().error
    assert kept.state().depth == 100
    assert len(everything(kept)) == 10, "what is there can be read meanwhile"
    room[0] = 1 << 30
    assert kept.flush()
    assert len(everything(kept)) == 110
    assert (kept.state().error, kept.state().dropped_rows) == ("", 0)
    room[0] = 0
    journals.put(0, rows(300, start=110, cost=7))
    assert not kept.flush()
    room[0] = 1 << 30
    assert kept.flush(), "and heals without being asked to"
    assert len(everything(kept)) == 110 + 128
    assert kept.state().dropped_rows == 172
    assert kept.state().dropped_cost_nanos == 172 * 7
    assert sum(kept.costs().values()) + kept.state().dropped_cost_nanos == journals.cost[0]
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0:2] for line in said[::2]] == [["fastgw", " warning"]] * 2
    assert said[1::2] == ["fastgw: the call log is written again"] * 2


def test_rows_that_a_journal_overwrote_are_counted_with_their_cost_for_ever(open_on: OpenOn, tmp_path: Path) -> None:
    journals = Journals(workers=2, size=64)
    journals.put(0, rows(100, cost=3))
    kept = open_on(journals, tmp_path)
    journals.put(1, rows(10, cost=1_000))
    assert kept.flush()
    assert (kept.state().dropped_rows, kept.state().dropped_cost_nanos) == (36, 108)
    journals.put(1, rows(70, cost=5))
    again = open_on(journals, tmp_path)
    assert again.flush()
    assert (again.state().dropped_rows, again.state().dropped_cost_nanos) == (42, 138)
    again.stop()
    last = open_on(journals, tmp_path)
    assert last.flush()
    assert (last.state().dropped_rows, last.state().dropped_cost_nanos) == (42, 138)
    assert sum(last.costs().values()) + 138 == sum(journals.cost)


def test_another_segment_goes_on_where_the_one_before_ended(open_on: OpenOn, tmp_path: Path) -> None:
    before = Journals(identity=1)
    kept = open_on(before, tmp_path)
    before.put(0, rows(50))
    assert kept.flush()

    class Renamed(KnownNames):
        def account(self, index: int) -> str:
            return f"other-{index + 1}"

    after = Journals(identity=2)
    after.put(0, rows(20, start=1_000))
    kept = open_on(after, tmp_path, Renamed())
    assert kept.flush()
    assert [call.account for call in everything(kept)] == ["acct-1"] * 50 + ["other-1"] * 20
    assert [call.position for call in everything(kept)] == list(range(1, 71))
    assert kept.costs() == {"acct-1": 50_000, "other-1": 20_000}
    assert kept.state().interruptions == 1, "the first was not stopped: nobody knows what its journals held"
    kept.stop()
    assert not list((tmp_path / "calls" / "spool").glob("01*.names"))
    last = open_on(Journals(identity=3), tmp_path)
    assert last.flush()
    assert last.state().interruptions == 1
    assert last.costs() == {"acct-1": 50_000, "other-1": 20_000}


@pytest.mark.parametrize("damage", ["empty", "zeros", "half"])
def test_what_a_loss_of_power_leaves_of_the_newest_file_is_survived(
    open_on: OpenOn, tmp_path: Path, damage: str
) -> None:
    """The file's head was not written out yet, or records are missing at its end: the file before it says the rest."""
    journals = Journals()
    kept = open_on(journals, tmp_path)
    journals.put(0, rows(50))
    assert kept.flush()
    with kept.drain.lock:
        kept.drain.rotate()
    journals.put(0, rows(30, start=50))
    assert kept.flush()
    newest = max((tmp_path / "calls" / "spool").glob("*.spool"))
    raw = newest.read_bytes()
    newest.write_bytes({"empty": b"", "zeros": bytes(len(raw)), "half": raw[: 256 + 2560] + bytes(2560)}[damage])
    again = open_on(Journals(identity=2), tmp_path)
    assert again.flush()
    assert len(everything(again)) == (60 if damage == "half" else 50)
    assert again.state().error == ""


def test_two_processes_never_write_one_log(open_on: OpenOn, tmp_path: Path) -> None:
    journals = Journals()
    journals.put(0, rows(10))
    first = open_on(journals, tmp_path)
    assert first.flush()
    second = CallLog(journals, tmp_path, KnownNames(), LogSettings(keep_ms=0))
    assert not second.flush()
    assert "another process writes this call log" in second.state().error
    first.stop()
    assert second.flush()
    assert len(everything(second)) == 10
