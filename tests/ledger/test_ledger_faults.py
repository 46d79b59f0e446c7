"""A disk that fails: prepaid calls stop, nothing is lost or doubled, and all goes on when the disk does."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import apsw
import pytest
from desk import Desk

from fastgw.ledger import writer
from fastgw.ledger.errors import LedgerUnavailable
from fastgw.ledger.writer import CALL_S


class Disk(apsw.VFS):
    """Files that fail when they are told to: `fault` is called with what is about to be done."""

    def __init__(self, name: str) -> None:
        self.fault: Callable[[str], None] = lambda _: None
        self.name = name
        super().__init__(name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "DiskFile":
        return DiskFile(self, name, flags)


class DiskFile(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self.disk = disk
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self.disk.fault("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self.disk.fault("sync")
        super().xSync(flags)


def failing(step: str, kind: type[apsw.Error]) -> Callable[[str], None]:
    def fault(now: str) -> None:
        if now == step:
            raise kind(f"injected into {step}")

    return fault


EIO = failing("sync", apsw.IOError)
FULL = failing("write", apsw.FullError)


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk("test-disk")
    yield disk
    disk.unregister()


@pytest.fixture
def acme(memory: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """An account with 100, on the disk."""
    monkeypatch.setattr(writer, "RETRY_S", 0.0)
    with Desk(memory) as desk:
        desk.vfs = disk.name
        desk.start()
        desk.books.create_account("acme")
        desk.books.top_up("acme", 100)
        yield desk


def consistent(desk: Desk, balance: int) -> None:
    """Ledger and segment agree, now and for the next keeper."""
    for again in (desk.turn, desk.restart):
        again()
        money = desk.money()
        assert desk.balance() == balance == money["granted"] - money["captured"] - money["taken"]
        assert money["committed"] == money["captured"] + money["taken"], "nothing is left held"
        assert sum(amount for _, amount in desk.kinds()) == balance
        assert desk.audit().differences == []


@pytest.mark.parametrize("fault", [EIO, FULL], ids=["EIO", "full"])
def test_a_failed_commit_stops_money_until_one_succeeds(
    acme: Desk, disk: Disk, fault: Callable[[str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    disk.fault = fault
    acme.call(10)
    acme.books.writer.turn()
    assert acme.segment.money_stopped
    state = acme.books.state()
    assert state.stopped
    assert "injected" in state.error or "Error" in state.error
    for _ in range(5):
        acme.call(1)
        acme.books.writer.turn()
        assert acme.segment.money_stopped
    disk.fault = lambda _: None
    acme.books.writer.turn()
    assert not acme.segment.money_stopped
    assert not acme.books.state().stopped
    said = capfd.readouterr().err.splitlines()
    assert [line.split(" (")[0] for line in said] == [
        "fastgw: the ledger cannot be written", "fastgw: the ledger can be written again; prepaid calls go on",
    ]  # fmt: skip
    consistent(acme, 85)


@pytest.mark.parametrize("fault", [EIO, FULL], ids=["EIO", "full"])
def test_a_top_up_that_failed_is_made_once_when_it_is_repeated(
    acme: Desk, disk: Disk, fault: Callable[[str], None]
) -> None:
    disk.fault = fault
    for _ in range(3):
        with pytest.raises(LedgerUnavailable):
            acme.books.top_up("acme", 50, idempotency_key="k")
        assert acme.money()["granted"] == 100
    disk.fault = lambda _: None
    acme.turn()
    acme.books.top_up("acme", 50, idempotency_key="k")
    consistent(acme, 150)


@pytest.mark.parametrize("fault", [EIO, FULL], ids=["EIO", "full"])
def test_what_was_being_taken_stays_out_of_reach_until_the_outcome_is_known(
    acme: Desk, disk: Disk, fault: Callable[[str], None]
) -> None:
    disk.fault = fault
    with pytest.raises(LedgerUnavailable):
        acme.books.adjust("acme", -60, note="n", idempotency_key="k")
    disk.fault = lambda _: None
    acme.turn()
    acme.books.adjust("acme", -60, note="n", idempotency_key="k")
    consistent(acme, 40)


@pytest.mark.parametrize("durable", [True, False])
def test_a_commit_of_unknown_outcome_is_looked_up(acme: Desk, durable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It failed, and yet it may be on the disk."""
    store = acme.books.parts.store
    commit = store.commit

    def fail() -> None:
        if durable:
            commit()
        raise apsw.IOError("lost in between")

    monkeypatch.setattr(store, "commit", fail)
    with pytest.raises(LedgerUnavailable, match="not known"):
        acme.books.adjust("acme", -60, note="n", idempotency_key="k")
    assert not acme.call(41), "it may be taken"
    monkeypatch.setattr(store, "commit", commit)
    acme.turn()
    money = acme.money()
    assert (money["committed"], money["taken"]) == ((60, 60) if durable else (0, 0))
    acme.books.adjust("acme", -60, note="n", idempotency_key="k")
    consistent(acme, 40)


def test_while_it_is_down_requests_are_refused_at_once_and_nothing_queues_up(acme: Desk, disk: Disk) -> None:
    disk.fault = EIO
    acme.call(1)
    acme.books.writer.turn()
    start = time.monotonic()
    for call in (
        lambda: acme.books.top_up("acme", 1),
        lambda: acme.books.create_account("b"),
        lambda: acme.books.create_key("acme"),
        lambda: acme.books.entries("acme"),
    ):
        with pytest.raises(LedgerUnavailable, match="prepaid calls are refused until it can"):
            call()
    assert time.monotonic() - start < CALL_S / 2
    assert len(acme.books.writer.jobs) == 0
    disk.fault = lambda _: None
    acme.turn()
    consistent(acme, 99)


def persist(desk: Desk, work: Callable[[], object]) -> None:
    """Repeat what fails: one fault is healed by one repetition."""
    for last in (False, True):
        try:
            work()
            return
        except LedgerUnavailable:
            assert not last
            desk.turn()


def test_faults_at_every_step_of_a_scenario_change_nothing_but_time(acme: Desk, disk: Disk) -> None:
    """Each write and each sync of it fails once, in one run after the other."""
    balance = 100
    step = seen = 0

    def fault(_: str) -> None:
        nonlocal seen
        seen += 1
        if seen == step + 1:
            raise apsw.IOError("injected")

    disk.fault = fault
    while seen >= step:
        seen = 0
        acme.call(1)
        persist(acme, partial(acme.books.top_up, "acme", 5, idempotency_key=f"a{step}"))
        persist(acme, partial(acme.books.adjust, "acme", -3, note="n", idempotency_key=f"b{step}"))
        persist(acme, acme.kinds)
        balance += 1
        assert acme.money()["granted"] - acme.money()["captured"] - acme.money()["taken"] == balance
        step += 1
    assert step > 5, "several writes and syncs were tried"
    disk.fault = lambda _: None
    consistent(acme, balance)


def test_a_commit_that_takes_too_long_stops_money_while_it_does(
    acme: Desk, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SLOW_S", 0.05)
    release = threading.Event()

    def slow(step: str) -> None:
        if step == "sync":
            release.wait(5)

    acme.books.start()
    disk.fault = slow
    acme.call(1)
    deadline = time.monotonic() + 5
    while not acme.segment.money_stopped:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    release.set()
    while acme.segment.money_stopped:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    disk.fault = lambda _: None
    acme.books.writer.stop()
    consistent(acme, 99)


def test_a_keeper_that_stops_with_a_broken_disk_loses_nothing(acme: Desk, disk: Disk) -> None:
    disk.fault = EIO
    acme.call(7)
    acme.stop()
    disk.fault = lambda _: None
    acme.start()
    consistent(acme, 93)


def test_a_disk_that_fails_at_the_start_is_an_error_and_the_next_start_is_whole(acme: Desk, disk: Disk) -> None:
    acme.call(7)
    acme.crash()
    for fault in (EIO, FULL):
        disk.fault = fault
        with pytest.raises((apsw.Error, LedgerUnavailable)):
            acme.start()
        acme.books.close()
    disk.fault = lambda _: None
    acme.start()
    consistent(acme, 93)


def may_mount() -> bool:
    """Whether this process can have a file system of its own."""
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not may_mount(), reason="needs the right to mount (root, or a user namespace)")
def test_a_full_file_system_stops_money_and_heals_when_there_is_room(memory: Path, tmp_path: Path) -> None:
    """Four MiB, filled to the last byte, three times."""
    program = Path(__file__).with_name("full_disk.py")
    script = 'mount -t tmpfs -o size=4m tmpfs "$1" && exec "$2" "$3" "$1" "$4"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path), sys.executable, str(program), str(memory)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.endswith("whole\n"), done.stdout + done.stderr
    assert done.stdout.count("healed") == 3
    assert "Traceback" not in done.stderr
