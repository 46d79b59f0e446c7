"""A start finds a segment and a ledger: the same as before, another, an older one, or none."""

import os
import shutil
import stat
from pathlib import Path

import apsw
import pytest
from desk import Desk, an_account

from fastgw.ledger.store import Store, StoreError, migrations


@pytest.fixture
def acme(desk: Desk) -> Desk:
    """100 topped up, 30 captured."""
    desk.books.create_account("acme")
    desk.books.top_up("acme", 100)
    desk.call(30)
    return desk


def state(desk: Desk) -> tuple[int, int]:
    """(balance, what can be spent in the segment)."""
    money = desk.money()
    return desk.balance(), money["granted"] - money["committed"]


def test_a_killed_keeper_loses_nothing_that_workers_captured(acme: Desk) -> None:
    acme.restart()
    assert state(acme) == (70, 70)
    acme.crash()
    acme.call(20)
    acme.start()
    assert state(acme) == (50, 50)
    assert acme.kinds() == [("topup", 100), ("capture", -50)]


def test_after_a_boot_only_what_was_not_committed_is_missing(acme: Desk) -> None:
    acme.turn()
    acme.call(5)
    acme.reboot()
    assert state(acme) == (70, 70)
    assert acme.kinds() == [("topup", 100), ("capture", -30)]
    report = acme.audit()
    assert (report.losses, report.lost_at_s) == (1, acme.now_s)


def test_a_boot_after_an_orderly_end_misses_nothing(acme: Desk) -> None:
    acme.call(5)
    acme.reboot(clean=True)
    assert state(acme) == (65, 65)
    assert acme.audit().losses == 0


def test_an_end_enters_what_was_captured(acme: Desk) -> None:
    acme.stop()
    store = Store(str(acme.state))
    store.open()
    assert store.rows("SELECT kind, amount FROM entry") == [("topup", 100), ("capture", -30)]
    store.close()
    acme.start()


def test_a_segment_that_lives_on_without_its_keeper_is_caught_up_with(acme: Desk) -> None:
    """Boot after boot, each with captures, adjustments and restarts."""
    expected = 70
    for round_ in range(1, 6):
        assert acme.call(round_, worker=round_)
        acme.books.adjust("acme", -1, note="fee")
        acme.restart()
        acme.books.top_up("acme", 2)
        acme.turn()
        acme.reboot()
        expected += 1 - round_
        assert state(acme) == (expected, expected)


def test_a_debt_is_there_after_a_boot(desk: Desk) -> None:
    desk.apply(accounts=[an_account(credit=50)])
    assert desk.call(30)
    desk.turn()
    desk.reboot()
    assert state(desk) == (-30, -30)
    assert desk.call(20)
    assert not desk.call(1)
    desk.restart()
    assert state(desk) == (-50, -50)


def test_holds_of_a_boot_ago_are_nobodys(acme: Desk) -> None:
    acme.segment.hold(0, acme.index(), 50)
    acme.turn()
    acme.reboot()
    assert state(acme) == (70, 70)


def test_what_a_killed_keeper_had_taken_is_given_back_or_kept_as_the_ledger_says(acme: Desk) -> None:
    acme.books.adjust("acme", -10, note="kept")
    assert acme.segment.take(acme.index(), 25)  # and killed before the entry was durable
    acme.restart()
    assert state(acme) == (60, 60)
    assert acme.money()["taken"] == 10


def test_an_older_ledger_put_back_is_the_truth_and_learns_what_was_spent(
    acme: Desk, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    acme.books.adjust("acme", -5, note="before")
    acme.stop()
    copy = tmp_path / "copy"
    shutil.copy(acme.state / "ledger.sqlite", copy)
    acme.start()
    acme.books.top_up("acme", 1000)
    acme.books.adjust("acme", -7, note="after")
    acme.call(40)
    acme.stop()
    shutil.copy(copy, acme.state / "ledger.sqlite")
    acme.start()
    assert state(acme) == (25, 25), "100 - 5 - 30 - 40"
    assert acme.kinds() == [("topup", 100), ("capture", -30), ("adjustment", -5), ("capture", -40)]
    assert "1 accounts had been granted more than the ledger knows" in capfd.readouterr().err


def test_a_lost_ledger_learns_what_the_segment_knows_was_spent(desk: Desk) -> None:
    desk.apply(accounts=[an_account(balance=100)])
    desk.call(30)
    desk.stop()
    os.unlink(desk.state / "ledger.sqlite")
    desk.start()
    assert state(desk) == (70, 70)
    assert desk.kinds() == [("opening", 100), ("capture", -30)]


# The file


def test_the_file_is_the_owners_alone(desk: Desk) -> None:
    files = [path for path in desk.state.iterdir() if path.name.startswith("ledger")]
    assert {path.name for path in files} == {"ledger.sqlite", "ledger.sqlite-wal"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_every_commit_is_synced_and_nobody_else_gets_in(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    one = desk.books.parts.store.one
    assert one("PRAGMA journal_mode") == ("wal",)
    assert one("PRAGMA synchronous") == (2,)
    monkeypatch.setattr("fastgw.ledger.store.BUSY_MS", 50)
    with pytest.raises(StoreError, match="open in another program"):
        Store(str(desk.state)).open()


@pytest.mark.parametrize("content", [b"no database at all" * 100, None])
def test_a_foreign_file_is_left_alone(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ledger.sqlite"
    if content is None:
        connection = apsw.Connection(str(path))
        connection.execute("CREATE TABLE theirs (a)")
        connection.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a ledger of fastgw"):
        Store(str(tmp_path)).open()
    assert path.read_bytes() == before


def test_a_ledger_of_a_later_version_is_left_alone(acme: Desk) -> None:
    acme.stop()
    connection = apsw.Connection(str(acme.state / "ledger.sqlite"))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match=r"later version of fastgw \(schema 99\)"):
        Store(str(acme.state)).open()
    connection = apsw.Connection(str(acme.state / "ledger.sqlite"))
    connection.execute(f"PRAGMA user_version = {migrations()[-1][0]}")
    connection.close()
    acme.start()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET amount = 1000000",
        "DELETE FROM entry",
        "INSERT INTO entry (account, kind, amount, at) VALUES (1, 'topup', -5, 0)",
        "INSERT INTO entry (account, kind, amount, at) VALUES (1, 'topup', 0, 0)",
        "INSERT INTO entry (account, kind, amount, at) VALUES (1, 'capture', 5, 0)",
        "INSERT INTO entry (account, kind, amount, at) VALUES (1, 'expiry', 5, 0)",
        "INSERT INTO entry (account, kind, amount, at) VALUES (1, 'allowance', -5, 0)",
        "INSERT INTO entry (account, kind, amount, at) VALUES (1, 'adjustment', 0, 0)",
        "INSERT INTO entry (account, kind, amount, at) VALUES (1, 'present', 5, 0)",
        "INSERT INTO entry (account, kind, amount, at) VALUES (1, 'topup', 1.5, 0)",
        "INSERT INTO entry (account, kind, amount, at) VALUES (99, 'topup', 5, 0)",
        "INSERT INTO entry (account, kind, amount, at, expires) VALUES (1, 'adjustment', 5, 0, 9)",
        "UPDATE position SET entered = captured + 1",
        "UPDATE account SET status = 'gone'",
        "UPDATE account SET name = 'a/b'",
        "UPDATE account SET credit = -1",
    ],
)
def test_the_schema_refuses_what_must_never_be(acme: Desk, statement: str) -> None:
    acme.turn()
    store = acme.books.parts.store
    store.begin()
    with pytest.raises(apsw.ConstraintError):
        store.execute(statement)
    store.rollback()
