"""The table of idempotent calls by itself: one owner a key, whatever races, dies, fills up or grows old."""

import mmap
import os
import signal
import struct
import time
from pathlib import Path

import _kernels
import pytest
from conftest import NewSegment
from kernel_build import make_gate

from fastgw import _idempotency
from fastgw._call import Peer, Ticket
from fastgw._core import Gate
from fastgw._http import PLAIN, RequestHead
from fastgw._idempotency import BUSY, FULL, KEPT, NEW, Idempotency, idempotency_key, table_path
from fastgw._segment import Segment, SegmentError, account_digest
from fastgw.refusals import Refusal

REQUEST = b"POST /x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %b\r\n\r\n"
HOUR_MS = 3_600_000
FIRST_LEVEL = 16_384
MARK = bytes(range(16))  # a fingerprint
LINES = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n"


@pytest.fixture
def segment(new_segment: NewSegment) -> Segment:
    """acme and other can pay for a thousand calls each, and have a key of their name."""
    segment = new_segment()
    for index, name in enumerate(("acme", "other")):
        segment.add_account(account_digest(name), 10_000, 0)
        segment.add_key(segment.digest(name.encode()), index, 0, 1, 0)
    return segment


def asked(segment: Segment, worker: int = 0, caller: bytes = b"acme") -> Gate:
    """A gate that has just admitted a call, which costs 10."""
    gate = make_gate(segment, worker, {"price_nanos": 10})
    data = REQUEST % caller
    assert gate.begin(data, 0, len(data)) == 0
    assert gate.decide(Peer("192.0.2.1", 4711)) == 0
    return gate


def settle(gate: Gate, ticket: Ticket, charge: bool = True) -> None:
    gate.settle(ticket, 0, 200 if charge else 500, charge, -1, 1, 1, 1)


def make(table: Idempotency, gate: Gate, key: bytes, body: bytes | None = b"body", window_ms: int = HOUR_MS) -> int:
    """Take a key, charge the call and be done; the number of the entry."""
    assert table.take(gate, b"api", key) == NEW
    number, ticket = table.number, gate.ticket()
    table.keep(ticket, number, MARK, LINES, body, False, window_ms)
    settle(gate, ticket)
    table.end(number, True)
    return number


def test_a_key_is_nobody_s_then_one_worker_s_then_remembered(segment: Segment) -> None:
    one, two = Idempotency(segment, 0), Idempotency(segment, 1)
    gate = asked(segment)
    assert one.find(gate, b"api", b"k") == NEW
    assert one.take(gate, b"api", b"k") == NEW
    number = one.number
    for table in (one, two):
        assert (table.find(gate, b"api", b"k"), table.take(gate, b"api", b"k"), table.number) == (BUSY, BUSY, number)
    table = one
    table.keep(gate.ticket(), number, MARK, LINES, b"body", True, HOUR_MS)
    table.end(number, True)
    for table in (one, two):
        assert (table.find(gate, b"api", b"k"), table.take(gate, b"api", b"k"), table.number) == (KEPT, KEPT, number)
        assert table.answer(number, table.word, MARK) == (0, LINES, b"body", True)
        refusal, *nothing = table.answer(number, table.word, bytes(16))
        assert (refusal, nothing) == (Refusal.IDEMPOTENCY_MISMATCH, [b"", b"", False])


def test_what_ended_uncharged_is_nobody_s_again(segment: Segment) -> None:
    table, gate = Idempotency(segment, 0), asked(segment)
    for _ in range(3):
        assert table.take(gate, b"api", b"k") == NEW
        table.end(table.number, False)
    assert table.find(gate, b"api", b"k") == NEW


def test_account_route_and_key_are_told_apart(segment: Segment) -> None:
    table = Idempotency(segment, 0)
    acme, other = asked(segment), asked(segment, 0, b"other")
    for gate, route, key in (
        (acme, b"api", b"k"), (acme, b"api", b"K"), (acme, b"ap", b"ik"), (acme, b"api2", b"k"), (other, b"api", b"k"),
    ):  # fmt: skip
        assert table.take(gate, route, key) == NEW


def test_a_key_grows_old(segment: Segment) -> None:
    table, gate = Idempotency(segment, 0), asked(segment)
    make(table, gate, b"k", window_ms=20)
    assert table.find(gate, b"api", b"k") == KEPT
    time.sleep(0.03)
    assert (table.find(gate, b"api", b"k"), table.take(gate, b"api", b"k")) == (NEW, NEW)


def test_a_key_means_the_same_beside_another_segment(segment: Segment) -> None:
    """One of other capacities takes the place of the first; the accounts have other numbers there."""
    secret = os.urandom(32)
    for order in (("acme", "other"), ("other", "acme")):
        os.unlink(segment.path)
        segment = Segment.create(
            segment.path, secret=secret, keys_max=8, accounts_max=8, routes_max=2, journal_records=8
        )
        for index, name in enumerate(order):
            segment.add_account(account_digest(name), 10_000, 0)
            segment.add_key(segment.digest(name.encode()), index, 0, 1, 0)
        if order[0] == "acme":
            make(Idempotency(segment, 0), asked(segment), b"k")
    table = Idempotency(segment, 0)
    assert table.find(asked(segment), b"api", b"k") == KEPT
    assert table.find(asked(segment, 0, b"other"), b"api", b"k") == NEW


def test_another_secret_has_another_table(segment: Segment, new_segment: NewSegment) -> None:
    assert (
        Path(table_path(segment)).name.partition("idempotency-")[2]
        != (Path(table_path(new_segment())).name.partition("idempotency-")[2])
    )


def test_a_file_that_others_can_read_is_not_trusted(segment: Segment) -> None:
    path = Idempotency(segment, 0).path
    assert Path(path).stat().st_mode & 0o777 == 0o600
    os.chmod(path, 0o644)
    with pytest.raises(SegmentError, match="open to other users"):
        Idempotency(segment, 0)


def test_a_file_that_is_cut_short_is_not_trusted(segment: Segment) -> None:
    path = Idempotency(segment, 0).path
    os.truncate(path, 8192)
    with pytest.raises(SegmentError, match="damaged"):
        Idempotency(segment, 0)


def test_it_takes_memory_only_for_what_is_in_it(segment: Segment) -> None:
    table, gate = Idempotency(segment, 0), asked(segment)
    assert Path(table.path).stat().st_size > 1 << 30
    for number in range(10):
        make(table, gate, b"%d" % number)
        gate = asked(segment)
    assert Path(table.path).stat().st_blocks * 512 < 200_000
    table.recover()
    assert Path(table.path).stat().st_blocks * 512 < 200_000


# Full, and growing


def test_it_grows_with_its_keys_and_says_when_it_is_full(segment: Segment) -> None:
    table, gate = Idempotency(segment, 0, levels=2), asked(segment)
    taken: dict[int, int] = {}
    for key in range(6 * FIRST_LEVEL):
        if table.take(gate, b"api", b"%d" % key) != NEW:
            break
        assert taken.setdefault(table.number, key) == key
    assert table.take(gate, b"api", b"%d" % key) == FULL
    assert FIRST_LEVEL < len(taken) < 3 * FIRST_LEVEL  # a key has only so many places of all
    assert max(taken) >= FIRST_LEVEL
    assert all(table.find(gate, b"api", b"%d" % k) == BUSY for k in taken.values())
    for number in taken:
        table.end(number, False)
    assert table.take(gate, b"api", b"%d" % key) == NEW


def test_what_is_old_makes_room(segment: Segment) -> None:
    table, gate = Idempotency(segment, 0, levels=1), asked(segment)
    ticket = gate.ticket()
    for old in (True, False):
        keys = 0
        while table.take(gate, b"api", b"%d %d" % (old, keys)) == NEW:
            table.keep(ticket, table.number, MARK, LINES, None, False, 0 if old else HOUR_MS)
            table.end(table.number, True)
            keys += 1
            if keys == 3 * FIRST_LEVEL:
                break
        assert (keys == 3 * FIRST_LEVEL) is old


def test_answers_are_overwritten_by_later_ones_and_never_mixed(segment: Segment) -> None:
    room = 1 << 16
    table, gate = Idempotency(segment, 0, answer_bytes=room), asked(segment)
    reader = Idempotency(segment, 1)
    ticket = gate.ticket()
    made: list[tuple[int, bytes]] = []
    for n in range(100):
        body = bytes([n]) * (1000 + 37 * n)
        assert table.take(gate, b"api", b"%d" % n) == NEW
        made.append((table.number, body))
        table.keep(ticket, table.number, MARK, LINES, body, False, HOUR_MS)
        table.end(table.number, True)
        kept = 0
        for m, (number, text) in enumerate(made):
            assert reader.find(gate, b"api", b"%d" % m) == KEPT
            refusal, _, got, _ = reader.answer(number, reader.word, MARK)
            assert (refusal, got) in ((0, text), (Refusal.IDEMPOTENCY_NO_ANSWER, b""))
            kept += refusal == 0
        assert kept >= min(n + 1, 10)
    assert kept < 100


# Killed


def test_a_call_in_flight_is_freed_and_one_that_was_charged_is_kept(segment: Segment) -> None:
    """Killed at each step of the end of a call."""
    for step in range(5):
        key = b"%d" % step
        table, gate = Idempotency(segment, 1), asked(segment, 1)
        ticket = gate.ticket()
        assert table.take(gate, b"api", key) == NEW
        if step > 0:
            table.keep(ticket, table.number, MARK, LINES, b"body", False, HOUR_MS)
        if step > 1:
            settle(gate, ticket, charge=True)
        if step > 2:
            table.end(table.number, True)
        segment.recover(1)
        expected = [(1, 0), (1, 0), (0, 1), (0, 0), (0, 0)][step]
        assert _idempotency.recover(segment, 1) == expected
        assert _idempotency.recover(segment, 1) == (0, 0)
        other = Idempotency(segment, 0)
        assert other.find(gate, b"api", key) == (KEPT if step > 1 else NEW)
        if step > 1:
            assert other.answer(other.number, other.word, MARK) == (0, LINES, b"body", False)


def test_only_the_dead_worker_s_calls_are_freed(segment: Segment) -> None:
    gates = [asked(segment, worker) for worker in range(3)]
    tables = [Idempotency(segment, worker) for worker in range(3)]
    for worker in range(3):
        assert tables[worker].take(gates[worker], b"api", b"%d" % worker) == NEW
    assert _idempotency.recover(segment, 1) == (1, 0)
    assert [tables[0].find(gates[0], b"api", b"%d" % worker) for worker in range(3)] == [BUSY, NEW, BUSY]


def test_a_charge_of_the_call_before_is_not_taken_for_that_of_the_one_in_flight(segment: Segment) -> None:
    """The same entry, and no record in between."""
    table, gate = Idempotency(segment, 1), asked(segment, 1)
    number = make(table, gate, b"k", window_ms=0)
    gate = asked(segment, 1)
    assert (table.take(gate, b"api", b"k"), table.number) == (NEW, number)
    assert table.recover() == (1, 0)
    assert table.find(gate, b"api", b"k") == NEW


def test_there_is_nothing_to_recover_where_no_call_had_a_key(segment: Segment) -> None:
    assert _idempotency.recover(segment, 0) == (0, 0)
    assert not os.path.exists(table_path(segment))


def test_no_key_ever_has_two_owners(segment: Segment) -> None:
    """Four workers want the same dozen keys, which have the same few places, and hold up to four each."""
    digests = b"".join(struct.pack("<4Q", tag << 24 | 7, tag, tag, 0) for tag in range(1, 13))
    owners = mmap.mmap(-1, 12)
    until = time.monotonic_ns() + 10**9
    pids = []
    for worker in range(4):
        pid = os.fork()
        if pid == 0:
            outcome = 2
            try:
                table = Idempotency(segment, worker)
                view = memoryview(digests).cast("Q", [12, 4])
                twice, taken = _kernels.race_idempotency(table, view, owners, until, worker)
                outcome = twice > 0 or taken < 1000
            finally:
                os._exit(outcome)
        pids.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 4
    assert Idempotency(segment, 0).recover() == (0, 0)


def test_workers_that_are_killed_leave_no_key_behind(segment: Segment) -> None:
    """One after the other, at whatever instruction: nothing is in flight once they are recovered."""

    def churn(worker: int) -> None:
        table, gate = Idempotency(segment, worker), asked(segment, worker)
        n = 0
        while True:
            n += 1
            if table.take(gate, b"api", b"%d" % (n % 50)) == NEW:
                table.end(table.number, False)

    for kill in range(12):
        pids = []
        for worker in (1, 2):
            pid = os.fork()
            if pid == 0:
                churn(worker)
            pids.append(pid)
        time.sleep(0.004 + 0.001 * (kill % 5))
        for worker, pid in enumerate(pids, 1):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            segment.recover(worker)
            _idempotency.recover(segment, worker)
    table, gate = Idempotency(segment, 0), asked(segment)
    assert [table.take(gate, b"api", b"%d" % key) for key in range(50)] == [NEW] * 50


# The field


def key_of(*values: bytes) -> bytes | None:
    lines = b"".join(b"idempotency-KEY: %b\r\n" % value for value in values)
    data = b"POST /x HTTP/1.1\r\nHost: h\r\nIdempotency-Keys: a\r\n" + lines + b"\r\n"
    head = RequestHead()
    assert head.scan(data, 0, len(data)) == PLAIN
    return idempotency_key(head)


def test_the_key_of_a_request_is_what_its_field_says() -> None:
    assert key_of() is None
    assert key_of(b'"8e03978e-40d5-43e8"') == key_of(b"8e03978e-40d5-43e8") == b"8e03978e-40d5-43e8"
    assert key_of(b'"a \\"b\\" \\\\"') == b'a "b" \\'
    assert key_of(b'"' + b"x" * 255 + b'"') == key_of(b"x" * 255) == b"x" * 255
    assert key_of(b'"' + b'\\"' * 255 + b'"') == b'"' * 255


@pytest.mark.parametrize(
    "value",
    [b"", b'"', b'""', b'"a', b'a"', b'"a"b"', b'"\\a"', b'"a\\"', b"a b", b'"a";b', b'"a", "b"', b"a,b", b'"\xe9"',
     b'"\x7f"', b"x" * 256, b'"' + b"x" * 256 + b'"', b"\xe9", b"a;b"],
)  # fmt: skip
def test_anything_else_is_no_key(value: bytes) -> None:
    data = b"POST /x HTTP/1.1\r\nHost: h\r\nIdempotency-Key: " + value + b"\r\n\r\n"
    head = RequestHead()
    if head.scan(data, 0, len(data)) == PLAIN:
        with pytest.raises(ValueError, match=r"\w"):
            idempotency_key(head)


def test_two_fields_are_no_key() -> None:
    with pytest.raises(ValueError, match="two"):
        key_of(b"a", b"a")
