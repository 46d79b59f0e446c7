"""The segment: made whole or not at all, refused when it is not ours, with room for what was asked and no more."""

import hashlib
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import _kernels
import pytest
from kernel_build import money

from fastgw._segment import WORKERS, Segment, SegmentError, account_digest, boot_number

NewSegment = Callable[..., Segment]
SIZES = {"keys_max": 100, "accounts_max": 10, "routes_max": 3, "journal_records": 256}
SECRET = bytes(range(32))
VERSION_AT, KEYS_MAX_AT, SIZE_AT, BOOT_AT = 8, 16, 48, 56


def write_word(path: str, at: int, value: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(value.to_bytes(8, "little"))


def test_what_is_made_is_there_for_who_opens_it(shm: Path) -> None:
    path = str(shm / "made")
    made = Segment.create(path, secret=SECRET, **SIZES)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.listdir(shm) == ["made"]
    opened = Segment.open(path)
    assert opened.capacity == made.capacity == SIZES
    assert opened.size == made.size == os.stat(path).st_size
    assert opened.path == path
    assert opened.same_boot
    made.add_account(account_digest("acme"), 5, 6)
    assert money(opened, 0) == {"granted": 5, "credit": 6, "committed": 0, "captured": 0, "held": 0}
    assert opened.account_numbers() == {account_digest("acme"): 0}
    os.unlink(path)


def test_two_segments_have_different_secrets(new_segment: NewSegment) -> None:
    assert new_segment().digest(b"k") != new_segment().digest(b"k")


def test_the_secret_that_it_is_given_is_that_of_the_digests(shm: Path) -> None:
    path = str(shm / "secret")
    segment = Segment.create(path, secret=SECRET, **SIZES)
    assert segment.digest(b"k") == hashlib.blake2b(b"k", digest_size=32, key=SECRET).digest()
    opened = Segment.open(path)
    assert opened.keeps_secret(SECRET)
    assert not opened.keeps_secret(SECRET[:31] + b"x")
    assert not opened.keeps_secret(SECRET[:31])
    os.unlink(path)
    for wrong in (b"", SECRET[:31], SECRET + b"x"):
        with pytest.raises(ValueError, match="has 32 bytes"):
            Segment.create(path, secret=wrong, **SIZES)
    assert os.listdir(shm) == []


def test_a_segment_knows_itself_from_one_made_in_its_place(shm: Path) -> None:
    path = str(shm / "one")
    first = Segment.create(path, secret=SECRET, **SIZES)
    assert len(first.identity) == 16
    assert Segment.open(path).identity == first.identity
    os.unlink(path)
    assert Segment.create(path, secret=SECRET, **SIZES).identity != first.identity
    os.unlink(path)


def test_what_a_killed_process_of_our_number_left_unfinished_is_cleared(shm: Path) -> None:
    path = str(shm / "again")
    Path(f"{path}.{os.getpid()}").write_bytes(b"half")
    Segment.create(path, secret=SECRET, **SIZES)
    assert os.listdir(shm) == ["again"]
    os.unlink(path)


def test_a_segment_that_cannot_be_finished_leaves_nothing(shm: Path) -> None:
    (shm / "folder").mkdir()
    (shm / "folder" / "file").touch()
    with pytest.raises(OSError, match=re.escape(str(shm / "folder"))):
        Segment.create(str(shm / "folder"), secret=SECRET, **SIZES)
    assert os.listdir(shm) == ["folder"]
    (shm / "folder" / "file").unlink()
    (shm / "folder").rmdir()


@pytest.mark.parametrize("wrong", [{name: 0} for name in SIZES] + [{"journal_records": 100}, {"keys_max": -1}])
def test_a_capacity_that_makes_no_sense_is_refused(shm: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="positive, and journal_records a power of two"):
        Segment.create(str(shm / "wrong"), secret=SECRET, **(SIZES | wrong))
    assert os.listdir(shm) == []


def test_a_missing_file_is_no_segment(shm: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Segment.open(str(shm / "missing"))


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"x" * 8192, bytes(8192)])
def test_a_foreign_file_is_refused(shm: Path, content: bytes) -> None:
    path = shm / "foreign"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SegmentError, match="foreign is not a segment of fastgw"):
        Segment.open(str(path))
    assert path.read_bytes() == content
    path.unlink()


def test_a_file_that_others_can_open_is_refused(new_segment: NewSegment) -> None:
    segment = new_segment()
    os.chmod(segment.path, 0o660)
    with pytest.raises(SegmentError, match="open to other users"):
        Segment.open(segment.path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(new_segment: NewSegment) -> None:
    segment = new_segment()
    os.chown(segment.path, 65534, -1)
    with pytest.raises(SegmentError, match="open to other users"):
        Segment.open(segment.path)


def test_a_link_is_not_followed(new_segment: NewSegment, shm: Path) -> None:
    link = shm / "link"
    link.symlink_to(new_segment().path)
    with pytest.raises(OSError, match="link"):
        Segment.open(str(link))
    link.unlink()


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (VERSION_AT, 99, "made by another version of fastgw"),
        (SIZE_AT, 4096, "made by another version of fastgw"),
        (KEYS_MAX_AT, 2**40, "is damaged"),
    ],
)
def test_a_segment_of_another_layout_is_refused(new_segment: NewSegment, at: int, value: int, message: str) -> None:
    segment = new_segment()
    write_word(segment.path, at, value)
    with pytest.raises(SegmentError, match=message):
        Segment.open(segment.path)


def test_a_segment_of_another_boot_says_so(new_segment: NewSegment) -> None:
    segment = new_segment()
    write_word(segment.path, BOOT_AT, boot_number() ^ 1)
    assert not Segment.open(segment.path).same_boot


def test_accounts_are_refused_beyond_their_capacity(new_segment: NewSegment) -> None:
    segment = new_segment(accounts_max=2)
    assert [segment.add_account(account_digest(str(n)), n, 0) for n in range(2)] == [0, 1]
    with pytest.raises(SegmentError, match="more than 2 accounts: raise accounts_max"):
        segment.add_account(account_digest("2"), 0, 0)
    with pytest.raises(ValueError, match="16 bytes"):
        segment.add_account(b"short", 0, 0)
    assert segment.account_count == 2
    with pytest.raises(IndexError, match="no account 2"):
        segment.account(2)


def test_a_route_keeps_its_slot_by_its_name(new_segment: NewSegment) -> None:
    segment = new_segment(routes_max=2)
    assert [segment.route_slot(name) for name in ("a", "ä" * 31 + "x", "a")] == [0, 1, 0]
    assert Segment.open(segment.path).routes() == ["a", "ä" * 31 + "x"]
    with pytest.raises(SegmentError, match=r"more than 2 different routes.*raise routes_max"):
        segment.route_slot("b")
    with pytest.raises(ValueError, match="longer than 63 bytes"):
        segment.route_slot("c" * 64)


def test_limits_of_keys_are_numbered_up_to_their_capacity(segment: Segment) -> None:
    numbers = [segment.limit(1, 10**9, burst) for burst in range(1, 65_537)]
    assert numbers == list(range(1, 65_537))
    assert segment.limit(1, 10**9, 65_536) == 65_536
    with pytest.raises(SegmentError, match="more than 65536 different limits"):
        segment.limit(1, 10**9, 65_537)


def test_unused_room_costs_nothing_and_reserved_room_is_there(new_segment: NewSegment) -> None:
    segment = new_segment(keys_max=1 << 20, accounts_max=1 << 16, routes_max=16, journal_records=1024)
    assert segment.size > 128 << 20
    assert segment.used_bytes < 64 << 10
    segment.reserve(keys=10_000, accounts=1000, workers=2, routes=3)
    least = 10_000 * 64 + 3 * 10_000 * 8 + 1000 * _kernels.ACCOUNT_SIZE + 2 * 1000 * _kernels.CELL_SIZE
    least += 2 * 1024 * _kernels.RECORD_SIZE + 2 * _kernels.OPENS_SIZE + (1 << 21) * 8
    assert least <= segment.used_bytes < least + (1 << 20)


def test_a_lack_of_memory_is_an_error_when_it_is_reserved(shm: Path) -> None:
    free = os.statvfs(shm)
    records = 1 << (free.f_blocks * free.f_frsize // 256 // WORKERS).bit_length() + 1
    segment = Segment.create(str(shm / "huge"), secret=SECRET, **(SIZES | {"journal_records": records}))
    with pytest.raises(OSError, match="No space left on device"):
        segment.reserve(keys=1, accounts=1, workers=WORKERS, routes=0)
    os.unlink(segment.path)


def test_a_worker_that_starts_counts_for_good_and_its_gauges_anew(segment: Segment) -> None:
    assert segment.worker_slots == 0
    segment.worker_set(2, 1234, 1)
    segment.worker_set(0, 1233, 2)
    assert segment.worker_slots == 3
    worker = segment.worker(2)
    assert (worker["pid"], worker["state"], worker["clients"], worker["exchanges"]) == (1234, 1, 0, 0)
    for wrong in (-1, WORKERS):
        with pytest.raises(IndexError, match=f"no worker {wrong}"):
            segment.worker(wrong)


def test_counters_and_histograms_are_read_within_their_bounds(segment: Segment) -> None:
    _kernels.count(segment, 1, -1, 9, 4)
    _kernels.count(segment, 1, 3, 0, 5)
    assert segment.counters(1, -1)[9] == 4
    assert segment.counters(1, 3)[0] == 5
    assert segment.counters(0, 3)[0] == segment.counters(1, 2)[0] == 0
    assert len(segment.counters(1, 3)) == _kernels.CODES
    assert segment.histogram(0, 2) == [0] * _kernels.BUCKETS
    for route in (-2, 4):
        with pytest.raises(IndexError, match=f"no route {route}"):
            segment.counters(0, route)
    with pytest.raises(IndexError, match="no stage 3"):
        segment.histogram(0, 3)


def test_sets_of_models_have_numbers_that_stay(segment: Segment) -> None:
    assert (segment.scope(("a", "b*")), segment.scope(("c",)), segment.scope(("a", "b*"))) == (1, 2, 1)
    other = Segment.open(segment.path)
    assert (other.scope_of(1), other.scope_of(0), other.scope(("c",)), other.scope(("d",))) == (("a", "b*"), (), 2, 3)
    for wrong in ((), ("x" * 1_024,)):
        with pytest.raises(ValueError, match="1 to 1023 bytes"):
            segment.scope(wrong)
    index = segment.add_key(bytes(32), segment.add_account(bytes(16), 0, 0), 0, 1, 0)
    segment.set_key_scope(index, 3)
    assert segment.key(index)["scope"] == 3
    with pytest.raises(IndexError):
        segment.set_key_scope(index, 4)
