"""The journal tells every finished call in order: what was overwritten is counted as lost, and none is half a call."""

from collections.abc import Callable
from struct import Struct

import _kernels
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_build import make_gate, scratch_segment

from fastgw._call import Peer
from fastgw._core import Gate
from fastgw._segment import RECORD_BYTES, Segment, account_digest
from fastgw.refusals import Refusal

NewSegment = Callable[..., Segment]
HEAD = b"GET /no/such/route HTTP/1.1\r\nHost: h\r\n\r\n"
PEER = Peer("192.0.2.7", 4711)
# number, time, request id, cost, bytes in, out, account, key, route, status, target, verdict, method, three latencies,
# port, length of the path, address, flags, tokens in, out, 4 bytes of nothing, running sum of the costs; then the path
RECORD = Struct("=QqQQqQQIIHHHBBIIIHH16sIII4xq")


def refuse(gate: Gate, calls: int) -> None:
    for _ in range(calls):
        gate.begin(HEAD, 0, len(HEAD))
        gate.refuse(gate.decide(PEER), False)


def numbers(records: bytes) -> list[int]:
    return [RECORD.unpack_from(records, at)[0] - 1 for at in range(0, len(records), RECORD_BYTES)]


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=12))
def test_a_reader_gets_each_call_once_or_counts_it_as_lost(steps: list[tuple[int, bool]]) -> None:
    segment = scratch_segment()  # a ring of 8
    gate = make_gate(segment, 0)
    written = read_to = 0
    for calls, read in steps:
        refuse(gate, calls)
        written += calls
        if read:
            records, after, lost = segment.journal(0, read_to)
            kept = min(8, written - read_to)
            assert numbers(records) == list(range(written - kept, written))
            assert lost == written - read_to - kept
            assert after == written
            read_to = after


def test_a_record_says_what_the_call_was(new_segment: NewSegment) -> None:
    segment = new_segment()
    segment.add_account(account_digest("acme"), 10, 0)
    segment.add_key(segment.digest(b"sk"), 0, 0, 1, 0)
    gate = make_gate(segment, 0, {"path": b"/v1", "price_nanos": 3})
    path = b"/v1/" + b"p" * 200
    data = b"POST " + path + b" HTTP/1.1\r\nHost: h\r\nX-Api-Key: sk\r\n\r\n"
    gate.begin(data, 0, len(data))
    assert gate.decide(PEER) == 0
    ticket = gate.ticket()
    gate.settle(ticket, 0, 201, True, -1, 11, 22, 1)
    gate.begin(HEAD, 0, len(HEAD))
    assert gate.decide(PEER) == Refusal.NO_ROUTE
    answer = gate.refuse(Refusal.NO_ROUTE, True)
    records, after, lost = segment.journal(0, 0)
    assert (after, lost, len(records)) == (2, 0, 2 * RECORD_BYTES)
    call = RECORD.unpack_from(records, 0)
    assert call[0] == 1
    assert b"%016x%016x" % call[2:4] == ticket.request_id()
    assert call[4:14] == (3, 11, 22, 1, 1, 1, 201, 1, 0, 3)
    assert call[17:20] == (4711, len(path), bytes(10) + b"\xff\xff\xc0\x00\x02\x07")
    assert records[RECORD.size : RECORD.size + _kernels.PATH_KEPT] == path[: _kernels.PATH_KEPT]
    refusal = RECORD.unpack_from(records, RECORD_BYTES)
    assert refusal[4:14] == (0, len(HEAD), len(answer), 0, 0, 0, 404, 0, Refusal.NO_ROUTE, 1)
    assert records[RECORD_BYTES + RECORD.size :].startswith(b"/no/such/route")


def test_workers_have_journals_of_their_own(segment: Segment) -> None:
    refuse(make_gate(segment, 1), 2)
    assert segment.journal(0, 0) == (b"", 0, 0)
    assert numbers(segment.journal(1, 0)[0]) == [0, 1]


def test_a_new_process_in_a_slot_goes_on_where_the_dead_one_stopped(segment: Segment) -> None:
    refuse(make_gate(segment, 0), 3)
    refuse(make_gate(segment, 0), 2)
    assert numbers(segment.journal(0, 0)[0]) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("worker", [-1, 64])
def test_there_is_no_journal_of_no_worker(segment: Segment, worker: int) -> None:
    with pytest.raises(IndexError):
        segment.journal(worker, 0)
