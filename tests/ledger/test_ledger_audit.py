"""The audit: silent where ledger, segment and call log agree, and exact about what does not."""

import sqlite3
import threading
from collections.abc import Iterator

import pytest
from desk import Desk, an_account

from fastgw.ledger.views import Difference
from fastgw.model import Plan


@pytest.fixture
def desk_of_two(desk: Desk) -> Desk:
    """Two accounts that have spent 30 and 7."""
    plan = Plan("p", day_quota=5, allowance_nanos=40)
    desk.apply(accounts=[an_account("a", 100, plan="p"), an_account("b", 50, credit=5)], plans=[plan])
    desk.call(30, "a")
    desk.call(7, "b")
    desk.books.adjust("b", -3, note="n")
    return desk


def test_it_tells_what_there_is(desk_of_two: Desk) -> None:
    report = desk_of_two.audit(lambda: ({"a": 30, "b": 7}, 0))
    assert report.differences == []
    assert (report.accounts, report.balance_nanos) == (2, 70 + 40 + 40)
    assert (report.captured_nanos, report.log_nanos, report.dropped_nanos) == (37, 37, 0)
    assert report.at_ns == desk_of_two.now_ns
    assert desk_of_two.audit().log_nanos is None


LOG = "captured: ledger, call log"
DROPPED = "captured less logged: ledger, dropped rows of the call log"


@pytest.mark.parametrize(
    ("costs", "dropped", "expected"),
    [
        ({"a": 30, "b": 7}, 0, []),
        ({"a": 29, "b": 7}, 0, [Difference("a", LOG, 30, 29)]),
        ({"a": 31, "b": 7}, 0, [Difference("a", LOG, 30, 31)]),
        ({"a": 30}, 0, [Difference("b", LOG, 7, 0)]),
        ({"a": 30, "b": 7, "c": 1}, 0, [Difference("c", LOG, 0, 1)]),
        ({"a": 28, "b": 5}, 4, []),
        ({"a": 28, "b": 5}, 3, [Difference("", DROPPED, 4, 3)]),
        ({"a": 31, "b": 5}, 1, [Difference("a", LOG, 30, 31)]),
    ],
)
def test_the_call_log_must_account_for_every_nano(
    desk_of_two: Desk,
    costs: dict[str, int],
    dropped: int,
    expected: list[Difference],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fastgw.ledger.audit.PAUSE_S", 0)
    for again in (desk_of_two.turn, desk_of_two.restart):
        again()
        assert desk_of_two.audit(lambda: (costs, dropped)).differences == expected


def test_calls_that_go_on_meanwhile_are_no_difference(desk_of_two: Desk) -> None:
    """The log is read while calls end; and a log that lags a moment behind is asked again."""
    logged = {"a": 30, "b": 7}
    late = iter([2, 1, 0, 0, 0])

    def log() -> tuple[dict[str, int], int]:
        desk_of_two.call(1, "b")
        logged["b"] += 1
        return logged | {"b": logged["b"] - next(late)}, 0

    assert desk_of_two.audit(log).differences == []


def test_a_thousand_calls_a_second_leave_the_audit_silent(desk_of_two: Desk) -> None:
    desk_of_two.apply(accounts=[an_account("a", 10**9), an_account("b", 50)])
    desk_of_two.books.start()
    ending = threading.Event()

    def spend() -> None:
        while not ending.is_set():
            desk_of_two.call(1, "a", worker=1)
            ending.wait(0.0005)

    thread = threading.Thread(target=spend)
    thread.start()
    try:
        for _ in range(20):
            assert desk_of_two.audit().differences == []
    finally:
        ending.set()
        thread.join()
        desk_of_two.books.writer.stop()


# What is wrong is said


@pytest.fixture
def wrong(desk_of_two: Desk) -> Iterator[Desk]:
    """Books that somebody has tampered with; the usual audit at the end is left out."""
    yield desk_of_two
    desk_of_two.books.writer.error = "left out"


def test_tampered_entries_do_not_add_up(wrong: Desk) -> None:
    store = wrong.books.parts.store
    wrong.books.entries("a")
    store.execute("DROP TRIGGER entry_is_never_changed")
    store.execute("UPDATE entry SET amount = amount + 1 WHERE account = 1 AND kind = 'opening'")
    assert wrong.audit().differences == [
        Difference("a", "balance: sum of entries, kept total", 111, 110),
        Difference("a", "granted by the file: sum of openings, kept total", 101, 100),
    ]


def test_a_segment_that_grants_more_is_found(wrong: Desk) -> None:
    granted = wrong.money("a")["granted"]
    wrong.segment.grant(wrong.index("a"), granted + 5)
    assert wrong.audit().differences == [Difference("a", "granted: ledger, segment", granted, granted + 5)]


def test_something_taken_behind_the_ledger_is_found(wrong: Desk) -> None:
    assert wrong.segment.take(wrong.index("a"), 4)
    wrong.segment.take_settle(wrong.index("a"), 4, True)
    assert wrong.audit().differences == [Difference("a", "taken: ledger, segment", 0, 4)]


def test_the_file_is_whole_for_other_tools(desk_of_two: Desk) -> None:
    """Once the keeper has ended: a ledger is a plain SQLite file."""
    desk_of_two.stop()
    with sqlite3.connect(desk_of_two.state / "ledger.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        sums = connection.execute("SELECT sum(amount) FROM entry").fetchone()
    connection.close()
    assert sums == (150,)
    desk_of_two.start()
